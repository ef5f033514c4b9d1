#include "protocol/batch_validator.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/random.h"
#include "protocol/batch_builder.h"
#include "protocol/control_record.h"

namespace drave::protocol {
namespace {

using Bytes = std::vector<std::uint8_t>;
constexpr TimestampMs kNow = 1'700'000'000'000;

Bytes batch_of(int count, BatchOptions options = {}, std::size_t value_size = 10) {
  BatchBuilder builder(options);
  const Bytes value(value_size, 'v');
  for (int i = 0; i < count; ++i) builder.append(kNow + i, as_bytes("key"), value);
  return std::move(builder).finish();
}

ValidationOptions options_now() {
  ValidationOptions options;
  options.now_ms = kNow;
  options.topic = "t";
  return options;
}

TEST(BatchValidator, accepts_and_tells_what_the_partition_needs) {
  const Bytes bytes = batch_of(
      3,
      {.producer_id = 9, .producer_epoch = 2, .base_sequence = INT32_MAX, .transactional = true});
  auto options = options_now();
  options.transactional_allowed = true;
  const Verdict verdict = validate_produced(bytes, options);
  ASSERT_EQ(verdict.error, ErrorCode::none);
  EXPECT_EQ(verdict.batch.size_bytes, bytes.size());
  EXPECT_EQ(verdict.batch.record_count, 3);
  EXPECT_EQ(verdict.batch.last_offset_delta, 2);
  EXPECT_EQ(verdict.batch.max_timestamp, kNow + 2);
  EXPECT_EQ(verdict.batch.max_timestamp_offset_delta, 2);
  EXPECT_EQ(verdict.batch.producer_id, 9);
  EXPECT_EQ(verdict.batch.producer_epoch, 2);
  EXPECT_EQ(verdict.batch.first_sequence, INT32_MAX);
  EXPECT_EQ(verdict.batch.last_sequence, 1);
  EXPECT_TRUE(verdict.batch.transactional);
  EXPECT_FALSE(verdict.batch.needs_recompression());
}

TEST(BatchValidator, append_time_is_written_into_the_stored_batch) {
  Bytes bytes = batch_of(2);
  auto options = options_now();
  options.timestamp_type = TimestampType::log_append_time;
  options.now_ms = kNow + 5000;
  const Verdict verdict = validate_produced(bytes, options);
  ASSERT_EQ(verdict.error, ErrorCode::none);
  EXPECT_EQ(verdict.batch.max_timestamp_offset_delta, 1);
  accept_batch(bytes, verdict.batch, 77, 5);
  const auto batch = parse_batch(bytes);
  EXPECT_TRUE(batch->crc_matches());
  EXPECT_EQ(batch->base_offset(), 77);
  EXPECT_EQ(batch->leader_epoch(), 5);
  EXPECT_EQ(batch->timestamp_type(), TimestampType::log_append_time);
  EXPECT_EQ(batch->max_timestamp(), kNow + 5000);
}

TEST(BatchValidator, a_correct_batch_is_stored_as_sent) {
  const Bytes sent = batch_of(5);
  Bytes stored = sent;
  accept_batch(stored, validate_produced(sent, options_now()).batch, 3, 1);
  EXPECT_TRUE(std::equal(sent.begin() + batch_field::kMagic, sent.end(),
                         stored.begin() + batch_field::kMagic));
}

TEST(BatchValidator, a_producer_must_not_say_append_time) {
  auto options = options_now();
  options.timestamp_type = TimestampType::log_append_time;
  const Verdict verdict =
      validate_produced(batch_of(1, {.timestamp_type = TimestampType::log_append_time}), options);
  EXPECT_EQ(verdict.error, ErrorCode::invalid_timestamp);
  EXPECT_EQ(verdict.record_failures.size(), 1u);
}

TEST(BatchValidator, compacted_topics_need_keys) {
  BatchBuilder builder({});
  builder.append(kNow, as_bytes("k"), as_bytes("v"));
  builder.append(kNow, std::nullopt, as_bytes("v"));
  const Bytes bytes = std::move(builder).finish();
  auto options = options_now();
  EXPECT_EQ(validate_produced(bytes, options).error, ErrorCode::none);
  options.compacted = true;
  const Verdict verdict = validate_produced(bytes, options);
  EXPECT_EQ(verdict.error, ErrorCode::invalid_record);
  ASSERT_EQ(verdict.record_failures.size(), 1u);
  EXPECT_EQ(verdict.record_failures[0].batch_index, 1);
  EXPECT_EQ(verdict.record_failures[0].message,
            "Compacted topic cannot accept message without key in topic partition t-0.");
  EXPECT_EQ(*verdict.message,
            "One or more records have been rejected due to 1 record errors in total, and only "
            "showing the first three errors at most: [RecordError(batchIndex=1, message='Compacted "
            "topic cannot accept message without key in topic partition t-0.')]");
}

TEST(BatchValidator, timestamps_have_their_limits_on_both_sides) {
  auto options = options_now();
  options.timestamp_before_max_ms = 1000;
  options.timestamp_after_max_ms = 1000;
  for (const auto& [now, error] :
       {std::pair(kNow, ErrorCode::none), std::pair(kNow + 1000, ErrorCode::none),
        std::pair(kNow + 1001, ErrorCode::invalid_timestamp),
        std::pair(kNow - 1000, ErrorCode::none),
        std::pair(kNow - 1001, ErrorCode::invalid_timestamp)}) {
    options.now_ms = now;
    EXPECT_EQ(validate_produced(batch_of(1), options).error, error) << now - kNow;
  }
}

TEST(BatchValidator, only_so_many_faulty_records_are_named) {
  auto options = options_now();
  options.now_ms = 0;
  options.timestamp_after_max_ms = 0;
  const Verdict verdict = validate_produced(batch_of(5000), options);
  EXPECT_EQ(verdict.error, ErrorCode::invalid_timestamp);
  EXPECT_EQ(verdict.record_failures.size(), kRecordErrorsMax);
}

TEST(BatchValidator, sizes_have_their_limits) {
  const Bytes bytes = batch_of(10);
  auto options = options_now();
  options.batch_bytes_max = bytes.size();
  options.segment_bytes_max = bytes.size();
  EXPECT_EQ(validate_produced(bytes, options).error, ErrorCode::none);
  options.segment_bytes_max = bytes.size() - 1;
  EXPECT_EQ(validate_produced(bytes, options).error, ErrorCode::record_list_too_large);
  options.batch_bytes_max = bytes.size() - 1;
  EXPECT_EQ(validate_produced(bytes, options).error, ErrorCode::message_too_large);
}

TEST(BatchValidator, zstd_needs_produce_version_7) {
  const Bytes bytes = batch_of(1, {.codec = Codec::zstd});
  auto options = options_now();
  options.produce_version = 6;
  EXPECT_EQ(validate_produced(bytes, options).error, ErrorCode::unsupported_compression_type);
  options.produce_version = 7;
  EXPECT_EQ(validate_produced(bytes, options).error, ErrorCode::none);
}

TEST(BatchValidator, clients_write_no_control_records) {
  auto options = options_now();
  options.transactional_allowed = true;
  const Bytes marker =
      build_end_marker({.type = ControlType::commit, .producer_id = 1, .producer_epoch = 0}, 0, -1);
  EXPECT_EQ(validate_produced(marker, options).error, ErrorCode::invalid_record);
}

TEST(BatchValidator, a_bomb_is_too_large) {
  const Bytes bytes = batch_of(1, {.codec = Codec::zstd}, 4UL << 20);
  auto options = options_now();
  EXPECT_EQ(validate_produced(bytes, options).error, ErrorCode::none);
  options.decoded_bytes_max = 1UL << 20;
  EXPECT_EQ(validate_produced(bytes, options).error, ErrorCode::message_too_large);
}

TEST(BatchValidator, large_batches_are_judged_in_many_short_steps) {
  for (const Codec codec : {Codec::none, Codec::gzip, Codec::snappy, Codec::lz4, Codec::zstd}) {
    const Bytes bytes = batch_of(300'000, {.codec = codec});
    auto options = options_now();
    options.batch_bytes_max = 1UL << 30;
    BatchValidation validation(bytes, options);
    std::size_t steps = 1;
    while (!validation.step()) ++steps;
    EXPECT_EQ(validation.verdict().error, ErrorCode::none) << to_string(codec);
    EXPECT_GE(steps, 300'000u / (2 * kValidationStepRecords)) << to_string(codec);
  }
}

TEST(BatchValidator, stored_codec_is_the_topics) {
  auto options = options_now();
  options.codec = Codec::lz4;
  EXPECT_TRUE(validate_produced(batch_of(1), options).batch.needs_recompression());
  EXPECT_FALSE(
      validate_produced(batch_of(1, {.codec = Codec::lz4}), options).batch.needs_recompression());
}

// Whatever the codec and however the records are sliced, the stream agrees with the plain walk.
TEST(BatchValidator, the_stream_judges_as_the_walk_does) {
  Random random(11);
  int refused = 0;
  for (int round = 0; round < 3000; ++round) {
    Bytes plain = batch_of(1 + static_cast<int>(random.below(6)), {}, random.below(30));
    const std::uint64_t flips = random.below(3);
    for (std::uint64_t i = 0; i < flips; ++i) {
      const std::size_t at = kBatchHeaderSize + random.below(plain.size() - kBatchHeaderSize);
      plain[at] ^= static_cast<std::uint8_t>(1U << random.below(8));
    }
    if (random.one_in(6)) plain.push_back(0);
    if (random.one_in(6)) plain.pop_back();
    BatchHeader header = BatchHeader::read(plain.data());
    header.size = static_cast<std::int32_t>(plain.size() - kBatchSizeFieldEnd);
    header.write(plain.data());
    set_batch_crc(plain);
    const Verdict walked = validate_produced(plain, options_now());

    RecordStream stream(header.record_count);
    ByteView rest = ByteView(plain).subspan(kBatchHeaderSize);
    std::int32_t index = 0;
    bool odd = false;
    while (!rest.empty() && stream.fault() == RecordFault::none) {
      ByteView slice = rest.first(std::min<std::size_t>(rest.size(), 1 + random.below(9)));
      rest = rest.subspan(slice.size());
      RecordSummary record;
      while (stream.next(slice, record)) {
        odd |= record.has_odd_length || record.offset_delta != index;
        ++index;
      }
    }
    stream.finish();
    const bool streamed_well = stream.fault() == RecordFault::none && !odd;
    const bool walked_well =
        walked.error == ErrorCode::none || walked.error == ErrorCode::invalid_timestamp;
    ASSERT_EQ(streamed_well, walked_well) << round << " " << to_string(stream.fault());
    refused += walked_well ? 0 : 1;
  }
  EXPECT_GT(refused, 500);
  EXPECT_LT(refused, 2500);
}

// A plain batch is judged by runs of records, a compressed one record by record.
TEST(BatchValidator, a_run_of_records_is_judged_as_each_of_them) {
  Random random(13);
  DecompressorPool pool;
  int refused = 0;
  for (int round = 0; round < 2000; ++round) {
    BatchBuilder plain({});
    BatchBuilder packed({.codec = Codec::lz4});
    const TimestampMs base = random.one_in(10) ? TimestampMs{-1} + random.between(0, 1) : kNow;
    for (std::uint64_t i = 1 + random.below(8); i > 0; --i) {
      const TimestampMs timestamp = base + random.between(0, 5) * (random.one_in(9) ? 400 : 1);
      const auto key = random.one_in(9) ? std::nullopt : std::optional<ByteView>(as_bytes("key"));
      plain.append(timestamp, key, as_bytes("v"));
      packed.append(timestamp, key, as_bytes("v"));
    }
    auto options = options_now();
    options.compacted = random.one_in(3);
    options.timestamp_before_max_ms = base == kNow ? 1000 : INT64_MAX;
    options.timestamp_after_max_ms = 1000;
    options.now_ms = kNow + random.between(-1, 1) * 600;
    const Verdict by_runs = validate_produced(std::move(plain).finish(), options, &pool);
    const Verdict one_by_one = validate_produced(std::move(packed).finish(), options, &pool);
    ASSERT_EQ(by_runs.error, one_by_one.error) << round;
    ASSERT_EQ(by_runs.message, one_by_one.message) << round;
    ASSERT_EQ(by_runs.record_failures.size(), one_by_one.record_failures.size()) << round;
    for (std::size_t i = 0; i < by_runs.record_failures.size(); ++i) {
      ASSERT_EQ(by_runs.record_failures[i].batch_index, one_by_one.record_failures[i].batch_index);
      ASSERT_EQ(by_runs.record_failures[i].message, one_by_one.record_failures[i].message);
    }
    if (by_runs.error != ErrorCode::none) {
      ++refused;
      continue;
    }
    ASSERT_EQ(by_runs.batch.max_timestamp, one_by_one.batch.max_timestamp) << round;
    ASSERT_EQ(by_runs.batch.max_timestamp_offset_delta, one_by_one.batch.max_timestamp_offset_delta)
        << round;
  }
  EXPECT_GT(refused, 300);
  EXPECT_LT(refused, 1700);
}

TEST(BatchValidator, any_bytes_get_a_verdict) {
  Random random(12);
  DecompressorPool pool;
  const Codec codecs[] = {Codec::none, Codec::gzip, Codec::snappy, Codec::lz4, Codec::zstd};
  for (int round = 0; round < 5000; ++round) {
    Bytes bytes = batch_of(1 + static_cast<int>(random.below(40)), {.codec = codecs[round % 5]});
    for (std::uint64_t flips = 1 + random.below(4); flips > 0; --flips) {
      bytes[random.below(bytes.size())] ^= static_cast<std::uint8_t>(1U << random.below(8));
    }
    if (random.one_in(3)) bytes.resize(random.below(bytes.size()));
    if (bytes.size() >= kBatchHeaderSize && !random.one_in(4)) set_batch_crc(bytes);
    const Verdict verdict = validate_produced(bytes, options_now(), &pool);
    if (verdict.error == ErrorCode::none) {
      ASSERT_LE(verdict.batch.size_bytes, bytes.size());
      bytes.resize(verdict.batch.size_bytes);
      accept_batch(bytes, verdict.batch, 1, 1);
      ASSERT_TRUE(parse_batch(bytes)->crc_matches());
    }
  }
}

}  // namespace
}  // namespace drave::protocol
