#pragma once
// How a partition changes when a replica comes, goes, or is asked to lead: the leader, the in-sync
// replicas, and the eligible leader replicas (KIP-966) where the cluster has that feature, in the
// order in which Kafka decides them.
//
// With one replica and eligible leader replicas: who goes leaves an empty ISR behind, is the only
// eligible one, and leads again when it comes back. Without the feature the ISR keeps it.

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "metadata/controller/context.h"
#include "metadata/image.h"
#include "metadata/record_list.h"
#include "protocol/messages/metadata_records.h"

namespace drave::metadata {

enum class Election : std::uint8_t {
  preferred,  // the first replica, if it may
  online,     // whoever may keeps or takes the lead
  unclean,    // rather one that is not in sync than nobody
};

// What a topic's partitions are decided by.
struct PartitionRules {
  std::size_t min_isr = 1;  // min.insync.replicas, at most the number of replicas
  bool unclean_election = false;
  bool elr = false;  // the cluster has eligible.leader.replicas.version
  std::int16_t metadata_version = 0;
};
PartitionRules partition_rules(const ControllerContext& context, const TopicImage& topic);

struct PartitionGoal {
  std::vector<NodeId> isr;        // as it should be before a leader is chosen
  NodeId unclean_replica = -1;    // lost something: neither in sync nor eligible
  std::vector<Uuid> directories;  // of the replicas; empty: as they are
  Election election = Election::online;
  std::function<bool(NodeId)> may_lead;
};

// The record that takes the partition there (ids not filled in); nothing if it is there already.
std::optional<protocol::PartitionChangeRecord> change_partition(const PartitionImage& partition,
                                                                const PartitionGoal& goal,
                                                                const PartitionRules& rules);

}  // namespace drave::metadata
