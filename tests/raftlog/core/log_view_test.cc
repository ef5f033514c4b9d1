// What consensus knows of the log: epochs by offset, after all that can happen to a log.
#include "raftlog/core/log_view.h"
#include "gtest/gtest.h"

namespace drave::raft {
namespace {

const ReplicaKey kOne{1, {1, 1}};
const ReplicaKey kTwo{2, {2, 2}};

// Ten records of epoch 1, ten of 3, ten of 6.
LogView three_epochs() {
  return LogView({0, 0}, 30, {{1, 0}, {3, 10}, {6, 20}}, {{-1, {kOne}}});
}

TEST(RaftLogView, an_epoch_ends_where_the_next_one_begins) {
  const LogView log = three_epochs();
  EXPECT_EQ(log.last(), (OffsetAndEpoch{30, 6}));
  EXPECT_EQ(log.end_of(0), (OffsetAndEpoch{0, 0}));
  EXPECT_EQ(log.end_of(1), (OffsetAndEpoch{10, 1}));
  EXPECT_EQ(log.end_of(2), (OffsetAndEpoch{10, 1})) << "of 2 there is nothing";
  EXPECT_EQ(log.end_of(5), (OffsetAndEpoch{20, 3}));
  EXPECT_EQ(log.end_of(9), (OffsetAndEpoch{30, 6}));
  EXPECT_EQ(log.epoch_before(0), 0);
  EXPECT_EQ(log.epoch_before(10), 1);
  EXPECT_EQ(log.epoch_before(11), 3);
}

TEST(RaftLogView, below_a_moved_start_no_epoch_is_known) {
  LogView within = three_epochs();
  within.move_start({15, 3});
  EXPECT_EQ(within.epoch_count(), 2u);
  EXPECT_EQ(within.end_of(2), (OffsetAndEpoch{15, 3})) << "below what the log holds";
  EXPECT_EQ(within.end_of(3), (OffsetAndEpoch{20, 3}));
  within.truncate(17);
  EXPECT_EQ(within.last(), (OffsetAndEpoch{17, 3}));
  within.move_start({15, 3});
  within.truncate(15);
  EXPECT_EQ(within.last(), (OffsetAndEpoch{15, 3}));
  EXPECT_EQ(within.epoch_count(), 0u);

  LogView between = three_epochs();
  between.move_start({20, 3});
  EXPECT_EQ(between.epoch_count(), 1u);
  EXPECT_EQ(between.last(), (OffsetAndEpoch{30, 6}));
  EXPECT_EQ(between.end_of(3), (OffsetAndEpoch{20, 3}));
  EXPECT_EQ(between.epoch_before(20), 3);

  LogView whole = three_epochs();
  whole.move_start({30, 6});
  EXPECT_EQ(whole.epoch_count(), 0u);
  EXPECT_EQ(whole.last(), (OffsetAndEpoch{30, 6}));
  whole.append(33, 6);
  EXPECT_EQ(whole.end_of(6), (OffsetAndEpoch{33, 6}));
  whole.move_start({10, 1});
  EXPECT_EQ(whole.start(), 30) << "it never goes back";
}

TEST(RaftLogView, writes_of_an_older_generation_make_nothing_durable) {
  LogView log = three_epochs();
  log.append(40, 6);
  EXPECT_FALSE(log.is_flushed());
  const std::uint64_t first = log.generation();
  EXPECT_TRUE(log.flush(first, 35));
  EXPECT_FALSE(log.flush(first, 34)) << "it was more before";
  log.truncate(25);
  EXPECT_EQ(log.flushed(), 25);
  log.append(50, 7);
  EXPECT_FALSE(log.flush(first, 40));
  EXPECT_EQ(log.flushed(), 25);
  const std::uint64_t second = log.generation();
  EXPECT_TRUE(log.flush(second, 50));
  log.reset({60, 7});
  EXPECT_TRUE(log.is_flushed());
  log.append(70, 7);
  EXPECT_FALSE(log.flush(second, 65)) << "of the log that a snapshot has replaced";
  EXPECT_EQ(log.flushed(), 60);
  EXPECT_EQ(log.end_of(6), (OffsetAndEpoch{60, 7}));
}

TEST(RaftLogView, of_voter_sets_the_last_counts_and_the_committed_one_stays) {
  LogView log = three_epochs();
  log.add_voters(30, {kOne, kTwo});
  log.append(31, 6);
  log.add_voters(31, {kTwo});
  log.append(32, 6);
  EXPECT_EQ(log.voters(), (VoterSet{kTwo}));
  EXPECT_EQ(log.voters_before(), (VoterSet{kOne, kTwo}));
  log.forget_voters_before(31);
  EXPECT_EQ(log.voter_sets(), 2u) << "only the one at 30 is committed";
  log.truncate(31);
  EXPECT_EQ(log.voters(), (VoterSet{kOne, kTwo}));
  log.truncate(20);
  EXPECT_EQ(log.voters(), (VoterSet{kOne, kTwo})) << "the last one that there is, always";
}

}  // namespace
}  // namespace drave::raft
