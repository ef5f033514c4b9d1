// What is committed goes to the listener, in order; and this node's own snapshots.
#include <fmt/format.h>

#include <algorithm>

#include "base/assert.h"
#include "base/log.h"
#include "raftlog/raft_log_impl.h"

namespace drave::raft {

io::Task<void> RaftLogImpl::run_deliveries() {
  while (!stopping_ && !failed_.has_value()) {
    if (!has_delivery()) {
      lead_if_ready();
      if (stopping_ || failed_.has_value()) break;
      co_await deliver_.wait();
      continue;
    }
    const Result<bool> delivered = co_await deliver_some();
    if (!delivered) {
      fail(delivered.error());
      break;
    }
    if (stopping_ || failed_.has_value()) break;
    if (!*delivered)
      co_await deliver_.wait();
    else if (has_delivery())
      co_await io::yield(loop_);
  }
}

bool RaftLogImpl::has_delivery() const {
  if (snapshot_to_deliver_.has_value()) return true;
  return !leading_ && !loading_ && delivered_ < std::min(core_->high_watermark(), log_->end());
}

// What has_delivery() says is there. False: it must wait for a snapshot that is taken over.
io::Task<Result<bool>> RaftLogImpl::deliver_some() {
  if (snapshot_to_deliver_.has_value()) {
    const OffsetAndEpoch id = *std::exchange(snapshot_to_deliver_, std::nullopt);
    const Result<std::vector<std::uint8_t>> bytes = co_await snapshots_.read(id);
    // A newer one has come, and this one may be gone.
    if (loading_ || snapshot_to_deliver_.has_value()) {
      if (!snapshot_to_deliver_.has_value()) snapshot_to_deliver_ = id;
      co_return !loading_;
    }
    if (!bytes) co_return std::unexpected(bytes.error());
    CO_TRY_VOID(listener_.on_snapshot(*bytes, id));
    delivered_ = id.offset;
    listener_.on_high_watermark(delivered_);
    co_return true;
  }
  CO_TRY_VOID(co_await deliver_log(std::min(core_->high_watermark(), log_->end())));
  co_return true;
}

// Hands [delivered_, end) over, or the part of it that one snapshot from elsewhere leaves.
io::Task<Result<void>> RaftLogImpl::deliver_log(Offset end) {
  std::vector<std::uint8_t> joined;
  while (delivered_ < end && !snapshot_to_deliver_.has_value() && !stopping_) {
    const Offset from = std::max(delivered_, log_->log_start());
    const segments::ReadRequest range{from, end, kLogReadBytes, true};
    Result<std::optional<segments::ReadResult>> at_once = log_->try_read(range);
    if (at_once && !at_once->has_value()) at_once = co_await log_->read(range);
    if (snapshot_to_deliver_.has_value() || loading_) break;  // the log is another one
    if (!at_once) co_return std::unexpected(at_once.error());
    const segments::ReadResult& read = **at_once;
    const Offset before = delivered_;
    if (read.pieces.size() == 1) {
      CO_TRY_VOID(co_await deliver_batches(read.pieces.front().bytes(), end));
    } else {
      joined.clear();
      for (const segments::LogPiece& piece : read.pieces)
        joined.insert(joined.end(), piece.bytes().begin(), piece.bytes().end());
      CO_TRY_VOID(co_await deliver_batches(joined, end));
    }
    if (delivery_is_over()) break;
    if (delivered_ == before)
      co_return failure(Errc::corrupt,
                        fmt::format("{}: nothing to be read at offset {}", path_, from));
    if (started_) {
      listener_.on_high_watermark(delivered_);
      co_await io::yield(loop_);
    }
  }
  co_return Result<void>{};
}

io::Task<Result<void>> RaftLogImpl::deliver_batches(ByteView bytes, Offset end) {
  protocol::BatchIterator batches(bytes);
  while (std::optional<protocol::BatchView> batch = batches.next()) {
    if (batch->last_offset() < delivered_) continue;
    if (batch->last_offset() >= end) break;
    const bool leaves_gap = batch->base_offset() > std::max(delivered_, log_->log_start());
    if (batch->is_legacy() || leaves_gap || !batch->crc_matches()) {
      co_return failure(Errc::corrupt, fmt::format("{}: the batch at offset {} fails its check",
                                                   path_, batch->base_offset()));
    }
    while (true) {
      CO_TRY(const bool whole, listener_.on_batch(*batch));
      if (whole) break;
      if (!started_) continue;  // nobody else is there yet
      co_await io::next_pass(loop_);
      if (delivery_is_over()) co_return Result<void>{};
    }
    bytes_since_snapshot_ += static_cast<std::int64_t>(batch->size_bytes());
    delivered_ = batch->last_offset() + 1;
  }
  co_return Result<void>{};
}

// Everything before the own epoch, and its first batch, has been handed over: appends may begin.
void RaftLogImpl::lead_if_ready() {
  if (leading_ || !core_->is_leader() || !core_->has_committed() || epoch_begun_end_ < 0 ||
      delivered_ < epoch_begun_end_)
    return;
  // Of what was appended meanwhile, that below came from the log.
  while (!own_controls_.empty() && own_controls_.front().end <= delivered_)
    own_controls_.pop_front();
  leading_ = true;
  led_epoch_ = core_->epoch();
  changed_.wake_all();
  listener_.on_high_watermark(delivered_);
  listener_.on_leading(led_epoch_);
}

// --- Snapshots

io::Task<Result<void>> RaftLogImpl::write_snapshot(OffsetAndEpoch id,
                                                   std::vector<std::uint8_t> bytes) {
  const Serving serving(*this);
  if (id.offset <= std::max<Offset>(latest_snapshot().offset, 0)) co_return Result<void>{};
  // A snapshot never stands above what this disk has of the log.
  // The core says so, not the log: what is written of a log that is about to be truncated does not
  // count for it.
  while (!failed_.has_value() && !stopping_ && core_->log().flushed() < id.offset)
    co_await changed_.wait();
  if (failed_.has_value() || stopping_) co_return std::unexpected(gone());
  const std::size_t size = bytes.size();
  const std::int64_t bytes_before = bytes_since_snapshot_;
  const Result<void> written = co_await snapshots_.write(id, std::move(bytes));
  // A sync that failed may have lost another name of this directory, quorum-state's.
  if (!written && written.error().code == Errc::io) fail(written.error());
  CO_TRY_VOID(written);
  // What was appended while the file was written counts for the next one.
  bytes_since_snapshot_ = std::max<std::int64_t>(bytes_since_snapshot_ - bytes_before, 0);
  LOG_INFO("raft", "snapshot written node={} topic={} offset={} epoch={} bytes={}", self_.id,
           options_.topic, id.offset, id.epoch, size);
  if (latest_snapshot() == id) {
    step(SnapshotWritten{id});
    history_.forget_before(id.offset);
    co_await drop_old_snapshots();
  }
  co_return Result<void>{};
}

// Those of which the log has nothing any more.
io::Task<bool> RaftLogImpl::delete_old_segments() {
  while (!stopping_ && !failed_.has_value() && !loading_) {
    const Result<int> deleted = co_await log_->enforce_retention(
        loop_.wall_now(), log_->log_start(), kSegmentsDeletedAtOnce);
    if (!deleted) {
      LOG_WARN("raft", "old segments were not deleted error={}", deleted.error().message());
      co_return false;
    }
    if (*deleted == 0) co_return true;
    co_await io::yield(loop_);
  }
  co_return false;
}

// The oldest go while log and snapshots are too large or they are too old; one always stays. The
// log begins where the oldest that is left ends.
io::Task<void> RaftLogImpl::drop_old_snapshots() {
  while (snapshots_.all().size() > 1 && !stopping_ && !failed_.has_value() && !loading_) {
    std::int64_t total = log_->size_bytes();
    for (const StoredSnapshot& snapshot : snapshots_.all()) total += snapshot.size;
    const StoredSnapshot oldest = snapshots_.all().front();
    const OffsetAndEpoch start = snapshots_.all()[1].id;
    const bool too_large = options_.retention_bytes >= 0 && total > options_.retention_bytes;
    const bool too_old =
        options_.retention_ms >= 0 && loop_.wall_now() - oldest.written_ms > options_.retention_ms;
    if (!too_large && !too_old) co_return;
    if (start.offset > log_->log_start()) {
      if (const Result<void> moved = co_await log_->advance_log_start(start.offset); !moved) {
        LOG_WARN("raft", "the log's start did not move error={}", moved.error().message());
        co_return;
      }
      step(LogStartMoved{start});
      if (!co_await delete_old_segments()) co_return;
    }
    if (const Result<void> gone = co_await snapshots_.remove(oldest.id); !gone) {
      LOG_WARN("raft", "a snapshot could not be removed error={}", gone.error().message());
      co_return;
    }
  }
}

}  // namespace drave::raft
