#pragma once
// A node's controller over its metadata log in the simulator: life after life on one disk.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "broker/controller/quorum_controller.h"
#include "gtest/gtest.h"
#include "io/sim/world.h"
#include "metadata/features.h"
#include "raftlog/format.h"
#include "segments/log_directory.h"

namespace drave::broker::testing {

inline constexpr std::string_view kDataDirectory = "/data";

struct Recorder : Publisher {
  std::vector<metadata::ImagePtr> images;
  io::Task<void> publish(metadata::ImagePtr image) override {
    EXPECT_TRUE(images.empty() || !image->has_same_content(*images.back()))
        << "published, although the offset alone moved: " << image->last_contained().offset;
    if (takes.ns > 0) co_await io::sleep_for(*loop, takes);
    images.push_back(std::move(image));
  }
  io::Loop* loop = nullptr;
  Duration takes{};  // as if files had to be made
};

// What a test does with a running controller.
struct Life {
  io::sim::Process& process;
  segments::LogDirectory& directory;
  QuorumController& controller;
  Recorder& published;
  std::int64_t broker_epoch = -1;
};

// Returns when everything that was appended is published.
inline io::Task<void> published_all(QuorumController& controller) {
  while (controller.published_end() < controller.raft().end()) co_await controller.changed().wait();
}

// What a node's broker and controller ask of the active controller when they start; the epoch of
// the broker.
inline io::Task<Result<std::int64_t>> join_cluster(QuorumController& controller,
                                                   const BrokerConfig& config,
                                                   std::string cluster_id, Uuid directory_id,
                                                   Uuid incarnation_id) {
  co_await published_all(controller);
  protocol::ControllerRegistrationRequest self;
  self.controller_id = config.node_id;
  self.incarnation_id = incarnation_id;
  self.listeners.push_back({"CONTROLLER", "localhost", 19193, 0});
  for (const auto& feature : metadata::supported_features())
    self.features.push_back({feature.name, feature.min, feature.max});
  if (controller.image()->feature("metadata.version") >= 15)
    co_await controller.controller_registration(self, 0);
  protocol::BrokerRegistrationRequest broker;
  broker.broker_id = config.node_id;
  broker.cluster_id = cluster_id;
  broker.incarnation_id = incarnation_id;
  broker.listeners.push_back({"PLAINTEXT", "localhost", 9092, 0});
  for (const auto& feature : metadata::supported_features())
    broker.features.push_back({feature.name, feature.min, feature.max});
  broker.rack.reset();
  broker.log_dirs = {directory_id};
  const metadata::RegistrationImage* before = controller.image()->broker(config.node_id);
  if (before != nullptr) broker.previous_broker_epoch = before->epoch;
  const auto registered = co_await controller.broker_registration(broker, 4);
  if (registered.message.error_code != 0) {
    co_return failure(Errc::invalid,
                      "not registered: " + std::to_string(registered.message.error_code));
  }
  co_await published_all(controller);
  protocol::BrokerHeartbeatRequest heartbeat;
  heartbeat.broker_id = config.node_id;
  heartbeat.broker_epoch = registered.message.broker_epoch;
  heartbeat.current_metadata_offset = controller.published_end() - 1;
  const auto answer = co_await controller.broker_heartbeat(heartbeat, 1);
  if (answer.message.error_code != 0 || answer.message.is_fenced)
    co_return failure(Errc::invalid, "not in service");
  co_await published_all(controller);
  co_return heartbeat.broker_epoch;
}

class ControllerRun {
 public:
  explicit ControllerRun(std::uint64_t seed = 1) : world_(seed), node_(world_.add_node()) {
    LoadedConfig loaded = load_broker_config({}, Machine{"localhost"});
    config = std::move(*loaded.config);
    config.log_dirs = {std::string(kDataDirectory)};
    config.metadata_log_dir = std::string(kDataDirectory);
  }

