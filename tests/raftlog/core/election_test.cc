// Who leads: section 5.2 and 5.4.1 of the Raft paper, Kafka's KIP-595, 853 and 996.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/raftlog/core/unit.h"

namespace drave::raft {
namespace {

using testing::kFourth;
using testing::kSecond;
using testing::kSelf;
using testing::kThird;
using testing::kThree;
using testing::Unit;

TEST(RaftElection, alone_it_leads_after_its_vote_is_durable_and_not_before) {
  Unit unit({kSelf});
  unit.step(CampaignNow{});
  EXPECT_EQ(unit.core().role(), Role::candidate);
  ASSERT_TRUE(unit.to_save().has_value());
  EXPECT_EQ(unit.to_save()->state, (ElectionState{1, -1, kSelf}));
  EXPECT_FALSE(unit.effects().append.has_value());
  unit.step(StateSaved{unit.to_save()->version});
  EXPECT_TRUE(unit.core().is_leader());
  // That it leads is written down, too, but nothing waits for it: the vote says enough.
  EXPECT_EQ(unit.to_save()->state, (ElectionState{1, 1, std::nullopt}));
  ASSERT_TRUE(unit.effects().append.has_value());
  EXPECT_TRUE(unit.effects().append->begins_epoch);
}

TEST(RaftElection, a_follower_asks_only_after_its_timeout_and_first_whether_it_would_win) {
  Unit unit;
  unit.follow(kSecond, 1);
  const Instant from = unit.now();
  unit.wait_while(Role::follower);
  EXPECT_GE(unit.now() - from, seconds(2));
  EXPECT_LT(unit.now() - from, seconds(4));
  EXPECT_EQ(unit.core().role(), Role::prospective);
  EXPECT_EQ(unit.core().epoch(), 1) << "a question takes no epoch";
  EXPECT_FALSE(unit.effects().save.has_value());
  ASSERT_EQ(unit.sent<VoteRequest>().size(), 2u);
  unit.grant(kThird);
  EXPECT_EQ(unit.core().role(), Role::candidate);
  EXPECT_EQ(unit.core().epoch(), 2);
  EXPECT_TRUE(unit.sent<VoteRequest>().empty()) << "its own vote is not durable yet";
  unit.settle();
  EXPECT_EQ(unit.sent<VoteRequest>().size(), 2u);
  unit.grant(kThird);
  EXPECT_TRUE(unit.core().is_leader());
}

TEST(RaftElection, timeouts_are_drawn_anew_each_time) {
  Unit unit;
  std::vector<std::int64_t> spans;
  for (int i = 0; i < 20; ++i) {
    const Instant from = unit.now();
    unit.follow(kSecond, i + 1);
    unit.wait_while(Role::follower);
    spans.push_back((unit.now() - from).ns);
    unit.ask<EpochReply>(BeginEpochRequest{i + 2, kThird.id, kSelf});
  }
  std::sort(spans.begin(), spans.end());
  EXPECT_EQ(std::unique(spans.begin(), spans.end()), spans.end());
}

TEST(RaftElection, a_pre_vote_changes_nothing_at_the_voter_of_a_live_leader) {
  Unit unit;
  unit.follow(kSecond, 3);
  const VoteReply reply = unit.vote(3, kThird, {100, 3}, true);
  EXPECT_FALSE(reply.granted);
  EXPECT_EQ(reply.leader, kSecond.id);
  EXPECT_FALSE(unit.vote(9, kThird, {100, 8}, true).granted);
  EXPECT_EQ(unit.core().epoch(), 3);
  EXPECT_EQ(unit.core().role(), Role::follower);
}

TEST(RaftElection, a_real_vote_of_a_newer_epoch_is_refused_while_the_leader_is_heard) {
  Unit unit;
  unit.follow(kSecond, 3);
  EXPECT_FALSE(unit.vote(4, kThird, {100, 3}).granted);
  EXPECT_EQ(unit.core().epoch(), 3);
  // A leader that was not heard for a fetch timeout protects nobody, though it is followed still.
  unit.pass(seconds(2) - milliseconds(1));
  EXPECT_FALSE(unit.vote(4, kThird, {100, 3}).granted);
  unit.pass(milliseconds(1));
  EXPECT_EQ(unit.core().role(), Role::follower);
  EXPECT_TRUE(unit.vote(4, kThird, {100, 3}).granted);
}

TEST(RaftElection, a_leader_that_is_no_voter_here_is_followed_all_the_same) {
  Unit unit;
  unit.follow(kFourth, 1);
  EXPECT_EQ(unit.core().role(), Role::follower);
  EXPECT_EQ(unit.last_fetch().to, kFourth.id);
}

TEST(RaftElection, a_leader_is_not_unseated_by_a_vote_but_by_any_newer_epoch_that_is) {
  Unit unit({kSelf, kSecond, kThird});
  unit.lead();
  EXPECT_FALSE(unit.vote(9, kThird, {100, 8}).granted);
  EXPECT_TRUE(unit.core().is_leader());
  unit.ask<EpochReply>(BeginEpochRequest{9, kThird.id, kSelf});
  EXPECT_EQ(unit.core().role(), Role::follower);
  EXPECT_EQ(unit.core().epoch(), 9);
}

// A voter that was removed while it was a candidate: nobody makes the leader known to it.
TEST(RaftElection, a_leader_that_is_behind_somebodys_epoch_leads_on_in_a_newer_one) {
  Unit unit;
  unit.lead();
  unit.flush();
  EXPECT_FALSE(unit.fetch(kFourth, 0, 0, 5).has_value()) << "its new epoch is not durable yet";
  EXPECT_EQ(unit.core().role(), Role::candidate);
  EXPECT_EQ(unit.core().epoch(), 6);
  // Its followers protect it from others, not from itself.
  Unit follower;
  follower.follow(kSecond, 1);
  EXPECT_FALSE(follower.vote(6, kThird, {0, 0}).granted);
  EXPECT_TRUE(follower.vote(6, kSecond, {0, 0}).granted);
}

TEST(RaftElection, only_a_replica_of_a_plausible_epoch_makes_the_leader_go_on_in_a_newer_one) {
  Unit unit;
  unit.lead();
  unit.flush();
  unit.fetch(kSecond, 1, 1);
  const LeaderEpoch epoch = unit.core().epoch();
  const auto error = [&](const ReplicaKey& replica, LeaderEpoch of) {
    return unit.fetch(replica, 1, 1, of)->error;
  };
  EXPECT_EQ(error({-1, {}}, epoch + 1), ErrorCode::invalid_request) << "a consumer";
  EXPECT_EQ(error(kSelf, epoch + 1), ErrorCode::invalid_request);
  EXPECT_EQ(error(kFourth, kEpochMax + 1), ErrorCode::invalid_request);
  EXPECT_EQ(error(kFourth, epoch + kEpochLeapMax + 1), ErrorCode::unknown_leader_epoch);
  EXPECT_TRUE(unit.core().is_leader());
  EXPECT_EQ(unit.core().epoch(), epoch);
  unit.step(RequestReceived{900, FetchRequest{epoch + 3, kFourth, 1, 1, INT64_MAX, Duration{}}});
  EXPECT_EQ(unit.core().role(), Role::candidate);
  EXPECT_EQ(unit.core().epoch(), epoch + 4);
}

TEST(RaftElection, nobody_is_believed_an_epoch_that_none_could_follow) {
  constexpr LeaderEpoch kNone = kEpochMax + 1;
  Unit unit;
  unit.follow(kSecond, 3);
  EXPECT_EQ(unit.ask<VoteReply>(VoteRequest{kNone, kThird, kSelf, {9, 3}, false})->error,
            ErrorCode::invalid_request);
  EXPECT_EQ(unit.ask<EpochReply>(BeginEpochRequest{kNone, kThird.id, kSelf})->error,
            ErrorCode::invalid_request);
  EXPECT_EQ(unit.ask<EpochReply>(EndEpochRequest{kNone, kThird.id, {kSelf}})->error,
            ErrorCode::invalid_request);
  FetchReply reply;
  reply.error = ErrorCode::fenced_leader_epoch;
  reply.epoch = kNone;
  unit.step(ReplyReceived{kSecond.id, unit.last_fetch().id, reply});
  EXPECT_EQ(unit.core().epoch(), 3);
  EXPECT_EQ(unit.core().leader(), kSecond.id);
}

TEST(RaftElection, who_is_not_asked_is_not_believed_an_epoch_far_ahead) {
  constexpr LeaderEpoch kFar = 3 + kEpochLeapMax + 1;
  Unit unit;
  unit.follow(kSecond, 3);
  unit.step(RequestFailed{kSecond.id, unit.last_fetch().id});  // it defends its leader no more
  EXPECT_EQ(unit.ask<VoteReply>(VoteRequest{kFar, kThird, kSelf, {9, 3}, false})->error,
            ErrorCode::invalid_request);
  EXPECT_EQ(unit.ask<VoteReply>(VoteRequest{kFar, kThird, kSelf, {9, 3}, true})->error,
            ErrorCode::invalid_request);
  EXPECT_EQ(unit.ask<EpochReply>(BeginEpochRequest{kFar, 99, kSelf})->error,
            ErrorCode::invalid_request);
  EXPECT_EQ(unit.ask<EpochReply>(EndEpochRequest{kFar, 99, {kSelf}})->error,
            ErrorCode::invalid_request);
  EXPECT_FALSE(unit.core().would_follow(kFar, 99));
  EXPECT_EQ(unit.core().epoch(), 3);
  // Who was away for so long asks, and is told.
  unit.wait(milliseconds(20));
  FetchReply reply;
  reply.error = ErrorCode::fenced_leader_epoch;
  reply.epoch = kFar;
  reply.leader = kThird.id;
  unit.step(ReplyReceived{kSecond.id, unit.last_fetch().id, reply});
  EXPECT_EQ(unit.core().epoch(), kFar);
  EXPECT_EQ(unit.core().leader(), kThird.id);
}

TEST(RaftElection, an_epoch_less_far_ahead_is_followed) {
  Unit unit;
  unit.follow(kSecond, 3);
  unit.follow(kThird, 3 + kEpochLeapMax);
  EXPECT_EQ(unit.core().epoch(), 3 + kEpochLeapMax);
  EXPECT_EQ(unit.core().leader(), kThird.id);
}

TEST(RaftElection, epochs_end_somewhere) {
  Unit unit(kThree, {INT32_MAX, -1, std::nullopt});
  unit.step(CampaignNow{});
  for (int i = 0; i < 20; ++i) unit.wait(seconds(1));
  EXPECT_EQ(unit.core().role(), Role::unattached);
}

TEST(RaftElection, a_prospect_does_not_defend_the_leader_it_lost) {
  Unit unit;
  unit.follow(kSecond, 1);
  unit.wait_while(Role::follower);
  ASSERT_EQ(unit.core().role(), Role::prospective);
  EXPECT_TRUE(unit.vote(1, kThird, {0, 0}, true).granted);
}

TEST(RaftElection, a_lost_connection_is_a_hint) {
  Unit unit;
  unit.follow(kSecond, 1);
  unit.step(RequestFailed{kSecond.id, unit.last_fetch().id});
  EXPECT_TRUE(unit.vote(1, kThird, {0, 0}, true).granted) << "it would vote for another";
  EXPECT_EQ(unit.core().role(), Role::follower) << "and still follows";
  const Instant from = unit.now();
  while (unit.core().role() == Role::follower) {
    unit.wait();
    unit.step(RequestFailed{kSecond.id, unit.last_fetch().id});
  }
  EXPECT_LT(unit.now() - from, milliseconds(250));
}

TEST(RaftElection, a_vote_leaves_only_when_it_is_durable) {
  Unit unit;
  const auto reply = unit.ask<VoteReply>(VoteRequest{1, kSecond, kSelf, {0, 0}, false});
  EXPECT_FALSE(reply.has_value());
  ASSERT_TRUE(unit.to_save().has_value());
  EXPECT_EQ(unit.to_save()->state, (ElectionState{1, -1, kSecond}));
  unit.step(StateSaved{unit.to_save()->version});
  EXPECT_TRUE(unit.reply<VoteReply>(unit.last_token())->granted);
}

TEST(RaftElection, a_vote_is_cast_once_in_an_epoch_and_again_for_the_same) {
  Unit unit;
  EXPECT_TRUE(unit.vote(1, kSecond, {0, 0}).granted);
  EXPECT_EQ(unit.core().role(), Role::voted);
  EXPECT_FALSE(unit.vote(1, kThird, {50, 0}).granted);
  EXPECT_TRUE(unit.vote(1, kSecond, {0, 0}).granted);
  // A restart does not forget it.
  Unit again(kThree, unit.core().state());
  EXPECT_EQ(again.core().role(), Role::voted);
  EXPECT_FALSE(again.vote(1, kThird, {50, 0}).granted);
}

// How long the node keeps this role, if nothing more comes.
Duration keeps(Unit& unit, Role role) {
  const Instant from = unit.now();
  unit.wait_while(role);
  return unit.now() - from;
}

TEST(RaftElection, a_granted_vote_starts_the_timer_anew_and_a_refused_one_does_not) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    auto make = [seed] {
      Unit unit(Unit::options(seed), kThree, {3, -1, std::nullopt}, 10, {{3, 0}});
      return unit;
    };
    Unit plain = make();
    const Duration whole = keeps(plain, Role::unattached);
    ASSERT_GE(whole, seconds(1));
    const Duration part = whole - milliseconds(10);
    Unit refuses = make();
    refuses.pass(part);
    EXPECT_FALSE(refuses.vote(5, kSecond, {9, 3}).granted) << "of a newer epoch";
    EXPECT_FALSE(refuses.vote(5, kThird, {9, 3}).granted) << "and again, of the own one";
    EXPECT_EQ(keeps(refuses, Role::unattached), milliseconds(10));
    Unit grants = make();
    grants.pass(part);
    EXPECT_TRUE(grants.vote(5, kSecond, {10, 3}).granted);
    EXPECT_GE(keeps(grants, Role::voted), seconds(1));
    // A question starts nothing.
    Unit asked = make();
    asked.pass(part);
    EXPECT_TRUE(asked.vote(3, kSecond, {10, 3}, true).granted);
    EXPECT_EQ(keeps(asked, Role::unattached), milliseconds(10));
  }
}

