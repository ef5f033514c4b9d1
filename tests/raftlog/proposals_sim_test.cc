// Proposals: how many share a batch, how long one takes while others come all the time, what they
// are told whose log does not lead, and what they may do then.

#include <fmt/format.h>

#include <algorithm>
#include <deque>

#include "gtest/gtest.h"
#include "protocol/record_batch.h"
#include "tools/sim/raft/raft_peer.h"

namespace drave::simulation {
namespace {

// Somebody else on the loop: as often as it has its turn it wants another.
struct Other : io::Ready {
  explicit Other(io::Loop& its_loop) : loop(its_loop) {
    run = [](io::Ready& item) {
      auto& self = static_cast<Other&>(item);
      if (++self.turns < 5000) self.loop.post(self);
    };
  }
  io::Loop& loop;
  int turns = 0;
};

// Is proposed again by its own done(), `left` times.
struct Again : raft::Proposal {
  raft::RaftLog* log = nullptr;
  const Other* other = nullptr;
  int left = 1000;
  int without_other = 0;  // refusals that came before the other had its turn again
  int turns_seen = -1;

  static void ended(Proposal& proposal, const Error* error) {
    auto& self = static_cast<Again&>(proposal);
    EXPECT_NE(error, nullptr);
    if (self.other->turns == self.turns_seen) ++self.without_other;
    self.turns_seen = self.other->turns;
    if (--self.left > 0) self.log->propose(self);
  }
};

// Who tries again at once, for ever, does not keep the loop from anything else: from hearing of a
// leader, for example.
TEST(RaftProposals, that_are_made_again_when_they_are_refused_leave_the_loop_to_others) {
  RaftCluster cluster(7, 3, 0, {});
  cluster.start_all();
  const RaftPeer* leader = cluster.await_leader(seconds(10));
  ASSERT_NE(leader, nullptr);
  RaftPeer& follower = &cluster.peer(0) == leader ? cluster.peer(1) : cluster.peer(0);
  Other other(follower.node().process().loop(0));
  Again first;
  Again second;
  other.loop.post(other);
  for (Again* one : {&first, &second}) {
    one->done = &Again::ended;
    one->log = &follower.log();
    one->other = &other;
    follower.log().propose(*one);
  }
  ASSERT_TRUE(cluster.run_until(
      [&] { return first.left == 0 && second.left == 0 && !other.is_linked(); }, seconds(10)));
  EXPECT_LE(first.without_other, 1);
  EXPECT_LE(second.without_other, 1);
}

// --- A leader that is cut off

raft::RaftOptions quick() {
  raft::RaftOptions options;
  options.timers.fetch_timeout = milliseconds(200);
  return options;
}

// Elects a leader and takes the others from it.
RaftPeer* cut_off_leader(RaftCluster& cluster) {
  cluster.start_all();
  if (!cluster.commit("first", seconds(10))) return nullptr;
  RaftPeer* leader = cluster.leader();
  for (std::size_t i = 0; leader != nullptr && i < cluster.size(); ++i) {
    RaftPeer& other = cluster.peer(i);
    if (&other == leader) continue;
    cluster.world().network().block(leader->node(), other.node());
    cluster.world().network().block(other.node(), leader->node());
  }
  return leader;
}

// Does `act` every 50 us until `leader` leads no more: also in the moment in which its time is
// over and its timer, which counts milliseconds, has not said so.
template <class Act>
void act_until_resigned(RaftCluster& cluster, RaftPeer& leader, Act act) {
  for (int i = 0; i < 20'000 && leader.is_leader(); ++i) {
    act();
    cluster.world().run_for(microseconds(50));
  }
  EXPECT_FALSE(leader.is_leader());
}

struct Counted : raft::Proposal {
  explicit Counted(int& its_ended) : ended(its_ended) {
    value = as_bytes(std::string_view("value"));
    done = [](Proposal& proposal, const Error* error) {
      EXPECT_NE(error, nullptr) << "nobody else has it";
      ++static_cast<Counted&>(proposal).ended;
    };
  }
  int& ended;
};

TEST(RaftProposals, of_a_leader_that_is_cut_off_are_all_refused) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    RaftCluster cluster(seed, 3, 0, quick());
    RaftPeer* leader = cut_off_leader(cluster);
    ASSERT_NE(leader, nullptr);
    int ended = 0;
    std::deque<Counted> proposals;
    act_until_resigned(cluster, *leader,
                       [&] { leader->log().propose(proposals.emplace_back(ended)); });
    cluster.world().run_for(milliseconds(1));
    EXPECT_EQ(ended, proposals.size());
  }
}

