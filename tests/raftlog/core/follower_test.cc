// Following: fetches that acknowledge, truncation, snapshots.
#include "gtest/gtest.h"
#include "tests/raftlog/core/unit.h"

namespace drave::raft {
namespace {

using testing::kSecond;
using testing::kSelf;
using testing::kThird;
using testing::kThree;
using testing::Unit;

const FetchRequest& fetch_of(const Unit& unit) {
  return std::get<FetchRequest>(unit.last_fetch().request);
}

FetchReply records(Offset base, Offset end, LeaderEpoch epoch, Offset high_watermark = -1) {
  FetchReply reply;
  reply.high_watermark = high_watermark;
  reply.batches.push_back({base, end, epoch, std::nullopt});
  return reply;
}

FetchReply diverging(Offset end, LeaderEpoch epoch) {
  FetchReply reply;
  reply.diverging = OffsetAndEpoch{end, epoch};
  return reply;
}

TEST(RaftFollower, a_fetch_acknowledges_so_it_waits_for_the_flush) {
  Unit unit;
  unit.follow(kSecond, 1);
  unit.answer_fetch(records(0, 5, 1));
  EXPECT_EQ(unit.effects().append_received, 1u);
  EXPECT_TRUE(unit.sent<FetchRequest>().empty());
  unit.step(Flushed{0, 3});
  EXPECT_TRUE(unit.sent<FetchRequest>().empty());
  unit.flush();
  ASSERT_EQ(unit.sent<FetchRequest>().size(), 1u);
  EXPECT_EQ(fetch_of(unit).offset, 5);
  EXPECT_EQ(fetch_of(unit).last_epoch, 1);
}

TEST(RaftFollower, nothing_is_fetched_before_the_epoch_is_durable) {
  Unit unit;
  unit.ask<EpochReply>(BeginEpochRequest{4, kSecond.id, kSelf});
  EXPECT_TRUE(unit.sent<FetchRequest>().empty());
  unit.settle();
  EXPECT_EQ(unit.sent<FetchRequest>().size(), 1u);
}

TEST(RaftFollower, it_follows_the_high_watermark_as_far_as_its_disk) {
  Unit unit;
  unit.follow(kSecond, 1);
  unit.answer_fetch(records(0, 5, 1, 9));
  EXPECT_EQ(unit.core().high_watermark(), 0);
  unit.flush();
  EXPECT_EQ(unit.core().high_watermark(), 5);
  unit.answer_fetch(records(5, 12, 1, 9));
  unit.flush();
  EXPECT_EQ(unit.core().high_watermark(), 9);
  FetchReply lower;
  lower.high_watermark = 7;
  unit.answer_fetch(lower);
  EXPECT_EQ(unit.core().high_watermark(), 9);
}

// What contradicts the leader's log is not committed by the leader's high watermark.
TEST(RaftFollower, a_log_that_diverges_takes_no_high_watermark) {
  Unit unit(kThree, {3, -1, std::nullopt}, 20, {{1, 0}, {2, 10}});
  unit.ask<EpochReply>(BeginEpochRequest{4, kSecond.id, kSelf});
  unit.settle();
  FetchReply reply = diverging(8, 1);
  reply.high_watermark = 15;
  unit.answer_fetch(reply);
  EXPECT_EQ(unit.effects().truncate->to, 8);
  EXPECT_EQ(unit.core().high_watermark(), -1);
}

// Nor by what an older leader had said of its own: what stands at that offset now is another's.
TEST(RaftFollower, a_high_watermark_is_of_the_leader_that_told_it) {
  Unit unit;
  unit.follow(kSecond, 1);
  unit.answer_fetch(records(0, 3, 1, 9));
  unit.flush();
  EXPECT_EQ(unit.core().high_watermark(), 3);
  unit.answer_fetch(records(3, 5, 1, 9));
  unit.ask<EpochReply>(BeginEpochRequest{2, kThird.id, kSelf});
  unit.settle();
  unit.flush();
  EXPECT_EQ(unit.core().high_watermark(), 3) << "whether the new leader has 3 and 4, who knows";
  unit.answer_fetch(diverging(3, 1));
  EXPECT_EQ(unit.effects().truncate->to, 3);
  unit.answer_fetch(records(3, 8, 2, 3));
  unit.flush();
  EXPECT_EQ(unit.core().high_watermark(), 3);
}

TEST(RaftFollower, it_backs_off_one_epoch_at_a_time) {
  Unit unit(kThree, {6, -1, std::nullopt}, 1000, {{1, 0}, {2, 200}, {4, 400}, {6, 600}});
  unit.ask<EpochReply>(BeginEpochRequest{7, kSecond.id, kSelf});
  unit.settle();
  EXPECT_EQ(fetch_of(unit).offset, 1000);
  unit.answer_fetch(diverging(500, 5));  // it has no 6; of 5 we have nothing, so 4 is the next
  EXPECT_EQ(unit.core().log().end(), 600);
  EXPECT_EQ(fetch_of(unit).last_epoch, 4);
  unit.answer_fetch(diverging(300, 3));
  EXPECT_EQ(unit.core().log().end(), 400);
  unit.answer_fetch(diverging(250, 2));
  EXPECT_EQ(unit.core().log().end(), 250);
  EXPECT_EQ(unit.core().log().last(), (OffsetAndEpoch{250, 2}));
  unit.answer_fetch(records(250, 260, 3));
  EXPECT_EQ(unit.core().log().last(), (OffsetAndEpoch{260, 3}));
}

TEST(RaftFollower, it_truncates_to_where_both_logs_end_in_the_last_epoch_that_both_have) {
  struct Case {
    OffsetAndEpoch told;
    Offset to;
  };
  // What it is told is where the leader's records of that epoch end.
  for (const Case& each : std::vector<Case>{{{15, 2}, 15},
                                            {{15, 1}, 10},  // the leader has more of 1
                                            {{7, 1}, 7},    // the leader has less of 1
                                            {{25, 3}, 20},  // of 3 there is nothing here
                                            {{28, 5}, 28}}) {
    Unit unit(kThree, {6, -1, std::nullopt}, 40, {{1, 0}, {2, 10}, {5, 20}});
    unit.follow(kSecond, 7);
    unit.answer_fetch(diverging(each.told.offset, each.told.epoch));
    ASSERT_TRUE(unit.effects().truncate.has_value());
    EXPECT_EQ(unit.effects().truncate->to, each.to) << each.told.offset << "@" << each.told.epoch;
  }
}

TEST(RaftFollower, it_never_truncates_what_is_committed) {
  Unit unit;
  unit.follow(kSecond, 1);
  unit.answer_fetch(records(0, 5, 1, 5));
  unit.flush();
  ASSERT_EQ(unit.core().high_watermark(), 5);
  unit.ask<EpochReply>(BeginEpochRequest{2, kThird.id, kSelf});
  unit.settle();
  unit.answer_fetch(diverging(3, 1));
  EXPECT_FALSE(unit.effects().truncate.has_value());
  EXPECT_FALSE(unit.effects().fatal.empty());
  unit.wait(seconds(10));
  EXPECT_TRUE(unit.effects().requests.empty()) << "it has ended";
}

TEST(RaftFollower, writes_of_before_a_truncation_make_nothing_durable) {
  Unit unit(kThree, {3, -1, std::nullopt}, 4, {{1, 0}});
  unit.follow(kSecond, 4);
  unit.answer_fetch(records(4, 8, 3));
  const std::uint64_t before = unit.core().log().generation();
  unit.ask<EpochReply>(BeginEpochRequest{5, kThird.id, kSelf});
  unit.settle();
  unit.step(Flushed{before, 5});
  unit.step(Flushed{before, 8});
  unit.answer_fetch(diverging(4, 1));
  ASSERT_TRUE(unit.effects().truncate.has_value());
  unit.answer_fetch(records(4, 8, 4));
  unit.step(Flushed{before, 8});
  EXPECT_EQ(unit.core().log().flushed(), 4);
  unit.flush();
  EXPECT_EQ(unit.core().log().flushed(), 8);
}

TEST(RaftFollower, records_that_do_not_continue_the_log_are_not_appended) {
  for (const FetchReply& reply :
       {records(6, 9, 1), records(0, 5, 1), records(5, 5, 1), records(5, 9, 9), records(5, 9, 0)}) {
    Unit unit(kThree, {1, -1, std::nullopt}, 5, {{1, 0}});
    unit.follow(kSecond, 2);
    unit.answer_fetch(reply);
    EXPECT_EQ(unit.effects().append_received, 0u);
    EXPECT_EQ(unit.core().log().end(), 5);
  }
  Unit unit(kThree, {1, -1, std::nullopt}, 5, {{1, 0}});
  unit.follow(kSecond, 2);
  FetchReply torn = records(5, 7, 1);
  torn.batches.push_back({8, 9, 1, std::nullopt});
  torn.batches.push_back({7, 9, 1, std::nullopt});
  unit.answer_fetch(torn);
  EXPECT_EQ(unit.effects().append_received, 1u) << "what fits, fits, up to what does not";
}

TEST(RaftFollower, voter_sets_above_the_watermark_are_bounded) {
  Unit unit(kThree, {1, -1, std::nullopt}, 5, {{1, 0}});
  unit.follow(kSecond, 2);
  FetchReply many;
  for (Offset base = 5; base < 5 + 2 * static_cast<Offset>(kVoterSetsMax); ++base)
    many.batches.push_back({base, base + 1, 2, kThree});
  unit.answer_fetch(many);
  EXPECT_EQ(unit.effects().append_received, kVoterSetsMax - 1) << "and one there was before";
  EXPECT_EQ(unit.core().log().voter_sets(), kVoterSetsMax);
}

// A leader that says so lies, or has a bug. It is not asked over and over.
TEST(RaftFollower, a_divergence_that_contradicts_nothing_truncates_nothing) {
  for (const OffsetAndEpoch& where :
       {OffsetAndEpoch{20, 2}, OffsetAndEpoch{25, 2}, OffsetAndEpoch{25, 3}}) {
    Unit unit(kThree, {3, -1, std::nullopt}, 20, {{1, 0}, {2, 10}});
    unit.follow(kSecond, 4);
    unit.answer_fetch(diverging(where.offset, where.epoch));
    EXPECT_FALSE(unit.effects().truncate.has_value());
    EXPECT_TRUE(unit.effects().requests.empty());
    EXPECT_EQ(unit.core().log().end(), 20);
    unit.wait();
    EXPECT_EQ(unit.sent<FetchRequest>().size(), 1u);
  }
}

TEST(RaftFollower, what_makes_no_sense_is_not_fetched_again_at_once) {
  for (const FetchReply& reply : {records(6, 9, 1), diverging(9, 7), diverging(5, 1)}) {
    Unit unit(kThree, {1, -1, std::nullopt}, 5, {{1, 0}});
    unit.follow(kSecond, 2);
    const std::uint64_t asked = unit.last_fetch().id;
    unit.answer_fetch(reply);
    EXPECT_EQ(unit.last_fetch().id, asked);
    EXPECT_EQ(unit.effects().misfit, !reply.batches.empty()) << "an operator hears of it";
    unit.wait(milliseconds(20));
    EXPECT_NE(unit.last_fetch().id, asked);
  }
}

TEST(RaftFollower, a_reply_comes_once_and_only_from_the_leader) {
  Unit unit;
  unit.follow(kSecond, 1);
  const std::uint64_t id = unit.last_fetch().id;
  FetchReply reply = records(0, 5, 1);
  reply.epoch = 1;
  reply.leader = kSecond.id;
  unit.step(ReplyReceived{kThird.id, id, reply});
  EXPECT_EQ(unit.effects().append_received, 0u);
  unit.step(ReplyReceived{kSecond.id, id, reply});
  EXPECT_EQ(unit.effects().append_received, 1u);
  unit.step(ReplyReceived{kSecond.id, id, reply});
  EXPECT_EQ(unit.effects().append_received, 0u);
}

TEST(RaftFollower, a_slow_disk_of_its_own_is_not_the_leaders_fault) {
  Unit unit;
  unit.follow(kSecond, 1);
  unit.answer_fetch(records(0, 5, 1));
  for (int i = 0; i < 60; ++i) unit.wait(seconds(1));
  EXPECT_EQ(unit.core().role(), Role::follower);
  unit.flush();
  EXPECT_EQ(unit.sent<FetchRequest>().size(), 1u);
}

TEST(RaftFollower, a_lost_reply_is_asked_for_again) {
  Unit unit;
  unit.follow(kSecond, 1);
  unit.step(RequestFailed{kSecond.id, unit.last_fetch().id});
  unit.wait();
  EXPECT_EQ(unit.sent<FetchRequest>().size(), 1u);
  // Nor is one waited for of which nothing is ever heard.
  Unit silent;
  silent.follow(kSecond, 1);
  silent.pass(seconds(2));
  silent.step(Tick{});
  silent.wait(milliseconds(20));
  EXPECT_EQ(silent.sent<FetchRequest>().size(), 1u);
}

TEST(RaftFollower, a_leader_that_says_it_left_is_not_asked_again) {
  Unit unit;
  unit.follow(kSecond, 1);
  FetchReply left;
  left.error = ErrorCode::not_leader_or_follower;
  left.epoch = 1;
  unit.step(ReplyReceived{kSecond.id, unit.last_fetch().id, left});
  const Instant from = unit.now();
  while (unit.core().role() == Role::follower) {
    EXPECT_TRUE(unit.sent<FetchRequest>().empty());
    unit.wait();
  }
  EXPECT_LT(unit.now() - from, seconds(1));
}

SnapshotReply chunk(OffsetAndEpoch id, std::int64_t position, std::int64_t bytes,
                    std::int64_t size) {
  SnapshotReply reply;
  reply.epoch = 5;
  reply.leader = kSecond.id;
  reply.id = id;
  reply.position = position;
  reply.bytes = bytes;
  reply.size = size;
  return reply;
}

class Download : public ::testing::Test {
 protected:
  Download() : unit_(kThree, {1, -1, std::nullopt}, 5, {{1, 0}}) {
    unit_.follow(kSecond, 5);
    FetchReply redirect;
    redirect.snapshot = kId;
    unit_.answer_fetch(redirect);
  }
  const SnapshotRequest& asked() { return std::get<SnapshotRequest>(request_.request); }
  void take() {
    const auto sent = unit_.sent<SnapshotRequest>();
    ASSERT_EQ(sent.size(), 1u);
    request_ = sent[0];
  }
  void answer(const SnapshotReply& reply) {
    unit_.step(ReplyReceived{kSecond.id, request_.id, reply});
  }