TEST(RaftElection, only_what_the_leader_answers_starts_the_followers_timer_anew) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    auto follower = [seed] {
      Unit unit(Unit::options(seed), kThree);
      unit.ask<EpochReply>(BeginEpochRequest{1, kSecond.id, kSelf});
      unit.settle();
      return unit;
    };
    Unit plain = follower();
    const Duration whole = keeps(plain, Role::follower);
    EXPECT_GE(whole, seconds(2)) << "a fetch timeout";
    EXPECT_LT(whole, seconds(4));
    const Duration part = whole - milliseconds(10);
    Unit refused = follower();
    const OutgoingRequest asked = refused.last_fetch();
    refused.pass(part);
    FetchReply error;
    error.error = ErrorCode::kafka_storage_error;
    error.epoch = 1;
    error.leader = kSecond.id;
    refused.step(ReplyReceived{kSecond.id, asked.id, error});
    EXPECT_EQ(keeps(refused, Role::follower), milliseconds(10));
    Unit told = follower();
    told.pass(part);
    told.vote(1, kThird, {0, 0}, true);
    told.ask<EpochReply>(BeginEpochRequest{1, kSecond.id, kSelf});
    EXPECT_EQ(keeps(told, Role::follower), milliseconds(10));
    Unit answered = follower();
    const OutgoingRequest fetch = answered.last_fetch();
    answered.pass(milliseconds(900));  // it is asked again after two seconds
    FetchReply empty;
    empty.epoch = 1;
    empty.leader = kSecond.id;
    answered.step(ReplyReceived{kSecond.id, fetch.id, empty});
    EXPECT_GE(keeps(answered, Role::follower), seconds(2));
  }
}

