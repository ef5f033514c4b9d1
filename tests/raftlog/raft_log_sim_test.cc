// The driver of a replicated log on simulated machines: elections, replication, failover,
// snapshots, changes of voters, crashes. tools/sim/raft/raft_peer.h is a node and the ledger that
// finds contradictions.

#include <fmt/format.h>

#include "base/crc32c.h"
#include "gtest/gtest.h"
#include "protocol/control_record.h"
#include "tools/sim/raft/raft_peer.h"

namespace drave::simulation {
namespace {

raft::RaftOptions defaults() {
  return {};
}

void expect_no_violation(RaftCluster& cluster) {
  EXPECT_EQ(cluster.ledger().violation(), "");
}

struct Outcome {
  std::optional<std::int16_t> error;
  std::string message;
};

// As a tool does it: by telling the leader that it leaves.
io::Task<void> ask_for_transfer(raft::RaftLog& log, NodeId leader, NodeId to, Outcome& outcome) {
  protocol::EndQuorumEpochRequest request;
  auto& topic = request.topics.emplace_back();
  topic.topic_name = raft::kMetadataTopic;
  auto& partition = topic.partitions.emplace_back();
  partition.leader_id = leader;
  partition.leader_epoch = log.epoch();
  partition.preferred_candidates.push_back({to, Uuid()});
  const auto answer = co_await log.end_quorum_epoch(request, 1);
  outcome.error = answer.message.topics.front().partitions.front().error_code;
}

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

io::Task<void> stop_log(raft::RaftLog& log) {
  [[maybe_unused]] const Result<void> stopped = co_await log.stop();
}

// BeginQuorumEpoch of a leader that says that it is reached at `host`.
io::Task<void> claim_leadership(raft::RaftLog& log, LeaderEpoch epoch, NodeId leader,
                                std::string host, Outcome& outcome) {
  protocol::BeginQuorumEpochRequest request;
  request.cluster_id = std::nullopt;
  request.voter_id = -1;
  auto& topic = request.topics.emplace_back();
  topic.topic_name = raft::kMetadataTopic;
  auto& partition = topic.partitions.emplace_back();
  partition.leader_id = leader;
  partition.leader_epoch = epoch;
  request.leader_endpoints.push_back({"CONTROLLER", host, kRaftPort});
  const auto answer = co_await log.begin_quorum_epoch(request, 1);
  outcome.error = answer.message.error_code != 0
                      ? answer.message.error_code
                      : answer.message.topics.front().partitions.front().error_code;
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
  for (int i = 0; i < 100; ++i) leader->propose(fmt::format("late {}", i));
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
  // What was proposed before was committed by the old leader.
  EXPECT_EQ(cluster.ledger().acknowledged(), 102u);
  leader->start();
  EXPECT_TRUE(cluster.await_agreement(seconds(10)));
  expect_no_violation(cluster);
}

// EndQuorumEpoch comes to some later than the successor asks them for their votes.
TEST(RaftLogSim, slow_links_do_not_cost_a_hand_over_an_election_timeout) {
  for (const std::size_t voters : {3u, 5u}) {
    for (std::uint64_t seed = 200; seed < 210; ++seed) {
      io::sim::WorldOptions world;
      world.network.latency = {microseconds(100), milliseconds(30)};
      RaftCluster cluster(seed, voters, 0, defaults(), world);
      cluster.start_all();
      ASSERT_TRUE(cluster.commit("before", seconds(20)));
      RaftPeer* leader = cluster.await_leader(seconds(10));
      ASSERT_NE(leader, nullptr);
      for (int i = 0; i < 20; ++i) leader->propose(fmt::format("late {}", i));
      leader->node().stop();
      const Instant asked = cluster.world().now();
      EXPECT_TRUE(cluster.run_until(
          [&] { return cluster.leader() != nullptr && cluster.leader() != leader; }, seconds(10)));
      EXPECT_LT((cluster.world().now() - asked).ns, milliseconds(450).ns)
          << voters << " voters, seed " << seed;
      EXPECT_TRUE(cluster.commit("after", seconds(10)));
      expect_no_violation(cluster);
    }
  }
}

TEST(RaftLogSim, all_stop_at_once_and_none_waits_for_another) {
  for (std::uint64_t seed = 100; seed < 110; ++seed) {
    RaftCluster cluster(seed, 3, 0, defaults());
    cluster.start_all();
    ASSERT_TRUE(cluster.commit("before", seconds(10)));
    for (std::size_t i = 0; i < 3; ++i) {
      cluster.world().run_for(microseconds(static_cast<std::int64_t>(seed % 10) * 500));
      cluster.peer((i + seed) % 3).node().stop();
    }
    EXPECT_TRUE(cluster.run_until(
        [&] {
          for (std::size_t i = 0; i < 3; ++i) {
            if (cluster.peer(i).node().is_running()) return false;
          }
          return true;
        },
        seconds(3)))
        << "seed " << seed;
    expect_no_violation(cluster);
  }
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

TEST(RaftLogSim, a_damaged_snapshot_is_not_loaded) {
  raft::RaftOptions options;
  options.retention_bytes = 0;
  RaftCluster cluster(13, 3, 0, options);
  cluster.start_all();
  RaftPeer* leader = cluster.await_leader(seconds(10));
  ASSERT_NE(leader, nullptr);
  RaftPeer& away = cluster.peer(cluster.peer(0).is_leader() ? 1 : 0);
  away.node().kill();
  auto snapshot = [&](std::string_view text) {
    ASSERT_TRUE(cluster.commit(std::string(text), seconds(10)));
    cluster.world().run_for(seconds(1));
    for (std::size_t i = 0; i < 3; ++i) {
      if (cluster.peer(i).is_running()) cluster.peer(i).snapshot();
    }
    cluster.world().run_for(seconds(1));
  };
  for (const char* text : {"one", "two", "three"}) snapshot(text);
  leader = cluster.leader();
  ASSERT_GT(leader->log().log_start(), 0);
  for (std::size_t i = 0; i < 3; ++i) {
    if (!cluster.peer(i).is_running()) continue;
    const std::string path = fmt::format("{}/{}-0/{}", kRaftDirectory, raft::kMetadataTopic,
                                         raft::snapshot_name(leader->log().latest_snapshot()));
    cluster.peer(i).node().disk().flip(path, 70);
  }
  away.start();
  cluster.world().run_for(seconds(5));
  EXPECT_EQ(away.snapshots_loaded(), 0u);
  EXPECT_FALSE(away.failed().has_value());
  snapshot("four");
  ASSERT_TRUE(cluster.run_until([&] { return away.snapshots_loaded() > 0; }, seconds(10)));
  EXPECT_TRUE(cluster.await_agreement(seconds(10)));
  expect_no_violation(cluster);
}

// The same bytes, of another kraft.version.
std::vector<std::uint8_t> with_kraft_version(std::vector<std::uint8_t> snapshot,
                                             std::uint8_t level) {
  protocol::BatchIterator batches(snapshot);
  const std::optional<protocol::BatchView> header = batches.next();
  protocol::RecordIterator records(header->records(), header->record_count());
  for (protocol::RecordView record; records.next(record);) {
    const auto type = protocol::parse_control_key(record.key());
    if (type && *type == protocol::ControlType::kraft_version) {
      const std::size_t at = static_cast<std::size_t>(record.value()->data() - snapshot.data());
      snapshot[at + 3] = level;  // behind the version of the record
    }
  }
  const std::size_t size = header->size_bytes();
  const std::uint32_t crc = crc32c(ByteView(snapshot).first(size).subspan(21));
  for (std::size_t i = 0; i < 4; ++i)
    snapshot[17 + i] = static_cast<std::uint8_t>(crc >> (24 - 8 * i));
  return snapshot;
}

TEST(RaftLogSim, a_snapshot_that_is_not_understood_does_not_cost_the_log) {
  raft::RaftOptions options;
  options.retention_bytes = 0;
  RaftCluster cluster(17, 3, 0, options);
  cluster.start_all();
  ASSERT_NE(cluster.await_leader(seconds(10)), nullptr);
  RaftPeer& away = cluster.peer(cluster.peer(0).is_leader() ? 1 : 0);
  ASSERT_TRUE(cluster.commit("zero", seconds(10)) && cluster.await_agreement(seconds(10)));
  const Offset had = away.log().end();
  away.node().kill();
  for (const char* text : {"one", "two", "three"}) {
    ASSERT_TRUE(cluster.commit(text, seconds(10)));
    cluster.world().run_for(seconds(1));
    for (std::size_t i = 0; i < 3; ++i) {
      if (cluster.peer(i).is_running()) cluster.peer(i).snapshot();
    }
    cluster.world().run_for(seconds(1));
  }
  ASSERT_GT(cluster.leader()->log().log_start(), had);
  for (std::size_t i = 0; i < 3; ++i) {
    if (!cluster.peer(i).is_running()) continue;
    const std::string path =
        fmt::format("{}/{}-0/{}", kRaftDirectory, raft::kMetadataTopic,
                    raft::snapshot_name(cluster.leader()->log().latest_snapshot()));
    io::sim::Disk& disk = cluster.peer(i).node().disk();
    disk.put(path, with_kraft_version(disk.content(path), 7));
  }
  away.start();
  ASSERT_TRUE(cluster.run_until([&] { return away.failed().has_value(); }, seconds(10)));
  EXPECT_NE(away.failed()->context.find("kraft.version is 7"), std::string::npos)
      << away.failed()->context;
  EXPECT_EQ(away.log().end(), had);
  expect_no_violation(cluster);
}

std::size_t bytes_of_segments(RaftPeer& peer) {
  std::size_t bytes = 0;
  io::sim::Disk& disk = peer.node().disk();
  for (const std::string& path : disk.files_below(kRaftDirectory)) {
    if (path.ends_with(".log") || path.ends_with(".log.deleted"))
      bytes += disk.content(path).size();
  }
  return bytes;
}

// Of 64 KiB each, and with the snapshots 128 KiB are to stay.
TEST(RaftLogSim, segments_below_the_start_of_the_log_are_deleted) {
  raft::RaftOptions options;
  options.retention_bytes = 128 << 10;
  RaftCluster cluster(16, 3, 0, options);
  cluster.start_all();
  ASSERT_NE(cluster.await_leader(seconds(10)), nullptr);
  for (int round = 0; round < 8; ++round) {
    for (int i = 0; i < 15; ++i)
      ASSERT_TRUE(cluster.commit(fmt::format("{} {}", round, std::string(4000, 'x')), seconds(5)));
    ASSERT_TRUE(cluster.await_agreement(seconds(5)));
    for (std::size_t i = 0; i < cluster.size(); ++i) cluster.peer(i).snapshot();
    cluster.world().run_for(seconds(1));
  }
  cluster.world().run_for(seconds(75));  // file.delete.delay.ms, and who looks for it
  for (std::size_t i = 0; i < cluster.size(); ++i) {
    RaftPeer& peer = cluster.peer(i);
    EXPECT_GT(peer.log().log_start(), 100);
    EXPECT_LT(bytes_of_segments(peer), 300u << 10) << "node " << peer.id();
  }
  cluster.peer(0).node().power_cut();
  cluster.world().run_for(milliseconds(10));
  cluster.start_all();
  EXPECT_TRUE(cluster.commit("goes on", seconds(10)));
  EXPECT_TRUE(cluster.await_agreement(seconds(10)));
  expect_no_violation(cluster);
}

std::string snapshot_path(OffsetAndEpoch id) {
  return fmt::format("{}/{}-0/{}", kRaftDirectory, raft::kMetadataTopic, raft::snapshot_name(id));
}

// A node ended when the segments between two snapshots were deleted and the older snapshot was not.
// Of what stands before the first segment that is left no snapshot tells the epoch: the older one's
// would let a log of an epoch that ended before pass for the same.
TEST(RaftLogSim, a_log_that_begins_between_two_snapshots_begins_at_the_newer_one) {
  raft::RaftOptions options;
  options.retention_bytes = 0;
  RaftCluster cluster(19, 1, 0, options);
  RaftPeer& peer = cluster.peer(0);
  OffsetAndEpoch older;
  std::vector<std::uint8_t> bytes;
  for (int life = 0; life < 3; ++life) {
    peer.start();
    ASSERT_NE(cluster.await_leader(seconds(10)), nullptr);
    for (int i = 0; i < 40; ++i)
      ASSERT_TRUE(cluster.commit(fmt::format("{} {}", life, std::string(3000, 'x')), seconds(5)));
    if (life == 2) break;
    cluster.world().run_for(seconds(60));  // what is in the segments only can be deleted
    peer.snapshot();
    cluster.world().run_for(seconds(1));
    if (life == 0) {
      older = peer.log().latest_snapshot();
      bytes = peer.node().disk().content(snapshot_path(older));
    }
    peer.node().stop();
    ASSERT_TRUE(cluster.run_until([&] { return !peer.node().is_running(); }, seconds(5)));
  }
  const OffsetAndEpoch newer = peer.log().latest_snapshot();
  ASSERT_EQ(peer.log().log_start(), newer.offset);
  ASSERT_GT(newer.epoch, older.epoch);
  peer.node().stop();
  ASSERT_TRUE(cluster.run_until([&] { return !peer.node().is_running(); }, seconds(5)));
  peer.node().disk().put(snapshot_path(older), bytes);
  peer.start();
  ASSERT_NE(cluster.await_leader(seconds(10)), nullptr);
  EXPECT_EQ(peer.log().log_start(), newer.offset);
  expect_no_violation(cluster);
}

// The journal holds one MiB: whoever appends has to wait for the segments.
TEST(RaftLogSim, a_full_journal_is_waited_for) {
  RaftCluster cluster(14, 3, 0, defaults());
  cluster.start_all();
  RaftPeer* leader = cluster.await_leader(seconds(10));
  ASSERT_NE(leader, nullptr);
  for (int i = 0; i < 15; ++i) leader->propose(fmt::format("{} {}", i, std::string(100'000, 'x')));
  ASSERT_TRUE(
      cluster.run_until([&] { return cluster.ledger().acknowledged() >= 15; }, seconds(60)));
  EXPECT_TRUE(cluster.await_agreement(seconds(20)));
  EXPECT_EQ(leader->proposals_lost(), 0u);
  expect_no_violation(cluster);
}

TEST(RaftLogSim, leadership_is_handed_to_whom_it_is_meant_for) {
  RaftCluster cluster(9, 3, 0, defaults());
  cluster.start_all();
  RaftPeer* leader = cluster.await_leader(seconds(10));
  ASSERT_NE(leader, nullptr);
  RaftPeer& next = cluster.peer(cluster.peer(2).is_leader() ? 0 : 2);
  Outcome moved;
  leader->scope().spawn(ask_for_transfer(leader->log(), leader->id(), next.id(), moved));
  ASSERT_TRUE(
      cluster.run_until([&] { return moved.error.has_value() && next.is_leader(); }, seconds(5)));
  EXPECT_EQ(*moved.error, 0);
  EXPECT_TRUE(cluster.commit("after", seconds(5)));
  expect_no_violation(cluster);
}

TEST(RaftLogSim, a_static_quorum_keeps_its_voters) {
  RaftCluster cluster(10, 3, 1, with_static_voters({}, 3));  // and one that only looks on
  cluster.start_all();
  RaftPeer* leader = cluster.await_leader(seconds(10));
  ASSERT_NE(leader, nullptr);
  ASSERT_TRUE(cluster.commit("first", seconds(5)));
  EXPECT_TRUE(cluster.await_agreement(seconds(5)));
  EXPECT_EQ(leader->log().kraft_version(), 0);
  EXPECT_EQ(leader->log().status().observers.size(), 1u);
  // Its voters cannot be changed.
  Outcome added;
  leader->scope().spawn(add_voter(leader->log(), 4, cluster.peer(3).directory_id(),
                                  cluster.peer(3).node().host(), added));
  ASSERT_TRUE(cluster.run_until([&] { return added.error.has_value(); }, seconds(5)));
  EXPECT_EQ(*added.error, static_cast<std::int16_t>(raft::ErrorCode::unsupported_version));
  // A static quorum knows no directories; the successor knows that it is meant.
  leader->node().stop();
  const Instant asked = cluster.world().now();
  ASSERT_TRUE(cluster.run_until(
      [&] { return cluster.leader() != nullptr && cluster.leader() != leader; }, seconds(10)));
  EXPECT_LT((cluster.world().now() - asked).ns, milliseconds(50).ns);
  for (std::size_t i = 0; i < 4; ++i) {
    if (cluster.peer(i).node().is_running()) cluster.peer(i).node().power_cut();
  }
  cluster.start_all();
  ASSERT_TRUE(cluster.commit("second", seconds(20)));
  EXPECT_TRUE(cluster.await_agreement(seconds(5)));
  expect_no_violation(cluster);
}

io::Task<void> update_voter(raft::RaftLog& log, NodeId id, Uuid directory, Outcome& outcome) {
  protocol::UpdateRaftVoterRequest request;
  request.cluster_id = std::nullopt;
  request.current_leader_epoch = log.epoch();
  request.voter_id = id;
  request.voter_directory_id = directory;
  request.listeners.push_back({"CONTROLLER", "elsewhere", kRaftPort});
  request.kraft_version_feature = {0, 1};
  outcome.error = (co_await log.update_raft_voter(request, 0)).message.error_code;
}

io::Task<void> upgrade(raft::RaftLog& log, Outcome& outcome) {
  const Result<Offset> end = co_await log.upgrade_kraft_version(1);
  outcome.message = end ? "" : end.error().context;
  outcome.error = end ? 0 : 1;
}

TEST(RaftLogSim, a_static_quorum_is_upgraded_and_gets_a_voter) {
  RaftCluster cluster(16, 3, 1, with_static_voters({}, 3));
  cluster.start_all();
  RaftPeer* leader = cluster.await_leader(seconds(10));
  ASSERT_NE(leader, nullptr);
  ASSERT_TRUE(cluster.commit("first", seconds(5)));
  // Nobody has said which levels it speaks, nor which disk it has.
  const Result<void> early = leader->log().may_upgrade_kraft_version(1);
  ASSERT_FALSE(early.has_value());
  EXPECT_EQ(early.error().context,
            fmt::format("Invalid upgrade of kraft.version to KRAFT_VERSION_1 because not all of "
                        "the voters support it: node {} has not told this leader yet that it does. "
                        "Voters tell a new leader within seconds: try again",
                        leader->id() == 1 ? 2 : 1));
  EXPECT_EQ(leader->log().may_upgrade_kraft_version(2).error().context,
            "Invalid upgrade of kraft.version from version KRAFT_VERSION_0 to KRAFT_VERSION_2");
  EXPECT_TRUE(cluster.run_until(
      [&] { return leader->log().may_upgrade_kraft_version(1).has_value(); }, seconds(5)));
  EXPECT_EQ(leader->log().kraft_version(), 0) << "that was only asked";
  Outcome told;
  leader->scope().spawn(update_voter(leader->log(), leader->id(), Uuid{9, 9}, told));
  ASSERT_TRUE(cluster.run_until([&] { return told.error.has_value(); }, seconds(5)));
  EXPECT_EQ(*told.error, static_cast<std::int16_t>(raft::ErrorCode::invalid_request))
      << "nobody tells a leader what it is";
  Outcome upgraded;
  leader->scope().spawn(upgrade(leader->log(), upgraded));
  leader->propose("at the same time");
  ASSERT_TRUE(cluster.run_until([&] { return upgraded.error.has_value(); }, seconds(5)));
  EXPECT_EQ(upgraded.message, "");
  ASSERT_TRUE(cluster.commit("second", seconds(5)));
  EXPECT_TRUE(cluster.await_agreement(seconds(5)));
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(cluster.peer(i).log().kraft_version(), 1) << i;
    const std::vector<raft::Voter>& voters = cluster.peer(i).log().voters();
    ASSERT_EQ(voters.size(), 3u) << i;
    for (std::size_t j = 0; j < 3; ++j) {
      EXPECT_EQ(voters[j].directory_id, cluster.peer(j).directory_id());
      EXPECT_EQ(voters[j].endpoints.front().host, cluster.peer(j).node().host());
      EXPECT_EQ(voters[j].kraft_version_max, 1);
    }
  }
  RaftPeer& joins = cluster.peer(3);
  Outcome added;
  leader->scope().spawn(
      add_voter(leader->log(), joins.id(), joins.directory_id(), joins.node().host(), added));
  ASSERT_TRUE(cluster.run_until([&] { return added.error.has_value(); }, seconds(10)));
  EXPECT_EQ(*added.error, 0) << added.message;
  // It is what the log says now, whatever the configuration does, also from a snapshot.
  leader->snapshot();
  cluster.world().run_for(milliseconds(100));
  for (std::size_t i = 0; i < 4; ++i) cluster.peer(i).node().power_cut();
  cluster.start_all();
  ASSERT_TRUE(cluster.commit("third", seconds(20)));
  EXPECT_TRUE(cluster.await_agreement(seconds(5)));
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(cluster.peer(i).log().kraft_version(), 1) << i;
    EXPECT_EQ(cluster.peer(i).log().voters().size(), 4u) << i;
  }
  expect_no_violation(cluster);
}

TEST(RaftLogSim, an_upgrade_that_nobody_else_has_is_undone) {
  RaftCluster cluster(17, 3, 0, with_static_voters({}, 3));
  cluster.start_all();
  RaftPeer* leader = cluster.await_leader(seconds(10));
  ASSERT_NE(leader, nullptr);
  ASSERT_TRUE(cluster.run_until(
      [&] { return leader->log().may_upgrade_kraft_version(1).has_value(); }, seconds(5)));
  for (std::size_t i = 0; i < 3; ++i) {
    if (&cluster.peer(i) == leader) continue;
    cluster.world().network().block(leader->node(), cluster.peer(i).node());
    cluster.world().network().block(cluster.peer(i).node(), leader->node());
  }
  Outcome upgraded;
  leader->scope().spawn(upgrade(leader->log(), upgraded));
  cluster.world().run_for(milliseconds(10));
  EXPECT_EQ(leader->log().kraft_version(), 1);
  ASSERT_TRUE(cluster.run_until(
      [&] { return cluster.leader() != nullptr && cluster.leader() != leader; }, seconds(20)));
  ASSERT_TRUE(cluster.commit("without it", seconds(10)));
  cluster.world().network().unblock_all();
  ASSERT_TRUE(cluster.run_until([&] { return upgraded.error.has_value(); }, seconds(10)));
  EXPECT_EQ(*upgraded.error, 1);
  ASSERT_TRUE(cluster.commit("with it", seconds(10)));
  EXPECT_TRUE(cluster.await_agreement(seconds(20)));
  EXPECT_EQ(leader->log().kraft_version(), 0);
  EXPECT_TRUE(leader->log().voters().front().directory_id.is_zero());
  // The new leader is told all the same what its voters are.
  EXPECT_TRUE(cluster.run_until(
      [&] { return cluster.leader()->log().may_upgrade_kraft_version(1).has_value(); },
      seconds(10)));
  expect_no_violation(cluster);
}

TEST(RaftLogSim, a_leader_whose_disk_hangs_is_replaced) {
  RaftCluster cluster(11, 3, 0, defaults());
  cluster.start_all();
  RaftPeer* leader = cluster.await_leader(seconds(10));
  ASSERT_NE(leader, nullptr);
  ASSERT_TRUE(cluster.commit("first", seconds(5)));
  io::sim::DiskOptions& disk = leader->node().disk().options();
  disk.stall_one_in = 1;
  disk.stall_delay = {seconds(1000), seconds(1001)};
  leader->propose("hangs");
  ASSERT_TRUE(cluster.run_until(
      [&] { return cluster.leader() != nullptr && cluster.leader() != leader; }, seconds(10)));
  EXPECT_TRUE(cluster.commit("goes on", seconds(10)));
  expect_no_violation(cluster);
}

// Its journal takes what it is given at once, and all of that is on the disk; but no segment does,
// so that nothing more is taken in.
TEST(RaftLogSim, a_leader_without_room_for_more_is_replaced) {
  RaftCluster cluster(15, 3, 0, defaults());
  for (std::size_t i = 0; i < cluster.size(); ++i)
    cluster.peer(i).options().tail_bytes_max = 64 << 10;
  cluster.start_all();
  RaftPeer* leader = cluster.await_leader(seconds(10));
  ASSERT_NE(leader, nullptr);
  ASSERT_TRUE(cluster.commit("first", seconds(5)));
  io::sim::Disk& disk = leader->node().disk();
  disk.options().capacity_bytes -= disk.free_space().available;
  for (int i = 0; i < 40; ++i) {
    leader->propose(fmt::format("{} {}", i, std::string(4000, 'x')));
    cluster.world().run_for(milliseconds(5));
  }
  ASSERT_TRUE(cluster.run_until(
      [&] { return cluster.leader() != nullptr && cluster.leader() != leader; }, seconds(20)));
  EXPECT_TRUE(cluster.commit("goes on", seconds(10)));
  expect_no_violation(cluster);
}

// --- Changes of voters

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

// Consensus may have a new leader that still gives its listener what is older: what changes then
// comes to the listener like all else.
TEST(RaftLogSim, voters_may_change_before_the_listener_knows_that_it_leads) {
  RaftCluster cluster(18, 4, 0, defaults());
  cluster.start_all();
  ASSERT_NE(cluster.await_leader(seconds(10)), nullptr);
  for (int i = 0; i < 3000; ++i)
    cluster.leader()->propose(fmt::format("{} {}", i, std::string(2000, 'x')));
  ASSERT_TRUE(cluster.commit("behind it", seconds(10)));
  ASSERT_TRUE(cluster.await_agreement(seconds(10)));
  for (std::size_t i = 0; i < 4; ++i) cluster.peer(i).node().power_cut();
  cluster.start_all();
  std::size_t next = 4;
  auto has_leader = [&] {
    for (std::size_t i = 0; i < 4; ++i) {
      if (!cluster.peer(i).is_running()) continue;
      raft::RaftLog& log = cluster.peer(i).log();
      const std::optional<raft::Voter> leader = log.leader_node();
      if (leader && leader->id == cluster.peer(i).id() && log.high_watermark() >= 0) next = i;
    }
    return next < 4;
  };
  ASSERT_TRUE(cluster.run_until(has_leader, seconds(20)));
  RaftPeer& leader = cluster.peer(next);
  RaftPeer& leaves = cluster.peer((next + 1) % 4);
  RaftPeer& other = cluster.peer((next + 2) % 4);
  // It is committed when the listener does know.
  for (std::size_t i = 0; i < 4; ++i) {
    if (i == next) continue;
    cluster.world().network().block(leader.node(), cluster.peer(i).node());
    cluster.world().network().block(cluster.peer(i).node(), leader.node());
  }
  Outcome removed;
  leader.scope().spawn(remove_voter(leader.log(), leaves.id(), leaves.directory_id(), removed));
  EXPECT_TRUE(cluster.run_until([&] { return leader.log().voters().size() == 3; }, seconds(1)));
  EXPECT_FALSE(leader.is_leader()) << "the listener does not know it yet";
  EXPECT_TRUE(cluster.run_until([&] { return leader.is_leader(); }, seconds(1)));
  cluster.world().network().unblock_all();
  ASSERT_TRUE(cluster.run_until([&] { return removed.error.has_value(); }, seconds(10)));
  EXPECT_EQ(*removed.error, 0);
  ASSERT_TRUE(cluster.commit("with three", seconds(10)));
  EXPECT_TRUE(cluster.await_agreement(seconds(10)));
  EXPECT_EQ(leader.controls(), other.controls());
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

TEST(RaftLogSim, a_voter_that_has_moved_says_so) {
  RaftCluster cluster(12, 3, 0, defaults());
  cluster.start_all();
  ASSERT_NE(cluster.await_leader(seconds(10)), nullptr);
  ASSERT_TRUE(cluster.commit("first", seconds(5)));
  RaftPeer& moved = cluster.peer(cluster.peer(0).is_leader() ? 1 : 0);
  moved.node().kill();
  moved.options().raft.endpoint = {"CONTROLLER", moved.node().host(), kRaftPort + 1};
  moved.start();
  ASSERT_TRUE(cluster.run_until(
      [&] {
        RaftPeer* leader = cluster.leader();
        if (leader == nullptr) return false;
        for (const raft::Voter& voter : leader->log().voters()) {
          if (voter.id == moved.id() && voter.endpoints.front().port == kRaftPort + 1) return true;
        }
        return false;
      },
      seconds(20)));
  ASSERT_TRUE(cluster.commit("second", seconds(5)));
  EXPECT_TRUE(cluster.await_agreement(seconds(5)));
  EXPECT_EQ(moved.log().voters(), cluster.leader()->log().voters());
  expect_no_violation(cluster);
}

// --- Others

// As Kafka before 4.0: asked whether it would vote, it has nothing to say.
TEST(RaftLogSim, voters_that_know_no_pre_vote_elect_a_leader) {
  RaftCluster cluster(18, 3, 0, defaults());
  for (std::size_t i = 0; i < 3; ++i) cluster.peer(i).options().vote_version_max = 1;
  cluster.start_all();
  RaftPeer* leader = cluster.await_leader(seconds(10));
  ASSERT_NE(leader, nullptr);
  ASSERT_TRUE(cluster.commit("first", seconds(5)));
  // Of three versions: one voter knows it now.
  RaftPeer& newer = cluster.peer(cluster.peer(0).is_leader() ? 1 : 0);
  newer.node().kill();
  newer.options().vote_version_max = 2;
  newer.start();
  ASSERT_TRUE(cluster.commit("second", seconds(5)));
  leader->node().kill();
  ASSERT_TRUE(cluster.run_until([&] { return cluster.leader() != nullptr; }, seconds(10)));
  ASSERT_TRUE(cluster.commit("third", seconds(5)));
  expect_no_violation(cluster);
}

TEST(RaftLogSim, a_stop_does_not_wait_for_who_does_not_say_what_it_speaks) {
  RaftCluster cluster(19, 3, 1, defaults());
  cluster.start_all();
  RaftPeer* leader = cluster.await_leader(seconds(10));
  ASSERT_NE(leader, nullptr);
  ASSERT_TRUE(cluster.commit("first", seconds(5)));
  RaftPeer& joins = cluster.peer(3);
  ASSERT_TRUE(cluster.await_agreement(seconds(10)));
  cluster.world().run_for(milliseconds(100));
  // It takes the connection in, and then nothing comes.
  joins.node().pause();
  Outcome added;
  leader->scope().spawn(
      add_voter(leader->log(), joins.id(), joins.directory_id(), joins.node().host(), added));
  cluster.world().run_for(milliseconds(100));
  ASSERT_FALSE(added.error.has_value());
  leader->scope().spawn(stop_log(leader->log()));
  const Instant asked = cluster.world().now();
  ASSERT_TRUE(cluster.run_until([&] { return added.error.has_value(); }, seconds(20)));
  EXPECT_LT((cluster.world().now() - asked).ns, milliseconds(500).ns);
  EXPECT_EQ(*added.error, static_cast<std::int16_t>(raft::ErrorCode::request_timed_out));
}

// Timeouts have to be long against a flush and a round. Somebody is told when they are not.
TEST(RaftLogSim, a_commit_that_takes_more_than_half_a_fetch_timeout_is_told) {
  RaftCluster cluster(22, 3, 0, defaults());
  cluster.start_all();
  ASSERT_NE(cluster.await_leader(seconds(10)), nullptr);
  ASSERT_TRUE(cluster.commit("first", seconds(5)));
  const auto told_of = [&](std::string value, io::sim::Delay delay) {
    for (std::size_t i = 0; i < cluster.size(); ++i)
      cluster.peer(i).node().disk().options().device_delay = delay;
    ::testing::internal::CaptureStderr();
    EXPECT_TRUE(cluster.commit(std::move(value), seconds(5)));
    const std::string told = ::testing::internal::GetCapturedStderr();
    return told.find("took more than half a fetch timeout") != std::string::npos;
  };
  EXPECT_FALSE(told_of("slow", {milliseconds(300), milliseconds(301)}));
  EXPECT_TRUE(told_of("too slow", {milliseconds(1200), milliseconds(1201)}));
  EXPECT_FALSE(told_of("again", {milliseconds(1200), milliseconds(1201)})) << "now and then";
  expect_no_violation(cluster);
}

// It says where the leader is, and is not believed: nor is the address that it gives.
TEST(RaftLogSim, an_address_from_who_is_not_the_leader_does_not_count) {
  RaftCluster cluster(20, 3, 0, defaults());
  cluster.start_all();
  RaftPeer* leader = cluster.await_leader(seconds(10));
  ASSERT_NE(leader, nullptr);
  ASSERT_TRUE(cluster.commit("first", seconds(5)));
  RaftPeer& follower = cluster.peer(cluster.peer(0).is_leader() ? 1 : 0);
  ASSERT_TRUE(cluster.await_agreement(seconds(10)));
  const NodeId third = 6 - leader->id() - follower.id();
  Outcome said;
  const auto claim = [&](LeaderEpoch epoch, NodeId id, std::string host) {
    said = {};
    follower.scope().spawn(claim_leadership(follower.log(), epoch, id, std::move(host), said));
    EXPECT_TRUE(cluster.run_until([&] { return said.error.has_value(); }, seconds(5)));
    return said.error.value_or(-2);
  };
  const LeaderEpoch epoch = follower.log().epoch();
  EXPECT_EQ(claim(epoch, leader->id(), "10.9.9.9"), 0);
  const std::optional<raft::Voter> known = follower.log().leader_node();
  ASSERT_TRUE(known.has_value());
  EXPECT_EQ(known->endpoints.front().host, "10.9.9.9");
  EXPECT_NE(claim(epoch, third, "10.8.8.8"), 0) << "of this epoch, but not its leader";
  EXPECT_EQ(follower.log().leader_node(), known);
  EXPECT_NE(claim(epoch - 1, leader->id(), "10.8.8.8"), 0) << "of an older epoch";
  EXPECT_EQ(follower.log().leader_node(), known);
}

}  // namespace
}  // namespace drave::simulation
