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
    bool woken = false;
    bool await_ready() { return false; }
    void await_suspend(std::coroutine_handle<> suspended) {
      coroutine = suspended;
      queue.waiters_.push_back(*this);
    }
    void await_resume() {}
  };
  // co_await queue.wait()
  Awaiter wait() { return Awaiter(*this); }

  struct TimedAwaiter : Awaiter, Timer {
    TimedAwaiter(WaitQueue& at, Instant deadline) : Awaiter(at), Timer(&expired), until(deadline) {}
    Instant until;
    void await_suspend(std::coroutine_handle<> suspended) {
      queue.loop_.timers().arm(*this, until);
      Awaiter::await_suspend(suspended);
    }
    // True: woken; false: the deadline came first.
    bool await_resume() {
      queue.loop_.timers().disarm(*this);
      return woken;
    }
    static void expired(Timer& timer);
  };
  // bool woken = co_await queue.wait_until(deadline)
  TimedAwaiter wait_until(Instant deadline) { return TimedAwaiter(*this, deadline); }

  void wake_one() {
    if (waiters_.empty()) return;
    Awaiter& first = static_cast<Awaiter&>(waiters_.pop_front());
    first.woken = true;
    loop_.post(first);
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
  // Returns when it is open or at the deadline: an interruptible sleep. True: it is open.
  Task<bool> wait_until(Instant deadline) {
    while (!open_ && co_await queue_.wait_until(deadline)) {
    }
    co_return open_;
  }

 private:
  WaitQueue queue_;
  bool open_ = false;
};

// `count` permits; strictly first come, first served: a small request waits behind a large one.
class Semaphore {
 public:
  Semaphore(Loop& loop, std::int64_t count) : loop_(loop), free_(count) {}

  struct Awaiter : ReadyCoroutine {
    Awaiter(Semaphore& at, std::int64_t permits) : semaphore(at), n(permits) {}
    Semaphore& semaphore;
    std::int64_t n;
    bool await_ready() { return semaphore.try_acquire(n); }
    void await_suspend(std::coroutine_handle<> suspended) {
      coroutine = suspended;
      semaphore.waiters_.push_back(*this);
    }
    void await_resume() {}
  };
  // co_await semaphore.acquire(n): returns when n permits were free at once and are now taken.
  Awaiter acquire(std::int64_t n = 1) { return Awaiter(*this, n); }

  bool try_acquire(std::int64_t n = 1) {
    if (!waiters_.empty() || free_ < n) return false;
    free_ -= n;
    return true;
  }
  void release(std::int64_t n = 1) {
    free_ += n;
    while (!waiters_.empty()) {
      Awaiter& first = static_cast<Awaiter&>(waiters_.front());
      if (first.n > free_) break;
      free_ -= first.n;
      waiters_.pop_front();
      loop_.post(first);
    }
  }
  std::int64_t free() const { return free_; }

 private:
  Loop& loop_;
  IntrusiveList<Ready, ReadyTag> waiters_;
  std::int64_t free_;
};

}  // namespace drave::io
