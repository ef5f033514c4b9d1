#pragma once
// Pieces of segment files in memory, of a shard: what readers behind the tails were given lately,
// what is being read for them now, and what is read ahead of those who go on. Readers that follow
// each other, and a reader of little at a time, are served from one read of the disk; who wants
// what is already coming waits for it.
//
// The pool of its memory has at most `bytes_max` bytes and what the tails lend (segments/tail.h),
// whoever holds them: the cache, a read under way, or answers that are not sent yet. Least recently
// used pieces that nobody holds go first; of pieces that nobody has asked for yet there is at most
// half. Where everything is held, what is read is in no cache, few read at a time
// (kReadsBeyondMax), and is_crowded() tells those who need little to take little. A piece belongs
// to one generation of its log, which changes whenever bytes of the log's files are taken back:
// pieces of former ones are not found, whenever they arrive.
//
// Lives on its shard's loop; answers release their memory on any.

#include <cstdint>
#include <memory>
#include <vector>

#include "base/bytes.h"
#include "base/units.h"
#include "io/sync.h"
#include "segments/chunk_pool.h"

namespace drave::segments {

class Segment;
class TailBudget;

struct FilePiece {
  std::weak_ptr<Segment> segment;  // compared by owner: an address may come again
  std::uint64_t generation = 0;
  std::uint64_t position = 0;  // in the segment's file
  std::size_t size = 0;
  std::shared_ptr<std::uint8_t> memory;
  bool is_ready = false;    // else it is being read
  bool is_ahead = false;    // nobody has asked for it yet
  bool is_dropped = false;  // in no cache (any more)
  bool is_beyond = false;   // is being read although there was no room
  // Positions between which all batches that begin were found whole. Empty: none were looked at.
  std::uint64_t checked_begin = 0;
  std::uint64_t checked_end = 0;
  // Of the first batch that it does not have whole; 0: nobody has looked.
  std::uint64_t next_begin = 0;

  std::uint64_t end() const { return position + size; }
  ByteView bytes() const { return {memory.get(), size}; }
  // Where it is to be read to.
  MutableByteView room() { return {memory.get(), size}; }
  // Batches that fill [begin, end) are whole.
  void note_checked(std::uint64_t begin, std::uint64_t end);
};

// How fast the disk reads, as one shard sees it: bytes by the time in which reads were under way.
class ReadRate {
 public:
  void begin(Instant now);
  void end(Instant now, std::size_t bytes);
  // It is known to read less than kSlowReadsPerSecond.
  bool is_slow() const { return is_slow_; }

 private:
  int under_way_ = 0;
  Instant busy_since_;
  Duration busy_;
  std::uint64_t bytes_ = 0;
  bool is_slow_ = false;
};

class ReadCache {
 public:
  using PiecePtr = std::shared_ptr<FilePiece>;  // shared by the cache and those who wait for it

  struct Counters {
    std::uint64_t hits = 0;              // answers from a piece that was there, or on its way
    std::uint64_t disk_reads = 0;        // that may have waited for the disk, read-ahead included
    std::uint64_t page_cache_reads = 0;  // that the page cache could serve at once
    std::uint64_t ahead = 0;             // pieces that were read ahead
    std::uint64_t ahead_unused = 0;      // of them: gone before anybody asked
    std::uint64_t copies = 0;            // small answers that got memory of their own
  };

  ReadCache(io::Loop& loop, std::shared_ptr<ChunkPool> pool, std::size_t bytes_max)
      : pool_(std::move(pool)), bytes_max_(bytes_max), news_(loop) {}

  // A piece that the caller is going to read, so that others can wait for it. Where there is no
  // room the piece is in no cache; one that is to be read ahead is null then.
  PiecePtr begin(const std::shared_ptr<Segment>& segment, std::uint64_t generation,
                 std::uint64_t position, std::size_t size);
  PiecePtr begin_ahead(const std::shared_ptr<Segment>& segment, std::uint64_t generation,
                       std::uint64_t position, std::size_t size);
  // It was read: the first `size` bytes of its room.
  void filled(FilePiece& piece, std::size_t size);
  // Reading it failed, or what was read is not to be believed.
  void drop(FilePiece& piece);

  // The piece that has `position` and most of what follows; null: none. `ready`: not one that is
  // being read.
  PiecePtr find(const std::shared_ptr<Segment>& segment, std::uint64_t generation,
                std::uint64_t position, bool ready) const;
  // Somebody asked for it.
  void use(FilePiece& piece);
  // Wakes when a piece was filled or dropped.
  io::WaitQueue& news() { return news_; }

  // Who lends memory beyond bytes_max; outlives its last use here. None at first.
  void set_lender(TailBudget& lender);
  // The lender wants some back: pieces go until what it has lent still is enough, as far as nobody
  // holds them.
  void shrink();

  // More is held than there is room for.
  bool is_crowded() const { return held_bytes() > limit(); }
  std::size_t held_bytes() const { return static_cast<std::size_t>(pool_->used_bytes()); }
  std::size_t used_bytes() const { return used_bytes_; }
  std::size_t ahead_bytes() const { return ahead_bytes_; }
  // Reads under way for which there was no room.
  std::size_t beyond_count() const { return beyond_count_; }
  Counters& counters() { return counters_; }
  const Counters& counters() const { return counters_; }

 private:
  PiecePtr add(const std::shared_ptr<Segment>& segment, std::uint64_t generation,
               std::uint64_t position, std::size_t size, bool is_ahead);
  bool make_room(std::size_t size, bool is_ahead);
  FilePiece* oldest_free() const;
  std::size_t limit() const;
  void forget(FilePiece& piece);

  std::vector<PiecePtr> pieces_;  // most recently used last
  std::shared_ptr<ChunkPool> pool_;
  TailBudget* lender_ = nullptr;
  std::size_t bytes_max_;
  std::size_t used_bytes_ = 0;
  std::size_t ahead_bytes_ = 0;
  std::size_t beyond_count_ = 0;
  Counters counters_;
  io::WaitQueue news_;
};

}  // namespace drave::segments
