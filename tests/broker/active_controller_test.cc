// What nodes and their clients have from the active controller when something goes slowly or wrong.

#include <ctime>
#include <deque>
#include <functional>

#include "io/scope.h"
#include "metadata/features.h"
#include "protocol/messages/broker_heartbeat.h"
#include "protocol/messages/broker_registration.h"
#include "protocol/messages/create_acls.h"
#include "protocol/messages/describe_quorum.h"
#include "protocol/messages/metadata.h"
#include "protocol/resource.h"
#include "tests/broker/support/sim_cluster.h"

namespace drave {
namespace {

using protocol::ErrorCode;
using test::ClusterTest;
using test::code;
using test::KafkaClient;

// A topic that is asked for by a connection of its own.
struct Creation {
  std::string name;
  std::int32_t timeout_ms = 30'000;
  Duration after{};  // the beginning
  std::int16_t error = -2;
  Duration took{};
};

io::Task<void> carry_out(io::Loop& loop, std::string host, Creation* creation) {
  co_await io::sleep_for(loop, creation->after);
  KafkaClient client(loop);
  const Instant begun = loop.now();
  EXPECT_TRUE((co_await client.connect({host, 9092})).has_value());
  creation->error = co_await test::create_topic(client, creation->name, 1, creation->timeout_ms);
  creation->took = loop.now() - begun;
  co_await client.close();
}

io::Task<void> carry_out_all(io::Loop& loop, std::string host, std::deque<Creation>* all) {
  io::Scope scope(loop);
  for (Creation& creation : *all) scope.spawn(carry_out(loop, host, &creation));
  co_await scope.join();
}

struct ActiveControllerTest : ClusterTest {
  using ClusterTest::ClusterTest;

