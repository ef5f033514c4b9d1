#include <algorithm>
#include <utility>

#include "base/canary.h"
#include "base/log.h"
#include "segments/file_log.h"
#include "segments/log_limits.h"

namespace drave::segments {

using protocol::BatchView;

// The segments hold what the log was at some later moment than the entry's, up to where writing had
// come. Where an entry does not fit to that, a truncation that follows in the journal voids it.
io::Task<Result<void>> FileLog::replay_append(Offset first_offset, Offset end_offset,
                                              ByteView batches) {
  if (replay_diverged_ || end_offset <= end_) co_return Result<void>{};
  protocol::BatchIterator walk(batches);
  std::size_t added = 0;
  while (std::optional<BatchView> batch = walk.next()) {
    if (batch->last_offset() < end_) continue;
    if (batch->base_offset() < end_ || (added == 0 && first_offset > end_)) {
      replay_diverged_ = true;
      break;
    }
    append_batch(*batch, loop().wall_now());
    added += batch->size_bytes();
  }
  if (added > 0) {
    add_mark(0, static_cast<std::int64_t>(added));
    if (!unwritten_since_) unwritten_since_ = loop().now();
  }
  const bool budget_is_low = services_.tails->used_bytes() - services_.tails->evictable_bytes() >
                             services_.tails->bytes_max() / 2;
  if (!budget_is_low && unwritten_bytes() < static_cast<std::int64_t>(kChunkBytesMax)) {
    co_return Result<void>{};
  }
  FilesLock lock = co_await lock_files();
  CO_TRY(const std::size_t written, co_await write_piece(kChunkBytesMax, !budget_is_low));
  if (budget_is_low && written > 0) CO_TRY_VOID(co_await write_all());
  co_return Result<void>{};
}

io::Task<Result<void>> FileLog::replay_truncate(Offset first_offset, Offset end_offset) {
  if (DRAVE_CANARY("replay-resurrects-truncated")) co_return Result<void>{};
  FilesLock lock = co_await lock_files();
  if (first_offset == end_offset) {
    replay_diverged_ = false;
    co_return co_await truncate_fully_locked(end_offset);
  }
  if (end_offset < segments_.front()->base_offset()) {
    // Retention deleted that part later. What stands behind was appended after the truncation, and
    // comes again.
    const Offset log_start = log_start_;
    CO_TRY_VOID(co_await truncate_fully_locked(end_offset));
    log_start_ = log_start;
  } else if (end_offset < end_) {
    CO_TRY_VOID(co_await truncate_locked(end_offset));
  }
  // Up to here the segments are right again, unless they end before it.
  if (end_ >= end_offset) replay_diverged_ = false;
  log_start_ = std::max(log_start_, first_offset);
  co_return Result<void>{};
}

io::Task<Result<void>> FileLog::replay_lost(Offset first_offset, Offset end_offset) {
  if (replay_diverged_ || end_offset <= end_) co_return Result<void>{};
  if (first_offset > end_) {
    replay_diverged_ = true;
    co_return Result<void>{};
  }
  FilesLock lock = co_await lock_files();
  CO_TRY_VOID(co_await write_all());
  tail_->clear();  // it knows of no damage
  SegmentPtr active = segments_.back();
  if (!active->file_exists) CO_TRY_VOID(co_await create_file(active));
  const Cut lost{{active->base_offset(), active->size}, end_offset, end_};
  CO_TRY_VOID(co_await write_lost_range(active, lost));
  note_rot(active, {lost.at.position, lost.end().position, end_, end_offset});
  unsynced_bytes_ += static_cast<std::int64_t>(kLostRangeBytes);
  written_at_ = lost.end();
  end_ = end_offset;
  roll();
  add_mark(0, 0);
  co_return Result<void>{};
}

void FileLog::replay_log_start(Offset log_start) {
  log_start_ = std::max(log_start_, log_start);
}

io::Task<Result<void>> FileLog::finish_replay() {
  {
    FilesLock lock = co_await lock_files();
    if (log_start_ > end_) CO_TRY_VOID(co_await truncate_fully_locked(log_start_));
    if (epochs_.truncate_from_start(log_start_)) epochs_changed_ = true;
    CO_TRY_VOID(co_await write_all());
    CO_TRY_VOID(co_await sync_locked());
    recovery_point_ = durable_end_ = end_;
    durable_at_ = written_at_;
  }
  if (!std::exchange(replay_diverged_, false)) co_return Result<void>{};
  Error gap{Errc::corrupt, 0,
            path_ + ": the journal goes on behind offset " + std::to_string(end_) +
                ", where the segments end"};
  report_.rotten.push_back(gap);
  co_return std::unexpected(std::move(gap));
}

}  // namespace drave::segments
