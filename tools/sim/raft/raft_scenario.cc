#include "tools/sim/raft/raft_scenario.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "tools/sim/raft/raft_peer.h"

namespace drave::simulation {

using io::sim::Node;

namespace {

constexpr std::uint64_t kFaultyEvents = 20'000;
constexpr int kRoundsMax = 2000;
constexpr Duration kPatience = seconds(120);

// One of five quorums is static at first, and is upgraded at some time.
bool begins_static(std::uint64_t seed) {
  return seed % 5 == 4;
}

raft::RaftOptions raft_options(std::uint64_t seed, std::size_t voters) {
  raft::RaftOptions options;
  if (begins_static(seed)) options = with_static_voters(options, voters);
  options.retention_bytes = 64 * kKiB;
  options.auto_join = seed % 4 < 2;
  return options;
}

// Half of the worlds have disks and networks that fail by themselves, some of them often: there is
// little I/O in a world, and every failure ends a node.
io::sim::WorldOptions world_options(std::uint64_t seed) {
  if (seed % 2 == 0) return {};
  io::sim::WorldOptions options = io::sim::WorldOptions::harsh(seed);
  if (seed % 3 == 0) {
    options.node.disk.write_error_one_in = 200;
    options.node.disk.sync_error_one_in = 100;
    options.node.disk.no_space_one_in = 200;
    options.node.disk.name_no_space_one_in = 100;
    // Then every group of the journal takes a sync.
    if (seed % 4 == 3) options.node.disk.direct_supported = false;
  }
  return options;
}

class Run {
 public:
  explicit Run(std::uint64_t seed)
      : shape_(seed * 2 + 1),
        voters_(shape_.one_in(3) ? 5 : 3),
        is_static_(begins_static(seed)),
        cluster_(seed, voters_, 1, raft_options(seed, voters_), world_options(seed)),
        random_(cluster_.world().random()) {}

