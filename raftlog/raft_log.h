#pragma once
// A replicated log, `__cluster_metadata-0` unless it is told otherwise: the consensus core
// (core/core.h) with its disk and its peers.
//
// Owns the log's file `quorum-state` and its `.checkpoint` files, in the log's directory, and the
// connections to the other replicas. Lives on one loop, the log's. Files are Kafka's, byte for
// byte, and so is what it says to others.
//
// What it guarantees:
// - What the listener is given, and what append() or propose() report as committed, is on the disks
//   of a majority of the voters. A quorum of one commits what it has flushed.
// - The listener of every node is given the same batches in the same order; what this node appended
//   itself while it led counts as given.
// - A restarted node gives its listener the newest snapshot at once, and what the log holds behind
//   it as soon as a leader says how much of it is committed (alone: at once).
// - After a failed write the log is fenced: nothing more is committed, nothing more is said, every
//   wait ends with Errc::fenced, and the node must end (RaftListener::on_failed).
//
// Order of calls: open(), start(), ..., stop(). Handlers of requests may be called from open() to
// stop(); what waits in them is answered when it stops.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/intrusive_list.h"
#include "base/result.h"
#include "io/loop.h"
#include "io/operation.h"
#include "io/task.h"
#include "protocol/messages/add_raft_voter.h"
#include "protocol/messages/begin_quorum_epoch.h"
#include "protocol/messages/describe_quorum.h"
#include "protocol/messages/end_quorum_epoch.h"
#include "protocol/messages/fetch.h"
#include "protocol/messages/fetch_snapshot.h"
#include "protocol/messages/remove_raft_voter.h"
#include "protocol/messages/update_raft_voter.h"
#include "protocol/messages/vote.h"
#include "protocol/owned_message.h"
#include "protocol/record_batch.h"
#include "raftlog/core/core.h"
#include "raftlog/fetch_wire.h"
#include "raftlog/raft_limits.h"
#include "raftlog/snapshot.h"
#include "segments/log_directory.h"

namespace drave::raft {

class Links;

inline constexpr std::string_view kMetadataTopic = "__cluster_metadata";

// controller.quorum.*.ms, with Kafka's defaults.
struct QuorumTimers {
  Duration election_timeout = seconds(1);
  Duration election_backoff_max = seconds(1);
  Duration fetch_timeout = seconds(2);
  Duration request_timeout = seconds(2);
  Duration retry_backoff = milliseconds(20);
};

struct RaftOptions {
  std::string cluster_id;  // a request that names another is refused; empty: none is
  NodeId node_id = -1;
  Uuid directory_id;       // of the log's directory
  bool voter_role = true;  // process.roles has `controller`; false: an observer for ever
  bool auto_join = false;  // controller.quorum.auto.join.enable: an observer asks to be a voter
  // Of a static quorum (kraft.version 0), with their endpoints; empty: the log knows them. They
  // count for nothing once the log has voters (kraft.version 1).
  std::vector<Voter> static_voters;
  // controller.quorum.bootstrap.servers: who may know the leader. Looked up anew on each attempt.
  std::vector<io::SocketAddress> bootstrap_servers;
  // controller.quorum.fetch.max.bytes, controller.quorum.fetch.snapshot.max.bytes: what is asked
  // for at once, at most; less after answers that came too late (FetchSize). A batch is never cut.
  std::size_t fetch_bytes_max = kLogReadBytes;
  std::size_t snapshot_bytes_max = kSnapshotPieceBytes;
  VoterEndpoint endpoint;  // where this controller is reached; kept up to date in the voter set
  QuorumTimers timers;

  Links* links = nullptr;  // shared with other logs, outlives this one; null: its own

