#pragma once
// What was read from segments lately, past the page cache: readers that follow each other, and a
// reader of small pieces, are served from one read. Lives on its shard's loop.

#include <cstdint>
#include <list>
#include <memory>

#include "base/bytes.h"

namespace drave::segments {

class Segment;

// Bytes of a segment's file and who owns them.
struct ReadWindow {
  std::shared_ptr<const void> owner;
  ByteView bytes;
};

class ReadCache {
 public:
  explicit ReadCache(std::size_t bytes_max) : bytes_max_(bytes_max) {}

  // [position, position + memory's `bytes`) of `segment`'s file. `generation` is the log's, which
  // changes whenever bytes of its files are taken back: entries of former ones are not found.
  void add(const std::shared_ptr<Segment>& segment, std::uint64_t generation,
           std::uint64_t position, ReadWindow window);
  // The bytes from `position` on; empty: none are known.
  ReadWindow find(const std::shared_ptr<Segment>& segment, std::uint64_t generation,
                  std::uint64_t position);

  std::size_t used_bytes() const { return used_bytes_; }

 private:
  struct Entry {
    std::weak_ptr<Segment> segment;  // compared by owner: an address may come again
    std::uint64_t generation;
    std::uint64_t position;
    ReadWindow window;
  };

  std::list<Entry> entries_;  // most recently used first
  std::size_t bytes_max_;
  std::size_t used_bytes_ = 0;
};

}  // namespace drave::segments
