#pragma once
// The sparse index from offsets to positions in one segment (`.index`): 8-byte entries, relative
// offset int32 and position int32, one for every index.interval.bytes of data. An entry names the
// last offset of the batch at its position. In memory; nothing here does I/O.

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"

namespace drave::segments {

struct OffsetPosition {
  Offset offset = 0;
  std::uint32_t position = 0;
  bool operator==(const OffsetPosition&) const = default;
};

class OffsetIndex {
 public:
  static constexpr std::size_t kEntrySize = 8;

  explicit OffsetIndex(Offset base_offset = 0) : base_offset_(base_offset) {}

  // Reads the bytes of a file. Errc::corrupt where offsets or positions do not grow, or the size is
  // no multiple of the entry's; `segment_size` bounds the positions. Zeros behind the last entry
  // (Kafka preallocates) are no entries.
  static Result<OffsetIndex> decode(Offset base_offset, ByteView bytes, std::uint64_t segment_size);
  std::vector<std::uint8_t> encode() const;

  // `offset` is above that of the last entry, and at most base + 2^31-1.
  void append(Offset offset, std::uint32_t position);
  // The entry with the largest offset <= `offset`; {base, 0} if there is none.
  OffsetPosition lookup(Offset offset) const;
  // The entry with the largest position <= `position`; {base, 0} if there is none.
  OffsetPosition lookup_position(std::uint32_t position) const;
  // Drops entries at or above `offset`, and those at or above `position`.
  void truncate_to(Offset offset, std::uint32_t position);

  OffsetPosition last() const;
  std::vector<OffsetPosition> entries() const;
  std::size_t count() const { return entries_.size(); }
  bool is_full(std::int64_t bytes_max) const {
    return static_cast<std::int64_t>(entries_.size()) >= bytes_max / std::int64_t{kEntrySize};
  }
  std::int64_t memory_bytes() const {
    return static_cast<std::int64_t>(entries_.capacity() * sizeof(Entry));
  }

 private:
  struct Entry {
    std::uint32_t relative_offset;
    std::uint32_t position;
  };
  OffsetPosition at(std::size_t i) const {
    return {base_offset_ + entries_[i].relative_offset, entries_[i].position};
  }

  Offset base_offset_;
  std::vector<Entry> entries_;
};

}  // namespace drave::segments
