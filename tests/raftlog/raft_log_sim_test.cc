// The driver of a replicated log on simulated machines: elections, replication, failover,
// snapshots, changes of voters, crashes. tools/sim/raft/raft_peer.h is a node and the ledger that
// finds contradictions.

#include <fmt/format.h>

#include "gtest/gtest.h"
#include "tools/sim/raft/raft_peer.h"

namespace drave::simulation {
namespace {

raft::RaftOptions defaults() {
  return {};
}

void expect_no_violation(RaftCluster& cluster) {
  EXPECT_EQ(cluster.ledger().violation(), "");
}

TEST(RaftLogSim, one_voter_leads_at_once) {
  RaftCluster cluster(1, 1, 0, defaults());
  cluster.start_all();
  ASSERT_NE(cluster.await_leader(milliseconds(300)), nullptr);
  EXPECT_TRUE(cluster.commit("a", seconds(1)));
  expect_no_violation(cluster);
}

TEST(RaftLogSim, three_voters_elect_one_and_replicate) {
  RaftCluster cluster(2, 3, 0, defaults());
  cluster.start_all();
  ASSERT_NE(cluster.await_leader(seconds(10)), nullptr);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(cluster.commit(fmt::format("v{}", i), seconds(5)));
  EXPECT_TRUE(cluster.await_agreement(seconds(5)));
  EXPECT_EQ(cluster.ledger().applied().size(), 20u);
  expect_no_violation(cluster);
}

TEST(RaftLogSim, a_killed_leader_is_replaced_and_nothing_is_lost) {
  RaftCluster cluster(3, 3, 0, defaults());
  cluster.start_all();
  for (int round = 0; round < 4; ++round) {
    RaftPeer* leader = cluster.await_leader(seconds(10));
    ASSERT_NE(leader, nullptr);
    for (int i = 0; i < 5; ++i)
      ASSERT_TRUE(cluster.commit(fmt::format("r{} v{}", round, i), seconds(5)));
    const LeaderEpoch epoch = leader->log().epoch();
    leader->propose("on its way");
    cluster.world().run_for(microseconds(200));
    const bool is_killed = round % 2 == 0;
    is_killed ? leader->node().kill() : leader->node().power_cut();
    const Instant fell = cluster.world().now();
    ASSERT_TRUE(cluster.run_until(
        [&] { return cluster.leader() != nullptr && cluster.leader()->log().epoch() > epoch; },
        seconds(10)));
    // A lost connection is noticed at once: nobody waits for a fetch timeout. A power cut ends no
    // connection.
    const Duration most = is_killed ? milliseconds(1500) : milliseconds(6000);
    EXPECT_LT((cluster.world().now() - fell).ns, most.ns);
    leader->start();
    ASSERT_TRUE(cluster.await_agreement(seconds(10)));
  }
  EXPECT_GE(cluster.ledger().acknowledged(), 20u);
  expect_no_violation(cluster);
}

TEST(RaftLogSim, all_crash_and_what_was_acknowledged_is_there) {
  RaftCluster cluster(4, 3, 0, defaults());
  cluster.start_all();
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(cluster.commit(fmt::format("v{}", i), seconds(10)));
  for (std::size_t i = 0; i < 3; ++i) cluster.peer(i).node().power_cut();
  cluster.start_all();
  ASSERT_TRUE(cluster.commit("after", seconds(20)));
  EXPECT_TRUE(cluster.await_agreement(seconds(5)));
  EXPECT_EQ(cluster.ledger().applied().size(), 11u);
  expect_no_violation(cluster);
}

TEST(RaftLogSim, a_leader_that_stops_hands_over) {
  RaftCluster cluster(5, 3, 0, defaults());
  cluster.start_all();
  RaftPeer* leader = cluster.await_leader(seconds(10));
  ASSERT_NE(leader, nullptr);
  ASSERT_TRUE(cluster.commit("before", seconds(5)));
  ASSERT_TRUE(cluster.await_agreement(seconds(5)));
  const LeaderEpoch epoch = leader->log().epoch();
  leader->node().stop();
  const Instant asked = cluster.world().now();
  ASSERT_TRUE(cluster.run_until(
      [&] {
        RaftPeer* now = cluster.leader();
        return now != nullptr && now != leader && now->log().epoch() > epoch;
      },
      seconds(10)));
  EXPECT_LT((cluster.world().now() - asked).ns, milliseconds(50).ns);
  ASSERT_TRUE(cluster.run_until([&] { return !leader->node().is_running(); }, seconds(5)));
  ASSERT_TRUE(cluster.commit("after", seconds(5)));
  leader->start();
  EXPECT_TRUE(cluster.await_agreement(seconds(10)));
  expect_no_violation(cluster);
}

TEST(RaftLogSim, one_that_was_away_loads_the_leaders_snapshot) {
  raft::RaftOptions options;
  options.retention_bytes = 0;  // a snapshot takes the place of all before the one before it
  RaftCluster cluster(6, 3, 0, options);
  cluster.start_all();
  RaftPeer* leader = cluster.await_leader(seconds(10));
  ASSERT_NE(leader, nullptr);
  ASSERT_TRUE(cluster.commit("first", seconds(5)));
  RaftPeer& away = cluster.peer(cluster.peer(0).is_leader() ? 1 : 0);
  away.node().kill();
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 20; ++i)
      ASSERT_TRUE(cluster.commit(fmt::format("r{} {}", round, std::string(3000, 'x')), seconds(5)));
    for (std::size_t i = 0; i < 3; ++i) {
      if (cluster.peer(i).is_running()) cluster.peer(i).snapshot();
    }
    cluster.world().run_for(seconds(1));
  }
  ASSERT_GT(cluster.leader()->log().log_start(), 0);
  away.start();
  ASSERT_TRUE(cluster.run_until([&] { return away.snapshots_loaded() > 0; }, seconds(10)));
  ASSERT_TRUE(cluster.commit("last", seconds(5)));
  EXPECT_TRUE(cluster.await_agreement(seconds(10)));
  EXPECT_GT(away.log().log_start(), 0);
  // It starts from it again.
  away.node().power_cut();
  away.start();
  EXPECT_TRUE(cluster.await_agreement(seconds(10)));
  expect_no_violation(cluster);
}

