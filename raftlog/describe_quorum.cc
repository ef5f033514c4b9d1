#include "raftlog/describe_quorum.h"

#include "protocol/error_code.h"

namespace drave::raft {

namespace {

using Response = protocol::DescribeQuorumResponse;
using protocol::ErrorCode;

void fill_replicas(const std::vector<ReplicaStatus>& from, std::int16_t version,
                   std::vector<Response::ReplicaState>& to) {
  for (const ReplicaStatus& replica : from) {
    auto& state = to.emplace_back();
    state.replica_id = replica.key.id;
    if (version >= 2) state.replica_directory_id = replica.key.directory_id;
    state.log_end_offset = replica.log_end;
    state.last_fetch_timestamp = replica.last_fetch_ms;
    state.last_caught_up_timestamp = replica.last_caught_up_ms;
  }
}

void refuse(Response::PartitionData& partition, ErrorCode code) {
  partition.error_code = static_cast<std::int16_t>(code);
  partition.error_message = protocol::message(code);
}

}  // namespace

protocol::OwnedMessage<Response> describe_quorum_answer(
    const QuorumStatus& status, bool is_leader, std::string_view why_not,
    const protocol::DescribeQuorumRequest& request, std::int16_t version) {
  protocol::OwnedMessage<Response> answer;
  bool described = false;
  for (const auto& asked : request.topics) {
    auto& topic = answer.message.topics.emplace_back();
    topic.topic_name = asked.topic_name;
    for (const auto& asked_partition : asked.partitions) {
      auto& partition = topic.partitions.emplace_back();
      partition.partition_index = asked_partition.partition_index;
      if (asked.topic_name != kMetadataTopic || asked_partition.partition_index != 0) {
        refuse(partition, ErrorCode::unknown_topic_or_partition);
        continue;
      }
      partition.leader_id = status.leader;
      partition.leader_epoch = status.epoch;
      if (!is_leader) {
        refuse(partition, ErrorCode::not_leader_or_follower);
        if (!why_not.empty()) partition.error_message = answer.keep(std::string(why_not));
      }
      partition.high_watermark = status.high_watermark;
      fill_replicas(status.voters, version, partition.current_voters);
      fill_replicas(status.observers, version, partition.observers);
      described = true;
    }
  }
  if (version < 2 || !described) return answer;
  for (const Voter& voter : status.nodes) {
    auto& node = answer.message.nodes.emplace_back();
    node.node_id = voter.id;
    for (const VoterEndpoint& endpoint : voter.endpoints)
      node.listeners.push_back(
          {answer.keep(endpoint.name), answer.keep(endpoint.host), endpoint.port});
  }
  return answer;
}

}  // namespace drave::raft
