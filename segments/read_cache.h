#pragma once
// Pieces of segment files in memory, of a shard: what readers behind the tails were given lately,
// what is being read for them now, and what is read ahead of those who go on. Readers that follow
// each other, and a reader of little at a time, are served from one read of the disk; who wants
// what is already coming waits for it.
//
// All pieces together have at most `bytes_max` bytes, those that nobody has asked for yet half of
// it; the least recently used ones go first. (An answer keeps the memory of its piece until it is
// sent; answers have a bound of their own.) A piece belongs to one generation of its log, which
// changes whenever bytes of the log's files are taken back: pieces of former ones are not found,
// whenever they arrive.
//
// Lives on its shard's loop.

#include <cstdint>
#include <memory>
#include <vector>

#include "base/bytes.h"
#include "io/sync.h"

namespace drave::segments {

class Segment;

struct FilePiece {
  std::weak_ptr<Segment> segment;  // compared by owner: an address may come again
  std::uint64_t generation = 0;
  std::uint64_t position = 0;  // in the segment's file
  std::size_t size = 0;
  std::shared_ptr<std::uint8_t> memory;  // null: it is being read
  bool is_ahead = false;                 // nobody has asked for it yet
  bool is_dropped = false;               // in no cache (any more)
  // Positions between which all batches that begin were found whole. Empty: none were looked at.
  std::uint64_t checked_begin = 0;
  std::uint64_t checked_end = 0;

  bool is_ready() const { return memory != nullptr; }
  std::uint64_t end() const { return position + size; }
  ByteView bytes() const { return {memory.get(), size}; }
  // Batches that fill [begin, end) are whole.
  void note_checked(std::uint64_t begin, std::uint64_t end);
};

class ReadCache {
 public:
  using PiecePtr = std::shared_ptr<FilePiece>;  // shared by the cache and those who wait for it

  struct Counters {
    std::uint64_t ahead = 0;         // pieces that were read ahead
    std::uint64_t ahead_unused = 0;  // of them: gone before anybody asked
  };

  ReadCache(io::Loop& loop, std::size_t bytes_max) : bytes_max_(bytes_max), news_(loop) {}

  // A piece that the caller is going to read, so that others can wait for it. Where there is no
  // room the piece is in no cache; one that is to be read ahead is null then.
  PiecePtr begin(const std::shared_ptr<Segment>& segment, std::uint64_t generation,
                 std::uint64_t position, std::size_t size);
  PiecePtr begin_ahead(const std::shared_ptr<Segment>& segment, std::uint64_t generation,
                       std::uint64_t position, std::size_t size);
  // It was read: the first `size` bytes of `memory`.
  void filled(FilePiece& piece, std::shared_ptr<std::uint8_t> memory, std::size_t size);
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

  std::size_t used_bytes() const { return used_bytes_; }
  std::size_t ahead_bytes() const { return ahead_bytes_; }
  const Counters& counters() const { return counters_; }

 private:
  PiecePtr add(const std::shared_ptr<Segment>& segment, std::uint64_t generation,
               std::uint64_t position, std::size_t size, bool is_ahead);
  bool make_room(std::size_t size, bool is_ahead);
  void forget(FilePiece& piece);

  std::vector<PiecePtr> pieces_;  // most recently used last
  std::size_t bytes_max_;
  std::size_t used_bytes_ = 0;
  std::size_t ahead_bytes_ = 0;
  Counters counters_;
  io::WaitQueue news_;
};

}  // namespace drave::segments
