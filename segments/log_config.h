#pragma once
// What a partition's log needs to know of its topic's configuration. Names, units and meanings are
// Kafka's topic configs; broker/ fills it from the metadata image. Values are validated before.

#include <cstdint>

#include "base/units.h"

namespace drave::segments {

struct LogConfig {
  std::int64_t segment_bytes = kGiB;
  std::int64_t segment_ms = 7LL * 24 * 3600 * 1000;
  std::int64_t segment_jitter_ms = 0;
  std::int64_t segment_index_bytes = 10 * kMiB;
  std::int64_t index_interval_bytes = 4096;
  std::int64_t retention_ms = 7LL * 24 * 3600 * 1000;  // -1: for ever
  std::int64_t retention_bytes = -1;                   // -1: unbounded
  // Of this many records (not requests) the last is acknowledged only when the first is durable: 1,
  // our default, is everything. What is appended is on its way to the disk at once in any case.
  std::int64_t flush_messages = 1;
  std::int64_t max_message_bytes = 1'048'588;
  std::int64_t file_delete_delay_ms = 60'000;
  bool cleanup_delete = true;
  bool cleanup_compact = false;
  bool preallocate = false;

  bool operator==(const LogConfig&) const = default;
};

}  // namespace drave::segments
