#pragma once
// A broker::Node on a simulated machine, running as long as that lets it: for scenarios, tests and
// fuzz targets. Outlives the processes of its machine.

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "broker/config/broker_config.h"
#include "broker/node.h"
#include "io/scope.h"
#include "io/sim/world.h"
#include "raftlog/format.h"

namespace drave::simulation {

inline constexpr std::uint16_t kClientPort = 9092;
inline constexpr std::uint16_t kControllerPort = 9093;

// Of node 1, broker and controller, small and without an HTTP listener; `settings`, "key=value",
// come last and win. They are good ones, which is asserted.
broker::BrokerConfig config_for(const io::sim::Node& machine,
                                const std::vector<std::string>& settings = {});

class SimNode {
 public:
  SimNode(io::sim::Node& machine, broker::BrokerConfig config)
      : machine_(machine), config_(std::move(config)) {}

  // Its directories are formatted so before each start, unless they are already: `options` name
  // mode and voters, and the cluster if it is not the usual one.
  void set_format(raft::FormatOptions options);
  // Boots the machine.
  void start(std::uint32_t shards);

  io::sim::Node& machine() { return machine_; }
  const broker::BrokerConfig& config() const { return config_; }
  // From the moment on when it has started until it has stopped.
  bool is_ready() const { return is_ready_; }
  // It ends: its logs may be closed at any moment.
  bool is_stopping() const { return is_stopping_; }
  // It came to its end by itself or because it was told to, and is no corpse.
  bool has_stopped() const { return has_stopped_; }
  // Why it last ended by itself or did not start; empty: it was not so.
  const std::string& problem() const { return problem_; }
  // Whether that was a failure that it met while it ran.
  bool has_failed() const { return has_failed_; }
  // Null while it is not ready, or stops.
  broker::Node* node() { return is_ready_ && !is_stopping_ ? node_ : nullptr; }
  // The same, but there also while it starts or stops.
  broker::Node* any_node() { return node_; }
  // Something that is asked of any_node(), on its first shard: its end is waited for when the node
  // has stopped.
  void spawn(io::Task<void> task) { asked_->spawn(std::move(task)); }
  // Of each shard; nothing while the node is not ready.
  std::vector<std::size_t> connections_of_shards();

 private:
  io::Task<void> run(io::sim::Process& process);
  io::Task<void> serve(io::sim::Process& process, broker::Node& node, io::Gate& stop);

  io::sim::Node& machine_;
  broker::BrokerConfig config_;
  std::optional<raft::FormatOptions> format_;
  bool is_ready_ = false;
  bool is_stopping_ = false;
  bool has_stopped_ = false;
  bool has_failed_ = false;
  broker::Node* node_ = nullptr;
  io::Scope* asked_ = nullptr;  // while there is node_
  std::string problem_;
};

}  // namespace drave::simulation
