#pragma once
// Which segments a log may delete: a pure decision over what is known of each. Segments go from the
// oldest on, one after another, and only such as end at or below the high watermark. The newest may
// be among them if it is not empty; then the log rolls first.

#include <span>

#include "base/ids.h"
#include "segments/log_config.h"

namespace drave::segments {

struct SegmentFacts {
  Offset base_offset = 0;
  Offset end_offset = 0;  // the next segment's base offset, or the log's end
  std::int64_t size_bytes = 0;
  TimestampMs largest_timestamp = -1;  // -1: no record has one; modified_ms counts
  TimestampMs modified_ms = 0;
};

struct RetentionQuestion {
  TimestampMs now_ms = 0;
  Offset log_start = 0;
  Offset high_watermark = 0;
};

// How many of `segments` (oldest first) to delete now: those below the log start, and where the
// policy includes delete, those that are too old or too much.
std::size_t count_deletable(std::span<const SegmentFacts> segments, const LogConfig& config,
                            const RetentionQuestion& question);

}  // namespace drave::segments
