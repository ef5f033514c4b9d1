#include "io/loop.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <vector>

#include "tests/io/fake_backend.h"

namespace drave::io::test {
namespace {

struct Counting : Ready {
  int* count;
  explicit Counting(int& at) : count(&at) {
    run = [](Ready& item) { ++*static_cast<Counting&>(item).count; };
  }
};

TEST(Loop, runs_ready_work_in_order_and_bounded_per_pass) {
  FakeLoop fake;
  int count = 0;
  std::vector<std::unique_ptr<Counting>> items;
  // More than the turns of one pass take together.
  for (std::uint32_t i = 0; i < 9 * Loop::kReadyPerPassMax; ++i) {
    items.push_back(std::make_unique<Counting>(count));
    fake.loop.post(*items.back());
  }
  fake.loop.pass(fake.backend.time);
  EXPECT_LT(count, static_cast<int>(items.size()));
  EXPECT_GE(count, static_cast<int>(Loop::kReadyPerPassMax));
  EXPECT_TRUE(fake.loop.has_ready());
  fake.settle();
  EXPECT_EQ(count, static_cast<int>(items.size()));
}

struct SlowWork : Ready {
  FakeBackend* backend;
  int runs = 0;
  explicit SlowWork(FakeBackend& at) : backend(&at) {
    run = [](Ready& item) {
      auto& self = static_cast<SlowWork&>(item);
      self.backend->time = self.backend->time + milliseconds(1);
      ++self.runs;
    };
  }
};
TEST(Loop, gives_way_to_completions_when_its_time_is_over) {
  FakeLoop fake;
  std::vector<std::unique_ptr<SlowWork>> items;
  int total = 0;
  for (int i = 0; i < 100; ++i) {
    items.push_back(std::make_unique<SlowWork>(fake.backend));
    fake.loop.post(*items.back());
  }
  fake.loop.pass(fake.backend.time);
  for (const auto& item : items) total += item->runs;
  EXPECT_LT(total, 40) << "the clock is looked at every few items";
  EXPECT_EQ(fake.loop.counters().passes_over_budget, 1u);
  fake.settle();
}

struct Hook : PassEndHook {
  std::vector<int>* order;
  int name;
  Loop* again = nullptr;
  Hook(std::vector<int>& at, int given) : order(&at), name(given) {
    run = [](PassEndHook& hook) {
      auto& self = static_cast<Hook&>(hook);
      self.order->push_back(self.name);
      if (self.again != nullptr) std::exchange(self.again, nullptr)->at_pass_end(self);
    };
  }
};

struct AskForHook : Ready {
  Loop* loop;
  Hook* hook;
  AskForHook(Loop& at, Hook& asked) : loop(&at), hook(&asked) {
    run = [](Ready& item) {
      auto& self = static_cast<AskForHook&>(item);
      self.hook->order->push_back(0);
      self.loop->at_pass_end(*self.hook);
      self.loop->at_pass_end(*self.hook);
    };
  }
};
TEST(Loop, hooks_run_once_after_ready_work_and_before_the_wait) {
  FakeLoop fake;
  std::vector<int> order;
  Hook hook(order, 1);
  AskForHook first(fake.loop, hook);
  AskForHook second(fake.loop, hook);
  fake.loop.post(first);
  fake.loop.post(second);
  fake.loop.pass(Instant::never());  // would not return to run it if the hook came after
  EXPECT_EQ(order, (std::vector<int>{0, 0, 1}));
}

TEST(Loop, hook_that_asks_for_itself_runs_again_before_the_loop_sleeps) {
  FakeLoop fake;
  std::vector<int> order;
  Hook hook(order, 1);
  hook.again = &fake.loop;
  fake.loop.at_pass_end(hook);
  const Instant before = fake.backend.time;
  fake.loop.pass(before + seconds(1));
  EXPECT_TRUE(fake.loop.has_ready());
  EXPECT_EQ(fake.backend.time, before) << "it did not sleep on pending work";
  fake.loop.pass(before);
  EXPECT_EQ(order, (std::vector<int>{1, 1}));
}

Task<void> sleep_once(Loop& loop, Duration span, Instant& woke) {
  co_await sleep_for(loop, span);
  woke = loop.now();
}
TEST(Loop, sleeps_until_the_first_timer) {
  FakeLoop fake;
  Instant woke;
  const Instant start = fake.backend.time;
  fake.loop.start(sleep_once(fake.loop, milliseconds(40), woke));
  for (int i = 0; i < 5 && woke.ns == 0; ++i) fake.loop.pass(Instant::never());
  EXPECT_GE(woke, start + milliseconds(40));
  EXPECT_LE(woke, start + milliseconds(41));
  EXPECT_EQ(fake.loop.counters().timers_fired, 1u);
}

// How often the loop had asked the machine for something when each of the steps went on.
Task<void> note_waits(FakeLoop& fake, bool in_later_passes, std::vector<std::uint64_t>& at) {
  for (int i = 0; i < 3; ++i) {
    if (in_later_passes)
      co_await next_pass(fake.loop);
    else
      co_await yield(fake.loop);
    at.push_back(fake.backend.counters().waits);
  }
}
TEST(Loop, a_yield_may_come_back_before_the_machine_was_asked_and_the_next_pass_does_not) {
  FakeLoop fake;
  std::vector<std::uint64_t> yields;
  std::vector<std::uint64_t> passes;
  const Instant start = fake.backend.time;
  fake.loop.start(note_waits(fake, false, yields));
  fake.loop.start(note_waits(fake, true, passes));
  for (int i = 0; i < 20 && passes.size() < 3; ++i) fake.loop.pass(Instant::never());
  EXPECT_EQ(yields, (std::vector<std::uint64_t>{0, 0, 0}));
  ASSERT_EQ(passes.size(), 3u);
  EXPECT_GT(passes[0], 0u);
  EXPECT_GT(passes[1], passes[0]);
  EXPECT_GT(passes[2], passes[1]);
  EXPECT_LE(fake.backend.time, start + milliseconds(3)) << "a tick each at most";
}

TEST(Loop, run_ends_after_stop) {
  FakeLoop fake;
  struct Stop : Ready {
    Loop* loop;
  } stop;
  stop.loop = &fake.loop;
  stop.run = [](Ready& item) { static_cast<Stop&>(item).loop->stop(); };
  fake.loop.post(stop);
  fake.loop.run();
  EXPECT_TRUE(fake.loop.is_stopping());
}

TEST(Loop, functions_of_other_threads_run_on_the_loop) {
  FakeLoop fake;
  std::thread::id ran_on;
  std::thread other(
      [&] { fake.loop.post_from_any_thread([&] { ran_on = std::this_thread::get_id(); }); });
  other.join();
  EXPECT_EQ(fake.backend.wakes, 1u);
  EXPECT_TRUE(fake.loop.has_ready());
  fake.settle();
  EXPECT_EQ(ran_on, std::this_thread::get_id());
}

TEST(Loop, close_detached_is_carried_out_even_by_a_dying_loop) {
  FakeBackend backend;
  {
    Loop loop(backend, 0);
    loop.close_detached(Handle{3});
    EXPECT_EQ(loop.in_flight_count(), 1u);
  }
  EXPECT_GE(backend.counters().waits, 1u);
}

}  // namespace
}  // namespace drave::io::test
