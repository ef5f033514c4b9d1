#pragma once
// The sparse index from timestamps to offsets in one segment (`.timeindex`): 12-byte entries,
// timestamp int64 and relative offset int32. An entry (t, o) says that no batch up to the one that
// ends at o has a timestamp above t. Both grow. A complete segment's last entry holds its largest
// timestamp. In memory; nothing here does I/O.

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"

namespace drave::segments {

struct TimestampEntry {
  TimestampMs timestamp = -1;
  Offset offset = -1;
  bool operator==(const TimestampEntry&) const = default;
};

class TimeIndex {
 public:
  static constexpr std::size_t kEntrySize = 12;

  explicit TimeIndex(Offset base_offset = 0) : base_offset_(base_offset) {}

  // Reads the bytes of a file. Errc::corrupt where entries do not grow. Zeros behind the last entry
  // are no entries.
  static Result<TimeIndex> decode(Offset base_offset, ByteView bytes);
  std::vector<std::uint8_t> encode() const;

  // Adds the entry if its timestamp is above the last one's.
  void maybe_append(TimestampMs timestamp, Offset offset);
  // The entry with the largest timestamp <= `timestamp`; {-1, base} if there is none.
  TimestampEntry lookup(TimestampMs timestamp) const;
  // Drops entries at or above `offset`.
  void truncate_to(Offset offset);

  // {-1, base} if there is none.
  TimestampEntry last() const;
  std::vector<TimestampEntry> entries() const;
  std::size_t count() const { return entries_.size(); }
  // As in Kafka, the last place is kept for the entry that completes the segment.
  bool is_full(std::int64_t bytes_max) const {
    return static_cast<std::int64_t>(entries_.size()) >= bytes_max / std::int64_t{kEntrySize} - 1;
  }
  std::int64_t memory_bytes() const {
    return static_cast<std::int64_t>(entries_.capacity() * sizeof(Entry));
  }

 private:
  struct Entry {
    TimestampMs timestamp;
    std::uint32_t relative_offset;
  };

  Offset base_offset_;
  std::vector<Entry> entries_;
};

}  // namespace drave::segments
