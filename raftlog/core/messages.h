#pragma once
// What replicas say to each other, without bytes: Kafka's Vote, BeginQuorumEpoch, EndQuorumEpoch,
// Fetch, FetchSnapshot and the changes of voters. The driver translates to and from the wire,
// checks the cluster id, and adds endpoints and the bytes of records and snapshots.

#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "base/units.h"
#include "protocol/error_code.h"
#include "raftlog/core/state.h"

namespace drave::raft {

using protocol::ErrorCode;

// A batch that a fetch brought, as far as consensus looks into it.
struct Batch {
  Offset base = 0;
  Offset end = 0;  // exclusive
  LeaderEpoch epoch = 0;
  std::optional<VoterSet> voters;  // of a batch with a Voters control record
};

// Vote. With `pre_vote` nobody votes: the answer says whether the receiver would. `epoch` is the
// sender's own, in which a candidate voted for itself.
struct VoteRequest {
  LeaderEpoch epoch = 0;
  ReplicaKey candidate;
  ReplicaKey voter;     // who is meant
  OffsetAndEpoch last;  // end of the candidate's log and epoch of its last record, {0, 0} if empty
  bool pre_vote = false;
};
struct VoteReply {
  ErrorCode error = ErrorCode::none;
  LeaderEpoch epoch = 0;
  NodeId leader = -1;
  bool granted = false;
};

// BeginQuorumEpoch: the leader makes itself known to voters that do not fetch.
struct BeginEpochRequest {
  LeaderEpoch epoch = 0;
  NodeId leader = -1;
  ReplicaKey voter;  // who is meant
};
// EndQuorumEpoch: the leader leaves; the first successor need not wait.
struct EndEpochRequest {
  LeaderEpoch epoch = 0;
  NodeId leader = -1;
  std::vector<ReplicaKey> successors;  // best first
};
struct EpochReply {
  ErrorCode error = ErrorCode::none;
  LeaderEpoch epoch = 0;
  NodeId leader = -1;
};

// Fetch: asks for records and says that everything below `offset` is durable at the sender.
struct FetchRequest {
  LeaderEpoch epoch = 0;
  ReplicaKey replica;
  Offset offset = 0;
  LeaderEpoch last_epoch = 0;         // of the record before `offset`; 0: none
  Offset high_watermark = INT64_MAX;  // what the sender knows; INT64_MAX: does not say (before v18)
  Duration wait;
};
struct FetchReply {
  ErrorCode error = ErrorCode::none;
  LeaderEpoch epoch = 0;
  NodeId leader = -1;
  Offset high_watermark = -1;
  Offset log_start = 0;
  std::optional<OffsetAndEpoch> diverging;  // largest epoch at the leader not above last_epoch, end
  std::optional<OffsetAndEpoch> snapshot;   // fetch this instead
  Offset from = -1;            // at the leader: the driver adds batches from here on; -1: none
  std::vector<Batch> batches;  // at the replica: what came
};

// FetchSnapshot: bytes of a snapshot from a position on.
struct SnapshotRequest {
  LeaderEpoch epoch = 0;
  ReplicaKey replica;
  OffsetAndEpoch id;
  std::int64_t position = 0;
};
struct SnapshotReply {
  ErrorCode error = ErrorCode::none;
  LeaderEpoch epoch = 0;
  NodeId leader = -1;
  OffsetAndEpoch id;
  std::int64_t position = 0;
  std::int64_t size = 0;   // of the whole snapshot; the leader's driver fills it in
  std::int64_t bytes = 0;  // that came with this reply; the driver carries them
};

// AddRaftVoter, RemoveRaftVoter, UpdateRaftVoter. The driver keeps the voter's endpoints, and has
// asked a voter that is to be added which kraft.version it speaks. An upgrade makes the voters of a
// static quorum (kraft.version 0), which are ids, the same ones with their directories
// (kraft.version 1), from when on they can be changed.
struct ChangeVoterRequest {
  enum class Kind : std::uint8_t { add, remove, update, upgrade };
  Kind kind = Kind::add;
  ReplicaKey voter;
  LeaderEpoch epoch = -1;  // of an update: the leader's; else -1
  bool ack_when_committed = true;
  Duration timeout = seconds(30);
  VoterSet voters = {};  // of an upgrade: all that there are, in their order
};
struct ChangeVoterReply {
  ErrorCode error = ErrorCode::none;
  LeaderEpoch epoch = 0;
  NodeId leader = -1;
};

using Request = std::variant<VoteRequest, BeginEpochRequest, EndEpochRequest, FetchRequest,
                             SnapshotRequest, ChangeVoterRequest>;
using Reply = std::variant<VoteReply, EpochReply, FetchReply, SnapshotReply, ChangeVoterReply>;

}  // namespace drave::raft
