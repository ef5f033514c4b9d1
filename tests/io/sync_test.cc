#include "io/sync.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "io/each.h"
#include "io/scope.h"
#include "tests/io/fake_backend.h"

namespace drave::io::test {
namespace {

Task<void> wait_and_note(WaitQueue& queue, std::string& log, char name) {
  co_await queue.wait();
  log += name;
}
TEST(WaitQueue, wakes_in_order_through_the_ready_queue) {
  FakeLoop fake;
  WaitQueue queue(fake.loop);
  std::string log;
  for (const char name : {'a', 'b', 'c'}) fake.loop.start(wait_and_note(queue, log, name));
  fake.settle();
  EXPECT_TRUE(queue.has_waiters());
  queue.wake_one();
  EXPECT_EQ(log, "") << "not from within the call that wakes";
  fake.settle();
  EXPECT_EQ(log, "a");
  queue.wake_all();
  fake.settle();
  EXPECT_EQ(log, "abc");
  queue.wake_one();
  EXPECT_FALSE(queue.has_waiters());
}

Task<void> timed_wait(WaitQueue& queue, Instant until, std::string& log) {
  const bool woken = co_await queue.wait_until(until);
  log += woken ? 'w' : 't';
}
TEST(WaitQueue, timed_wait_ends_by_wake_or_deadline) {
  FakeLoop fake;
  WaitQueue queue(fake.loop);
  std::string log;
  const Instant until = fake.backend.time + milliseconds(10);
  fake.loop.start(timed_wait(queue, until, log));
  fake.loop.start(timed_wait(queue, until, log));
  fake.settle();
  queue.wake_one();
  fake.settle();
  EXPECT_EQ(log, "w");
  fake.advance(milliseconds(20));
  EXPECT_EQ(log, "wt");
  EXPECT_FALSE(queue.has_waiters());
  EXPECT_EQ(fake.loop.timers().armed_count(), 0u);
  // Woken, but resumed only after the deadline: woken it stays.
  fake.loop.start(timed_wait(queue, fake.backend.time + milliseconds(10), log));
  fake.settle();
  queue.wake_one();
  fake.advance(milliseconds(20));
  EXPECT_EQ(log, "wtw");
}

Task<void> through_gate(Gate& gate, std::string& log) {
  co_await gate.wait();
  log += 'g';
}
Task<void> through_gate_until(Gate& gate, Instant until, std::string& log) {
  log += co_await gate.wait_until(until) ? 'o' : 't';
}
TEST(Gate, opens_once_for_all_and_for_ever) {
  FakeLoop fake;
  Gate gate(fake.loop);
  std::string log;
  fake.loop.start(through_gate(gate, log));
  fake.loop.start(through_gate_until(gate, fake.backend.time + milliseconds(5), log));
  fake.loop.start(through_gate_until(gate, fake.backend.time + seconds(5), log));
  fake.settle();
  fake.advance(milliseconds(10));
  EXPECT_EQ(log, "t");
  gate.open();
  fake.settle();
  EXPECT_EQ(log, "tgo");
  fake.loop.start(through_gate(gate, log));
  fake.settle();
  EXPECT_EQ(log, "tgog");
}

Task<void> take(Semaphore& semaphore, std::int64_t n, std::string& log, char name) {
  co_await semaphore.acquire(n);
  log += name;
}
TEST(Semaphore, first_come_first_served_whatever_the_size) {
  FakeLoop fake;
  Semaphore semaphore(fake.loop, 3);
  std::string log;
  fake.loop.start(take(semaphore, 2, log, 'a'));
  fake.loop.start(take(semaphore, 3, log, 'b'));
  fake.loop.start(take(semaphore, 1, log, 'c'));
  fake.settle();
  EXPECT_EQ(log, "a") << "one is free, but c waits behind b";
  EXPECT_FALSE(semaphore.try_acquire(1));
  semaphore.release(2);
  fake.settle();
  EXPECT_EQ(log, "ab");
  semaphore.release(1);
  fake.settle();
  EXPECT_EQ(log, "abc");
  semaphore.release(3);
  EXPECT_EQ(semaphore.free(), 3);
  EXPECT_TRUE(semaphore.try_acquire(3));
}

Task<void> wait_for_stop(Scope& scope, std::string& log) {
  co_await scope.stopping().wait();
  log += 's';
}
Task<void> join_and_note(Scope& scope, std::string& log) {
  co_await scope.join();
  log += 'j';
}
TEST(Scope, join_waits_for_all_and_stop_reaches_them) {
  FakeLoop fake;
  std::string log;
  Scope scope(fake.loop);
  scope.spawn(wait_for_stop(scope, log));
  scope.spawn(wait_for_stop(scope, log));
  EXPECT_EQ(scope.running_count(), 2u);
  fake.loop.start(join_and_note(scope, log));
  fake.settle();
  EXPECT_EQ(log, "");
  EXPECT_FALSE(scope.is_stopping());
  scope.request_stop();
  scope.request_stop();
  fake.settle();
  EXPECT_EQ(log, "ssj");
  EXPECT_EQ(scope.running_count(), 0u);
}

Task<void> spawn_children(Scope& scope, int depth, int& count) {
  ++count;
  if (depth > 0) {
    scope.spawn(spawn_children(scope, depth - 1, count));
    scope.spawn(spawn_children(scope, depth - 1, count));
  }
  co_return;
}
TEST(Scope, children_of_children_are_joined) {
  FakeLoop fake;
  std::string log;
  int count = 0;
  Scope scope(fake.loop);
  scope.spawn(spawn_children(scope, 9, count));
  fake.loop.start(join_and_note(scope, log));
  fake.settle();
  EXPECT_EQ(count, 1023);
  EXPECT_EQ(log, "j");
}

TEST(Scope, join_of_an_empty_scope_returns) {
  FakeLoop fake;
  std::string log;
  Scope scope(fake.loop);
  fake.loop.start(join_and_note(scope, log));
  fake.settle();
  EXPECT_EQ(log, "j");
}

TEST(ForEach, runs_all_in_order_and_only_so_many_at_a_time) {
  FakeLoop fake;
  std::string log;
  std::size_t running = 0;
  Semaphore go(fake.loop, 0);
  const auto one = [&](std::size_t index) -> Task<void> {
    ++running;
    log += static_cast<char>('a' + index);
    co_await go.acquire();
    --running;
  };
  bool ended = false;
  const auto all = [&]() -> Task<void> {
    co_await for_each(fake.loop, 5, 2, one);
    ended = true;
  };
  fake.loop.start(all());
  fake.settle();
  EXPECT_EQ(log, "ab");
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(running, 2u);
    go.release();
    fake.settle();
  }
  EXPECT_EQ(log, "abcde");
  EXPECT_FALSE(ended) << "one is still running";
  go.release();
  fake.settle();
  EXPECT_TRUE(ended);
}

TEST(ForEach, of_nothing_returns) {
  FakeLoop fake;
  bool ended = false;
  const auto all = [&]() -> Task<void> {
    co_await for_each(fake.loop, 0, 4, [](std::size_t) -> Task<void> { co_return; });
    ended = true;
  };
  fake.loop.start(all());
  fake.settle();
  EXPECT_TRUE(ended);
}

TEST(ScopeDeathTest, destroyed_before_its_tasks_end_is_a_bug) {
  EXPECT_DEATH(
      {
        FakeLoop fake;
        std::string log;
        Scope scope(fake.loop);
        scope.spawn(wait_for_stop(scope, log));
      },
      "running_");
}

}  // namespace
}  // namespace drave::io::test
