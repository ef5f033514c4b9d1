#include "broker/handlers/partition_access.h"

#include <algorithm>

namespace drave::broker {

using protocol::ErrorCode;

PartitionPlace find_partition(Shard& shard, std::string_view topic, PartitionIndex partition,
                              LeaderEpoch expected_epoch) {
  PartitionPlace place;
  place.topic = shard.image().find(topic);
  if (place.topic == nullptr) {
    place.error = ErrorCode::unknown_topic_or_partition;
    return place;
  }
  place.id = {place.topic->topic->id, partition};
  const auto found = place.topic->topic->partitions.find(partition);
  if (found == place.topic->topic->partitions.end()) {
    place.error = ErrorCode::unknown_topic_or_partition;
  } else if (found->second.leader != shard.config().node_id) {
    place.error = ErrorCode::not_leader_or_follower;
  } else if (expected_epoch >= 0 && expected_epoch < found->second.leader_epoch) {
    place.error = ErrorCode::fenced_leader_epoch;
  } else if (expected_epoch > found->second.leader_epoch) {
    place.error = ErrorCode::unknown_leader_epoch;
  }
  return place;
}

ErrorCode produce_refusal(const metadata::PartitionImage& partition,
                          const metadata::TopicConfig& config, NodeId self, std::int16_t acks) {
  if (partition.leader != self) return ErrorCode::not_leader_or_follower;
  if (acks != -1) return ErrorCode::none;
  const std::size_t wanted =
      std::min(static_cast<std::size_t>(config.min_insync_replicas), partition.replicas.size());
  return partition.isr.size() > 1 || wanted > 1 ? ErrorCode::not_enough_replicas : ErrorCode::none;
}

}  // namespace drave::broker
