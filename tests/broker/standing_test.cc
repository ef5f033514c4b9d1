// How nodes stand with the active controller, and what they tell of it: who registers how often,
// /metrics, /health/ready.

#include <map>
#include <set>

#include "broker/http/metrics_text.h"
#include "protocol/messages/metadata.h"
#include "tests/broker/support/sim_cluster.h"

namespace drave {
namespace {

using protocol::ApiKey;
using test::ClusterTest;
using test::config_for;
using test::KafkaClient;
using test::SimNode;

constexpr const char* kCluster = "MkU3OEVBNTcwNTJENDM2Qg";

struct StandingTest : ClusterTest {
  // Requests of this kind that all nodes have answered.
  std::uint64_t answered(ApiKey key) {
    std::uint64_t sum = 0;
    for (const auto& node : nodes_) {
      if (node->node() == nullptr) continue;
      sum += node->node()->shard(0).metrics().apis[static_cast<std::size_t>(key)].requests.load();
    }
    return sum;
  }
  // Another node beside the three, that is none of the first voters; not started.
  SimNode& add(std::vector<std::string> settings, std::string cluster_id = kCluster) {
    io::sim::Node& machine = world_.add_node();
    others_.push_back(&machine);
    std::string servers;
    for (const io::sim::Node* each : machines_)
      servers += (servers.empty() ? "" : ",") + each->host() + ":9093";
    settings.push_back("controller.quorum.bootstrap.servers=" + servers);
    raft::FormatOptions format;
    format.cluster_id = std::move(cluster_id);
    format.mode = raft::FormatMode::no_initial_controllers;
    added_.push_back(std::make_unique<SimNode>(machine, config_for(machine, settings)));
    added_.back()->set_format(format);
    return *added_.back();
  }
  std::string own_listeners(bool both) {
    const std::string host = "10.0.0." + std::to_string(machines_.size() + others_.size() + 2);
    return "listeners=" + std::string(both ? "PLAINTEXT://" + host + ":9092," : "") +
           "CONTROLLER://" + host + ":9093";
  }
  void end() {
    for (io::sim::Node* machine : others_)
      if (machine->is_running()) machine->kill();
    shut_down();
  }

