// Requests that name thousands of things are decided in pieces, each of which is bounded.

#include "metadata/controller/decision.h"

#include <gtest/gtest.h>

#include <deque>

#include "metadata/controller/configs.h"
#include "metadata/controller/leadership.h"
#include "tests/metadata/decision_support.h"

namespace drave::metadata::testing {
namespace {

constexpr std::size_t kTopics = 1200;

struct Pieces : BrokerDecisions {
  std::deque<std::string> names;

  Pieces() {
    for (std::size_t i = 0; i < kTopics; ++i) names.push_back("t" + std::to_string(i));
  }

  // Decides all of it; returns the answer. What comes of it holds afterwards.
  template <class D>
  auto decide(D decision, std::size_t pieces_min) {
    std::size_t pieces = 0;
    for (bool more = true; more; ++pieces) {
      const std::size_t before = records.size();
      more = decision->next(records);
      // A topic's own record and its configs may come on top.
      EXPECT_LE(records.size() - before, Piece::kRecordsMax + 2);
    }
    EXPECT_GE(pieces, pieces_min);
    EXPECT_LE(pieces, pieces_min + 1);
    accept();
    return std::move(decision->answer);
  }

  void create_all() {
    protocol::CreateTopicsRequest request;
    for (const std::string& name : names) {
      auto& topic = request.topics.emplace_back();
      topic.name = name;
      topic.num_partitions = 1;
      topic.replication_factor = 1;
      topic.configs.push_back({"retention.ms", "1000"});
    }
    const auto answer =
        decide(begin_create_topics(context(), request, 7), kTopics / Piece::kItemsMax);
    ASSERT_EQ(answer.message.topics.size(), kTopics);
    for (const auto& topic : answer.message.topics) EXPECT_EQ(topic.error_code, 0);
    EXPECT_EQ(image.topics().by_name().size(), kTopics);
    // What topics say of their configs is worked out once, but for their own.
    EXPECT_LT(answer.texts.size(), 2 * kTopics + 200);
    for (const auto& config : *answer.message.topics[7].configs) {
      if (config.name != "retention.ms") continue;
      EXPECT_EQ(config.value, "1000");
      EXPECT_EQ(config.config_source, static_cast<std::int8_t>(ConfigSource::dynamic_topic));
    }
  }
};

TEST_F(Pieces, of_creations_and_deletions_of_many_topics) {
  create_all();
  protocol::DeleteTopicsRequest request;
  for (const std::string& name : names) request.topic_names.push_back(name);
  const auto answer =
      decide(begin_delete_topics(context(), request, 5), kTopics / Piece::kItemsMax);
  EXPECT_EQ(answer.message.responses.size(), kTopics);
  EXPECT_TRUE(image.topics().by_name().empty());
}

TEST_F(Pieces, of_configs_of_many_topics) {
  create_all();
  protocol::IncrementalAlterConfigsRequest request;
  for (const std::string& name : names) {
    auto& resource = request.resources.emplace_back();
    resource.resource_type = static_cast<std::int8_t>(ConfigResourceType::topic);
    resource.resource_name = name;
    resource.configs.push_back({"retention.ms", 0, "2000"});
  }
  const auto answer =
      decide(begin_incremental_alter_configs(context(), request), kTopics / Piece::kItemsMax);
  EXPECT_EQ(answer.message.responses.size(), kTopics);
  for (const std::string& name : names)
    EXPECT_EQ(image.configs({ConfigResourceType::topic, name}).at("retention.ms"), "2000");
}

TEST_F(Pieces, of_one_topic_of_many_partitions) {
  constexpr std::int32_t kPartitions = 3500;
  protocol::CreateTopicsRequest request;
  for (const char* name : {"wide", "narrow"}) {
    auto& topic = request.topics.emplace_back();
    topic.name = name;
    topic.num_partitions = request.topics.size() == 1 ? kPartitions : 1;
    topic.replication_factor = 1;
  }
  decide(begin_create_topics(context(), request, 7), 4);
  EXPECT_EQ(image.topics().find("wide")->partitions.size(), static_cast<std::size_t>(kPartitions));
  EXPECT_EQ(image.topics().find("narrow")->partitions.size(), 1u);
  protocol::CreatePartitionsRequest growth;
  auto& topic = growth.topics.emplace_back();
  topic.name = "wide";
  topic.count = 2 * kPartitions;
  topic.assignments.reset();
  const auto answer = decide(begin_create_partitions(context(), growth), 4);
  EXPECT_EQ(answer.message.results.at(0).error_code, 0);
  EXPECT_EQ(image.topics().find("wide")->partitions.size(),
            static_cast<std::size_t>(2 * kPartitions));
}

TEST_F(Pieces, of_elections_of_all_partitions) {
  const std::vector<std::vector<NodeId>> assignments(1700, {1, 2});
  create("a", assignments);
  create("b", {{1, 2}});
  create("c", assignments);
  protocol::ElectLeadersRequest request;
  request.topic_partitions.reset();
  // They are led by their first replicas.
  auto answer = decide(begin_elect_leaders(context(), request), 4);
  ASSERT_EQ(answer.message.replica_election_results.size(), 3u);
  for (const auto& topic : answer.message.replica_election_results)
    EXPECT_TRUE(topic.partition_result.empty());
  for (const auto& [name, topic] : image.topics().by_name()) {
    for (const auto& [index, partition] : topic->partitions) {
      protocol::PartitionChangeRecord moved;
      moved.topic_id = topic->id;
      moved.partition_id = index;
      moved.leader = 2;
      records.add(moved, partition_version(image.feature(kMetadataVersion)));
    }
  }
  accept();
  answer = decide(begin_elect_leaders(context(), request), 4);
  ASSERT_EQ(answer.message.replica_election_results.size(), 3u);
  EXPECT_EQ(answer.message.replica_election_results[0].partition_result.size(), 1700u);
  EXPECT_EQ(answer.message.replica_election_results[1].topic, "b");
  EXPECT_EQ(answer.message.replica_election_results[2].partition_result.back().partition_id, 1699);
  EXPECT_EQ(image.replica_counts(1).leads, 3401);
}

TEST_F(Pieces, of_elections_that_are_named) {
  create("a", std::vector<std::vector<NodeId>>(1500, {1, 2}));
  protocol::ElectLeadersRequest request;
  request.topic_partitions.emplace();
  for (int part = 0; part < 3; ++part) {
    auto& asked = request.topic_partitions->emplace_back();
    asked.topic = part == 1 ? "none" : "a";
    for (PartitionIndex index = 0; index < 1500; ++index) asked.partitions.push_back(index);
  }
  const auto answer = decide(begin_elect_leaders(context(), request), 5);
  ASSERT_EQ(answer.message.replica_election_results.size(), 3u);
  for (const auto& topic : answer.message.replica_election_results) {
    ASSERT_EQ(topic.partition_result.size(), 1500u);
    for (PartitionIndex index = 0; index < 1500; ++index)
      EXPECT_EQ(topic.partition_result[static_cast<std::size_t>(index)].partition_id, index);
  }
}

}  // namespace
}  // namespace drave::metadata::testing
