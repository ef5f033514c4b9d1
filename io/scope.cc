#include "io/scope.h"

#include "io/detail/detached.h"

namespace drave::io {

struct Scope::Runner {
  static detail::Detached run(Scope& scope, Task<void> task) {
    co_await std::move(task);
    ASSERT(scope.running_ > 0);
    if (--scope.running_ == 0) scope.ended_.wake_all();
  }
};

void Scope::spawn(Task<void> task) {
  ASSERT(task.is_valid());
  ++running_;
  loop_.post(Runner::run(*this, std::move(task)).start);
}

Task<void> Scope::join() {
  while (running_ > 0) co_await ended_.wait();
}

}  // namespace drave::io
