#pragma once
// Ways for coroutines of one loop to wait for each other. None is thread-safe; none allocates.
// Waiters are resumed through the ready queue, never from within the call that wakes them.

#include <coroutine>
#include <cstdint>

#include "base/intrusive_list.h"
#include "io/loop.h"
#include "io/task.h"

namespace drave::io {

// A condition that somebody announces. Waiters re-check what they wait for after they wake.
class WaitQueue {
 public:
  explicit WaitQueue(Loop& loop) : loop_(loop) {}

  struct Awaiter : ReadyCoroutine {
    explicit Awaiter(WaitQueue& at) : queue(at) {}
    WaitQueue& queue;
    bool await_ready() { return false; }
    void await_suspend(std::coroutine_handle<> suspended) {
      coroutine = suspended;
      queue.waiters_.push_back(*this);
    }
    void await_resume() {}
  };
  // co_await queue.wait()
  Awaiter wait() { return Awaiter(*this); }

  void wake_one() {
    if (!waiters_.empty()) loop_.post(static_cast<Awaiter&>(waiters_.pop_front()));
  }
  void wake_all() {
    while (!waiters_.empty()) wake_one();
  }
  bool has_waiters() const { return !waiters_.empty(); }
  Loop& loop() { return loop_; }

 private:
  Loop& loop_;
  IntrusiveList<Ready, ReadyTag> waiters_;
};

// A door that opens once. wait() returns at once when it is open.
class Gate {
 public:
  explicit Gate(Loop& loop) : queue_(loop) {}
  void open() {
    open_ = true;
    queue_.wake_all();
  }
  bool is_open() const { return open_; }
  Task<void> wait() {
    while (!open_) co_await queue_.wait();
  }

 private:
  WaitQueue queue_;
  bool open_ = false;
};

// `count` permits; FIFO. acquire(n) waits until n are free at once.
class Semaphore {
 public:
  Semaphore(Loop& loop, std::int64_t count) : queue_(loop), free_(count) {}
  Task<void> acquire(std::int64_t n = 1);
  bool try_acquire(std::int64_t n = 1) {
    if (waiting_ > 0 || free_ < n) return false;
    free_ -= n;
    return true;
  }
  void release(std::int64_t n = 1) {
    free_ += n;
    queue_.wake_all();
  }
  std::int64_t free() const { return free_; }

 private:
  WaitQueue queue_;
  std::int64_t free_;
  std::int64_t waiting_ = 0;
  std::uint64_t next_ticket_ = 0;
  std::uint64_t serving_ = 0;
};

}  // namespace drave::io
