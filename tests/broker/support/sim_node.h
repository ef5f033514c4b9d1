#pragma once
// A broker::Node on a simulated machine, and clients on another.

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/config/broker_config.h"
#include "broker/node.h"
#include "io/sim/world.h"
#include "raftlog/format.h"
#include "tests/broker/support/kafka_client.h"

namespace drave::test {

inline broker::BrokerConfig config_for(const io::sim::Node& machine,
                                       std::vector<std::string> more = {}) {
  std::vector<broker::Property> properties;
  std::vector<std::string> texts{"node.id=1",
                                 "process.roles=broker,controller",
                                 "listeners=PLAINTEXT://" + machine.host() + ":9092",
                                 "controller.listener.names=CONTROLLER",
                                 "advertised.listeners=PLAINTEXT://" + machine.host() + ":9092",
                                 "log.dirs=data",
                                 "drave.http.listener=off",
                                 "drave.journal.bytes=16MiB",
                                 "drave.journal.file.bytes=1MiB"};
  texts.insert(texts.end(), more.begin(), more.end());
  for (const std::string& text : texts) {
    auto property = broker::parse_override(text);
    EXPECT_TRUE(property.has_value()) << text;
    properties.push_back(std::move(*property));
  }
  broker::LoadedConfig loaded = broker::load_broker_config(properties, {});
  for (const std::string& error : loaded.errors) ADD_FAILURE() << error;
  return *loaded.config;
}

// Runs one node for as long as its machine lets it.
class SimNode {
 public:
  SimNode(io::sim::Node& machine, broker::BrokerConfig config)
      : machine_(machine), config_(std::move(config)) {}

  void start(std::uint32_t shards) {
    ready_ = false;
    node_ = nullptr;
    problem_.clear();
    machine_.start([this](io::sim::Process& process) { return run(process); }, shards);
  }
  // Its directories are formatted so before each start, unless they are already.
  void set_format(raft::FormatOptions options) { format_ = std::move(options); }
  bool is_ready() const { return ready_; }
  // Null while it is not ready.
  broker::Node* node() { return node_; }
  const std::string& problem() const { return problem_; }
  // Of each shard; nothing while the node does not run.
  std::vector<std::size_t> connections_of_shards() const {
    std::vector<std::size_t> counts;
    for (std::uint32_t i = 0; node_ != nullptr && i < node_->shard_count(); ++i)
      counts.push_back(node_->shard(i).connection_count());
    return counts;
  }

 private:
  io::Task<void> run(io::sim::Process& process) {
    std::vector<io::Loop*> loops;
    for (std::uint32_t i = 0; i < process.shard_count(); ++i) loops.push_back(&process.loop(i));
    broker::Node node(loops, config_);
    io::Gate stop(process.loop(0));
    process.on_stop([&stop, &node] {
      if (stop.is_open()) node.hurry();
      node.cancel_start();
      stop.open();
    });
    node.on_failed([this, &process, &stop](const std::string& why) {
      if (!process.is_dead()) problem_ = why;
      stop.open();
    });
    if (format_.has_value()) {
      if (const auto formatted = co_await raft::format(process.loop(0), *format_); !formatted)
        problem_ = formatted.error().message();
    }
    const Result<void> started = co_await node.start();
    if (started) {
      if (!process.is_dead()) ready_ = true;
      node_ = &node;
      co_await stop.wait();
      node_ = nullptr;
    } else if (!process.is_dead()) {
      problem_ = started.error().message();
    }
    co_await node.stop();
    ready_ = false;
  }

  io::sim::Node& machine_;
  broker::BrokerConfig config_;
  std::optional<raft::FormatOptions> format_;
  bool ready_ = false;
  broker::Node* node_ = nullptr;
  std::string problem_;
};

}  // namespace drave::test