  RunReport run() {
    cluster_.start_all();
    for (int round = 0; round < kRoundsMax && is_well(); ++round) {
      if (cluster_.world().counters().events >= kFaultyEvents) break;
      cluster_.world().run_for(microseconds(random_.between(1000, 800'000)));
      note();
      work();
      harm();
      look_after();
    }
    if (is_well()) heal_a_majority();
    if (is_well()) heal_all();
    note();
    for (std::size_t i = 0; i < cluster_.size(); ++i) {
      if (peer(i).node().is_running()) peer(i).node().kill();
    }
    tally_["acknowledged"] += cluster_.ledger().acknowledged();
    take_ledger_violation();
    return {cluster_.world().trace_hash(), cluster_.world().counters(), tally_, violation_};
  }

 private:
  RaftPeer& peer(std::size_t i) { return cluster_.peer(i); }
  RaftPeer& any() { return peer(random_.below(cluster_.size())); }
  bool is_well() { return !violation_ && cluster_.ledger().violation().empty(); }
  void violate(std::string_view invariant, std::string detail) {
    if (!violation_) violation_ = Violation{std::string(invariant), std::move(detail)};
  }

  // It has seen more than what came of it.
  void take_ledger_violation() {
    const std::string& text = cluster_.ledger().violation();
    if (text.empty()) return;
    const std::size_t colon = text.find(": ");
    violation_ = Violation{text.substr(0, colon), text.substr(colon + 2)};
  }

  // What has happened since the last look.
  void note() {
    std::size_t loaded = 0;
    LeaderEpoch epoch = 0;
    for (std::size_t i = 0; i < cluster_.size(); ++i) {
      loaded += peer(i).snapshots_loaded();
      if (peer(i).is_leader()) epoch = std::max(epoch, peer(i).log().epoch());
      const std::optional<Error> failed = peer(i).failed();
      // A disk that refuses, with an errno, ends its node; all else is our fault.
      if (failed && failed->system == 0) violate("node-failed", failed->message());
    }
    if (epoch > newest_epoch_) ++tally_["elections"];
    newest_epoch_ = std::max(newest_epoch_, epoch);
    tally_["snapshots_loaded"] = loaded;
  }

  void work() {
    for (std::size_t i = 0; i < cluster_.size(); ++i) {
      if (!peer(i).is_running()) continue;
      for (std::uint64_t n = random_.below(20); n > 0; --n)
        peer(i).propose(fmt::format("{} {}", ++value_, std::string(random_.below(400), 'x')));
      if (random_.one_in(8)) {
        ++tally_["snapshots_written"];
        peer(i).snapshot();
      }
    }
    RaftPeer* leader = cluster_.leader();
    if (leader == nullptr) return;
    if (is_static_ && leader->log().kraft_version() < 1 && random_.one_in(5))
      leader->scope().spawn(upgrade(leader->log(), tally_));
    if (random_.one_in(6)) change_voters(*leader);
    if (random_.one_in(12)) leader->scope().spawn(hand_over(leader->log(), any().id(), tally_));
  }

  void change_voters(RaftPeer& leader) {
    raft::RaftLog& log = leader.log();
    RaftPeer& subject = any();
    if (!is_voter_of(log, subject)) {
      leader.scope().spawn(
          add(log, subject.id(), subject.directory_id(), subject.node().host(), tally_));
    } else if (log.voters().size() > 3) {
      leader.scope().spawn(remove(log, subject.id(), subject.directory_id(), tally_));
    }
  }

  void harm() {
    Node& node = any().node();
    Node& other = any().node();
    const bool runs = node.is_running();
    switch (random_.below(12)) {
      case 0:
        if (runs) node.kill();
        break;
      case 1:
      case 2:
        cluster_.run_until([&] { return node.has_disk_writes_in_flight(); }, milliseconds(20));
        if (node.is_running()) node.power_cut();
        break;
      case 3:
      case 4:
        if (node.number() == other.number()) break;
        ++tally_["blocked_links"];
        cluster_.world().network().block(node, other);
        if (random_.one_in(2)) cluster_.world().network().block(other, node);
        break;
      case 5: cluster_.world().network().unblock_all(); break;
      case 6:
        if (node.number() != other.number()) cluster_.world().network().cut(node, other);
        break;
      case 7:
        if (runs && !node.is_paused()) node.pause();
        break;
      case 8:
        if (!runs || node.is_paused()) break;
        node.stop();
        ++tally_["clean_stops"];
        break;
      case 9: node.jump_wall_clock(random_.between(-100'000, 100'000)); break;
      case 10: wipe(); break;
      case 11: random_.one_in(2) ? lose_power_at_commit() : lose_power_at_vote(); break;
      default: break;
    }
  }

  // D1: all lose their power at the very moment at which an entry is acknowledged. Half of them are
  // slower than the others, the leader, too: nobody may count them too early. Some entries come
  // while others are being written.
  void lose_power_at_commit() {
    RaftPeer* leader = cluster_.leader();
    if (leader == nullptr) return;
    std::vector<io::sim::Delay> usual;
    for (std::size_t i = 0; i < cluster_.size(); ++i) {
      io::sim::Delay& delay = peer(i).node().disk().options().device_delay;
      usual.push_back(delay);
      if (random_.one_in(2)) delay = {milliseconds(1), milliseconds(9)};
    }
    std::size_t before = 0;
    for (std::uint64_t bursts = 1 + random_.below(4); bursts > 0 && leader->is_leader(); --bursts) {
      before = cluster_.ledger().acknowledged();
      for (std::uint64_t n = 1 + random_.below(8); n > 0; --n)
        leader->propose(fmt::format("{} {}", ++value_, std::string(random_.below(400), 'x')));
      if (bursts > 1) cluster_.world().run_for(microseconds(random_.between(10, 3000)));
    }
    const bool is_acknowledged =
        cluster_.run_until([&] { return cluster_.ledger().acknowledged() > before; }, seconds(1));
    for (std::size_t i = 0; i < cluster_.size(); ++i)
      peer(i).node().disk().options().device_delay = usual[i];
    if (!is_acknowledged) return;
    ++tally_["power_lost_at_commit"];
    cluster_.cut_power();
    if (const auto lost = cluster_.find_lost_acknowledged(seconds(30)))
      violate("commit-without-majority", *lost);
  }

  // R2: a vote was promised just now.
  void lose_power_at_vote() {
    RaftPeer* leader = cluster_.leader();
    if (leader != nullptr) leader->node().kill();
    const std::size_t before = cluster_.ledger().votes();
    if (!cluster_.run_until([&] { return cluster_.ledger().votes() > before; }, seconds(8))) return;
    ++tally_["power_lost_at_vote"];
    cluster_.cut_power();
    cluster_.start_all();
  }

  // One disk in a run, of a quorum that can spare it: with a second one what was committed may be
  // gone for good. With auto-join it comes back as a voter, otherwise it follows. A static quorum
  // trusts the id, whatever became of its disk, until all know its directories.
  void wipe() {
    if (has_wiped_ || (is_static_ && !all_know_directories()) || !random_.one_in(3)) return;
    RaftPeer* leader = cluster_.leader();
    RaftPeer& subject = any();
    if (leader == nullptr || leader == &subject || !subject.node().is_running()) return;
    has_wiped_ = true;
    subject.node().kill();
    subject.wipe(Uuid());
    ++tally_["wiped_disks"];
  }

  void look_after() {
    for (std::size_t i = 0; i < cluster_.size(); ++i) {
      Node& node = peer(i).node();
      if (node.is_running() && node.is_paused() && random_.one_in(2)) node.resume();
      if (!node.is_running() && random_.one_in(2)) peer(i).start();
    }
  }

  // --- Liveness

  void heal(RaftPeer& healed) {
    io::sim::DiskOptions& disk = healed.node().disk().options();
    disk.stop_errors();
    disk.stall_one_in = 0;
    if (healed.node().is_running() && healed.node().is_paused()) healed.node().resume();
    if (!healed.node().is_running()) healed.start();
  }

  static bool is_voter_of(raft::RaftLog& log, RaftPeer& asked) {
    const std::vector<raft::Voter>& voters = log.voters();
    return std::any_of(voters.begin(), voters.end(), [&asked](const raft::Voter& voter) {
      return voter.id == asked.id() && voter.directory_id == asked.directory_id();
    });
  }

  // One voter stays cut off, or silent; all others are well again: a majority, for a voter set has
  // at least three and at most one of them has lost its disk, which is then the one.
  void heal_a_majority() {
    cluster_.world().network().unblock_all();
    RaftPeer* broken = has_wiped_ ? nullptr : &any();
    if (broken != nullptr) break_for_good(*broken);
    get_on("a majority is healed", broken);
  }

  void break_for_good(RaftPeer& broken) {
    if (random_.one_in(2) && broken.node().is_running()) broken.node().kill();
    for (std::size_t i = 0; i < cluster_.size(); ++i) {
      if (&peer(i) != &broken) cluster_.world().network().block(peer(i).node(), broken.node());
    }
  }

  // The network still cuts, and a node may still die of a write that failed before.
  void get_on(std::string_view when, RaftPeer* broken) {
    const std::size_t wanted = cluster_.ledger().acknowledged() + 5;
    const Instant limit = cluster_.world().now() + kPatience;
    while (cluster_.ledger().acknowledged() < wanted && is_well()) {
      if (cluster_.world().now() > limit) return violate("no-progress", std::string(when));
      for (std::size_t i = 0; i < cluster_.size(); ++i) {
        if (&peer(i) != broken) heal(peer(i));
        if (peer(i).is_leader()) peer(i).propose(fmt::format("{} at last", ++value_));
      }
      cluster_.world().run_for(milliseconds(200));
    }
  }

  void heal_all() {
    cluster_.world().network().unblock_all();
    lose_power_at_commit();
    cluster_.cut_power();
    if (!is_well()) return;
    get_on("all are healed", nullptr);
    if (!is_well()) return;
    if (cluster_.run_until([this] { return all_run(); }, kPatience) &&
        cluster_.await_agreement(kPatience))
      return;
    tell_disagreement();
  }

  bool all_know_directories() {
    for (std::size_t i = 0; i < cluster_.size(); ++i) {
      if (!peer(i).is_running() || peer(i).log().kraft_version() < 1) return false;
    }
    return true;
  }

  bool all_run() {
    for (std::size_t i = 0; i < cluster_.size(); ++i) {
      if (!peer(i).is_running()) return false;
    }
    return true;
  }

  // An entry that somebody was told is committed, and that nodes which have applied more do not
  // have, is lost; else somebody only lags for ever.
  void tell_disagreement() {
    for (const auto& [offset, value] : cluster_.ledger().applied()) {
      for (std::size_t i = 0; i < cluster_.size(); ++i) {
        if (!peer(i).is_running() || peer(i).applied_end() <= offset) continue;
        if (!peer(i).state().contains(offset))
          return violate("acknowledged-entry-lost",
                         fmt::format("offset {} at node {}", offset, peer(i).id()));
      }
    }
    std::string text;
    for (std::size_t i = 0; i < cluster_.size(); ++i)
      text +=
          fmt::format(" {}={}", peer(i).id(), peer(i).is_running() ? peer(i).applied_end() : -1);
    violate("no-agreement", "applied:" + text);
  }

  // --- What is asked of a leader

  static io::Task<void> add(raft::RaftLog& log, NodeId id, Uuid directory, std::string host,
                            Tally& tally) {
    protocol::AddRaftVoterRequest request;
    request.cluster_id = std::nullopt;
    request.timeout_ms = 5000;
    request.voter_id = id;
    request.voter_directory_id = directory;
    request.listeners.push_back({"CONTROLLER", host, kRaftPort});
    const auto answer = co_await log.add_raft_voter(request, 1);
    if (answer.message.error_code == 0) ++tally["voters_added"];
  }
  static io::Task<void> upgrade(raft::RaftLog& log, Tally& tally) {
    if (co_await log.upgrade_kraft_version(1)) ++tally["kraft_upgrades"];
  }
  static io::Task<void> remove(raft::RaftLog& log, NodeId id, Uuid directory, Tally& tally) {
    protocol::RemoveRaftVoterRequest request;
    request.cluster_id = std::nullopt;
    request.voter_id = id;
    request.voter_directory_id = directory;
    const auto answer = co_await log.remove_raft_voter(request, 0);
    if (answer.message.error_code == 0) ++tally["voters_removed"];
  }
  static io::Task<void> hand_over(raft::RaftLog& log, NodeId to, Tally& tally) {
    if (co_await log.transfer(to)) ++tally["hand_overs"];
  }

  Tally tally_;
  Random shape_;
  std::size_t voters_;
  bool is_static_;
  RaftCluster cluster_;
  Random& random_;
  std::optional<Violation> violation_;
  LeaderEpoch newest_epoch_ = 0;
  bool has_wiped_ = false;
  int value_ = 0;
};

}  // namespace

RunReport run_raft_scenario(std::uint64_t seed) {
  return Run(seed).run();
}

}  // namespace drave::simulation
