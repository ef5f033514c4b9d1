// What proposals are told whose log does not lead, and what they may do then.

#include "gtest/gtest.h"
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

}  // namespace
}  // namespace drave::simulation
