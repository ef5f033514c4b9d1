#include "segments/transaction_index.h"

#include "base/assert.h"

namespace drave::segments {

Result<TransactionIndex> TransactionIndex::decode(Offset base_offset, ByteView bytes) {
  if (bytes.size() % kEntrySize != 0) {
    return failure(Errc::corrupt, "transaction index: size is no multiple of 34");
  }
  TransactionIndex index;
  for (std::size_t at = 0; at < bytes.size(); at += kEntrySize) {
    const std::uint8_t* entry = bytes.data() + at;
    if (load_big<std::int16_t>(entry) != 0) {
      return failure(Errc::corrupt, "transaction index: unknown version of an entry");
    }
    AbortedEntry aborted{load_big<std::int64_t>(entry + 2), load_big<std::int64_t>(entry + 10),
                         load_big<std::int64_t>(entry + 18), load_big<std::int64_t>(entry + 26)};
    if (aborted.last_offset < base_offset || aborted.first_offset > aborted.last_offset ||
        (!index.entries_.empty() && aborted.last_offset <= index.entries_.back().last_offset)) {
      return failure(Errc::corrupt, "transaction index: offsets make no sense");
    }
    index.entries_.push_back(aborted);
  }
  return index;
}

std::vector<std::uint8_t> TransactionIndex::encode() const {
  std::vector<std::uint8_t> bytes(entries_.size() * kEntrySize);
  std::uint8_t* at = bytes.data();
  for (const AbortedEntry& entry : entries_) {
    store_big(at, std::int16_t{0});
    store_big(at + 2, entry.producer_id);
    store_big(at + 10, entry.first_offset);
    store_big(at + 18, entry.last_offset);
    store_big(at + 26, entry.last_stable_offset);
    at += kEntrySize;
  }
  return bytes;
}

void TransactionIndex::append(const AbortedEntry& entry) {
  ASSERT(entries_.empty() || entry.last_offset > entries_.back().last_offset);
  entries_.push_back(entry);
}

void TransactionIndex::truncate_to(Offset offset) {
  while (!entries_.empty() && entries_.back().last_offset >= offset) entries_.pop_back();
}

bool TransactionIndex::collect(Offset first, Offset last, std::vector<AbortedEntry>& found) const {
  for (const AbortedEntry& entry : entries_) {
    if (entry.last_offset >= first && entry.first_offset < last) found.push_back(entry);
    if (entry.last_stable_offset >= last) return true;
  }
  return false;
}

}  // namespace drave::segments
