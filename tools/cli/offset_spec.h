#pragma once
// Where to read, as users write it. Pure.
//
//   start   end   N   +N (records after the start)   -N (before the end)
//   @MS  @2026-11-22T18:00:00Z (the first record not older)   -90s -15m -1h -7d (so long ago)
//   A:B     from A up to and without B; either may be left out (:B is start:B, A: is A:end)

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/ids.h"
#include "base/result.h"

namespace drave::cli {

struct OffsetPoint {
  enum class Kind : std::uint8_t { start, end, absolute, after_start, before_end, timestamp, ago };
  Kind kind = Kind::start;
  std::int64_t value = 0;  // an offset, a number of records, or milliseconds

  bool needs_time() const { return kind == Kind::timestamp || kind == Kind::ago; }
  bool operator==(const OffsetPoint&) const = default;
};

struct OffsetRange {
  OffsetPoint first;
  std::optional<OffsetPoint> last;  // not included; nullopt: no end
  bool operator==(const OffsetRange&) const = default;
};

// Errc::invalid says what would make sense.
Result<OffsetRange> parse_offset_range(std::string_view text);

// What one partition knows.
struct PartitionBounds {
  Offset start = 0;
  Offset end = 0;
  Offset at_time = -1;  // of the point's time; -1: nothing is as young
};
// The offset that the point means there, within [start, end].
Offset resolve(const OffsetPoint& point, const PartitionBounds& bounds);

// "250ms", "90s", "15m", "1h", "7d"; a number alone is milliseconds. nullopt: none of these.
std::optional<std::int64_t> parse_span_ms(std::string_view text);
// "2026-11-22T18:00:00Z", with fractions or an offset like +01:00 if wanted.
std::optional<TimestampMs> parse_rfc3339(std::string_view text);

}  // namespace drave::cli