TEST(RaftElection, votes_go_to_logs_that_are_at_least_as_long_epoch_first) {
  for (LeaderEpoch mine = 1; mine <= 3; ++mine) {
    for (LeaderEpoch theirs = 1; theirs <= 3; ++theirs) {
      for (Offset end = 1; end <= 3; ++end) {
        Unit unit(kThree, {3, -1, std::nullopt}, 2, {{mine, 0}});
        const bool longer = theirs != mine ? theirs > mine : end >= 2;
        EXPECT_EQ(unit.vote(8, kSecond, {end, theirs}).granted, longer) << mine << theirs << end;
        EXPECT_EQ(unit.core().epoch(), 8);
        Unit asked(kThree, {3, -1, std::nullopt}, 2, {{mine, 0}});
        EXPECT_EQ(asked.vote(3, kSecond, {end, theirs}, true).granted, longer);
      }
    }
  }
}

TEST(RaftElection, an_older_epoch_is_refused_with_the_own_one) {
  Unit unit(kThree, {7, -1, std::nullopt});
  const VoteReply reply = unit.vote(6, kSecond, {100, 5});
  EXPECT_FALSE(reply.granted);
  EXPECT_EQ(reply.error, ErrorCode::fenced_leader_epoch);
  EXPECT_EQ(reply.epoch, 7);
  EXPECT_EQ(unit.ask<EpochReply>(BeginEpochRequest{6, 2, kSelf})->error,
            ErrorCode::fenced_leader_epoch);
  EXPECT_EQ(unit.ask<EpochReply>(EndEpochRequest{6, 2, {}})->error, ErrorCode::fenced_leader_epoch);
  EXPECT_EQ(unit.fetch(kSecond, 0, 0, 6)->error, ErrorCode::fenced_leader_epoch);
  EXPECT_FALSE(unit.effects().save.has_value());
}

