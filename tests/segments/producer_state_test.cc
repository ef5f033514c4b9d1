#include "segments/producer_state.h"

#include "gtest/gtest.h"

namespace drave::segments {
namespace {

ProducerBatch batch(ProducerEpoch epoch, Sequence first, Sequence last, Offset offset = -1,
                    bool transactional = false) {
  const std::int64_t count =
      last >= first ? std::int64_t{last} - first : std::int64_t{last} + INT32_MAX + 1 - first;
  return {1, epoch, first, last, offset, offset < 0 ? -1 : offset + count, 500, transactional};
}

TEST(ProducerState, unknown_producers_may_begin_with_any_sequence) {
  ProducerStates states;
  EXPECT_EQ(states.check(batch(0, 0, 4)).verdict, SequenceVerdict::accept);
  EXPECT_EQ(states.check(batch(7, 12345, 12350)).verdict, SequenceVerdict::accept);
}

TEST(ProducerState, verdicts_after_one_batch) {
  ProducerStates states;
  states.update(batch(3, 10, 14, 100));
  struct Row {
    ProducerBatch sent;
    SequenceVerdict verdict;
  };
  for (const Row& row : {
           Row{batch(3, 15, 19), SequenceVerdict::accept},
           Row{batch(3, 16, 19), SequenceVerdict::out_of_order},
           Row{batch(3, 14, 19), SequenceVerdict::out_of_order},
           Row{batch(3, 10, 14), SequenceVerdict::duplicate},
           Row{batch(3, 10, 13), SequenceVerdict::out_of_order},
           Row{batch(3, 11, 14), SequenceVerdict::out_of_order},
           Row{batch(3, 0, 4), SequenceVerdict::out_of_order},
           Row{batch(2, 15, 19), SequenceVerdict::fenced_epoch},
           Row{batch(2, 10, 14), SequenceVerdict::fenced_epoch},
           Row{batch(4, 0, 4), SequenceVerdict::accept},
           Row{batch(4, 15, 19), SequenceVerdict::out_of_order},
       }) {
    const SequenceCheck check = states.check(row.sent);
    EXPECT_EQ(check.verdict, row.verdict)
        << row.sent.epoch << " " << row.sent.first_sequence << " " << row.sent.last_sequence;
    if (row.verdict == SequenceVerdict::duplicate) {
      EXPECT_EQ(check.first_offset, 100);
      EXPECT_EQ(check.last_offset, 104);
    }
  }
}

TEST(ProducerState, any_of_the_last_five_is_a_duplicate_and_the_sixth_is_not) {
  ProducerStates states;
  for (int i = 0; i < 7; ++i) states.update(batch(0, i * 10, i * 10 + 9, 1000 + i * 10));
  for (int i = 0; i < 7; ++i) {
    const SequenceCheck check = states.check(batch(0, i * 10, i * 10 + 9));
    EXPECT_EQ(check.verdict, i < 2 ? SequenceVerdict::out_of_order : SequenceVerdict::duplicate)
        << i;
    if (i >= 2) EXPECT_EQ(check.first_offset, 1000 + i * 10);
  }
}

TEST(ProducerState, sequences_wrap_from_the_largest_to_zero) {
  ProducerStates states;
  states.update(batch(0, INT32_MAX - 1, INT32_MAX, 10));
  EXPECT_EQ(states.check(batch(0, 0, 3)).verdict, SequenceVerdict::accept);
  EXPECT_EQ(states.check(batch(0, 1, 3)).verdict, SequenceVerdict::out_of_order);
  EXPECT_EQ(states.check(batch(0, INT32_MIN, 0)).verdict, SequenceVerdict::out_of_order);

  ProducerStates across;
  across.update(batch(0, INT32_MAX - 1, 2, 20));  // five records
  EXPECT_EQ(across.check(batch(0, 3, 3)).verdict, SequenceVerdict::accept);
  const SequenceCheck again = across.check(batch(0, INT32_MAX - 1, 2));
  EXPECT_EQ(again.verdict, SequenceVerdict::duplicate);
  EXPECT_EQ(again.first_offset, 20);
  EXPECT_EQ(again.last_offset, 24);
}

TEST(ProducerState, a_new_epoch_forgets_batches_of_the_old_one) {
  ProducerStates states;
  states.update(batch(0, 0, 4, 0));
  states.update(batch(1, 0, 4, 5));
  EXPECT_EQ(states.check(batch(1, 0, 4)).first_offset, 5);
  EXPECT_EQ(states.check(batch(0, 0, 4)).verdict, SequenceVerdict::fenced_epoch);
  EXPECT_EQ(states.find(1)->batch_count, 1);
}

TEST(ProducerState, a_marker_with_a_higher_epoch_demands_sequence_zero) {
  ProducerStates states;
  states.update(batch(0, 0, 4, 0, true));
  EXPECT_EQ(states.first_unstable_offset(), 0);
  EXPECT_EQ(states.end_transaction(1, 1, 9, 5, 600), 0);
  EXPECT_EQ(states.first_unstable_offset(), std::nullopt);
  EXPECT_EQ(states.find(1)->coordinator_epoch, 9);
  EXPECT_EQ(states.check(batch(1, 5, 9)).verdict, SequenceVerdict::out_of_order);
  EXPECT_EQ(states.check(batch(1, 0, 4)).verdict, SequenceVerdict::accept);
  EXPECT_EQ(states.end_transaction(1, 1, 9, 6, 700), std::nullopt);
}

TEST(ProducerState, a_batch_outside_of_an_open_transaction_is_refused) {
  ProducerStates states;
  states.update(batch(0, 0, 4, 0, true));
  EXPECT_EQ(states.check(batch(0, 5, 9)).verdict, SequenceVerdict::invalid_txn_state);
  EXPECT_EQ(states.check(batch(0, 5, 9, -1, true)).verdict, SequenceVerdict::accept);
  states.update(batch(0, 5, 9, 50, true));
  EXPECT_EQ(states.first_unstable_offset(), 0);
}

TEST(ProducerState, idle_producers_expire_but_not_with_an_open_transaction) {
  ProducerStates states;
  states.update({1, 0, 0, 0, 0, 0, 1000, false});
  states.update({2, 0, 0, 0, 1, 1, 1500, false});
  states.update({3, 0, 0, 0, 2, 2, 1000, true});
  states.expire(1999, 1000);
  EXPECT_EQ(states.entries().size(), 3u);
  states.expire(2000, 1000);
  EXPECT_EQ(states.find(1), nullptr);
  EXPECT_NE(states.find(2), nullptr);
  EXPECT_NE(states.find(3), nullptr);
  // Nothing is known any more: any sequence goes.
  EXPECT_EQ(states.check(batch(0, 77, 80)).verdict, SequenceVerdict::accept);
}

}  // namespace
}  // namespace drave::segments
