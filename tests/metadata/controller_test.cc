// The controller's decisions, with the answers that Kafka 4.3.1 gave to the same requests.

#include <fmt/format.h>

#include <deque>

#include "metadata/controller/brokers.h"
#include "metadata/controller/configs.h"
#include "metadata/controller/features_update.h"
#include "metadata/controller/topics.h"
#include "metadata/features.h"
#include "metadata/topic_name.h"
#include "protocol/error_code.h"
#include "tests/metadata/image_support.h"

namespace drave::metadata::testing {
namespace {

using protocol::CreateTopicsRequest;
using protocol::ErrorCode;

struct Decisions : ::testing::Test {
  Image image = cluster(1);
  ConfigMap fixed;
  Random random{7};
  RecordList records;
  std::int32_t factor_max = 1;
  std::optional<std::int16_t> kraft_version;  // as update_features() leaves it
  ControllerContext context() {
    ControllerContext context{image, fixed, 1, 2, 1, true, random};
    context.replication_factor_max = factor_max;
    return context;
  }
  void accept() {
    image = apply_all(image, records);
    records = RecordList();
  }
  static CreateTopicsRequest::CreatableTopic topic(std::string_view name, std::int32_t partitions,
                                                   std::int16_t factor) {
    CreateTopicsRequest::CreatableTopic made;
    made.name = name;
    made.num_partitions = partitions;
    made.replication_factor = factor;
    return made;
  }
  void create(std::string_view name, std::int32_t partitions = 1) {
    CreateTopicsRequest request;
    request.topics.push_back(topic(name, partitions, 1));
    EXPECT_EQ(create_topics(context(), request, 7, records).message.topics.at(0).error_code, 0)
        << name;
    accept();
  }
};

TEST_F(Decisions, create_topics_answers_as_kafka_does) {
  CreateTopicsRequest request;
  request.topics = {topic("tx-a", 3, 1),     topic("tx-b", 0, 1), topic("tx-c", 1, 9),
                    topic("bad/name", 1, 1), topic("..", 1, 1),   topic("tx-d", -1, -1)};
  request.topics.push_back(topic("tx-cfg", 1, 1));
  request.topics.back().configs.push_back({"no.such.config", "1"});
  request.topics.push_back(topic("tx-assigned", -1, -1));
  request.topics.back().assignments.push_back({0, {77}});
  const auto answer = create_topics(context(), request, 7, records);
  const std::vector<std::pair<int, std::string>> expected{
      {0, ""},
      {37, "Number of partitions was set to an invalid non-positive value."},
      {38,
       "Unable to replicate the partition 9 time(s): The target replication factor of 9 cannot be "
       "reached "
       "because only 1 broker(s) are registered or some brokers have all their log directories "
       "cordoned."},
      {17,
       "Topic name is invalid: 'bad/name' contains one or more characters other than ASCII "
       "alphanumerics, "
       "'.', '_' and '-'"},
      {17, "Topic name is invalid: '..' is not allowed"},
      {0, ""},
      {40, "Unknown topic config name: no.such.config"},
      {39,
       "The manual partition assignment includes broker 77, but no such broker is registered."}};
  ASSERT_EQ(answer.message.topics.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(answer.message.topics[i].error_code, expected[i].first) << i;
    EXPECT_EQ(answer.message.topics[i].error_message.value_or(""), expected[i].second) << i;
  }
  EXPECT_EQ(answer.message.topics[5].num_partitions, 2);
  accept();
  EXPECT_EQ(image.topics().by_name().size(), 2u);
  const PartitionImage& partition = image.topics().find(std::string_view("tx-a"))->partitions.at(0);
  EXPECT_EQ(partition.leader, 1);
  EXPECT_EQ(partition.directories, (std::vector<Uuid>{{7, 1}}));
}

TEST_F(Decisions, names_collide_with_topics_and_within_a_request) {
  create("a.b");
  CreateTopicsRequest request;
  request.topics = {topic("a_b", 1, 1), topic("c.d", 1, 1), topic("c_d", 1, 1), topic("e", 1, 1),
                    topic("e", 1, 1)};
  const auto answer = create_topics(context(), request, 7, records);
  ASSERT_EQ(answer.message.topics.size(), 4u);
  EXPECT_EQ(*answer.message.topics[0].error_message,
            "Topic 'a_b' collides with existing topic: a.b");
  EXPECT_EQ(answer.message.topics[1].error_code, 0);
  EXPECT_EQ(answer.message.topics[2].error_code, 17);
  EXPECT_EQ(answer.message.topics[3].error_code, 42);
}

TEST_F(Decisions, too_many_partitions_make_no_records) {
  CreateTopicsRequest request;
  request.topics = {topic("a", 10'001, 1)};
  EXPECT_EQ(create_topics(context(), request, 7, records).message.topics[0].error_code, 44);
  EXPECT_TRUE(records.empty());
}

TEST_F(Decisions, more_than_one_replica_is_refused_until_there_is_replication) {
  image = cluster(3);
  CreateTopicsRequest request;
  request.topics = {topic("two", 6, 2), topic("by-hand", -1, -1), topic("four", 1, 4),
                    topic("one", 1, 1)};
  request.topics[1].assignments.push_back({0, {1, 2}});
  const auto answer = create_topics(context(), request, 7, records);
  const std::vector<std::pair<int, std::string>> expected{
      {38,
       "Unable to replicate the partition 2 time(s): This version of Drave keeps 1 replica(s) of a "
       "partition."},
      {38, "This version of Drave keeps 1 replica(s) of a partition."},
      {38,
       "Unable to replicate the partition 4 time(s): The target replication factor of 4 cannot be "
       "reached because only 3 broker(s) are registered or some brokers have all their log "
       "directories cordoned."},
      {0, ""}};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(answer.message.topics[i].error_code, expected[i].first) << i;
    EXPECT_EQ(answer.message.topics[i].error_message.value_or(""), expected[i].second) << i;
  }
  accept();
  EXPECT_EQ(image.topics().by_name().size(), 1u);
}

TEST_F(Decisions, topics_that_have_replicas_already_do_not_grow_until_there_is_replication) {
  image = cluster(3);
  factor_max = 3;
  CreateTopicsRequest request;
  request.topics = {topic("t", 1, 2)};
  create_topics(context(), request, 7, records);
  accept();
  factor_max = 1;
  protocol::CreatePartitionsRequest more;
  more.topics.emplace_back();
  more.topics.back().name = "t";
  more.topics.back().count = 2;
  more.topics.back().assignments = std::nullopt;
  EXPECT_EQ(create_partitions(context(), more, records).message.results[0].error_code, 38);
  EXPECT_TRUE(records.empty());
}

TEST_F(Decisions, create_partitions_answers_as_kafka_does) {
  create("tx-a", 3);
  create("tx-d", 2);
  protocol::CreatePartitionsRequest request;
  for (const auto& [name, count] :
       std::vector<std::pair<std::string_view, int>>{{"tx-a", 4}, {"tx-d", 1}, {"nope", 5}}) {
    request.topics.emplace_back();
    request.topics.back().name = name;
    request.topics.back().count = count;
    request.topics.back().assignments = std::nullopt;
  }
  const auto answer = create_partitions(context(), request, records);
  EXPECT_EQ(answer.message.results[0].error_code, 0);
  EXPECT_EQ(answer.message.results[1].error_code, 37);
  EXPECT_EQ(*answer.message.results[1].error_message,
            "The topic tx-d currently has 2 partition(s); 1 would not be an increase.");
  EXPECT_EQ(answer.message.results[2].error_code, 3);
  accept();
  EXPECT_EQ(image.topics().find(std::string_view("tx-a"))->partitions.size(), 4u);
}

TEST_F(Decisions, delete_topics_by_name_and_id) {
  create("one");
  create("two");
  const TopicId two = image.topics().find(std::string_view("two"))->id;
  protocol::DeleteTopicsRequest request;
  request.topics = {
      {"one", TopicId()}, {std::nullopt, two}, {std::nullopt, {9, 9}}, {"none", TopicId()}};
  const auto answer = delete_topics(context(), request, 6, records);
  EXPECT_EQ(answer.message.responses[0].error_code, 0);
  EXPECT_EQ(answer.message.responses[1].error_code, 0);
  EXPECT_EQ(answer.message.responses[1].name, "two");
  EXPECT_EQ(answer.message.responses[2].error_code, 100);
  EXPECT_EQ(answer.message.responses[3].error_code, 3);
  accept();
  EXPECT_TRUE(image.topics().by_name().empty());
}

TEST_F(Decisions, one_request_deletes_so_many_topics_and_no_more) {
  protocol::DeleteTopicsRequest request;
  std::deque<std::string> names;
  for (std::size_t i = 0; i <= kRecordsPerRequestMax; ++i) {
    protocol::TopicRecord topic;
    topic.name = names.emplace_back(fmt::format("many-{}", i));
    topic.topic_id = {1, i + 1};
    records.add(topic);
    request.topics.push_back({topic.name, TopicId()});
  }
  accept();
  const auto answer = delete_topics(context(), request, 6, records);
  EXPECT_EQ(records.size(), kRecordsPerRequestMax);
  EXPECT_EQ(answer.message.responses[kRecordsPerRequestMax - 1].error_code, 0);
  EXPECT_EQ(answer.message.responses[kRecordsPerRequestMax].error_code, -1);
  accept();
  EXPECT_EQ(image.topics().by_name().size(), 1u);
}

TEST_F(Decisions, what_is_to_be_deleted_twice_stays) {
  for (const char* name : {"one", "two", "three", "four"}) create(name);
  const TopicId two = image.topics().find(std::string_view("two"))->id;
  const TopicId three = image.topics().find(std::string_view("three"))->id;
  protocol::DeleteTopicsRequest request;
  request.topics = {{"one", TopicId()},  {"one", TopicId()},    {std::nullopt, two},
                    {std::nullopt, two}, {std::nullopt, three}, {"three", TopicId()},
                    {"four", TopicId()}};
  const auto answer = delete_topics(context(), request, 6, records);
  const std::vector<std::pair<int, std::string>> expected{
      {42, "Duplicate topic name."},
      {42, "Duplicate topic id."},
      {42, "The provided topic name maps to an ID that was already supplied."},
      {0, ""}};
  std::vector<std::pair<int, std::string>> found;
  for (const auto& response : answer.message.responses)
    found.emplace_back(response.error_code, response.error_message.value_or(""));
  EXPECT_EQ(found, expected);
  accept();
  EXPECT_EQ(image.topics().by_name().size(), 3u);
}

TEST_F(Decisions, configs_are_altered_as_kafka_does) {
  create("tx-a");
  create("tx-b");
  create("tx-d");
  protocol::IncrementalAlterConfigsRequest request;
  request.resources = {
      {2, "tx-a", {{"retention.ms", 0, "1000"}}},      {2, "tx-b", {{"retention.ms", 0, "x"}}},
      {2, "tx-d", {{"cleanup.policy", 2, "compact"}}}, {4, "1", {{"num.partitions", 0, "5"}}},
      {4, "", {{"log.retention.ms", 0, "5"}}},         {2, "gone", {{"retention.ms", 0, "1"}}}};
  const auto answer = incremental_alter_configs(context(), request, records);
  const std::vector<std::pair<int, std::string>> expected{
      {0, ""}, {40, "Invalid value x for configuration retention.ms: Not a number of type LONG"},
      {0, ""}, {42, "Cannot update these configs dynamically: [num.partitions]"},
      {0, ""}, {3, "The topic 'gone' does not exist."}};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(answer.message.responses[i].error_code, expected[i].first) << i;
    EXPECT_EQ(answer.message.responses[i].error_message.value_or(""), expected[i].second) << i;
  }
  accept();
  EXPECT_EQ(image.configs({ConfigResourceType::topic, "tx-d"}).at("cleanup.policy"),
            "delete,compact");
  protocol::AlterConfigsRequest replace;
  replace.resources = {{2, "tx-a", {{"segment.bytes", "1048576"}}}};
  EXPECT_EQ(alter_configs(context(), replace, records).message.responses[0].error_code, 0);
  accept();
  EXPECT_EQ(image.configs({ConfigResourceType::topic, "tx-a"}),
            (ConfigMap{{"segment.bytes", "1048576"}}));
}

TEST_F(Decisions, configs_of_every_node_of_the_cluster_are_altered) {
  protocol::RegisterControllerRecord controller;
  controller.controller_id = 8;
  records.add(controller);
  protocol::VotersRecord voters;
  voters.voters.emplace_back().voter_id = 9;  // of metadata versions that register no controllers
  Delta delta(apply_all(image, records));
  delta.apply(voters);
  image = std::move(delta).finish({1, 1}, 1);
  records = RecordList();
  protocol::IncrementalAlterConfigsRequest request;
  request.resources = {{4, "1", {{"message.max.bytes", 0, "1000"}}},
                       {4, "8", {{"message.max.bytes", 0, "1000"}}},
                       {4, "9", {{"message.max.bytes", 0, "1000"}}},
                       {4, "10", {{"message.max.bytes", 0, "1000"}}},
                       {8, "1", {{"root", 0, "DEBUG"}}}};
  const auto answer = incremental_alter_configs(context(), request, records);
  const std::string_view log_levels = "drave.log.level";
  ASSERT_NE(find_config(ConfigScope::broker, log_levels), nullptr);
  const std::vector<std::pair<int, std::string>> expected{
      {0, ""},
      {0, ""},
      {0, ""},
      {102, "No node with id 10 found."},
      {42, fmt::format("Log levels are changed by the key {} of the node's file.", log_levels)}};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(answer.message.responses[i].error_code, expected[i].first) << i;
    EXPECT_EQ(answer.message.responses[i].error_message.value_or(""), expected[i].second) << i;
  }
}

TEST_F(Decisions, features_are_updated_all_or_none) {
  protocol::UpdateFeaturesRequest request;
  request.feature_updates.push_back({"no.such.feature", 1, false, 1});
  auto answer = update_features(context(), request, 2, records, kraft_version);
  EXPECT_EQ(answer.message.error_code, 95);
  EXPECT_EQ(*answer.message.error_message,
            "The update failed for all features since the following feature had an error: Invalid "
            "update version 1 "
            "for feature no.such.feature. Local controller 1 does not support this feature.");
  request.feature_updates = {{"metadata.version", 29, false, 2}};
  EXPECT_EQ(update_features(context(), request, 2, records, kraft_version).message.error_code, 95);
  EXPECT_TRUE(records.empty());
}

TEST_F(Decisions, eligible_leader_replicas_begin_with_one_minimum_for_all_nodes) {
  const ConfigResource all{ConfigResourceType::broker, ""};
  const ConfigResource one{ConfigResourceType::broker, "1"};
  const auto set_own = [this](const ConfigResource& resource, std::string_view value) {
    protocol::IncrementalAlterConfigsRequest request;
    request.resources = {
        {4, resource.name, {{"min.insync.replicas", 0, value}, {"message.max.bytes", 0, "1000"}}}};
    EXPECT_EQ(
        incremental_alter_configs(context(), request, records).message.responses[0].error_code, 0);
    accept();
  };
  const auto turn_on = [this] {
    protocol::UpdateFeaturesRequest request;
    request.feature_updates = {{kElrVersion, 1, false, 1}};
    const auto answer = update_features(context(), request, 2, records, kraft_version);
    EXPECT_EQ(answer.message.error_code, 0) << answer.message.error_message.value_or("");
    const std::size_t count = records.size();
    accept();
    return count;
  };
  RecordList node;
  protocol::RegisterBrokerRecord broker;
  broker.broker_id = 1;
  broker.rack = std::nullopt;
  broker.features = {{kMetadataVersion, 7, 30}, {kElrVersion, 0, 1}};
  node.add(broker, std::int16_t{3});
  image = apply_all(image, node);
  fixed = {{"min.insync.replicas", "2"}};
  set_own(one, "3");
  EXPECT_EQ(turn_on(), 3u);
  EXPECT_EQ(image.configs(all), (ConfigMap{{"min.insync.replicas", "2"}}));
  EXPECT_EQ(image.configs(one), (ConfigMap{{"message.max.bytes", "1000"}}));
  EXPECT_EQ(image.feature(kElrVersion), 1);

  image = apply_all(cluster(1), node);
  set_own(all, "3");
  EXPECT_EQ(turn_on(), 1u);
  EXPECT_EQ(image.configs(all).at("min.insync.replicas"), "3");
}

TEST_F(Decisions, a_level_that_a_node_cannot_hold_is_refused_with_its_name) {
  image = cluster(2, 29);
  const auto expect = [this](const std::string& why) {
    protocol::UpdateFeaturesRequest request;
    request.feature_updates = {{kMetadataVersion, 30, false, 1}};
    const auto answer = update_features(context(), request, 2, records, kraft_version);
    EXPECT_EQ(answer.message.error_code, 95);
    EXPECT_EQ(*answer.message.error_message,
              "The update failed for all features since the following feature had an error: "
              "Invalid update version 30 for feature metadata.version. " +
                  why);
    EXPECT_TRUE(records.empty());
  };
  expect("Broker 1 does not support this feature.");
  RecordList nodes;
  auto add_brokers = [&nodes](std::int16_t max) {
    for (int id = 1; id <= 2; ++id) {
      protocol::RegisterBrokerRecord broker;
      broker.broker_id = id;
      broker.rack = std::nullopt;
      broker.features.push_back({kMetadataVersion, 7, id == 2 ? max : std::int16_t{30}});
      nodes.add(broker, std::int16_t{3});
    }
  };
  add_brokers(29);
  image = apply_all(image, nodes);
  expect("Broker 2 only supports versions 7-29");
  add_brokers(30);
  protocol::RegisterControllerRecord controller;
  controller.controller_id = 8;
  controller.features.push_back({kMetadataVersion, 29, 29});
  nodes.add(controller);
  image = apply_all(image, nodes);
  expect("Controller 8 only supports versions 29");
  controller.features.back().max_supported_version = 30;
  nodes.add(controller);
  protocol::VotersRecord voters;
  voters.voters.resize(3);
  for (int index = 0; index < 3; ++index)
    voters.voters[static_cast<std::size_t>(index)].voter_id = 7 + index;
  Delta delta(apply_all(image, nodes));
  delta.apply(voters);
  image = std::move(delta).finish({1, 1}, 1);
  expect("controller 7 has not registered, and may not support this feature");
}

TEST_F(Decisions, kraft_version_is_for_the_quorum_to_raise) {
  RecordList node;
  protocol::RegisterBrokerRecord broker;
  broker.broker_id = 1;
  broker.rack = std::nullopt;
  broker.features.push_back({kMetadataVersion, 7, 30});
  broker.features.push_back({kKraftVersion, 0, 0});
  node.add(broker, std::int16_t{3});
  image = apply_all(image, node);
  auto update = [this](std::int16_t level, std::int8_t type) {
    protocol::UpdateFeaturesRequest request;
    request.feature_updates = {{kKraftVersion, level, false, type}};
    kraft_version.reset();
    const auto answer = update_features(context(), request, 2, records, kraft_version);
    EXPECT_TRUE(records.empty());
    const std::string why(answer.message.error_message.value_or(""));
    EXPECT_EQ(answer.message.error_code, why.empty() ? 0 : 95);
    return why.substr(std::min(why.size(), why.find("error: ") + 7));
  };
  const std::string invalid = "Invalid update version 1 for feature kraft.version. ";
  EXPECT_EQ(update(1, 1), invalid + "Broker 1 does not support this feature.");
  EXPECT_FALSE(kraft_version.has_value());
  node.cut(0);
  broker.features.back().max_supported_version = 1;
  node.add(broker, std::int16_t{3});
  image = apply_all(image, node);
  EXPECT_EQ(update(2, 1),
            "Invalid update version 2 for feature kraft.version. Local controller 1 only supports "
            "versions 0-1");
  EXPECT_EQ(update(1, 2), invalid + "Can't downgrade to a newer version.");
  EXPECT_EQ(update(0, 1), "");
  EXPECT_FALSE(kraft_version.has_value()) << "it is so already";
  EXPECT_EQ(update(1, 1), "");
  EXPECT_EQ(kraft_version, 1);
  Delta delta(image);
  protocol::KRaftVersionRecord version;
  version.kraft_version = 1;
  delta.apply(version);
  image = std::move(delta).finish({1, 1}, 1);
  EXPECT_EQ(update(1, 1), "");
  EXPECT_FALSE(kraft_version.has_value()) << "it is so already";
  const std::string down = "Invalid update version 0 for feature kraft.version. ";
  EXPECT_EQ(update(0, 1), down +
                              "Can't downgrade the version of this feature without setting the "
                              "upgrade type to either safe or unsafe downgrade.");
  EXPECT_EQ(update(0, 2), down + "Can't downgrade the version of this feature.");
  EXPECT_EQ(update(0, 3), down + "Can't downgrade the version of this feature.");
}

TEST_F(Decisions, a_level_goes_down_only_where_no_records_change) {
  image = cluster(1, 20);
  RecordList node;
  protocol::RegisterBrokerRecord broker;
  broker.broker_id = 1;
  broker.rack = std::nullopt;
  broker.features.push_back({kMetadataVersion, 7, 30});
  node.add(broker, std::int16_t{3});
  image = apply_all(image, node);
  auto update = [this](std::int16_t level, std::int8_t type) {
    protocol::UpdateFeaturesRequest request;
    request.feature_updates = {{kMetadataVersion, level, false, type}};
    const auto answer = update_features(context(), request, 2, records, kraft_version);
    const std::string why(answer.message.error_message.value_or(""));
    return why.substr(std::min(why.size(), why.find("error: ") + 7));
  };
  EXPECT_EQ(update(16, 2),
            "Unsupported metadata.version downgrade from 20 to 16. Refusing to perform the "
            "requested downgrade because it might delete metadata information.");
  EXPECT_EQ(update(16, 3),
            "Unsupported metadata.version downgrade from 20 to 16. Unsafe metadata downgrade is "
            "not supported in this version.");
  EXPECT_EQ(update(18, 2), "");
  accept();
  EXPECT_EQ(image.feature(kMetadataVersion), 18);
}

TEST_F(Decisions, a_partition_without_a_leader_gets_its_eligible_one_back) {
  create("t");
  RecordList left;
  protocol::PartitionChangeRecord change;
  change.partition_id = 0;
  change.topic_id = image.topics().find(std::string_view("t"))->id;
  change.isr = std::vector<NodeId>{};
  change.leader = kNoLeader;
  change.eligible_leader_replicas = std::vector<NodeId>{1};
  change.last_known_elr = std::vector<NodeId>{1};
  left.add(change, std::int16_t{2});
  image = apply_all(image, left);
  unfence_broker(context(), 1, records);
  accept();
  const PartitionImage& partition = image.topics().find(std::string_view("t"))->partitions.at(0);
  EXPECT_EQ(partition.leader, 1);
  EXPECT_EQ(partition.isr, std::vector<NodeId>{1});
  EXPECT_EQ(partition.leader_epoch, 2);
}

TEST_F(Decisions, nobody_leads_a_partition_that_he_may_have_lost) {
  image = cluster(2);
  factor_max = 2;
  CreateTopicsRequest request;
  request.topics = {topic("t", 1, 2)};
  create_topics(context(), request, 7, records);
  accept();
  RecordList left;
  protocol::PartitionChangeRecord change;
  change.partition_id = 0;
  change.topic_id = image.topics().find(std::string_view("t"))->id;
  change.isr = std::vector<NodeId>{2};
  change.leader = kNoLeader;
  left.add(change, std::int16_t{2});
  protocol::BrokerRegistrationChangeRecord gone;
  gone.broker_id = 2;
  gone.broker_epoch = 12;
  gone.fenced = 1;
  left.add(gone, std::int16_t{0});
  image = apply_all(image, left);
  unfence_broker(context(), 1, records);
  EXPECT_TRUE(records.empty());
}

TEST(TopicName, limits) {
  EXPECT_TRUE(is_valid_topic_name(std::string(249, 'a')));
  EXPECT_FALSE(is_valid_topic_name(std::string(250, 'a')));
  EXPECT_FALSE(is_valid_topic_name(""));
  EXPECT_EQ(*topic_name_problem(""), "Topic name is invalid: the empty string is not allowed");
}

}  // namespace
}  // namespace drave::metadata::testing