TEST(RaftElection, a_restarted_leader_neither_leads_nor_votes_in_its_epoch) {
  Unit unit(kThree, {4, 1, std::nullopt}, 10, {{4, 0}});
  EXPECT_EQ(unit.core().role(), Role::resigned);
  EXPECT_FALSE(unit.vote(4, kSecond, {100, 3}).granted);
  EXPECT_EQ(unit.core().epoch(), 4);
  unit.wait_while(Role::resigned);
  unit.grant(kSecond);
  EXPECT_EQ(unit.core().epoch(), 5);
}

// Its log may be shorter than it said when it asked; who voted for it then would vote again.
TEST(RaftElection, a_restarted_candidate_does_not_ask_again_in_its_epoch) {
  Unit unit(kThree, {4, -1, kSelf}, 10, {{3, 0}});
  EXPECT_EQ(unit.core().role(), Role::voted);
  while (unit.core().role() == Role::voted) {
    EXPECT_TRUE(unit.sent<VoteRequest>().empty());
    unit.wait();
  }
  unit.grant(kSecond);
  EXPECT_EQ(unit.core().epoch(), 5);
}

TEST(RaftElection, votes_of_strangers_and_of_older_requests_do_not_count) {
  Unit unit(kThree, {5, -1, std::nullopt});
  unit.step(CampaignNow{});
  unit.settle();
  const auto first = unit.sent<VoteRequest>();
  ASSERT_EQ(first.size(), 2u);
  unit.step(ReplyReceived{9, first[0].id, VoteReply{ErrorCode::none, 6, -1, true}});
  // The same id on another disk answers that it is not meant.
  unit.step(ReplyReceived{2, first[0].id, VoteReply{ErrorCode::invalid_voter_key, 6, -1, false}});
  EXPECT_EQ(unit.core().role(), Role::candidate);
  unit.step(CampaignNow{});
  unit.settle();
  EXPECT_EQ(unit.core().epoch(), 7);
  unit.step(ReplyReceived{3, first[1].id, VoteReply{ErrorCode::none, 7, -1, true}});
  EXPECT_EQ(unit.core().role(), Role::candidate) << "of an earlier campaign";
  unit.grant(kThird);
  EXPECT_TRUE(unit.core().is_leader());
}

