#include "raftlog/wire.h"

#include <fmt/format.h>

#include <algorithm>

#include "protocol/control_record.h"
#include "protocol/messages/control_records.h"
#include "protocol/record_frame.h"
#include "raftlog/core/features.h"
#include "raftlog/raft_limits.h"

namespace drave::raft::wire {

namespace {

constexpr std::int16_t kFetchTagged = 12;  // diverging epoch, leader, snapshot
constexpr std::int16_t kFetchReplicaState = 15;
constexpr std::int16_t kFetchEndpoints = 16;

std::optional<std::string_view> named_cluster(const Group& group) {
  if (group.cluster_id.empty()) return std::nullopt;
  return group.cluster_id;
}

bool is_our_cluster(const Group& group, const std::optional<std::string_view>& cluster_id) {
  return group.cluster_id.empty() || !cluster_id.has_value() || *cluster_id == group.cluster_id;
}

// A request or answer about this log and nothing else: its partition.
template <class Topics>
auto find_partition(const Group& group, const Topics& topics)
    -> decltype(&topics.front().partitions.front()) {
  if (topics.size() != 1 || topics.front().topic_name != group.topic) return nullptr;
  const auto& partitions = topics.front().partitions;
  if (partitions.size() != 1 || partitions.front().partition_index != group.id.partition)
    return nullptr;
  return &partitions.front();
}

template <class Message>
auto& only_partition(const Group& group, Message& message) {
  auto& topic = message.topics.emplace_back();
  topic.topic_name = group.topic;
  auto& partition = topic.partitions.emplace_back();
  partition.partition_index = group.id.partition;
  return partition;
}

template <class Message>
void name_own_endpoint(Message& message, const VoterEndpoint& own) {
  if (!own.host.empty()) message.leader_endpoints.push_back({own.name, own.host, own.port});
}

std::unexpected<Error> other_partition() {
  return failure(Errc::corrupt, "an answer about another partition");
}

ErrorCode code(std::int16_t number) {
  return static_cast<ErrorCode>(number);
}

template <class Answer>
void note_leader(const Answer& answer, NodeId leader, std::optional<LeaderAddress>& address) {
  for (const auto& endpoint : answer.node_endpoints) {
    if (endpoint.node_id == leader && leader >= 0 && !endpoint.host.empty())
      address = {leader, std::string(endpoint.host), static_cast<std::uint16_t>(endpoint.port)};
  }
}

template <class Reply, class Answer>
Result<Reply> epoch_reply_of(const Group& group, const Answer& answer,
                             std::optional<LeaderAddress>& leader) {
  Reply reply;
  reply.error = code(answer.error_code);
  if (reply.error != ErrorCode::none) return reply;
  const auto* partition = find_partition(group, answer.topics);
  if (partition == nullptr) return other_partition();
  reply.error = code(partition->error_code);
  reply.epoch = partition->leader_epoch;
  reply.leader = partition->leader_id;
  note_leader(answer, reply.leader, leader);
  return reply;
}

}  // namespace

const VoterEndpoint* endpoint_of(const Voter& voter, std::string_view listener) {
  for (const VoterEndpoint& endpoint : voter.endpoints) {
    if (endpoint.name == listener) return &endpoint;
  }
  return voter.endpoints.empty() ? nullptr : &voter.endpoints.front();
}

VoterSet keys_of(const std::vector<Voter>& voters) {
  VoterSet keys;
  for (const Voter& voter : voters) keys.push_back({voter.id, voter.directory_id});
  return keys;
}

// --- Requests to others

protocol::VoteRequest request_of(const Group& group, const VoteRequest& request) {
  protocol::VoteRequest message;
  message.cluster_id = named_cluster(group);
  message.voter_id = request.voter.id;
  auto& partition = only_partition(group, message);
  partition.replica_epoch = request.epoch;
  partition.replica_id = request.candidate.id;
  partition.replica_directory_id = request.candidate.directory_id;
  partition.voter_directory_id = request.voter.directory_id;
  partition.last_offset_epoch = request.last.epoch;
  partition.last_offset = request.last.offset;
  partition.pre_vote = request.pre_vote;
  return message;
}

protocol::BeginQuorumEpochRequest request_of(const Group& group, const BeginEpochRequest& request,
                                             const VoterEndpoint& own) {
  protocol::BeginQuorumEpochRequest message;
  message.cluster_id = named_cluster(group);
  message.voter_id = request.voter.id;
  auto& partition = only_partition(group, message);
  partition.voter_directory_id = request.voter.directory_id;
  partition.leader_id = request.leader;
  partition.leader_epoch = request.epoch;
  name_own_endpoint(message, own);
  return message;
}

protocol::EndQuorumEpochRequest request_of(const Group& group, const EndEpochRequest& request,
                                           const VoterEndpoint& own) {
  protocol::EndQuorumEpochRequest message;
  message.cluster_id = named_cluster(group);
  auto& partition = only_partition(group, message);
  partition.leader_id = request.leader;
  partition.leader_epoch = request.epoch;
  for (const ReplicaKey& successor : request.successors) {
    partition.preferred_successors.push_back(successor.id);
    partition.preferred_candidates.push_back({successor.id, successor.directory_id});
  }
  name_own_endpoint(message, own);
  return message;
}

protocol::FetchRequest request_of(const Group& group, const FetchRequest& request,
                                  std::int32_t bytes_max) {
  protocol::FetchRequest message;
  message.cluster_id = named_cluster(group);
  message.replica_state.replica_id = request.replica.id;
  message.max_wait_ms = static_cast<std::int32_t>(request.wait.ns / milliseconds(1).ns);
  message.max_bytes = bytes_max;
  auto& topic = message.topics.emplace_back();
  topic.topic = group.topic;
  topic.topic_id = group.id.topic_id;
  auto& partition = topic.partitions.emplace_back();
  partition.partition = group.id.partition;
  partition.current_leader_epoch = request.epoch;
  partition.fetch_offset = request.offset;
  partition.last_fetched_epoch = request.last_epoch;
  partition.partition_max_bytes = bytes_max;
  partition.replica_directory_id = request.replica.directory_id;
  partition.high_watermark = request.high_watermark;
  return message;
}

protocol::FetchSnapshotRequest request_of(const Group& group, const SnapshotRequest& request,
                                          std::int32_t bytes_max) {
  protocol::FetchSnapshotRequest message;
  message.cluster_id = named_cluster(group);
  message.replica_id = request.replica.id;
  message.max_bytes = bytes_max;
  auto& topic = message.topics.emplace_back();
  topic.name = group.topic;
  auto& partition = topic.partitions.emplace_back();
  partition.partition = group.id.partition;
  partition.current_leader_epoch = request.epoch;
  partition.snapshot_id = {request.id.offset, request.id.epoch};
  partition.position = request.position;
  partition.replica_directory_id = request.replica.directory_id;
  return message;
}

// --- Their answers

Result<VoteReply> reply_of(const Group& group, const protocol::VoteResponse& answer,
                           std::optional<LeaderAddress>& leader) {
  TRY(VoteReply reply, epoch_reply_of<VoteReply>(group, answer, leader));
  if (answer.error_code == 0) reply.granted = find_partition(group, answer.topics)->vote_granted;
  return reply;
}

Result<EpochReply> reply_of(const Group& group, const protocol::BeginQuorumEpochResponse& answer,
                            std::optional<LeaderAddress>& leader) {
  return epoch_reply_of<EpochReply>(group, answer, leader);
}

Result<EpochReply> reply_of(const Group& group, const protocol::EndQuorumEpochResponse& answer,
                            std::optional<LeaderAddress>& leader) {
  return epoch_reply_of<EpochReply>(group, answer, leader);
}

Result<FetchReply> reply_of(const Group& group, const protocol::FetchResponse& answer,
                            std::optional<LeaderAddress>& leader, ByteView& records) {
  FetchReply reply;
  reply.error = code(answer.error_code);
  if (reply.error != ErrorCode::none) return reply;
  if (answer.responses.size() != 1 || answer.responses.front().partitions.size() != 1)
    return other_partition();
  const auto& topic = answer.responses.front();
  const auto& partition = topic.partitions.front();
  if (partition.partition_index != group.id.partition ||
      (topic.topic != group.topic && topic.topic_id != group.id.topic_id))
    return other_partition();
  reply.error = code(partition.error_code);
  reply.epoch = partition.current_leader.leader_epoch;
  reply.leader = partition.current_leader.leader_id;
  reply.high_watermark = partition.high_watermark;
  reply.log_start = partition.log_start_offset;
  if (partition.diverging_epoch.epoch >= 0 && partition.diverging_epoch.end_offset >= 0)
    reply.diverging = {partition.diverging_epoch.end_offset, partition.diverging_epoch.epoch};
  if (partition.snapshot_id.epoch >= 0 && partition.snapshot_id.end_offset >= 0)
    reply.snapshot = {partition.snapshot_id.end_offset, partition.snapshot_id.epoch};
  records = partition.records.value_or(ByteView());
  note_leader(answer, reply.leader, leader);
  return reply;
}

Result<SnapshotReply> reply_of(const Group& group, const protocol::FetchSnapshotResponse& answer,
                               std::optional<LeaderAddress>& leader, ByteView& bytes) {
  SnapshotReply reply;
  reply.error = code(answer.error_code);
  if (reply.error != ErrorCode::none) return reply;
  if (answer.topics.size() != 1 || answer.topics.front().name != group.topic ||
      answer.topics.front().partitions.size() != 1)
    return other_partition();
  const auto& partition = answer.topics.front().partitions.front();
  if (partition.index != group.id.partition) return other_partition();
  reply.error = code(partition.error_code);
  reply.epoch = partition.current_leader.leader_epoch;
  reply.leader = partition.current_leader.leader_id;
  reply.id = {partition.snapshot_id.end_offset, partition.snapshot_id.epoch};
  reply.position = partition.position;
  reply.size = partition.size;
  bytes = partition.unaligned_records;
  reply.bytes = static_cast<std::int64_t>(bytes.size());
  note_leader(answer, reply.leader, leader);
  return reply;
}

// --- Requests of others

Asked<VoteRequest> asked(const Group& group, const protocol::VoteRequest& request) {
  if (!is_our_cluster(group, request.cluster_id))
    return std::unexpected(ErrorCode::inconsistent_cluster_id);
  const auto* partition = find_partition(group, request.topics);
  if (partition == nullptr || partition->replica_id < 0)
    return std::unexpected(ErrorCode::invalid_request);
  VoteRequest found;
  found.epoch = partition->replica_epoch;
  found.candidate = {partition->replica_id, partition->replica_directory_id};
  found.voter = {request.voter_id, partition->voter_directory_id};
  found.last = {partition->last_offset, partition->last_offset_epoch};
  found.pre_vote = partition->pre_vote;
  return found;
}

Asked<BeginEpochRequest> asked(const Group& group,
                               const protocol::BeginQuorumEpochRequest& request) {
  if (!is_our_cluster(group, request.cluster_id))
    return std::unexpected(ErrorCode::inconsistent_cluster_id);
  const auto* partition = find_partition(group, request.topics);
  if (partition == nullptr) return std::unexpected(ErrorCode::invalid_request);
  return BeginEpochRequest{partition->leader_epoch,
                           partition->leader_id,
                           {request.voter_id, partition->voter_directory_id}};
}

Asked<EndEpochRequest> asked(const Group& group, const protocol::EndQuorumEpochRequest& request) {
  if (!is_our_cluster(group, request.cluster_id))
    return std::unexpected(ErrorCode::inconsistent_cluster_id);
  const auto* partition = find_partition(group, request.topics);
  if (partition == nullptr) return std::unexpected(ErrorCode::invalid_request);
  EndEpochRequest found{partition->leader_epoch, partition->leader_id, {}};
  for (const auto& candidate : partition->preferred_candidates)
    found.successors.push_back({candidate.candidate_id, candidate.candidate_directory_id});
  if (found.successors.empty()) {
    for (const NodeId id : partition->preferred_successors)
      found.successors.push_back({id, Uuid()});
  }
  return found;
}

Asked<FetchRequest> asked(const Group& group, const protocol::FetchRequest& request,
                          std::int16_t version) {
  if (!is_our_cluster(group, request.cluster_id))
    return std::unexpected(ErrorCode::inconsistent_cluster_id);
  if (request.topics.size() != 1 || request.topics.front().partitions.size() != 1)
    return std::unexpected(ErrorCode::invalid_request);
  const auto& topic = request.topics.front();
  const auto& partition = topic.partitions.front();
  const bool is_ours =
      topic.topic_id.is_zero() ? topic.topic == group.topic : topic.topic_id == group.id.topic_id;
  if (!is_ours || partition.partition != group.id.partition || request.max_wait_ms < 0 ||
      partition.last_fetched_epoch < 0)
    return std::unexpected(ErrorCode::invalid_request);
  FetchRequest found;
  found.epoch = partition.current_leader_epoch;
  found.replica.id =
      version < kFetchReplicaState ? request.replica_id : request.replica_state.replica_id;
  found.replica.directory_id = partition.replica_directory_id;
  found.offset = partition.fetch_offset;
  found.last_epoch = partition.last_fetched_epoch;
  found.high_watermark = partition.high_watermark;
  found.wait = milliseconds(request.max_wait_ms);
  return found;
}

Asked<SnapshotRequest> asked(const Group& group, const protocol::FetchSnapshotRequest& request) {
  if (!is_our_cluster(group, request.cluster_id))
    return std::unexpected(ErrorCode::inconsistent_cluster_id);
  if (request.topics.size() != 1 || request.topics.front().partitions.size() != 1)
    return std::unexpected(ErrorCode::invalid_request);
  const auto& partition = request.topics.front().partitions.front();
  if (request.topics.front().name != group.topic || partition.partition != group.id.partition)
    return std::unexpected(ErrorCode::unknown_topic_or_partition);
  SnapshotRequest found;
  found.epoch = partition.current_leader_epoch;
  found.replica = {request.replica_id, partition.replica_directory_id};
  found.id = {partition.snapshot_id.end_offset, partition.snapshot_id.epoch};
  found.position = partition.position;
  return found;
}

namespace {

template <class Request>
Asked<Voter> voter_of(const Group& group, const Request& request) {
  if (!is_our_cluster(group, request.cluster_id))
    return std::unexpected(ErrorCode::inconsistent_cluster_id);
  if (request.voter_id < 0 || request.voter_directory_id.is_zero() || request.listeners.empty() ||
      request.listeners.size() > kListenersMax)
    return std::unexpected(ErrorCode::invalid_request);
  Voter voter;
  voter.id = request.voter_id;
  voter.directory_id = request.voter_directory_id;
  for (const auto& listener : request.listeners) {
    const bool is_named = !listener.host.empty() && listener.host.size() <= kHostBytesMax &&
                          listener.name.size() <= kListenerNameBytesMax;
    if (!is_named) return std::unexpected(ErrorCode::invalid_request);
    voter.endpoints.push_back(
        {std::string(listener.name), std::string(listener.host), listener.port});
  }
  return voter;
}

}  // namespace

Asked<Voter> asked(const Group& group, const protocol::AddRaftVoterRequest& request) {
  return voter_of(group, request);
}

Asked<ReplicaKey> asked(const Group& group, const protocol::RemoveRaftVoterRequest& request) {
  if (!is_our_cluster(group, request.cluster_id))
    return std::unexpected(ErrorCode::inconsistent_cluster_id);
  if (request.voter_id < 0 || request.voter_directory_id.is_zero())
    return std::unexpected(ErrorCode::invalid_request);
  return ReplicaKey{request.voter_id, request.voter_directory_id};
}

Asked<Voter> asked(const Group& group, const protocol::UpdateRaftVoterRequest& request) {
  Asked<Voter> voter = voter_of(group, request);
  if (!voter) return voter;
  const auto& range = request.kraft_version_feature;
  if (range.min_supported_version < 0 || range.max_supported_version < range.min_supported_version)
    return std::unexpected(ErrorCode::invalid_request);
  voter->kraft_version_min = range.min_supported_version;
  voter->kraft_version_max = range.max_supported_version;
  return voter;
}

// --- Answers to them

namespace {

template <class Answer>
void name_leader(Answer& answer, NodeId leader, const VoterEndpoint* endpoint) {
  if (leader < 0 || endpoint == nullptr) return;
  auto& node = answer.message.node_endpoints.emplace_back();
  node.node_id = leader;
  node.host = answer.keep(endpoint->host);
  node.port = endpoint->port;
}

template <class Response, class Reply>
protocol::OwnedMessage<Response> epoch_answer(const Group& group, const Reply& reply,
                                              const VoterEndpoint* leader, std::int16_t version) {
  protocol::OwnedMessage<Response> answer;
  auto& partition = only_partition(group, answer.message);
  partition.error_code = static_cast<std::int16_t>(reply.error);
  partition.leader_id = reply.leader;
  partition.leader_epoch = reply.epoch;
  if (version >= 1) name_leader(answer, reply.leader, leader);
  return answer;
}

}  // namespace

protocol::OwnedMessage<protocol::VoteResponse> answer_of(const Group& group, const VoteReply& reply,
                                                         const VoterEndpoint* leader,
                                                         std::int16_t version) {
  auto answer = epoch_answer<protocol::VoteResponse>(group, reply, leader, version);
  answer.message.topics.front().partitions.front().vote_granted = reply.granted;
  return answer;
}

protocol::OwnedMessage<protocol::BeginQuorumEpochResponse> begin_answer_of(
    const Group& group, const EpochReply& reply, const VoterEndpoint* leader,
    std::int16_t version) {
  return epoch_answer<protocol::BeginQuorumEpochResponse>(group, reply, leader, version);
}

protocol::OwnedMessage<protocol::EndQuorumEpochResponse> end_answer_of(const Group& group,
                                                                       const EpochReply& reply,
                                                                       const VoterEndpoint* leader,
                                                                       std::int16_t version) {
  return epoch_answer<protocol::EndQuorumEpochResponse>(group, reply, leader, version);
}

protocol::OwnedMessage<protocol::FetchResponse> answer_of(const Group& group,
                                                          const FetchReply& reply,
                                                          const VoterEndpoint* leader,
                                                          std::int16_t version) {
  protocol::OwnedMessage<protocol::FetchResponse> answer;
  auto& topic = answer.message.responses.emplace_back();
  topic.topic = group.topic;
  topic.topic_id = group.id.topic_id;
  auto& partition = topic.partitions.emplace_back();
  partition.partition_index = group.id.partition;
  partition.error_code = static_cast<std::int16_t>(reply.error);
  partition.high_watermark = reply.high_watermark;
  partition.log_start_offset = reply.log_start;
  partition.records = ByteView();
  if (version < kFetchTagged) return answer;
  partition.current_leader = {reply.leader, reply.epoch};
  if (reply.diverging.has_value())
    partition.diverging_epoch = {reply.diverging->epoch, reply.diverging->offset};
  if (reply.snapshot.has_value())
    partition.snapshot_id = {reply.snapshot->offset, reply.snapshot->epoch};
  if (version >= kFetchEndpoints) name_leader(answer, reply.leader, leader);
  return answer;
}

protocol::OwnedMessage<protocol::FetchSnapshotResponse> answer_of(const Group& group,
                                                                  const SnapshotReply& reply,
                                                                  const VoterEndpoint* leader,
                                                                  std::int16_t version) {
  protocol::OwnedMessage<protocol::FetchSnapshotResponse> answer;
  auto& topic = answer.message.topics.emplace_back();
  topic.name = group.topic;
  auto& partition = topic.partitions.emplace_back();
  partition.index = group.id.partition;
  partition.error_code = static_cast<std::int16_t>(reply.error);
  partition.snapshot_id = {reply.id.offset, reply.id.epoch};
  partition.current_leader = {reply.leader, reply.epoch};
  partition.size = reply.size;
  partition.position = reply.position;
  if (version >= 1) name_leader(answer, reply.leader, leader);
  return answer;
}

protocol::OwnedMessage<protocol::FetchSnapshotResponse> unknown_partition(
    const protocol::FetchSnapshotRequest& request) {
  protocol::OwnedMessage<protocol::FetchSnapshotResponse> answer;
  for (const auto& asked : request.topics) {
    auto& topic = answer.message.topics.emplace_back();
    topic.name = asked.name;
    for (const auto& each : asked.partitions) {
      auto& partition = topic.partitions.emplace_back();
      partition.index = each.partition;
      partition.error_code = static_cast<std::int16_t>(ErrorCode::unknown_topic_or_partition);
    }
  }
  return answer;
}

// --- Batches

Result<Control> control_of(const protocol::BatchView& batch) {
  Control control;
  control.offset = batch.base_offset();
  protocol::RecordIterator records(batch.records(), batch.record_count());
  for (protocol::RecordView record; records.next(record);) {
    TRY(const std::optional<protocol::ControlType> type, protocol::parse_control_key(record.key()));
    const ByteView value = record.value().value_or(ByteView());
    if (type == protocol::ControlType::kraft_version) {
      protocol::KRaftVersionRecord version;
      TRY_VOID(protocol::decode_control_value(value, version));
      if (version.kraft_version < 0 || version.kraft_version > kNewestKraftVersion) {
        return failure(Errc::unsupported,
                       fmt::format("the quorum's kraft.version is {}, and levels to {} are known "
                                   "here: start a newer release",
                                   version.kraft_version, kNewestKraftVersion));
      }
      control.kraft_version = version.kraft_version;
    } else if (type == protocol::ControlType::kraft_voters) {
      protocol::VotersRecord voters;
      TRY_VOID(protocol::decode_control_value(value, voters));
      control.voters = voters_of(voters);
    }
  }
  return control;
}

Result<void> check_controls(ByteView snapshot) {
  protocol::BatchIterator batches(snapshot);
  while (const std::optional<protocol::BatchView> batch = batches.next()) {
    if (batch->is_control()) TRY_VOID(control_of(*batch));
  }
  return {};
}

std::vector<Batch> read_batches(ByteView records, std::vector<Control>& controls,
                                std::string& why) {
  std::vector<Batch> batches;
  if (records.empty()) return batches;
  protocol::BatchIterator walk(records);
  while (std::optional<protocol::BatchView> view = walk.next()) {
    if (view->is_legacy() || view->last_offset_delta() < 0 || !view->crc_matches()) break;
    Batch batch{view->base_offset(), view->last_offset() + 1, view->leader_epoch(), std::nullopt};
    if (view->is_control()) {
      Result<Control> control = control_of(*view);
      if (!control) {
        why = fmt::format("a control batch is not understood, {}", control.error().message());
        break;
      }
      if (control->voters.has_value()) batch.voters = keys_of(*control->voters);
      if (control->voters.has_value() || control->kraft_version.has_value())
        controls.push_back(std::move(*control));
    }
    batches.push_back(std::move(batch));
  }
  return batches;
}

}  // namespace drave::raft::wire
