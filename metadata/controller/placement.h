#pragma once
// Which brokers get the replicas of new partitions, as Kafka decides it: leaders go round the racks
// and, within a rack, round its brokers, beginning anywhere; the other replicas go to the racks
// after the leader's, one each, as long as there are racks. Fenced brokers get replicas when a rack
// has no others left, and never lead; those in controlled shutdown, one that is losing its
// partitions (ControllerContext::leaving) and those with every directory cordoned get none.

#include <cstdint>
#include <string>
#include <vector>

#include "metadata/controller/context.h"
#include "metadata/record_list.h"

namespace drave::metadata {

// What came to nothing, in Kafka's words, for INVALID_REPLICATION_FACTOR; or the replicas of
// `count` partitions, leaders first.
struct Placement {
  std::string problem;
  std::vector<std::vector<NodeId>> partitions;
};

Placement place_replicas(const ControllerContext& context, std::int32_t count,
                         std::int32_t replication_factor);

// A new partition with these replicas: all that are in service and stay are in sync, the first of
// them leads.
PartitionImage new_partition(const ControllerContext& context, std::vector<NodeId> replicas);

// Partitions of a topic on their way into records.
class NewPartitions {
 public:
  NewPartitions() = default;
  // `first` is the index of the first.
  NewPartitions(const TopicId& topic, PartitionIndex first, std::vector<PartitionImage> partitions)
      : topic_(topic), index_(first), partitions_(std::move(partitions)) {}

  bool empty() const { return next_ == partitions_.size(); }
  // Adds the records of the next ones.
  void add(RecordList& records, std::size_t count_max, std::int16_t metadata_version);

 private:
  TopicId topic_;
  PartitionIndex index_ = 0;
  std::vector<PartitionImage> partitions_;
  std::size_t next_ = 0;
};

// Why a partition with so many replicas cannot be made, for INVALID_REPLICATION_FACTOR; or nothing.
std::string replication_problem(const ControllerContext& context, std::size_t replicas);

}  // namespace drave::metadata
