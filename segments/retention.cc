#include "segments/retention.h"

#include <algorithm>

namespace drave::segments {
namespace {

template <class Predicate>
std::size_t count_while(std::span<const SegmentFacts> segments, Offset high_watermark,
                        Predicate predicate) {
  std::size_t count = 0;
  for (const SegmentFacts& segment : segments) {
    const bool is_empty_newest = &segment == &segments.back() && segment.size_bytes == 0;
    if (segment.end_offset > high_watermark || is_empty_newest || !predicate(segment)) break;
    ++count;
  }
  return count;
}

bool is_expired(const SegmentFacts& segment, std::int64_t retention_ms, TimestampMs now_ms) {
  const TimestampMs newest =
      segment.largest_timestamp >= 0 ? segment.largest_timestamp : segment.modified_ms;
  return now_ms - newest > retention_ms;
}

}  // namespace

std::size_t count_deletable(std::span<const SegmentFacts> segments, const LogConfig& config,
                            const RetentionQuestion& question) {
  // The newest segment is never deleted for being below the log start: the log goes on in it.
  std::size_t below = 0;
  while (below + 1 < segments.size() && segments[below].end_offset <= question.log_start) ++below;
  std::size_t count = below;
  if (!config.cleanup_delete) return count;

  if (config.retention_ms >= 0) {
    count =
        std::max(count, count_while(segments, question.high_watermark, [&](const auto& segment) {
                   return is_expired(segment, config.retention_ms, question.now_ms);
                 }));
  }
  if (config.retention_bytes >= 0) {
    std::int64_t excess = -config.retention_bytes;
    for (const SegmentFacts& segment : segments) excess += segment.size_bytes;
    count =
        std::max(count, count_while(segments, question.high_watermark, [&](const auto& segment) {
                   excess -= segment.size_bytes;
                   return excess >= 0;
                 }));
  }
  return count;
}

}  // namespace drave::segments
