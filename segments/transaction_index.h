#pragma once
// The aborted transactions that end in one segment (`.txnindex`): 34-byte entries, version int16
// (0), producer id, first offset, last offset (of the abort marker) and the last stable offset
// after it, each int64. In memory; nothing here does I/O.

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"

namespace drave::segments {

struct AbortedEntry {
  ProducerId producer_id = -1;
  Offset first_offset = -1;
  Offset last_offset = -1;
  Offset last_stable_offset = -1;
  bool operator==(const AbortedEntry&) const = default;
};

class TransactionIndex {
 public:
  static constexpr std::size_t kEntrySize = 34;

  // Errc::corrupt: the size is no multiple of the entry's, a version that we do not know, entries
  // that end below `base_offset` or do not grow.
  static Result<TransactionIndex> decode(Offset base_offset, ByteView bytes);
  std::vector<std::uint8_t> encode() const;

  void append(const AbortedEntry& entry);
  // Drops entries whose last offset is at or above `offset`.
  void truncate_to(Offset offset);
  // Adds those that overlap [first, last) to `found`. True: no later segment can hold any more.
  bool collect(Offset first, Offset last, std::vector<AbortedEntry>& found) const;

  const std::vector<AbortedEntry>& entries() const { return entries_; }

 private:
  std::vector<AbortedEntry> entries_;
};

}  // namespace drave::segments
