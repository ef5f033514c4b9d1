#include "segments/tail.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/assert.h"
#include "base/stream_copy.h"
#include "io/operation.h"
#include "protocol/record_batch.h"
#include "segments/log_limits.h"
#include "segments/read_cache.h"

namespace drave::segments {
namespace {

constexpr std::uint64_t kBlock = io::kDirectAlignment;
constexpr std::uint32_t kMarkInterval = 4096;

std::uint64_t block_down(std::uint64_t position) {
  return position / kBlock * kBlock;
}

std::size_t batch_size_at(const std::uint8_t* at) {
  return protocol::kBatchSizeFieldEnd +
         static_cast<std::size_t>(load_big<std::int32_t>(at + protocol::batch_field::kSize));
}

Offset batch_base_at(const std::uint8_t* at) {
  return load_big<Offset>(at + protocol::batch_field::kBaseOffset);
}

Offset batch_end_at(const std::uint8_t* at) {
  if (at[protocol::batch_field::kMagic] < protocol::kBatchMagic) return batch_base_at(at) + 1;
  return batch_base_at(at) + load_big<std::int32_t>(at + protocol::batch_field::kLastOffsetDelta) +
         1;
}

}  // namespace

TailBudget::TailBudget(io::Loop& loop, std::int64_t bytes_max)
    : pool_(ChunkPool::make(kIdleChunkBytesMax)), bytes_max_(bytes_max), room_(loop) {}

bool TailBudget::make_room(std::int64_t bytes) {
  if (const std::int64_t over = used_bytes() + lent_bytes_ - bytes_max_ + bytes;
      over > 0 && lent_bytes_ > 0) {
    lent_bytes_ -= std::min(over, lent_bytes_);
    borrower_->shrink();
  }
  while (used_bytes() + bytes > bytes_max_ && !evictable_.empty()) evictable_.front().drop_front();
  return used_bytes() + bytes <= bytes_max_ || used_bytes() == 0;
}

bool TailBudget::lend(std::int64_t bytes) {
  const std::int64_t kept = bytes_max_ / 2;
  if (lent_bytes_ + bytes > bytes_max_ - kept) return false;
  if (used_bytes() - evictable_bytes_ + lent_bytes_ + bytes > bytes_max_) return false;
  while (used_bytes() + lent_bytes_ + bytes > bytes_max_) {
    if (evictable_.empty() || used_bytes() <= kept) return false;
    evictable_.front().drop_front();
  }
  lent_bytes_ += bytes;
  pool_->free_idle(bytes);  // what they were in is not to lie idle beside the loan
  return true;
}

void TailBudget::announce_room() {
  if (used_bytes() - evictable_bytes_ < bytes_max_) room_.wake_all();
}

std::size_t TailBudget::next_chunk_size(std::size_t last) const {
  // Many logs share the budget: none takes more than a small part of what is left of it. The part
  // has few steps, so that chunks that are freed fit where the next ones are wanted.
  const std::int64_t left = bytes_max_ - used_bytes() + evictable_bytes_;
  std::int64_t part = bytes_max_ / 32;
  if (left < bytes_max_ / 2) part /= 8;
  if (left < bytes_max_ / 8) part /= 8;
  // A chunk is reserved whole and fills slowly: the last ones of all tails together must leave most
  // of the budget to bytes.
  part = std::min(part, bytes_max_ / (4 * std::max<std::int64_t>(unwritten_tails_, 1)));
  const std::size_t wanted = last == 0 ? kChunkBytesMin : std::min(last * 2, kChunkBytesMax);
  return std::clamp(std::min(wanted, std::bit_floor(static_cast<std::size_t>(part))),
                    kChunkBytesMin, kChunkBytesMax);
}

Tail::Chunk& Tail::chunk_for(LogPosition at, std::size_t size, Offset first_offset) {
  if (!chunks_.empty()) {
    Chunk& last = chunks_.back();
    if (!last.sealed && last.end_position() == at && last.capacity - last.end >= size) return last;
    last.sealed = true;
  }
  Chunk chunk;
  chunk.start = {at.segment, block_down(at.position)};
  chunk.begin = chunk.end = static_cast<std::uint32_t>(at.position - chunk.start.position);
  chunk.capacity = ChunkPool::capacity_for(
      std::max(budget_->next_chunk_size(last_chunk_size_), chunk.begin + size));
  budget_->make_room(static_cast<std::int64_t>(chunk.capacity));
  chunk.memory = budget_->pool().take(chunk.capacity);
  chunk.first_offset = chunk.end_offset = first_offset;
  last_chunk_size_ = std::min(chunk.capacity, kChunkBytesMax);
  chunk.head_valid = chunk.begin == 0;
  if (chunk.begin > 0 && !chunks_.empty()) {
    const Chunk& previous = chunks_.back();
    if (previous.end_position() == at &&
        (previous.head_valid || previous.begin_position() <= chunk.start)) {
      const std::uint64_t from = chunk.start.position - previous.start.position;
      std::memcpy(chunk.memory.get(), previous.memory.get() + from, chunk.begin);
      chunk.head_valid = true;
    }
  }
  memory_bytes_ += static_cast<std::int64_t>(chunk.capacity);
  chunks_.push_back(std::move(chunk));
  count_unwritten();
  return chunks_.back();
}

void Tail::append(LogPosition at, ByteView batch, Offset first_offset, Offset end_offset) {
  Chunk& chunk = chunk_for(at, batch.size(), first_offset);
  if (chunk.written) set_chunk_written(chunk, false);
  stream_copy(chunk.memory.get() + chunk.end, batch);
  if (chunk.marks.empty() || chunk.end - chunk.marks.back().at >= kMarkInterval) {
    chunk.marks.push_back({chunk.end, first_offset});
  }
  chunk.newest = {chunk.end, first_offset};
  chunk.end += static_cast<std::uint32_t>(batch.size());
  chunk.end_offset = end_offset;
}

LogPosition Tail::first_position() const {
  return is_empty() ? LogPosition{INT64_MAX, 0} : chunks_.front().begin_position();
}

std::size_t Tail::index_of(Offset offset) const {
  auto after = std::upper_bound(
      chunks_.begin(), chunks_.end(), offset,
      [](Offset wanted, const Chunk& chunk) { return wanted < chunk.first_offset; });
  ASSERT(after != chunks_.begin());
  return static_cast<std::size_t>(after - chunks_.begin()) - 1;
}

// The place in memory of the first batch that ends above `offset`; the chunk's end if none does.
std::uint32_t Tail::seek(const Chunk& chunk, Offset offset) {
  // Who follows a log closely asks for this.
  if (offset >= chunk.newest.offset && offset < chunk.end_offset) return chunk.newest.at;
  auto after =
      std::upper_bound(chunk.marks.begin(), chunk.marks.end(), offset,
                       [](Offset wanted, const Mark& mark) { return wanted < mark.offset; });
  std::uint32_t at = after == chunk.marks.begin() ? chunk.begin : std::prev(after)->at;
  while (at < chunk.end && batch_end_at(chunk.memory.get() + at) <= offset) {
    at += static_cast<std::uint32_t>(batch_size_at(chunk.memory.get() + at));
  }
  return at;
}

// The end of the batches behind `from` that fit in `bytes_max` and begin below `end_limit`.
std::uint32_t Tail::seek_end(const Chunk& chunk, std::uint32_t from, Offset end_limit,
                             std::size_t bytes_max) {
  if (chunk.end_offset <= end_limit && chunk.end - from <= bytes_max) return chunk.end;
  const std::uint64_t limit = from + std::min<std::uint64_t>(bytes_max, chunk.end - from);
  auto after = std::partition_point(chunk.marks.begin(), chunk.marks.end(), [&](const Mark& mark) {
    return mark.at <= limit && mark.offset <= end_limit;
  });
  std::uint32_t at = from;
  if (after != chunk.marks.begin()) at = std::max(at, std::prev(after)->at);
  while (at < chunk.end) {
    const std::uint8_t* batch = chunk.memory.get() + at;
    const std::size_t size = batch_size_at(batch);
    if (at + size > limit || batch_base_at(batch) >= end_limit) break;
    at += static_cast<std::uint32_t>(size);
  }
  return at;
}

std::size_t Tail::read(const ReadRequest& request, std::vector<LogPiece>& pieces) {
  std::size_t total = 0;
  std::size_t index = index_of(request.offset);
  std::uint32_t from = seek(chunks_[index], request.offset);
  while (true) {
    const Chunk& chunk = chunks_[index];
    std::uint32_t to = seek_end(chunk, from, request.end_limit, request.bytes_max - total);
    if (to == from && total == 0 && request.at_least_one_batch && from < chunk.end &&
        batch_base_at(chunk.memory.get() + from) < request.end_limit) {
      to += static_cast<std::uint32_t>(batch_size_at(chunk.memory.get() + from));
    }
    if (to > from) {
      pieces.emplace_back(chunk.memory, ByteView(chunk.memory.get() + from, to - from));
      total += to - from;
    }
    if (to < chunk.end || total >= request.bytes_max || ++index == chunks_.size()) break;
    from = chunks_[index].begin;
  }
  touch();
  return total;
}

LogPosition Tail::position_of(Offset offset, Offset& found) const {
  std::size_t index = index_of(offset);
  std::uint32_t at = seek(chunks_[index], offset);
  if (at == chunks_[index].end && index + 1 < chunks_.size()) at = chunks_[++index].begin;
  const Chunk& chunk = chunks_[index];
  found = at < chunk.end ? batch_base_at(chunk.memory.get() + at) : chunk.end_offset;
  return {chunk.start.segment, chunk.start.position + at};
}

TailPiece Tail::next_piece(LogPosition written, LogPosition limit, std::size_t bytes_max,
                           bool direct_allowed, bool whole_blocks_only) const {
  TailPiece piece;
  std::size_t index = 0;
  while (index < chunks_.size() && chunks_[index].end_position() <= written) ++index;
  if (index == chunks_.size()) return piece;
  piece.at = std::max(written, chunks_[index].begin_position());
  if (piece.at >= limit) return piece;

  // The whole blocks from here on, as far as chunks mirror the file without a break.
  std::uint64_t begin = piece.at.position;
  if (direct_allowed) {
    const Chunk& first = chunks_[index];
    const std::uint64_t block = block_down(begin);
    const bool mirrored =
        first.head_valid || block >= first.begin_position().position || block == begin;
    if (mirrored) begin = block;
    direct_allowed = mirrored;
  }
  std::uint64_t end = begin;
  std::uint64_t mirrored_end = begin;
  bool unbroken = direct_allowed;
  for (std::size_t i = index; i < chunks_.size(); ++i) {
    const Chunk& chunk = chunks_[i];
    if (chunk.start.segment != piece.at.segment || end - begin >= bytes_max) break;
    std::uint64_t chunk_end = chunk.end_position().position;
    if (limit.segment == piece.at.segment) chunk_end = std::min(chunk_end, limit.position);
    if (chunk_end <= end) break;
    if (i > index && !chunk.head_valid) unbroken = false;
    end = std::min(chunk_end, begin + bytes_max);
    if (unbroken) mirrored_end = end;
  }
  const std::uint64_t blocks_end = std::max(block_down(mirrored_end), begin);
  if (direct_allowed && blocks_end - begin >= kDirectPieceMin) {
    piece.direct = true;
    end = blocks_end;
  } else {
    // A segment that is complete gets no more bytes to wait for.
    const bool grows = limit.segment == piece.at.segment;
    if (whole_blocks_only && grows && end - begin < kDirectPieceMin) return piece;
    begin = piece.at.position;
  }
  piece.at.position = begin;
  piece.size = end - begin;
  for (std::size_t i = index; begin < end; ++i) {
    const Chunk& chunk = chunks_[i];
    std::uint64_t to = std::min(chunk.end_position().position, end);
    // The block that two chunks share is written from the second one, which has all of it.
    if (piece.direct && to < end) to = block_down(to);
    if (to > begin) {
      piece.vectors.push_back({chunk.memory.get() + (begin - chunk.start.position),
                               static_cast<std::size_t>(to - begin)});
      piece.owners.push_back(chunk.memory);
      begin = to;
    }
  }
  return piece;
}

void Tail::set_written(LogPosition written) {
  for (; written_count_ < chunks_.size();) {
    Chunk& chunk = chunks_[written_count_];
    if (chunk.end_position() > written) break;
    set_chunk_written(chunk, true);
  }
}

void Tail::set_chunk_written(Chunk& chunk, bool written) {
  if (chunk.written == written) return;
  chunk.written = written;
  const auto capacity = static_cast<std::int64_t>(chunk.capacity);
  if (written) {
    ++written_count_;
    budget_->evictable_bytes_ += capacity;
    if (!is_linked()) budget_->evictable_.push_back(*this);
  } else {
    --written_count_;
    budget_->evictable_bytes_ -= capacity;
    if (written_count_ == 0) unlink();
  }
  count_unwritten();
}

void Tail::count_unwritten() {
  if (has_unwritten_ == (chunks_.size() > written_count_)) return;
  has_unwritten_ = !has_unwritten_;
  budget_->unwritten_tails_ += has_unwritten_ ? 1 : -1;
}

void Tail::drop_front() {
  Chunk& front = chunks_.front();
  set_chunk_written(front, false);
  memory_bytes_ -= static_cast<std::int64_t>(front.capacity);
  chunks_.pop_front();
  count_unwritten();
  if (chunks_.empty()) last_chunk_size_ = 0;
}

void Tail::touch() {
  if (!is_linked()) return;
  unlink();
  budget_->evictable_.push_back(*this);
}

void Tail::truncate_to(LogPosition at, Offset offset) {
  while (!chunks_.empty() && chunks_.back().begin_position() >= at) {
    set_chunk_written(chunks_.back(), false);
    memory_bytes_ -= static_cast<std::int64_t>(chunks_.back().capacity);
    chunks_.pop_back();
  }
  count_unwritten();
  budget_->announce_room();
  if (chunks_.empty()) {
    last_chunk_size_ = 0;
    return;
  }
  Chunk& last = chunks_.back();
  if (last.end_position() <= at) return;
  last.end = static_cast<std::uint32_t>(at.position - last.start.position);
  last.end_offset = offset;
  last.newest = {0, INT64_MAX};
  last.sealed = true;  // readers may hold what stood behind
  while (!last.marks.empty() && last.marks.back().at >= last.end) last.marks.pop_back();
}

void Tail::drop_below(Offset offset) {
  while (written_count_ > 0 && chunks_.front().end_offset <= offset) drop_front();
}

void Tail::clear() {
  while (!chunks_.empty()) drop_front();
  unlink();
  budget_->announce_room();
}

}  // namespace drave::segments
