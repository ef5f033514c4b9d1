// Section 5.1 of the Raft paper: what a message of a newer epoch does, and one of an older epoch
// does not, in every role.
#include "gtest/gtest.h"
#include "tests/raftlog/core/unit.h"

namespace drave::raft {
namespace {

using testing::kSecond;
using testing::kSelf;
using testing::kThird;
using testing::kThree;
using testing::Unit;

constexpr LeaderEpoch kEpoch = 5;
constexpr LeaderEpoch kNewer = 9;
constexpr LeaderEpoch kOlder = 4;
constexpr OffsetAndEpoch kLongLog{50, 4};

constexpr Role kRoles[] = {Role::unattached, Role::voted,  Role::prospective, Role::candidate,
                           Role::follower,   Role::leader, Role::resigned};

// A node with ten records of epoch 3 that has this role in kEpoch, and waits for a reply.
Unit in_role(Role role) {
  const bool campaigns = role == Role::candidate || role == Role::leader;
  const NodeId leader = role == Role::resigned ? kSelf.id : -1;
  Unit unit(kThree, {campaigns ? kEpoch - 1 : kEpoch, leader, std::nullopt}, 10, {{3, 0}});
  if (role == Role::voted) {
    unit.vote(kEpoch, kSecond, kLongLog);
    unit.wait(milliseconds(100));  // until it asks around again
  }
  if (role == Role::candidate) {
    unit.step(CampaignNow{});
    unit.settle();
  }
  if (role == Role::leader) unit.lead();
  if (role == Role::follower) unit.follow(kSecond, kEpoch);
  for (int i = 0; i < 20 && role == Role::prospective && unit.core().role() != role; ++i)
    unit.wait();
  EXPECT_EQ(unit.core().role(), role);
  EXPECT_EQ(unit.core().epoch(), kEpoch);
  return unit;
}

bool hears_a_leader(Role role) {
  return role == Role::leader || role == Role::follower;
}

void expect_follower(const Unit& unit, const Core& core, NodeId leader) {
  EXPECT_EQ(core.role(), Role::follower);
  EXPECT_EQ(core.epoch(), kNewer);
  EXPECT_EQ(core.leader(), leader);
  ASSERT_TRUE(unit.to_save().has_value());
  EXPECT_EQ(unit.to_save()->state.epoch, kNewer);
}

TEST(RaftEpochs, a_newer_leader_is_followed_from_every_role) {
  for (const Role role : kRoles) {
    SCOPED_TRACE(to_string(role));
    Unit begun = in_role(role);
    EXPECT_FALSE(begun.ask<EpochReply>(BeginEpochRequest{kNewer, kThird.id, kSelf}).has_value());
    expect_follower(begun, begun.core(), kThird.id);
    begun.settle();
    EXPECT_EQ(begun.reply<EpochReply>(begun.last_token())->error, ErrorCode::none);
    // One that leaves was one, too.
    Unit ended = in_role(role);
    ended.ask<EpochReply>(EndEpochRequest{kNewer, kThird.id, {kSecond}});
    expect_follower(ended, ended.core(), kThird.id);
  }
}

TEST(RaftEpochs, the_leader_of_the_own_epoch_is_followed_by_all_that_look_for_one) {
  for (const Role role : {Role::unattached, Role::voted, Role::prospective, Role::candidate}) {
    SCOPED_TRACE(to_string(role));
    Unit unit = in_role(role);
    unit.ask<EpochReply>(BeginEpochRequest{kEpoch, kThird.id, kSelf});
    EXPECT_EQ(unit.core().role(), Role::follower);
    EXPECT_EQ(unit.core().leader(), kThird.id);
  }
}

TEST(RaftEpochs, a_candidates_newer_epoch_is_taken_by_all_that_hear_no_leader) {
  for (const Role role : kRoles) {
    for (const bool pre_vote : {false, true}) {
      SCOPED_TRACE(::testing::Message() << to_string(role) << " pre_vote=" << pre_vote);
      Unit unit = in_role(role);
      const VoteReply reply = unit.vote(kNewer, kThird, kLongLog, pre_vote);
      EXPECT_EQ(reply.granted, !hears_a_leader(role));
      EXPECT_EQ(reply.epoch, hears_a_leader(role) ? kEpoch : kNewer);
      EXPECT_EQ(unit.core().epoch(), hears_a_leader(role) ? kEpoch : kNewer);
      // Also where it is not elected.
      Unit refuses = in_role(role);
      EXPECT_FALSE(refuses.vote(kNewer, kThird, {5, 3}, pre_vote).granted);
      EXPECT_EQ(refuses.core().epoch(), hears_a_leader(role) ? kEpoch : kNewer);
    }
  }
}

TEST(RaftEpochs, who_fetches_in_a_newer_epoch_is_told_that_it_is_unknown) {
  for (const Role role : kRoles) {
    SCOPED_TRACE(to_string(role));
    if (role == Role::leader) continue;  // which leads on in a newer one
    Unit unit = in_role(role);
    EXPECT_EQ(unit.fetch(kThird, 10, 3, kNewer)->error, ErrorCode::unknown_leader_epoch);
    EXPECT_EQ(unit.ask<SnapshotReply>(SnapshotRequest{kNewer, kThird, {5, 3}, 0})->error,
              ErrorCode::unknown_leader_epoch);
    EXPECT_EQ(unit.core().role(), role);
    EXPECT_EQ(unit.core().epoch(), kEpoch);
  }
}

// A reply of the kind that the node waits for, with nothing in it but where the sender is.
Reply reply_to(const Request& request, LeaderEpoch epoch, NodeId leader, ErrorCode error) {
  if (std::holds_alternative<VoteRequest>(request)) return VoteReply{error, epoch, leader, false};
  if (std::holds_alternative<FetchRequest>(request)) {
    FetchReply reply;
    reply.error = error;
    reply.epoch = epoch;
    reply.leader = leader;
    return reply;
  }
  if (std::holds_alternative<SnapshotRequest>(request))
    return SnapshotReply{error, epoch, leader, {}, 0, 0, 0};
  return EpochReply{error, epoch, leader};
}

void answer(Unit& unit, const Reply& reply) {
  const OutgoingRequest asked = unit.last_request();
  ASSERT_NE(asked.id, 0u);
  unit.step(ReplyReceived{asked.to, asked.id, reply});
}

TEST(RaftEpochs, a_reply_of_a_newer_epoch_is_believed_in_every_role) {
  for (const Role role : kRoles) {
    SCOPED_TRACE(to_string(role));
    Unit alone = in_role(role);
    answer(alone,
           reply_to(alone.last_request().request, kNewer, -1, ErrorCode::fenced_leader_epoch));
    EXPECT_EQ(alone.core().role(), Role::unattached);
    EXPECT_EQ(alone.core().epoch(), kNewer);
    EXPECT_EQ(alone.core().leader(), -1);
    Unit led = in_role(role);
    answer(led,
           reply_to(led.last_request().request, kNewer, kThird.id, ErrorCode::fenced_leader_epoch));
    expect_follower(led, led.core(), kThird.id);
  }
  // Of a snapshot that is being fetched as well.
  Unit unit = in_role(Role::follower);
  FetchReply redirect;
  redirect.snapshot = OffsetAndEpoch{40, 4};
  unit.answer_fetch(redirect);
  ASSERT_TRUE(std::holds_alternative<SnapshotRequest>(unit.last_request().request));
  answer(unit,
         reply_to(unit.last_request().request, kNewer, kThird.id, ErrorCode::fenced_leader_epoch));
  expect_follower(unit, unit.core(), kThird.id);
}

TEST(RaftEpochs, requests_of_an_older_epoch_are_refused_with_the_own_one_in_every_role) {
  for (const Role role : kRoles) {
    SCOPED_TRACE(to_string(role));
    Unit unit = in_role(role);
    unit.settle();
    for (const bool pre_vote : {false, true}) {
      const VoteReply vote = unit.vote(kOlder, kThird, {50, 3}, pre_vote);
      EXPECT_FALSE(vote.granted);
      EXPECT_EQ(vote.error, ErrorCode::fenced_leader_epoch);
      EXPECT_EQ(vote.epoch, kEpoch);
    }
    const auto begun = unit.ask<EpochReply>(BeginEpochRequest{kOlder, kThird.id, kSelf});
    EXPECT_EQ(begun->error, ErrorCode::fenced_leader_epoch);
    EXPECT_EQ(begun->epoch, kEpoch);
    EXPECT_EQ(unit.ask<EpochReply>(EndEpochRequest{kOlder, kThird.id, {kSelf}})->error,
              ErrorCode::fenced_leader_epoch);
    EXPECT_EQ(unit.fetch(kThird, 10, 3, kOlder)->error, ErrorCode::fenced_leader_epoch);
    EXPECT_EQ(unit.ask<SnapshotReply>(SnapshotRequest{kOlder, kThird, {5, 3}, 0})->error,
              ErrorCode::fenced_leader_epoch);
    EXPECT_EQ(unit.core().role(), role);
    EXPECT_EQ(unit.core().epoch(), kEpoch);
    EXPECT_FALSE(unit.to_save().has_value()) << "nothing has changed";
  }
}

TEST(RaftEpochs, a_reply_of_an_older_epoch_is_worth_nothing) {
  for (const Role role : {Role::prospective, Role::candidate}) {
    Unit unit = in_role(role);
    answer(unit, VoteReply{ErrorCode::none, kOlder, -1, true});
    EXPECT_EQ(unit.core().role(), role) << to_string(role);
  }
  Unit failed = in_role(Role::candidate);
  answer(failed, VoteReply{ErrorCode::invalid_voter_key, kEpoch, -1, true});
  EXPECT_EQ(failed.core().role(), Role::candidate) << "an error grants nothing";
  Unit follower = in_role(Role::follower);
  FetchReply records;
  records.epoch = kOlder;
  records.leader = kSecond.id;
  records.high_watermark = 10;
  records.batches.push_back({10, 12, 4, std::nullopt});
  answer(follower, records);
  EXPECT_EQ(follower.effects().append_received, 0u);
  EXPECT_EQ(follower.core().high_watermark(), -1);
}

}  // namespace
}  // namespace drave::raft