// --- Changes of voters

struct Outcome {
  std::optional<std::int16_t> error;
  std::string message;
};

io::Task<void> add_voter(raft::RaftLog& log, NodeId id, Uuid directory, std::string host,
                         Outcome& outcome) {
  protocol::AddRaftVoterRequest request;
  request.cluster_id = std::nullopt;
  request.timeout_ms = 5000;
  request.voter_id = id;
  request.voter_directory_id = directory;
  request.listeners.push_back({"CONTROLLER", host, kRaftPort});
  const auto answer = co_await log.add_raft_voter(request, 1);
  outcome.message = answer.message.error_message.value_or("");
  outcome.error = answer.message.error_code;
}

io::Task<void> remove_voter(raft::RaftLog& log, NodeId id, Uuid directory, Outcome& outcome) {
  protocol::RemoveRaftVoterRequest request;
  request.cluster_id = std::nullopt;
  request.voter_id = id;
  request.voter_directory_id = directory;
  outcome.error = (co_await log.remove_raft_voter(request, 0)).message.error_code;
}

TEST(RaftLogSim, a_voter_is_added_and_another_removed) {
  RaftCluster cluster(7, 3, 1, defaults());
  cluster.start_all();
  RaftPeer* leader = cluster.await_leader(seconds(10));
  ASSERT_NE(leader, nullptr);
  ASSERT_TRUE(cluster.commit("first", seconds(5)));
  RaftPeer& joins = cluster.peer(3);
  // As an observer it follows already.
  ASSERT_TRUE(cluster.await_agreement(seconds(10)));
  // It has fetched behind what it has by now.
  cluster.world().run_for(milliseconds(100));
  Outcome added;
  leader->scope().spawn(
      add_voter(leader->log(), joins.id(), joins.directory_id(), joins.node().host(), added));
  ASSERT_TRUE(cluster.run_until([&] { return added.error.has_value(); }, seconds(10)));
  EXPECT_EQ(*added.error, 0) << added.message;
  EXPECT_EQ(leader->log().voters().size(), 4u);
  EXPECT_EQ(leader->log().voters().back().endpoints.front().host, joins.node().host());
  RaftPeer& leaves = cluster.peer(cluster.peer(0).is_leader() ? 1 : 0);
  Outcome removed;
  leader->scope().spawn(remove_voter(leader->log(), leaves.id(), leaves.directory_id(), removed));
  ASSERT_TRUE(cluster.run_until([&] { return removed.error.has_value(); }, seconds(10)));
  EXPECT_EQ(*removed.error, 0);
  EXPECT_EQ(leader->log().voters().size(), 3u);
  // The new set leads without the old leader and without the one that left.
  leaves.node().kill();
  leader->node().kill();
  leader->start();
  ASSERT_TRUE(cluster.commit("with the new voter", seconds(20)));
  leaves.start();
  EXPECT_TRUE(cluster.await_agreement(seconds(10)));
  expect_no_violation(cluster);
}

