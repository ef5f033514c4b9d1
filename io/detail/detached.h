#pragma once
// A coroutine that nobody awaits: starts from the ready queue and frees its frame at its end.
// Made by Loop::start and Scope::spawn only.

#include "io/loop.h"

namespace drave::io::detail {

struct Detached {
  struct promise_type {
    ReadyCoroutine start;

    static void* operator new(std::size_t size) { return FramePool::allocate(size); }
    static void operator delete(void* frame, std::size_t size) { FramePool::release(frame, size); }

    Detached get_return_object() {
      start.coroutine = std::coroutine_handle<promise_type>::from_promise(*this);
      return {start};
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    [[noreturn]] void unhandled_exception() noexcept { std::terminate(); }
  };

  Ready& start;
};

}  // namespace drave::io::detail
