#pragma once
// What replicas say to each other (core/messages.h) as Kafka's messages, and back. Pure.
//
// Requests are made for the newest versions; answers for the version that was asked in, whose
// fields alone they fill. Views point into the arguments, a Group above all, which outlives them.

#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "protocol/messages/add_raft_voter.h"
#include "protocol/messages/begin_quorum_epoch.h"
#include "protocol/messages/end_quorum_epoch.h"
#include "protocol/messages/fetch.h"
#include "protocol/messages/fetch_snapshot.h"
#include "protocol/messages/remove_raft_voter.h"
#include "protocol/messages/update_raft_voter.h"
#include "protocol/messages/vote.h"
#include "protocol/owned_message.h"
#include "protocol/record_batch.h"
#include "raftlog/core/messages.h"
#include "raftlog/snapshot.h"

namespace drave::raft::wire {

// A replicated log, as its messages name it.
struct Group {
  std::string cluster_id;  // empty: not named, and not checked
  std::string topic;
  TopicIdPartition id;
};

// The first of a voter's endpoints with this listener's name, else the first; null: it has none.
const VoterEndpoint* endpoint_of(const Voter& voter, std::string_view listener);

// --- Requests to others

protocol::VoteRequest request_of(const Group& group, const VoteRequest& request);
protocol::BeginQuorumEpochRequest request_of(const Group& group, const BeginEpochRequest& request,
                                             const VoterEndpoint& own);
protocol::EndQuorumEpochRequest request_of(const Group& group, const EndEpochRequest& request,
                                           const VoterEndpoint& own);
protocol::FetchRequest request_of(const Group& group, const FetchRequest& request,
                                  std::int32_t bytes_max);
protocol::FetchSnapshotRequest request_of(const Group& group, const SnapshotRequest& request,
                                          std::int32_t bytes_max);

// --- Their answers. `leader`: where the leader that they name is reached, if they say so. Errors:
// corrupt (an answer about something else).

struct LeaderAddress {
  NodeId id = -1;
  std::string host;
  std::uint16_t port = 0;
};
Result<VoteReply> reply_of(const Group& group, const protocol::VoteResponse& answer,
                           std::optional<LeaderAddress>& leader);
Result<EpochReply> reply_of(const Group& group, const protocol::BeginQuorumEpochResponse& answer,
                            std::optional<LeaderAddress>& leader);
Result<EpochReply> reply_of(const Group& group, const protocol::EndQuorumEpochResponse& answer,
                            std::optional<LeaderAddress>& leader);
// Without batches: `records` are their bytes, for read_batches().
Result<FetchReply> reply_of(const Group& group, const protocol::FetchResponse& answer,
                            std::optional<LeaderAddress>& leader, ByteView& records);
Result<SnapshotReply> reply_of(const Group& group, const protocol::FetchSnapshotResponse& answer,
                               std::optional<LeaderAddress>& leader, ByteView& bytes);

// --- Requests of others: what they ask, or with which error they are refused as a whole

template <class T>
using Asked = std::expected<T, ErrorCode>;

Asked<VoteRequest> asked(const Group& group, const protocol::VoteRequest& request);
Asked<BeginEpochRequest> asked(const Group& group,
                               const protocol::BeginQuorumEpochRequest& request);
// In version 0 successors have no directories.
Asked<EndEpochRequest> asked(const Group& group, const protocol::EndQuorumEpochRequest& request);
Asked<FetchRequest> asked(const Group& group, const protocol::FetchRequest& request,
                          std::int16_t version);
Asked<SnapshotRequest> asked(const Group& group, const protocol::FetchSnapshotRequest& request);
// The voter with its endpoints is what the request is about.
Asked<Voter> asked(const Group& group, const protocol::AddRaftVoterRequest& request);
Asked<ReplicaKey> asked(const Group& group, const protocol::RemoveRaftVoterRequest& request);
Asked<Voter> asked(const Group& group, const protocol::UpdateRaftVoterRequest& request);

// --- Answers to them. `leader`: the leader that the reply names; null: its endpoints are not known

// Refuses a request as a whole.
template <class Response>
protocol::OwnedMessage<Response> refusal(ErrorCode error) {
  protocol::OwnedMessage<Response> answer;
  answer.message.error_code = static_cast<std::int16_t>(error);
  return answer;
}

protocol::OwnedMessage<protocol::VoteResponse> answer_of(const Group& group, const VoteReply& reply,
                                                         const VoterEndpoint* leader,
                                                         std::int16_t version);
protocol::OwnedMessage<protocol::BeginQuorumEpochResponse> begin_answer_of(
    const Group& group, const EpochReply& reply, const VoterEndpoint* leader, std::int16_t version);
protocol::OwnedMessage<protocol::EndQuorumEpochResponse> end_answer_of(const Group& group,
                                                                       const EpochReply& reply,
                                                                       const VoterEndpoint* leader,
                                                                       std::int16_t version);
// Without records.
protocol::OwnedMessage<protocol::FetchResponse> answer_of(const Group& group,
                                                          const FetchReply& reply,
                                                          const VoterEndpoint* leader,
                                                          std::int16_t version);
// Without bytes.
protocol::OwnedMessage<protocol::FetchSnapshotResponse> answer_of(const Group& group,
                                                                  const SnapshotReply& reply,
                                                                  const VoterEndpoint* leader,
                                                                  std::int16_t version);
// About a partition that is not this log.
protocol::OwnedMessage<protocol::FetchSnapshotResponse> unknown_partition(
    const protocol::FetchSnapshotRequest& request);

// --- Batches

// What of a control batch concerns the quorum.
struct Control {
  Offset offset = 0;  // of the batch
  std::optional<std::vector<Voter>> voters;
  std::optional<std::int16_t> kraft_version;
};
// Errors: corrupt (a record that cannot be read), unsupported (a kraft.version that is not known).
Result<Control> control_of(const protocol::BatchView& batch);
// Whether those of a snapshot can be read; the same errors.
Result<void> check_controls(ByteView snapshot);

// The batches at the head of `records`, as far as they are whole, of magic 2, with the right CRC
// and readable. Voter sets and versions in them are added to `controls`. Where they end before the
// end because of a control batch that is not understood, `why` says so.
std::vector<Batch> read_batches(ByteView records, std::vector<Control>& controls, std::string& why);

VoterSet keys_of(const std::vector<Voter>& voters);

}  // namespace drave::raft::wire
