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

// What an iterator says of `records` with and without the short way.
struct Told {
  std::vector<std::int64_t> numbers;
  RecordFault fault;
  std::size_t position;
  std::size_t plain = 0;
};

Told tell(ByteView records, std::int32_t count, bool short_way) {
  Told told;
  RecordIterator iterator(records, count);
  RecordIterator::Plain plain;
  RecordView record;
  while (true) {
    if (short_way && iterator.next_plain(plain)) {
      ++told.plain;
    } else if (iterator.next(record)) {
      plain = {record.timestamp_delta, record.offset_delta, record.key_size};
      if (record.has_odd_length) told.numbers.push_back(-7);
    } else {
      break;
    }
    told.numbers.insert(told.numbers.end(),
                        {plain.timestamp_delta, plain.offset_delta, plain.key_size});
  }
  told.fault = iterator.fault();
  told.position = iterator.position();
  return told;
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
    const Told wanted = tell(records, count, false);
    const Told told = tell(records, count, true);
    ASSERT_EQ(told.numbers, wanted.numbers) << round;
    ASSERT_EQ(told.fault, wanted.fault) << round;
    ASSERT_EQ(told.position, wanted.position) << round;
    plain += told.plain;
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
