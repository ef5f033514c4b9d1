#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/canary.h"
#include "base/log.h"
#include "segments/file_log.h"
#include "segments/log_limits.h"

namespace drave::segments {

using protocol::BatchPeek;
using protocol::BatchView;

std::size_t FileLog::segment_index_of(Offset offset) const {
  auto after = std::upper_bound(
      segments_.begin(), segments_.end(), offset,
      [](Offset wanted, const SegmentPtr& segment) { return wanted < segment->base_offset(); });
  std::size_t index =
      after == segments_.begin() ? 0 : static_cast<std::size_t>(after - segments_.begin()) - 1;
  // Compaction leaves gaps between segments.
  if (offset >= segments_[index]->end_offset && index + 1 < segments_.size()) ++index;
  return index;
}

FileLog::SegmentPtr FileLog::segment_at(Offset base_offset) const {
  for (const SegmentPtr& segment : segments_) {
    if (segment->base_offset() == base_offset) return segment;
  }
  return nullptr;
}

Result<void> FileLog::check_readable(const ReadRequest& request) const {
  if (request.offset >= log_start_ && request.offset <= end_) return {};
  return failure(Errc::out_of_range, path_ + ": offset " + std::to_string(request.offset) +
                                         " is not in [" + std::to_string(log_start_) + ", " +
                                         std::to_string(end_) + "]");
}

std::optional<ReadResult> FileLog::read_tail(const ReadRequest& request) {
  ReadResult result;
  result.log_start = log_start_;
  if (request.offset >= end_ || request.offset >= request.end_limit) return result;
  if (request.offset < tail_->first_offset()) return std::nullopt;
  result.size = tail_->read(request, result.pieces);
  return result;
}

Error FileLog::rot_error(const Segment& segment, const RottenRange& range) const {
  return Error{Errc::corrupt, 0,
               segment.path() + " position " + std::to_string(range.begin) + ": offsets " +
                   std::to_string(range.first_offset) + " to " +
                   std::to_string(range.end_offset - 1) + " fail their check"};
}

const FileLog::ReadHint* FileLog::find_hint(Offset offset, Offset segment) const {
  for (const ReadHint& hint : hints_) {
    if (hint.offset == offset && hint.at.segment == segment) return &hint;
  }
  return nullptr;
}

// Readers that follow find where the first one stopped, too: exactly where the next piece begins.
void FileLog::note_hint(const FilePlace& place, Offset next_offset, std::uint64_t position) {
  const Offset segment = place.segment->base_offset();
  if (find_hint(next_offset, segment) != nullptr) return;
  hints_[next_hint_] = {next_offset, {segment, position}};
  next_hint_ = (next_hint_ + 1) % kReadHints;
}

// Errc::busy: the indexes are to be loaded first.
Result<FileLog::FilePlace> FileLog::place_in_file(const ReadRequest& request,
                                                  std::size_t bytes) const {
  const SegmentPtr& segment = segments_[segment_index_of(request.offset)];
  if (const RottenRange* range = segment->find_rotten_offset(request.offset)) {
    return std::unexpected(rot_error(*segment, *range));
  }
  if (!segment->indexes_present) return failure(Errc::busy, "");
  const ReadHint* hint = find_hint(request.offset, segment->base_offset());
  std::uint64_t position =
      hint != nullptr ? hint->at.position : segment->offset_index.lookup(request.offset).position;
  std::uint64_t limit = segment->written;
  for (const RottenRange& range : segment->rotten) {
    if (range.end_offset <= request.offset) position = std::max(position, range.end);
    if (range.first_offset > request.offset) limit = std::min(limit, range.begin);
  }
  FilePlace place{segment, position, 0, limit, generation_, hint != nullptr};
  if (position < limit)
    place.bytes = static_cast<std::size_t>(std::min<std::uint64_t>(bytes, limit - position));
  return place;
}

FileLog::Found FileLog::find_batches(const FileWindow& from, const ReadRequest& request,
                                     Offset end_offset) {
  Found found;
  const ByteView window = from.bytes;
  bool started = false;
  std::size_t last_begin = 0;  // of the batch before found.end
  while (found.end < window.size()) {
    const ByteView rest = window.subspan(found.end);
    const BatchPeek peek = protocol::peek_batch(rest);
    if (peek.status == BatchPeek::Status::partial) {
      if (!started) found.needed = std::max(peek.size, protocol::kBatchHeaderSize);
      break;
    }
    const Result<BatchView> batch = protocol::parse_batch(rest);
    const Offset last_offset = batch ? batch->last_offset() : -1;
    const Offset base_offset = batch && !batch->is_legacy() ? batch->base_offset() : last_offset;
    if (!batch || last_offset < base_offset || last_offset >= end_offset) {
      found.corrupt = true;
      break;
    }
    if (base_offset < found.next_offset) {
      // No CRC covers base offsets. One of the two is wrong; neither is served.
      found.corrupt = true;
      found.end = last_begin;
      found.next_offset = -1;
      found.begin = std::min(found.begin, found.end);
      return found;
    }
    if (last_offset >= request.offset) {
      const std::size_t begin = started ? found.begin : found.end;
      const bool fits = found.end + batch->size_bytes() - begin <= request.bytes_max;
      const bool is_wanted = fits || (!started && request.at_least_one_batch);
      if (base_offset >= request.end_limit || !is_wanted) break;
      if (!from.is_checked(found.end, batch->size_bytes()) && !batch->crc_matches() &&
          !DRAVE_CANARY("torn-taken-for-valid")) {
        found.corrupt = true;
        break;
      }
      if (!std::exchange(started, true)) found.begin = found.end;
    }
    found.next_offset = last_offset + 1;
    last_begin = found.end;
    found.end += batch->size_bytes();
  }
  if (!started) found.begin = found.end;
  return found;
}

ReadResult FileLog::take_found(const FilePlace& place, const FileWindow& window,
                               const Found& found) {
  ReadResult result;
  result.log_start = log_start_;
  result.size = found.end - found.begin;
  if (result.size == 0) return result;
  FilePiece& piece = *window.piece;
  const ByteView bytes = window.bytes.subspan(found.begin, result.size);
  if (cache().is_crowded() && result.size < piece.size / 2) {
    // An answer holds all of its piece, and is accounted for by its own size.
    ++cache().counters().copies;
    std::shared_ptr<std::uint8_t> copy = services_.files->read_pool().take(bytes.size());
    std::copy(bytes.begin(), bytes.end(), copy.get());
    result.pieces.emplace_back(copy, ByteView(copy.get(), bytes.size()));
  } else {
    result.pieces.emplace_back(piece.memory, bytes);
  }
  const std::uint64_t next = place.position + found.end;
  piece.note_checked(place.position + found.begin, next);
  note_hint(place, found.next_offset, next);
  if (place.goes_on && piece.end() - next <= piece.size / 2)
    read_ahead(place, window.piece, next, kPiecesAhead);
  return result;
}

namespace {

// What to read for a request: its bytes and what may stand between an index entry and its batch.
std::size_t bytes_to_read(const ReadRequest& request, std::int64_t index_interval) {
  const std::size_t before =
      static_cast<std::size_t>(std::clamp<std::int64_t>(2 * index_interval, 1024, 64 * kKiB));
  return std::min(request.bytes_max, kReadAheadMax * 4) + before;
}

}  // namespace

Result<std::optional<ReadResult>> FileLog::try_read(const ReadRequest& request) {
  TRY_VOID(check_readable(request));
  if (std::optional<ReadResult> result = read_tail(request)) return result;
  std::size_t bytes = bytes_to_read(request, config_.index_interval_bytes);
  Result<FilePlace> place = place_in_file(request, bytes);
  if (!place) {
    if (place.error().code == Errc::busy) return std::nullopt;
    return std::unexpected(std::move(place).error());
  }
  if (place->bytes == 0) return std::nullopt;
  FileWindow window = find_window(*place, kReadWorthBytes);
  // Asking the page cache makes the kernel read ahead into it: not where we do not use it.
  if (window.bytes.empty() && direct_bytes(*place, kReadWorthBytes) > 0) return std::nullopt;
  if (window.bytes.empty()) {
    io::File* file = place->segment->opened();
    if (file == nullptr) return std::nullopt;
    services_.files->touch(place->segment->cached_file());
    Result<FileWindow> cached = read_page_cache(*place, kReadWorthBytes, *file);
    if (!cached || cached->bytes.empty()) return std::nullopt;  // read() finds out why
    window = std::move(*cached);
  }
  const Found found = find_batches(window, request, place->segment->end_offset);
  if (found.begin == found.end &&
      (found.needed > 0 || found.corrupt || found.end == window.bytes.size())) {
    return std::nullopt;
  }
  return take_found(*place, window, found);
}

void FileLog::go_on_at(FilePlace& place, std::uint64_t position, std::size_t bytes) {
  const std::uint64_t written = place.segment->written;
  place.limit = written;
  place.position = position;
  place.bytes = static_cast<std::size_t>(
      std::min<std::uint64_t>(bytes, written - std::min(written, position)));
}

io::Task<Result<ReadResult>> FileLog::read(ReadRequest request) {
  const UnderWay under_way(*this);
  ReadStep step{.bytes = bytes_to_read(request, config_.index_interval_bytes)};
  while (true) {
    CO_TRY_VOID(check_readable(request));
    if (std::optional<ReadResult> result = read_tail(request)) co_return std::move(*result);
    if (std::exchange(step.generation, generation_) != generation_) step.at.reset();
    const SegmentPtr segment = segments_[segment_index_of(request.offset)];
    Result<std::optional<ReadResult>> result = co_await read_segment(request, step);
    // A segment that was deleted meanwhile, or what was taken back, tells nothing any more.
    if (step.generation != generation_ || segment_at(segment->base_offset()) != segment) continue;
    if (!result) co_return std::unexpected(std::move(result).error());
    if (*result) co_return std::move(**result);
  }
}

// Where to look for what follows `offset` when this segment's file has nothing more of it.
// Compaction leaves gaps.
Offset FileLog::next_place(const Segment& segment, Offset offset) const {
  Offset next = segment.complete ? segment.end_offset : INT64_MAX;
  if (tail_->first_position().segment == segment.base_offset()) next = tail_->first_offset();
  for (const RottenRange& range : segment.rotten) {
    if (range.first_offset > offset) next = std::min(next, range.first_offset);
  }
  return next == INT64_MAX ? -1 : next;
}

// One step towards the answer. Nothing: another one is needed, from the beginning.
io::Task<Result<std::optional<ReadResult>>> FileLog::read_segment(ReadRequest& request,
                                                                  ReadStep& step) {
  const std::optional<ReadResult> again;
  Result<FilePlace> place = place_in_file(request, step.bytes);
  if (!place) {
    if (place.error().code != Errc::busy) co_return std::unexpected(std::move(place).error());
    CO_TRY_VOID(co_await load_segment_indexes(segments_[segment_index_of(request.offset)]));
    co_return again;
  }
  SegmentPtr segment = place->segment;
  if (step.at && step.at->segment == segment->base_offset())
    go_on_at(*place, step.at->position, step.bytes);
  if (place->bytes == 0) {
    if (const Offset next = next_place(*segment, request.offset); next > request.offset) {
      request.offset = next;
      co_return again;
    }
    // Nothing of the offset is in this file: what was to be there is missing.
    CO_TRY(Error error, co_await quarantine(segment, place->position, request.offset));
    co_return std::unexpected(std::move(error));
  }
  // Going on behind batches that were passed, all of what is asked for is needed.
  const std::size_t worth = step.at ? place->bytes : kReadWorthBytes;
  FileWindow window = find_window(*place, worth);
  const bool is_fresh = window.bytes.empty();
  if (is_fresh) {
    step.from_disk = true;
    if (ReadCache::PiecePtr coming = find_coming(*place, worth)) {
      co_await await_piece(std::move(coming));
      co_return again;
    }
    CO_TRY(window, co_await read_file(*place, worth));
    if (step.generation != generation_) co_return again;
  }
  const Found found = find_batches(window, request, segment->end_offset);
  if (found.begin == found.end) {
    const std::uint64_t stopped = place->position + found.end;
    const bool is_missing = found.needed > 0 && stopped + found.needed > segment->written;
    if (found.corrupt || is_missing || window.bytes.empty()) {
      // It may be the memory that is bad, or this one reading: the disk is asked anew.
      cache().drop(*window.piece);
      if (!is_fresh) co_return again;
      step.at.reset();
      CO_TRY_VOID(co_await judge_damage(request, segment, stopped, window.bytes.subspan(found.end),
                                        found.next_offset, ++step.bad_reads));
      co_return again;
    }
    if (found.needed > 0 || found.end == window.bytes.size()) {
      step.at = LogPosition{segment->base_offset(), stopped};
      step.bytes = std::max(step.bytes, found.needed);
      if (stopped < segment->written) co_return again;
      step.at.reset();
      if (const Offset next = next_place(*segment, request.offset); next > request.offset) {
        request.offset = next;
        co_return again;
      }
    }
  }
  ReadResult result = take_found(*place, window, found);
  result.from_disk = step.from_disk;
  co_return std::optional(std::move(result));
}

// No error: what was read is not what the file has, or the damage lies before the wanted offset.
io::Task<Result<void>> FileLog::judge_damage(ReadRequest request, SegmentPtr segment,
                                             std::uint64_t position, ByteView bytes, Offset offset,
                                             int bad_reads) {
  const std::uint64_t generation = generation_;
  CO_TRY(const bool stands, co_await stands_in_file(segment, position, bytes));
  if (!stands && bad_reads < kBadReadsMax) co_return Result<void>{};
  if (offset < 0) {
    CO_TRY(offset, co_await offset_at(segment, position));
  }
  CO_TRY(Error error, co_await quarantine(segment, position, offset));
  const RottenRange* rotten = segment->find_rotten(position);
  if (generation == generation_ && rotten != nullptr && request.offset >= rotten->end_offset)
    co_return Result<void>{};
  co_return std::unexpected(std::move(error));
}

// The offset at which what stands at `position` must begin, by what stands before it.
io::Task<Result<Offset>> FileLog::offset_at(SegmentPtr segment, std::uint64_t position) {
  OffsetPosition before{segment->base_offset(), 0};
  if (position > 0 && segment->indexes_present) {
    before = segment->offset_index.lookup_position(static_cast<std::uint32_t>(position - 1));
  }
  Offset offset = before.position == 0 ? segment->base_offset() : before.offset;
  std::uint64_t from = before.position;
  for (const RottenRange& range : segment->rotten) {
    if (range.end > position) continue;
    offset = std::max(offset, range.end_offset);
    from = std::max(from, range.end);
  }
  CO_TRY(FilePin pin, co_await segment->open(*services_.files, false));
  SegmentReader reader(pin.file(), services_.files->read_pool(), from, position);
  while (true) {
    CO_TRY(const SegmentReader::Step step, co_await reader.fill());
    if (step != SegmentReader::Step::batches) co_return offset;
    while (const std::optional<BatchView> batch = reader.next()) {
      offset = std::max(offset, batch->last_offset() + 1);
    }
  }
}

// Finds how far the damage at `position` goes and remembers it. `offset` is the first that is lost.
io::Task<Result<Error>> FileLog::quarantine(SegmentPtr segment, std::uint64_t position,
                                            Offset offset) {
  const std::uint64_t generation = generation_;
  Offset behind = segment->end_offset;  // what the tail has is not damaged
  if (tail_->first_position().segment == segment->base_offset())
    behind = std::min(behind, tail_->first_offset());
  RottenRange range{position, std::max(segment->written, position + 1), offset,
                    std::max(behind, offset + 1)};
  CO_TRY(FilePin pin, co_await segment->open(*services_.files, false));
  SegmentReader reader(pin.file(), services_.files->read_pool(), position, segment->written);
  CO_TRY(const SegmentReader::Step step, co_await reader.fill());
  if (step != SegmentReader::Step::end) {
    CO_TRY(const std::optional<std::uint64_t> next, co_await reader.skip_to_valid(offset));
    if (next) {
      CO_TRY(const SegmentReader::Step found, co_await reader.fill());
      const std::optional<BatchView> batch =
          found == SegmentReader::Step::batches ? reader.next() : std::nullopt;
      range.end = *next;
      if (batch) range.end_offset = std::max(batch->base_offset(), offset + 1);
    }
  }
  if (generation == generation_) {
    segment->add_rotten(range);
    LOG_ERROR("segments", "rot file={} position={} end={} offsets=[{}, {})", segment->path(),
              range.begin, range.end, range.first_offset, range.end_offset);
  }
  co_return rot_error(*segment, range);
}

io::Task<Result<void>> FileLog::load_segment_indexes(SegmentPtr segment) {
  while (!segment->indexes_present) {
    const std::uint64_t generation = generation_;
    Result<void> loaded = co_await segment->load_indexes(loop());
    if (generation != generation_) co_return Result<void>{};  // the caller looks again
    if (loaded) {
      segment->set_droppable(*services_.files);
      break;
    }
    if (loaded.error().code != Errc::corrupt && loaded.error().code != Errc::not_found) {
      co_return loaded;
    }
    LOG_WARN("segments", "rebuilding indexes of {}: {}", segment->path(), loaded.error().message());
    CO_TRY_VOID(co_await rebuild_indexes(segment));
  }
  co_return Result<void>{};
}

}  // namespace drave::segments
