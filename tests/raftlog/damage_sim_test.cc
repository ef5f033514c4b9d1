// Bits of a log that went bad while its node was down, where the checksum of a batch does not look:
// its offset, its length, its epoch. Such a node does not open, and so leads nobody.
#include <fmt/format.h>

#include <array>
#include <functional>

#include "gtest/gtest.h"
#include "protocol/record_batch.h"
#include "raftlog/raft_limits.h"
#include "raftlog/snapshot.h"
#include "tools/sim/raft/raft_peer.h"

namespace drave::simulation {
namespace {

// The head of a batch in front of what its checksum covers, without the magic and the checksum.
constexpr std::uint64_t kUncoveredBytes = 16;

std::string segment_path() {
  return fmt::format("{}/{}-0/00000000000000000000.log", kRaftDirectory, raft::kMetadataTopic);
}

std::vector<std::uint64_t> positions_of_batches(RaftPeer& peer) {
  const std::vector<std::uint8_t> bytes = peer.node().disk().content(segment_path());
  std::vector<std::uint64_t> positions;
  std::uint64_t at = 0;
  protocol::BatchIterator walk(bytes);
  while (std::optional<protocol::BatchView> batch = walk.next()) {
    positions.push_back(at);
    at += batch->size_bytes();
  }
  return positions;
}

void stop_all(RaftCluster& cluster) {
  for (std::size_t i = 0; i < cluster.size(); ++i) {
    if (cluster.peer(i).is_running()) cluster.peer(i).node().stop();
  }
  ASSERT_TRUE(cluster.run_until(
      [&] {
        for (std::size_t i = 0; i < cluster.size(); ++i) {
          if (cluster.peer(i).node().is_running()) return false;
        }
        return true;
      },
      seconds(20)));
}

// A voter alone, stopped, with a few batches of two epochs.
void write_and_stop(RaftCluster& cluster) {
  for (int life = 0; life < 2; ++life) {
    cluster.start_all();
    ASSERT_NE(cluster.await_leader(seconds(5)), nullptr);
    for (int i = 0; i < 3; ++i)
      ASSERT_TRUE(cluster.commit(fmt::format("{}-{}", life, i), seconds(5)));
    stop_all(cluster);
  }
}

TEST(RaftDamage, no_bit_in_front_of_the_checksum_goes_unnoticed) {
  RaftCluster cluster(1, 1, 0, {});
  write_and_stop(cluster);
  const std::vector<std::uint8_t> sound = cluster.peer(0).node().disk().content(segment_path());
  const std::vector<std::uint64_t> positions = positions_of_batches(cluster.peer(0));
  ASSERT_GE(positions.size(), 6u);
  for (const std::uint64_t position :
       {positions.front(), positions[positions.size() / 2], positions.back()}) {
    for (std::uint64_t bit = 0; bit < kUncoveredBytes * 8; ++bit) {
      RaftCluster damaged(1, 1, 0, {});
      write_and_stop(damaged);
      RaftPeer& peer = damaged.peer(0);
      ASSERT_EQ(peer.node().disk().content(segment_path()), sound);
      peer.node().disk().flip(segment_path(), position + bit / 8,
                              static_cast<std::uint8_t>(1 << bit % 8));
      peer.start();
      damaged.world().run_for(milliseconds(200));
      EXPECT_FALSE(peer.is_leader()) << "bit " << bit << " of the batch at byte " << position;
    }
  }
}

// One of three was away when the others went on. Then all stop, and it returns with one of them:
// neither is elected with what nobody wrote, nor is anything of the other truncated.
TEST(RaftDamage, a_log_with_an_epoch_that_nobody_led_does_not_win_an_election) {
  constexpr std::array<std::uint64_t, 3> kBytes{13, 15, 5};  // of the epoch, and of the offset
  for (const std::uint64_t byte : kBytes) {
    RaftCluster cluster(2, 3, 0, {});
    cluster.start_all();
    ASSERT_NE(cluster.await_leader(seconds(10)), nullptr);
    ASSERT_TRUE(cluster.commit("one", seconds(5)));
    ASSERT_TRUE(cluster.await_agreement(seconds(5)));
    RaftPeer& away = cluster.peer(cluster.peer(0).is_leader() ? 1 : 0);
    away.node().stop();
    ASSERT_TRUE(cluster.run_until([&] { return !away.node().is_running(); }, seconds(5)));
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(cluster.commit(fmt::format("{}", i), seconds(5)));
    RaftPeer& last = *cluster.leader();
    for (std::size_t i = 0; i < 3; ++i) {
      if (cluster.peer(i).is_running()) cluster.peer(i).node().kill();
    }
    away.node().disk().flip(segment_path(), positions_of_batches(away).back() + byte, 1);
    away.start();
    last.start();
    cluster.world().run_for(seconds(20));
    EXPECT_EQ(cluster.leader(), nullptr) << "byte " << byte;
    EXPECT_FALSE(away.is_running()) << "byte " << byte;
    // The third has what was acknowledged, and is enough.
    for (std::size_t i = 0; i < 3; ++i) {
      if (&cluster.peer(i) != &away && !cluster.peer(i).is_running()) cluster.peer(i).start();
    }
    ASSERT_TRUE(cluster.commit("after", seconds(20)));
    EXPECT_EQ(cluster.ledger().applied().size(), 5u);
    EXPECT_EQ(cluster.ledger().violation(), "");
  }
}

// --- What a leader cannot read any more

struct Unreadable : testing::Test {
  // One of three is away while the others go on, until what it needs is in segments only.
  void leave_one_behind() {
    for (std::size_t i = 0; i < cluster.size(); ++i)
      cluster.peer(i).options().tail_bytes_max = 64 * kKiB;
    cluster.start_all();
    ASSERT_NE(cluster.await_leader(seconds(10)), nullptr);
    ASSERT_TRUE(cluster.commit("first", seconds(5)));
    ASSERT_TRUE(cluster.await_agreement(seconds(5)));
    away = &cluster.peer(cluster.peer(0).is_leader() ? 1 : 0);
    away_end = away->log().end();
    away->node().stop();
    ASSERT_TRUE(cluster.run_until([&] { return !away->node().is_running(); }, seconds(5)));
    for (int i = 0; i < 200; ++i)
      ASSERT_TRUE(cluster.commit(fmt::format("{} {}", i, std::string(3000, 'x')), seconds(5)));
    cluster.world().run_for(seconds(60));
  }
  void rot_what_it_needs() {
    for_the_others([&](RaftPeer& peer) {
      const std::vector<std::uint8_t> bytes = peer.node().disk().content(segment_path());
      protocol::BatchIterator walk(bytes);
      std::uint64_t at = 0;
      for (auto batch = walk.next(); batch.has_value(); batch = walk.next()) {
        if (batch->base_offset() >= away_end) break;
        at = walk.position();
      }
      ASSERT_LT(at, bytes.size());
      peer.node().disk().flip(segment_path(), at + 100);
    });
  }
  void for_the_others(const std::function<void(RaftPeer&)>& act) {
    for (std::size_t i = 0; i < cluster.size(); ++i) {
      if (&cluster.peer(i) != away) act(cluster.peer(i));
    }
  }

