#pragma once
// The template behind call_on() of io/mailbox.h; included by it only.

#include "io/mailbox.h"

namespace drave::io {
namespace detail {

template <class T>
struct UnwrapTask {
  using type = T;
  static constexpr bool is_task = false;
};
template <class T>
struct UnwrapTask<Task<T>> {
  using type = T;
  static constexpr bool is_task = true;
};

// A call in transit: sent as `outward`, answered as `homeward`. Lives in the caller's frame.
template <class F>
struct CrossCall {
  using Returned = std::invoke_result_t<F&>;
  using Value = typename UnwrapTask<Returned>::type;
  static constexpr bool kIsVoid = std::is_void_v<Value>;
  using Stored = std::conditional_t<kIsVoid, char, Value>;

  struct Outward : Message {
    CrossCall* call = nullptr;
  };
  struct Homeward : Message {
    CrossCall* call = nullptr;
  };

  CrossCall(Loop& from, std::uint32_t to, F given)
      : here(from), there(to), function(std::move(given)) {
    outward.call = this;
    homeward.call = this;
    outward.run = [](Message& message) { static_cast<Outward&>(message).call->run_there(); };
    homeward.run = [](Message& message) { static_cast<Homeward&>(message).call->resume_here(); };
  }
  CrossCall(const CrossCall&) = delete;

  Loop& here;
  std::uint32_t there;
  F function;
  Outward outward;
  Homeward homeward;
  std::optional<Stored> value;
  std::coroutine_handle<> coroutine;

  bool await_ready() {
    if constexpr (!UnwrapTask<Returned>::is_task) {
      if (there != here.shard()) return false;
      call_plain();
      return true;
    }
    return false;
  }
  void await_suspend(std::coroutine_handle<> suspended) {
    coroutine = suspended;
    if (there == here.shard()) {
      here.start(run_task(*this));
    } else {
      here.hub()->send(here.shard(), there, outward);
    }
  }
  Value await_resume() {
    if constexpr (!kIsVoid) return std::move(*value);
  }

  void call_plain() {
    if constexpr (UnwrapTask<Returned>::is_task) {
      ASSERT(false);
    } else if constexpr (kIsVoid) {
      function();
      value.emplace();
    } else {
      value.emplace(function());
    }
  }
  static Task<void> run_task(CrossCall& call) {
    if constexpr (UnwrapTask<Returned>::is_task) {
      if constexpr (kIsVoid) {
        co_await call.function();
        call.value.emplace();
      } else {
        call.value.emplace(co_await call.function());
      }
    }
    call.go_home();
    co_return;
  }
  void run_there() {
    if constexpr (UnwrapTask<Returned>::is_task) {
      here.hub()->loop(there).start(run_task(*this));
    } else {
      call_plain();
      go_home();
    }
  }
  void go_home() {
    if (there == here.shard()) {
      resume_here();
    } else {
      here.hub()->send(there, here.shard(), homeward);
    }
  }
  void resume_here() { coroutine.resume(); }
};

}  // namespace detail

template <class F>
auto call_on(Loop& here, std::uint32_t there, F function) {
  return detail::CrossCall<F>(here, there, std::move(function));
}

}  // namespace drave::io