TEST(RaftElection, two_voters_need_both) {
  Unit unit({kSelf, kSecond});
  unit.step(CampaignNow{});
  unit.settle();
  EXPECT_EQ(unit.core().role(), Role::candidate);
  unit.grant(kSecond);
  EXPECT_TRUE(unit.core().is_leader());
}

TEST(RaftElection, a_node_that_is_no_voter_does_not_campaign_but_votes) {
  Unit unit({kSecond, kThird});
  unit.step(CampaignNow{});
  EXPECT_EQ(unit.core().role(), Role::unattached);
  for (int i = 0; i < 100; ++i) unit.wait(seconds(1));
  EXPECT_EQ(unit.core().role(), Role::unattached);
  EXPECT_EQ(unit.core().epoch(), 0);
  // Its set of voters may be old, and so may the candidate's place in it.
  EXPECT_TRUE(unit.vote(1, kFourth, {0, 0}).granted);
}

TEST(RaftElection, who_is_not_meant_does_not_vote) {
  Unit unit;
  const ReplicaKey wiped{kSelf.id, {9, 9}};
  unit.ask<VoteReply>(VoteRequest{2, kSecond, wiped, {0, 0}, false});
  unit.settle();
  const auto reply = unit.reply<VoteReply>(unit.last_token());
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->error, ErrorCode::invalid_voter_key);
  EXPECT_FALSE(reply->granted);
}

TEST(RaftElection, a_candidate_follows_whoever_won_its_epoch) {
  Unit unit(kThree, {5, -1, std::nullopt});
  unit.step(CampaignNow{});
  unit.settle();
  unit.ask<EpochReply>(BeginEpochRequest{6, kThird.id, kSelf});
  EXPECT_EQ(unit.core().role(), Role::follower);
  EXPECT_EQ(unit.core().leader(), kThird.id);
  // A second leader of one epoch is never believed.
  EXPECT_EQ(unit.ask<EpochReply>(BeginEpochRequest{6, kSecond.id, kSelf})->error,
            ErrorCode::invalid_request);
}

