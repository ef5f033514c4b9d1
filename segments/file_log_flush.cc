#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/canary.h"
#include "base/log.h"
#include "io/descriptors.h"
#include "io/file.h"
#include "segments/file_log.h"
#include "segments/log_limits.h"

namespace drave::segments {

namespace {

std::vector<std::uint8_t> bytes_of(const std::string& text) {
  return {text.begin(), text.end()};
}

}  // namespace

// --- What the flusher asks

LogPosition FileLog::write_limit() const {
  // Without a journal a segment is the first place where bytes are durable.
  if (services_.journal != nullptr) return durable_at_;
  return {segments_.back()->base_offset(), segments_.back()->size};
}

bool FileLog::has_unwritten() const {
  for (auto at = segments_.rbegin(); at != segments_.rend(); ++at) {
    if ((*at)->written < (*at)->size) return true;
    if ((*at)->base_offset() <= written_at_.segment) break;
  }
  return false;
}

// The end of a complete segment is also the beginning of the next one.
void FileLog::advance_written() {
  while (true) {
    const SegmentPtr segment = segment_at(written_at_.segment);
    if (segment == nullptr || !segment->complete || segment->written < segment->size) return;
    const auto next = std::upper_bound(
        segments_.begin(), segments_.end(), written_at_.segment,
        [](Offset base, const SegmentPtr& other) { return base < other->base_offset(); });
    if (next == segments_.end()) return;
    written_at_ = std::max(written_at_, LogPosition{(*next)->base_offset(), 0});
  }
}

std::int64_t FileLog::unwritten_bytes() const {
  const LogPosition limit = write_limit();
  std::int64_t bytes = 0;
  for (auto at = segments_.rbegin(); at != segments_.rend(); ++at) {
    const Segment& segment = **at;
    if (segment.base_offset() < written_at_.segment) break;
    if (segment.base_offset() > limit.segment) continue;
    const std::uint64_t end =
        segment.base_offset() == limit.segment ? limit.position : segment.size;
    if (end > segment.written) bytes += static_cast<std::int64_t>(end - segment.written);
  }
  return bytes;
}

std::optional<Instant> FileLog::unwritten_since() const {
  if (unwritten_bytes() == 0) return std::nullopt;
  return unwritten_since_;
}

bool FileLog::needs_sync() const {
  return unsynced_bytes_ > 0 || names_changed_ || !durable_marks_.empty();
}

// --- Writing

Error FileLog::fault(Error error) {
  // A full disk is no fault, nor is a missing descriptor: nothing that was acknowledged is in
  // danger, and writing goes on when there is room.
  if (io::is_shortage(error)) return error;
  return fault_for_good(std::move(error));
}

Error FileLog::fault_for_good(Error error) {
  if (fenced_) return error;
  fence(error);
  if (services_.on_fault) services_.on_fault(error);
  return error;
}

io::Task<Result<std::size_t>> FileLog::write_tail_piece(std::size_t bytes_max,
                                                        bool whole_blocks_only) {
  FilesLock lock = co_await lock_files();
  co_return co_await write_piece(bytes_max, whole_blocks_only);
}

io::Task<Result<std::size_t>> FileLog::write_piece(std::size_t bytes_max, bool whole_blocks_only) {
  if (fenced_) co_return std::unexpected(fenced_error());
  const bool direct = services_.direct && services_.files->direct_works();
  TailPiece piece =
      tail_->next_piece(written_at_, write_limit(), bytes_max, direct, whole_blocks_only);
  if (piece.size == 0) co_return std::size_t{0};
  SegmentPtr segment = segment_at(piece.at.segment);
  ASSERT(segment != nullptr);
  if (!segment->file_exists) names_changed_ = true;
  Result<FilePin> opened = co_await segment->open(*services_.files, true);
  if (!opened) co_return std::unexpected(fault(std::move(opened).error()));
  const Result<void> wrote = co_await write_direct(segment, piece, *opened);
  segment->keep_for_sync(std::move(*opened));
  if (!wrote) co_return std::unexpected(fault(wrote.error()));

  const std::uint64_t before = segment->written;
  segment->written = std::max(segment->written, piece.end().position);
  unsynced_bytes_ += static_cast<std::int64_t>(segment->written - before);
  written_at_ = std::max(written_at_, piece.end());
  tail_->set_written(written_at_);
  unwritten_since_ = has_unwritten() ? std::optional(loop().now()) : std::nullopt;
  services_.tails->announce_room();
  co_return static_cast<std::size_t>(segment->written - before);
}

io::Task<Result<void>> FileLog::write_direct(SegmentPtr segment, TailPiece& piece,
                                             FilePin& buffered) {
  if (piece.direct) {
    Result<FilePin> direct = co_await segment->open_direct(*services_.files);
    if (direct) {
      Result<void> wrote = co_await direct->file().write_vectors(piece.at.position, piece.vectors);
      if (wrote || wrote.error().code != Errc::invalid) co_return wrote;
    } else if (direct.error().code != Errc::invalid) {
      co_return std::unexpected(std::move(direct).error());
    }
    services_.files->set_direct_fails();
    LOG_INFO("segments", "no O_DIRECT under {}: segments go through the page cache", path_);
  }
  segment->cached_write_bytes += piece.size;
  co_return co_await buffered.file().write_vectors(piece.at.position, std::move(piece.vectors));
}

// Everything that may be written now.
io::Task<Result<void>> FileLog::write_all() {
  while (true) {
    CO_TRY(const std::size_t bytes, co_await write_piece(kChunkBytesMax, false));
    if (bytes == 0) co_return Result<void>{};
  }
}

// --- Syncing

io::Task<Result<void>> FileLog::sync_segments() {
  FilesLock lock = co_await lock_files();
  co_return co_await sync_locked();
}

io::Task<Result<void>> FileLog::sync_locked() {
  if (fenced_) co_return std::unexpected(fenced_error());
  advance_written();
  const LogPosition synced_at = written_at_;
  Result<void> synced = co_await sync_files();
  if (!synced) co_return std::unexpected(fault(std::move(synced).error()));
  Offset synced_end = recovery_point_;
  while (!durable_marks_.empty() && durable_marks_.front().at <= synced_at) {
    synced_end = std::max(synced_end, durable_marks_.front().end_offset);
    released_sequence_ = durable_marks_.front().sequence;
    durable_marks_.pop_front();
  }
  Result<void> saved = co_await save_state(synced_end);
  if (!saved) co_return std::unexpected(fault(std::move(saved).error()));
  recovery_point_ = std::max(recovery_point_, synced_end);
  if (services_.journal == nullptr && durable_end_ < recovery_point_) {
    durable_end_ = recovery_point_;
    wake_waiters(false, INT64_MAX);
    if (observer_ != nullptr) observer_->on_durable_end_advanced(durable_end_);
  }
  release_journal();
  co_return Result<void>{};
}

io::Task<Result<void>> FileLog::sync_files() {
  const std::vector<SegmentPtr> segments = segments_;
  for (const SegmentPtr& segment : segments) {
    const bool is_done = segment->complete && segment->written == segment->size;
    if (segment->synced < segment->written) {
      const std::uint64_t before = segment->synced;
      CO_TRY_VOID(co_await segment->sync(*services_.files));
      unsynced_bytes_ -= static_cast<std::int64_t>(segment->synced - before);
    }
    if (is_done && !segment->indexes_saved && segment->indexes_present) {
      if (!segment->file_exists) CO_TRY_VOID(co_await create_file(segment));
      CO_TRY_VOID(co_await segment->save_indexes(loop()));
      names_changed_ = true;
      segment->indexes_saved = true;
      segment->set_droppable(*services_.files);
    }
  }
  if (names_changed_ && !DRAVE_CANARY("missing-directory-sync")) {
    names_changed_ = false;
    CO_TRY_VOID(co_await io::sync_directory(loop(), path_));
  }
  co_return Result<void>{};
}

io::Task<Result<void>> FileLog::create_file(SegmentPtr segment) {
  CO_TRY(FilePin pin, co_await segment->open(*services_.files, true));
  names_changed_ = true;
  co_return Result<void>{};
}

// Files that tell of the log: only of what is synced.
io::Task<Result<void>> FileLog::save_state(Offset synced_end) {
  if (epochs_changed_) {
    epochs_changed_ = false;
    const std::string text = epochs_.encode(synced_end);
    // Epochs that begin above wait for the next time.
    if (!epochs_.entries().empty() && epochs_.entries().back().start_offset >= synced_end) {
      epochs_changed_ = true;
    }
    if (text != saved_epochs_) {
      Result<void> saved = co_await io::replace_file(
          loop(), io::join_path(path_, "leader-epoch-checkpoint"), bytes_of(text));
      if (!saved) {
        epochs_changed_ = true;  // a full disk is tried again
        co_return saved;
      }
      saved_epochs_ = text;
    }
  }
  while (!pending_snapshots_.empty() && (pending_snapshots_.front().offset <= synced_end ||
                                         DRAVE_CANARY("snapshot-ahead-of-segment"))) {
    const Offset offset = pending_snapshots_.front().offset;
    std::vector<std::uint8_t> bytes = pending_snapshots_.front().bytes;
    CO_TRY_VOID(co_await io::replace_file(
        loop(), io::join_path(path_, segment_file_name(offset, ".snapshot")), std::move(bytes)));
    std::erase_if(pending_snapshots_,
                  [offset](const PendingSnapshot& saved) { return saved.offset == offset; });
    snapshots_.insert(offset);
  }
  co_return Result<void>{};
}

io::Task<Result<void>> FileLog::flush() {
  const Offset wanted = end_;
  const JournalSequence sequence = last_sequence_;
  if (services_.journal != nullptr) CO_TRY_VOID(co_await wait_journal(sequence));
  FilesLock lock = co_await lock_files();
  while (recovery_point_ < std::min(wanted, end_) || needs_sync()) {
    const Offset before = recovery_point_;
    CO_TRY_VOID(co_await write_all());
    CO_TRY_VOID(co_await sync_locked());
    if (recovery_point_ >= std::min(wanted, end_) || recovery_point_ == before) break;
  }
  co_return Result<void>{};
}

// --- The end

io::Task<Result<void>> FileLog::close() {
  closing_ = true;  // what came now would be in no file and, with the journal gone, nowhere
  Result<void> written;
  if (services_.journal != nullptr && !fenced_) written = co_await wait_journal(last_sequence_);
  FilesLock lock = co_await lock_files();
  if (written && !fenced_) written = co_await finish_writes();
  // What was not written is still wanted from the journal by the next start.
  if (written && !fenced_ && services_.journal != nullptr && journal_known_) {
    services_.journal->forget(*this);
    journal_known_ = false;
  }
  wake_waiters(true, INT64_MAX);
  co_await await_readers();
  tail_->clear();
  for (const SegmentPtr& segment : segments_) segment->close_files(*services_.files);
  co_return written;
}

// All that a clean stop leaves on disk.
io::Task<Result<void>> FileLog::finish_writes() {
  CO_TRY_VOID(co_await write_all());
  if (end_ > 0) take_snapshot(end_);
  SegmentPtr active = segments_.back();
  if (!active->file_exists) CO_TRY_VOID(co_await create_file(active));
  CO_TRY_VOID(co_await sync_locked());
  active->set_complete();
  CO_TRY_VOID(co_await active->save_indexes(loop()));
  if (saved_epochs_.empty()) {
    saved_epochs_ = epochs_.encode(recovery_point_);
    CO_TRY_VOID(co_await io::replace_file(loop(), io::join_path(path_, "leader-epoch-checkpoint"),
                                          bytes_of(saved_epochs_)));
  }
  co_return co_await io::sync_directory(loop(), path_);
}

io::Task<void> FileLog::discard() {
  FilesLock lock = co_await lock_files();
  ++generation_;
  if (!fenced_) {
    fenced_ = true;
    fence_reason_ = Error{Errc::closed, 0, "the partition was deleted"};
  }
  progress_->wake_all();
  wake_waiters(true, INT64_MAX);
  if (services_.journal != nullptr && journal_known_) services_.journal->forget(*this);
  journal_known_ = false;
  pending_marks_.clear();
  durable_marks_.clear();
  log_start_marks_.clear();
  tail_->clear();
  co_await await_readers();
  for (const SegmentPtr& segment : segments_) segment->close_files(*services_.files);
}

io::Task<Result<void>> FileLog::attach(LogServices services) {
  co_await await_readers();
  if (has_unwritten() || unsynced_bytes_ > 0 || !durable_marks_.empty() ||
      !pending_marks_.empty()) {
    co_return failure(Errc::invalid, path_ + ": moved while not all of it is synced (" +
                                         std::to_string(unwritten_bytes()) + " unwritten, " +
                                         std::to_string(unsynced_bytes_) + " unsynced, " +
                                         std::to_string(durable_marks_.size()) + " marks)");
  }
  for (const SegmentPtr& segment : segments_) segment->close_files(*services_.files);
  bind(std::move(services));
  co_return Result<void>{};
}

}  // namespace drave::segments