  RaftCluster cluster{3, 3, 0, {}};
  RaftPeer* away = nullptr;
  Offset away_end = 0;
};

TEST_F(Unreadable, a_replica_below_rot_in_the_leaders_log_gets_the_snapshot_above_it) {
  ASSERT_NO_FATAL_FAILURE(leave_one_behind());
  for_the_others([](RaftPeer& peer) { peer.snapshot(); });
  cluster.world().run_for(seconds(1));
  for_the_others([](RaftPeer& peer) { peer.node().stop(); });
  cluster.world().run_for(seconds(5));
  ASSERT_NO_FATAL_FAILURE(rot_what_it_needs());
  for_the_others([](RaftPeer& peer) { peer.start(); });
  ASSERT_TRUE(cluster.commit("after", seconds(20)));
  ASSERT_EQ(cluster.leader()->log().log_start(), 0);
  away->start();
  EXPECT_TRUE(cluster.run_until([&] { return away->snapshots_loaded() > 0; }, seconds(10)));
  EXPECT_TRUE(cluster.await_agreement(seconds(10)));
  EXPECT_EQ(cluster.ledger().violation(), "");
}

// Without a snapshot above it the next one is wanted at once, and helps.
TEST_F(Unreadable, a_replica_below_rot_that_no_snapshot_covers_waits_for_one) {
  ASSERT_NO_FATAL_FAILURE(leave_one_behind());
  ASSERT_NO_FATAL_FAILURE(rot_what_it_needs());
  away->start();
  ASSERT_TRUE(cluster.run_until(
      [&] { return cluster.leader()->log().bytes_since_snapshot() >= raft::kSnapshotAtOnce; },
      seconds(10)));
  EXPECT_EQ(away->log().end(), away_end);
  cluster.leader()->snapshot();
  EXPECT_TRUE(cluster.await_agreement(seconds(10)));
  EXPECT_EQ(away->snapshots_loaded(), 1u);
  EXPECT_LT(cluster.leader()->log().bytes_since_snapshot(), kMiB);
  EXPECT_EQ(cluster.ledger().violation(), "");
}

// One that does not lead is down while the others write snapshots, and drop what it would need.
RaftPeer& leave_below_the_logs_start(RaftCluster& cluster) {
  RaftPeer& away = cluster.peer(cluster.peer(0).is_leader() ? 1 : 0);
  away.node().kill();
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(cluster.commit(fmt::format("{}", i), seconds(10)));
    cluster.world().run_for(seconds(1));
    for (std::size_t peer = 0; peer < cluster.size(); ++peer) {
      if (cluster.peer(peer).is_running()) cluster.peer(peer).snapshot();
    }
    cluster.world().run_for(seconds(1));
  }
  return away;
}

// A snapshot that is needed and damaged is written again, at the same offset if nothing was
// committed since.
TEST(RaftDamage, a_leader_replaces_a_snapshot_that_it_cannot_serve) {
  raft::RaftOptions options;
  options.retention_bytes = 0;
  RaftCluster cluster(4, 3, 0, options);
  cluster.start_all();
  ASSERT_NE(cluster.await_leader(seconds(10)), nullptr);
  RaftPeer& away = leave_below_the_logs_start(cluster);
  raft::RaftLog& log = cluster.leader()->log();
  ASSERT_GT(log.log_start(), 0);
  const OffsetAndEpoch damaged = log.latest_snapshot();
  const std::string path =
      fmt::format("{}/{}-0/{}", kRaftDirectory, raft::kMetadataTopic, raft::snapshot_name(damaged));
  const std::vector<std::uint8_t> sound = cluster.leader()->node().disk().content(path);
  cluster.leader()->node().disk().flip(path, 70);
  away.start();
  ASSERT_TRUE(cluster.run_until([&] { return log.bytes_since_snapshot() >= raft::kSnapshotAtOnce; },
                                seconds(10)));
  EXPECT_NE(log.latest_snapshot(), damaged);
  cluster.leader()->snapshot();
  EXPECT_TRUE(cluster.await_agreement(seconds(10)));
  EXPECT_EQ(away.snapshots_loaded(), 1u);
  EXPECT_EQ(log.latest_snapshot(), damaged);
  EXPECT_EQ(cluster.leader()->node().disk().content(path).size(), sound.size());
  EXPECT_EQ(cluster.ledger().violation(), "");
}

// What the failed sync of its directory lost may be quorum-state, too; a full disk loses nothing.
TEST(RaftDamage, a_disk_that_fails_at_a_snapshot_ends_the_log_and_a_full_one_does_not) {
  for (const bool is_full : {true, false}) {
    RaftCluster cluster(6, 1, 0, {});
    RaftPeer& peer = cluster.peer(0);
    peer.start();
    ASSERT_TRUE(cluster.await_leader(seconds(10)) != nullptr && cluster.commit("1", seconds(10)));
    io::sim::DiskOptions& disk = peer.node().disk().options();
    (is_full ? disk.no_space_one_in : disk.name_error_one_in) = 1;
    peer.snapshot();
    cluster.world().run_for(seconds(1));
    disk.stop_errors();
    EXPECT_EQ(peer.failed().has_value(), !is_full);
    EXPECT_EQ(cluster.commit("2", seconds(10)), is_full);
  }
}

// Votes and a leader's snapshot wait for room.
TEST(RaftDamage, a_full_disk_ends_nobody) {
  raft::RaftOptions options;
  options.retention_bytes = 0;
  RaftCluster cluster(7, 3, 0, options);
  cluster.start_all();
  ASSERT_NE(cluster.await_leader(seconds(10)), nullptr);
  RaftPeer& away = leave_below_the_logs_start(cluster);
  ASSERT_GT(cluster.leader()->log().log_start(), 0);
  away.start();
  ASSERT_TRUE(cluster.run_until([&] { return away.is_running(); }, seconds(1)));
  away.node().disk().options().no_space_one_in = 1;
  cluster.world().run_for(seconds(10));
  EXPECT_EQ(away.snapshots_loaded(), 0u);
  cluster.leader()->node().kill();
  cluster.world().run_for(seconds(20));
  EXPECT_EQ(cluster.leader(), nullptr);
  EXPECT_FALSE(away.failed().has_value());
  away.node().disk().options().no_space_one_in = 0;
  EXPECT_TRUE(cluster.commit("after", seconds(20)));
  EXPECT_TRUE(cluster.await_agreement(seconds(10)));
  EXPECT_EQ(away.snapshots_loaded(), 1u);
  EXPECT_EQ(cluster.ledger().violation(), "");
}

// Somebody made room by hand.
TEST(RaftDamage, a_snapshot_whose_file_is_gone_does_not_keep_the_log_from_moving_on) {
  raft::RaftOptions options;
  options.retention_bytes = 0;
  RaftCluster cluster(5, 1, 0, options);
  RaftPeer& peer = cluster.peer(0);
  peer.start();
  ASSERT_NE(cluster.await_leader(seconds(10)), nullptr);
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(cluster.commit(fmt::format("{}", i), seconds(10)));
    cluster.world().run_for(seconds(1));
    peer.snapshot();
    cluster.world().run_for(seconds(1));
    if (i != 1) continue;
    peer.node().disk().remove(fmt::format("{}/{}-0/{}", kRaftDirectory, raft::kMetadataTopic,
                                          raft::snapshot_name(peer.log().latest_snapshot())));
  }
  EXPECT_EQ(peer.log().log_start(), peer.log().latest_snapshot().offset);
  std::size_t left = 0;
  for (const std::string& path : peer.node().disk().files_below(kRaftDirectory))
    left += path.ends_with(".checkpoint") && !path.ends_with("bootstrap.checkpoint") ? 1 : 0;
  EXPECT_EQ(left, 1u);
}

}  // namespace
}  // namespace drave::simulation
