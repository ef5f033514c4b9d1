// Changes of voters: KIP-853, section 6 of the Raft paper and its author's note of 2015.
#include "gtest/gtest.h"
#include "tests/raftlog/core/unit.h"

namespace drave::raft {
namespace {

using testing::kFourth;
using testing::kSecond;
using testing::kSelf;
using testing::kThird;
using testing::kThree;
using testing::kThreeStatic;
using testing::Unit;
using Kind = ChangeVoterRequest::Kind;

ChangeVoterRequest change(Kind kind, const ReplicaKey& voter) {
  return {kind, voter, -1, true, seconds(30)};
}

class Membership : public ::testing::Test {
 protected:
  explicit Membership(VoterSet voters = kThree) : unit_(std::move(voters)) {
    unit_.lead();
    unit_.flush();
  }
  void commit() {
    unit_.flush();
    unit_.fetch(kSecond, unit_.core().log().end(), 1);
    unit_.fetch(kThird, unit_.core().log().end(), 1);
  }
  ErrorCode refused(const ChangeVoterRequest& request) {
    return unit_.ask<ChangeVoterReply>(request)->error;
  }

  Unit unit_;
};

TEST_F(Membership, nothing_changes_before_the_own_epoch_has_committed) {
  unit_.fetch(kFourth, 1, 1);
  EXPECT_EQ(refused(change(Kind::add, kFourth)), ErrorCode::request_timed_out);
  EXPECT_EQ(refused(change(Kind::remove, kThird)), ErrorCode::request_timed_out);
  commit();
  EXPECT_FALSE(unit_.ask<ChangeVoterReply>(change(Kind::add, kFourth)).has_value());
  EXPECT_EQ(unit_.effects().append->voters->size(), 4u);
}

TEST_F(Membership, a_set_counts_when_it_is_appended_and_is_told_when_it_is_committed) {
  commit();
  unit_.fetch(kFourth, 1, 1);
  EXPECT_FALSE(unit_.ask<ChangeVoterReply>(change(Kind::add, kFourth)).has_value());
  const std::uint64_t token = unit_.last_token();
  unit_.settle();
  EXPECT_EQ(unit_.core().voters().size(), 4u);
  EXPECT_EQ(refused(change(Kind::remove, kThird)), ErrorCode::request_timed_out) << "one at a time";
  unit_.flush();
  unit_.fetch(kSecond, 2, 1);
  EXPECT_EQ(unit_.core().high_watermark(), 1) << "two of four";
  unit_.fetch(kFourth, 2, 1);
  EXPECT_EQ(unit_.core().high_watermark(), 2);
  EXPECT_EQ(unit_.reply<ChangeVoterReply>(token)->error, ErrorCode::none);
  EXPECT_FALSE(unit_.ask<ChangeVoterReply>(change(Kind::remove, kThird)).has_value());
}

TEST_F(Membership, who_lags_or_is_silent_is_not_added) {
  commit();
  EXPECT_EQ(refused(change(Kind::add, kFourth)), ErrorCode::request_timed_out);
  unit_.append(5);
  commit();
  unit_.fetch(kFourth, 2, 1);
  EXPECT_EQ(refused(change(Kind::add, kFourth)), ErrorCode::request_timed_out);
  unit_.fetch(kFourth, 6, 1);
  for (int i = 0; i < 3; ++i) {
    unit_.wait(seconds(1));
    commit();
  }
  EXPECT_EQ(refused(change(Kind::add, kFourth)), ErrorCode::request_timed_out);
  unit_.fetch(kFourth, 6, 1);
  EXPECT_FALSE(unit_.ask<ChangeVoterReply>(change(Kind::add, kFourth)).has_value());
}

TEST(RaftVoters, who_has_lost_what_it_had_is_not_added) {
  Unit unit(kThree, {1, -1, std::nullopt}, 10, {{1, 0}});
  unit.lead();
  unit.flush();
  unit.fetch(kSecond, 11, 2);
  unit.fetch(kFourth, 11, 2);
  unit.fetch(kFourth, 5, 1);
  EXPECT_EQ(unit.ask<ChangeVoterReply>(change(Kind::add, kFourth))->error,
            ErrorCode::request_timed_out);
  unit.fetch(kFourth, 11, 2);
  EXPECT_FALSE(unit.ask<ChangeVoterReply>(change(Kind::add, kFourth)).has_value());
}

TEST_F(Membership, a_wiped_voter_is_another_one) {
  commit();
  const ReplicaKey wiped{kThird.id, {9, 9}};
  unit_.fetch(wiped, 1, 1);
  EXPECT_EQ(refused(change(Kind::add, wiped)), ErrorCode::duplicate_voter);
  EXPECT_EQ(refused(change(Kind::remove, wiped)), ErrorCode::voter_not_found);
  EXPECT_EQ(refused(change(Kind::update, wiped)), ErrorCode::voter_not_found);
}

TEST_F(Membership, what_cannot_be_is_refused) {
  commit();
  EXPECT_EQ(refused(change(Kind::remove, kFourth)), ErrorCode::voter_not_found);
  EXPECT_EQ(refused(change(Kind::add, {-1, {1, 1}})), ErrorCode::invalid_request);
  ChangeVoterRequest late = change(Kind::update, kSecond);
  late.epoch = 0;
  EXPECT_EQ(refused(late), ErrorCode::fenced_leader_epoch);
  unit_.step(Resign{});
  EXPECT_EQ(refused(change(Kind::remove, kThird)), ErrorCode::not_leader_or_follower);
  Unit alone({kSelf});
  alone.step(CampaignNow{});
  alone.settle();
  alone.flush();
  EXPECT_EQ(alone.ask<ChangeVoterReply>(change(Kind::remove, kSelf))->error,
            ErrorCode::voter_not_found);
}

TEST_F(Membership, an_update_is_told_when_it_is_appended) {
  commit();
  EXPECT_FALSE(unit_.ask<ChangeVoterReply>(change(Kind::update, kSecond)).has_value());
  const std::uint64_t token = unit_.last_token();
  unit_.settle();
  EXPECT_EQ(unit_.reply<ChangeVoterReply>(token)->error, ErrorCode::none);
  EXPECT_EQ(unit_.core().voters(), kThree);
}

TEST_F(Membership, a_change_that_takes_too_long_goes_on_but_is_not_waited_for) {
  commit();
  ChangeVoterRequest request = change(Kind::remove, kThird);
  request.timeout = seconds(1);
  EXPECT_FALSE(unit_.ask<ChangeVoterReply>(request).has_value());
  const std::uint64_t token = unit_.last_token();
  unit_.settle();
  unit_.wait(seconds(1));
  EXPECT_EQ(unit_.reply<ChangeVoterReply>(token)->error, ErrorCode::request_timed_out);
  EXPECT_EQ(unit_.core().voters().size(), 2u);
}

TEST_F(Membership, a_smaller_set_commits_what_a_slow_voter_held_up) {
  commit();
  unit_.append(3);
  EXPECT_EQ(unit_.core().high_watermark(), 1);
  unit_.fetch(kSecond, 4, 1);
  EXPECT_EQ(unit_.core().high_watermark(), 1) << "the leader has not flushed";
  EXPECT_FALSE(unit_.ask<ChangeVoterReply>(change(Kind::remove, kSelf)).has_value());
  unit_.settle();
  EXPECT_EQ(unit_.core().high_watermark(), 1);
  unit_.fetch(kThird, 4, 1);
  EXPECT_EQ(unit_.core().high_watermark(), 4);
}

TEST_F(Membership, a_leader_that_removed_itself_leads_until_that_is_committed) {
  commit();
  EXPECT_FALSE(unit_.ask<ChangeVoterReply>(change(Kind::remove, kSelf)).has_value());
  unit_.settle();
  unit_.flush();
  EXPECT_TRUE(unit_.core().is_leader());
  EXPECT_FALSE(unit_.core().is_voter());
  unit_.fetch(kSecond, 2, 1);
  EXPECT_TRUE(unit_.core().is_leader()) << "it does not count itself";
  unit_.fetch(kThird, 2, 1);
  EXPECT_EQ(unit_.core().role(), Role::resigned);
  EXPECT_EQ(unit_.core().high_watermark(), 2);
  for (int i = 0; i < 60; ++i) unit_.wait(seconds(1));
  EXPECT_EQ(unit_.core().epoch(), 1) << "and never campaigns";
}

// Otherwise its vote would be needed by all the others, and it could not give it: they lack the
// record that it alone has.
TEST_F(Membership, a_leader_that_removed_itself_stands_again_if_it_fell_before_that_was_committed) {
  commit();
  EXPECT_FALSE(unit_.ask<ChangeVoterReply>(change(Kind::remove, kSelf)).has_value());
  unit_.settle();
  unit_.flush();
  unit_.step(Resign{});
  unit_.wait_while(Role::resigned);
  ASSERT_EQ(unit_.core().role(), Role::prospective);
  unit_.grant(kSecond);
  EXPECT_EQ(unit_.core().role(), Role::prospective) << "it does not count itself";
  unit_.grant(kThird);
  unit_.settle();
  unit_.grant(kSecond);
  EXPECT_EQ(unit_.core().role(), Role::candidate);
  unit_.grant(kThird);
  EXPECT_TRUE(unit_.core().is_leader());
  unit_.settle();
  unit_.flush();
  unit_.fetch(kSecond, 3, 2);
  unit_.fetch(kThird, 3, 2);
  EXPECT_EQ(unit_.core().high_watermark(), 3);
  EXPECT_EQ(unit_.core().role(), Role::resigned);
}

TEST_F(Membership, the_watermark_does_not_fall_with_the_set) {
  unit_.append(4);
  commit();
  EXPECT_EQ(unit_.core().high_watermark(), 5);
  unit_.fetch(kThird, 1, 1);  // it lost something
  EXPECT_FALSE(unit_.ask<ChangeVoterReply>(change(Kind::remove, kSelf)).has_value());
  unit_.settle();
  EXPECT_EQ(unit_.core().high_watermark(), 5);
}

TEST_F(Membership, a_change_that_comes_too_late_is_not_appended) {
  commit();
  // Paused for longer than a majority may be silent, it hears of the request before its timer.
  unit_.pass(seconds(30));
  const auto reply = unit_.ask<ChangeVoterReply>(change(Kind::remove, kThird));
  EXPECT_EQ(unit_.core().role(), Role::resigned);
  EXPECT_FALSE(unit_.effects().append.has_value());
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->error, ErrorCode::not_leader_or_follower);
}

TEST_F(Membership, who_waits_for_a_change_hears_when_the_leader_goes) {
  commit();
  EXPECT_FALSE(unit_.ask<ChangeVoterReply>(change(Kind::remove, kThird)).has_value());
  const std::uint64_t token = unit_.last_token();
  unit_.settle();
  unit_.ask<EpochReply>(BeginEpochRequest{5, kSecond.id, kSelf});
  unit_.settle();
  EXPECT_EQ(unit_.core().role(), Role::follower);
  bool told = false;
  if (const auto reply = unit_.reply<ChangeVoterReply>(token)) {
    told = reply->error == ErrorCode::not_leader_or_follower;
  }
  EXPECT_TRUE(told);
}

TEST(RaftVoters, a_set_goes_with_a_truncation) {
  Unit unit(kThree, {1, -1, std::nullopt}, 5, {{1, 0}});
  unit.follow(kSecond, 2);
  FetchReply reply;
  reply.batches.push_back({5, 6, 2, VoterSet{kSecond, kThird}});
  unit.answer_fetch(reply);
  EXPECT_TRUE(unit.effects().voters_changed);
  EXPECT_FALSE(unit.core().is_voter());
  unit.flush();
  unit.ask<EpochReply>(BeginEpochRequest{3, kThird.id, kSelf});
  unit.settle();
  FetchReply away;
  away.diverging = OffsetAndEpoch{5, 1};
  unit.answer_fetch(away);
  EXPECT_TRUE(unit.core().is_voter());
}

// A change that adds this node stands, uncommitted, in the candidate's log alone; this node has
// records of a later leader, and all that the candidate needs is its vote.
TEST(RaftVoters, who_is_asked_in_vain_for_its_vote_stands_itself) {
  Unit unit({kSecond, kThird, kFourth}, {5, -1, std::nullopt}, 10, {{5, 0}});
  for (int i = 0; i < 20; ++i) unit.wait(seconds(1));
  EXPECT_EQ(unit.core().role(), Role::unattached);
  EXPECT_FALSE(unit.vote(5, kSecond, {20, 4}, true).granted);
  unit.wait_while(Role::unattached);
  ASSERT_EQ(unit.core().role(), Role::prospective);
  unit.grant(kSecond);
  EXPECT_EQ(unit.core().role(), Role::prospective) << "one of three, and not itself";
  unit.grant(kThird);
  EXPECT_EQ(unit.core().role(), Role::candidate);
}

// It is no voter and knows that, and the voters that are left lack what it has. If it left at once
// one of them would be chosen that cannot be elected, and need it again.
TEST(RaftVoters, who_is_needed_leads_until_a_majority_has_what_it_has) {
  Unit unit({kSecond, kThird, kFourth}, {5, -1, std::nullopt}, 10, {{5, 0}});
  unit.follow(kSecond, 6);
  FetchReply reply;
  reply.high_watermark = 10;
  unit.answer_fetch(reply);
  ASSERT_EQ(unit.core().high_watermark(), 10);
  unit.wait_while(Role::follower);
  EXPECT_FALSE(unit.vote(6, kThird, {2, 5}, true).granted);
  unit.wait_while(Role::unattached);
  for (int i = 0; i < 2; ++i) {
    unit.settle();
    unit.grant(kSecond);
    unit.grant(kThird);
  }
  ASSERT_TRUE(unit.core().is_leader());
  const LeaderEpoch epoch = unit.core().epoch();
  unit.settle();
  unit.flush();
  EXPECT_TRUE(unit.core().is_leader());
  unit.fetch(kFourth, 11, epoch);
  EXPECT_TRUE(unit.core().is_leader());
  unit.fetch(kThird, 11, epoch);
  EXPECT_EQ(unit.core().role(), Role::resigned);
  EXPECT_EQ(unit.core().high_watermark(), 11);
}

TEST(RaftVoters, without_kraft_version_1_they_do_not_change) {
  CoreOptions options = Unit::options();
  Core core(options);
  Effects effects;
  Recovered recovered;
  recovered.log = LogView({0, 0}, 0, {}, {{-1, {kSelf}}});
  core.start({}, std::move(recovered), effects);
  core.step({}, CampaignNow{}, effects);
  core.step({}, StateSaved{effects.save->version}, effects);
  core.step({}, StateSaved{effects.save->version}, effects);
  core.step({}, Appended{1, true}, effects);
  core.step({}, Flushed{0, 1}, effects);
  core.step({}, RequestReceived{1, ChangeVoterRequest{Kind::remove, kSelf}}, effects);
  ASSERT_EQ(effects.replies.size(), 1u);
  EXPECT_EQ(std::get<ChangeVoterReply>(effects.replies[0].reply).error,
            ErrorCode::unsupported_version);
}

// --- From kraft.version 0 to 1

ChangeVoterRequest upgrade(VoterSet voters) {
  ChangeVoterRequest request;
  request.kind = Kind::upgrade;
  request.voters = std::move(voters);
  return request;
}

TEST(RaftUpgrade, the_voters_get_their_directories_and_can_be_changed_from_then_on) {
  Unit unit(kThreeStatic, {}, 0, {}, {-1, -1}, 0);
  unit.lead();
  unit.flush();
  auto refused = [&unit](const ChangeVoterRequest& request) {
    return unit.ask<ChangeVoterReply>(request)->error;
  };
  EXPECT_EQ(refused(upgrade(kThree)), ErrorCode::request_timed_out) << "nothing is committed";
  unit.fetch(kSecond, 1, 1);
  EXPECT_EQ(refused(change(Kind::remove, kThird)), ErrorCode::unsupported_version);
  EXPECT_EQ(refused(change(Kind::update, kThird)), ErrorCode::unsupported_version);
  EXPECT_EQ(refused(upgrade({kSelf, kSecond, {3, {}}})), ErrorCode::invalid_request);
  EXPECT_EQ(refused(upgrade({kSelf, kSecond})), ErrorCode::invalid_request);
  EXPECT_EQ(refused(upgrade({kSelf, kSecond, kFourth})), ErrorCode::invalid_request);
  EXPECT_FALSE(unit.ask<ChangeVoterReply>(upgrade(kThree)).has_value());
  const std::uint64_t token = unit.last_token();
  ASSERT_TRUE(unit.effects().append.has_value());
  EXPECT_TRUE(unit.effects().append->upgrades);
  EXPECT_EQ(unit.effects().append->voters, kThree);
  EXPECT_EQ(refused(upgrade(kThree)), ErrorCode::request_timed_out) << "one at a time";
  unit.settle();
  unit.step(KRaftVersionChanged{1});
  EXPECT_EQ(unit.core().voters(), kThree);
  EXPECT_EQ(refused(change(Kind::remove, kThird)), ErrorCode::request_timed_out);
  unit.flush();
  // Another disk than the one that is named now is no voter's.
  unit.fetch({2, {9, 9}}, 2, 1);
  EXPECT_EQ(unit.core().high_watermark(), 1);
  unit.fetch(kThird, 2, 1);
  EXPECT_EQ(unit.core().high_watermark(), 2);
  EXPECT_EQ(unit.reply<ChangeVoterReply>(token)->error, ErrorCode::none);
  EXPECT_EQ(refused(upgrade(kThree)), ErrorCode::unsupported_version) << "it is done";
  EXPECT_FALSE(unit.ask<ChangeVoterReply>(change(Kind::remove, kSecond)).has_value());
  EXPECT_FALSE(unit.effects().append->upgrades);
}

TEST(RaftUpgrade, a_voter_is_not_named_with_a_disk_that_it_has_no_more) {
  Unit unit(kThreeStatic, {}, 0, {}, {-1, -1}, 0);
  unit.lead();
  unit.flush();
  unit.fetch(kSecond, 1, 1);
  unit.fetch(kThird, 1, 1);
  unit.pass(milliseconds(1));
  const ReplicaKey anew{kThird.id, {9, 9}};
  unit.fetch(anew, 0, 0);
  EXPECT_EQ(unit.ask<ChangeVoterReply>(upgrade(kThree))->error, ErrorCode::request_timed_out);
  EXPECT_FALSE(unit.ask<ChangeVoterReply>(upgrade({kSelf, kSecond, anew})).has_value());
}

TEST(RaftUpgrade, an_uncommitted_one_goes_with_a_truncation_or_with_a_snapshot) {
  Unit unit(kThreeStatic, {1, -1, std::nullopt}, 5, {{1, 0}}, {-1, -1}, 0);
  unit.follow(kSecond, 2);
  FetchReply reply;
  reply.batches.push_back({5, 7, 2, kThree});
  unit.answer_fetch(reply);
  EXPECT_EQ(unit.core().voters(), kThree);
  unit.flush();
  unit.ask<EpochReply>(BeginEpochRequest{3, kThird.id, kSelf});
  unit.settle();
  FetchReply away;
  away.snapshot = OffsetAndEpoch{20, 3};
  unit.answer_fetch(away);
  ASSERT_EQ(unit.sent<SnapshotRequest>().size(), 1u);
  const OutgoingRequest asked = unit.sent<SnapshotRequest>().front();
  SnapshotReply piece{ErrorCode::none, 3, kThird.id, {20, 3}, 0, 10, 10};
  unit.step(ReplyReceived{kThird.id, asked.id, piece});
  ASSERT_TRUE(unit.effects().load_snapshot.has_value());
  unit.step(SnapshotLoaded{{20, 3}, kThreeStatic});
  EXPECT_EQ(unit.core().voters(), kThreeStatic);
  EXPECT_TRUE(unit.core().is_voter());
}

// The author's note of 2015: what a new leader knows to be committed is of others. Its own epoch
// must have committed something before it changes voters.
TEST(RaftVoters, do_not_change_before_the_own_epoch_has_committed_though_much_is_committed) {
  Unit unit(kThree, {1, -1, std::nullopt}, 5, {{1, 0}});
  unit.follow(kSecond, 1);
  FetchReply known;
  known.high_watermark = 5;
  unit.answer_fetch(known);
  ASSERT_EQ(unit.core().high_watermark(), 5);
  unit.lead();
  ASSERT_EQ(unit.core().high_watermark(), unit.core().epoch_start());
  const auto remove = [&] { return unit.ask<ChangeVoterReply>(change(Kind::remove, kThird)); };
  EXPECT_EQ(remove()->error, ErrorCode::request_timed_out);
  unit.flush();
  EXPECT_EQ(remove()->error, ErrorCode::request_timed_out);
  unit.fetch(kSecond, 6, 2);
  EXPECT_FALSE(remove().has_value());
}

TEST(RaftVoters, what_a_fourth_of_them_held_up_is_committed_when_its_removal_is_appended) {
  Unit unit({kSelf, kSecond, kThird, kFourth});
  unit.step(CampaignNow{});
  unit.settle();
  unit.grant(kSecond);
  unit.grant(kThird);
  unit.settle();
  unit.flush();
  unit.fetch(kSecond, 1, 1);
  unit.fetch(kThird, 1, 1);
  unit.append(3);
  unit.flush();
  unit.fetch(kSecond, 4, 1);
  EXPECT_EQ(unit.core().high_watermark(), 1) << "two of four";
  EXPECT_FALSE(unit.ask<ChangeVoterReply>(change(Kind::remove, kFourth)).has_value());
  const std::uint64_t token = unit.last_token();
  unit.settle();
  EXPECT_EQ(unit.core().high_watermark(), 4) << "two of three";
  EXPECT_FALSE(unit.reply<ChangeVoterReply>(token).has_value()) << "the change itself is not";
  unit.flush();
  unit.fetch(kSecond, 5, 1);
  EXPECT_EQ(unit.reply<ChangeVoterReply>(token)->error, ErrorCode::none);
}

TEST_F(Membership, a_change_is_told_only_when_it_is_committed_itself) {
  commit();
  unit_.append(3);
  EXPECT_FALSE(unit_.ask<ChangeVoterReply>(change(Kind::remove, kThird)).has_value());
  const std::uint64_t token = unit_.last_token();
  unit_.settle();
  unit_.flush();
  unit_.fetch(kSecond, 4, 1);
  EXPECT_EQ(unit_.core().high_watermark(), 4);
  EXPECT_FALSE(unit_.reply<ChangeVoterReply>(token).has_value());
  unit_.fetch(kSecond, 5, 1);
  EXPECT_EQ(unit_.reply<ChangeVoterReply>(token)->error, ErrorCode::none);
}

TEST_F(Membership, nothing_changes_while_leadership_is_handed_over) {
  unit_.append(3);
  unit_.flush();
  unit_.fetch(kThird, 4, 1);
  unit_.fetch(kSecond, 3, 1);
  unit_.step(TransferTo{kSecond.id});
  EXPECT_EQ(refused(change(Kind::remove, kThird)), ErrorCode::request_timed_out);
  unit_.fetch(kThird, 4, 1);
  unit_.wait(seconds(1));
  EXPECT_FALSE(unit_.ask<ChangeVoterReply>(change(Kind::remove, kThird)).has_value());
}

TEST(RaftVoters, who_was_asked_in_vain_before_the_quorum_went_on_stands_no_more) {
  Unit unit({kSecond, kThird, kFourth}, {5, -1, std::nullopt}, 10, {{5, 0}});
  EXPECT_FALSE(unit.vote(5, kSecond, {20, 4}, true).granted);
  EXPECT_TRUE(unit.core().may_stand());
  unit.follow(kThird, 6);
  FetchReply committed;
  committed.high_watermark = 10;
  unit.answer_fetch(committed);
  EXPECT_EQ(unit.core().high_watermark(), 10);
  EXPECT_FALSE(unit.core().may_stand());
}

TEST(RaftVoters, who_was_asked_in_vain_long_ago_stands_no_more) {
  Unit unit({kSecond, kThird, kFourth}, {5, -1, std::nullopt}, 10, {{5, 0}});
  EXPECT_FALSE(unit.vote(5, kSecond, {20, 4}, true).granted);
  unit.pass(seconds(6));
  for (int i = 0; i < 20; ++i) {
    unit.wait(seconds(1));
    ASSERT_EQ(unit.core().role(), Role::unattached);
  }
}

}  // namespace
}  // namespace drave::raft
