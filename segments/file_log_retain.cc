#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/log.h"
#include "io/file.h"
#include "segments/file_log.h"
#include "segments/retention.h"

namespace drave::segments {

io::Task<Result<void>> FileLog::advance_log_start(Offset offset) {
  if (fenced_) co_return std::unexpected(fenced_error());
  if (offset > end_) {
    co_return failure(Errc::out_of_range, path_ + ": log start above the end");
  }
  if (offset <= log_start_) co_return Result<void>{};
  log_start_ = offset;
  if (epochs_.truncate_from_start(offset)) epochs_changed_ = true;
  tail_->drop_below(offset);
  co_return co_await journal_log_start(offset);
}

io::Task<Result<void>> FileLog::journal_log_start(Offset offset) {
  if (services_.journal == nullptr) co_return Result<void>{};
  journal_known_ = true;
  const JournalSequence sequence =
      services_.journal->append(*this, {JournalEntryType::log_start, id_, offset, end_, {}});
  last_sequence_ = sequence;
  log_start_marks_.push_back({sequence, offset});
  co_return co_await wait_journal(sequence);
}

void FileLog::on_log_start_checkpointed(Offset log_start) {
  while (!log_start_marks_.empty() && log_start_marks_.front().log_start <= log_start) {
    log_start_marks_.pop_front();
  }
  release_journal();
}

io::Task<Result<int>> FileLog::enforce_retention(TimestampMs now_ms, Offset limit,
                                                 int segments_max) {
  CO_TRY_VOID(co_await segments_with_times());
  FilesLock lock = co_await lock_files();
  if (fenced_) co_return std::unexpected(fenced_error());
  std::vector<SegmentFacts> facts;
  for (const SegmentPtr& segment : segments_) {
    if (!segment->largest_known) break;
    facts.push_back({segment->base_offset(), segment->end_offset,
                     static_cast<std::int64_t>(segment->size), segment->largest_timestamp.timestamp,
                     segment->created_ms});
  }
  for (std::size_t i = 0; i + 1 < facts.size(); ++i) facts[i].end_offset = facts[i + 1].base_offset;
  if (facts.size() < segments_.size() && !facts.empty()) facts.pop_back();
  std::size_t count = count_deletable(facts, config_, {now_ms, log_start_, limit});
  count = std::min(count, static_cast<std::size_t>(std::max(segments_max, 0)));
  // What no file has yet is not deleted from files: the flusher is about to write it.
  while (count > 0 && segments_[count - 1]->written < segments_[count - 1]->size) --count;
  if (count == 0) co_return 0;
  if (count == segments_.size()) roll();
  Result<void> done = co_await retire_segments(count);
  if (!done) co_return std::unexpected(fault(std::move(done).error()));
  co_return static_cast<int>(count);
}

// Takes the `count` oldest segments out of the log; their files are unlinked later, so that reads
// that were begun can end.
io::Task<Result<void>> FileLog::retire_segments(std::size_t count) {
  // What is to be recovered from must be known to be there before anything goes.
  CO_TRY_VOID(co_await sync_locked());
  if (!segments_[count]->file_exists) CO_TRY_VOID(co_await create_file(segments_[count]));
  if (names_changed_) {
    names_changed_ = false;
    CO_TRY_VOID(co_await io::sync_directory(loop(), path_));
  }
  ++generation_;
  std::vector<SegmentPtr> retired(segments_.begin(),
                                  segments_.begin() + static_cast<std::ptrdiff_t>(count));
  segments_.erase(segments_.begin(), segments_.begin() + static_cast<std::ptrdiff_t>(count));
  const Offset start = segments_.front()->base_offset();
  if (start > log_start_) {
    log_start_ = start;
    if (epochs_.truncate_from_start(start)) epochs_changed_ = true;
  }
  tail_->drop_below(start);
  // A start that readers were told never goes back, even if files come back after a power cut.
  CO_TRY_VOID(co_await journal_log_start(start));
  const Instant due = loop().now() + milliseconds(config_.file_delete_delay_ms);
  for (const SegmentPtr& segment : retired) {
    LOG_INFO("segments", "deleting {}", segment->path());
    for (const char* suffix : {".log", ".index", ".timeindex", ".txnindex", ".snapshot"}) {
      const std::string path = segment->path(suffix);
      const Result<void> renamed = co_await io::rename(loop(), path, path + ".deleted");
      if (renamed || renamed.error().code == Errc::no_space) {
        // Under its old name it goes as well; see unlink_doomed_names().
        doomed_.push_back({renamed ? path + ".deleted" : path, due});
      } else if (renamed.error().code != Errc::not_found) {
        co_return renamed;
      }
    }
    snapshots_.erase(segment->base_offset());
    segment->close_files(*services_.files);
  }
  CO_TRY_VOID(co_await io::sync_directory(loop(), path_));
  co_return co_await save_state(recovery_point_);
}

// What waits under a segment's own name goes at once: the log may come to that name again.
io::Task<Result<void>> FileLog::unlink_doomed_names() {
  for (std::size_t i = doomed_.size(); i-- > 0;) {
    if (doomed_[i].path.ends_with(".deleted")) continue;
    CO_TRY_VOID(co_await unlink_if_there(doomed_[i].path));
    doomed_.erase(doomed_.begin() + static_cast<std::ptrdiff_t>(i));
  }
  co_return Result<void>{};
}

io::Task<Result<int>> FileLog::unlink_deleted(int files_max) {
  FilesLock lock = co_await lock_files();
  int unlinked = 0;
  while (!doomed_.empty() && unlinked < files_max && doomed_.front().due <= loop().now()) {
    Result<void> gone = co_await io::unlink(loop(), doomed_.front().path);
    if (!gone && gone.error().code != Errc::not_found) {
      co_return std::unexpected(std::move(gone).error());
    }
    doomed_.pop_front();
    ++unlinked;
  }
  co_return unlinked;
}

}  // namespace drave::segments
