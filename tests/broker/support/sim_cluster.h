#pragma once
// Three whole nodes in a simulated world as one cluster, and a client on a machine of its own.

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/sim/world.h"
#include "protocol/messages/create_topics.h"
#include "tests/broker/support/node_test.h"
#include "tests/broker/support/sim_node.h"

namespace drave::test {

class ClusterTest : public testing::Test {
 protected:
  static constexpr int kNodes = 3;

  // `settings` are every node's; with `is_static` they name the quorum themselves (kraft.version
  // 0).
  explicit ClusterTest(std::uint64_t seed = 1, std::vector<std::string> settings = {},
                       bool is_static = false)
      : world_(seed) {
    std::vector<raft::InitialController> controllers;
    std::string servers;
    for (int i = 0; i < kNodes; ++i) {
      machines_.push_back(&world_.add_node());
      controllers.push_back({i + 1, machines_[i]->host(), 9093, Uuid{7, 100u + i}});
      servers += (i == 0 ? "" : ",") + (is_static ? std::to_string(i + 1) + "@" : "") +
                 machines_[i]->host() + ":9093";
    }
    for (int i = 0; i < kNodes; ++i) {
      const std::string& host = machines_[i]->host();
      std::vector<std::string> own = settings;
      own.push_back("node.id=" + std::to_string(i + 1));
      own.push_back("listeners=PLAINTEXT://" + host + ":9092,CONTROLLER://" + host + ":9093");
      own.push_back(
          (is_static ? "controller.quorum.voters=" : "controller.quorum.bootstrap.servers=") +
          servers);
      raft::FormatOptions format;
      format.mode =
          is_static ? raft::FormatMode::static_voters : raft::FormatMode::initial_controllers;
      if (!is_static) format.initial_controllers = controllers;
      nodes_.push_back(std::make_unique<SimNode>(*machines_[i], config_for(*machines_[i], own)));
      nodes_.back()->set_format(format);
    }
    client_machine_ = &world_.add_node();
  }

  void boot(std::uint32_t shards = 1) {
    for (const auto& node : nodes_) node->start(shards);
    wait_ready();
  }
  void wait_ready() {
    const auto ready = [this] {
      for (int i = 0; i < kNodes; ++i)
        if (machines_[i]->is_running() && !nodes_[i]->is_ready()) return false;
      return true;
    };
    ASSERT_TRUE(world_.run_until(ready, seconds(60))) << problems();
  }
  void shut_down() {
    for (io::sim::Node* machine : machines_)
      if (machine->is_running()) machine->stop();
    const auto ended = [this] {
      for (const io::sim::Node* machine : machines_)
        if (machine->is_running()) return false;
      return true;
    };
    EXPECT_TRUE(world_.run_until(ended, seconds(60)));
  }
  // The index of the node that is the active controller; -1: none is.
  int active() const {
    for (int i = 0; i < kNodes; ++i)
      if (nodes_[i]->node() != nullptr && nodes_[i]->node()->controller().is_active()) return i;
    return -1;
  }
  // Waits until one is that is not `other_than`.
  int wait_active(int other_than = -1, Duration most = seconds(30)) {
    const auto found = [&] { return active() >= 0 && active() != other_than; };
    EXPECT_TRUE(world_.run_until(found, most));
    return active();
  }
  const metadata::Image& image_of(int index) {
    return *nodes_[index]->node()->controller().image();
  }

  // Runs `script` as a client's program, connected to the node with that index, to its end.
  template <class Script>
  void run(int index, Script script) {
    bool done = false;
    client_machine_->start(
        [&](io::sim::Process& process) { return play(process, index, script, done); }, 1);
    ASSERT_TRUE(
        world_.run_until([&] { return done && !client_machine_->is_running(); }, seconds(300)));
  }
  // A process's main: `script` with a client of the node with that index.
  template <class Script>
  io::Task<void> with_client(io::sim::Process& process, int index, bool& done, Script script) {
    co_await play(process, index, script, done);
  }
  // Creates a topic through that node; its error code.
  std::int16_t create(int index, const std::string& name, std::int32_t partitions = 1,
                      std::int32_t timeout_ms = 10'000, std::int16_t replication = 1) {
    std::int16_t error = -2;
    run(index, [&](KafkaClient& client) -> io::Task<void> {
      return ask_for(client, name, partitions, replication, timeout_ms, error);
    });
    return error;
  }

  io::sim::World world_;
  std::vector<io::sim::Node*> machines_;
  std::vector<std::unique_ptr<SimNode>> nodes_;
  io::sim::Node* client_machine_ = nullptr;

 private:
  static io::Task<void> ask_for(KafkaClient& client, std::string name, std::int32_t partitions,
                                std::int16_t replication, std::int32_t timeout_ms,
                                std::int16_t& error) {
    protocol::CreateTopicsRequest request;
    request.timeout_ms = timeout_ms;
    auto& topic = request.topics.emplace_back();
    topic.name = name;
    topic.num_partitions = partitions;
    topic.replication_factor = replication;
    const auto answer = co_await client.call<protocol::CreateTopicsResponse>(request, 7);
    if (answer) error = answer->message.topics.at(0).error_code;
  }
  template <class Script>
  io::Task<void> play(io::sim::Process& process, int index, Script& script, bool& done) {
    KafkaClient client(process.loop(0));
    const Result<void> connected = co_await client.connect({machines_[index]->host(), 9092});
    EXPECT_TRUE(connected.has_value());
    if (connected) co_await script(client);
    co_await client.close();
    done = true;
  }
  std::string problems() const {
    std::string all;
    for (const auto& node : nodes_) all += "[" + node->problem() + "]";
    return all;
  }
};

}  // namespace drave::test
