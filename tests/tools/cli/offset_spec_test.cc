#include "tools/cli/offset_spec.h"

#include <gtest/gtest.h>

namespace drave::cli {
namespace {

using Kind = OffsetPoint::Kind;

OffsetRange range_of(std::string_view text) {
  const auto range = parse_offset_range(text);
  EXPECT_TRUE(range.has_value()) << text;
  return range.value_or(OffsetRange{});
}

TEST(OffsetSpec, takes_every_way_to_write_a_point) {
  const std::pair<const char*, OffsetPoint> cases[] = {
      {"start", {Kind::start, 0}},
      {"end", {Kind::end, 0}},
      {"42", {Kind::absolute, 42}},
      {"+5", {Kind::after_start, 5}},
      {"-5", {Kind::before_end, 5}},
      {"@1500", {Kind::timestamp, 1500}},
      {"@1970-01-02T00:00:00Z", {Kind::timestamp, 86'400'000}},
      {"@1970-01-01T01:00:00.25+01:00", {Kind::timestamp, 250}},
      {"-90s", {Kind::ago, 90'000}},
      {"-15m", {Kind::ago, 900'000}},
      {"-1h", {Kind::ago, 3'600'000}},
      {"-7d", {Kind::ago, 604'800'000}},
      {"-250ms", {Kind::ago, 250}},
  };
  for (const auto& [text, point] : cases) {
    EXPECT_EQ(range_of(text), (OffsetRange{point, std::nullopt})) << text;
  }
}

TEST(OffsetSpec, takes_ranges_also_of_times) {
  EXPECT_EQ(range_of("3:7"), (OffsetRange{{Kind::absolute, 3}, OffsetPoint{Kind::absolute, 7}}));
  EXPECT_EQ(range_of(":7"), (OffsetRange{{Kind::start, 0}, OffsetPoint{Kind::absolute, 7}}));
  EXPECT_EQ(range_of("-5:"), (OffsetRange{{Kind::before_end, 5}, OffsetPoint{Kind::end, 0}}));
  EXPECT_EQ(range_of("@1970-01-01T00:00:01Z:@1970-01-01T00:00:02Z"),
            (OffsetRange{{Kind::timestamp, 1000}, OffsetPoint{Kind::timestamp, 2000}}));
}

TEST(OffsetSpec, refuses_what_is_none) {
  for (const char* text :
       {"", "begin", "1x", "+", "-", "--1", "+-1", "-1w", "@", "@x", "1:2:3",
        "@2026-13-01T00:00:00Z", "@2026-02-30T00:00:00Z", "@2026-01-01T25:00:00Z",
        "@2026-01-01T00:00:00", "99999999999999999999", "-99999999999999999d"}) {
    EXPECT_FALSE(parse_offset_range(text).has_value()) << text;
  }
}

TEST(OffsetSpec, resolves_within_the_partition) {
  const PartitionBounds bounds{.start = 10, .end = 20, .at_time = 15};
  EXPECT_EQ(resolve({Kind::start, 0}, bounds), 10);
  EXPECT_EQ(resolve({Kind::end, 0}, bounds), 20);
  EXPECT_EQ(resolve({Kind::absolute, 12}, bounds), 12);
  EXPECT_EQ(resolve({Kind::absolute, 5}, bounds), 10);
  EXPECT_EQ(resolve({Kind::absolute, 25}, bounds), 20);
  EXPECT_EQ(resolve({Kind::after_start, 3}, bounds), 13);
  EXPECT_EQ(resolve({Kind::after_start, INT64_MAX}, bounds), 20);
  EXPECT_EQ(resolve({Kind::before_end, 3}, bounds), 17);
  EXPECT_EQ(resolve({Kind::before_end, INT64_MAX}, bounds), 10);
  EXPECT_EQ(resolve({Kind::ago, 1}, bounds), 15);
  EXPECT_EQ(resolve({Kind::ago, 1}, {.start = 10, .end = 20, .at_time = -1}), 20);
}

}  // namespace
}  // namespace drave::cli
