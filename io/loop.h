#pragma once
// The loop of a shard: one thread, one backend, one timer wheel, one ready queue.
//
// A pass runs what is ready (bounded by kPassBudget), rings the doorbells of other shards, lets the
// backend submit and wait, takes completions, fires timers, and runs the hooks that asked for the
// end of the pass. Everything that belongs to a loop is touched on its thread only. In production a
// thread calls run(); the simulator calls pass() on the loops of all its shards in the order that
// its seed says.

#include <coroutine>
#include <cstdint>
#include <functional>
#include <span>

#include "base/histogram.h"
#include "base/intrusive_list.h"
#include "base/units.h"
#include "io/backend.h"
#include "io/task.h"
#include "io/timer_wheel.h"

namespace drave::io {

class MailboxHub;

// A piece of work on the ready queue, intrusive: lives in its owner until run.
struct Ready : ListLink<struct ReadyTag> {
  using Run = void (*)(Ready&);
  Run run = nullptr;
};

// A hook that runs at the end of every pass in which it was requested: where produced data wakes
// fetches, responses leave in one send, and the journal's next group starts.
struct PassEndHook : ListLink<struct PassEndTag> {
  using Run = void (*)(PassEndHook&);
  Run run = nullptr;
};

struct LoopCounters {
  std::uint64_t passes = 0;
  std::uint64_t resumed = 0;  // ready items run
  std::uint64_t timers_fired = 0;
  std::uint64_t passes_over_budget = 0;  // longer than kPassMax
};

class Loop {
 public:
  // Ready work beyond this many items or this much time waits for the next pass.
  static constexpr std::uint32_t kReadyPerPassMax = 1024;
  static constexpr Duration kPassBudget = microseconds(500);
  // What no pass should exceed (DESIGN: 5 ms); counted, and logged once a second at most.
  static constexpr Duration kPassMax = milliseconds(5);

  Loop(Backend& backend, std::uint32_t shard);
  Loop(const Loop&) = delete;
  ~Loop();

  std::uint32_t shard() const { return shard_; }
  Backend& backend() { return backend_; }
  TimerWheel& timers() { return timers_; }

  // The monotonic clock, read once at the start of each pass and after each wait.
  Instant now() const { return now_; }
  TimestampMs wall_now() { return backend_.wall_now(); }
  // The clock at this instant, for measuring only.
  Instant now_precise() { return backend_.now(); }

  void post(Ready& item) { ready_.push_back(item); }
  // Runs `hook` at the end of this pass; asking twice in a pass is one run.
  void at_pass_end(PassEndHook& hook) {
    if (!hook.is_linked()) pass_end_.push_back(hook);
  }

  void submit(Operation& operation);
  void cancel(Operation& operation);

  // Starts a task that nobody awaits. For main() and tests: all else belongs to a Scope.
  void start(Task<void> task);

  // One pass; sleeps no longer than until `wait_until` and not at all while something is ready.
  // False once stop() was called and nothing is ready.
  bool pass(Instant wait_until);
  // Passes until stop().
  void run();
  // Ends run() after the current pass. On the loop's thread.
  void stop() { stopping_ = true; }
  bool is_stopping() const { return stopping_; }

  // Has work that needs no wait (the simulator asks).
  bool has_ready() const { return !ready_.empty() || !pass_end_.empty(); }
  // The earliest moment at which a pass is needed without any completion.
  Instant next_deadline() const;

  // Set by the hub that connects the shards of a node (io/mailbox.h); null while there is one
  // shard.
  void attach(MailboxHub* hub) { hub_ = hub; }
  MailboxHub* hub() { return hub_; }

  const LoopCounters& counters() const { return counters_; }
  // Lengths of passes in nanoseconds, without their waits.
  Histogram& pass_times() { return pass_times_; }

 private:
  void run_ready();
  void run_pass_end();
  void take_completions(Instant wait_until);

  Backend& backend_;
  std::uint32_t shard_;
  TimerWheel timers_;
  Instant now_;
  IntrusiveList<Ready, ReadyTag> ready_;
  IntrusiveList<PassEndHook, PassEndTag> pass_end_;
  IntrusiveList<Operation> completed_;
  MailboxHub* hub_ = nullptr;
  bool stopping_ = false;
  LoopCounters counters_;
  Histogram pass_times_;
};

// Puts a suspended coroutine on the ready queue. Lives in an awaiter.
struct ReadyCoroutine : Ready {
  std::coroutine_handle<> coroutine;
  ReadyCoroutine() {
    run = [](Ready& item) { static_cast<ReadyCoroutine&>(item).coroutine.resume(); };
  }
};

// co_await yield(loop): lets everything else that is ready run first.
struct YieldAwaiter : ReadyCoroutine {
  explicit YieldAwaiter(Loop& at) : loop(at) {}
  Loop& loop;
  bool await_ready() { return false; }
  void await_suspend(std::coroutine_handle<> suspended) {
    coroutine = suspended;
    loop.post(*this);
  }
  void await_resume() {}
};
inline YieldAwaiter yield(Loop& loop) {
  return YieldAwaiter(loop);
}

// co_await perform(loop, operation): submits and suspends until it has completed; the value is
// operation.result. The operation lives in the caller's frame.
struct PerformAwaiter {
  Loop& loop;
  Operation& operation;
  std::coroutine_handle<> coroutine = nullptr;
  bool await_ready() { return false; }
  void await_suspend(std::coroutine_handle<> suspended);
  std::int32_t await_resume() { return operation.result; }
};
inline PerformAwaiter perform(Loop& loop, Operation& operation) {
  return {loop, operation};
}

// co_await sleep_until(loop, moment): resumes at the first pass at or after it.
struct SleepAwaiter : Timer {
  SleepAwaiter(Loop& at, Instant moment);
  Loop& loop;
  Instant until;
  std::coroutine_handle<> coroutine = nullptr;
  bool await_ready() { return until <= loop.now(); }
  void await_suspend(std::coroutine_handle<> suspended) {
    coroutine = suspended;
    loop.timers().arm(*this, until);
  }
  void await_resume() {}
};
inline SleepAwaiter sleep_until(Loop& loop, Instant moment) {
  return SleepAwaiter(loop, moment);
}
inline SleepAwaiter sleep_for(Loop& loop, Duration span) {
  return SleepAwaiter(loop, loop.now() + span);
}

}  // namespace drave::io
