#pragma once
// The replicated log `__cluster_metadata-0`: the consensus core (core/core.h) with its disk.
//
// Owns the log (with a journal of its own), the file `quorum-state` and the `.checkpoint` files in
// the log's directory. Lives on shard 0. Files are Kafka's, byte for byte.
//
// This version runs a quorum of one: open() refuses a voter set with others in it. What is handed
// to the listener is committed. Alone, that is all of the durable log: whatever leads next begins
// with it.
//
// After a failed write the log is fenced: nothing more is committed, every wait ends with
// Errc::fenced, and the node must end.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "io/loop.h"
#include "io/sync.h"
#include "io/task.h"
#include "protocol/record_batch.h"
#include "raftlog/core/core.h"
#include "raftlog/snapshot.h"
#include "segments/log_directory.h"

namespace drave::raft {

inline constexpr std::string_view kMetadataTopic = "__cluster_metadata";
// Kafka's bound of one batch of the metadata log.
inline constexpr std::size_t kBatchBytesMax = 8 << 20;

struct RaftOptions {
  NodeId node_id = -1;
  Uuid directory_id;  // of the metadata log's directory
  std::vector<Voter>
      static_voters;        // of a static quorum (kraft.version 0); empty: the log knows them
  VoterEndpoint endpoint;   // where this controller is reached; kept up to date in the voter set
  segments::LogConfig log;  // its retention counts for nothing: snapshots decide
  std::int64_t retention_bytes = 100
                                 << 20;  // of log and snapshots; beyond, the oldest snapshot goes
  std::int64_t retention_ms = 7LL * 24 * 3600 * 1000;
};

// Who applies what is committed. Called on shard 0, never from within a call into the RaftLog but
// open().
class RaftListener {
 public:
  // Everything applied so far is replaced by a snapshot's batches (checked).
  virtual Result<void> on_snapshot(ByteView batches, OffsetAndEpoch id) = 0;
  // The next committed batch, data or control (checked). Not called for what append() was given.
  virtual Result<void> on_batch(const protocol::BatchView& batch) = 0;
  // A leader's high watermark has moved.
  virtual void on_high_watermark(Offset high_watermark) = 0;

 protected:
  ~RaftListener() = default;
};

struct ReplicaStatus {
  ReplicaKey key;
  Offset log_end = -1;
  TimestampMs last_fetch_ms = -1;
  TimestampMs last_caught_up_ms = -1;
};

struct QuorumStatus {
  NodeId leader = -1;
  LeaderEpoch epoch = 0;
  Offset high_watermark = -1;
  std::vector<ReplicaStatus> voters;
  std::vector<ReplicaStatus> observers;
  std::vector<Voter> nodes;  // the voters with their endpoints
};

class RaftLog {
 public:
  virtual ~RaftLog() = default;

  // Opens the log, hands the newest whole snapshot and all batches behind it to the listener.
  // Errors: corrupt (a snapshot or the log, with its file), unsupported (a quorum of others),
  // invalid (this node is not the voter that the log names), io.
  static io::Task<Result<std::unique_ptr<RaftLog>>> open(io::Loop& loop,
                                                         segments::LogDirectory& directory,
                                                         RaftOptions options,
                                                         RaftListener& listener);

  // Wins an election in a new epoch; returns when the epoch's first batch is committed.
  virtual io::Task<Result<void>> lead() = 0;

  virtual bool is_leader() const = 0;
  virtual LeaderEpoch epoch() const = 0;
  virtual Offset end() const = 0;
  virtual Offset log_start() const = 0;
  virtual Offset high_watermark() const = 0;  // -1: unknown
  virtual std::int16_t kraft_version() const = 0;
  virtual const std::vector<Voter>& voters() const = 0;
  virtual QuorumStatus status() const = 0;

  // Appends one batch of metadata records with these values at end(), in the own epoch; returns its
  // end offset, appended and not yet committed. Suspends only while the journal is full; the caller
  // lets one append run at a time. Errors: fenced, closed (does not lead), too_large.
  virtual io::Task<Result<Offset>> append(std::vector<ByteView> values) = 0;
  // Returns when [.., end) is committed. Errors: fenced, closed (stopped or resigned before).
  virtual io::Task<Result<void>> committed(Offset end) = 0;

  // Writes a snapshot, durable on return, then drops the snapshots and the part of the log that
  // retention no longer wants. `id.offset` is at most the high watermark.
  virtual io::Task<Result<void>> write_snapshot(OffsetAndEpoch id,
                                                std::vector<std::uint8_t> bytes) = 0;
  virtual OffsetAndEpoch latest_snapshot() const = 0;  // {-1, -1}: none
  // Bytes of batches appended behind latest_snapshot().
  virtual std::int64_t bytes_since_snapshot() const = 0;

  // Resigns, writes everything to segments and closes the journal.
  virtual io::Task<Result<void>> stop() = 0;
};

}  // namespace drave::raft
