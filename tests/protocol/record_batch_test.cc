#include "protocol/record_batch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "protocol/batch_builder.h"
#include "protocol/record.h"

namespace drave::protocol {
namespace {

std::vector<std::uint8_t> two_records(BatchOptions options = {}) {
  BatchBuilder builder(options);
  const std::vector<RecordHeaderView> headers = {{"h", as_bytes("x")}, {"", std::nullopt}};
  builder.append(1000, as_bytes("k"), as_bytes("value"));
  builder.append(990, std::nullopt, as_bytes(""), headers);
  return std::move(builder).finish();
}

TEST(RecordBatch, what_is_built_is_parsed) {
  const auto bytes = two_records({.base_offset = 7,
                                  .leader_epoch = 3,
                                  .producer_id = 9,
                                  .producer_epoch = 2,
                                  .base_sequence = INT32_MAX,
                                  .transactional = true});
  const auto batch = parse_batch(bytes);
  ASSERT_TRUE(batch) << batch.error().message();
  EXPECT_TRUE(batch->crc_matches());
  EXPECT_EQ(batch->size_bytes(), bytes.size());
  EXPECT_EQ(batch->base_offset(), 7);
  EXPECT_EQ(batch->last_offset(), 8);
  EXPECT_EQ(batch->leader_epoch(), 3);
  EXPECT_EQ(batch->base_timestamp(), 1000);
  EXPECT_EQ(batch->max_timestamp(), 1000);
  EXPECT_EQ(batch->last_sequence(), 0) << "sequences wrap to 0";
  EXPECT_TRUE(batch->is_transactional());
  EXPECT_FALSE(batch->is_control());
  EXPECT_EQ(batch->codec(), Codec::none);

  RecordIterator records(batch->records(), batch->record_count());
  RecordView record;
  ASSERT_TRUE(records.next(record));
  EXPECT_EQ(as_text(*record.key()), "k");
  EXPECT_EQ(as_text(*record.value()), "value");
  EXPECT_EQ(record.header_count, 0);
  ASSERT_TRUE(records.next(record));
  EXPECT_FALSE(record.key());
  EXPECT_EQ(record.value()->size(), 0u);
  EXPECT_EQ(record.timestamp_delta, -10);
  EXPECT_EQ(record.offset_delta, 1);
  HeaderIterator headers(record);
  auto header = headers.next();
  ASSERT_TRUE(header);
  EXPECT_EQ(header->key, "h");
  EXPECT_EQ(as_text(*header->value), "x");
  header = headers.next();
  ASSERT_TRUE(header);
  EXPECT_EQ(header->key, "");
  EXPECT_FALSE(header->value);
  EXPECT_FALSE(headers.next());
  EXPECT_FALSE(records.next(record));
  EXPECT_EQ(records.fault(), RecordFault::none);
}

TEST(RecordBatch, header_round_trips) {
  const auto bytes = two_records({.base_offset = 1LL << 40, .leader_epoch = 5});
  const BatchHeader header = BatchHeader::read(bytes.data());
  std::vector<std::uint8_t> again(kBatchHeaderSize);
  header.write(again.data());
  EXPECT_TRUE(std::equal(again.begin(), again.end(), bytes.begin()));
}

TEST(RecordBatch, every_cut_is_torn_and_never_corrupt) {
  const auto bytes = two_records();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const auto batch = parse_batch(ByteView(bytes).first(size));
    ASSERT_FALSE(batch);
    EXPECT_EQ(batch.error().code, Errc::torn) << size;
    const auto peeked = peek_batch_size(ByteView(bytes).first(size));
    ASSERT_EQ(peeked.has_value(), size >= kBatchMagicEnd);
    if (peeked) EXPECT_EQ(*peeked, bytes.size());
  }
}

TEST(RecordBatch, sizes_and_magics_that_make_no_sense_are_corrupt) {
  for (const std::int32_t size : {-1, 0, 13, 14, 48, INT32_MIN, INT32_MAX}) {
    auto bytes = two_records();
    store_big(bytes.data() + batch_field::kSize, size);
    const auto batch = parse_batch(bytes);
    ASSERT_FALSE(batch);
    EXPECT_EQ(batch.error().code, Errc::corrupt) << size;
    BatchIterator batches(bytes);
    EXPECT_FALSE(batches.next());
    EXPECT_TRUE(batches.corrupt()) << size;
    EXPECT_NE(batches.message(), "");
  }
  for (const int magic : {-1, 3, 127}) {
    auto bytes = two_records();
    bytes[batch_field::kMagic] = static_cast<std::uint8_t>(magic);
    EXPECT_EQ(parse_batch(bytes).error().code, Errc::corrupt);
  }
}

TEST(RecordBatch, iterator_tells_the_incomplete_tail_from_corruption) {
  auto bytes = two_records();
  const std::size_t one = bytes.size();
  const auto second = two_records({.base_offset = 2});
  bytes.insert(bytes.end(), second.begin(), second.end() - 1);
  BatchIterator batches(bytes);
  ASSERT_TRUE(batches.next());
  EXPECT_FALSE(batches.next());
  EXPECT_FALSE(batches.corrupt());
  EXPECT_EQ(batches.position(), one);
  EXPECT_EQ(batches.remaining(), second.size() - 1);
}

TEST(RecordBatch, stamping_keeps_the_crc) {
  auto bytes = two_records();
  stamp_batch(bytes, 1234567890123, 42);
  const auto batch = parse_batch(bytes);
  EXPECT_TRUE(batch->crc_matches());
  EXPECT_EQ(batch->base_offset(), 1234567890123);
  EXPECT_EQ(batch->leader_epoch(), 42);
}

TEST(RecordBatch, setting_the_append_time_renews_the_crc) {
  auto bytes = two_records();
  const std::uint32_t before = parse_batch(bytes)->crc();
  EXPECT_FALSE(set_max_timestamp(bytes, TimestampType::create_time, 1000)) << "nothing to change";
  EXPECT_EQ(parse_batch(bytes)->crc(), before);
  EXPECT_TRUE(set_max_timestamp(bytes, TimestampType::log_append_time, 5000));
  const auto batch = parse_batch(bytes);
  EXPECT_NE(batch->crc(), before);
  EXPECT_TRUE(batch->crc_matches());
  EXPECT_EQ(batch->max_timestamp(), 5000);
  EXPECT_EQ(batch->timestamp_type(), TimestampType::log_append_time);
}

TEST(RecordBatch, any_flipped_bit_behind_the_crc_is_noticed) {
  const auto good = two_records();
  for (std::size_t bit = batch_field::kCrc * 8; bit < good.size() * 8; ++bit) {
    auto bytes = good;
    bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] ^ (1U << (bit % 8)));
    ASSERT_FALSE(parse_batch(bytes)->crc_matches()) << bit;
  }
}

