#pragma once
// Looks names up on a thread of its own, because the system's resolver may sleep for seconds. The
// thread exists from the first name on; destroying the resolver does not wait for it.

#include <functional>
#include <memory>
#include <vector>

#include "io/uring/address.h"

namespace drave::io {

class Resolver {
 public:
  // `announce` is called on the resolver's thread whenever an answer is ready to be taken.
  explicit Resolver(std::function<void()> announce);
  ~Resolver();

  struct Answer {
    std::uint64_t question = 0;
    std::vector<KernelAddress> addresses;
    int system = 0;  // why there are none
  };

  void ask(std::uint64_t question, SocketAddress address);
  // Answers that have come since the last call.
  std::vector<Answer> take();

 private:
  struct Shared;
  static void run(std::shared_ptr<Shared> shared);

  std::shared_ptr<Shared> shared_;
  bool has_thread_ = false;
};

}  // namespace drave::io
