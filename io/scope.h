#pragma once
// A nursery for tasks that nobody awaits one by one. A scope is joined before it is destroyed; what
// it spawned has ended by then. Spawned tasks take values and services, never views of the
// spawner's locals.

#include <cstddef>

#include "io/sync.h"
#include "io/task.h"

namespace drave::io {

class Scope {
 public:
  explicit Scope(Loop& loop) : loop_(loop), ended_(loop), stop_(loop) {}
  ~Scope() { ASSERT_EQUAL(running_, 0u); }

  // Starts `task` from the ready queue. Not after join() has returned.
  void spawn(Task<void> task);

  // Tells the tasks that they should end; each checks is_stopping() or waits on stopping().
  void request_stop() { stop_.open(); }
  bool is_stopping() const { return stop_.is_open(); }
  // Opens with the first request_stop().
  Gate& stopping() { return stop_; }

  // Returns when nothing runs any more. Does not request the stop.
  Task<void> join();

  std::size_t running_count() const { return running_; }
  Loop& loop() { return loop_; }

 private:
  struct Runner;
  Loop& loop_;
  WaitQueue ended_;
  Gate stop_;
  std::size_t running_ = 0;
};

}  // namespace drave::io
