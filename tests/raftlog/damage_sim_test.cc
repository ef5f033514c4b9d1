// Bits of a log that went bad while its node was down, where the checksum of a batch does not look:
// its offset, its length, its epoch. Such a node does not open, and so leads nobody.
#include <fmt/format.h>

#include <array>

#include "gtest/gtest.h"
#include "protocol/record_batch.h"
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

}  // namespace
}  // namespace drave::simulation
