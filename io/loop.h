#pragma once
// The loop of a shard: one thread, one backend, one timer wheel, one ready queue.
//
// A pass delivers mail, runs what is ready (bounded by kPassBudget), runs the hooks that asked for
// the end of the pass, rings the doorbells of other shards, lets the backend submit and wait (one
// system call), completes what has completed and fires timers; what these two made ready, and the
// hooks that they asked for, run at the head of the next pass, before it sleeps. Everything that
// belongs to a loop is touched on its thread only. In production a thread calls run(); the
// simulator calls pass() on the loops of all its shards in the order that its seed says.

#include <atomic>
#include <coroutine>
#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

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
  // Runs `hook` before the loop next waits, after what is ready; asking twice is one run.
  void at_pass_end(PassEndHook& hook) {
    if (!hook.is_linked()) pass_end_.push_back(hook);
  }

  void submit(Operation& operation);
  // Nothing happens if the operation is not in flight.
  void cancel(Operation& operation);
  // Operations submitted and not yet completed.
  std::size_t in_flight_count() const { return in_flight_count_; }
  // Closes a handle whose owner died; nobody learns the result.
  void close_detached(Handle handle);

  // Starts a task that nobody awaits, from the ready queue. For main() and tests: all else belongs
  // to a Scope. A task that has not ended when the loop dies is never resumed.
  void start(Task<void> task);

  // Runs `function` on this loop's thread in one of its next passes. From any thread; for the
  // threads that have no loop (signals, HTTP listener, tests). Allocates.
  void post_from_any_thread(std::function<void()> function);

  // One pass; sleeps no longer than until `wait_until` and not at all while something is ready.
  // False once stop() was called and nothing is ready.
  bool pass(Instant wait_until);
  // Passes until stop().
  void run();
  // Ends run() after the current pass. On the loop's thread.
  void stop() { stopping_ = true; }
  bool is_stopping() const { return stopping_; }

  // Has work that needs no wait, mail of other shards included (the simulator asks).
  bool has_ready() const;
  // The earliest moment at which a pass is needed without any completion.
  Instant next_deadline() const;

  // Set by the hub that connects the shards of a node (io/mailbox.h); null while there is one
  // shard.
  void attach(MailboxHub* hub) { hub_ = hub; }
  MailboxHub* hub() { return hub_; }

  // How long a pass with nothing to do looks for work before it sleeps. 0 (the default) unless the
  // shard has a core to itself.
  void set_spin(Duration span) { spin_ = span; }

  const LoopCounters& counters() const { return counters_; }
  // Lengths of passes in nanoseconds, without their waits.
  Histogram& pass_times() { return pass_times_; }

 private:
  struct DetachedClose;

  void run_ready();
  void run_pass_end();
  void run_foreign();
  bool may_sleep() const;
  void wait_for_work(Instant wait_until);
  void take_completions();
  void note_pass_time(Instant ended);

  Backend& backend_;
  std::uint32_t shard_;
  TimerWheel timers_;
  Instant now_;
  IntrusiveList<Ready, ReadyTag> ready_;
  IntrusiveList<PassEndHook, PassEndTag> pass_end_;
  IntrusiveList<Operation> completed_;
  MailboxHub* hub_ = nullptr;
  bool stopping_ = false;
  Duration spin_;
  std::size_t in_flight_count_ = 0;
  std::size_t detached_closes_ = 0;
  Duration work_done_;        // by the last pass after its wait
  Instant slow_pass_logged_;  // last time that a slow pass was logged
  std::uint64_t slow_passes_unlogged_ = 0;

  std::atomic<bool> has_foreign_ = false;
  std::mutex foreign_mutex_;
  std::vector<std::function<void()>> foreign_;  // guarded by foreign_mutex_

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

// co_await yield(loop): lets everything else that is ready run first. It may come back within the
// same pass, as long as that has time: work that fills a pass in one go wants next_pass().
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

// co_await next_pass(loop): the rest waits for a later pass, so that what the machine has for the
// loop meanwhile comes first. For long work in pieces, each of which is as much as a pass should
// take. A tick of the timers at most.
inline SleepAwaiter next_pass(Loop& loop) {
  return sleep_for(loop, nanoseconds(1));
}

}  // namespace drave::io
