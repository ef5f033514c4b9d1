#include "broker/handlers/partition_access.h"

#include <gtest/gtest.h>

namespace drave::broker {
namespace {

using protocol::ErrorCode;

metadata::PartitionImage partition_on(std::vector<NodeId> replicas, std::vector<NodeId> isr) {
  metadata::PartitionImage partition;
  partition.replicas = std::move(replicas);
  partition.isr = std::move(isr);
  partition.leader = 1;
  return partition;
}

TEST(ProduceRefusal, the_leader_takes_what_it_alone_has_to_have) {
  metadata::TopicConfig config;
  const metadata::PartitionImage alone = partition_on({1}, {1});
  for (const int each : {0, 1, -1}) {
    const auto acks = static_cast<std::int16_t>(each);
    EXPECT_EQ(produce_refusal(alone, config, 1, acks), ErrorCode::none);
    EXPECT_EQ(produce_refusal(alone, config, 2, acks), ErrorCode::not_leader_or_follower);
  }
  // As in Kafka, never more than there are replicas.
  config.min_insync_replicas = 3;
  EXPECT_EQ(produce_refusal(alone, config, 1, -1), ErrorCode::none);
}

// A controller of Kafka may place a partition here and elsewhere.
TEST(ProduceRefusal, what_others_are_to_have_as_well_is_not_acknowledged_for_them) {
  metadata::TopicConfig config;
  const metadata::PartitionImage two = partition_on({1, 2}, {1, 2});
  EXPECT_EQ(produce_refusal(two, config, 1, 1), ErrorCode::none);
  EXPECT_EQ(produce_refusal(two, config, 1, 0), ErrorCode::none);
  EXPECT_EQ(produce_refusal(two, config, 1, -1), ErrorCode::not_enough_replicas);
  const metadata::PartitionImage shrunk = partition_on({1, 2}, {1});
  EXPECT_EQ(produce_refusal(shrunk, config, 1, -1), ErrorCode::none);
  config.min_insync_replicas = 2;
  EXPECT_EQ(produce_refusal(shrunk, config, 1, -1), ErrorCode::not_enough_replicas);
}

}  // namespace
}  // namespace drave::broker