  const OffsetAndEpoch kId{40, 4};
  Unit unit_;
  OutgoingRequest request_;
};

TEST_F(Download, comes_in_pieces_and_then_takes_the_logs_place) {
  take();
  EXPECT_EQ(asked().position, 0);
  answer(chunk(kId, 0, 60, 100));
  EXPECT_EQ(unit_.effects().store_chunk->bytes, 60);
  EXPECT_TRUE(unit_.sent<SnapshotRequest>().empty()) << "the piece is not stored yet";
  unit_.step(ChunkStored{kId, 60});
  take();
  EXPECT_EQ(asked().position, 60);
  answer(chunk(kId, 60, 40, 100));
  EXPECT_EQ(unit_.effects().load_snapshot, kId);
  // Whatever happens meanwhile, it does not campaign with half a log.
  for (int i = 0; i < 40; ++i) {
    unit_.wait(milliseconds(500));
    unit_.step(CampaignNow{});
    ASSERT_EQ(unit_.core().role(), Role::follower);
  }
  unit_.step(SnapshotLoaded{kId, VoterSet{kSelf, kSecond}});
  EXPECT_EQ(unit_.core().log().start(), 40);
  EXPECT_EQ(unit_.core().log().last(), kId);
  EXPECT_EQ(unit_.core().high_watermark(), 40);
  EXPECT_EQ(unit_.core().voters().size(), 2u) << "a snapshot carries the voters";
  EXPECT_EQ(fetch_of(unit_).offset, 40);
  EXPECT_EQ(fetch_of(unit_).last_epoch, 4);
}

// What comes instead of the next piece: it starts over.
class DownloadOdd : public Download, public ::testing::WithParamInterface<SnapshotReply> {};

TEST_P(DownloadOdd, piece_starts_it_over) {
  take();
  answer(chunk(kId, 0, 60, 100));
  unit_.step(ChunkStored{kId, 60});
  take();
  answer(GetParam());
  EXPECT_FALSE(unit_.effects().store_chunk.has_value());
  EXPECT_FALSE(unit_.effects().load_snapshot.has_value());
  EXPECT_TRUE(unit_.effects().requests.empty()) << "not at full speed";
  unit_.wait();
  EXPECT_EQ(unit_.sent<FetchRequest>().size(), 1u);
}

INSTANTIATE_TEST_SUITE_P(Pieces, DownloadOdd,
                         ::testing::Values(chunk({40, 4}, 0, 60, 100),    // not the next
                                           chunk({41, 4}, 60, 40, 100),   // of another snapshot
                                           chunk({40, 3}, 60, 40, 100),   //
                                           chunk({40, 4}, 60, 0, 100),    // empty
                                           chunk({40, 4}, 60, 41, 100),   // beyond the end
                                           chunk({40, 4}, 60, 40, 200),   // of another size
                                           chunk({40, 4}, 60, 30, 90)));  //

TEST_F(Download, only_its_own_piece_is_waited_for) {
  take();
  answer(chunk(kId, 0, 60, 100));
  unit_.step(ChunkStored{{30, 4}, 60});
  unit_.step(ChunkStored{kId, 50});
  EXPECT_TRUE(unit_.sent<SnapshotRequest>().empty());
  unit_.step(ChunkStored{kId, 60});
  EXPECT_EQ(unit_.sent<SnapshotRequest>().size(), 1u);
}

TEST_F(Download, one_that_is_damaged_is_fetched_again_after_a_while) {
  take();
  answer(chunk(kId, 0, 100, 100));
  ASSERT_EQ(unit_.effects().load_snapshot, kId);
  unit_.step(SnapshotRefused{});
  EXPECT_TRUE(unit_.effects().requests.empty());
  const Instant from = unit_.now();
  for (int i = 0; i < 20 && unit_.sent<FetchRequest>().empty(); ++i) unit_.wait();
  EXPECT_EQ(unit_.now() - from, milliseconds(500));
  EXPECT_EQ(fetch_of(unit_).offset, 5);
  FetchReply redirect;
  redirect.snapshot = kId;
  unit_.answer_fetch(redirect);
  take();
  EXPECT_EQ(asked().position, 0);
}

TEST_F(Download, the_leader_has_its_whole_timeout_after_it_is_loaded) {
  take();
  answer(chunk(kId, 0, 100, 100));
  unit_.pass(unit_.core().deadline() - unit_.now() - milliseconds(1));
  unit_.step(SnapshotLoaded{kId, kThree});
  unit_.wait(milliseconds(1990));
  EXPECT_EQ(unit_.core().role(), Role::follower);
}

TEST_F(Download, a_first_successor_does_not_stand_with_half_a_log) {
  take();
  answer(chunk(kId, 0, 100, 100));
  unit_.ask<EpochReply>(EndEpochRequest{5, kSecond.id, {kSelf, kThird}});
  EXPECT_EQ(unit_.core().role(), Role::follower);
}

TEST_F(Download, writes_of_the_log_that_it_replaced_make_nothing_durable) {
  const std::uint64_t before = unit_.core().log().generation();
  take();
  answer(chunk(kId, 0, 100, 100));
  unit_.step(SnapshotLoaded{kId, kThree});
  unit_.answer_fetch(records(40, 50, 4));
  unit_.step(Flushed{before, 45});
  EXPECT_EQ(unit_.core().log().flushed(), 40);
  unit_.flush();
  EXPECT_EQ(unit_.core().log().flushed(), 50);
}

TEST(RaftFollower, a_snapshot_of_an_epoch_that_cannot_be_is_not_wanted) {
  Unit unit;
  unit.follow(kSecond, 3);
  FetchReply odd;
  odd.snapshot = OffsetAndEpoch{40, 4};
  unit.answer_fetch(odd);
  EXPECT_TRUE(unit.effects().requests.empty());
  unit.wait();
  EXPECT_EQ(unit.sent<FetchRequest>().size(), 1u);
}

TEST_F(Download, a_snapshot_that_is_gone_is_asked_for_anew) {
  take();
  SnapshotReply gone = chunk(kId, 0, 0, 0);
  gone.error = ErrorCode::snapshot_not_found;
  answer(gone);
  unit_.wait();
  EXPECT_EQ(unit_.sent<FetchRequest>().size(), 1u);
}

TEST_F(Download, another_leader_starts_it_anew) {
  take();
  answer(chunk(kId, 0, 60, 100));
  unit_.ask<EpochReply>(BeginEpochRequest{6, kThird.id, kSelf});
  unit_.settle();
  unit_.step(ChunkStored{kId, 60});
  EXPECT_EQ(unit_.last_fetch().to, kThird.id);
}

TEST(RaftFollower, a_snapshot_of_what_is_committed_here_is_not_wanted) {
  Unit unit;
  unit.follow(kSecond, 1);
  unit.answer_fetch(records(0, 5, 1, 5));
  unit.flush();
  FetchReply stale;
  stale.snapshot = OffsetAndEpoch{4, 1};
  unit.answer_fetch(stale);
  EXPECT_TRUE(unit.sent<SnapshotRequest>().empty());
  unit.wait();
  EXPECT_EQ(unit.sent<FetchRequest>().size(), 1u);
}

TEST(RaftFollower, an_observer_finds_the_leader_by_asking_around) {
  Unit unit({kSecond, kThird});
  ASSERT_EQ(unit.core().role(), Role::unattached);
  unit.wait(seconds(1));
  const OutgoingRequest asked = unit.last_fetch();
  ASSERT_NE(asked.id, 0u);
  FetchReply other;
  other.error = ErrorCode::not_leader_or_follower;
  other.epoch = 3;
  other.leader = kThird.id;
  unit.step(ReplyReceived{asked.to, asked.id, other});
  EXPECT_EQ(unit.core().role(), Role::follower);
  unit.settle();
  EXPECT_EQ(unit.last_fetch().to, kThird.id);
}

}  // namespace
}  // namespace drave::raft
