// segment.jitter.ms: segments that began together do not end together.

#include <set>

#include "gtest/gtest.h"
#include "segments/segment.h"
#include "tests/segments/log_support.h"

namespace drave::segments::testing {
namespace {

TEST(SegmentJitter, is_a_segments_own_part_of_what_is_allowed) {
  LogConfig config;
  config.segment_ms = 100'000;
  EXPECT_EQ(Segment("t-0", 0, 0).jitter_ms(config), 0);
  config.segment_jitter_ms = 10'000;
  std::set<std::int64_t> drawn;
  for (int partition = 0; partition < 100; ++partition) {
    const std::string directory = "t-" + std::to_string(partition);
    const std::int64_t jitter = Segment(directory, 0, 0).jitter_ms(config);
    EXPECT_TRUE(jitter >= 0 && jitter < config.segment_jitter_ms) << jitter;
    EXPECT_EQ(Segment(directory, 0, 5).jitter_ms(config), jitter);  // after a restart
    drawn.insert(jitter);
    drawn.insert(Segment(directory, 1000, 0).jitter_ms(config));
  }
  EXPECT_GT(drawn.size(), 150u);
  EXPECT_LT(*drawn.begin(), 1000);
  EXPECT_GT(*drawn.rbegin(), 9000);
  config.segment_jitter_ms = INT64_MAX;  // at most segment.ms counts
  EXPECT_LT(Segment("t-0", 0, 0).jitter_ms(config), config.segment_ms);
}

TEST(SegmentJitter, a_segment_rolls_earlier_by_it) {
  LogConfig config;
  config.segment_ms = 100'000;
  config.segment_jitter_ms = 50'000;
  Segment segment("t-0", 0, 0);
  const std::int64_t jitter = segment.jitter_ms(config);
  const auto first = make_batch({.timestamp = 1'000'000});
  segment.size = first.size();
  segment.first_batch_timestamp = 1'000'000;
  const TimestampMs due = 1'000'000 + config.segment_ms - jitter;
  const auto before = make_batch({.timestamp = due});
  const auto after = make_batch({.timestamp = due + 1});
  EXPECT_FALSE(segment.must_roll(*protocol::parse_batch(before), 1, config, due));
  EXPECT_TRUE(segment.must_roll(*protocol::parse_batch(after), 1, config, due));
}

}  // namespace
}  // namespace drave::segments::testing
