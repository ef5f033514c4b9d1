// What the loop costs without I/O: a coroutine call, a pass, a timer, a message.

#include <benchmark/benchmark.h>

#include <atomic>
#include <memory>
#include <vector>

#include "base/random.h"
#include "io/scope.h"
#include "io/threads.h"
#include "io/uring/uring_backend.h"

namespace drave::io {
namespace {

std::unique_ptr<Backend> make_backend() {
  auto backend = make_uring_backend();
  if (!backend) fatal(backend.error().message());
  return std::move(*backend);
}

Task<int> callee(int value) {
  benchmark::DoNotOptimize(value);
  co_return value;
}
Task<void> call_in_loop(benchmark::State& state, bool& ended) {
  int sum = 0;
  for (auto _ : state) sum += co_await callee(1);
  benchmark::DoNotOptimize(sum);
  ended = true;
}
void coroutine_call(benchmark::State& state) {
  auto backend = make_backend();
  Loop loop(*backend, 0);
  bool ended = false;
  loop.start(call_in_loop(state, ended));
  while (!ended) loop.pass(loop.now());
}
BENCHMARK(coroutine_call);

Task<void> yield_in_loop(benchmark::State& state, Loop& loop, bool& ended) {
  for (auto _ : state) co_await yield(loop);
  ended = true;
}
void coroutine_yield(benchmark::State& state) {
  auto backend = make_backend();
  Loop loop(*backend, 0);
  bool ended = false;
  loop.start(yield_in_loop(state, loop, ended));
  while (!ended) loop.pass(loop.now());
}
BENCHMARK(coroutine_yield);

void loop_empty_pass(benchmark::State& state) {
  auto backend = make_backend();
  Loop loop(*backend, 0);
  for (auto _ : state) loop.pass(Instant{});
}
BENCHMARK(loop_empty_pass);

// Operations of one pass share a system call: the price per operation falls with their number.
Task<void> read_once(Loop& loop, Handle handle) {
  std::uint8_t byte;
  iovec vector{&byte, 1};
  Operation operation;
  operation.code = OperationCode::read;
  operation.handle = handle;
  operation.vectors = &vector;
  operation.vector_count = 1;
  co_await perform(loop, operation);
}
void loop_operations(benchmark::State& state) {
  auto backend = make_backend();
  Loop loop(*backend, 0);
  Operation open;
  open.code = OperationCode::open;
  open.path = "/dev/zero";
  open.complete = [](Operation&) {};
  loop.submit(open);
  while (open.in_flight) loop.pass(Instant::never());
  Scope scope(loop);
  for (auto _ : state) {
    for (int i = 0; i < state.range(0); ++i) scope.spawn(read_once(loop, Handle{open.result}));
    while (scope.running_count() > 0) loop.pass(Instant::never());
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
  loop.close_detached(Handle{open.result});
}
BENCHMARK(loop_operations)->ArgName("batch")->Arg(1)->Arg(4)->Arg(16)->Arg(64);

struct QuietTimer : Timer {
  QuietTimer() : Timer([](Timer&) {}) {}
};

void timer_arm_disarm(benchmark::State& state) {
  TimerWheel wheel(Instant{});
  std::vector<std::unique_ptr<QuietTimer>> others;
  Random random(1);
  for (int i = 0; i < state.range(0); ++i) {
    others.push_back(std::make_unique<QuietTimer>());
    wheel.arm(*others.back(), Instant{} + milliseconds(random.between(1, 1'000'000)));
  }
  QuietTimer timer;
  for (auto _ : state) {
    wheel.arm(timer, Instant{} + milliseconds(500));
    wheel.disarm(timer);
  }
  for (auto& other : others) wheel.disarm(*other);
}
BENCHMARK(timer_arm_disarm)->ArgName("armed")->Arg(1000)->Arg(100'000);

void timer_expire(benchmark::State& state) {
  Instant now{};
  TimerWheel wheel(now);
  const auto count = static_cast<std::size_t>(state.range(0));
  std::vector<std::unique_ptr<QuietTimer>> timers;
  for (std::size_t i = 0; i < count; ++i) timers.push_back(std::make_unique<QuietTimer>());
  Random random(1);
  for (auto _ : state) {
    for (auto& timer : timers) wheel.arm(*timer, now + milliseconds(random.between(1, 60'000)));
    now = now + seconds(61);
    benchmark::DoNotOptimize(wheel.expire(now));
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(timer_expire)->ArgName("timers")->Arg(1000)->Arg(100'000);

void timer_next_deadline(benchmark::State& state) {
  TimerWheel wheel(Instant{});
  QuietTimer timer;
  wheel.arm(timer, Instant{} + seconds(30));
  for (auto _ : state) benchmark::DoNotOptimize(wheel.next_deadline());
  wheel.disarm(timer);
}
BENCHMARK(timer_next_deadline);

// Both ends on this thread: what a message costs without caches moving.
void mailbox_same_core(benchmark::State& state) {
  auto first = make_backend();
  auto second = make_backend();
  Loop here(*first, 0);
  Loop there(*second, 1);
  MailboxHub hub({&here, &there});
  std::vector<Message> messages(64);
  for (Message& message : messages) message.run = [](Message&) {};
  for (auto _ : state) {
    for (Message& message : messages) hub.send(0, 1, message);
    hub.flush(0);
    hub.deliver(1);
  }
  state.SetItemsProcessed(state.iterations() * 64);
}
BENCHMARK(mailbox_same_core);

struct Shot : Message {
  std::atomic<int>* left = nullptr;
};
// Batches of 64 to a shard on another core that answers when all have come. With `spin_us` 0 each
// batch also wakes a sleeping core.
void mailbox_cross_core(benchmark::State& state) {
  auto shards = ShardThreads::start(
      {.count = 2, .spin = microseconds(state.range(0))},
      [](std::uint32_t) -> Result<std::unique_ptr<Backend>> { return make_backend(); });
  if (!shards) fatal(shards.error().message());
  MailboxHub& hub = (*shards)->hub();
  constexpr int kBatch = 64;
  std::atomic<int> left = 0;
  std::vector<Shot> shots(kBatch);
  for (Shot& shot : shots) {
    shot.left = &left;
    shot.run = [](Message& message) {
      static_cast<Shot&>(message).left->fetch_sub(1, std::memory_order_release);
    };
  }
  std::atomic<bool> ended = false;
  (*shards)->post(0, [&] {
    for (auto _ : state) {
      left.store(kBatch, std::memory_order_relaxed);
      for (Shot& shot : shots) hub.send(0, 1, shot);
      // What a pass does: publish, and ring if need be.
      Loop& loop = (*shards)->loop(0);
      hub.flush(0);
      IntrusiveList<Operation> completed;
      loop.backend().wait(Instant{}, completed);
      while (left.load(std::memory_order_acquire) > 0) {
      }
    }
    ended = true;
    ended.notify_all();
  });
  ended.wait(false);
  state.SetItemsProcessed(state.iterations() * kBatch);
}
BENCHMARK(mailbox_cross_core)->ArgName("spin_us")->Arg(0)->Arg(50)->UseRealTime();

Task<void> call_back_and_forth(benchmark::State& state, Loop& here, std::atomic<bool>& ended) {
  for (auto _ : state) benchmark::DoNotOptimize(co_await call_on(here, 1, [] { return 1; }));
  ended = true;
  ended.notify_all();
}
// A call to another shard and back, both asleep in between unless they spin.
void call_on_cross_core(benchmark::State& state) {
  auto shards = ShardThreads::start(
      {.count = 2, .spin = microseconds(state.range(0))},
      [](std::uint32_t) -> Result<std::unique_ptr<Backend>> { return make_backend(); });
  if (!shards) fatal(shards.error().message());
  std::atomic<bool> ended = false;
  (*shards)->post(0, [&] {
    Loop& loop = (*shards)->loop(0);
    loop.start(call_back_and_forth(state, loop, ended));
  });
  ended.wait(false);
}
BENCHMARK(call_on_cross_core)->ArgName("spin_us")->Arg(0)->Arg(50)->UseRealTime();

}  // namespace
}  // namespace drave::io
