// The oracle must itself be able to say no.

#include "tools/sim/node/model.h"

#include <gtest/gtest.h>

#include "protocol/batch_builder.h"

namespace drave::simulation {
namespace {

ModelBatch batch_at(Offset first, std::string_view value, Sequence sequence = 0) {
  protocol::BatchOptions options;
  options.base_offset = first;
  options.producer_id = 7;
  options.producer_epoch = 0;
  options.base_sequence = sequence;
  protocol::BatchBuilder builder(options);
  builder.append(1000, std::nullopt, as_bytes(value));
  builder.append(1000, std::nullopt, as_bytes(value));
  ModelBatch batch;
  batch.first = first;
  batch.end = first + 2;
  batch.bytes = std::move(builder).finish();
  batch.producer_id = 7;
  batch.first_sequence = sequence;
  batch.last_sequence = sequence + 1;
  return batch;
}

class SimModel : public testing::Test {
 protected:
  SimModel() : model_("t", {Uuid{1, 2}, 0}) {
    for (int i = 0; i < 5; ++i) model_.appended(batch_at(i * 2, "value", i * 2));
  }
  std::string bounds(Offset start, Offset end) const {
    const auto violation = model_.check_bounds(start, end);
    return violation ? violation->invariant : "";
  }
  std::string read(ByteView bytes, Offset offset) const {
    Offset next = 0;
    const auto violation = model_.check_read(bytes, offset, next);
    return violation ? violation->invariant : "";
  }
  PartitionModel model_;
};

TEST_F(SimModel, anything_between_what_was_acknowledged_and_what_was_appended_may_be_there) {
  model_.acknowledged(4);
  for (Offset end = 4; end <= 10; ++end) EXPECT_EQ(bounds(0, end), "");
  EXPECT_EQ(bounds(0, 2), "acknowledged-record-lost");
  EXPECT_EQ(bounds(0, 12), "unknown-record");
  EXPECT_EQ(bounds(2, 10), "acknowledged-record-lost");
}

TEST_F(SimModel, what_was_recovered_must_stay) {
  model_.acknowledged(4);
  model_.settle(0, 6);
  EXPECT_EQ(bounds(0, 6), "");
  EXPECT_EQ(bounds(0, 4), "acknowledged-record-lost");
  EXPECT_EQ(bounds(0, 8), "truncated-record-returned");
}

TEST_F(SimModel, a_truncation_widens_while_it_runs_and_narrows_when_it_has_ended) {
  model_.acknowledged(10);
  model_.truncate_began(4);
  EXPECT_EQ(bounds(0, 10), "");
  EXPECT_EQ(bounds(0, 4), "");
  model_.truncate_ended();
  EXPECT_EQ(bounds(0, 4), "");
  EXPECT_EQ(bounds(0, 10), "truncated-record-returned");
  model_.appended(batch_at(4, "another", 4));
  EXPECT_EQ(read(batch_at(4, "another", 4).bytes, 4), "");
  EXPECT_EQ(read(batch_at(4, "value", 4).bytes, 4), "truncated-record-returned");
}

TEST_F(SimModel, a_byte_that_differs_and_half_a_batch_are_damage) {
  auto bytes = batch_at(2, "value", 2).bytes;
  EXPECT_EQ(read(bytes, 2), "");
  EXPECT_EQ(read(bytes, 3), "") << "a read may begin inside of a batch";
  EXPECT_EQ(read(ByteView(bytes).first(bytes.size() - 1), 2), "damaged-record-served");
  bytes[70] ^= 1;
  EXPECT_EQ(read(bytes, 2), "damaged-record-served");
  EXPECT_EQ(read(batch_at(10, "value", 10).bytes, 10), "unknown-record");
}

TEST_F(SimModel, the_log_start_moves_forward_only_when_asked) {
  model_.start_began(3);
  for (Offset start = 0; start <= 3; ++start) EXPECT_EQ(bounds(start, 10), "");
  model_.start_ended(3);
  EXPECT_EQ(bounds(2, 10), "deleted-record-returned");
  EXPECT_EQ(bounds(3, 10), "");
}

TEST_F(SimModel, an_emptied_log_is_empty_where_it_was_told_to_be) {
  model_.acknowledged(10);
  model_.restart_began(50);
  EXPECT_EQ(bounds(50, 50), "");
  EXPECT_EQ(bounds(0, 10), "");
  model_.restart_ended();
  EXPECT_EQ(bounds(50, 50), "");
  EXPECT_NE(bounds(0, 10), "");
}

TEST_F(SimModel, producers_must_be_remembered_with_their_last_batch) {
  segments::ProducerStates states;
  segments::ProducerBatch batch;
  batch.producer_id = 7;
  batch.epoch = 0;
  batch.first_sequence = 8;
  batch.last_sequence = 9;
  batch.first_offset = 8;
  batch.last_offset = 9;
  states.update(batch);
  EXPECT_FALSE(model_.check_producers(states).has_value());
  model_.settle(0, 8);  // the log lost the last batch and the state did not
  const auto violation = model_.check_producers(states);
  ASSERT_TRUE(violation.has_value());
  EXPECT_EQ(violation->invariant, "producer-state-wrong");
}

TEST_F(SimModel, a_log_may_be_cut_where_its_first_batch_is_partly_deleted) {
  model_.start_began(5);
  model_.start_ended(5);
  model_.truncate_began(5);
  model_.truncate_ended();
  EXPECT_EQ(bounds(5, 5), "");
  EXPECT_EQ(model_.find(5), nullptr);
  const ModelBatch next = batch_at(5, "other", 4);
  model_.appended(next);
  EXPECT_EQ(read(next.bytes, 5), "");
}

TEST_F(SimModel, what_a_deleted_partition_held_does_not_return_under_its_id) {
  model_ = model_.made_again();
  EXPECT_EQ(bounds(0, 0), "");
  EXPECT_EQ(bounds(0, 10), "deleted-partition-returned");
  model_.appended(batch_at(0, "other"));
  EXPECT_EQ(bounds(0, 2), "");
  EXPECT_EQ(read(batch_at(0, "value", 0).bytes, 0), "deleted-partition-returned");
  EXPECT_EQ(read(batch_at(0, "other", 0).bytes, 0), "");
}

TEST_F(SimModel, only_what_was_spoilt_may_be_refused) {
  model_.rotted(4);
  EXPECT_TRUE(model_.is_rotten(4));
  EXPECT_TRUE(model_.is_rotten(5));
  EXPECT_FALSE(model_.is_rotten(3));
  EXPECT_FALSE(model_.is_rotten(6));
  EXPECT_EQ(read(batch_at(4, "wrong", 4).bytes, 4), "damaged-record-served");
  EXPECT_TRUE(model_.producers().empty());
  model_.truncate_began(4);
  model_.truncate_ended();
  model_.appended(batch_at(4, "new", 4));
  EXPECT_FALSE(model_.is_rotten(4));
}

}  // namespace
}  // namespace drave::simulation
