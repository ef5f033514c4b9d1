// Leading: section 5.3 and 5.4.2 of the Raft paper, 6.2 and 10.2.1 of the dissertation.
#include "gtest/gtest.h"
#include "tests/raftlog/core/unit.h"

namespace drave::raft {
namespace {

using testing::kFifth;
using testing::kFourth;
using testing::kSecond;
using testing::kSelf;
using testing::kThird;
using testing::kThree;
using testing::Unit;

TEST(RaftLeader, alone_it_commits_only_what_it_has_flushed) {
  Unit unit({kSelf});
  unit.step(CampaignNow{});
  unit.settle();
  EXPECT_EQ(unit.core().high_watermark(), -1);
  unit.flush();
  EXPECT_EQ(unit.core().high_watermark(), 1);
  EXPECT_TRUE(unit.effects().high_watermark_moved);
  unit.append(6);
  EXPECT_EQ(unit.core().high_watermark(), 1);
  unit.step(Flushed{0, 5});
  EXPECT_EQ(unit.core().high_watermark(), 5);
  unit.step(Flushed{0, 4});
  EXPECT_EQ(unit.core().high_watermark(), 5);
}

// Figure 8 of the paper.
TEST(RaftLeader, entries_of_older_epochs_are_not_committed_by_counting) {
  Unit unit(kThree, {1, -1, std::nullopt}, 10, {{1, 0}});
  unit.lead();
  unit.fetch(kSecond, 10, 1);
  unit.fetch(kThird, 10, 1);
  EXPECT_EQ(unit.core().high_watermark(), -1);
  unit.fetch(kSecond, 11, 2);
  EXPECT_EQ(unit.core().high_watermark(), -1) << "the leader has not flushed, one of three is few";
  unit.flush();
  EXPECT_EQ(unit.core().high_watermark(), 11);
}

TEST(RaftLeader, a_majority_commits_without_the_leaders_own_disk) {
  Unit unit;
  unit.lead();
  unit.append(3);
  unit.fetch(kSecond, 4, 1);
  EXPECT_EQ(unit.core().high_watermark(), -1);
  unit.fetch(kThird, 4, 1);
  EXPECT_EQ(unit.core().high_watermark(), 4);
}

TEST(RaftLeader, what_a_replica_had_in_an_older_epoch_does_not_count) {
  Unit unit;
  unit.lead();
  unit.append(9);
  unit.flush();
  unit.fetch(kSecond, 0, 0);
  unit.fetch(kThird, 5, 1);
  EXPECT_EQ(unit.core().high_watermark(), 5);
  unit.ask<EpochReply>(BeginEpochRequest{2, kSecond.id, kSelf});
  unit.settle();
  unit.lead();
  unit.flush();
  EXPECT_EQ(unit.core().replicated(kThird), -1);
  EXPECT_EQ(unit.core().high_watermark(), 5) << "known before, and never taken back";
  EXPECT_EQ(unit.fetch(kThird, 10, 1, 1)->error, ErrorCode::fenced_leader_epoch);
  EXPECT_EQ(unit.core().replicated(kThird), -1);
}

TEST(RaftLeader, fetches_of_observers_and_other_disks_do_not_count) {
  Unit unit;
  unit.lead();
  unit.flush();
  unit.fetch(kFourth, 1, 1);
  unit.fetch({kSecond.id, {9, 9}}, 1, 1);
  EXPECT_EQ(unit.core().high_watermark(), -1);
  EXPECT_EQ(unit.core().describe().observers.size(), 2u);
  unit.fetch(kSecond, 1, 1);
  EXPECT_EQ(unit.core().high_watermark(), 1);
}

TEST(RaftLeader, a_replica_that_goes_backwards_is_believed) {
  Unit unit;
  unit.lead();
  unit.append(4);
  unit.flush();
  unit.fetch(kSecond, 5, 1);
  EXPECT_EQ(unit.core().high_watermark(), 5);
  unit.fetch(kSecond, 2, 1);
  EXPECT_EQ(unit.core().replicated(kSecond), 2);
  EXPECT_EQ(unit.core().high_watermark(), 5);
}

// The consistency check of a fetch, by end and epoch of the last record.
TEST(RaftLeader, a_fetch_that_does_not_match_is_told_where) {
  Unit unit(kThree, {6, -1, std::nullopt}, 30, {{1, 0}, {3, 10}, {6, 20}});
  unit.lead();  // epoch 7 from 30 on
  struct Case {
    Offset offset;
    LeaderEpoch last_epoch;
    std::optional<OffsetAndEpoch> diverging;
  };
  for (const Case& each : std::vector<Case>{{31, 7, std::nullopt},
                                            {30, 6, std::nullopt},
                                            {20, 3, std::nullopt},
                                            {15, 3, std::nullopt},
                                            {0, 0, std::nullopt},
                                            {25, 3, OffsetAndEpoch{20, 3}},
                                            {25, 2, OffsetAndEpoch{10, 1}},
                                            {8, 5, OffsetAndEpoch{20, 3}},
                                            {40, 6, OffsetAndEpoch{30, 6}},
                                            {32, 7, OffsetAndEpoch{31, 7}}}) {
    const auto reply = unit.fetch(kSecond, each.offset, each.last_epoch);
    ASSERT_TRUE(reply.has_value());
    EXPECT_EQ(reply->diverging, each.diverging) << each.offset << " " << each.last_epoch;
    EXPECT_EQ(reply->from, each.diverging || each.offset == 31 ? -1 : each.offset);
  }
}

TEST(RaftLeader, below_its_log_it_offers_its_snapshot) {
  Unit unit(kThree, {6, -1, std::nullopt}, 30, {{6, 20}}, {20, 3});
  unit.lead();
  const OffsetAndEpoch id{20, 3};
  EXPECT_EQ(unit.fetch(kSecond, 0, 0)->snapshot, id);
  EXPECT_EQ(unit.fetch(kSecond, 19, 3)->snapshot, id);
  EXPECT_EQ(unit.fetch(kSecond, 25, 2)->snapshot, id) << "an epoch below the start";
  EXPECT_EQ(unit.fetch(kSecond, 20, 2)->snapshot, id) << "another record before the start";
  EXPECT_EQ(unit.fetch(kSecond, 20, 5)->snapshot, id) << "and one of a newer epoch";
  EXPECT_EQ(unit.fetch(kSecond, 20, 3)->from, 20);
  EXPECT_EQ(unit.core().high_watermark(), 20);
}

TEST(RaftLeader, a_fetch_waits_until_there_is_something_to_say) {
  Unit unit;
  unit.lead();
  unit.flush();
  const FetchRequest request{1, kSecond, 1, 1, -1, milliseconds(500)};
  const auto told = unit.ask<FetchReply>(request);
  ASSERT_TRUE(told.has_value()) << "its own fetch moved the high watermark";
  EXPECT_EQ(told->high_watermark, 1);
  FetchRequest knowing = request;
  knowing.high_watermark = 1;
  EXPECT_FALSE(unit.ask<FetchReply>(knowing).has_value());
  unit.append();
  EXPECT_EQ(unit.reply<FetchReply>(unit.last_token())->from, 1) << "before it is flushed here";
  FetchRequest last = knowing;
  last.offset = 2;
  EXPECT_FALSE(unit.ask<FetchReply>(last).has_value());
  const Instant from = unit.now();
  for (int i = 0; i < 100 && unit.effects().replies.empty(); ++i) unit.wait();
  EXPECT_EQ(unit.now() - from, milliseconds(500));
  EXPECT_EQ(unit.reply<FetchReply>(unit.last_token())->from, -1);
}

TEST(RaftLeader, fetches_that_wait_end_with_the_leadership) {
  Unit unit;
  unit.lead();
  EXPECT_FALSE(
      unit.ask<FetchReply>(FetchRequest{1, kSecond, 1, 1, -1, milliseconds(500)}).has_value());
  const std::uint64_t token = unit.last_token();
  unit.step(Resign{});
  ASSERT_TRUE(unit.reply<FetchReply>(token).has_value());
  EXPECT_EQ(unit.reply<FetchReply>(token)->error, ErrorCode::not_leader_or_follower);
  EXPECT_EQ(unit.reply<FetchReply>(token)->leader, -1);
}

TEST(RaftLeader, it_resigns_when_no_majority_fetches) {
  Unit unit;
  unit.lead();
  unit.flush();
  const Instant from = unit.now();
  unit.wait_while(Role::leader);
  EXPECT_EQ(unit.now() - from, seconds(3));
  EXPECT_EQ(unit.sent<EndEpochRequest>().size(), 2u);
  Unit kept;
  kept.lead();
  kept.flush();
  for (int i = 0; i < 30; ++i) {
    kept.wait(seconds(1));
    kept.fetch(kThird, 1, 1);
  }
  EXPECT_TRUE(kept.core().is_leader());
}

TEST(RaftLeader, it_resigns_when_its_disk_hangs) {
  Unit unit;
  unit.lead();
  unit.flush();
  unit.append();
  const Instant from = unit.now();
  for (int i = 0; i < 100 && unit.core().is_leader(); ++i) {
    unit.fetch(kSecond, 2, 1);
    unit.fetch(kThird, 2, 1);
    if (unit.core().is_leader()) unit.wait(milliseconds(100));
  }
  EXPECT_EQ(unit.now() - from, seconds(2));
  // It does not try again before its disk works.
  for (int i = 0; i < 100; ++i) unit.wait(seconds(1));
  EXPECT_EQ(unit.core().role(), Role::resigned);
  unit.flush();
  unit.wait(seconds(5));
  EXPECT_EQ(unit.core().role(), Role::prospective);
}

TEST(RaftLeader, it_makes_itself_known_to_voters_that_do_not_fetch) {
  Unit unit;
  unit.step(CampaignNow{});
  EXPECT_TRUE(unit.sent<VoteRequest>().empty()) << "not before its epoch and vote are durable";
  unit.settle();
  unit.grant(kSecond);
  EXPECT_EQ(unit.sent<BeginEpochRequest>().size(), 2u) << "at once: they are";
}

TEST(RaftLeader, successors_are_named_by_what_they_have) {
  Unit unit;
  unit.lead();
  unit.append(4);
  unit.flush();
  unit.fetch(kSecond, 3, 1);
  unit.fetch(kThird, 5, 1);
  unit.step(Resign{});
  const auto sent = unit.sent<EndEpochRequest>();
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(std::get<EndEpochRequest>(sent[0].request).successors,
            (std::vector<ReplicaKey>{kThird, kSecond}));
}

TEST(RaftLeader, leadership_goes_to_who_has_everything_and_stays_if_that_takes_too_long) {
  Unit unit;
  unit.lead();
  unit.append(4);
  unit.flush();
  unit.fetch(kSecond, 3, 1);
  unit.fetch(kThird, 5, 1);
  unit.step(TransferTo{kSecond.id});
  EXPECT_TRUE(unit.core().is_leader());
  EXPECT_FALSE(unit.core().may_append());
  unit.fetch(kSecond, 5, 1);
  EXPECT_EQ(unit.core().role(), Role::resigned);
  EXPECT_EQ(std::get<EndEpochRequest>(unit.sent<EndEpochRequest>()[0].request).successors[0],
            kSecond);

  Unit late;
  late.lead();
  late.append(4);
  late.flush();
  late.step(TransferTo{kSecond.id});
  late.fetch(kThird, 5, 1);
  late.wait(seconds(1));
  EXPECT_TRUE(late.core().is_leader());
  EXPECT_TRUE(late.core().may_append());
  late.step(TransferTo{kFourth.id});
  late.wait(seconds(1));
  EXPECT_TRUE(late.core().may_append()) << "no voter";
}

TEST(RaftLeader, leadership_is_not_handed_to_who_has_everything_but_is_silent) {
  Unit unit;
  unit.lead();
  unit.append(4);
  unit.flush();
  unit.fetch(kSecond, 5, 1);
  for (int i = 0; i < 3; ++i) {
    unit.fetch(kThird, 5, 1);
    unit.wait(milliseconds(500));
  }
  unit.step(TransferTo{kSecond.id});
  EXPECT_TRUE(unit.core().is_leader());
  unit.fetch(kSecond, 5, 1);
  EXPECT_EQ(unit.core().role(), Role::resigned);
}

TEST(RaftLeader, a_voter_with_a_directory_is_not_who_names_none) {
  Unit unit;
  unit.lead();
  unit.append(4);
  unit.flush();
  unit.fetch({kSecond.id, {}}, 5, 1);
  EXPECT_EQ(unit.core().high_watermark(), -1);
  unit.fetch(kSecond, 5, 1);
  EXPECT_EQ(unit.core().high_watermark(), 5);
}

TEST(RaftLeader, who_fetches_a_snapshot_is_heard_of_when_it_gets_one) {
  Unit unit(kThree, {}, 9, {{1, 5}}, {5, 1});
  unit.lead();
  unit.flush();
  const auto error = [&](const ReplicaKey& replica, OffsetAndEpoch id, std::int64_t position) {
    return unit.ask<SnapshotReply>(SnapshotRequest{unit.core().epoch(), replica, id, position})
        ->error;
  };
  EXPECT_EQ(error({-1, {}}, {5, 1}, 0), ErrorCode::invalid_request);
  EXPECT_EQ(error(kFourth, {0, 0}, 0), ErrorCode::snapshot_not_found);
  EXPECT_EQ(error(kFourth, {5, 1}, -1), ErrorCode::position_out_of_range);
  EXPECT_TRUE(unit.core().describe().observers.empty());
  EXPECT_EQ(error(kFourth, {5, 1}, 0), ErrorCode::none);
  EXPECT_EQ(unit.core().describe().observers.size(), 1u);
}

TEST(RaftLeader, an_observer_that_is_gone_is_not_told_of) {
  Unit unit;
  unit.lead();
  unit.flush();
  unit.fetch(kFourth, 1, 1);
  const Instant end = unit.now() + kObserverKept;
  for (; unit.now() < end; unit.wait(seconds(1))) {
    EXPECT_EQ(unit.core().describe().observers.size(), 1u);
    unit.fetch(kSecond, 1, 1);
  }
  EXPECT_TRUE(unit.core().is_leader());
  EXPECT_TRUE(unit.core().describe().observers.empty());
}

// Whom the requests of the last step to end the epoch went to, and whom they name first.
std::vector<std::pair<NodeId, NodeId>> told(const Unit& unit) {
  std::vector<std::pair<NodeId, NodeId>> found;
  for (const OutgoingRequest& each : unit.sent<EndEpochRequest>())
    found.emplace_back(each.to, std::get<EndEpochRequest>(each.request).successors.front().id);
  return found;
}

TEST(RaftLeader, a_successor_that_leaves_itself_or_is_gone_is_passed_over) {
  using Told = std::vector<std::pair<NodeId, NodeId>>;
  constexpr ErrorCode kLeaves = ErrorCode::broker_not_available;
  auto resigned = [] {
    Unit unit;
    unit.lead();
    unit.flush();
    unit.fetch(kSecond, 1, 1);
    unit.step(TransferTo{kSecond.id});
    return unit;
  };
  Unit unit = resigned();
  ASSERT_EQ(unit.core().role(), Role::resigned);
  const auto first = unit.sent<EndEpochRequest>();
  EXPECT_EQ(told(unit), (Told{{2, 2}, {3, 2}}));
  // Who has answered already hears of it at once,
  unit.step(ReplyReceived{kThird.id, first[1].id, EpochReply{ErrorCode::none, 1, 1}});
  unit.step(ReplyReceived{kSecond.id, first[0].id, EpochReply{kLeaves, 1, 1}});
  EXPECT_EQ(told(unit), (Told{{3, 3}}));
  // and when nobody is left, the last to be named is not told over and over.
  unit.step(
      ReplyReceived{kThird.id, unit.sent<EndEpochRequest>()[0].id, EpochReply{kLeaves, 1, 1}});
  EXPECT_EQ(told(unit), (Told{}));

  Unit busy = resigned();
  const auto sent = busy.sent<EndEpochRequest>();
  busy.step(RequestFailed{kSecond.id, sent[0].id});
  EXPECT_EQ(told(busy), (Told{})) << "a request to the other is still under way";
  busy.step(ReplyReceived{kThird.id, sent[1].id, EpochReply{ErrorCode::none, 1, 1}});
  EXPECT_EQ(told(busy), (Told{{3, 3}}));
}

TEST(RaftLeader, replicas_and_waiting_fetches_are_bounded) {
  Unit unit;
  unit.lead();
  unit.flush();
  for (std::uint64_t i = 0; i < kReplicasMax + 200; ++i)
    unit.ask<FetchReply>(FetchRequest{1, {100, {5, i}}, 1, 1, INT64_MAX, milliseconds(500)});
  EXPECT_EQ(unit.core().describe().observers.size(), kReplicasMax);
  EXPECT_TRUE(unit.reply<FetchReply>(unit.last_token()).has_value()) << "none waits any more";
}

TEST(RaftLeader, of_a_replica_one_fetch_waits_and_not_for_longer_than_a_fetch_timeout) {
  Unit unit;
  unit.lead();
  unit.flush();
  unit.fetch(kSecond, 1, 1);
  const FetchRequest patient{1, kFourth, 1, 1, 1, seconds(2'000'000)};
  EXPECT_FALSE(unit.ask<FetchReply>(patient).has_value());
  const std::uint64_t first = unit.last_token();
  EXPECT_FALSE(unit.ask<FetchReply>(patient).has_value());
  EXPECT_TRUE(unit.reply<FetchReply>(first).has_value()) << "its connection ended, perhaps";
  const std::uint64_t second = unit.last_token();
  const Instant from = unit.now();
  while (!unit.reply<FetchReply>(second).has_value()) {
    unit.fetch(kSecond, 1, 1);
    unit.wait();
    ASSERT_LE(unit.now(), from + seconds(2));
  }
  EXPECT_EQ(unit.now(), from + seconds(2));
}

TEST(RaftLeader, fetches_of_strangers_do_not_keep_a_voter_from_waiting) {
  Unit unit;
  unit.lead();
  unit.flush();
  unit.fetch(kSecond, 1, 1);
  const std::uint64_t first = unit.last_token() + 1;
  for (std::uint64_t i = 0; i < kParkedFetchesMax; ++i)
    unit.ask<FetchReply>(FetchRequest{1, {100, {5, i}}, 1, 1, 1, milliseconds(500)});
  EXPECT_FALSE(
      unit.ask<FetchReply>(FetchRequest{1, kSecond, 1, 1, 1, milliseconds(500)}).has_value());
  EXPECT_TRUE(unit.reply<FetchReply>(first).has_value()) << "made room";
}

TEST(RaftLeader, a_voter_that_begins_anew_is_told_of_and_counts_for_nothing) {
  Unit unit;
  unit.lead();
  unit.append(4);
  unit.fetch(kSecond, 5, 1);
  EXPECT_FALSE(unit.effects().lost.has_value());
  unit.fetch(kFourth, 5, 1);
  unit.fetch(kFourth, 0, 0);
  EXPECT_FALSE(unit.effects().lost.has_value()) << "no voter";
  unit.fetch(kSecond, 0, 0);
  ASSERT_TRUE(unit.effects().lost.has_value());
  EXPECT_EQ(unit.effects().lost->voter, kSecond);
  EXPECT_EQ(unit.effects().lost->end, 5);
  unit.flush();
  EXPECT_EQ(unit.core().high_watermark(), -1);
}

TEST(RaftLeader, a_voter_that_begins_anew_with_a_snapshot_counts_for_nothing) {
  Unit unit(kThree, {}, 9, {{1, 5}}, {5, 1});
  unit.lead();
  unit.fetch(kSecond, 10, unit.core().epoch());
  EXPECT_TRUE(unit.fetch(kSecond, 0, 0)->snapshot.has_value());
  EXPECT_TRUE(unit.effects().lost.has_value());
  unit.flush();
  EXPECT_EQ(unit.core().high_watermark(), 5);
}

TEST(RaftLeader, it_describes_its_quorum) {
  Unit unit;
  unit.lead();
  unit.append(4);
  unit.flush();
  unit.fetch(kSecond, 5, 1);
  const QuorumView view = unit.core().describe();
  EXPECT_EQ(view.leader, kSelf.id);
  EXPECT_EQ(view.high_watermark, 5);
  ASSERT_EQ(view.voters.size(), 3u);
  EXPECT_EQ(view.voters[0].log_end, 5);
  EXPECT_EQ(view.voters[1].log_end, 5);
  EXPECT_EQ(view.voters[1].last_caught_up, unit.now());
  EXPECT_EQ(view.voters[2].log_end, -1);
}

TEST(RaftLeader, a_fetch_that_does_not_match_acknowledges_nothing) {
  Unit unit(kThree, {6, -1, std::nullopt}, 30, {{1, 0}, {3, 10}, {6, 20}});
  unit.lead();
  unit.append(9);
  EXPECT_EQ(unit.fetch(kSecond, 35, 6)->diverging, (OffsetAndEpoch{30, 6}));
  EXPECT_EQ(unit.fetch(kThird, 40, 7)->from, -1);
  EXPECT_EQ(unit.core().replicated(kSecond), -1);
  EXPECT_EQ(unit.core().high_watermark(), -1);
  unit.flush();
  EXPECT_EQ(unit.core().high_watermark(), 40);
  // What is below the log says nothing of what is in it.
  Unit begun(kThree, {6, -1, std::nullopt}, 30, {{6, 20}}, {20, 3});
  begun.lead();
  EXPECT_TRUE(begun.fetch(kSecond, 25, 2)->snapshot.has_value());
  EXPECT_EQ(begun.core().replicated(kSecond), -1);
}

TEST(RaftLeader, from_nothing_a_snapshot_is_the_shorter_way_though_the_log_is_whole) {
  Unit unit;
  unit.lead();
  unit.append(9);
  unit.flush();
  unit.fetch(kSecond, 10, 1);
  unit.step(SnapshotWritten{{5, 1}});
  EXPECT_EQ(unit.fetch(kFourth, 0, 0)->snapshot, (OffsetAndEpoch{5, 1}));
  EXPECT_EQ(unit.fetch(kFourth, 3, 1)->from, 3);
  unit.step(SnapshotWritten{{2, 1}});
  EXPECT_EQ(unit.fetch(kFourth, 0, 0)->snapshot, (OffsetAndEpoch{5, 1})) << "the newest one";
}

// Ticks until it leads no more, at most ten seconds of them; `kept` fetch all the while.
Duration leads_for(Unit& unit, const std::vector<ReplicaKey>& kept) {
  const Instant from = unit.now();
  for (int i = 0; i < 100 && unit.core().is_leader(); ++i) {
    for (const ReplicaKey& key : kept) unit.fetch(key, 1, 1);
    unit.wait(milliseconds(100));
  }
  return unit.now() - from;
}

TEST(RaftLeader, it_resigns_when_fewer_than_a_majority_fetch_whoever_else_does) {
  const VoterSet five{kSelf, kSecond, kThird, kFourth, kFifth};
  auto leads = [](VoterSet voters) {
    Unit unit(std::move(voters));
    unit.step(CampaignNow{});
    unit.settle();
    unit.grant(kSecond);
    unit.grant(kThird);
    unit.settle();
    unit.flush();
    return unit;
  };
  Unit one = leads(five);
  EXPECT_EQ(leads_for(one, {kSecond}), seconds(3));
  Unit two = leads(five);
  EXPECT_EQ(leads_for(two, {kSecond, kFifth}), seconds(10));
  Unit observed = leads(kThree);
  EXPECT_EQ(leads_for(observed, {kFourth, kFifth}), seconds(3));
}

// Its own answers are lost, for whatever reason: it leads nobody.
TEST(RaftLeader, it_resigns_when_a_majority_asks_again_and_again_for_what_it_was_sent) {
  Unit unit;
  unit.lead();
  unit.append(4);
  unit.flush();
  EXPECT_EQ(leads_for(unit, {kSecond, kThird}), seconds(3)) << "they ask for the second record";
  // One answer may be lost; and what asks for all that there is says nothing.
  Unit once;
  once.lead();
  once.append(4);
  once.flush();
  for (Offset offset = 1; offset <= 5; ++offset) {
    once.fetch(kSecond, offset, 1);
    once.wait(milliseconds(1400));
    once.fetch(kSecond, offset, 1);
    once.wait(milliseconds(1400));
    ASSERT_TRUE(once.core().is_leader()) << offset;
  }
  for (int i = 0; i < 20; ++i) {
    once.fetch(kSecond, 5, 1);
    once.wait(milliseconds(500));
  }
  EXPECT_TRUE(once.core().is_leader());
  // Who has lost something asks for it again, too.
  once.append();
  once.flush();
  once.fetch(kSecond, 3, 1);
  once.wait(milliseconds(2900));
  EXPECT_TRUE(once.core().is_leader());
}

TEST(RaftLeader, a_disk_that_is_slow_but_goes_on_is_no_reason_to_resign) {
  Unit unit;
  unit.lead();
  unit.flush();
  unit.append();
  for (Offset end = 3; end < 12; ++end) {
    unit.append();
    for (int i = 0; i < 15; ++i) {
      unit.fetch(kSecond, end, 1);
      unit.wait(milliseconds(100));
    }
    // There is always something that is not flushed.
    unit.step(Flushed{0, end - 1});
    ASSERT_TRUE(unit.core().is_leader()) << end;
  }
  // Long without anything to write, it has not been slow.
  unit.flush();
  for (int i = 0; i < 50; ++i) {
    unit.fetch(kSecond, 11, 1);
    unit.wait(milliseconds(100));
  }
  unit.append();
  unit.wait(milliseconds(1));
  EXPECT_TRUE(unit.core().is_leader());
}

TEST(RaftLeader, a_transfer_to_itself_is_none_and_a_second_one_takes_the_place_of_the_first) {
  Unit unit;
  unit.lead();
  unit.append(4);
  unit.flush();
  unit.fetch(kSecond, 3, 1);
  unit.fetch(kThird, 3, 1);
  unit.step(TransferTo{kSelf.id});
  EXPECT_TRUE(unit.core().may_append());
  unit.step(TransferTo{kSecond.id});
  unit.step(TransferTo{kThird.id});
  unit.fetch(kSecond, 5, 1);
  EXPECT_TRUE(unit.core().is_leader());
  unit.fetch(kThird, 5, 1);
  EXPECT_EQ(unit.core().role(), Role::resigned);
  EXPECT_EQ(told(unit).front().second, kThird.id);
}

}  // namespace
}  // namespace drave::raft
