#include "raftlog/fetch_size.h"

#include "gtest/gtest.h"

namespace drave::raft {
namespace {

constexpr Duration kTimeout = milliseconds(150);

// How long an answer takes over a link; the header, and what its packets add, is in the rate.
Duration over(std::size_t bytes, std::int64_t bytes_per_ms) {
  return Duration{static_cast<std::int64_t>(bytes) * 1'000'000 / bytes_per_ms};
}

void ask(FetchSize& size, std::int64_t bytes_per_ms) {
  const Duration took = over(size.bytes(), bytes_per_ms);
  took < kTimeout ? size.answered(took, kTimeout) : size.timed_out();
}

TEST(FetchSize, a_fast_link_is_always_asked_for_all) {
  FetchSize size(1 << 20);
  for (int i = 0; i < 20; ++i) {
    ask(size, 125'000);  // a Gbit/s
    EXPECT_EQ(size.bytes(), 1u << 20);
  }
}

TEST(FetchSize, a_slow_link_comes_to_a_size_whose_answers_arrive) {
  for (const std::int64_t bytes_per_ms : {125, 250, 1'000, 4'000, 12'000}) {
    FetchSize size(1 << 20);
    for (int i = 0; i < 10; ++i) ask(size, bytes_per_ms);
    int arrived = 0;
    for (int i = 0; i < 100; ++i) {
      arrived += over(size.bytes(), bytes_per_ms) < kTimeout ? 1 : 0;
      ask(size, bytes_per_ms);
    }
    EXPECT_EQ(arrived, 100) << bytes_per_ms;
  }
}

TEST(FetchSize, what_was_crowded_is_asked_for_all_again) {
  FetchSize size(1 << 20);
  for (int i = 0; i < 20; ++i) size.timed_out();
  EXPECT_EQ(size.bytes(), kFetchBytesMin);
  for (int i = 0; i < 6; ++i) ask(size, 125'000);
  EXPECT_EQ(size.bytes(), 1u << 20);
}

TEST(FetchSize, a_bound_below_the_least_holds) {
  FetchSize size(1000);
  size.timed_out();
  EXPECT_EQ(size.bytes(), 1000u);
  ask(size, 125'000);
  EXPECT_EQ(size.bytes(), 1000u);
}

}  // namespace
}  // namespace drave::raft