TEST(RaftElection, the_first_successor_does_not_wait_and_the_others_do) {
  Unit unit;
  unit.follow(kSecond, 1);
  unit.ask<EpochReply>(EndEpochRequest{1, kSecond.id, {kSelf, kThird}});
  EXPECT_EQ(unit.core().role(), Role::candidate);
  // Also if a fetch was answered first that it leads no more.
  Unit told;
  told.follow(kSecond, 1);
  FetchReply left;
  left.error = ErrorCode::not_leader_or_follower;
  left.epoch = 1;
  told.step(ReplyReceived{kSecond.id, told.last_fetch().id, left});
  told.ask<EpochReply>(EndEpochRequest{1, kSecond.id, {kSelf, kThird}});
  EXPECT_EQ(told.core().role(), Role::candidate);
  Unit other;
  other.follow(kSecond, 1);
  other.ask<EpochReply>(EndEpochRequest{1, kSecond.id, {kThird, kSelf}});
  EXPECT_EQ(other.core().role(), Role::follower);
  EXPECT_TRUE(other.vote(2, kThird, {0, 0}).granted) << "the leader has left";
}

TEST(RaftElection, a_list_of_successors_may_be_as_long_as_it_likes) {
  Unit unit;
  unit.follow(kSecond, 3);
  std::vector<ReplicaKey> successors(200, kThird);
  successors[1] = kSelf;
  unit.ask<EpochReply>(EndEpochRequest{3, kSecond.id, successors});
  EXPECT_EQ(unit.core().role(), Role::prospective) << "so many places before the last: at once";
}

TEST(RaftElection, the_log_tells_the_epoch_when_the_file_was_lost) {
  Unit unit(kThree, {}, 10, {{6, 0}});
  EXPECT_EQ(unit.core().epoch(), 6);
  EXPECT_EQ(unit.to_save()->state, (ElectionState{6, -1, std::nullopt}));
}

TEST(RaftElection, an_isolated_node_keeps_its_epoch) {
  Unit unit(kThree, {5, -1, std::nullopt});
  for (int i = 0; i < 3600; ++i) unit.wait(seconds(1));
  EXPECT_EQ(unit.core().epoch(), 5);
}

TEST(RaftElection, who_leaves_votes_and_does_not_stand) {
  Unit unit;
  unit.step(Leave{});
  for (int i = 0; i < 20; ++i) unit.wait(seconds(1));
  EXPECT_EQ(unit.core().role(), Role::unattached);
  EXPECT_TRUE(unit.vote(1, kSecond, {0, 0}).granted);
  unit.follow(kSecond, 1);
  EXPECT_EQ(unit.ask<EpochReply>(EndEpochRequest{1, kSecond.id, {kSelf, kThird}})->error,
            ErrorCode::broker_not_available)
      << "the leader is to choose another";
  EXPECT_EQ(unit.core().role(), Role::follower) << "although it is the one that was chosen";
  unit.wait(seconds(20));
  EXPECT_EQ(unit.core().epoch(), 1);

  Unit asks;
  asks.wait();
  ASSERT_EQ(asks.core().role(), Role::prospective);
  asks.step(Leave{});
  EXPECT_EQ(asks.core().role(), Role::unattached);

  Unit stands;
  stands.step(CampaignNow{});
  ASSERT_EQ(stands.core().role(), Role::candidate);
  stands.step(Leave{});
  stands.settle();
  stands.grant(kSecond);
  EXPECT_EQ(stands.core().role(), Role::voted);
}

TEST(RaftElection, replies_that_wait_for_the_disk_are_bounded) {
  Unit unit;
  unit.ask<VoteReply>(VoteRequest{1, kSecond, kSelf, {0, 0}, false});
  for (std::size_t i = 1; i < kHeldRepliesMax; ++i)
    unit.ask<VoteReply>(VoteRequest{1, kThird, kSelf, {0, 0}, false});
  EXPECT_EQ(unit.ask<EpochReply>(VoteRequest{1, kThird, kSelf, {0, 0}, false})->error,
            ErrorCode::broker_not_available);
  unit.settle();
  EXPECT_EQ(unit.effects().replies.size(), kHeldRepliesMax);
}

TEST(RaftElection, a_failed_disk_says_nothing_any_more) {
  Unit unit;
  unit.ask<VoteReply>(VoteRequest{1, kSecond, kSelf, {0, 0}, false});
  unit.step(DiskFailed{});
  unit.settle();
  EXPECT_TRUE(unit.effects().replies.empty());
  unit.wait(seconds(10));
  EXPECT_TRUE(unit.effects().requests.empty());
}

