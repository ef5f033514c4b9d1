#pragma once
// A member of a simulated cluster: a node with the roles that it has, and its controller.

#include <string>
#include <vector>

#include "tools/sim/sim_node.h"

namespace drave::simulation {

enum class Roles : std::uint8_t { both, controller, broker };

class Member {
 public:
  struct Options {
    NodeId id = -1;
    Roles roles = Roles::both;
    std::vector<std::string> settings;  // "key=value": of the cluster, and what is drawn
    raft::FormatOptions format;         // the mode and the voters
    std::uint32_t shards = 1;
  };
  Member(io::sim::Node& machine, const Options& options);

  // Boots the machine; its directories are formatted before, unless they are already.
  void start();
  io::sim::Node& machine() { return node_.machine(); }
  NodeId id() const { return node_.config().node_id; }
  bool is_broker() const { return node_.config().has_broker_role; }
  bool is_ready() const { return node_.is_ready(); }
  bool is_stopping() const { return node_.is_stopping(); }
  // How often it was started.
  std::uint64_t life() const { return life_; }
  // Why it last ended by itself or did not start; empty: it was not so.
  const std::string& problem() const { return node_.problem(); }
  // Whether that was a failure that it met while it ran.
  bool has_failed() const { return node_.has_failed(); }
  // Null while it has none that may be asked.
  broker::QuorumController* controller();
  // Asks it, which leads, to hand over to `successor`, as the tool for that does. controller() is
  // not null.
  void hand_over_to(NodeId successor);

 private:
  SimNode node_;
  std::uint32_t shards_;
  std::uint64_t life_ = 0;
};

}  // namespace drave::simulation