  std::string topic{kMetadataTopic};
  TopicIdPartition id{kMetadataTopicId, 0};
  segments::LogConfig log;  // its retention counts for nothing: snapshots decide
  // Of log and snapshots; beyond, the oldest snapshot goes.
  std::int64_t retention_bytes = 100 << 20;
  std::int64_t retention_ms = 7LL * 24 * 3600 * 1000;
};

// Who applies what is committed. Called on the log's loop; also from within whatever makes
// consensus take a step: append(), step_down(), transfer(), stop(), others' requests. Not from
// within propose(), nor what is const. It calls none of them itself, but for propose(). An error
// from it ends the log (on_failed).
class RaftListener {
 public:
  // Everything applied so far is replaced by a snapshot's batches (checked): at start, and when the
  // leader's was loaded because the log does not reach so far back.
  virtual Result<void> on_snapshot(ByteView batches, OffsetAndEpoch id) = 0;
  // The next committed batch, data or control (checked). Of what this node appended between
  // on_leading() and on_resigned() it is called for control batches only: changes of voters.
  // False: that was a piece of it, as much as a pass should take; it is given again in a later
  // pass, unless a snapshot comes first. A control batch is taken whole.
  virtual Result<bool> on_batch(const protocol::BatchView& batch) = 0;
  // Committed up to here, and given to on_batch().
  virtual void on_high_watermark(Offset high_watermark) = 0;
  // This node leads; its epoch's first batch is committed and, with everything before it, has been
  // given to on_batch(). Appends may begin.
  virtual void on_leading(LeaderEpoch epoch) = 0;
  // It leads no more. Of what it appended, that below `committed` counts; from there on batches
  // come by on_batch() again, whoever wrote them, and what was appended may be among them.
  virtual void on_resigned(Offset committed) = 0;
  // -1: not known.
  virtual void on_leader_changed(NodeId leader, LeaderEpoch epoch) = 0;
  // The log is of no use any more: a disk that failed, a log that contradicts what is committed.
  virtual void on_failed(const Error& error) = 0;

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
  NodeId leader = -1;  // -1: not known, or not heard for kLeaderlessTold
  LeaderEpoch epoch = 0;
  Offset high_watermark = -1;
  std::vector<ReplicaStatus> voters;
  std::vector<ReplicaStatus> observers;
  std::vector<Voter> nodes;  // the voters with their endpoints
  Role role = Role::unattached;
};

// Since the node started.
struct ElectionCounters {
  std::uint64_t leaders = 0;  // how often a leader became known, the same in a new epoch too
  std::uint64_t led = 0;      // of them: this node
  std::uint64_t gaps = 0;     // how often none was known before
  Duration leaderless;        // for how long, all in all, those that ended
  Duration leaderless_max;    // the longest
};

// A value that is to be replicated. Lives in its owner, and stays where it is until done().
struct Proposal : ListLink<struct ProposalTag> {
  ByteView value;   // of a record; valid until done()
  Offset end = -1;  // behind it, once it is appended
  // Called once, from the log's loop, unlinked; it may propose again and may destroy the proposal.
  // `error` null: committed. Errc::closed: this node does not lead (any more); what was appended
  // may be committed all the same. Errc::fenced, Errc::too_large.
  void (*done)(Proposal&, const Error* error) = nullptr;
};

class RaftLog {
 public:
  virtual ~RaftLog() = default;

  // Opens the metadata log of `directory`, with a journal of its own. Hands the newest whole
  // snapshot to the listener; a quorum of one also hands over all batches behind it.
  // Errors: corrupt (a snapshot or the log, with its file), invalid (no voters are known and no
  // bootstrap servers; more than kVotersMax; or the only voter is this node with another
  // directory), io.
  static io::Task<Result<std::unique_ptr<RaftLog>>> open(io::Loop& loop,
                                                         segments::LogDirectory& directory,
                                                         RaftOptions options,
                                                         RaftListener& listener);
  // The same with a log (options.topic, options.id) of a shard that others use, too: several groups
  // share its journal. `directory_path` is the log directory's. The shard outlives the RaftLog.
  static io::Task<Result<std::unique_ptr<RaftLog>>> open(io::Loop& loop, segments::LogShard& shard,
                                                         std::string directory_path,
                                                         RaftOptions options,
                                                         RaftListener& listener);
  // Elections, fetching and delivery begin. A quorum of one elects itself.
  virtual void start() = 0;

  virtual bool is_leader() const = 0;  // from on_leading() to on_resigned()
  virtual LeaderEpoch epoch() const = 0;
  virtual Offset end() const = 0;
  virtual Offset log_start() const = 0;
  virtual Offset high_watermark() const = 0;  // -1: unknown
  virtual std::int16_t kraft_version() const = 0;
  virtual const std::vector<Voter>& voters() const = 0;
  // For a snapshot of what ends at `offset`: a later set may not be committed yet.
  virtual std::int16_t kraft_version_at(Offset offset) const = 0;
  virtual std::vector<Voter> voters_at(Offset offset) const = 0;
  // The leader of epoch() with what is known of its endpoints; nothing: no leader is known.
  virtual std::optional<Voter> leader_node() const = 0;
  // Why others do not let this node take part in the quorum, as they last said, for an operator;
  // empty: nobody refused, or a leader is known.
  virtual std::string refusal() const = 0;
  virtual QuorumStatus status() const = 0;
  virtual const ElectionCounters& elections() const = 0;
  virtual bool is_voter() const = 0;  // of the newest voter set that is in the log

