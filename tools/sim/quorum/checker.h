#pragma once
// What must hold between the replicas of a quorum, checked after every step. Knows all of them, and
// remembers what was ever committed, voted and led.
//
// Invariants: two-leaders, vote-changed, epoch-fell, leader-truncated, logs-differ,
// committed-entry-missing, states-differ, commit-without-majority, older-epoch-committed,
// voter-change-early, unflushed-acknowledged, log-start-without-snapshot, leader-loads-snapshot,
// committed-truncated, watermark-fell, vote-not-durable.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "tools/sim/quorum/replica.h"
#include "tools/sim/scenario.h"

namespace drave::simulation::quorum {

class Checker final : public Watcher {
 public:
  // `tally` gets what was reached.
  explicit Checker(Tally& tally) : tally_(tally) {}

  void start_with(raft::VoterSet voters) { committed_voters_ = newest_voters_ = std::move(voters); }
  // Before each boot; after a wipe it is another replica.
  void on_boot(const Replica& replica);
  // Before its disk is replaced. What it acknowledged it had.
  void on_wipe(const Replica& replica);

  void on_step(Replica& replica, const raft::Effects& effects) override;
  void on_request(Replica& replica, const raft::Request& request) override;
  void on_reply(Replica& replica, const raft::Request& request, const raft::Reply& reply) override;

  const std::optional<Violation>& violation() const { return violation_; }
  Offset committed() const { return static_cast<Offset>(chains_.size()); }
  // Of the newest voter set that anybody ever appended.
  const raft::VoterSet& newest_voters() const { return newest_voters_; }
  // Of the last committed voter set.
  const raft::VoterSet& committed_voters() const { return committed_voters_; }

 private:
  struct Memory {  // of a replica, across its lives
    const Replica* replica = nullptr;
    std::optional<Log> wiped;  // its disk, when it was taken away
    LeaderEpoch epoch = 0;
    Offset watermark = -1;
    Offset seen_end = 0;  // of its log, up to which entries were noted
    raft::Role role = raft::Role::unattached;
  };
  using Key = std::uint64_t;  // of a replica: id and directory

  void violate(std::string_view invariant, std::string detail);
  void note_vote(const raft::ReplicaKey& voter, LeaderEpoch epoch, const raft::ReplicaKey& of);
  void note_leader(const Replica& replica, LeaderEpoch epoch, NodeId leader);
  void check_roles(const Replica& replica, Memory& memory);
  Offset committed_by(LeaderEpoch epoch) const;
  void check_new_leader(const Replica& replica);
  void check_entries(const Replica& replica, Memory& memory);
  void check_watermark(const Replica& replica, Memory& memory);
  void extend_committed(const Replica& replica, Offset to);
  void check_control(const Replica& replica, const raft::ControlBatch& batch);
  Offset committed_part(const Log& log, Offset end) const;
  void check_truncation(const Replica& replica, Offset to);
  void check_start(const Replica& replica);
  Memory& memory_of(const Replica& replica);
  // Of the disk that a voter set names; where it knows ids only, of the one that this id has now.
  const Memory* find(const raft::ReplicaKey& voter) const;
  static Key key_of(const raft::ReplicaKey& key);

  Tally& tally_;
  std::optional<Violation> violation_;
  std::map<Key, Memory> memories_;
  std::map<LeaderEpoch, NodeId> leaders_;
  std::map<std::pair<Key, LeaderEpoch>, Key> votes_;
  std::unordered_map<std::uint64_t, std::uint64_t> entries_;  // chain by epoch and offset
  std::vector<std::uint64_t> chains_;                         // of committed entries
  std::map<LeaderEpoch, Offset> committed_in_;                // up to where, by leaders of it
  raft::VoterSet committed_voters_;
  raft::VoterSet newest_voters_;
};

}  // namespace drave::simulation::quorum
