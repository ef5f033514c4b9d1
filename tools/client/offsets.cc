#include "tools/client/offsets.h"

#include <algorithm>

#include "protocol/messages/list_offsets.h"

namespace drave::client {

Result<std::map<PartitionIndex, PartitionOffset>> list_offsets(
    Client& client, const protocol::MetadataResponse::MetadataResponseTopic& topic,
    const std::vector<PartitionIndex>& partitions, TimestampMs timestamp, bool read_committed) {
  std::map<PartitionIndex, PartitionOffset> offsets;
  std::map<NodeId, protocol::ListOffsetsRequest> requests;
  for (const auto& partition : topic.partitions) {
    if (std::ranges::find(partitions, partition.partition_index) == partitions.end()) continue;
    offsets[partition.partition_index].error = protocol::ErrorCode::leader_not_available;
    if (partition.leader_id < 0) continue;
    auto& request = requests[partition.leader_id];
    request.replica_id = -1;
    request.isolation_level = read_committed ? 1 : 0;
    if (request.topics.empty()) request.topics.push_back({.name = topic.name.value_or("")});
    request.topics.front().partitions.push_back(
        {.partition_index = partition.partition_index, .timestamp = timestamp});
  }
  for (const auto& [node, request] : requests) {
    TRY(auto answer, client.call_node<protocol::ListOffsetsResponse>(node, request));
    for (const auto& answered : answer.message.topics) {
      for (const auto& partition : answered.partitions) {
        offsets[partition.partition_index] = {
            static_cast<protocol::ErrorCode>(partition.error_code), partition.offset};
      }
    }
  }
  return offsets;
}

}  // namespace drave::client
