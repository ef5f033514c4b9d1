#pragma once
// A member of a simulated cluster: a broker::Node on a machine of its own, with the roles that it
// has. It outlives the processes of its machine.

#include <memory>
#include <string>
#include <vector>

#include "broker/config/broker_config.h"
#include "broker/node.h"
#include "io/sim/world.h"
#include "raftlog/format.h"

namespace drave::simulation {

inline constexpr std::uint16_t kClientPort = 9092;
inline constexpr std::uint16_t kControllerPort = 9093;

enum class Roles : std::uint8_t { both, controller, broker };

class Member {
 public:
  struct Options {
    NodeId id = -1;
    Roles roles = Roles::both;
    std::vector<std::string> settings;  // "key=value": of the cluster, and what is drawn
    // The mode and the voters; the rest is filled in.
    raft::FormatOptions format;
    std::uint32_t shards = 1;
  };
  Member(io::sim::Node& machine, const Options& options);

  // Boots the machine; its directories are formatted before, unless they are already.
  void start();
  io::sim::Node& machine() { return machine_; }
  NodeId id() const { return config_.node_id; }
  bool is_broker() const { return config_.has_broker_role; }
  bool is_ready() const { return is_ready_; }
  // How often it was started.
  std::uint64_t life() const { return life_; }
  // Why it last ended by itself or did not start; empty: it was not so.
  const std::string& problem() const { return problem_; }
  // Whether that was a failure that it met while it ran.
  bool has_failed() const { return has_failed_; }
  // It ends: its log may be closed at any moment.
  bool is_stopping() const { return is_stopping_; }
  // Null while it has none that may be asked.
  broker::QuorumController* controller();
  // Asks it, which leads, to hand over to `successor`, as the tool for that does. controller() is
  // not null.
  void hand_over_to(NodeId successor);

 private:
  io::Task<void> run(io::sim::Process& process);
  io::Task<void> serve(io::sim::Process& process, broker::Node& node, io::Gate& stop);

  io::sim::Node& machine_;
  broker::BrokerConfig config_;
  raft::FormatOptions format_;
  std::uint32_t shards_;
  std::uint64_t life_ = 0;
  bool is_ready_ = false;
  bool is_stopping_ = false;
  broker::Node* node_ = nullptr;
  io::Scope* scope_ = nullptr;  // of what is asked of node_
  std::string problem_;
  bool has_failed_ = false;
};

}  // namespace drave::simulation
