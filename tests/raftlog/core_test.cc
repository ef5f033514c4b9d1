#include "raftlog/core/core.h"

#include <vector>

#include "gtest/gtest.h"
#include "raftlog/core/features.h"

namespace drave::raft {
namespace {

const ReplicaKey kSelf{1, {1, 1}};
const ReplicaKey kSecond{2, {2, 2}};
const ReplicaKey kThird{3, {3, 3}};

// Does what the core asks, as a driver whose disk works.
void persist_all(Core& core) {
  for (Effects effects = core.effects(); effects.persist.has_value(); effects = core.effects())
    core.persisted(*effects.persist);
}

Core alone() {
  return Core(kSelf, {kSelf});
}

TEST(RaftCore, alone_it_leads_after_its_vote_is_durable_and_not_before) {
  Core core = alone();
  core.start({}, {0, -1});
  EXPECT_EQ(core.role(), Role::unattached);
  core.campaign();
  EXPECT_EQ(core.role(), Role::candidate);
  const Effects first = core.effects();
  ASSERT_TRUE(first.persist.has_value());
  EXPECT_EQ(first.persist->epoch, 1);
  EXPECT_EQ(first.persist->voted, kSelf);
  EXPECT_FALSE(first.begin_epoch);
  core.persisted(*first.persist);
  EXPECT_TRUE(core.is_leader());
  // No byte of the epoch before the leader's own state is durable.
  Effects second = core.effects();
  ASSERT_TRUE(second.persist.has_value());
  EXPECT_EQ(second.persist->leader, 1);
  EXPECT_FALSE(second.begin_epoch);
  core.persisted(*second.persist);
  EXPECT_TRUE(core.effects().begin_epoch);
}

TEST(RaftCore, alone_it_commits_only_what_it_has_flushed) {
  Core core = alone();
  core.start({}, {0, -1});
  core.campaign();
  core.persisted(*core.effects().persist);
  core.persisted(*core.effects().persist);
  core.appended(3);
  EXPECT_EQ(core.high_watermark(), -1);
  core.flushed(3);
  EXPECT_EQ(core.high_watermark(), 3);
  EXPECT_TRUE(core.effects().high_watermark_moved);
  core.appended(9);
  EXPECT_EQ(core.high_watermark(), 3);
  core.flushed(5);
  EXPECT_EQ(core.high_watermark(), 5);
  core.flushed(4);
  EXPECT_EQ(core.high_watermark(), 5);
}

TEST(RaftCore, a_restarted_leader_neither_leads_nor_votes_in_its_epoch) {
  Core core(kSelf, {kSelf, kSecond, kThird});
  core.start({4, 1, std::nullopt}, {10, 4});
  EXPECT_EQ(core.role(), Role::resigned);
  EXPECT_FALSE(core.vote_requested({4, kSecond, {100, 4}}).granted);
  EXPECT_EQ(core.epoch(), 4);
  core.campaign();
  EXPECT_EQ(core.epoch(), 5);
}

TEST(RaftCore, a_vote_is_cast_once_in_an_epoch_and_again_for_the_same) {
  Core core(kSelf, {kSelf, kSecond, kThird});
  core.start({}, {0, -1});
  EXPECT_TRUE(core.vote_requested({1, kSecond, {0, -1}}).granted);
  const Effects effects = core.effects();
  ASSERT_TRUE(effects.persist.has_value());
  EXPECT_EQ(effects.persist->voted, kSecond);
  EXPECT_EQ(effects.persist->epoch, 1);
  core.persisted(*effects.persist);
  EXPECT_FALSE(core.vote_requested({1, kThird, {50, 0}}).granted);
  EXPECT_TRUE(core.vote_requested({1, kSecond, {0, -1}}).granted);
  // A restart does not forget it.
  Core again(kSelf, {kSelf, kSecond, kThird});
  again.start(core.state(), {0, -1});
  EXPECT_FALSE(again.vote_requested({1, kThird, {50, 0}}).granted);
}

TEST(RaftCore, votes_go_to_logs_that_are_at_least_as_long_epoch_first) {
  struct Case {
    OffsetAndEpoch mine, theirs;
    bool granted;
  };
  for (const Case& each : std::vector<Case>{{{10, 3}, {10, 3}, true},
                                            {{10, 3}, {9, 3}, false},
                                            {{10, 3}, {5, 4}, true},
                                            {{10, 3}, {99, 2}, false}}) {
    Core core(kSelf, {kSelf, kSecond, kThird});
    core.start({3, -1, std::nullopt}, each.mine);
    EXPECT_EQ(core.vote_requested({8, kSecond, each.theirs}).granted, each.granted);
    EXPECT_EQ(core.epoch(), 8);
  }
}

TEST(RaftCore, an_older_epoch_is_refused_with_the_own_one) {
  Core core(kSelf, {kSelf, kSecond, kThird});
  core.start({7, -1, std::nullopt}, {0, -1});
  const VoteReply reply = core.vote_requested({6, kSecond, {100, 6}});
  EXPECT_FALSE(reply.granted);
  EXPECT_EQ(reply.epoch, 7);
  EXPECT_FALSE(core.effects().persist.has_value());
}

TEST(RaftCore, a_newer_epoch_unseats_a_leader) {
  Core core = alone();
  core.start({}, {0, -1});
  core.campaign();
  persist_all(core);
  ASSERT_TRUE(core.is_leader());
  core.vote_requested({9, kSecond, {100, 8}});
  EXPECT_FALSE(core.is_leader());
  EXPECT_EQ(core.high_watermark(), -1);
  EXPECT_EQ(core.epoch(), 9);
}

TEST(RaftCore, entries_of_older_epochs_are_not_committed_by_counting) {
  Core core(kSelf, {kSelf, kSecond, kThird});
  core.start({1, -1, std::nullopt}, {10, 1});
  core.campaign();
  core.persisted(*core.effects().persist);
  EXPECT_FALSE(core.is_leader());
  core.vote_granted(kSecond, core.epoch());
  ASSERT_TRUE(core.is_leader());
  persist_all(core);
  core.appended(11);
  // A majority has everything of the older epoch, and not the new leader's first record.
  core.fetched(kSecond, 10);
  core.fetched(kThird, 10);
  EXPECT_EQ(core.high_watermark(), -1);
  core.fetched(kSecond, 11);
  EXPECT_EQ(core.high_watermark(), -1) << "the leader has not flushed, one of three does not do";
  core.flushed(11);
  EXPECT_EQ(core.high_watermark(), 11);
}

TEST(RaftCore, a_majority_commits_without_the_leaders_own_disk) {
  Core core(kSelf, {kSelf, kSecond, kThird});
  core.start({}, {0, -1});
  core.campaign();
  core.persisted(*core.effects().persist);
  core.vote_granted(kThird, 1);
  persist_all(core);
  core.appended(4);
  core.fetched(kSecond, 4);
  core.fetched(kThird, 4);
  EXPECT_EQ(core.high_watermark(), 4);
}

TEST(RaftCore, votes_of_strangers_and_of_older_epochs_do_not_count) {
  Core core(kSelf, {kSelf, kSecond, kThird});
  core.start({5, -1, std::nullopt}, {0, -1});
  core.campaign();
  persist_all(core);
  core.vote_granted({9, {9, 9}}, 6);
  core.vote_granted(kSecond, 5);
  core.vote_granted({2, {7, 7}}, 6);  // the same id on another disk
  EXPECT_EQ(core.role(), Role::candidate);
  core.vote_granted(kSecond, 6);
  EXPECT_TRUE(core.is_leader());
}

TEST(RaftCore, a_node_that_is_no_voter_does_not_campaign) {
  Core core(kSelf, {kSecond, kThird});
  core.start({}, {0, -1});
  core.campaign();
  EXPECT_EQ(core.role(), Role::unattached);
  EXPECT_FALSE(core.effects().persist.has_value());
}

TEST(RaftCore, the_log_tells_the_epoch_when_the_file_was_lost) {
  Core core = alone();
  core.start({}, {10, 6});
  EXPECT_EQ(core.epoch(), 6);
  core.campaign();
  EXPECT_EQ(core.epoch(), 7);
}

TEST(RaftCore, after_resigning_nothing_is_committed) {
  Core core = alone();
  core.start({}, {0, -1});
  core.campaign();
  persist_all(core);
  core.appended(2);
  core.resign();
  core.flushed(2);
  EXPECT_EQ(core.high_watermark(), -1);
  EXPECT_EQ(core.role(), Role::resigned);
}

TEST(RaftFeatures, releases_and_levels) {
  EXPECT_EQ(metadata_version_level("4.3"), 30);
  EXPECT_EQ(metadata_version_level("3.9"), 21);
  EXPECT_EQ(metadata_version_level("3.7-IV2"), 17);
  EXPECT_FALSE(metadata_version_level("2.8").has_value());
  EXPECT_EQ(default_levels(21).size(), 2u);
  EXPECT_EQ(default_levels(30).size(), 7u);
  EXPECT_FALSE(check_levels({{"metadata.version", 22}, {"eligible.leader.replicas.version", 1}}));
  EXPECT_FALSE(check_levels({{"metadata.version", 31}}));
  EXPECT_FALSE(check_levels({{"no.such", 1}}));
}

}  // namespace
}  // namespace drave::raft
