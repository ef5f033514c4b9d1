#include "segments/journal_group.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/crc32c.h"
#include "base/stream_copy.h"

namespace drave::segments {

void JournalGroup::reset(JournalSequence first_sequence, std::size_t first_piece) {
  ASSERT(pieces_.empty());
  first_sequence_ = first_sequence;
  first_piece_ = first_piece;
  used_in_last_ = 0;
  capacity_ = 0;
  body_length_ = 0;
  payload_bytes_ = 0;
  entry_count_ = 0;
  has_control_ = false;
  entries_crc_ = 0;
  noted_.clear();
  vectors_.clear();
}

void JournalGroup::take_piece(io::BufferPool& pool, std::size_t wanted) {
  // Doubling, so that a large group has few pieces; never more than the pool keeps.
  std::size_t size =
      std::max<std::size_t>({wanted, first_piece_, static_cast<std::size_t>(capacity_)});
  size = std::clamp(std::bit_ceil(size), io::BufferPool::kSizeMin, io::BufferPool::kSizeMax);
  pieces_.push_back(pool.take(size));
  capacity_ += pieces_.back().capacity();
  used_in_last_ = 0;
}

void JournalGroup::copy_in(io::BufferPool& pool, ByteView bytes) {
  while (!bytes.empty()) {
    if (pieces_.empty() || used_in_last_ == pieces_.back().capacity())
      take_piece(pool, bytes.size());
    io::PooledBuffer& piece = pieces_.back();
    const std::size_t n = std::min(bytes.size(), piece.capacity() - used_in_last_);
    stream_copy(piece.data() + used_in_last_, bytes.first(n));
    used_in_last_ += n;
    bytes = bytes.subspan(n);
  }
}

void JournalGroup::add(io::BufferPool& pool, const JournalEntry& entry) {
  if (pieces_.empty()) {
    take_piece(pool, kGroupHeaderSize + kEntryHeaderSize + entry.payload.size());
    used_in_last_ = kGroupHeaderSize;
  }
  std::uint8_t header[kEntryHeaderSize];
  const std::uint32_t crc = encode_entry_header(entry, header);
  copy_in(pool, header);
  copy_in(pool, entry.payload);
  std::uint8_t crc_bytes[4];
  store_big(crc_bytes, crc);
  entries_crc_ = crc32c(crc_bytes, entries_crc_);
  body_length_ += kEntryHeaderSize + entry.payload.size();
  payload_bytes_ += entry.payload.size();
  ++entry_count_;
  has_control_ = has_control_ || entry.type != JournalEntryType::append;
}

std::uint32_t JournalGroup::seal(GroupHeader header) {
  ASSERT(!is_empty());
  header.first_sequence = first_sequence_;
  header.entry_count = entry_count_;
  header.body_length = static_cast<std::uint32_t>(body_length_);
  header.entries_crc = entries_crc_;
  const std::uint32_t crc = encode_group_header(header, pieces_.front().data());
  const std::size_t padded = (used_in_last_ + kJournalBlock - 1) / kJournalBlock * kJournalBlock;
  std::memset(pieces_.back().data() + used_in_last_, 0, padded - used_in_last_);
  for (const io::PooledBuffer& piece : pieces_)
    vectors_.push_back({piece.data(), piece.capacity()});
  vectors_.back().iov_len = padded;
  return crc;
}

void JournalGroup::give_back() {
  pieces_.clear();
  vectors_.clear();
}

}  // namespace drave::segments
