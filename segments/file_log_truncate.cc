#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/log.h"
#include "io/file.h"
#include "segments/file_log.h"
#include "segments/log_limits.h"
#include "segments/producer_snapshot.h"

namespace drave::segments {

using protocol::BatchView;

// The place of the first batch that ends above `offset`.
io::Task<Result<FileLog::Cut>> FileLog::find_cut(Offset offset) {
  if (offset >= tail_->first_offset()) {
    Offset found = offset;
    const LogPosition at = tail_->position_of(offset, found);
    co_return Cut{at, std::min(found, offset), offset};
  }
  const auto above = std::upper_bound(
      segments_.begin(), segments_.end(), offset,
      [](Offset wanted, const SegmentPtr& other) { return wanted < other->base_offset(); });
  SegmentPtr segment = above == segments_.begin() ? segments_.front() : *std::prev(above);
  // Nothing is between this segment and the next one, which begins above.
  if (offset >= segment->end_offset)
    co_return Cut{{segment->base_offset(), segment->size}, offset, offset};
  while (true) {
    if (const RottenRange* range = segment->find_rotten_offset(offset))
      co_return Cut{{segment->base_offset(), range->begin}, offset, range->first_offset};
    Cut cut{{segment->base_offset(), 0}, offset, offset};
    CO_TRY(const SegmentReader::Step step, co_await seek(segment, cut));
    const bool is_damage =
        step == SegmentReader::Step::corrupt || step == SegmentReader::Step::partial;
    if (!is_damage || segment->find_rotten(cut.at.position) != nullptr) co_return cut;
    // What stands behind damage and below the cut stays.
    CO_TRY(const Offset lost, co_await offset_at(segment, cut.at.position));
    CO_TRY_VOID(co_await quarantine(segment, cut.at.position, lost));
  }
}

// Walks to the first batch that ends above the offset of `cut`, or to where reading stops.
io::Task<Result<SegmentReader::Step>> FileLog::seek(SegmentPtr segment, Cut& cut) {
  const Offset offset = cut.offset;
  CO_TRY_VOID(co_await load_segment_indexes(segment));
  std::uint64_t position = segment->offset_index.lookup(offset).position;
  for (const RottenRange& range : segment->rotten) {
    if (range.end_offset <= offset) position = std::max(position, range.end);
  }
  CO_TRY(FilePin pin, co_await segment->open(*services_.files, false));
  SegmentReader reader(pin.file(), services_.files->read_pool(), position, segment->written);
  while (true) {
    CO_TRY(const SegmentReader::Step step, co_await reader.fill());
    cut.at.position = reader.position();
    if (step != SegmentReader::Step::batches) {
      if (step != SegmentReader::Step::end && reader.try_again()) continue;
      co_return step;
    }
    while (const std::optional<BatchView> batch = reader.next()) {
      if (batch->last_offset() >= offset) {
        cut.offset = cut.lost_from = std::min(offset, batch->base_offset());
        co_return step;
      }
      cut.at.position = reader.position();
    }
  }
}

// What was known of producers when the log ended at `offset`: the newest snapshot and what follows.
io::Task<Result<ProducerStates>> FileLog::producers_at(Offset offset) {
  ProducerStates states;
  Offset from = log_start_;
  auto newest = snapshots_.upper_bound(offset);
  while (newest != snapshots_.begin()) {
    const Offset at = *--newest;
    const std::string path = io::join_path(path_, segment_file_name(at, ".snapshot"));
    const Result<std::vector<std::uint8_t>> bytes =
        co_await io::read_file(loop(), path, kSmallFileBytesMax);
    if (!bytes) continue;
    Result<std::vector<ProducerEntry>> entries = decode_producer_snapshot(*bytes);
    if (!entries) continue;
    states.load(std::move(*entries));
    from = std::max(from, at);
    break;
  }
  while (from < offset) {
    ReadRequest request;
    request.offset = from;
    request.end_limit = offset;
    request.bytes_max = kReadAheadMax;
    request.at_least_one_batch = true;
    const Result<ReadResult> result = co_await read(request);
    if (!result) {
      // Rotten ranges tell nothing of producers.
      const SegmentPtr& segment = segments_[segment_index_of(from)];
      const RottenRange* range = segment->find_rotten_offset(from);
      if (result.error().code != Errc::corrupt || range == nullptr) {
        co_return std::unexpected(result.error());
      }
      from = range->end_offset;
      continue;
    }
    if (result->size == 0) break;
    for (const LogPiece& piece : result->pieces) {
      protocol::BatchIterator batches(piece.bytes());
      while (std::optional<BatchView> batch = batches.next()) {
        if (batch->base_offset() >= from && batch->last_offset() < offset) {
          note_producer(states, nullptr, *batch);
        }
        from = std::max(from, batch->last_offset() + 1);
      }
    }
    co_await io::yield(loop());
  }
  co_return std::move(states);
}

JournalSequence FileLog::journal_truncate(Offset first_offset, Offset end_offset) {
  if (services_.journal == nullptr) return 0;
  journal_known_ = true;
  last_sequence_ = services_.journal->append(
      *this, {JournalEntryType::truncate, id_, first_offset, end_offset, {}});
  return last_sequence_;
}

// Marks above the cut stand for nothing but their entries now.
void FileLog::cut_marks(LogPosition at, Offset offset) {
  for (std::deque<Mark>* marks : {&durable_marks_, &pending_marks_}) {
    for (Mark& mark : *marks) {
      mark.end_offset = std::min(mark.end_offset, offset);
      mark.at = std::min(mark.at, at);
    }
  }
  durable_at_ = std::min(durable_at_, at);
  durable_end_ = std::min(durable_end_, offset);
  recovery_point_ = std::min(recovery_point_, offset);
  written_at_ = std::min(written_at_, at);
}

// The cut in memory, at once. Returns segments that are no longer part of the log, newest last.
std::vector<FileLog::SegmentPtr> FileLog::cut_memory(const Cut& cut, ProducerStates producers) {
  const Offset offset = cut.offset;
  ++generation_;
  hints_.fill({});
  std::vector<SegmentPtr> removed;
  while (segments_.back()->base_offset() > cut.at.segment) {
    removed.insert(removed.begin(), segments_.back());
    segments_.pop_back();
  }
  Segment& active = *segments_.back();
  ASSERT_EQUAL(active.base_offset(), cut.at.segment);
  active.truncate_to(cut.at.position, offset);
  tail_->truncate_to(cut.at, offset);
  cut_marks(cut.end(), offset);
  if (cut.has_lost()) {
    active.size = cut.end().position;
    active.add_rotten({cut.at.position, active.size, cut.lost_from, offset});
    LOG_ERROR("segments", "{}", rot_error(active, active.rotten.back()).message());
  }
  end_ = offset;
  producers_ = std::move(producers);
  if (epochs_.truncate_from_end(offset)) epochs_changed_ = true;
  std::erase_if(pending_snapshots_, [&](const auto& snapshot) { return snapshot.offset > offset; });
  unsynced_bytes_ = 0;
  for (const SegmentPtr& segment : segments_) {
    unsynced_bytes_ += static_cast<std::int64_t>(segment->written - segment->synced);
  }
  return removed;
}

io::Task<Result<void>> FileLog::unlink_if_there(std::string path) {
  Result<void> gone = co_await io::unlink(loop(), std::move(path));
  if (!gone && gone.error().code == Errc::not_found) co_return Result<void>{};
  co_return gone;
}

io::Task<Result<void>> FileLog::remove_segment_files(SegmentPtr segment) {
  segment->close_files(*services_.files);
  CO_TRY_VOID(co_await unlink_if_there(segment->path(".log")));
  co_return co_await remove_index_files(std::move(segment));
}

io::Task<Result<void>> FileLog::remove_snapshots_above(Offset offset) {
  while (!snapshots_.empty() && *snapshots_.rbegin() > offset) {
    const Offset at = *snapshots_.rbegin();
    CO_TRY_VOID(co_await unlink_if_there(io::join_path(path_, segment_file_name(at, ".snapshot"))));
    snapshots_.erase(at);
    names_changed_ = true;
  }
  co_return Result<void>{};
}

// A segment that grows has no indexes on disk: they would tell of batches that are gone.
io::Task<Result<void>> FileLog::remove_index_files(SegmentPtr segment) {
  for (const char* suffix : {".index", ".timeindex", ".txnindex"}) {
    CO_TRY_VOID(co_await unlink_if_there(segment->path(suffix)));
  }
  names_changed_ = true;
  co_return Result<void>{};
}

// The cut in files. Where it cannot be finished, also for lack of space, the log is not what it
// says it is: nothing is to be written to it, and the next start cuts it by the journal. Newest
// first, so that a crash leaves a shorter log and never one with a hole.
io::Task<Result<void>> FileLog::cut_files(Cut cut, std::vector<SegmentPtr> removed) {
  CO_TRY_VOID(co_await remove_snapshots_above(end_));
  for (; !removed.empty(); removed.pop_back()) {
    CO_TRY_VOID(co_await remove_segment_files(removed.back()));
  }
  SegmentPtr active = segment_at(cut.at.segment);
  CO_TRY_VOID(co_await remove_index_files(active));
  if (!active->file_exists) CO_TRY_VOID(co_await create_file(active));
  if (cut.has_lost()) CO_TRY_VOID(co_await write_lost_range(active, cut));
  CO_TRY(FilePin pin, co_await active->open(*services_.files, false));
  CO_TRY(const io::FileStatus status, co_await io::status(loop(), active->path()));
  if (status.size > active->written) {
    CO_TRY_VOID(co_await pin.file().truncate(active->written));
  }
  CO_TRY_VOID(co_await pin.file().sync());
  active->synced = active->written;
  unsynced_bytes_ = 0;
  for (const SegmentPtr& segment : segments_) {
    unsynced_bytes_ += static_cast<std::int64_t>(segment->written - segment->synced);
  }
  names_changed_ = false;
  co_return co_await io::sync_directory(loop(), path_);
}

// In the place of the damage, before what stands behind is cut: a crash between leaves one or the
// other, and the truncation in the journal.
io::Task<Result<void>> FileLog::write_lost_range(SegmentPtr segment, Cut cut) {
  const auto bytes = encode_lost_range({cut.lost_from, cut.offset});
  CO_TRY(FilePin pin, co_await segment->open(*services_.files, false));
  CO_TRY_VOID(co_await pin.file().write(cut.at.position, ByteView(bytes)));
  CO_TRY_VOID(co_await pin.file().sync());
  segment->written = std::max(segment->written, cut.end().position);
  co_return Result<void>{};
}

Error FileLog::below_log_start() const {
  return {Errc::out_of_range, 0, path_ + ": truncation below the log start"};
}

io::Task<Result<void>> FileLog::truncate_to(Offset offset) {
  FilesLock lock = co_await lock_files();
  if (fenced_) co_return std::unexpected(fenced_error());
  if (offset >= end_) co_return Result<void>{};
  if (offset < log_start_) {
    co_return std::unexpected(below_log_start());
  }
  CO_TRY(const Cut cut, co_await find_cut(offset));
  // Nothing that may be read is left, though a part of the batch was deleted already.
  if (cut.offset <= log_start_) co_return co_await truncate_fully_locked(log_start_);
  co_return co_await truncate_locked(offset);
}

io::Task<Result<void>> FileLog::truncate_locked(Offset offset) {
  CO_TRY(const Cut cut, co_await find_cut(offset));
  CO_TRY_VOID(co_await load_segment_indexes(segment_at(cut.at.segment)));
  CO_TRY(ProducerStates producers, co_await producers_at(cut.offset));
  // Records were deleted meanwhile. (A replayed truncation may be older than the log start.)
  if (services_.journal != nullptr && cut.offset < log_start_) {
    co_return std::unexpected(below_log_start());
  }
  // What was fenced meanwhile, by another log perhaps, has no journal that would know of the cut.
  if (fenced_) co_return std::unexpected(fenced_error());
  // From here to the end of cut_memory() nothing suspends: appends see all of the cut or nothing.
  const JournalSequence sequence = journal_truncate(log_start_, cut.offset);
  std::vector<SegmentPtr> removed = cut_memory(cut, std::move(producers));
  if (sequence != 0) pending_marks_.push_back({sequence, sequence, cut.offset, cut.end(), 0});
  wake_waiters(false, cut.offset);
  if (sequence != 0) CO_TRY_VOID(co_await wait_journal(sequence));
  Result<void> done = co_await cut_files(cut, std::move(removed));
  if (!done) co_return std::unexpected(fault_for_good(std::move(done).error()));
  co_return co_await sync_locked();
}

io::Task<Result<void>> FileLog::truncate_fully_to(Offset offset) {
  FilesLock lock = co_await lock_files();
  co_return co_await truncate_fully_locked(offset);
}

io::Task<Result<void>> FileLog::truncate_fully_locked(Offset offset) {
  if (fenced_) co_return std::unexpected(fenced_error());
  const JournalSequence sequence = journal_truncate(offset, offset);
  ++generation_;
  hints_.fill({});
  std::vector<SegmentPtr> removed = std::exchange(segments_, {});
  segments_.push_back(std::make_shared<Segment>(path_, offset, loop().wall_now()));
  const LogPosition at{offset, 0};
  tail_->clear();
  for (std::deque<Mark>* marks : {&durable_marks_, &pending_marks_}) {
    for (Mark& mark : *marks) {
      mark.end_offset = offset;
      mark.at = at;
    }
  }
  if (sequence != 0) pending_marks_.push_back({sequence, sequence, offset, at, 0});
  written_at_ = durable_at_ = at;
  log_start_ = end_ = durable_end_ = recovery_point_ = offset;
  producers_.clear();
  epochs_.clear();
  epochs_changed_ = true;
  pending_snapshots_.clear();
  unsynced_bytes_ = 0;
  wake_waiters(false, -1);
  if (sequence != 0) CO_TRY_VOID(co_await wait_journal(sequence));
  // The new file must not take the place of an old one of the same name that still has bytes.
  Result<void> done = co_await remove_snapshots_above(-1);
  for (; done && !removed.empty(); removed.pop_back()) {
    done = co_await remove_segment_files(removed.back());
  }
  if (done) done = co_await unlink_doomed_names();
  if (done) done = co_await cut_files({at, offset, offset}, {});
  if (!done) co_return std::unexpected(fault_for_good(std::move(done).error()));
  co_return co_await sync_locked();
}

}  // namespace drave::segments
