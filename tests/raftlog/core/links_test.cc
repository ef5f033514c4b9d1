// Links that are cut for good. Every way to cut the six directed ones of three nodes, under each
// leader, and some of five: where a majority hears each other there is a leader soon, it stays, and
// what it gets is committed. And links that lose half of all.
#include "gtest/gtest.h"
#include "tools/sim/quorum/cluster.h"

namespace drave::raft {
namespace {

using simulation::Tally;
using simulation::quorum::Cluster;

constexpr NodeId kLinks[6][2] = {{0, 1}, {1, 0}, {0, 2}, {2, 0}, {1, 2}, {2, 1}};

bool has_pair(unsigned cuts) {
  for (unsigned pair = 0; pair < 3; ++pair) {
    if (((cuts >> (2 * pair)) & 3) == 0) return true;
  }
  return false;
}

LeaderEpoch newest_epoch(Cluster& cluster) {
  LeaderEpoch newest = 0;
  for (int i = 0; i < cluster.size(); ++i)
    newest = std::max(newest, cluster.replica(i).core().epoch());
  return newest;
}

void work(Cluster& cluster, int rounds) {
  for (int i = 0; i < rounds && !cluster.violation(); ++i) {
    cluster.propose();
    cluster.run_for(milliseconds(100));
  }
}

void try_cuts(unsigned cuts, int leader) {
  SCOPED_TRACE(testing::Message() << "cuts=" << cuts << " leader=" << leader);
  Tally tally;
  Cluster cluster(cuts * 3 + static_cast<unsigned>(leader) + 1, {3, 3}, tally);
  cluster.network().options().late_one_in = 0;
  for (int i = 0; i < 3; ++i) cluster.boot(i);
  cluster.command(leader, CampaignNow{});
  work(cluster, 5);
  ASSERT_EQ(cluster.leader(), leader);
  for (unsigned link = 0; link < 6; ++link) {
    if (((cuts >> link) & 1) != 0)
      cluster.network().cut(kLinks[link][0], kLinks[link][1], Instant::never());
  }
  work(cluster, 200);
  const LeaderEpoch epoch = newest_epoch(cluster);
  const Offset committed = cluster.checker().committed();
  work(cluster, 200);
  EXPECT_FALSE(cluster.violation()) << cluster.violation()->detail;
  EXPECT_EQ(newest_epoch(cluster), epoch) << cluster.text();
  EXPECT_GT(cluster.checker().committed(), committed + 100) << cluster.text();
}

TEST(RaftLinks, a_pair_that_hears_each_other_has_a_stable_leader) {
  for (unsigned cuts = 0; cuts < 64; ++cuts) {
    if (!has_pair(cuts)) continue;
    for (int leader = 0; leader < 3; ++leader) try_cuts(cuts, leader);
  }
}

// Three of five hear each other, all other links are cut or not.
void try_five(std::uint64_t seed) {
  SCOPED_TRACE(testing::Message() << "seed=" << seed);
  Random random(seed);
  Tally tally;
  Cluster cluster(seed, {5, 5}, tally);
  cluster.network().options().late_one_in = 0;
  for (int i = 0; i < 5; ++i) cluster.boot(i);
  cluster.command(static_cast<int>(random.below(5)), CampaignNow{});
  work(cluster, 5);
  NodeId order[] = {0, 1, 2, 3, 4};
  for (std::uint64_t i = 5; i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
  for (int a = 0; a < 5; ++a) {
    for (int b = 0; b < 5; ++b) {
      const bool stays = a == b || (a < 3 && b < 3);
      if (!stays && random.one_in(2)) cluster.network().cut(order[a], order[b], Instant::never());
    }
  }
  work(cluster, 200);
  const LeaderEpoch epoch = newest_epoch(cluster);
  const Offset committed = cluster.checker().committed();
  work(cluster, 100);
  EXPECT_FALSE(cluster.violation()) << cluster.violation()->detail;
  EXPECT_EQ(newest_epoch(cluster), epoch) << cluster.text();
  EXPECT_GT(cluster.checker().committed(), committed + 50) << cluster.text();
}

TEST(RaftLinks, three_of_five_that_hear_each_other_have_a_stable_leader) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) try_five(seed);
}

// Every second message of every kind, answers as well; what is not lost comes twice now and then.
TEST(RaftLinks, half_of_all_messages_may_be_lost) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed=" << seed);
    Tally tally;
    Cluster cluster(seed, {3, 3}, tally);
    cluster.network().options().loss_one_in = 2;
    cluster.network().options().duplicate_one_in = 3;
    for (int i = 0; i < 3; ++i) cluster.boot(i);
    work(cluster, 600);
    EXPECT_FALSE(cluster.violation()) << cluster.violation()->detail;
    EXPECT_GT(cluster.checker().committed(), 15) << cluster.text();
    EXPECT_GT(tally["doubled_messages"], 100u);
  }
}

}  // namespace
}  // namespace drave::raft