io::Task<void> append_one(RaftPeer& peer, bool& was_deposed) {
  const std::string_view text = "value";
  std::vector<ByteView> values{as_bytes(text)};
  const auto appended = co_await peer.log().append(std::move(values));
  if (appended && !peer.is_leader()) was_deposed = true;
}

TEST(RaftAppends, that_succeed_are_those_of_a_leader) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    RaftCluster cluster(seed, 3, 0, quick());
    RaftPeer* leader = cut_off_leader(cluster);
    ASSERT_NE(leader, nullptr);
    bool was_deposed = false;
    act_until_resigned(cluster, *leader,
                       [&] { leader->scope().spawn(append_one(*leader, was_deposed)); });
    EXPECT_FALSE(was_deposed);
  }
}

// Batches of a node that has stopped.
std::size_t count_batches(RaftCluster& cluster, RaftPeer& peer) {
  peer.node().stop();
  EXPECT_TRUE(cluster.run_until([&] { return !peer.node().is_running(); }, seconds(10)));
  const std::vector<std::uint8_t> bytes = peer.node().disk().content(
      fmt::format("{}/{}-0/00000000000000000000.log", kRaftDirectory, raft::kMetadataTopic));
  std::size_t count = 0;
  for (protocol::BatchIterator batches(bytes); batches.next().has_value();) ++count;
  return count;
}

TEST(RaftProposals, of_one_pass_are_one_batch) {
  RaftCluster cluster(9, 1, 0, {});
  cluster.start_all();
  ASSERT_TRUE(cluster.commit("first", seconds(5)));
  const Offset end = cluster.peer(0).log().end();
  for (int i = 0; i < 200; ++i) cluster.peer(0).propose(fmt::format("{}", i));
  ASSERT_TRUE(
      cluster.run_until([&] { return cluster.ledger().acknowledged() == 201; }, seconds(5)));
  EXPECT_EQ(cluster.peer(0).log().end(), end + 200);
  EXPECT_EQ(count_batches(cluster, cluster.peer(0)), 3u) << "the epoch, the first one, all others";
}

struct TimedProposal : raft::Proposal {
  Instant since;
  Instant until;
  io::sim::World* world = nullptr;
  static void ended(Proposal& proposal, const Error* error) {
    auto& self = static_cast<TimedProposal&>(proposal);
    EXPECT_EQ(error, nullptr);
    self.until = self.world->now();
  }
};

// One comes every 50 us, many for each flush and round: they share batches, and the queue does not
// grow.
TEST(RaftProposals, that_come_faster_than_the_disk_flushes_do_not_wait_longer_and_longer) {
  constexpr std::size_t kCount = 2000;
  RaftCluster cluster(10, 3, 0, {});
  cluster.start_all();
  RaftPeer* leader = cluster.await_leader(seconds(10));
  ASSERT_NE(leader, nullptr);
  ASSERT_TRUE(cluster.commit("first", seconds(5)));
  const std::string value(100, 'x');
  std::deque<TimedProposal> proposals(kCount);
  for (TimedProposal& proposal : proposals) {
    cluster.world().run_for(microseconds(50));
    proposal.world = &cluster.world();
    proposal.since = cluster.world().now();
    proposal.value = as_bytes(std::string_view(value));
    proposal.done = &TimedProposal::ended;
    leader->log().propose(proposal);
  }
  ASSERT_TRUE(cluster.run_until([&] { return proposals.back().until != Instant{}; }, seconds(5)));
  std::vector<Duration> waits;
  for (const TimedProposal& proposal : proposals) waits.push_back(proposal.until - proposal.since);
  const Duration early = *std::max_element(waits.begin(), waits.begin() + kCount / 4);
  const Duration late = *std::max_element(waits.end() - kCount / 4, waits.end());
  EXPECT_LT(early, milliseconds(20));
  EXPECT_LT(late, milliseconds(20));
  EXPECT_EQ(cluster.ledger().violation(), "");
}

}  // namespace
}  // namespace drave::simulation