  std::vector<io::sim::Node*> others_;
  std::vector<std::unique_ptr<SimNode>> added_;
};

TEST_F(StandingTest, a_controller_registers_once) {
  boot();
  world_.run_for(seconds(1));
  const int other = (wait_active() + 1) % kNodes;
  machines_[other]->stop();
  ASSERT_TRUE(world_.run_until([&] { return !machines_[other]->is_running(); }, seconds(20)));
  const std::uint64_t controllers = answered(ApiKey::controller_registration);
  nodes_[other]->start(1);
  wait_ready();
  world_.run_for(seconds(10));
  EXPECT_EQ(answered(ApiKey::controller_registration), controllers + 1);
  end();
}

// A copy of a node's disk, or its old one, started elsewhere.
TEST_F(StandingTest, two_nodes_of_one_id_do_not_flood_the_log) {
  boot();
  const int active = wait_active();
  const int twin = (active + 1) % kNodes;
  SimNode& copy = add({"node.id=" + std::to_string(twin + 1), own_listeners(true)});
  world_.run_for(seconds(3));
  const std::uint64_t controllers = answered(ApiKey::controller_registration);
  const Offset before = nodes_[active]->node()->controller().raft().high_watermark();
  copy.start(1);
  world_.run_for(seconds(20));
  ASSERT_EQ(this->active(), active);
  const std::uint64_t contested = answered(ApiKey::controller_registration) - controllers;
  EXPECT_GE(contested, 2u) << "both want to be known";
  EXPECT_LE(contested, 10u);
  // A NoOp comes each half second.
  EXPECT_LE(nodes_[active]->node()->controller().raft().high_watermark() - before, 60);
  end();
}

// The copy has the directories, too, and so may take the place of a broker at once.
TEST_F(StandingTest, a_whole_copy_of_a_node_does_not_flood_the_log) {
  boot();
  const int active = wait_active();
  const int twin = (active + 1) % kNodes;
  SimNode& copy = add({"node.id=" + std::to_string(twin + 1), own_listeners(true)});
  machines_[twin]->stop();
  ASSERT_TRUE(world_.run_until([&] { return !machines_[twin]->is_running(); }, seconds(20)));
  for (const std::string& path : machines_[twin]->disk().files_below("data"))
    others_.back()->disk().put(path, machines_[twin]->disk().content(path));
  nodes_[twin]->start(1);
  wait_ready();
  world_.run_for(seconds(3));
  const std::uint64_t brokers = answered(ApiKey::broker_registration);
  const Offset before = nodes_[active]->node()->controller().raft().high_watermark();
  copy.start(1);
  world_.run_for(seconds(30));
  ASSERT_EQ(this->active(), active);
  EXPECT_GE(answered(ApiKey::broker_registration) - brokers, 2u);
  EXPECT_LE(answered(ApiKey::broker_registration) - brokers, 30u);
  EXPECT_LE(nodes_[active]->node()->controller().raft().high_watermark() - before, 250);
  end();
}

TEST_F(StandingTest, a_broker_whose_controllers_are_of_another_cluster_says_so) {
  boot();
  SimNode& stranger =
      add({"node.id=7", "process.roles=broker", "initial.broker.registration.timeout.ms=5000",
           "listeners=PLAINTEXT://10.0.0.5:9092"},
          "q4x9lwHTRwKFrQ69LT3_Sg");
  stranger.start(1);
  EXPECT_TRUE(world_.run_until([&] { return !stranger.problem().empty(); }, seconds(20)));
  EXPECT_NE(stranger.problem().find("of another cluster"), std::string::npos) << stranger.problem();
  end();
}

// --- Topics that are made because somebody asks about them

struct Asked {
  Duration took;
  std::map<std::string, std::int16_t> errors;  // by topic
};

io::Task<void> ask_metadata(KafkaClient& client, std::vector<std::string> names, Asked& asked) {
  protocol::MetadataRequest request;
  auto& topics = request.topics.emplace();
  for (const std::string& name : names) topics.push_back({Uuid(), name});
  const Instant begun = client.loop().now();
  const auto answer = co_await client.call<protocol::MetadataResponse>(request, 12);
  asked.took = client.loop().now() - begun;
  EXPECT_TRUE(answer.has_value());
  if (!answer) co_return;
  for (const auto& topic : answer->message.topics)
    asked.errors[std::string(topic.name.value_or(""))] = topic.error_code;
}

TEST_F(StandingTest, a_topic_that_cannot_be_made_now_holds_up_no_answer) {
  boot();
  const int first = wait_active();
  EXPECT_EQ(create(first, "there"), 0);
  Asked made;
  run(first, [&](KafkaClient& client) { return ask_metadata(client, {"at-once"}, made); });
  EXPECT_EQ(made.errors["at-once"], 0) << "who asks first is told of it";
  for (int i = 1; i < kNodes; ++i) machines_[(first + i) % kNodes]->kill();
  const auto unknown = static_cast<std::int16_t>(protocol::ErrorCode::unknown_topic_or_partition);
  // While the leader does not know that it is alone, and afterwards.
  for (const Duration before : {Duration{}, seconds(8)}) {
    world_.run_for(before);
    Asked asked;
    run(first,
        [&](KafkaClient& client) { return ask_metadata(client, {"there", "later"}, asked); });
    EXPECT_LT(asked.took, before.ns == 0 ? milliseconds(700) : milliseconds(100));
    EXPECT_EQ(asked.errors["there"], 0);
    EXPECT_EQ(asked.errors["later"], unknown);
  }
  // It was asked for, and comes as soon as there is somebody to make it.
  for (int i = 1; i < kNodes; ++i) nodes_[(first + i) % kNodes]->start(1);
  EXPECT_TRUE(world_.run_until([&] { return image_of(first).topics().find("later") != nullptr; },
                               seconds(20)));
  end();
}

// --- /health/ready

TEST_F(StandingTest, a_broker_is_ready_while_it_is_in_service) {
  boot();
  const int active = wait_active();
  const int other = (active + 1) % kNodes;
  for (int i = 0; i < kNodes; ++i) {
    EXPECT_TRUE(nodes_[i]->node()->readiness().is_ready) << i;
    EXPECT_EQ(nodes_[i]->node()->readiness().text, "running");
  }
  // Away for longer than its session, it comes back fenced, and then into service.
  machines_[other]->pause();
  world_.run_for(seconds(15));
  EXPECT_TRUE(image_of(active).broker(other + 1)->fenced);
  machines_[other]->resume();
  EXPECT_TRUE(
      world_.run_until([&] { return !image_of(active).broker(other + 1)->fenced; }, seconds(10)));
  world_.run_for(seconds(4));
  EXPECT_TRUE(nodes_[other]->node()->readiness().is_ready);
  // Without a quorum it serves what it has, and says what is wrong.
  for (int i = 0; i < kNodes; ++i)
    if (i != other) machines_[i]->kill();
  world_.run_for(seconds(15));
  EXPECT_TRUE(nodes_[other]->node()->readiness().is_ready);
  EXPECT_EQ(nodes_[other]->node()->readiness().text,
            "running, but no leader of the quorum is heard");
  end();
}

TEST_F(StandingTest, what_is_only_a_controller_is_ready_as_a_voter_with_a_leader) {
  boot();
  const auto dedicated = [&](const char* id, const char* cluster) -> SimNode& {
    const std::string host = "10.0.0." + std::to_string(machines_.size() + others_.size() + 2);
    return add({std::string("node.id=") + id, "process.roles=controller",
                "advertised.listeners=CONTROLLER://" + host + ":9093",
                "listeners=CONTROLLER://" + host + ":9093"},
               cluster);
  };
  SimNode& observer = dedicated("8", kCluster);
  SimNode& stranger = dedicated("9", "q4x9lwHTRwKFrQ69LT3_Sg");
  observer.start(1);
  stranger.start(1);
  world_.run_for(seconds(10));
  ASSERT_NE(observer.node(), nullptr) << observer.problem();
  ASSERT_NE(stranger.node(), nullptr) << stranger.problem();
  EXPECT_FALSE(observer.node()->readiness().is_ready);
  EXPECT_EQ(observer.node()->readiness().text, "no voter of the quorum: it only looks on");
  EXPECT_FALSE(stranger.node()->readiness().is_ready);
  EXPECT_NE(stranger.node()->readiness().text.find("of another cluster"), std::string::npos)
      << stranger.node()->readiness().text;
  end();
}

TEST(Readiness, of_a_fenced_broker_and_of_a_controller_that_votes) {
  broker::QuorumSample sample;
  sample.status.leader = 2;
  sample.has_broker_role = true;
  EXPECT_FALSE(broker::readiness_of(sample).is_ready);
  sample.in_service = true;
  EXPECT_TRUE(broker::readiness_of(sample).is_ready);
  sample.has_broker_role = false;
  EXPECT_FALSE(broker::readiness_of(sample).is_ready);
  sample.is_voter = true;
  EXPECT_TRUE(broker::readiness_of(sample).is_ready);
  sample.status.leader = -1;
  EXPECT_FALSE(broker::readiness_of(sample).is_ready);
}

// --- /metrics

// The samples of an exposition; adds a failure for a series that stands there twice, or without a
// type.
std::map<std::string, std::string> samples_of(const std::string& text) {
  std::map<std::string, std::string> samples;
  std::set<std::string> typed;
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t end = text.find('\n', at);
    const std::string line = text.substr(at, end - at);
    at = end + 1;
    if (line.starts_with("# TYPE ")) {
      const std::string name = line.substr(7, line.find(' ', 7) - 7);
      EXPECT_TRUE(typed.insert(name).second) << name;
    }
    if (line.starts_with("#")) continue;
    const std::size_t space = line.rfind(' ');
    EXPECT_TRUE(samples.emplace(line.substr(0, space), line.substr(space + 1)).second) << line;
  }
  return samples;
}

TEST_F(StandingTest, metrics_tell_of_the_quorum_and_name_each_series_once) {
  boot();
  const int active = wait_active();
  const int other = (active + 1) % kNodes;
  EXPECT_EQ(create(other, "made"), 0);
  world_.run_for(seconds(3));
  auto at_leader = samples_of(metrics_text(*nodes_[active]->node()));
  auto at_other = samples_of(metrics_text(*nodes_[other]->node()));
  const std::string leader = std::to_string(active + 1);
  EXPECT_EQ(at_leader["drave_quorum_current_leader"], leader);
  EXPECT_EQ(at_other["drave_quorum_current_leader"], leader);
  EXPECT_EQ(at_leader["drave_quorum_current_state{state=\"leader\"}"], "1");
  EXPECT_EQ(at_other["drave_quorum_current_state{state=\"follower\"}"], "1");
  EXPECT_EQ(at_other["drave_quorum_current_state{state=\"leader\"}"], "0");
  EXPECT_EQ(at_leader["drave_controller_active"], "1");
  EXPECT_EQ(at_other["drave_controller_active"], "0");
  EXPECT_EQ(at_other["drave_controller_active_brokers"], "3");
  EXPECT_EQ(at_other["drave_controller_fenced_brokers"], "0");
  EXPECT_EQ(at_other["drave_controller_topics"], "1");
  EXPECT_EQ(at_leader["drave_quorum_voters"], "3");
  EXPECT_EQ(at_leader["drave_quorum_elections_won_total"], "1");
  EXPECT_EQ(at_other["drave_quorum_election_seconds_count"], "1");
  EXPECT_GT(std::stoll(at_other["drave_quorum_high_watermark"]), 5);
  EXPECT_GT(std::stoll(at_other["drave_metadata_last_applied_offset"]), 5);
  const std::string lag =
      "drave_quorum_replica_lag_records{node=\"" + std::to_string(other + 1) + "\",role=\"voter\"}";
  ASSERT_TRUE(at_leader.contains(lag));
  EXPECT_LE(std::stoll(at_leader[lag]), 2);
  EXPECT_FALSE(at_other.contains(lag)) << "only a leader knows";
  end();
}

}  // namespace
}  // namespace drave