// What failed is heard by nobody: neither what was asked before, nor what comes now.
TEST(RaftElection, a_failed_disk_commits_nothing_and_answers_nobody) {
  Unit unit;
  unit.lead();
  unit.append();
  EXPECT_FALSE(
      unit.ask<FetchReply>(FetchRequest{1, kSecond, 2, 1, -1, milliseconds(500)}).has_value());
  unit.step(DiskFailed{});
  EXPECT_FALSE(unit.core().is_leader());
  EXPECT_TRUE(unit.effects().replies.empty()) << "nor is who waited";
  unit.flush();
  unit.step(RequestReceived{900, FetchRequest{1, kThird, 2, 1, -1, Duration{}}});
  EXPECT_TRUE(unit.effects().replies.empty());
  EXPECT_EQ(unit.core().high_watermark(), -1);

  Unit follower;
  follower.follow(kSecond, 1);
  FetchReply reply;
  reply.high_watermark = 5;
  reply.batches.push_back({0, 5, 1, std::nullopt});
  follower.answer_fetch(reply);
  follower.step(DiskFailed{});
  follower.flush();
  EXPECT_EQ(follower.core().high_watermark(), 0);
}

// Section 5.2: of nodes that stopped together few wake together.
TEST(RaftElection, first_timeouts_of_many_nodes_lie_far_apart) {
  constexpr int kNodes = 200;
  constexpr int kParts = 10;
  std::vector<int> parts(kParts);
  std::vector<std::int64_t> spans;
  for (int seed = 0; seed < kNodes; ++seed) {
    Unit unit(Unit::options(static_cast<std::uint64_t>(seed)), {kSelf}, {1, -1, std::nullopt});
    const Instant from = unit.now();
    unit.wait_while(Role::unattached);
    const std::int64_t span = (unit.now() - from).ns;
    ASSERT_GE(span, seconds(1).ns);
    ASSERT_LT(span, seconds(2).ns);
    ++parts[static_cast<std::size_t>((span - seconds(1).ns) * kParts / seconds(1).ns)];
    spans.push_back(span);
  }
  for (const int count : parts) EXPECT_GE(count, kNodes / kParts / 3);
  std::sort(spans.begin(), spans.end());
  EXPECT_EQ(std::unique(spans.begin(), spans.end()), spans.end());
}

// A candidate that both others refuse, over and over: how long it waits each time.
std::vector<std::int64_t> waits_of_a_loser(std::uint64_t seed, int times) {
  Unit unit(Unit::options(seed), kThree, {1, -1, std::nullopt});
  unit.step(CampaignNow{});
  unit.settle();
  std::vector<std::int64_t> spans;
  for (int time = 0; time < times; ++time) {
    EXPECT_EQ(unit.core().role(), Role::candidate);
    unit.grant(kSecond, false);
    EXPECT_EQ(unit.core().role(), Role::candidate) << "one of three";
    unit.grant(kThird, false);
    EXPECT_EQ(unit.core().role(), Role::voted) << "there is nothing to wait for any more";
    const Instant from = unit.now();
    unit.wait_while(Role::voted);
    spans.push_back((unit.now() - from).ns);
    unit.grant(kSecond);
    unit.settle();
  }
  return spans;
}

TEST(RaftElection, after_a_lost_election_the_wait_is_drawn_anew_and_longer_each_time) {
  constexpr int kTimes = 9;
  std::vector<std::vector<std::int64_t>> all(kTimes);
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const std::vector<std::int64_t> spans = waits_of_a_loser(seed, kTimes);
    for (std::size_t i = 0; i < spans.size(); ++i) all[i].push_back(spans[i]);
  }
  for (std::size_t i = 0; i < all.size(); ++i) {
    std::sort(all[i].begin(), all[i].end());
    const std::int64_t most = std::min(seconds(1).ns, milliseconds(100).ns << (i + 1));
    EXPECT_LE(all[i].back(), most) << i;
    EXPECT_GE(all[i].back(), most * 3 / 4) << i;
    EXPECT_LE(all[i].front(), most / 4) << i;
    EXPECT_EQ(std::unique(all[i].begin(), all[i].end()), all[i].end()) << i;
  }
}

TEST(RaftElection, who_does_not_stand_by_its_configuration_never_stands) {
  CoreOptions options = Unit::options();
  options.voter_role = false;
  Unit unit(options, kThree);
  unit.step(CampaignNow{});
  for (int i = 0; i < 20; ++i) unit.wait(seconds(1));
  EXPECT_EQ(unit.core().role(), Role::unattached);
  EXPECT_EQ(unit.core().epoch(), 0);
  EXPECT_TRUE(unit.vote(1, kSecond, {0, 0}).granted) << "but it votes";
}

