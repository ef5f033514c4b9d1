#include "segments/read_cache.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace drave::segments {

void FilePiece::note_checked(std::uint64_t begin, std::uint64_t end) {
  if (begin <= checked_end && end >= checked_begin && checked_begin < checked_end) {
    checked_begin = std::min(checked_begin, begin);
    checked_end = std::max(checked_end, end);
  } else if (end - begin > checked_end - checked_begin) {
    checked_begin = begin;
    checked_end = end;
  }
}

// In neither case does what is being read make room: somebody waits for it.
bool ReadCache::make_room(std::size_t size, bool is_ahead) {
  if (size > bytes_max_ || (is_ahead && ahead_bytes_ + size > bytes_max_ / 2)) return false;
  while (used_bytes_ + size > bytes_max_) {
    const auto oldest = std::find_if(pieces_.begin(), pieces_.end(),
                                     [](const PiecePtr& piece) { return piece->is_ready(); });
    // What was read ahead for one reader is not given up to read ahead for another.
    if (oldest == pieces_.end() || (is_ahead && (*oldest)->is_ahead)) return false;
    forget(**oldest);
  }
  return true;
}

void ReadCache::forget(FilePiece& piece) {
  used_bytes_ -= piece.size;
  if (piece.is_ahead) {
    ahead_bytes_ -= piece.size;
    ++counters_.ahead_unused;
  }
  piece.is_dropped = true;
  std::erase_if(pieces_, [&](const PiecePtr& other) { return other.get() == &piece; });
}

ReadCache::PiecePtr ReadCache::add(const std::shared_ptr<Segment>& segment,
                                   std::uint64_t generation, std::uint64_t position,
                                   std::size_t size, bool is_ahead) {
  auto piece = std::make_shared<FilePiece>();
  piece->segment = segment;
  piece->generation = generation;
  piece->position = position;
  piece->size = size;
  piece->is_ahead = is_ahead;
  piece->is_dropped = !make_room(size, is_ahead);
  if (piece->is_dropped) return is_ahead ? nullptr : piece;
  used_bytes_ += size;
  if (is_ahead) {
    ahead_bytes_ += size;
    ++counters_.ahead;
  }
  pieces_.push_back(piece);
  return piece;
}

ReadCache::PiecePtr ReadCache::begin(const std::shared_ptr<Segment>& segment,
                                     std::uint64_t generation, std::uint64_t position,
                                     std::size_t size) {
  return add(segment, generation, position, size, false);
}

ReadCache::PiecePtr ReadCache::begin_ahead(const std::shared_ptr<Segment>& segment,
                                           std::uint64_t generation, std::uint64_t position,
                                           std::size_t size) {
  return add(segment, generation, position, size, true);
}

void ReadCache::filled(FilePiece& piece, std::shared_ptr<std::uint8_t> memory, std::size_t size) {
  ASSERT(!piece.is_ready() && size <= piece.size);
  if (!piece.is_dropped) {
    used_bytes_ -= piece.size - size;
    if (piece.is_ahead) ahead_bytes_ -= piece.size - size;
  }
  piece.size = size;
  piece.memory = std::move(memory);
  news_.wake_all();
}

void ReadCache::drop(FilePiece& piece) {
  if (!piece.is_dropped) forget(piece);
  news_.wake_all();
}

ReadCache::PiecePtr ReadCache::find(const std::shared_ptr<Segment>& segment,
                                    std::uint64_t generation, std::uint64_t position,
                                    bool ready) const {
  const PiecePtr* best = nullptr;
  for (const PiecePtr& piece : pieces_) {
    if (position < piece->position || position >= piece->end() || generation != piece->generation)
      continue;
    if (ready && !piece->is_ready()) continue;
    if (piece->segment.owner_before(segment) || segment.owner_before(piece->segment)) continue;
    if (best == nullptr || piece->end() > (*best)->end()) best = &piece;
  }
  return best == nullptr ? nullptr : *best;
}

void ReadCache::use(FilePiece& piece) {
  if (piece.is_dropped) return;
  if (std::exchange(piece.is_ahead, false)) ahead_bytes_ -= piece.size;
  const auto at = std::find_if(pieces_.begin(), pieces_.end(),
                               [&](const PiecePtr& other) { return other.get() == &piece; });
  std::rotate(at, at + 1, pieces_.end());
}

}  // namespace drave::segments
