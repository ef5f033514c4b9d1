#include "io/loop.h"

#include "base/log.h"
#include "io/detail/detached.h"
#include "io/mailbox.h"

namespace drave::io {
namespace {

// How often run_ready looks at the clock; a look costs about as much as a resume.
constexpr std::uint32_t kResumesPerClockRead = 16;
// Hooks may make work ready that asks for hooks; after so many turns the rest waits for a pass.
constexpr int kTurnsPerPassMax = 8;
// Waits of a dying loop for its last closes; a simulated machine that crashed never grants them.
constexpr int kLastWaitsMax = 50;

detail::Detached run_detached(Task<void> task) {
  co_await std::move(task);
}

}  // namespace

struct Loop::DetachedClose : Operation {
  explicit DetachedClose(Loop& at) : loop(at) {}
  Loop& loop;
  static void done(Operation& operation) {
    auto& self = static_cast<DetachedClose&>(operation);
    --self.loop.detached_closes_;
    delete &self;
  }
};

Loop::Loop(Backend& backend, std::uint32_t shard)
    : backend_(backend), shard_(shard), timers_(backend.now()), now_(backend.now()) {}

Loop::~Loop() {
  // Closes that destructors started must reach the kernel; all other work is dropped.
  for (int i = 0; i < kLastWaitsMax && detached_closes_ > 0; ++i) {
    backend_.wait(backend_.now() + milliseconds(100), completed_);
    while (!completed_.empty()) {
      Operation& operation = completed_.pop_front();
      operation.in_flight = false;
      if (operation.complete == &DetachedClose::done) operation.complete(operation);
    }
  }
}

void Loop::submit(Operation& operation) {
  ASSERT(!operation.in_flight);
  ASSERT(operation.complete != nullptr);
  operation.in_flight = true;
  ++in_flight_count_;
  backend_.submit(operation);
}

void Loop::cancel(Operation& operation) {
  if (operation.in_flight) backend_.cancel(operation);
}

void Loop::close_detached(Handle handle) {
  auto* operation = new DetachedClose(*this);
  operation->code = OperationCode::close;
  operation->handle = handle;
  operation->complete = &DetachedClose::done;
  ++detached_closes_;
  submit(*operation);
}

void Loop::start(Task<void> task) {
  post(run_detached(std::move(task)).start);
}

void Loop::post_from_any_thread(std::function<void()> function) {
  {
    const std::lock_guard lock(foreign_mutex_);
    foreign_.push_back(std::move(function));
    has_foreign_.store(true, std::memory_order_release);
  }
  backend_.wake_from_any_thread();
}

bool Loop::has_ready() const {
  auto& self = const_cast<Loop&>(*this);
  return !self.ready_.empty() || !self.pass_end_.empty() || !self.completed_.empty() ||
         has_foreign_.load(std::memory_order_acquire) ||
         (hub_ != nullptr && hub_->has_mail(shard_));
}

Instant Loop::next_deadline() const {
  return timers_.next_deadline();
}

bool Loop::pass(Instant wait_until) {
  ++counters_.passes;
  now_ = backend_.now();
  if (has_foreign_.load(std::memory_order_acquire)) run_foreign();
  if (hub_ != nullptr) hub_->deliver(shard_);
  counters_.timers_fired += timers_.expire(now_);
  for (int turn = 0; turn < kTurnsPerPassMax; ++turn) {
    run_ready();
    run_pass_end();
    if (ready_.empty() || backend_.now() - now_ > kPassBudget) break;
  }
  if (hub_ != nullptr) hub_->flush(shard_);
  wait_for_work(wait_until);
  take_completions();
  counters_.timers_fired += timers_.expire(now_);
  work_done_ = backend_.now() - now_;
  return !(stopping_ && !has_ready());
}

void Loop::run() {
  while (pass(Instant::never())) {
  }
}

void Loop::run_ready() {
  for (std::uint32_t n = 0; n < kReadyPerPassMax && !ready_.empty(); ++n) {
    if (n % kResumesPerClockRead == kResumesPerClockRead - 1 && backend_.now() - now_ > kPassBudget)
      return;
    Ready& item = ready_.pop_front();
    ++counters_.resumed;
    item.run(item);
  }
}

void Loop::run_pass_end() {
  // Only those that asked until now: a hook that asks for itself again gets the next turn.
  IntrusiveList<PassEndHook, PassEndTag> asked;
  asked.splice_back(pass_end_);
  while (!asked.empty()) {
    PassEndHook& hook = asked.pop_front();
    hook.run(hook);
  }
}

void Loop::run_foreign() {
  std::vector<std::function<void()>> functions;
  {
    const std::lock_guard lock(foreign_mutex_);
    functions.swap(foreign_);
    has_foreign_.store(false, std::memory_order_release);
  }
  for (auto& function : functions) function();
}

bool Loop::may_sleep() const {
  return !stopping_ && !has_ready();
}

void Loop::wait_for_work(Instant wait_until) {
  const Instant before = backend_.now();
  note_pass_time(before);
  const Instant deadline = std::min(wait_until, timers_.next_deadline());
  const Instant at_once{};
  bool sleep = may_sleep() && deadline > before;
  if (sleep && spin_.ns > 0) {
    const Instant spin_until = std::min(deadline, before + spin_);
    do {
      backend_.wait(at_once, completed_);
      sleep = may_sleep();
    } while (sleep && backend_.now() < spin_until);
  }
  if (!sleep) {
    backend_.wait(at_once, completed_);
  } else if (hub_ == nullptr) {
    backend_.wait(deadline, completed_);
  } else {
    hub_->declare_sleeping(shard_);
    backend_.wait(hub_->has_mail(shard_) ? at_once : deadline, completed_);
    hub_->declare_awake(shard_);
  }
  now_ = backend_.now();
}

void Loop::take_completions() {
  while (!completed_.empty()) {
    Operation& operation = completed_.pop_front();
    ASSERT(operation.in_flight);
    operation.in_flight = false;
    --in_flight_count_;
    operation.complete(operation);
  }
}

void Loop::note_pass_time(Instant ended) {
  const Duration length = work_done_ + (ended - now_);
  pass_times_.record(length.ns);
  if (length <= kPassMax) return;
  ++counters_.passes_over_budget;
  ++slow_passes_unlogged_;
  if (ended - slow_pass_logged_ < seconds(1)) return;
  slow_pass_logged_ = ended;
  LOG_WARN("io", "slow_pass shard={} length_us={} count={}", shard_, length.us(),
           slow_passes_unlogged_);
  slow_passes_unlogged_ = 0;
}

void PerformAwaiter::await_suspend(std::coroutine_handle<> suspended) {
  operation.owner = suspended.address();
  operation.complete = [](Operation& completed) {
    std::coroutine_handle<>::from_address(completed.owner).resume();
  };
  loop.submit(operation);
}

SleepAwaiter::SleepAwaiter(Loop& at, Instant moment)
    : Timer([](Timer& timer) { static_cast<SleepAwaiter&>(timer).coroutine.resume(); }),
      loop(at),
      until(moment) {}

}  // namespace drave::io
