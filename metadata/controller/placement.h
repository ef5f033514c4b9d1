#pragma once
// Which brokers get the replicas of new partitions: striped over racks and brokers as Kafka does
// it, beginning anywhere.

#include <cstdint>
#include <string>
#include <vector>

#include "metadata/controller/context.h"

namespace drave::metadata {

// What came to nothing, in Kafka's words, for INVALID_REPLICATION_FACTOR; or the replicas of
// `count` partitions, leaders first.
struct Placement {
  std::string problem;
  std::vector<std::vector<NodeId>> partitions;
};

Placement place_replicas(const ControllerContext& context, std::int32_t count,
                         std::int32_t replication_factor);

// A new partition with these replicas: all that are not fenced are in sync, the first of them
// leads.
PartitionImage new_partition(const Image& image, std::vector<NodeId> replicas);

}  // namespace drave::metadata
