// How nodes stand with the active controller: who registers how often.

#include "tests/broker/support/sim_cluster.h"

namespace drave {
namespace {

using protocol::ApiKey;
using test::ClusterTest;
using test::config_for;
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
    const broker::BrokerConfig config = config_for(machine, settings);
    raft::FormatOptions format;
    format.cluster_id = std::move(cluster_id);
    format.node_id = config.node_id;
    format.directories = config.log_dirs;
    format.metadata_directory = config.metadata_log_dir;
    format.mode = raft::FormatMode::no_initial_controllers;
    format.controller_host = machine.host();
    format.controller_port = 9093;
    format.ignore_formatted = true;
    added_.push_back(std::make_unique<SimNode>(machine, config));
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

}  // namespace
}  // namespace drave