  BrokerConfig config;
  raft::FormatOptions format_options() const {
    raft::FormatOptions options;
    if (!config.quorum_voters.empty()) options.mode = raft::FormatMode::static_voters;
    options.cluster_id = "MkU3OEVBNTcwNTJENDM2Qg";
    options.node_id = config.node_id;
    options.directories = config.log_dirs;
    options.metadata_directory = config.metadata_log_dir;
    options.controller_host = "localhost";
    options.controller_port = 19193;
    return options;
  }

  // One life: formats what is empty, opens, activates, does `body`, stops.
  template <class Body>
  void live(Body body) {
    error.clear();
    node_.start([this, body](io::sim::Process& process) { return program(process, body); }, 1);
    EXPECT_TRUE(world_.run_until([this] { return !node_.is_running(); }, seconds(600)));
    EXPECT_EQ(error, "");
  }
  // The same, whose end is a power cut as soon as body has returned.
  template <class Body>
  void live_until_power_cut(Body body) {
    error.clear();
    bool done = false;
    bool* said = &done;
    node_.start(
        [this, body, said](io::sim::Process& process) { return doomed(process, body, said); }, 1);
    EXPECT_TRUE(world_.run_until([&done] { return done; }, seconds(600)));
    EXPECT_EQ(error, "");
    node_.power_cut();
    error.clear();  // what a dying process says of its disk does not count
  }
  io::sim::Node& node() { return node_; }
  io::sim::World& world() { return world_; }

  std::string error;  // why the last life did not come to its body

 private:
  template <class Body>
  io::Task<void> program(io::sim::Process& process, Body body) {
    io::Loop& loop = process.loop();
    raft::FormatOptions options = format_options();
    options.ignore_formatted = true;
    if (auto formatted = co_await raft::format(loop, options); !formatted) {
      error = formatted.error().message();
      co_return;
    }
    auto directory = co_await segments::LogDirectory::open(loop, std::string(kDataDirectory), {});
    if (!directory) {
      error = directory.error().message();
      co_return;
    }
    Recorder published;
    published.loop = &loop;
    ControllerOptions controller_options;
    controller_options.config = &config;
    controller_options.cluster_id = (*directory)->meta().cluster_id;
    controller_options.metadata_directory_id = (*directory)->meta().directory_id;
    controller_options.incarnation_id = Uuid::from_random(loop.backend().entropy(), 1);
    controller_options.on_failed = [this, &process](const Error& failed) {
      if (!process.is_dead()) error = failed.message();
    };
    auto controller =
        co_await QuorumController::open(loop, **directory, controller_options, published);
    if (!controller) {
      error = controller.error().message();
    } else {
      (*controller)->start();
      while (!(*controller)->is_active() && error.empty() && !process.is_dead())
        co_await (*controller)->changed().wait();
      const auto epoch = co_await join_cluster(**controller, config, controller_options.cluster_id,
                                               controller_options.metadata_directory_id,
                                               controller_options.incarnation_id);
      if (!epoch)
        error = epoch.error().message();
      else
        co_await body(Life{process, **directory, **controller, published, *epoch});
      co_await (*controller)->stop();
      controller->reset();
    }
    auto closed = co_await (*directory)->close(loop, 1, true);
    if (!closed && error.empty()) error = closed.error().message();
  }

  template <class Body>
  io::Task<void> doomed(io::sim::Process& process, Body body, bool* done) {
    co_await program(process, Marking<Body>{body, done});
    if (!process.is_dead()) *done = true;
  }
  template <class Body>
  struct Marking {
    Body body;
    bool* done;
    io::Task<void> operator()(Life life) const { return run(body, done, life); }
    static io::Task<void> run(Body body, bool* done, Life life) {
      co_await body(life);
      *done = true;
      // The power goes before this is over.
      co_await io::sleep_for(life.process.loop(), seconds(1));
    }
  };

  io::sim::World world_;
  io::sim::Node& node_;
};

}  // namespace drave::broker::testing
