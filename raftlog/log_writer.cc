#include "raftlog/log_writer.h"

#include <utility>

#include "base/assert.h"

namespace drave::raft {

void LogWriter::append(ByteView batches) {
  if (failed_ || batches.empty()) return;
  if (is_idle()) {
    const auto appended = log_->append_as_follower(batches, loop_.wall_now());
    if (appended) return;
    if (appended.error().code != Errc::busy) {
      // Told by the task, as all else.
      add({-1, 0, {batches.begin(), batches.end()}});
      return;
    }
  }
  add({-1, 0, {batches.begin(), batches.end()}});
}

void LogWriter::truncate(Offset to, std::uint64_t generation) {
  if (!failed_) add({to, generation, {}});
}

void LogWriter::add(Work work) {
  waiting_.push_back(std::move(work));
  if (std::exchange(working_, true)) return;
  scope_.spawn(run());
}

io::Task<void> LogWriter::run() {
  while (!waiting_.empty() && !failed_) {
    Work work = std::move(waiting_.front());
    waiting_.pop_front();
    const std::uint64_t generation = work.generation;
    const bool truncates = work.truncate_to >= 0;
    const Result<void> done = co_await perform(std::move(work));
    if (!done) {
      failed_ = true;
      waiting_.clear();
      owner_.on_write_failed(done.error());
    } else if (truncates) {
      owner_.on_truncated(generation);
    }
  }
  working_ = false;
  drained_.wake_all();
  if (!failed_) owner_.on_writer_idle();
}

io::Task<Result<void>> LogWriter::perform(Work work) {
  if (work.truncate_to >= 0) {
    CO_TRY_VOID(co_await log_->truncate_to(work.truncate_to));
    if (log_->end() != work.truncate_to)
      co_return failure(Errc::corrupt, "the log was not cut between two batches");
    co_return Result<void>{};
  }
  while (true) {
    const auto appended = log_->append_as_follower(work.batches, loop_.wall_now());
    if (appended) co_return Result<void>{};
    if (appended.error().code != Errc::busy || scope_.is_stopping())
      co_return std::unexpected(appended.error());
    co_await log_->room().wait();
  }
}

io::Task<void> LogWriter::drain() {
  while (!is_idle() && !failed_) co_await drained_.wait();
}

}  // namespace drave::raft
