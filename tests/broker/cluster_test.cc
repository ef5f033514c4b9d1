// Three whole nodes as one cluster, asked by clients through the wire.

#include <set>

#include "protocol/messages/add_raft_voter.h"
#include "protocol/messages/api_versions.h"
#include "protocol/messages/create_acls.h"
#include "protocol/messages/delete_topics.h"
#include "protocol/messages/describe_cluster.h"
#include "protocol/messages/describe_quorum.h"
#include "protocol/messages/elect_leaders.h"
#include "protocol/messages/init_producer_id.h"
#include "protocol/messages/metadata.h"
#include "protocol/messages/remove_raft_voter.h"
#include "protocol/messages/update_features.h"
#include "protocol/resource.h"
#include "tests/broker/support/sim_cluster.h"

namespace drave {
namespace {

using protocol::ErrorCode;
using test::batch_of;
using test::ClusterTest;
using test::code;
using test::fetch_of;
using test::KafkaClient;
using test::produce_of;

TEST_F(ClusterTest, topics_are_created_through_any_node_and_spread_over_all) {
  boot();
  for (int i = 0; i < kNodes; ++i) EXPECT_EQ(create(i, "topic-" + std::to_string(i), 6), 0);
  world_.run_for(seconds(1));
  for (int i = 0; i < kNodes; ++i) {
    EXPECT_EQ(image_of(i).topics().by_name().size(), 3u);
    for (const auto& [name, topic] : image_of(i).topics().by_name()) {
      std::set<NodeId> leaders;
      for (const auto& [index, partition] : topic->partitions) leaders.insert(partition.leader);
      EXPECT_EQ(leaders, (std::set<NodeId>{1, 2, 3}));
    }
  }
  EXPECT_EQ(create(1, "topic-0"), code(ErrorCode::topic_already_exists));
  EXPECT_EQ(create(2, "replicated", 1, 10'000, 3), code(ErrorCode::invalid_replication_factor));
  shut_down();
}

io::Task<void> produce_to_leaders(KafkaClient& client, int& served, int& elsewhere) {
  const auto batch = batch_of(2, "hello");
  for (std::int32_t partition = 0; partition < 6; ++partition) {
    const auto produced =
        co_await client.call<protocol::ProduceResponse>(produce_of("events", partition, batch), 10);
    EXPECT_TRUE(produced.has_value());
    if (!produced) co_return;
    const auto& message = produced->message;
    const auto& answer = message.responses.at(0).partition_responses.at(0);
    if (answer.error_code == 0) {
      ++served;
      continue;
    }
    ++elsewhere;
    EXPECT_EQ(answer.error_code, code(ErrorCode::not_leader_or_follower));
    EXPECT_GE(answer.current_leader.leader_id, 1);
    EXPECT_EQ(message.node_endpoints.size(), 1u);
    EXPECT_EQ(message.node_endpoints.at(0).node_id, answer.current_leader.leader_id);
    EXPECT_EQ(message.node_endpoints.at(0).port, 9092);
  }
}

TEST_F(ClusterTest, only_the_leader_serves_a_partition_and_others_say_who_it_is) {
  boot(2);
  EXPECT_EQ(create(0, "events", 6), 0);
  world_.run_for(seconds(1));
  int served = 0, elsewhere = 0;
  for (int i = 0; i < kNodes; ++i)
    run(i, [&](KafkaClient& client) { return produce_to_leaders(client, served, elsewhere); });
  EXPECT_EQ(served, 6);
  EXPECT_EQ(elsewhere, 12);
  shut_down();
}

io::Task<void> describe(KafkaClient& client, std::size_t brokers) {
  protocol::MetadataRequest request;
  request.topics.reset();
  const auto metadata = co_await client.call<protocol::MetadataResponse>(request, 12);
  EXPECT_TRUE(metadata.has_value());
  if (!metadata) co_return;
  EXPECT_EQ(metadata->message.brokers.size(), brokers);
  const auto cluster = co_await client.call<protocol::DescribeClusterResponse>(
      protocol::DescribeClusterRequest{}, 1);
  EXPECT_TRUE(cluster.has_value());
  if (cluster) EXPECT_EQ(cluster->message.brokers.size(), brokers);
  protocol::DescribeQuorumRequest quorum;
  quorum.topics.push_back({"__cluster_metadata", {{0}}});
  const auto described = co_await client.call<protocol::DescribeQuorumResponse>(quorum, 2);
  EXPECT_TRUE(described.has_value());
  if (!described) co_return;
  const auto& partition = described->message.topics.at(0).partitions.at(0);
  EXPECT_EQ(partition.error_code, 0);
  EXPECT_EQ(partition.current_voters.size(), 3u);
}

// Controllers register from metadata.version 3.7 on.
struct OldClusterTest : ClusterTest {
  OldClusterTest() : ClusterTest(1, {}, true) {
    raft::FormatOptions format;
    format.mode = raft::FormatMode::static_voters;
    format.release_version = "3.4";
    for (const auto& node : nodes_) node->set_format(format);
  }
};

TEST_F(OldClusterTest, whose_controllers_cannot_name_each_other_says_so) {
  boot();
  run(0, [&](KafkaClient& client) -> io::Task<void> {
    return [](io::Loop& loop, std::string host) -> io::Task<void> {
      KafkaClient controller(loop);
      EXPECT_TRUE((co_await controller.connect({host, 9093})).has_value());
      protocol::DescribeClusterRequest request;
      request.endpoint_type = 2;
      const auto told = co_await controller.call<protocol::DescribeClusterResponse>(request, 1);
      EXPECT_TRUE(told.has_value());
      if (told) EXPECT_EQ(told->message.error_code, code(ErrorCode::unsupported_version));
      co_await controller.close();
    }(client.loop(), machines_[0]->host());
  });
  shut_down();
}

TEST_F(ClusterTest, every_node_knows_all_of_them) {
  boot();
  world_.run_for(seconds(1));
  for (int i = 0; i < kNodes; ++i) run(i, [](KafkaClient& client) { return describe(client, 3); });
  shut_down();
}

// What the tools ask that are given --bootstrap-controller.
TEST_F(ClusterTest, a_controller_that_is_not_the_active_one_says_so_and_who_is) {
  boot();
  EXPECT_EQ(create(0, "there"), 0);
  world_.run_for(seconds(1));
  const int leader = wait_active();
  const int other = (leader + 1) % kNodes;
  run(other, [&](KafkaClient& client) -> io::Task<void> {
    return [](io::Loop& loop, std::string host, NodeId active) -> io::Task<void> {
      KafkaClient controller(loop);
      EXPECT_TRUE((co_await controller.connect({host, 9093})).has_value());
      protocol::DescribeClusterRequest cluster;
      cluster.endpoint_type = 2;
      const auto told = co_await controller.call<protocol::DescribeClusterResponse>(cluster, 1);
      EXPECT_TRUE(told.has_value());
      if (told) EXPECT_EQ(told->message.controller_id, active);
      // Nor does it judge by what it has.
      protocol::CreateTopicsRequest request;
      for (const std::string_view name : {"there", "new"}) {
        auto& topic = request.topics.emplace_back();
        topic.name = name;
        topic.num_partitions = topic.replication_factor = 1;
      }
      const auto made = co_await controller.call<protocol::CreateTopicsResponse>(request, 7);
      EXPECT_TRUE(made.has_value());
      for (int i = 0; made && i < 2; ++i)
        EXPECT_EQ(made->message.topics.at(i).error_code, code(ErrorCode::not_controller));
      protocol::ElectLeadersRequest election;
      election.topic_partitions.emplace().push_back({"there", {0}});
      const auto elected = co_await controller.call<protocol::ElectLeadersResponse>(election, 0);
      EXPECT_TRUE(elected.has_value());
      if (elected)
        EXPECT_EQ(elected->message.replica_election_results.at(0).partition_result.at(0).error_code,
                  code(ErrorCode::not_controller));
      co_await controller.close();
    }(client.loop(), machines_[other]->host(), leader + 1);
  });
  shut_down();
}

TEST_F(ClusterTest, who_has_no_time_is_served_by_any_node_all_the_same) {
  boot();
  const int leader = wait_active();
  for (int i = 0; i < kNodes; ++i)
    EXPECT_EQ(create((leader + i) % kNodes, "topic-" + std::to_string(i), 1, 0), 0);
  shut_down();
}

io::Task<void> take_none(io::Loop& loop, std::string host, int& refused) {
  KafkaClient client(loop);
  EXPECT_TRUE((co_await client.connect({host, 9092})).has_value());
  const auto answer = co_await client.call<protocol::InitProducerIdResponse>(
      protocol::InitProducerIdRequest{.transactional_id = std::nullopt}, 4);
  EXPECT_TRUE(answer.has_value());
  if (answer && answer->message.error_code == code(ErrorCode::coordinator_load_in_progress))
    ++refused;
  co_await client.close();
}

TEST_F(ClusterTest, without_a_majority_all_who_want_producer_ids_are_told_so_together) {
  boot();
  const int first = wait_active();
  machines_[(first + 1) % kNodes]->power_cut();
  machines_[(first + 2) % kNodes]->power_cut();
  int refused = 0;
  const Instant begun = world_.now();
  run(first, [&](KafkaClient& client) -> io::Task<void> {
    return [](io::Loop& loop, std::string host, int& count) -> io::Task<void> {
      for (int i = 0; i < 5; ++i) loop.start(take_none(loop, host, count));
      const Instant end = loop.now() + seconds(60);
      while (count < 5 && loop.now() < end) co_await io::sleep_for(loop, milliseconds(10));
    }(client.loop(), machines_[first]->host(), refused);
  });
  EXPECT_EQ(refused, 5);
  EXPECT_LT(world_.now() - begun, seconds(8));
  shut_down();
}

// A node that is behind does not know the topic yet, nor therefore who may delete it.
TEST_F(ClusterTest, what_a_node_does_not_know_it_lets_nobody_delete) {
  boot();
  const int leader = wait_active();
  const int behind = (leader + 1) % kNodes;
  run(leader, [](KafkaClient& client) -> io::Task<void> {
    protocol::CreateAclsRequest request;
    for (const auto type : {protocol::ResourceType::topic, protocol::ResourceType::cluster}) {
      auto& acl = request.creations.emplace_back();
      acl.resource_type = static_cast<std::int8_t>(type);
      acl.resource_name = type == protocol::ResourceType::topic ? "*" : "kafka-cluster";
      acl.resource_pattern_type = static_cast<std::int8_t>(protocol::PatternType::literal);
      acl.principal = "User:*";
      acl.host = "*";
      acl.operation = static_cast<std::int8_t>(type == protocol::ResourceType::topic
                                                   ? protocol::AclOperation::describe
                                                   : protocol::AclOperation::create);
      acl.permission_type = static_cast<std::int8_t>(protocol::AclPermission::allow);
    }
    const auto answer = co_await client.call<protocol::CreateAclsResponse>(request, 3);
    EXPECT_TRUE(answer.has_value() && answer->message.results.at(0).error_code == 0);
  });
  world_.run_for(seconds(1));
  machines_[behind]->disk().options().stall_one_in = 1;
  machines_[behind]->disk().options().stall_delay = {seconds(5), seconds(5)};
  EXPECT_EQ(create(leader, "secret"), 0);
  const TopicId id = image_of(leader).topics().find("secret")->id;
  run(behind, [id](KafkaClient& client) -> io::Task<void> {
    return [](KafkaClient& asked, TopicId topic) -> io::Task<void> {
      protocol::DeleteTopicsRequest request;
      request.timeout_ms = 3'000;
      request.topics.push_back({"secret", TopicId()});
      request.topics.push_back({std::nullopt, topic});
      const auto answer = co_await asked.call<protocol::DeleteTopicsResponse>(request, 6);
      EXPECT_TRUE(answer.has_value());
      if (!answer) co_return;
      for (const auto& response : answer->message.responses)
        EXPECT_NE(response.error_code, 0) << response.name.value_or("by id");
    }(client, id);
  });
  machines_[behind]->disk().options().stall_one_in = 0;
  world_.run_for(seconds(1));
  EXPECT_NE(image_of(leader).topics().find("secret"), nullptr);
  shut_down();
}

TEST_F(ClusterTest, another_controller_takes_over_when_the_active_one_dies) {
  boot();
  const int first = wait_active();
  EXPECT_EQ(create((first + 1) % kNodes, "before"), 0);
  machines_[first]->power_cut();
  // Asked at once: the request waits for the next controller.
  EXPECT_EQ(create((first + 1) % kNodes, "meanwhile"), 0);
  EXPECT_NE(wait_active(first), first);
  // What the dead one led is out of service a session later.
  const auto fenced = [&] {
    const auto* broker = image_of((first + 1) % kNodes).broker(first + 1);
    return broker != nullptr && broker->fenced;
  };
  EXPECT_TRUE(world_.run_until(fenced, seconds(30)));
  nodes_[first]->start(1);
  wait_ready();
  const auto back = [&] { return !fenced(); };
  EXPECT_TRUE(world_.run_until(back, seconds(30)));
  EXPECT_EQ(create(first, "after"), 0);
  world_.run_for(seconds(1));
  for (int i = 0; i < kNodes; ++i) EXPECT_EQ(image_of(i).topics().by_name().size(), 3u);
  shut_down();
}

io::Task<void> create_on(KafkaClient& client, std::string name, NodeId broker) {
  protocol::CreateTopicsRequest request;
  request.timeout_ms = 10'000;
  auto& topic = request.topics.emplace_back();
  topic.name = name;
  topic.num_partitions = -1;
  topic.replication_factor = -1;
  topic.assignments = {{0, {broker}}, {1, {broker}}};
  const auto answer = co_await client.call<protocol::CreateTopicsResponse>(request, 7);
  EXPECT_TRUE(answer.has_value() && answer->message.topics.at(0).error_code == 0);
}

// A broker only, with the id 9, beside the three.
struct BrokerBesideTest : ClusterTest {
  static constexpr NodeId kId = 9;
  void boot_with(const std::vector<std::string>& settings = {}) {
    boot();
    std::vector<std::string> all = {
        "process.roles=broker", "node.id=9",
        "controller.quorum.bootstrap.servers=" + machines_[wait_active()]->host() + ":9093"};
    all.insert(all.end(), settings.begin(), settings.end());
    node_ = std::make_unique<test::SimNode>(machine_, test::config_for(machine_, all));
    raft::FormatOptions format;
    format.mode = raft::FormatMode::no_initial_controllers;
    node_->set_format(format);
    start();
  }
  void start() {
    node_->start(1);
    ASSERT_TRUE(world_.run_until([&] { return node_->is_ready(); }, seconds(60)))
        << node_->problem();
  }
  void shut_all_down() {
    machine_.stop();
    EXPECT_TRUE(world_.run_until([&] { return !machine_.is_running(); }, seconds(60)));
    shut_down();
  }

  io::sim::Node& machine_ = world_.add_node();
  std::unique_ptr<test::SimNode> node_;
};

// What was there is lost; its partitions begin anew.
TEST_F(BrokerBesideTest, whose_disk_was_replaced_leads_its_partitions_again) {
  boot_with();
  const int leader = wait_active();
  run(leader, [](KafkaClient& client) { return create_on(client, "kept", kId); });
  const auto led = [&] {
    const metadata::TopicImage* topic = image_of(leader).topics().find("kept");
    return topic != nullptr && topic->partitions.at(0).leader == kId &&
           topic->partitions.at(1).leader == kId;
  };
  EXPECT_TRUE(world_.run_until(led, seconds(10)));
  const LeaderEpoch before = image_of(leader).topics().find("kept")->partitions.at(0).leader_epoch;
  machine_.power_cut();
  for (const std::string& path : node_->config().log_dirs) machine_.disk().remove(path);
  EXPECT_TRUE(world_.run_until([&] { return !led(); }, seconds(30)));
  start();
  EXPECT_TRUE(world_.run_until(led, seconds(10)));
  EXPECT_GT(image_of(leader).topics().find("kept")->partitions.at(0).leader_epoch, before);
  shut_all_down();
}

// Asks that node for a topic that is not there.
io::Task<void> want(io::sim::Process& process, std::string host, std::string name) {
  KafkaClient client(process.loop(0));
  EXPECT_TRUE((co_await client.connect({host, 9092})).has_value());
  protocol::MetadataRequest request;
  request.topics.emplace().emplace_back().name = name;
  request.allow_auto_topic_creation = true;
  EXPECT_TRUE((co_await client.call<protocol::MetadataResponse>(request, 9)).has_value());
  co_await client.close();
}

TEST_F(BrokerBesideTest, makes_topics_by_itself_as_its_own_file_says) {
  boot_with({"num.partitions=5"});
  client_machine_->start(
      [this](io::sim::Process& process) { return want(process, machine_.host(), "by-9"); }, 1);
  const auto count_of = [this](std::string_view name) -> std::size_t {
    const metadata::TopicImage* topic = image_of(0).topics().find(name);
    return topic == nullptr ? 0 : topic->partitions.size();
  };
  EXPECT_TRUE(world_.run_until([&] { return count_of("by-9") > 0; }, seconds(10)));
  EXPECT_EQ(count_of("by-9"), 5u);
  EXPECT_TRUE(world_.run_until([&] { return !client_machine_->is_running(); }, seconds(10)));
  client_machine_->start(
      [this](io::sim::Process& process) { return want(process, machines_[0]->host(), "by-1"); }, 1);
  EXPECT_TRUE(world_.run_until([&] { return count_of("by-1") > 0; }, seconds(10)));
  EXPECT_EQ(count_of("by-1"), 1u);
  EXPECT_TRUE(world_.run_until([&] { return !client_machine_->is_running(); }, seconds(10)));
  shut_all_down();
}

// A controller of Kafka refuses also a broker that was restarted, until its session has ended.
TEST_F(ClusterTest, a_broker_whose_id_is_taken_asks_now_and_then) {
  boot();
  const int leader = wait_active();
  const NodeId taken = 1 + (leader + 1) % kNodes;
  const auto asked = [&] {
    const auto key = static_cast<std::size_t>(protocol::ApiKey::broker_registration);
    return nodes_[leader]->node()->shard(0).metrics().apis.at(key).requests.load();
  };
  const std::uint64_t before = asked();
  io::sim::Node& machine = world_.add_node();
  const broker::BrokerConfig config = test::config_for(
      machine, {"process.roles=broker", "node.id=" + std::to_string(taken),
                "controller.quorum.bootstrap.servers=" + machines_[leader]->host() + ":9093"});
  raft::FormatOptions format;
  format.mode = raft::FormatMode::no_initial_controllers;
  test::SimNode twin(machine, config);
  twin.set_format(format);
  twin.start(1);
  world_.run_for(seconds(5));
  EXPECT_FALSE(twin.is_ready());
  EXPECT_EQ(twin.problem(), "");
  ASSERT_EQ(active(), leader);
  EXPECT_GT(asked() - before, 20u);
  EXPECT_LT(asked() - before, 60u);
  machine.stop();
  EXPECT_TRUE(world_.run_until([&] { return !machine.is_running(); }, seconds(60)));
  shut_down();
}

TEST_F(ClusterTest, a_controller_that_was_paused_finds_itself_replaced) {
  boot();
  const int first = wait_active();
  machines_[first]->pause();
  EXPECT_EQ(create((first + 1) % kNodes, "meanwhile"), 0);
  machines_[first]->resume();
  const auto deposed = [&] { return !nodes_[first]->node()->controller().is_active(); };
  EXPECT_TRUE(world_.run_until(deposed, seconds(30)));
  EXPECT_EQ(create(first, "after"), 0);
  world_.run_for(seconds(2));
  for (int i = 0; i < kNodes; ++i) EXPECT_EQ(image_of(i).topics().by_name().size(), 2u);
  shut_down();
}

TEST_F(ClusterTest, a_controller_that_stops_hands_over) {
  boot();
  const int first = wait_active();
  machines_[first]->stop();
  EXPECT_TRUE(world_.run_until([&] { return !machines_[first]->is_running(); }, seconds(30)));
  const Instant stopped = world_.now();
  EXPECT_NE(wait_active(first, seconds(1)), first);
  EXPECT_LT(world_.now() - stopped, milliseconds(500));
  // It is out of service already: it said that it leaves.
  EXPECT_TRUE(image_of(active()).broker(first + 1)->fenced);
  EXPECT_EQ(create((first + 1) % kNodes, "after"), 0);
  shut_down();
}

// Was answered a moment ago, and keeps its connection: a node that stops waits for it a little.
io::Task<void> stay(KafkaClient& client, io::sim::Node& machine) {
  const auto answer = co_await client.call<protocol::ApiVersionsResponse>(
      protocol::ApiVersionsRequest{.client_software_name = "t", .client_software_version = "1"}, 3);
  EXPECT_TRUE(answer.has_value());
  machine.stop();
  co_await client.wait(seconds(2));
}

TEST_F(ClusterTest, a_client_that_stays_does_not_hold_up_the_next_controller) {
  boot();
  const int first = wait_active();
  bool done = false;
  client_machine_->start(
      [&](io::sim::Process& process) {
        return with_client(process, first, done,
                           [&](KafkaClient& client) { return stay(client, *machines_[first]); });
      },
      1);
  const Instant asked = world_.now();
  EXPECT_NE(wait_active(first, seconds(2)), first);
  EXPECT_LT(world_.now() - asked, milliseconds(500));
  EXPECT_TRUE(world_.run_until([&] { return done && !client_machine_->is_running(); }, seconds(9)));
  shut_down();
}

TEST_F(ClusterTest, without_a_majority_nothing_is_acknowledged_and_everything_stops) {
  boot();
  const int first = wait_active();
  machines_[(first + 1) % kNodes]->power_cut();
  machines_[(first + 2) % kNodes]->power_cut();
  EXPECT_EQ(create(first, "never", 1, 2'000), code(ErrorCode::request_timed_out));
  shut_down();
}

io::Task<void> take_producer_ids(KafkaClient& client, std::set<ProducerId>& ids) {
  for (int i = 0; i < 3; ++i) {
    const auto answer = co_await client.call<protocol::InitProducerIdResponse>(
        protocol::InitProducerIdRequest{.transactional_id = std::nullopt}, 4);
    EXPECT_TRUE(answer.has_value());
    if (!answer) co_return;
    EXPECT_EQ(answer->message.error_code, 0);
    EXPECT_TRUE(ids.insert(answer->message.producer_id).second);
  }
}

TEST_F(ClusterTest, producer_ids_differ_on_all_nodes) {
  boot();
  std::set<ProducerId> ids;
  for (int i = 0; i < kNodes; ++i)
    run(i, [&](KafkaClient& client) { return take_producer_ids(client, ids); });
  EXPECT_EQ(ids.size(), 9u);
  shut_down();
}

TEST_F(ClusterTest, what_one_node_serves_survives_a_restart_of_all) {
  boot();
  EXPECT_EQ(create(0, "events", 6), 0);
  world_.run_for(seconds(1));
  int served = 0, elsewhere = 0;
  for (int i = 0; i < kNodes; ++i)
    run(i, [&](KafkaClient& client) { return produce_to_leaders(client, served, elsewhere); });
  for (io::sim::Node* machine : machines_) machine->power_cut();
  boot();
  world_.run_for(seconds(1));
  int found = 0;
  const auto fetch_all = [&](KafkaClient& client) -> io::Task<void> {
    return [](KafkaClient& asked, int& count) -> io::Task<void> {
      for (std::int32_t partition = 0; partition < 6; ++partition) {
        const auto answer =
            co_await asked.call<protocol::FetchResponse>(fetch_of("events", partition, 0, 0), 12);
        EXPECT_TRUE(answer.has_value());
        if (!answer) co_return;
        const auto& data = answer->message.responses.at(0).partitions.at(0);
        if (data.error_code == 0 && data.high_watermark == 2) ++count;
      }
    }(client, found);
  };
  for (int i = 0; i < kNodes; ++i) run(i, fetch_all);
  EXPECT_EQ(found, 6);
  shut_down();
}

// --- From kraft.version 0 to 1

struct StaticClusterTest : ClusterTest {
  StaticClusterTest() : ClusterTest(1, {}, true) {}

  static io::Task<void> ask_update(KafkaClient& client, std::int16_t level, std::int8_t type,
                                   bool validate_only, std::int16_t& error, std::string& why) {
    protocol::UpdateFeaturesRequest request;
    request.timeout_ms = 10'000;
    request.validate_only = validate_only;
    request.feature_updates = {{"kraft.version", level, false, type}};
    const auto answer = co_await client.call<protocol::UpdateFeaturesResponse>(request, 2);
    EXPECT_TRUE(answer.has_value());
    if (!answer) co_return;
    error = answer->message.error_code;
    why = answer->message.error_message.value_or("");
    why = why.substr(std::min(why.size(), why.find("error: ") + 7));
  }
  std::int16_t update(int index, std::int16_t level, std::int8_t type = 1,
                      bool validate_only = false) {
    std::int16_t error = -2;
    run(index, [&](KafkaClient& client) -> io::Task<void> {
      return ask_update(client, level, type, validate_only, error, why_);
    });
    return error;
  }
  static io::Task<void> ask_level(KafkaClient& client, std::int16_t& level) {
    const auto answer = co_await client.call<protocol::ApiVersionsResponse>(
        protocol::ApiVersionsRequest{.client_software_name = "t", .client_software_version = "1"},
        4);
    level = 0;
    if (!answer) co_return;
    for (const auto& feature : answer->message.finalized_features)
      if (feature.name == "kraft.version") level = feature.max_version_level;
  }
  // What a node tells its clients.
  std::int16_t level_at(int index) {
    std::int16_t level = -1;
    run(index, [&](KafkaClient& client) -> io::Task<void> { return ask_level(client, level); });
    return level;
  }
  static io::Task<void> ask_remove(KafkaClient& client, NodeId id, Uuid directory,
                                   std::int16_t& error) {
    protocol::RemoveRaftVoterRequest request;
    request.cluster_id = std::nullopt;
    request.voter_id = id;
    request.voter_directory_id = directory;
    const auto answer = co_await client.call<protocol::RemoveRaftVoterResponse>(request, 0);
    if (answer) error = answer->message.error_code;
  }
  static io::Task<void> ask_add(KafkaClient& client, raft::Voter voter, std::int16_t& error) {
    protocol::AddRaftVoterRequest request;
    request.cluster_id = std::nullopt;
    request.timeout_ms = 10'000;
    request.voter_id = voter.id;
    request.voter_directory_id = voter.directory_id;
    for (const raft::VoterEndpoint& each : voter.endpoints)
      request.listeners.push_back({each.name, each.host, each.port});
    const auto answer = co_await client.call<protocol::AddRaftVoterResponse>(request, 0);
    if (answer) error = answer->message.error_code;
  }
  const std::vector<raft::Voter>& voters_at(int index) {
    return nodes_[index]->node()->controller().raft().voters();
  }

  std::string why_;
};

TEST_F(StaticClusterTest, a_static_quorum_becomes_one_whose_voters_change) {
  boot();
  const int leader = wait_active();
  const int other = (leader + 1) % kNodes;
  EXPECT_EQ(level_at(leader), 0);
  const auto invalid = code(ErrorCode::invalid_update_version);
  // Voters tell a new leader within a fetch timeout what they speak.
  while (update(other, 1, 1, true) != 0) {
    ASSERT_TRUE(why_.starts_with(
        "Invalid upgrade of kraft.version to KRAFT_VERSION_1 because not all of the voters "
        "support it: node "))
        << why_;
    world_.run_for(milliseconds(500));
  }
  EXPECT_EQ(level_at(leader), 0) << "it was only asked whether it would be";
  EXPECT_EQ(update(other, 2), invalid);
  EXPECT_EQ(update(other, 1), 0) << why_;
  EXPECT_EQ(level_at(leader), 1);
  EXPECT_EQ(update(other, 1), 0) << "it is so already";
  EXPECT_EQ(update(other, 0, 2), invalid);
  EXPECT_EQ(why_,
            "Invalid update version 0 for feature kraft.version. Can't downgrade the version of "
            "this feature.");
  EXPECT_EQ(create(other, "first"), 0);
  world_.run_for(seconds(1));
  for (int i = 0; i < kNodes; ++i) {
    EXPECT_EQ(level_at(i), 1);
    EXPECT_EQ(image_of(i).voters().size(), 3u);
    ASSERT_EQ(voters_at(i), voters_at(leader));
  }
  const raft::Voter leaves = voters_at(leader)[static_cast<std::size_t>(other)];
  ASSERT_FALSE(leaves.directory_id.is_zero());
  std::int16_t error = -2;
  run(leader, [&](KafkaClient& client) -> io::Task<void> {
    return ask_remove(client, leaves.id, leaves.directory_id, error);
  });
  EXPECT_EQ(error, 0);
  EXPECT_EQ(image_of(leader).voters().size(), 2u) << "the leader, too, has it in its image";
  world_.run_for(seconds(3));
  EXPECT_EQ(voters_at(other).size(), 2u);
  raft::Voter elsewhere = leaves;
  elsewhere.endpoints.front().port = 9092;
  run(leader,
      [&](KafkaClient& client) -> io::Task<void> { return ask_add(client, elsewhere, error); });
  EXPECT_EQ(error, code(ErrorCode::invalid_request)) << "that is its clients' listener";
  run(leader,
      [&](KafkaClient& client) -> io::Task<void> { return ask_add(client, leaves, error); });
  EXPECT_EQ(error, 0);
  // The configuration still names a static quorum, and is not asked any more.
  shut_down();
  boot();
  EXPECT_EQ(create(other, "second"), 0);
  for (int i = 0; i < kNodes; ++i) {
    EXPECT_EQ(level_at(i), 1);
    EXPECT_EQ(voters_at(i).size(), 3u);
  }
  shut_down();
}

// --- Nodes that need the right to take part

constexpr const char* kAuthorizer =
    "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer";

struct ClosedClusterTest : ClusterTest {
  ClosedClusterTest() : ClusterTest(1, {kAuthorizer, "super.users=User:ANONYMOUS"}) {}
};

TEST_F(ClosedClusterTest, nodes_that_are_super_users_make_a_cluster) {
  boot();
  EXPECT_EQ(create(wait_active(), "made"), 0);
  shut_down();
}

struct LockedClusterTest : ClusterTest {
  LockedClusterTest() : ClusterTest(1, {kAuthorizer, "super.users=User:admin"}) {}
};

TEST_F(LockedClusterTest, without_the_right_no_controller_is_elected) {
  for (const auto& node : nodes_) node->start(1);
  world_.run_for(seconds(20));
  EXPECT_EQ(active(), -1);
  for (int i = 0; i < kNodes; ++i) machines_[i]->kill();
}

}  // namespace
}  // namespace drave