  void stall(int index, Duration span) {
    machines_[index]->disk().options().stall_one_in = span.ns > 0 ? 1 : 0;
    machines_[index]->disk().options().stall_delay = {span, span};
  }
  // The disks of all but the active controller's node take so long: nothing is committed sooner.
  void commit_takes(Duration span) {
    const int leader = wait_active();
    for (int i = 0; i < kNodes; ++i)
      if (i != leader) stall(i, span);
  }
  void ask(int index, std::deque<Creation>& all) {
    run(index, [&](KafkaClient& client) -> io::Task<void> {
      return carry_out_all(client.loop(), machines_[index]->host(), &all);
    });
  }
  bool has_topic(int index, std::string_view name) {
    return image_of(index).topics().find(name) != nullptr;
  }
};

// All forwarded requests of a node go over one connection.
TEST_F(ActiveControllerTest, a_client_that_waits_for_a_moment_ends_nothing_for_others) {
  boot();
  const int leader = wait_active();
  commit_takes(milliseconds(700));
  std::deque<Creation> all;
  all.push_back({"patient"});
  all.push_back({"hasty", 1, milliseconds(100)});
  all.push_back({"later", 30'000, milliseconds(200)});
  ask((leader + 1) % kNodes, all);
  EXPECT_EQ(all[0].error, 0);
  EXPECT_EQ(all[1].error, code(ErrorCode::request_timed_out));
  EXPECT_LT(all[1].took, milliseconds(600));
  EXPECT_EQ(all[2].error, 0);
  commit_takes({});
  world_.run_for(seconds(1));
  EXPECT_TRUE(has_topic(leader, "hasty")) << "it was decided all the same";
  shut_down();
}

TEST_F(ActiveControllerTest, a_client_of_the_active_one_waits_no_longer_than_it_wants_to) {
  boot();
  const int leader = wait_active();
  commit_takes(milliseconds(1200));
  std::deque<Creation> all;
  all.push_back({"hasty", 1});
  ask(leader, all);
  EXPECT_EQ(all[0].error, code(ErrorCode::request_timed_out));
  EXPECT_LT(all[0].took, milliseconds(600));
  commit_takes({});
  world_.run_for(seconds(2));
  EXPECT_TRUE(has_topic(leader, "hasty"));
  shut_down();
}

// Another node than this one knows of the topic, so that it is committed: then `next` is to lead.
io::Task<void> hand_over(io::Loop& loop, broker::QuorumController& controller, NodeId next,
                         std::function<bool()> is_committed, bool* was_published) {
  while (!is_committed()) co_await io::sleep_for(loop, milliseconds(1));
  *was_published = controller.image()->topics().find("late") != nullptr;
  [[maybe_unused]] const auto ended = co_await controller.raft().transfer(next);
}

// The leader's disk is slow: its shards take a while to run what is committed.
struct HandingOverTest : ActiveControllerTest {
  // A creation through the node `behind` places after the leader.
  void create_meanwhile(int behind) {
    boot();
    const int leader = wait_active();
    const int next = (leader + 1) % kNodes;
    const int third = (leader + 2) % kNodes;
    stall(leader, milliseconds(50));
    bool was_published = true;
    nodes_[leader]->node()->shard(0).loop().start(hand_over(
        nodes_[leader]->node()->shard(0).loop(), nodes_[leader]->node()->controller(), next + 1,
        [=, this] { return has_topic(third, "late"); }, &was_published));
    EXPECT_EQ(create((leader + behind) % kNodes, "late", 12), 0);
    EXPECT_FALSE(was_published);
    EXPECT_EQ(wait_active(leader), next);
    answered_at_ = leader;
  }
  int answered_at_ = -1;
};

TEST_F(HandingOverTest, answers_what_was_committed_for_clients_of_other_nodes) {
  create_meanwhile(2);
  stall(answered_at_, {});
  shut_down();
}

TEST_F(HandingOverTest, has_published_what_its_own_clients_are_told) {
  create_meanwhile(0);
  EXPECT_TRUE(has_topic(answered_at_, "late"));
  stall(answered_at_, {});
  shut_down();
}

// --- What can never be forwarded

struct DeniedNodesTest : ActiveControllerTest {
  DeniedNodesTest()
      : ActiveControllerTest(
            1, {"authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                "super.users=User:admin", "allow.everyone.if.no.acl.found=true"}) {}
};

io::Task<void> deny_cluster_action(KafkaClient& client) {
  protocol::CreateAclsRequest request;
  auto& acl = request.creations.emplace_back();
  acl.resource_type = static_cast<std::int8_t>(protocol::ResourceType::cluster);
  acl.resource_name = "kafka-cluster";
  acl.resource_pattern_type = static_cast<std::int8_t>(protocol::PatternType::literal);
  acl.principal = "User:*";
  acl.host = "*";
  acl.operation = static_cast<std::int8_t>(protocol::AclOperation::cluster_action);
  acl.permission_type = static_cast<std::int8_t>(protocol::AclPermission::deny);
  const auto answer = co_await client.call<protocol::CreateAclsResponse>(request, 3);
  EXPECT_TRUE(answer.has_value() && answer->message.results.at(0).error_code == 0);
}

TEST_F(DeniedNodesTest, what_the_controller_will_never_take_is_refused_at_once) {
  boot();
  const int leader = wait_active();
  run(leader, [](KafkaClient& client) { return deny_cluster_action(client); });
  std::deque<Creation> all;
  all.push_back({"never"});
  ask((leader + 1) % kNodes, all);
  EXPECT_EQ(all[0].error, code(ErrorCode::unknown_server_error));
  EXPECT_LT(all[0].took, seconds(1));
  for (int i = 0; i < kNodes; ++i) machines_[i]->kill();
}

// --- Auto-creation

io::Task<void> ask_for_new(KafkaClient& client, std::int16_t& error) {
  protocol::MetadataRequest request;
  request.topics->push_back({{}, "asked-for"});
  const auto answer = co_await client.call<protocol::MetadataResponse>(request, 12);
  EXPECT_TRUE(answer.has_value());
  if (answer) error = answer->message.topics.at(0).error_code;
}

// Of which every node has some.
struct ManyPartitionsTest : ActiveControllerTest {
  ManyPartitionsTest() : ActiveControllerTest(1, {"num.partitions=12"}) {}
};

TEST_F(ManyPartitionsTest, a_topic_that_was_asked_for_is_known_where_it_was_asked_for) {
  boot(2);
  const int leader = wait_active();
  const int other = (leader + 1) % kNodes;
  // It still makes its files when the active one has made its own, and answers.
  stall(leader, milliseconds(5));
  stall(other, milliseconds(10));
  std::int16_t error = -2;
  run(other, [&](KafkaClient& client) { return ask_for_new(client, error); });
  EXPECT_EQ(error, 0);
  stall(leader, {});
  stall(other, {});
  shut_down();
}

// What cannot be created, as there is one replica at most.
struct RefusedCreationsTest : ActiveControllerTest {
  RefusedCreationsTest() : ActiveControllerTest(1, {"default.replication.factor=3"}) {}
};

io::Task<void> have_created(broker::Node& node, std::vector<std::string> names, int* refused) {
  const broker::Node::Refusals refusals = co_await node.auto_create(std::move(names), {});
  *refused = static_cast<int>(refusals.size());
}

// If one of them looked through all that is refused for each that it waits for, it would be at it
// for seconds.
TEST_F(RefusedCreationsTest, who_asks_for_many_that_others_have_asked_for_is_soon_refused) {
  constexpr int kMany = 6000;
  boot();
  broker::Node& node = *nodes_[wait_active()]->node();
  std::vector<std::string> names;
  for (int i = 0; i < kMany; ++i) names.push_back("refused-" + std::to_string(i));
  int refused[2] = {-1, -1};
  const std::clock_t begun = std::clock();  // of the CPU
  for (int& each : refused) node.shard(0).loop().start(have_created(node, names, &each));
  ASSERT_TRUE(world_.run_until([&] { return refused[0] >= 0 && refused[1] >= 0; }, seconds(60)));
  EXPECT_LT(std::clock() - begun, 3 * CLOCKS_PER_SEC);
  EXPECT_EQ(refused[0], kMany);
  EXPECT_EQ(refused[1], kMany);
  shut_down();
}

// --- Transactions

// 21,000 records: two batches are full, and a third one is begun.
io::Task<void> create_many(broker::QuorumController& controller, std::int16_t* error) {
  constexpr std::string_view kConfigs[] = {"retention.ms",
                                           "retention.bytes",
                                           "segment.bytes",
                                           "segment.ms",
                                           "segment.jitter.ms",
                                           "flush.messages",
                                           "flush.ms",
                                           "max.message.bytes",
                                           "index.interval.bytes",
                                           "segment.index.bytes",
                                           "file.delete.delay.ms"};
  std::deque<std::string> names;
  protocol::CreateTopicsRequest request;
  for (int i = 0; i < 1000; ++i) {
    auto& topic = request.topics.emplace_back();
    topic.name = names.emplace_back("torn-" + std::to_string(i));
    topic.num_partitions = 9;
    topic.replication_factor = 1;
    for (const std::string_view key : kConfigs) topic.configs.push_back({key, "1048576"});
  }
  const auto answer = co_await controller.create_topics(request, 7);
  *error = answer.message.topics.back().error_code;
}

// Somebody wants `voter` to lead as soon as the first batch of a transaction is appended.
io::Task<void> cut_in_two(io::Loop& loop, broker::QuorumController& controller, NodeId voter,
                          std::int16_t* error, bool* done) {
  io::Scope scope(loop);
  const Offset before = controller.raft().end();
  scope.spawn(create_many(controller, error));
  while (controller.raft().end() < before + 9'000 && *error == -2)
    co_await io::sleep_for(loop, Duration{1});
  [[maybe_unused]] const auto ended = co_await controller.raft().transfer(voter);
  co_await scope.join();
  *done = true;
}

TEST_F(ActiveControllerTest, nothing_is_acknowledged_within_a_transaction_that_was_cut_short) {
  boot();
  const int leader = wait_active();
  const int dead = (leader + 1) % kNodes;
  const int other = (leader + 2) % kNodes;
  machines_[dead]->power_cut();
  std::int16_t error = -2;
  bool done = false;
  io::Loop& loop = nodes_[leader]->node()->shard(0).loop();
  loop.start(cut_in_two(loop, nodes_[leader]->node()->controller(), dead + 1, &error, &done));
  ASSERT_TRUE(world_.run_until([&] { return done; }, seconds(60)));
  EXPECT_EQ(error, code(ErrorCode::not_controller));
  EXPECT_EQ(create(other, "after"), 0);
  world_.run_for(seconds(1));
  for (const int index : {leader, other}) {
    EXPECT_TRUE(has_topic(index, "after"));
    EXPECT_EQ(image_of(index).topics().by_name().size(), 1u);
  }
  shut_down();
}

// --- What is decided in pieces

// Three pieces of a fencing.
constexpr std::int32_t kSweptPartitions = 1100;

io::Task<void> create_on(broker::QuorumController& controller, NodeId broker, bool* done) {
  protocol::CreateTopicsRequest request;
  auto& topic = request.topics.emplace_back();
  topic.name = "swept";
  topic.num_partitions = -1;
  topic.replication_factor = -1;
  for (std::int32_t i = 0; i < kSweptPartitions; ++i) topic.assignments.push_back({i, {broker}});
  const auto answer = co_await controller.create_topics(request, 7);
  EXPECT_EQ(answer.message.topics.at(0).error_code, 0);
  *done = true;
}

io::Task<void> beat_as(broker::QuorumController& controller, NodeId broker) {
  protocol::BrokerHeartbeatRequest request;
  request.broker_id = broker;
  request.broker_epoch = controller.image()->broker(broker)->epoch;
  request.current_metadata_offset = controller.published_end() - 1;
  [[maybe_unused]] const auto answer = co_await controller.broker_heartbeat(request, 1);
}

// `silent` is being fenced: as soon as so many of its partitions are taken from it, somebody wants
// it to lead, which it cannot, and it is heard again.
io::Task<void> cut_fencing(io::Loop& loop, broker::QuorumController& controller, NodeId silent,
                           Offset taken, bool* done) {
  io::Scope scope(loop);
  Offset begin = 0;
  do {  // a piece is appended at once; what else there is are single records
    begin = controller.raft().end();
    co_await io::sleep_for(loop, Duration{1});
  } while (controller.raft().end() < begin + 400);
  while (controller.raft().end() < begin + taken) co_await io::next_pass(loop);
  scope.spawn(beat_as(controller, silent));
  [[maybe_unused]] const auto moved = co_await controller.raft().transfer(silent);
  co_await scope.join();
  *done = true;
}

struct CutFencingTest : ActiveControllerTest {
  void cut_after(Offset taken) {
    boot();
    const int leader = wait_active();
    const int silent = (leader + 1) % kNodes;
    broker::QuorumController& controller = nodes_[leader]->node()->controller();
    io::Loop& loop = nodes_[leader]->node()->shard(0).loop();
    bool created = false;
    loop.start(create_on(controller, silent + 1, &created));
    ASSERT_TRUE(world_.run_until([&] { return created; }, seconds(60)));
    world_.run_for(seconds(5));
    machines_[silent]->pause();
    bool done = false;
    loop.start(cut_fencing(loop, controller, silent + 1, taken, &done));
    ASSERT_TRUE(world_.run_until([&] { return done; }, seconds(60)));
    machines_[silent]->resume();
    world_.run_for(seconds(20));
    const metadata::Image& image = image_of(wait_active());
    EXPECT_FALSE(image.broker(silent + 1)->fenced);
    EXPECT_EQ(image.replica_counts(silent + 1).leads, kSweptPartitions);
    EXPECT_EQ(image.replica_counts(metadata::kNoLeader).leads, 0);
    shut_down();
  }
};

TEST_F(CutFencingTest, who_was_heard_again_leads_what_was_taken_already) {
  cut_after(500);
}

TEST_F(CutFencingTest, also_if_all_was_taken_and_only_its_own_record_was_refused) {
  cut_after(kSweptPartitions);
}

// --- Two processes with one id

protocol::BrokerRegistrationRequest registration_like(const metadata::RegistrationImage& broker,
                                                      std::deque<std::string>& texts) {
  protocol::BrokerRegistrationRequest request;
  request.broker_id = broker.id;
  request.cluster_id = "MkU3OEVBNTcwNTJENDM2Qg";
  request.incarnation_id = {9, 9};
  request.listeners.push_back({"PLAINTEXT", texts.emplace_back("elsewhere"), 9092, 0});
  for (const auto& feature : metadata::supported_features())
    request.features.push_back({feature.name, feature.min, feature.max});
  request.rack.reset();
  request.log_dirs = broker.directories;
  request.previous_broker_epoch = broker.epoch;
  return request;
}

// What a process with a copy of the broker's directories says; then it is silent.
io::Task<void> register_copy(io::Loop& loop, std::string controller,
                             metadata::RegistrationImage broker, Offset end) {
  KafkaClient client(loop);
  EXPECT_TRUE((co_await client.connect({controller, 9093})).has_value());
  std::deque<std::string> texts;
  const auto registered = co_await client.call<protocol::BrokerRegistrationResponse>(
      registration_like(broker, texts), 4);
  EXPECT_TRUE(registered.has_value());
  if (registered) {
    EXPECT_EQ(registered->message.error_code, 0);
    protocol::BrokerHeartbeatRequest heartbeat;
    heartbeat.broker_id = broker.id;
    heartbeat.broker_epoch = registered->message.broker_epoch;
    heartbeat.current_metadata_offset = end;
    const auto answer = co_await client.call<protocol::BrokerHeartbeatResponse>(heartbeat, 1);
    EXPECT_TRUE(answer.has_value() && answer->message.error_code == 0);
  }
  co_await client.close();
}

TEST_F(ActiveControllerTest, a_copy_of_a_broker_is_not_driven_out_while_it_lives) {
  boot();
  const int leader = wait_active();
  const int victim = (leader + 1) % kNodes;
  const auto registered = [&] { return *image_of(leader).broker(victim + 1); };
  EXPECT_EQ(create(leader, "spread", 6), 0);
  const auto leads = image_of(leader).replica_counts(victim + 1).leads;
  EXPECT_GT(leads, 0);
  const metadata::RegistrationImage before = registered();
  run(leader, [&](KafkaClient& client) -> io::Task<void> {
    return register_copy(client.loop(), machines_[leader]->host(), before, 1'000);
  });
  for (int i = 0; i < 7; ++i) {
    world_.run_for(seconds(1));
    EXPECT_EQ(registered().incarnation_id, (Uuid{9, 9})) << i;
  }
  const auto back = [&] {
    return registered().incarnation_id == before.incarnation_id && !registered().fenced;
  };
  EXPECT_TRUE(world_.run_until(back, seconds(45)));
  EXPECT_TRUE(world_.run_until(
      [&] { return image_of(leader).replica_counts(victim + 1).leads == leads; }, seconds(1)))
      << image_of(leader).replica_counts(victim + 1).leads << " of " << leads;
  shut_down();
}

// --- Without a majority

io::Task<void> describe_quorum(KafkaClient& client, std::int16_t* error, NodeId* leader,
                               std::size_t* voters, std::string* text) {
  protocol::DescribeQuorumRequest quorum;
  quorum.topics.push_back({"__cluster_metadata", {{0}}});
  const auto answer = co_await client.call<protocol::DescribeQuorumResponse>(quorum, 2);
  EXPECT_TRUE(answer.has_value());
  if (!answer) co_return;
  const auto& partition = answer->message.topics.at(0).partitions.at(0);
  *error = partition.error_code;
  *leader = partition.leader_id;
  *voters = std::min(partition.current_voters.size(), answer->message.nodes.size());
  *text = partition.error_message.value_or("");
}

// A tool that asks what is wrong is not kept waiting for a leader to come.
TEST_F(ActiveControllerTest, without_a_majority_a_node_says_what_it_knows_of_the_quorum) {
  boot();
  const int leader = wait_active();
  const int other = (leader + 1) % kNodes;
  for (int i = 0; i < kNodes; ++i)
    if (i != other) machines_[i]->kill();
  for (const bool at_once : {true, false}) {
    if (!at_once) world_.run_for(seconds(20));
    std::int16_t error = 0;
    NodeId named = -2;
    std::size_t voters = 0;
    std::string text;
    const Instant begun = world_.now();
    run(other, [&](KafkaClient& client) {
      return describe_quorum(client, &error, &named, &voters, &text);
    });
    EXPECT_LT(world_.now() - begun, at_once ? milliseconds(3'500) : milliseconds(1'500));
    EXPECT_EQ(error, code(ErrorCode::not_leader_or_follower));
    EXPECT_EQ(voters, 3u);
    if (at_once) continue;
    EXPECT_EQ(named, -1);
    EXPECT_NE(text.find("No leader of the quorum is heard"), std::string::npos) << text;
  }
}

}  // namespace
}  // namespace drave
