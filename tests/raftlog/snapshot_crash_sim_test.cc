// Snapshots and crashes: a node loses its power at every event of fetching the leader's snapshot,
// of writing its own, and of the start that follows.

#include <fmt/format.h>

#include <algorithm>

#include "gtest/gtest.h"
#include "tools/sim/raft/raft_peer.h"

namespace drave::simulation {
namespace {

// Enough for the longest of what is cut short here.
constexpr int kEventsMax = 4000;

class RaftSnapshotCrash : public ::testing::Test {
 protected:
  RaftSnapshotCrash() : cluster_(31, 3, 0, options()) {}

  void SetUp() override {
    cluster_.start_all();
    ASSERT_TRUE(cluster_.commit("first", seconds(10)));
    ASSERT_TRUE(cluster_.await_agreement(seconds(10)));
  }

  // A snapshot takes the place of all before the one before it.
  static raft::RaftOptions options() {
    raft::RaftOptions options;
    options.retention_bytes = 0;
    return options;
  }

  void commit(int count) {
    for (int i = 0; i < count; ++i)
      ASSERT_TRUE(
          cluster_.commit(fmt::format("{} {}", ++value_, std::string(300, 'x')), seconds(20)));
  }

  // Runs so many events; true: what was waited for came before.
  bool run_events(int events, const std::function<bool()>& done) {
    for (int i = 0; i < events; ++i) {
      if (done()) return true;
      cluster_.world().step();
    }
    return done();
  }

  // Names of files of this kind in its log's directory.
  static std::size_t files(RaftPeer& peer, std::string_view suffix) {
    const std::vector<std::string> all = peer.node().disk().files_below(kRaftDirectory);
    return static_cast<std::size_t>(
        std::count_if(all.begin(), all.end(),
                      [suffix](const std::string& path) { return path.ends_with(suffix); }));
  }

  // It is there again, has what the others have, and its log begins where a snapshot ends.
  void expect_whole(RaftPeer& peer) {
    ASSERT_TRUE(cluster_.run_until([&] { return peer.is_running(); }, seconds(20)));
    ASSERT_TRUE(cluster_.await_agreement(seconds(30)));
    ASSERT_FALSE(peer.failed().has_value());
    ASSERT_EQ(cluster_.ledger().violation(), "");
    EXPECT_LE(peer.log().log_start(), peer.log().latest_snapshot().offset);
    EXPECT_EQ(files(peer, ".part"), 0u);
  }

  // Names that were removed may be back after a crash. They go with the next snapshot.
  void expect_tidy() {
    commit(2);
    ASSERT_TRUE(cluster_.await_agreement(seconds(10)));
    for (std::size_t i = 0; i < cluster_.size(); ++i) cluster_.peer(i).snapshot();
    cluster_.world().run_for(seconds(2));
    for (std::size_t i = 0; i < cluster_.size(); ++i)
      EXPECT_LE(files(cluster_.peer(i), ".checkpoint"), 2u) << i;
  }

  // A crash, and every other time one more in the start that follows.
  void lose_power(RaftPeer& peer, int events) {
    peer.node().power_cut();
    peer.start();
    if (events % 2 == 0) return;
    run_events(events / 2, [] { return false; });
    peer.node().power_cut();
    peer.start();
  }

  RaftCluster cluster_;
  int value_ = 0;
};

TEST_F(RaftSnapshotCrash, a_snapshot_that_is_being_fetched_is_there_as_a_whole_or_not_at_all) {
  RaftPeer& away = cluster_.peer(cluster_.peer(0).is_leader() ? 1 : 0);
  std::size_t crashes = 0;
  int in_time = 0;
  for (int events = 1; in_time < 3; events += 3) {
    ASSERT_LT(events, kEventsMax);
    SCOPED_TRACE(::testing::Message() << "after " << events << " events");
    const Offset had = away.log().end();
    away.node().kill();
    // Both of the others, for the leader may be another one by now.
    for (int round = 0; round < 2; ++round) {
      commit(2);
      cluster_.world().run_for(milliseconds(600));
      for (std::size_t i = 0; i < cluster_.size(); ++i) cluster_.peer(i).snapshot();
      cluster_.world().run_for(milliseconds(200));
    }
    ASSERT_GT(cluster_.leader()->log().log_start(), had);
    away.start();
    const bool is_loaded =
        run_events(events, [&] { return away.is_running() && away.applied_end() > had; });
    in_time += is_loaded;
    crashes += !is_loaded;
    lose_power(away, events);
    expect_whole(away);
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(crashes, 30u);
  expect_tidy();
}

TEST_F(RaftSnapshotCrash, a_snapshot_that_is_being_written_costs_nothing_of_the_log_before) {
  std::size_t crashes = 0;
  for (int events = 1; events < 160; events += 2) {
    SCOPED_TRACE(::testing::Message() << "after " << events << " events");
    commit(2);
    ASSERT_TRUE(cluster_.await_agreement(seconds(10)));
    RaftPeer& peer = cluster_.peer(static_cast<std::size_t>(events / 2) % cluster_.size());
    const OffsetAndEpoch before = peer.log().latest_snapshot();
    peer.snapshot();
    run_events(events, [] { return false; });
    crashes += peer.log().latest_snapshot() == before;
    lose_power(peer, events);
    expect_whole(peer);
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(crashes, 10u);
  expect_tidy();
}

}  // namespace
}  // namespace drave::simulation
