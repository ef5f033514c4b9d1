#pragma once
// The newest bytes of a log, in memory: what no segment file holds yet, and behind that, as far as
// the shard's budget allows, what was written recently and is likely to be read.
//
// Bytes stand in chunks of whole batches. A chunk mirrors a range of its segment file, block for
// block (its memory is aligned as the file's positions are, and its first block is filled up with
// the bytes before it), so that it can be written with O_DIRECT without a copy. Chunks are shared
// with readers on any shard; what was handed out is never changed.

#include <sys/uio.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/intrusive_list.h"
#include "io/sync.h"
#include "segments/chunk_pool.h"
#include "segments/partition_log.h"

namespace drave::segments {

class ReadCache;
class Tail;

// A place in a log's files.
struct LogPosition {
  Offset segment = 0;          // base offset
  std::uint64_t position = 0;  // in its .log file
  auto operator<=>(const LogPosition&) const = default;
};

// What the tails of a shard may hold together. Half of it they lend to the shard's read cache while
// they do not need it themselves: a loan costs written chunks, appends take it back. Lives on the
// shard's loop, outlives its tails.
class TailBudget {
 public:
  TailBudget(io::Loop& loop, std::int64_t bytes_max);

  // Makes room by dropping written chunks, least recently used logs first. False: what is unwritten
  // or held by readers fills the budget; the caller waits for room(). More than the budget fits
  // when nothing else is held.
  bool make_room(std::int64_t bytes);
  io::WaitQueue& room() { return room_; }
  // Wakes who waits for room, if there is some. Called when something was written or dropped; the
  // flusher also calls it from time to time, for readers release memory on other shards.
  void announce_room();

  std::int64_t used_bytes() const { return pool_->used_bytes(); }
  std::int64_t bytes_max() const { return bytes_max_; }

  // Whose memory goes back to tails that need it.
  void set_borrower(ReadCache& borrower) { borrower_ = &borrower; }
  // False: unwritten bytes, or the half that is for tails only, leave no room for so much more.
  bool lend(std::int64_t bytes);
  std::int64_t lent_bytes() const { return lent_bytes_; }

  // Of used_bytes: written, and dropped when somebody needs the room.
  std::int64_t evictable_bytes() const { return evictable_bytes_; }
  ChunkPool& pool() { return *pool_; }
  // The size of a tail's next chunk after one of `last` bytes (0: its first).
  std::size_t next_chunk_size(std::size_t last) const;

 private:
  friend class Tail;
  std::shared_ptr<ChunkPool> pool_;
  std::int64_t bytes_max_;
  std::int64_t evictable_bytes_ = 0;
  std::int64_t unwritten_tails_ = 0;  // that have chunks which are not in files yet
  std::int64_t lent_bytes_ = 0;
  ReadCache* borrower_ = nullptr;
  IntrusiveList<Tail> evictable_;  // tails with written chunks, least recently used first
  io::WaitQueue room_;
};

// One piece for the flusher: a run of bytes of one segment.
struct TailPiece {
  LogPosition at;
  std::size_t size = 0;
  bool direct = false;  // position, size and memory are aligned
  std::vector<iovec> vectors;
  std::vector<std::shared_ptr<const void>> owners;
  LogPosition end() const { return {at.segment, at.position + size}; }
};

class Tail : public ListLink<> {
 public:
  explicit Tail(TailBudget& budget) : budget_(&budget) {}
  Tail(const Tail&) = delete;
  ~Tail() { clear(); }

  // Copies one whole batch, which goes to `at`. Bytes of a segment follow each other without gaps.
  void append(LogPosition at, ByteView batch, Offset first_offset, Offset end_offset);

  bool is_empty() const { return chunks_.empty(); }
  // The first offset that it holds; INT64_MAX: none.
  Offset first_offset() const { return is_empty() ? INT64_MAX : chunks_.front().first_offset; }
  // The place of its first byte.
  LogPosition first_position() const;

  // Adds pieces of whole batches from the one that holds `offset` (>= first_offset()) on, as
  // ReadRequest says. Returns the bytes.
  std::size_t read(const ReadRequest& request, std::vector<LogPiece>& pieces);

  // The place of the first batch that ends above `offset`; `found` is its base offset.
  LogPosition position_of(Offset offset, Offset& found) const;

  // The bytes behind `written` up to `limit`, about `bytes_max` at most, of one segment. With
  // `direct_allowed` a large piece comes out as whole blocks. Size 0: there are none, or with
  // `whole_blocks_only` not enough of them.
  TailPiece next_piece(LogPosition written, LogPosition limit, std::size_t bytes_max,
                       bool direct_allowed, bool whole_blocks_only) const;
  // All before `written` is in files: its chunks may be dropped.
  void set_written(LogPosition written);

  // Forgets bytes from `at` on, which begin with `offset`.
  void truncate_to(LogPosition at, Offset offset);
  // Forgets chunks that lie below `offset` and are written.
  void drop_below(Offset offset);
  void clear();

  std::int64_t memory_bytes() const { return memory_bytes_; }

 private:
  friend class TailBudget;
  // Where some batches of a chunk begin, so that finding one reads few headers.
  struct Mark {
    std::uint32_t at;
    Offset offset;
  };
  struct Chunk {
    std::shared_ptr<std::uint8_t> memory;
    std::size_t capacity = 0;
    LogPosition start;        // of memory[0]; a multiple of 4 KiB
    std::uint32_t begin = 0;  // of the first batch in memory
    std::uint32_t end = 0;
    bool head_valid = false;  // [0, begin) mirrors the file
    bool sealed = false;      // nothing is appended any more
    bool written = false;     // all of it is in its file; counted as evictable
    Offset first_offset = 0;
    Offset end_offset = 0;
    std::vector<Mark> marks;
    Mark newest{0, INT64_MAX};  // the last batch; INT64_MAX: not known

    LogPosition begin_position() const { return {start.segment, start.position + begin}; }
    LogPosition end_position() const { return {start.segment, start.position + end}; }
  };

  Chunk& chunk_for(LogPosition at, std::size_t size, Offset first_offset);
  std::size_t index_of(Offset offset) const;
  static std::uint32_t seek(const Chunk& chunk, Offset offset);
  static std::uint32_t seek_end(const Chunk& chunk, std::uint32_t from, Offset end_limit,
                                std::size_t bytes_max);
  void set_chunk_written(Chunk& chunk, bool written);
  void drop_front();
  void touch();
  void count_unwritten();

  TailBudget* budget_;
  std::deque<Chunk> chunks_;       // by position, thus by offset
  std::size_t written_count_ = 0;  // of the front chunks
  std::int64_t memory_bytes_ = 0;
  std::size_t last_chunk_size_ = 0;
  bool has_unwritten_ = false;  // as the budget has counted it
};

}  // namespace drave::segments
