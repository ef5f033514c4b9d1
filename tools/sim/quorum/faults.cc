#include "tools/sim/quorum/faults.h"

#include <algorithm>
#include <string>
#include <string_view>

namespace drave::simulation::quorum {

namespace {

constexpr std::string_view kNames[] = {
    "fault_crash",        "fault_crash_while_writing",
    "fault_cut",          "fault_one_way_cut",
    "fault_partition",    "fault_lossy",
    "fault_pause",        "fault_slow_disk",
    "fault_hung_disk",    "fault_full_disk",
    "fault_failed_flush", "fault_wipe",
    "fault_drift",        "fault_clock_jump",
    "fault_snapshot",     "fault_add_voter",
    "fault_remove_voter", "fault_transfer",
    "fault_resign",       "fault_campaign",
    "fault_relapse",      "fault_upgrade",
};

}  // namespace

Faults::Faults(Cluster& cluster) : cluster_(cluster), random_(cluster.random()) {
  static_assert(std::size(kNames) == kinds);
  // Some kinds do not occur in a seed at all, others often.
  for (std::uint64_t& weight : weights_) weight = random_.one_in(4) ? 0 : 1 + random_.below(8);
  // Which takes five voters, of whom few seeds have so many for long.
  if (cluster_.checker().newest_voters().size() >= 5) weights_[relapse] += 2;
  if (!is_static(cluster_.checker().committed_voters())) weights_[upgrade] = 0;
  pace_ms_ = 20 + random_.below(400);
  at_once_ = 1 + static_cast<int>(random_.below(static_cast<std::uint64_t>(cluster_.size())));
  NetworkOptions& network = cluster_.network().options();
  network.delay_us = 50 + random_.below(5000);
  network.late_one_in = random_.one_in(4) ? 0 : 50 + random_.below(500);
  network.duplicate_one_in = random_.one_in(3) ? 0 : 5 + random_.below(50);
  for (int i = 0; i < cluster_.size(); ++i)
    cluster_.disk_options(i).write_us = 50 + random_.below(3000);
}

Instant Faults::act() {
  for (std::size_t i = 0; i < down_.size();) {
    if (cluster_.now() < down_[i].until) {
      ++i;
      continue;
    }
    cluster_.boot(down_[i].node);
    down_.erase(down_.begin() + static_cast<std::ptrdiff_t>(i));
  }
  // Who died of its disk comes back, too.
  for (int i = 0; i < cluster_.size(); ++i) {
    const bool waits =
        std::any_of(down_.begin(), down_.end(), [i](const Down& each) { return each.node == i; });
    if (!waits && !cluster_.replica(i).is_running())
      down_.push_back({i, cluster_.now() + span(1, 2000)});
  }
  if (cluster_.now() >= lossy_until_) cluster_.network().options().loss_one_in = 0;
  // It takes some seconds without much else.
  const bool spares = relapse_.has_value() && !random_.one_in(12);
  if (!spares) act_once();
  readmit();
  return cluster_.now() + span(1, static_cast<std::int64_t>(2 * pace_ms_) + 1);
}

void Faults::act_once() {
  std::uint64_t total = 0;
  for (const std::uint64_t weight : weights_) total += weight;
  std::uint64_t draw = total == 0 ? 0 : random_.below(total);
  for (std::size_t kind = 0; total > 0 && kind < kinds; ++kind) {
    if (draw < weights_[kind]) {
      if (act(static_cast<Kind>(kind))) ++cluster_.tally()[std::string(kNames[kind])];
      break;
    }
    draw -= weights_[kind];
  }
}

// Returns whether it did anything.
bool Faults::act(Kind kind) {
  const int node = any();
  switch (kind) {
    case crash: return crash_node(node);
    case crash_while_writing: return crash_a_writer();
    case cut: return cut_links(true);
    case one_way_cut: return cut_links(false);
    case partition: return split();
    case lossy:
      cluster_.network().options().loss_one_in = 2 + random_.below(30);
      lossy_until_ = cluster_.now() + span(100, 4000);
      return true;
    case pause:
      if (!cluster_.is_up(node) || cluster_.is_paused(node)) return false;
      cluster_.pause(node, span(10, random_.one_in(3) ? 8000 : 500));
      return true;
    case slow_disk: {
      const std::uint64_t before = cluster_.disk_options(node).slow_one_in;
      cluster_.disk_options(node).slow_one_in = random_.one_in(2) ? 0 : 2 + random_.below(20);
      return cluster_.disk_options(node).slow_one_in != before;
    }
    case hung_disk: cluster_.hang_disk(node, span(100, 8000)); return cluster_.is_up(node);
    case full_disk: cluster_.fill_disk(node, span(200, 6000)); return cluster_.is_up(node);
    case failed_flush: cluster_.fail_next_flush(node); return cluster_.is_up(node);
    case wipe:
      if (!may_wipe(node)) return false;
      cluster_.crash(node);
      cluster_.wipe(node);
      return true;
    case drift:
      cluster_.drift(node, static_cast<int>(random_.between(-150, 150)));
      return cluster_.is_up(node);
    case clock_jump:
      cluster_.jump(node, random_.one_in(2) ? span(10, 20'000) : Duration{} - span(10, 2000));
      return cluster_.is_up(node);
    case snapshot: return cluster_.snapshot(node, random_.one_in(2));
    case add_voter: return change_membership(true);
    case remove_voter: return change_membership(false);
    case transfer: return cluster_.command(std::max(cluster_.leader(), 0), raft::TransferTo{any()});
    case resign: return cluster_.command(node, raft::Resign{});
    case campaign: return cluster_.command(node, raft::CampaignNow{});
    case relapse: return begin_relapse();
    case upgrade: return upgrade_voters();
    case kinds: break;
  }
  return false;
}

bool Faults::crash_a_writer() {
  for (int i = 0; i < cluster_.size(); ++i) {
    if (cluster_.is_up(i) && cluster_.writes(i) && random_.one_in(2)) return crash_node(i);
  }
  return false;
}

int Faults::any() {
  const int leader = cluster_.leader();
  if (leader >= 0 && random_.one_in(3)) return leader;
  return static_cast<int>(random_.below(static_cast<std::uint64_t>(cluster_.size())));
}

Duration Faults::span(std::int64_t least_ms, std::int64_t most_ms) {
  return milliseconds(random_.between(least_ms, most_ms));
}

bool Faults::crash_node(int node) {
  if (!cluster_.is_up(node) || static_cast<int>(down_.size()) >= at_once_) return false;
  cluster_.crash(node);
  down_.push_back({node, cluster_.now() + span(1, random_.one_in(3) ? 6000 : 300)});
  return true;
}

bool Faults::cut_links(bool both) {
  const int a = any();
  const int b = any();
  if (a == b) return false;
  ++cluster_.tally()["cuts"];
  const Instant until = cluster_.now() + span(50, 8000);
  cluster_.network().cut(a, b, until);
  if (both) cluster_.network().cut(b, a, until);
  return true;
}

// Two groups that do not hear each other, or one that is not heard.
bool Faults::split() {
  const std::uint64_t group = random_.next();
  const bool both = !random_.one_in(3);
  const Instant until = cluster_.now() + span(500, 8000);
  bool divides = false;
  for (int a = 0; a < cluster_.size(); ++a) {
    for (int b = 0; b < cluster_.size(); ++b) {
      const bool in_a = ((group >> a) & 1) != 0;
      const bool in_b = ((group >> b) & 1) != 0;
      if (in_a == in_b || (!both && in_a)) continue;
      cluster_.network().cut(a, b, until);
      divides = true;
    }
  }
  cluster_.tally()["cuts"] += divides;
  return divides;
}

void Faults::cut_off(const std::vector<int>& group, Instant until) {
  for (int a = 0; a < cluster_.size(); ++a) {
    for (const int b : group) {
      if (std::find(group.begin(), group.end(), a) != group.end()) continue;
      cluster_.network().cut(a, b, until);
      cluster_.network().cut(b, a, until);
    }
  }
}

bool Faults::begin_relapse() {
  const int leader = cluster_.leader();
  if (relapse_ || leader < 0 || cluster_.replica(leader).core().voters().size() < 5) return false;
  const raft::VoterSet& voters = cluster_.replica(leader).core().voters();
  const int follower = replica_of(voters[random_.below(voters.size())]);
  if (follower < 0 || follower == leader) return false;
  relapse_ = Relapse{leader, follower, -1, cluster_.now() + seconds(8)};
  cut_off({leader, follower}, relapse_->until);
  return true;
}

void Faults::poll() {
  if (!relapse_) return;
  Relapse& relapse = *relapse_;
  const int leader = cluster_.leader();
  if (cluster_.now() >= relapse.until || !cluster_.is_up(relapse.leader) ||
      !cluster_.is_up(relapse.follower)) {
    relapse_.reset();
    return;
  }
  const Offset follower_end = cluster_.replica(relapse.follower).log().end();
  if (relapse.acknowledged < 0) {
    for (int i = 0; i < 4; ++i) cluster_.propose_at(relapse.leader);
    if (leader < 0 || leader == relapse.leader) return;
    relapse.acknowledged = follower_end;
    cut_off({relapse.leader, relapse.follower}, cluster_.now());
    return;
  }
  const bool both_truncated = follower_end < relapse.acknowledged &&
                              cluster_.replica(relapse.leader).log().end() < relapse.acknowledged;
  if (!both_truncated || leader < 0) return;
  ++cluster_.tally()["relapses"];
  cut_off({relapse.follower}, cluster_.now() + seconds(3));
  cluster_.command(leader, raft::TransferTo{relapse.leader});
  relapse_.reset();
}

// --- Members

int Faults::replica_of(const raft::ReplicaKey& key) {
  for (int i = 0; i < cluster_.size(); ++i) {
    if (cluster_.replica(i).key().matches(key)) return i;
  }
  return -1;
}

bool Faults::is_voter(int node) {
  const raft::ReplicaKey key = cluster_.replica(node).key();
  return raft::contains(cluster_.checker().newest_voters(), key) ||
         raft::contains(cluster_.checker().committed_voters(), key);
}

// One disk at a time, and the next only when the quorum has no member left whose disk is gone:
// otherwise a majority may be lost, and with it what was committed. And none while anybody takes
// ids for voters, who would believe the new disk to be the old one.
bool Faults::may_wipe(int node) {
  if (!cluster_.is_up(node)) return false;
  const std::vector<raft::VoterSet> sets = voter_sets();
  return all_have_disks() && std::all_of(sets.begin(), sets.end(), [](const raft::VoterSet& set) {
           return set.size() >= 3 && !is_static(set);
         });
}

bool Faults::all_have_disks() {
  for (const raft::VoterSet& set : voter_sets()) {
    for (const raft::ReplicaKey& voter : set) {
      if (replica_of(voter) < 0) return false;
    }
  }
  return true;
}

// The committed one, and what stands uncommitted in some log: whichever counts in the end.
std::vector<raft::VoterSet> Faults::voter_sets() {
  std::vector<raft::VoterSet> sets{cluster_.checker().committed_voters(),
                                   cluster_.checker().newest_voters()};
  for (int i = 0; i < cluster_.size(); ++i) {
    const Log& disk = cluster_.replica(i).disk().log();
    sets.push_back(disk.voters_below(disk.end()));
    if (cluster_.is_up(i)) sets.push_back(cluster_.replica(i).core().voters());
  }
  std::erase_if(sets, [](const raft::VoterSet& set) { return set.empty(); });
  return sets;
}

// An operator who knows that a voter's disk is gone removes that one and no other: two of a quorum
// of three that are not the same two would be the end of it.
bool Faults::change_membership(bool add) {
  using Change = raft::ChangeVoterRequest::Kind;
  const raft::VoterSet& voters = cluster_.checker().newest_voters();
  const int node = any();
  bool asked = false;
  if (add) {
    if (!is_voter(node)) asked = cluster_.change_voter(Change::add, cluster_.replica(node).key());
  } else if (voters.size() > 2 && all_have_disks()) {
    asked = cluster_.change_voter(Change::remove, voters[random_.below(voters.size())]);
  }
  if (random_.one_in(8))
    cluster_.change_voter(Change::update, voters[random_.below(voters.size())]);
  return asked;
}

// Half of the leaders that are asked for it have just lost sight of the others.
bool Faults::upgrade_voters() {
  const int leader = cluster_.leader();
  if (leader < 0 || !is_static(cluster_.checker().committed_voters())) return false;
  if (random_.one_in(2)) cut_off({leader}, cluster_.now() + span(1000, 8000));
  return cluster_.upgrade();
}

// Somebody looks after the quorum: members whose disk is gone leave, others come in.
void Faults::readmit() {
  using Change = raft::ChangeVoterRequest::Kind;
  if (!random_.one_in(4)) return;
  const raft::VoterSet voters = cluster_.checker().newest_voters();
  for (const raft::ReplicaKey& voter : voters) {
    if (replica_of(voter) >= 0) continue;
    cluster_.change_voter(Change::remove, voter);
    return;
  }
  if (voters.size() >= 3) return;
  for (int i = 0; i < cluster_.size(); ++i) {
    if (!is_voter(i) && cluster_.is_up(i)) {
      cluster_.change_voter(Change::add, cluster_.replica(i).key());
      return;
    }
  }
}

std::vector<int> Faults::heal_a_majority() {
  relapse_.reset();
  const std::vector<raft::VoterSet> sets = voter_sets();
  std::vector<int> healed;
  std::vector<int> order;
  for (int i = 0; i < cluster_.size(); ++i) order.push_back(i);
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random_.below(i)]);
  auto has_majority = [&](const raft::VoterSet& voters) {
    std::size_t count = 0;
    for (const int node : healed) count += raft::contains(voters, cluster_.replica(node).key());
    return count * 2 > voters.size();
  };
  for (const int node : order) {
    if (std::all_of(sets.begin(), sets.end(), has_majority)) break;
    const raft::ReplicaKey key = cluster_.replica(node).key();
    if (std::any_of(sets.begin(), sets.end(),
                    [&key](const raft::VoterSet& set) { return raft::contains(set, key); }))
      healed.push_back(node);
  }
  cluster_.network().heal();
  cluster_.network().options().loss_one_in = 0;
  cluster_.network().options().late_one_in = 0;
  for (int i = 0; i < cluster_.size(); ++i) {
    cluster_.drift(i, 0);
    cluster_.hang_disk(i, {});
    cluster_.fill_disk(i, {});
    cluster_.disk_options(i).slow_one_in = 0;
    if (std::find(healed.begin(), healed.end(), i) != healed.end()) {
      if (cluster_.is_paused(i)) cluster_.resume(i);
      cluster_.boot(i);
      continue;
    }
    // The rest stays broken: down, or heard without hearing.
    if (random_.one_in(2)) cluster_.crash(i);
    for (int other = 0; other < cluster_.size(); ++other)
      cluster_.network().cut(other, i, Instant::never());
  }
  return healed;
}

}  // namespace drave::simulation::quorum
