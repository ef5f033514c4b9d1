// What a leader's answers bring: batches for the log, or a snapshot in its place.
#include <utility>

#include "base/assert.h"
#include "base/canary.h"
#include "base/log.h"
#include "raftlog/raft_log_impl.h"

namespace drave::raft {

void RaftLogImpl::append_received(std::size_t count, const Received& received) {
  protocol::BatchIterator batches(received.records);
  Offset end = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::optional<protocol::BatchView> batch = batches.next();
    ASSERT(batch.has_value());
    end = batch->last_offset() + 1;
  }
  for (const wire::Control& control : received.controls) {
    if (control.offset < end) note_control(control);
  }
  writer_.append(received.records.first(batches.position()));
  if (DRAVE_CANARY("fetches-before-flush")) events_.push_back(Flushed{generation_, end});
}

void RaftLogImpl::take_chunk(const SnapshotChunk& chunk, const Received& received, bool is_last) {
  ASSERT_EQUAL(static_cast<std::int64_t>(received.chunk.size()), chunk.bytes);
  scope_.spawn(store_chunk(chunk, {received.chunk.begin(), received.chunk.end()}, is_last));
}

io::Task<void> RaftLogImpl::store_chunk(SnapshotChunk chunk, std::vector<std::uint8_t> bytes,
                                        bool is_last) {
  Result<void> stored;
  do {
    stored = co_await snapshots_.store_chunk(chunk.id, chunk.position, bytes);
  } while (!stored && co_await wait_for_space(stored.error()));
  if (stored && is_last) {
    const auto whole = co_await snapshots_.finish_download(chunk.id);
    const Errc why = whole ? Errc::io : whole.error().code;
    if (!whole && (why == Errc::corrupt || why == Errc::no_space)) {
      LOG_WARN("raft", "the leader's snapshot is {} error={}",
               why == Errc::corrupt ? "damaged" : "not stored", whole.error().message());
      step(SnapshotRefused{});
      co_return;
    }
    if (whole)
      stored = co_await take_snapshot(chunk.id, *whole);
    else
      stored = std::unexpected(whole.error());
  }
  if (!stored)
    fail(stored.error());
  else if (!is_last)
    step(ChunkStored{chunk.id, chunk.position + chunk.bytes});
}

// The log begins anew where the snapshot ends. A crash in between leaves the snapshot and the old
// log, and open() goes on from there.
io::Task<Result<void>> RaftLogImpl::take_snapshot(OffsetAndEpoch id, ByteView bytes) {
  loading_ = true;
  co_await writer_.drain();
  CO_TRY_VOID(co_await log_->truncate_fully_to(id.offset));
  CO_TRY_VOID(note_snapshot_controls(bytes, id));
  bytes_since_snapshot_ = 0;
  snapshot_to_deliver_ = id;
  loading_ = false;
  step(SnapshotLoaded{id, wire::keys_of(history_.voters())});
  generation_ = core_->log().generation();
  deliver_.wake_all();
  LOG_INFO("raft", "snapshot of the leader loaded node={} topic={} offset={} epoch={}", self_.id,
           options_.topic, id.offset, id.epoch);
  // What was before it has a hole behind it now.
  while (snapshots_.all().size() > 1 && snapshots_.all().front().id < id && !stopping_) {
    if (const Result<void> gone = co_await snapshots_.remove(snapshots_.all().front().id); !gone) {
      LOG_WARN("raft", "a snapshot could not be removed error={}", gone.error().message());
      break;
    }
  }
  co_return Result<void>{};
}

}  // namespace drave::raft
