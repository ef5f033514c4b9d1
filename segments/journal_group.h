#pragma once
// A group that is being collected or written: the bytes in aligned pieces of memory, ready for one
// gathered O_DIRECT write, and who wants to hear of it. Grows by pieces, so nothing is copied
// twice.

#include <sys/uio.h>

#include <vector>

#include "io/buffer_pool.h"
#include "segments/journal.h"
#include "segments/journal_format.h"

namespace drave::segments {

class JournalGroup {
 public:
  struct Noted {
    JournalClient* client = nullptr;  // null: it has been forgotten
    JournalSequence sequence = 0;     // its last one in this group
  };

  bool is_empty() const { return entry_count_ == 0; }
  // Bytes as written, with header and padding.
  std::uint64_t length() const { return GroupHeader::group_length(body_length_); }
  std::size_t payload_bytes() const { return payload_bytes_; }
  std::uint32_t entry_count() const { return entry_count_; }
  // Holds an entry that is no `append`.
  bool has_control() const { return has_control_; }
  JournalSequence first_sequence() const { return first_sequence_; }
  JournalSequence last_sequence() const { return first_sequence_ + entry_count_ - 1; }
  // Length with one more entry of that payload.
  std::uint64_t length_with(std::size_t payload) const {
    return GroupHeader::group_length(body_length_ + kEntryHeaderSize + payload);
  }

  // Empties it for its next use; `first_piece` bytes are taken when the first entry comes.
  void reset(JournalSequence first_sequence, std::size_t first_piece);
  void add(io::BufferPool& pool, const JournalEntry& entry);
  // Completes the header (count, length and checksum of the entries are filled in) and the padding.
  // Returns the header_crc.
  std::uint32_t seal(GroupHeader header);
  // After seal(): what to write. Valid until give_back().
  std::vector<iovec>& vectors() { return vectors_; }
  // The memory goes back to its pool.
  void give_back();

  std::vector<Noted>& noted() { return noted_; }

 private:
  void take_piece(io::BufferPool& pool, std::size_t wanted);
  void copy_in(io::BufferPool& pool, ByteView bytes);

  std::vector<io::PooledBuffer> pieces_;
  std::size_t used_in_last_ = 0;
  std::size_t first_piece_ = 0;
  std::uint64_t capacity_ = 0;
  std::uint64_t body_length_ = 0;
  std::size_t payload_bytes_ = 0;
  std::uint32_t entry_count_ = 0;
  bool has_control_ = false;
  std::uint32_t entries_crc_ = 0;
  JournalSequence first_sequence_ = 0;
  std::vector<Noted> noted_;
  std::vector<iovec> vectors_;
};

}  // namespace drave::segments
