#pragma once
// Consensus as a step function: what happened goes in, what must be done comes out. No I/O, no
// clock, no randomness; the driver (raftlog/raft_log.h) does what effects() asks and reports back.
//
// The rules that it keeps, each with a test (tests/raftlog/core_test.cc):
// - the epoch never falls, and a vote is cast once in an epoch; both are one record, durable before
// any
//   reply leaves and before any byte of the epoch is appended
// - a leader that was restarted neither leads nor votes again in the epoch it led
// - votes go only to candidates whose log is at least as long, epoch before offset
// - the high watermark moves only over entries of the leader's own epoch, never back, and counts a
//   replica, the leader itself included, by what it has flushed
//
// In this version the driver runs a quorum of one; the core counts votes and offsets of any number.
// Words are Kafka's: epoch (Raft's term), high watermark (commit index), Resigned.

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "base/ids.h"

namespace drave::raft {

// A voter's identity: a wiped disk is another voter. In a static quorum the directory is zero and
// only the id counts.
struct ReplicaKey {
  NodeId id = -1;
  Uuid directory_id;
  bool operator==(const ReplicaKey&) const = default;
  // The same replica, as far as the voter set knows directories.
  bool matches(const ReplicaKey& other) const {
    return id == other.id && (directory_id.is_zero() || other.directory_id.is_zero() ||
                              directory_id == other.directory_id);
  }
};

// What is durable of elections: the content of `quorum-state`.
struct ElectionState {
  LeaderEpoch epoch = 0;
  NodeId leader = -1;               // -1: not known
  std::optional<ReplicaKey> voted;  // for whom in `epoch`
  bool operator==(const ElectionState&) const = default;
};

enum class Role : std::uint8_t {
  unattached,  // knows no leader
  candidate,   // asks for votes in its epoch
  leader,
  follower,  // knows the leader
  resigned,  // led this epoch, does not any more, and keeps quiet in it
};

// What the driver has to do, in this order.
struct Effects {
  std::optional<ElectionState> persist;  // make durable, then call persisted()
  bool begin_epoch = false;  // append the LeaderChange record at the log's end; then appended()
  bool high_watermark_moved = false;
};

struct VoteRequest {
  LeaderEpoch epoch = 0;
  ReplicaKey candidate;
  OffsetAndEpoch last;  // end offset of the candidate's log and epoch of its last record
};

struct VoteReply {
  LeaderEpoch epoch = 0;
  NodeId leader = -1;
  bool granted = false;
};

class Core {
 public:
  // `voters` includes this replica if it may lead.
  Core(ReplicaKey self, std::vector<ReplicaKey> voters);

  // Once, with what the disk says: the durable state, the end of the log and the epoch of its last
  // record (-1: empty). All of the log is durable.
  void start(const ElectionState& durable, OffsetAndEpoch log_end);

  // --- What happened
  // The election timer fired; or, alone, the node is ready to lead. Nothing happens if it leads
  // already, or is no voter.
  void campaign();
  // `state` is durable: it was asked for by effects().persist.
  void persisted(const ElectionState& state);
  // The own log ends at `end`, whose last record has epoch(); as the leader.
  void appended(Offset end);
  // The own log is durable up to `end`.
  void flushed(Offset end);
  // A voter fetches from `offset`: it has everything below on its disk.
  void fetched(const ReplicaKey& voter, Offset offset);
  void vote_granted(const ReplicaKey& voter, LeaderEpoch epoch);
  // The reply may leave only after effects().persist was done.
  VoteReply vote_requested(const VoteRequest& request);
  // Steps down; the epoch is over for this node.
  void resign();

  // What is to be done since the last call.
  Effects effects();

  // --- What is
  Role role() const { return role_; }
  bool is_leader() const { return role_ == Role::leader; }
  LeaderEpoch epoch() const { return state_.epoch; }
  NodeId leader() const { return state_.leader; }
  const ElectionState& state() const { return state_; }
  // -1: unknown in this epoch.
  Offset high_watermark() const { return high_watermark_; }
  // Of the first record of the epoch that this node leads; -1 before it was appended.
  Offset epoch_start() const { return epoch_start_; }
  bool is_voter() const;
  bool is_alone() const { return voters_.size() == 1 && is_voter(); }
  const std::vector<ReplicaKey>& voters() const { return voters_; }
  // What is known to be on that voter's disk; -1: nothing.
  Offset replicated(const ReplicaKey& voter) const;

 private:
  void adopt(LeaderEpoch epoch);
  void win_if_elected();
  void move_high_watermark();
  std::size_t majority() const { return voters_.size() / 2 + 1; }

  ReplicaKey self_;
  std::vector<ReplicaKey> voters_;
  ElectionState state_;    // as it will be once everything asked for is durable
  ElectionState durable_;  // as it is on the disk
  Role role_ = Role::unattached;
  OffsetAndEpoch log_end_{0, -1};
  Offset flushed_ = 0;
  Offset epoch_start_ = -1;
  Offset high_watermark_ = -1;
  std::vector<NodeId> votes_;
  std::map<NodeId, Offset> replicated_;  // of other voters, in this epoch
  Effects effects_;
};

}  // namespace drave::raft