TEST(RaftElection, a_prospect_votes_for_who_asks_first) {
  Unit unit(kThree, {5, -1, std::nullopt});
  unit.wait_while(Role::unattached);
  ASSERT_EQ(unit.core().role(), Role::prospective);
  EXPECT_TRUE(unit.vote(5, kThird, {0, 0}).granted);
  EXPECT_EQ(unit.core().role(), Role::voted);
  // In an epoch whose leader it knows there is nobody else to vote for.
  Unit knows;
  knows.follow(kSecond, 1);
  knows.wait_while(Role::follower);
  ASSERT_EQ(knows.core().role(), Role::prospective);
  EXPECT_FALSE(knows.vote(1, kThird, {0, 0}).granted);
}

TEST(RaftElection, a_vote_is_of_one_disk_and_is_kept_when_its_epoch_has_a_leader) {
  Unit unit;
  EXPECT_TRUE(unit.vote(1, kSecond, {0, 0}).granted);
  EXPECT_FALSE(unit.vote(1, {kSecond.id, {9, 9}}, {0, 0}).granted);
  unit.ask<EpochReply>(BeginEpochRequest{1, kThird.id, kSelf});
  ASSERT_TRUE(unit.to_save().has_value());
  EXPECT_EQ(unit.to_save()->state, (ElectionState{1, kThird.id, kSecond}));
}

// Who is heard is the leader that answers; one that only says that it leads may hear nobody.
TEST(RaftElection, a_leader_that_only_says_that_it_leads_is_not_waited_for) {
  Unit unit;
  unit.follow(kSecond, 1);
  const Instant from = unit.now();
  for (int i = 0; i < 100 && unit.core().role() == Role::follower; ++i) {
    unit.wait(milliseconds(100));
    if (unit.core().role() != Role::follower) break;
    unit.ask<EpochReply>(BeginEpochRequest{1, kSecond.id, kSelf});
  }
  EXPECT_EQ(unit.core().role(), Role::prospective);
  EXPECT_LE(unit.now() - from, seconds(4));
}

TEST(RaftElection, who_is_on_another_disk_than_the_leader_thinks_says_so_and_follows) {
  Unit unit;
  unit.ask<EpochReply>(BeginEpochRequest{1, kSecond.id, {kSelf.id, {9, 9}}});
  unit.settle();
  EXPECT_EQ(unit.reply<EpochReply>(unit.last_token())->error, ErrorCode::invalid_voter_key);
  EXPECT_EQ(unit.core().role(), Role::follower);
}

TEST(RaftElection, the_first_successor_does_not_stand_before_its_disk_has_everything) {
  Unit unit;
  unit.follow(kSecond, 1);
  FetchReply reply;
  reply.batches.push_back({0, 5, 1, std::nullopt});
  unit.answer_fetch(reply);
  unit.ask<EpochReply>(EndEpochRequest{1, kSecond.id, {kSelf, kThird}});
  EXPECT_EQ(unit.core().role(), Role::follower);
  unit.flush();
  unit.wait_while(Role::follower);
  EXPECT_EQ(unit.core().role(), Role::prospective);
}

TEST(RaftElection, a_leader_that_is_told_to_campaign_leads_on) {
  Unit unit;
  unit.lead();
  unit.step(CampaignNow{});
  EXPECT_TRUE(unit.core().is_leader());
  EXPECT_EQ(unit.core().epoch(), 1);
}

TEST(RaftElection, a_log_of_too_many_epochs_does_not_get_another) {
  std::vector<EpochStart> epochs;
  for (LeaderEpoch epoch = 0; epoch < static_cast<LeaderEpoch>(kLogEpochsMax); ++epoch)
    epochs.push_back({epoch + 1, epoch});
  const Offset end = static_cast<Offset>(kLogEpochsMax);
  const ElectionState state{static_cast<LeaderEpoch>(kLogEpochsMax), -1, std::nullopt};
  Unit full(kThree, state, end, epochs);
  epochs.pop_back();
  Unit fits(kThree, state, end, epochs);
  for (int i = 0; i < 20; ++i) {
    full.wait(milliseconds(100));
    fits.wait(milliseconds(100));
  }
  EXPECT_EQ(full.core().role(), Role::unattached);
  EXPECT_EQ(fits.core().role(), Role::prospective);
}

}  // namespace
}  // namespace drave::raft
