#pragma once
// The log of one partition: batches in Kafka's format, from the log start offset to the end.
//
// Newest bytes are in the tail (memory), what the flusher wrote is in segment files, and the
// journal holds what is not yet in *synced* segment files. Appends never suspend. Reads come from
// the tail, else from the page cache, else from the disk.
//
// Offsets: log_start <= durable_end <= end. [log_start, end) has been appended; [.., durable_end)
// survives a power cut. The high watermark is not the log's but its owner's (broker/replica).
//
// Owned by a LogDirectory; lives on one shard's loop, and moves to another only while nothing of it
// is in a journal. After a failed journal or segment write the log is fenced: appends return
// Errc::fenced, reads of what is intact go on.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/intrusive_list.h"
#include "base/result.h"
#include "io/loop.h"
#include "io/sync.h"
#include "io/task.h"
#include "segments/journal.h"
#include "segments/log_config.h"
#include "segments/producer_state.h"

namespace drave::segments {

// Told when something becomes durable, or never will.
struct DurableWaiter : ListLink<struct DurableWaiterTag> {
  Offset wanted = 0;  // wakes when durable_end() >= wanted
  // Called from the journal's completion, unlinked. `failed`: the log was fenced, truncated or
  // removed.
  void (*done)(DurableWaiter&, bool failed) = nullptr;
};

// Told of every advance of durable_end() and of the end of the log's life; a broker's replica is
// one.
class LogObserver {
 public:
  virtual void on_durable_end_advanced(Offset durable_end) = 0;
  virtual void on_log_fenced(const Error& error) = 0;

 protected:
  ~LogObserver() = default;
};

struct AppendResult {
  Offset first_offset = 0;
  Offset end_offset = 0;         // of the batch: last offset + 1
  TimestampMs append_time = -1;  // where LogAppendTime was stamped
};

// A run of bytes to be sent; keeps its memory alive. May be released on any shard.
class LogPiece {
 public:
  LogPiece() = default;
  LogPiece(std::shared_ptr<const void> owner, ByteView bytes)
      : owner_(std::move(owner)), bytes_(bytes) {}
  ByteView bytes() const { return bytes_; }
  // What bytes() are in.
  const std::shared_ptr<const void>& owner() const { return owner_; }

 private:
  std::shared_ptr<const void>
      owner_;  // shared: sent by the connection's shard, cached by the log's
  ByteView bytes_;
};

struct ReadRequest {
  Offset offset = 0;
  Offset end_limit = INT64_MAX;  // batches that begin at or after this are not returned
  std::size_t bytes_max = 0;
  bool at_least_one_batch = false;  // return the first batch even if it exceeds bytes_max
};

struct ReadResult {
  std::vector<LogPiece>
      pieces;            // whole batches, in order; the first may begin below the asked offset
  std::size_t size = 0;  // bytes of all pieces
  Offset log_start = 0;
  bool from_disk = false;  // a disk was asked: catch-up reading
};

struct TimestampOffset {
  Offset offset = -1;
  TimestampMs timestamp = -1;
  LeaderEpoch leader_epoch = -1;
};

struct EpochEnd {
  LeaderEpoch epoch = -1;
  Offset end_offset = -1;
};

struct AbortedTransaction {
  ProducerId producer_id = -1;
  Offset first_offset = -1;
};

class PartitionLog {
 public:
  virtual ~PartitionLog() = default;

  // --- What it is
  virtual const std::string& topic() const = 0;
  virtual const TopicIdPartition& id() const = 0;
  virtual Offset log_start() const = 0;
  virtual Offset end() const = 0;
  virtual Offset durable_end() const = 0;
  // First offset of the earliest open transaction, or end() if none is open.
  virtual Offset last_stable_offset() const = 0;
  virtual std::int64_t size_bytes() const = 0;  // segment files and tail
  virtual bool is_fenced() const = 0;
  virtual LeaderEpoch latest_epoch() const = 0;
  virtual const ProducerStates& producers() const = 0;

