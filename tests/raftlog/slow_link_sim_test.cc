// Links on which what is usually fetched at once takes longer than a call may.

#include <fmt/format.h>

#include "gtest/gtest.h"
#include "tools/sim/raft/raft_peer.h"

namespace drave::simulation {
namespace {

// 16 KiB on the way at once, for 34 ms: 1 MiB takes more than 2 s, which is what a call has.
class RaftSlowLink : public ::testing::Test {
 protected:
  explicit RaftSlowLink(std::uint64_t seed = 61) : cluster_(seed, 1, 1, options()) {}

  static raft::RaftOptions options() {
    raft::RaftOptions options;
    options.retention_bytes = 0;
    return options;
  }
  void SetUp() override {
    cluster_.peer(0).start();
    ASSERT_NE(cluster_.await_leader(seconds(10)), nullptr);
    for (int i = 0; i < 1500; ++i) {
      cluster_.peer(0).propose(fmt::format("{} {}", i, std::string(1000, 'x')));
      // What is proposed in one pass is one batch, which is sent as a whole.
      if (i % 100 == 99) ASSERT_TRUE(cluster_.commit(fmt::format("behind {}", i), seconds(10)));
    }
  }
  // The other node starts, and has what the leader has in the end.
  void expect_to_catch_up() {
    cluster_.world().network().options().window_bytes = 16 * kKiB;
    cluster_.world().network().options().latency = {milliseconds(34), milliseconds(35)};
    RaftPeer& behind = cluster_.peer(1);
    behind.start();
    EXPECT_TRUE(cluster_.run_until(
        [&] {
          return behind.is_running() && behind.applied_end() == cluster_.peer(0).applied_end();
        },
        seconds(60)));
    EXPECT_TRUE(cluster_.await_agreement(seconds(10)));
  }

  RaftCluster cluster_;
};

TEST_F(RaftSlowLink, who_is_far_behind_catches_up) {
  expect_to_catch_up();
  EXPECT_EQ(cluster_.peer(1).snapshots_loaded(), 0u);
}

TEST_F(RaftSlowLink, a_large_snapshot_arrives) {
  cluster_.peer(0).snapshot();
  ASSERT_TRUE(
      cluster_.run_until([&] { return cluster_.peer(0).log().log_start() > 0; }, seconds(10)));
  expect_to_catch_up();
  EXPECT_EQ(cluster_.peer(1).snapshots_loaded(), 1u);
}

}  // namespace
}  // namespace drave::simulation