  // --- Leading
  // Appends one batch of metadata records with these values at end(), in the own epoch; returns its
  // end offset, appended and not yet committed: this node still leads then. Suspends only while the
  // journal is full; the caller lets one append run at a time. Errors: fenced, too_large, closed:
  // does not lead, perhaps no more (on_resigned() has been called, and what was appended may come
  // by on_batch() all the same), or takes nothing in while it hands over, which may fail: it leads
  // on then.
  virtual io::Task<Result<Offset>> append(std::vector<ByteView> values) = 0;
  // Returns when [.., end) is committed. Errors: fenced, closed (stopped or resigned before).
  virtual io::Task<Result<void>> committed(Offset end) = 0;
  // The fast way: what is proposed in one pass becomes one batch. Nothing is allocated per
  // proposal. Not mixed with append(). done() is never called from within.
  virtual void propose(Proposal& proposal) = 0;
  // Raises kraft.version to `level`, at most 1: a static quorum becomes one whose voters can be
  // changed. The level and the voters, with the directories and endpoints that they have told this
  // leader, are one batch; returns its end once it is committed. Nothing happens at a level that
  // there is already. Errors: closed (does not lead), invalid (a level that cannot be, or a voter
  // that has not said yet that it speaks it; text as Kafka's), timed_out (voters are changing, or
  // it was not committed in time).
  virtual io::Task<Result<Offset>> upgrade_kraft_version(std::int16_t level) = 0;
  // Whether that would be begun now.
  virtual Result<void> may_upgrade_kraft_version(std::int16_t level) const = 0;
  // Hands leadership to this voter; returns when this node does not lead any more. Errors: closed
  // (does not lead), invalid (no such voter), timed_out (it could not catch up in time).
  virtual io::Task<Result<void>> transfer(NodeId voter) = 0;
  // Leads no more, at once (on_resigned() has been called on return): for who cannot go on with
  // what it has begun to append. Nothing happens where nothing is appended any more: this node does
  // not lead, or hand_over() was called.
  virtual void step_down() = 0;

  // --- Snapshots
  // Writes a snapshot, durable on return, then drops the snapshots and the part of the log that
  // retention no longer wants. `id.offset` is at most the high watermark and was delivered. On a
  // disk that is full nothing has happened; one that fails ends the log.
  virtual io::Task<Result<void>> write_snapshot(OffsetAndEpoch id,
                                                std::vector<std::uint8_t> bytes) = 0;
  virtual OffsetAndEpoch latest_snapshot() const = 0;  // {-1, -1}: none
  // Bytes of committed batches behind latest_snapshot(); more than any bound (kSnapshotAtOnce) when
  // a replica needs a new one, for what it has to be sent cannot be read.
  virtual std::int64_t bytes_since_snapshot() const = 0;

  // --- Requests of others, answered as KRaft answers them, in every version that Kafka 4.3
  // accepts. A request is kept by the caller until its task has ended. Records and text of an
  // answer belong to it.
  virtual io::Task<protocol::OwnedMessage<protocol::VoteResponse>> vote(
      const protocol::VoteRequest& request, std::int16_t version) = 0;
  virtual io::Task<protocol::OwnedMessage<protocol::BeginQuorumEpochResponse>> begin_quorum_epoch(
      const protocol::BeginQuorumEpochRequest& request, std::int16_t version) = 0;
  virtual io::Task<protocol::OwnedMessage<protocol::EndQuorumEpochResponse>> end_quorum_epoch(
      const protocol::EndQuorumEpochRequest& request, std::int16_t version) = 0;
  // Of replicas; waits for something to send, up to max_wait_ms and no longer than a fetch timeout,
  // one of each replica: an older one is answered then.
  virtual io::Task<protocol::OwnedMessage<protocol::FetchResponse>> fetch(
      const protocol::FetchRequest& request, std::int16_t version) = 0;
  // The same of one that was read without a FetchRequest.
  virtual io::Task<wire::Fetched> fetch_plain(const wire::FetchAsked& request) = 0;
  virtual const wire::Group& group() const = 0;  // which it is to others
  virtual io::Task<protocol::OwnedMessage<protocol::FetchSnapshotResponse>> fetch_snapshot(
      const protocol::FetchSnapshotRequest& request, std::int16_t version) = 0;
  virtual io::Task<protocol::OwnedMessage<protocol::AddRaftVoterResponse>> add_raft_voter(
      const protocol::AddRaftVoterRequest& request, std::int16_t version) = 0;
  virtual io::Task<protocol::OwnedMessage<protocol::RemoveRaftVoterResponse>> remove_raft_voter(
      const protocol::RemoveRaftVoterRequest& request, std::int16_t version) = 0;
  virtual io::Task<protocol::OwnedMessage<protocol::UpdateRaftVoterResponse>> update_raft_voter(
      const protocol::UpdateRaftVoterRequest& request, std::int16_t version) = 0;
  // Who does not lead adds to its refusal what it knows (describe_quorum.h).
  virtual protocol::OwnedMessage<protocol::DescribeQuorumResponse> describe_quorum(
      const protocol::DescribeQuorumRequest& request, std::int16_t version) = 0;

  // A leader waits until what it appended is committed, hands over to the best successor, tells the
  // others and waits until there is a new leader: all in all for kStopWaitMax. From the call on
  // nothing is appended any more, and this node is no candidate.
  virtual io::Task<void> hand_over() = 0;
  // hand_over(), unless that was done; then everything is written to segments and the journal is
  // closed (unless the shard is another's). Ends all waits.
  virtual io::Task<Result<void>> stop() = 0;
};

}  // namespace drave::raft