TEST(RecordBatch, records_that_do_not_fill_the_batch_are_a_fault) {
  const auto bytes = two_records();
  const auto batch = parse_batch(bytes);
  const auto fault_of = [](ByteView records, std::int32_t count) {
    RecordIterator iterator(records, count);
    for (RecordView record; iterator.next(record);) continue;
    return iterator.fault();
  };
  EXPECT_EQ(fault_of(batch->records(), 2), RecordFault::none);
  EXPECT_EQ(fault_of(batch->records(), 1), RecordFault::bytes_left_over);
  EXPECT_EQ(fault_of(batch->records(), 3), RecordFault::ends_early);
  EXPECT_EQ(fault_of(batch->records(), -1), RecordFault::ends_early);
  EXPECT_EQ(fault_of(batch->records(), 0), RecordFault::none) << "as Kafka: it looks at nothing";
  for (std::size_t size = 0; size < batch->records().size(); ++size) {
    EXPECT_NE(fault_of(batch->records().first(size), 2), RecordFault::none) << size;
  }
}

// What an iterator says of `records`, one by one.
struct Told {
  std::vector<RecordView> records;
  RecordFault fault = RecordFault::none;
  std::size_t position = 0;
};

Told tell(ByteView records, std::int32_t count) {
  Told told;
  RecordIterator iterator(records, count);
  for (RecordView record; iterator.next(record);) told.records.push_back(record);
  told.fault = iterator.fault();
  told.position = iterator.position();
  return told;
}

