#pragma once
// What goes wrong in a simulated quorum, drawn from its seed: each seed has its own mixture.

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "tools/sim/quorum/cluster.h"

namespace drave::simulation::quorum {

class Faults {
 public:
  explicit Faults(Cluster& cluster);

  // Does one thing, and says when the next is due.
  Instant act();
  // Goes on with what takes several steps; often.
  void poll();
  // Heals a majority of the voters for good, and leaves the rest broken. Returns the healed.
  std::vector<int> heal_a_majority();

 private:
  enum Kind : std::uint8_t {
    crash,
    crash_while_writing,
    cut,
    one_way_cut,
    partition,
    lossy,
    pause,
    slow_disk,
    hung_disk,
    full_disk,
    failed_flush,
    wipe,
    drift,
    clock_jump,
    snapshot,
    add_voter,
    remove_voter,
    transfer,
    resign,
    campaign,
    relapse,
    upgrade,
    kinds,
  };

  void act_once();
  bool act(Kind kind);
  int any();
  Duration span(std::int64_t least_ms, std::int64_t most_ms);
  bool crash_node(int node);
  bool crash_a_writer();
  bool cut_links(bool both);
  bool split();
  bool change_membership(bool add);
  bool upgrade_voters();
  void readmit();
  bool begin_relapse();
  void cut_off(const std::vector<int>& group, Instant until);
  std::vector<raft::VoterSet> voter_sets();
  bool all_have_disks();
  bool may_wipe(int node);
  bool is_voter(int node);
  int replica_of(const raft::ReplicaKey& key);

  Cluster& cluster_;
  Random& random_;
  std::array<std::uint64_t, kinds> weights_{};
  std::uint64_t pace_ms_ = 100;
  int at_once_ = 1;  // nodes that may be down together
  // A leader writes for itself and one follower only, both lose that to a new leader, and then it
  // leads again while the follower is away: nothing it knew of the follower may count.
  struct Relapse {
    int leader = -1;
    int follower = -1;
    Offset acknowledged = -1;  // -1: still apart
    Instant until;
  };
  std::optional<Relapse> relapse_;
  struct Down {
    int node;
    Instant until;
  };
  std::vector<Down> down_;
  Instant lossy_until_;
};

}  // namespace drave::simulation::quorum