  // --- Writing (never suspends)
  // Checks a produced batch (already valid by itself, protocol/batch_validator.h) against the
  // producer's state: new, duplicate of one of the last five, or an error.
  virtual SequenceCheck check_sequence(const ProducerBatch& batch) const = 0;
  // Stamps base offset and leader epoch into `batch` (in place, outside the CRC), copies it into
  // tail and journal and advances end(). The batch is one valid v2 batch. Errc::fenced; Errc::busy
  // when journal or tail are full (the caller holds the request back and waits for room()).
  virtual Result<AppendResult> append_as_leader(MutableByteView batch, LeaderEpoch epoch,
                                                TimestampMs now_ms) = 0;
  // Appends batches that already carry offset and epoch (replication, raft follower); offsets
  // continue end().
  virtual Result<AppendResult> append_as_follower(ByteView batches, TimestampMs now_ms) = 0;
  // A new leader epoch begins at end(); remembered once a batch of it is appended.
  virtual void begin_epoch(LeaderEpoch epoch) = 0;

  // Durability of what was appended up to `waiter.wanted`; with flush.messages > 1, of its
  // acceptance. Calls done() at once if it is so already.
  virtual void when_durable(DurableWaiter& waiter) = 0;
  virtual void set_observer(LogObserver* observer) = 0;
  // Wakes when append may succeed again after Errc::busy.
  virtual io::WaitQueue& room() = 0;

  // --- Reading
  // What can be had without sleeping: from tail or page cache. nullopt: ask read().
  // Errors: Errc::out_of_range (below log_start or above end), Errc::corrupt (rot:
  // KAFKA_STORAGE_ERROR).
  virtual Result<std::optional<ReadResult>> try_read(const ReadRequest& request) = 0;
  virtual io::Task<Result<ReadResult>> read(ReadRequest request) = 0;
  // Aborted transactions that overlap [first, last), for READ_COMMITTED fetches.
  virtual io::Task<Result<std::vector<AbortedTransaction>>> aborted_transactions(Offset first,
                                                                                 Offset last) = 0;
  // The first record with a timestamp of at least `timestamp` below `limit`; none: offset -1.
  virtual io::Task<Result<TimestampOffset>> find_by_timestamp(TimestampMs timestamp,
                                                              Offset limit) = 0;
  // The record with the largest timestamp below `limit` (ListOffsets -3).
  virtual io::Task<Result<TimestampOffset>> find_max_timestamp(Offset limit) = 0;
  // The largest epoch <= `epoch` and where it ends (KIP-101, KIP-279); {-1, -1}: none.
  virtual EpochEnd end_offset_for_epoch(LeaderEpoch epoch) const = 0;
  virtual LeaderEpoch epoch_of(Offset offset) const = 0;

  // --- Cutting
  // Removes [offset, end()). Durable when the task completes; waiters above fail.
  virtual io::Task<Result<void>> truncate_to(Offset offset) = 0;
  // Removes everything; the log is empty at `offset`.
  virtual io::Task<Result<void>> truncate_fully_to(Offset offset) = 0;
  // Moves log_start forward (DeleteRecords, snapshots); whole segments below it are deleted later.
  // Durable when the task completes. Errc::out_of_range above end().
  virtual io::Task<Result<void>> advance_log_start(Offset offset) = 0;

  // --- Upkeep
  virtual void set_config(const LogConfig& config) = 0;
  virtual const LogConfig& config() const = 0;
  // Deletes segments by time and size (never above `limit`, the high watermark), rolls an expired
  // active segment. Returns segments deleted; at most `segments_max` per call.
  virtual io::Task<Result<int>> enforce_retention(TimestampMs now_ms, Offset limit,
                                                  int segments_max) = 0;
  virtual void expire_producers(TimestampMs now_ms, std::int64_t expiration_ms) = 0;
  // Writes everything appended so far to its segment and syncs it; releases the journal.
  virtual io::Task<Result<void>> flush() = 0;
};

}  // namespace drave::segments
