#pragma once
// A broker::Node on a simulated machine, for fuzz targets: nothing of GoogleTest, small limits.

#include <memory>
#include <string>
#include <vector>

#include "base/assert.h"
#include "broker/config/broker_config.h"
#include "broker/node.h"
#include "io/sim/world.h"

namespace drave::test {

class FuzzNode {
 public:
  explicit FuzzNode(io::sim::Node& machine) : machine_(machine) {}

  void start() {
    machine_.start([this](io::sim::Process& process) { return run(process); }, 1);
  }
  bool is_ready() const { return ready_; }
  // Why the start failed; empty: it did not.
  const std::string& problem() const { return problem_; }
  std::size_t connection_count() const { return node_->shard(0).connection_count(); }

 private:
  broker::BrokerConfig config() const {
    std::vector<broker::Property> properties;
    for (const std::string& text :
         {std::string("node.id=1"), std::string("process.roles=broker,controller"),
          "listeners=PLAINTEXT://" + machine_.host() + ":9092",
          std::string("controller.listener.names=CONTROLLER"),
          "advertised.listeners=PLAINTEXT://" + machine_.host() + ":9092",
          std::string("log.dirs=data"), std::string("drave.http.listener=off"),
          std::string("num.partitions=1"), std::string("drave.journal.bytes=16MiB"),
          std::string("drave.journal.file.bytes=1MiB")}) {
      auto property = broker::parse_override(text);
      ASSERT(property.has_value());
      properties.push_back(std::move(*property));
    }
    broker::LoadedConfig loaded = broker::load_broker_config(properties, {});
    ASSERT(loaded.config.has_value());
    return *loaded.config;
  }

  io::Task<void> run(io::sim::Process& process) {
    broker::Node node({&process.loop(0)}, config());
    node_ = &node;
    io::Gate stop(process.loop(0));
    process.on_stop([&stop, &node] {
      node.cancel_start();
      stop.open();
    });
    const Result<void> started = co_await node.start();
    if (started) {
      ready_ = true;
      co_await stop.wait();
    } else {
      problem_ = started.error().message();
    }
    co_await node.stop();
    ready_ = false;
    node_ = nullptr;
  }

  io::sim::Node& machine_;
  broker::Node* node_ = nullptr;
  bool ready_ = false;
  std::string problem_;
};

}  // namespace drave::test