TEST(RaftLogSim, a_wiped_voter_joins_again_by_itself) {
  raft::RaftOptions options;
  options.auto_join = true;
  RaftCluster cluster(8, 3, 0, options);
  cluster.start_all();
  ASSERT_NE(cluster.await_leader(seconds(10)), nullptr);
  ASSERT_TRUE(cluster.commit("first", seconds(5)));
  RaftPeer& wiped = cluster.peer(cluster.peer(0).is_leader() ? 1 : 0);
  const Uuid before = wiped.directory_id();
  wiped.node().kill();
  wiped.wipe(Uuid());
  wiped.start();
  auto is_voter = [&] {
    RaftPeer* leader = cluster.leader();
    if (leader == nullptr) return false;
    for (const raft::Voter& voter : leader->log().voters()) {
      if (voter.id == wiped.id() && voter.directory_id == wiped.directory_id()) return true;
    }
    return false;
  };
  EXPECT_TRUE(cluster.run_until(is_voter, seconds(60)));
  EXPECT_NE(wiped.directory_id(), before);
  ASSERT_TRUE(cluster.commit("second", seconds(5)));
  EXPECT_TRUE(cluster.await_agreement(seconds(10)));
  expect_no_violation(cluster);
}

// --- Everything at once

class RaftLogSeeds : public ::testing::TestWithParam<std::uint64_t> {};

// Crashes, cut links and pauses in any order, under proposals; then all is well and there must be a
// leader, and all nodes agree.
std::uint64_t live(std::uint64_t seed) {
  io::sim::WorldOptions world;
  raft::RaftOptions options;
  options.retention_bytes = 64 * kKiB;
  RaftCluster cluster(seed, 3, 0, options, world);
  Random& random = cluster.world().random();
  cluster.start_all();
  int value = 0;
  for (int round = 0; round < 60; ++round) {
    cluster.world().run_for(microseconds(random.between(1000, 800'000)));
    for (std::size_t i = 0; i < 3; ++i) {
      if (!cluster.peer(i).is_running()) continue;
      for (std::uint64_t n = random.below(20); n > 0; --n)
        cluster.peer(i).propose(fmt::format("{} {}", ++value, std::string(random.below(400), 'x')));
      if (random.one_in(10)) cluster.peer(i).snapshot();
    }
    RaftPeer& victim = cluster.peer(random.below(3));
    io::sim::Node& node = victim.node();
    io::sim::Node& other = cluster.peer(random.below(3)).node();
    switch (random.below(8)) {
      case 0:
        if (node.is_running()) node.kill();
        break;
      case 1:
        if (node.is_running()) {
          cluster.run_until([&] { return node.has_disk_writes_in_flight(); }, milliseconds(20));
          node.power_cut();
        }
        break;
      case 2:
        if (node.number() != other.number()) cluster.world().network().block(node, other);
        break;
      case 3: cluster.world().network().unblock_all(); break;
      case 4:
        if (node.is_running() && !node.is_paused()) node.pause();
        break;
      case 5:
        if (node.is_running()) node.stop();
        break;
      default: break;
    }
    for (std::size_t i = 0; i < 3; ++i) {
      if (cluster.peer(i).node().is_paused() && random.one_in(2)) cluster.peer(i).node().resume();
      if (!cluster.peer(i).node().is_running() && random.one_in(2)) cluster.peer(i).start();
    }
    EXPECT_EQ(cluster.ledger().violation(), "") << "seed " << seed;
    if (!cluster.ledger().violation().empty()) return 0;
  }
  cluster.world().network().unblock_all();
  for (std::size_t i = 0; i < 3; ++i) {
    if (cluster.peer(i).node().is_paused()) cluster.peer(i).node().resume();
  }
  cluster.world().run_for(seconds(3));  // who was asked to stop has stopped
  cluster.start_all();
  EXPECT_TRUE(cluster.commit("at last", seconds(60))) << "seed " << seed;
  EXPECT_TRUE(cluster.await_agreement(seconds(30))) << "seed " << seed;
  EXPECT_EQ(cluster.ledger().violation(), "") << "seed " << seed;
  for (std::size_t i = 0; i < 3; ++i)
    EXPECT_FALSE(cluster.peer(i).failed().has_value())
        << "seed " << seed << ": " << cluster.peer(i).failed()->message();
  return cluster.world().trace_hash();
}

TEST_P(RaftLogSeeds, nodes_agree_whatever_happens) {
  const std::uint64_t first = live(GetParam());
  if (GetParam() % 10 == 0) EXPECT_EQ(live(GetParam()), first);
}

INSTANTIATE_TEST_SUITE_P(All, RaftLogSeeds, ::testing::Range<std::uint64_t>(1, 21));

}  // namespace
}  // namespace drave::simulation
