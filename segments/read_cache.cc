#include "segments/read_cache.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "segments/log_limits.h"
#include "segments/tail.h"

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

void ReadRate::begin(Instant now) {
  if (under_way_++ == 0) busy_since_ = now;
}

void ReadRate::end(Instant now, std::size_t bytes) {
  bytes_ += bytes;
  busy_ = busy_ + (now - busy_since_);
  busy_since_ = now;
  --under_way_;
  if (bytes_ < kReadRateBytes) return;
  is_slow_ = static_cast<double>(bytes_) * 1e9 <
             static_cast<double>(busy_.ns) * static_cast<double>(kSlowReadsPerSecond);
  bytes_ = 0;
  busy_ = {};
}

void ReadCache::set_lender(TailBudget& lender) {
  lender_ = &lender;
  lender.set_borrower(*this);
}

std::size_t ReadCache::limit() const {
  return bytes_max_ + (lender_ == nullptr ? 0 : static_cast<std::size_t>(lender_->lent_bytes()));
}

// Giving up what somebody is reading, or what waits to be sent, would make no room.
FilePiece* ReadCache::oldest_free() const {
  const auto oldest = std::find_if(pieces_.begin(), pieces_.end(), [](const PiecePtr& piece) {
    return piece->is_ready && piece->memory.use_count() == 1;
  });
  return oldest == pieces_.end() ? nullptr : oldest->get();
}

bool ReadCache::make_room(std::size_t size, bool is_ahead) {
  if (size > bytes_max_ || (is_ahead && ahead_bytes_ + size > limit() / 2)) return false;
  while (held_bytes() + size > limit() || pieces_.size() >= kReadPiecesMax) {
    const bool may_borrow = lender_ != nullptr && pieces_.size() < kReadPiecesMax;
    if (may_borrow && lender_->lend(static_cast<std::int64_t>(held_bytes() + size - limit())))
      continue;
    FilePiece* const oldest = oldest_free();
    // What was read ahead for one reader is not given up to read ahead for another.
    if (oldest == nullptr || (is_ahead && oldest->is_ahead)) return false;
    forget(*oldest);
  }
  return true;
}

void ReadCache::shrink() {
  while (held_bytes() > limit()) {
    FilePiece* const oldest = oldest_free();
    if (oldest == nullptr) return;
    forget(*oldest);
  }
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
  if (piece->is_dropped && is_ahead) return nullptr;
  piece->memory = pool_->take(size);
  if (piece->is_dropped) {
    piece->is_beyond = true;
    ++beyond_count_;
    return piece;
  }
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

void ReadCache::filled(FilePiece& piece, std::size_t size) {
  ASSERT(!piece.is_ready && size <= piece.size);
  if (!piece.is_dropped) {
    used_bytes_ -= piece.size - size;
    if (piece.is_ahead) ahead_bytes_ -= piece.size - size;
  }
  piece.size = size;
  piece.is_ready = true;
  if (std::exchange(piece.is_beyond, false)) --beyond_count_;
  news_.wake_all();
}

void ReadCache::drop(FilePiece& piece) {
  if (!piece.is_dropped) forget(piece);
  if (std::exchange(piece.is_beyond, false)) --beyond_count_;
  news_.wake_all();
}

ReadCache::PiecePtr ReadCache::find(const std::shared_ptr<Segment>& segment,
                                    std::uint64_t generation, std::uint64_t position,
                                    bool ready) const {
  const PiecePtr* best = nullptr;
  for (const PiecePtr& piece : pieces_) {
    if (position < piece->position || position >= piece->end() || generation != piece->generation)
      continue;
    if (ready && !piece->is_ready) continue;
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
