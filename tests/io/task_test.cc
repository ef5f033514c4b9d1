#include "io/task.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "io/loop.h"
#include "tests/io/fake_backend.h"

namespace drave::io::test {
namespace {

Task<int> answer() {
  co_return 42;
}
Task<std::unique_ptr<int>> movable() {
  co_return std::make_unique<int>(7);
}
Task<void> note(bool& ran) {
  ran = true;
  co_return;
}
Task<void> keep(std::shared_ptr<int> /*held*/) {
  co_return;
}

Task<void> await_values(int& sum) {
  sum += co_await answer();
  sum += *co_await movable();
}
TEST(Task, values_come_back_also_those_that_only_move) {
  FakeLoop fake;
  int sum = 0;
  fake.loop.start(await_values(sum));
  EXPECT_EQ(sum, 0) << "started from the ready queue, not at once";
  fake.settle();
  EXPECT_EQ(sum, 49);
}

TEST(Task, runs_only_when_awaited) {
  bool ran = false;
  {
    Task<void> task = note(ran);
    EXPECT_TRUE(task.is_valid());
  }
  EXPECT_FALSE(ran);
}

TEST(Task, dropped_task_frees_its_frame_and_parameters) {
  const std::int64_t live = FramePool::live_count();
  auto held = std::make_shared<int>(1);
  {
    Task<void> task = keep(held);
    EXPECT_EQ(held.use_count(), 2);
    EXPECT_EQ(FramePool::live_count(), live + 1);
    Task<void> moved = std::move(task);
    EXPECT_FALSE(task.is_valid());
    moved = keep(held);
    EXPECT_EQ(FramePool::live_count(), live + 1);
  }
  EXPECT_EQ(held.use_count(), 1);
  EXPECT_EQ(FramePool::live_count(), live);
}

// The constructs that g++ 12 gets wrong; clang must not.
struct Aggregate {
  std::string text;
  int number = 0;
};
Task<std::size_t> take_aggregate(Aggregate given) {
  co_return given.text.size() + static_cast<std::size_t>(given.number);
}
Task<void> await_aggregates(std::size_t& sum) {
  sum += co_await take_aggregate(Aggregate{.text = std::string(100, 'x'), .number = 3});
  sum += co_await take_aggregate({std::string(50, 'y'), co_await answer()});
}
TEST(Task, aggregate_arguments_are_destroyed_once) {
  FakeLoop fake;
  std::size_t sum = 0;
  fake.loop.start(await_aggregates(sum));
  fake.settle();
  EXPECT_EQ(sum, 195u);
}

Task<int> deep(int levels) {
  if (levels == 0) co_return 0;
  co_return 1 + co_await deep(levels - 1);
}
Task<void> await_much(int& sum) {
  for (int i = 0; i < 1'000'000; ++i) sum += co_await answer() - 41;
  sum += co_await deep(20'000);
}
TEST(Task, long_loops_and_deep_chains_use_no_stack) {
  FakeLoop fake;
  int sum = 0;
  fake.loop.start(await_much(sum));
  fake.settle();
  EXPECT_EQ(sum, 1'020'000);
}

Task<void> call_often(int times) {
  for (int i = 0; i < times; ++i) co_await answer();
}
TEST(FramePool, calls_allocate_nothing_after_the_first) {
  FakeLoop fake;
  fake.loop.start(call_often(1));
  fake.settle();
  const std::uint64_t heap = FramePool::heap_count();
  fake.loop.start(call_often(1000));
  fake.settle();
  EXPECT_EQ(FramePool::heap_count(), heap);
  EXPECT_EQ(FramePool::live_count(), 0);
}

TEST(FramePool, sizes_do_not_mix_and_large_ones_come_from_the_heap) {
  const std::uint64_t heap = FramePool::heap_count();
  void* small = FramePool::allocate(1);
  void* other = FramePool::allocate(65);
  FramePool::release(small, 1);
  EXPECT_EQ(FramePool::allocate(64), small) << "the same class is reused, last freed first";
  FramePool::release(other, 65);
  EXPECT_EQ(FramePool::allocate(128), other);
  FramePool::release(small, 64);
  FramePool::release(other, 128);
  const std::uint64_t before_large = FramePool::heap_count();
  EXPECT_LE(before_large, heap + 2);
  for (int i = 0; i < 3; ++i) FramePool::release(FramePool::allocate(5000), 5000);
  EXPECT_EQ(FramePool::heap_count(), before_large + 3);
}

}  // namespace
}  // namespace drave::io::test