// That a run is what next() tells of the same records; how many they are.
std::int32_t expect_same(const RecordIterator::PlainRun& run, const RecordView* records) {
  std::int64_t oldest = INT64_MAX;
  std::int64_t newest = INT64_MIN;
  std::int32_t newest_at = 0;
  bool has_null_key = false;
  for (std::int32_t i = 0; i < run.count; ++i) {
    oldest = std::min(oldest, records[i].timestamp_delta);
    if (records[i].timestamp_delta > newest) newest_at = i;
    newest = std::max(newest, records[i].timestamp_delta);
    has_null_key |= records[i].key_size < 0;
    EXPECT_FALSE(records[i].has_odd_length);
    EXPECT_EQ(records[i].header_count, 0);
    EXPECT_EQ(records[i].offset_delta, records[0].offset_delta + i);
  }
  EXPECT_EQ(run.timestamp_delta_min, oldest);
  EXPECT_EQ(run.timestamp_delta_max, newest);
  EXPECT_EQ(run.timestamp_max_at, newest_at);
  EXPECT_EQ(run.has_null_key, has_null_key);
  return run.count;
}

// Walks by runs, and by next() where they end, and compares with `wanted`; how many were in runs.
std::size_t walk_by_runs(ByteView records, std::int32_t count, const Told& wanted) {
  RecordIterator iterator(records, count);
  RecordView record;
  std::size_t plain = 0;
  std::size_t at = 0;
  while (true) {
    const RecordIterator::PlainRun run = iterator.pass_plain(static_cast<std::int32_t>(at));
    if (at + static_cast<std::size_t>(run.count) > wanted.records.size()) {
      ADD_FAILURE() << "passes what is no record";
      break;
    }
    const std::int32_t passed = expect_same(run, wanted.records.data() + at);
    plain += static_cast<std::size_t>(passed);
    at += static_cast<std::size_t>(passed);
    if (!iterator.next(record)) break;
    EXPECT_EQ(record.value_begin, wanted.records.at(at).value_begin);
    ++at;
  }
  EXPECT_EQ(at, wanted.records.size());
  EXPECT_EQ(iterator.fault(), wanted.fault);
  EXPECT_EQ(iterator.position(), wanted.position);
  return plain;
}

TEST(RecordBatch, the_short_way_through_records_tells_the_same) {
  Random random(5);
  std::size_t plain = 0;
  std::size_t faults = 0;
  for (int round = 0; round < 3000; ++round) {
    BatchBuilder builder({});
    const int count = 1 + static_cast<int>(random.below(20));
    const std::vector<std::uint8_t> bytes(20'000, 'x');
    for (int i = 0; i < count; ++i) {
      const std::size_t most = random.below(8) == 0 ? 20'000 : 200;
      std::optional<ByteView> key;
      if (random.below(2) == 0) key = ByteView(bytes).first(random.below(most));
      std::optional<ByteView> value;
      if (random.below(4) > 0) value = ByteView(bytes).first(random.below(most));
      builder.append(1000 + static_cast<TimestampMs>(random.below(1 << 18)), key, value);
    }
    std::vector<std::uint8_t> batch = std::move(builder).finish();
    const std::size_t size = batch.size() - kBatchHeaderSize;
    // Half are damaged where numbers stand, or cut.
    if (round % 2 == 1) {
      for (std::uint64_t i = random.below(4); i > 0; --i)
        batch[kBatchHeaderSize + random.below(std::min<std::size_t>(size, 400))] =
            static_cast<std::uint8_t>(random.next());
    }
    const std::size_t kept = random.below(8) == 0 ? random.below(size + 1) : size;
    const ByteView records = ByteView(batch).subspan(kBatchHeaderSize, kept);
    const Told wanted = tell(records, count);
    plain += walk_by_runs(records, count, wanted);
    ASSERT_FALSE(HasFailure()) << round;
    faults += wanted.fault == RecordFault::none ? 0 : 1;
  }
  EXPECT_GT(plain, 10'000u);
  EXPECT_GT(faults, 300u);
}

TEST(RecordBatch, an_empty_batch_keeps_its_offsets) {
  const auto bytes = BatchBuilder({.base_offset = 5, .last_offset_delta = 3}).finish();
  const auto batch = parse_batch(bytes);
  EXPECT_EQ(batch->size_bytes(), kBatchHeaderSize);
  EXPECT_EQ(batch->last_offset(), 8);
  EXPECT_EQ(batch->record_count(), 0);
}

}  // namespace
}  // namespace drave::protocol
