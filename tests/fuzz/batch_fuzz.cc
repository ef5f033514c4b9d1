// Record batches: reading, validation of produced ones, every codec, re-encoding.
//
// The first byte chooses: bits 0-2 the topic's codec (5 and above: producer), 3 append time, 4
// compacted, 5 mends size, base offset, magic and CRC, so that what stands behind them is reached,
// 6 allows transactions. The rest is what a client sends.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/assert.h"
#include "protocol/batch_validator.h"
#include "protocol/compression.h"
#include "protocol/control_record.h"
#include "protocol/legacy_batch.h"
#include "protocol/recompress.h"
#include "protocol/record.h"
#include "protocol/record_batch.h"

namespace drave::protocol {
namespace {

using Bytes = std::vector<std::uint8_t>;
constexpr std::size_t kBudget = 1UL << 20;
constexpr TimestampMs kNow = 1'700'000'000'000;

std::size_t walk(ByteView records, std::int32_t count) {
  RecordIterator iterator(records, count);
  std::size_t walked = 0;
  for (RecordView record; iterator.next(record); ++walked) {
    HeaderIterator headers(record);
    std::int32_t header_count = 0;
    while (headers.next()) ++header_count;
    ASSERT_EQUAL(header_count, record.header_count);
    if (const auto type = parse_control_key(record.key()); type && type->has_value()) {
      if (const auto epoch = parse_end_marker_value(record.value()); !epoch) continue;
    }
  }
  return walked;
}

void read(ByteView bytes) {
  BatchIterator batches(bytes);
  while (const auto batch = batches.next()) {
    ASSERT_AT_MOST(batches.position(), bytes.size());
    batch->crc_matches();
    if (!batch->codec()) continue;
    if (batch->is_legacy()) {
      if (const auto legacy = LegacyBatch::read(*batch, kBudget)) {
        ASSERT(!legacy->records().empty());
      }
      continue;
    }
    Bytes decoded;
    if (decompress(*batch->codec(), batch->records(), decoded, kBudget)) {
      walk(decoded, batch->record_count());
    }
    ASSERT_AT_MOST(decoded.size(), kBudget);
  }
}

void mend(Bytes& bytes) {
  if (bytes.size() < kBatchHeaderSize) return;
  BatchHeader header = BatchHeader::read(bytes.data());
  header.base_offset = 0;
  header.size = static_cast<std::int32_t>(bytes.size() - kBatchSizeFieldEnd);
  header.magic = kBatchMagic;
  header.write(bytes.data());
  set_batch_crc(bytes);
}

void check_accepted(Bytes bytes, const AcceptedBatch& accepted) {
  bytes.resize(accepted.size_bytes);
  accept_batch(bytes, accepted, 1000, 7);
  const auto batch = parse_batch(bytes);
  ASSERT(batch.has_value());
  ASSERT(batch->crc_matches());
  ASSERT_EQUAL(batch->last_offset(), 1000 + accepted.record_count - 1);
  Bytes decoded;
  ASSERT(decompress(accepted.codec, batch->records(), decoded, kBudget).has_value());
  ASSERT_EQUAL(walk(decoded, batch->record_count()),
               static_cast<std::size_t>(accepted.record_count));

  Recompression recompression(*batch, {.codec = accepted.stored_codec});
  while (true) {
    const auto done = recompression.step();
    ASSERT(done.has_value());
    if (*done) break;
  }
  const auto again = parse_batch(recompression.result());
  ASSERT(again.has_value());
  ASSERT(again->crc_matches());
  Bytes decoded_again;
  ASSERT(decompress(accepted.stored_codec, again->records(), decoded_again).has_value());
  ASSERT(decoded == decoded_again);
}

void produce(std::uint8_t choice, ByteView input) {
  Bytes bytes(input.begin(), input.end());
  if ((choice & 0x20) != 0) mend(bytes);
  ValidationOptions options;
  options.now_ms = kNow;
  options.topic = "t";
  options.decoded_bytes_max = kBudget;
  if ((choice & 7) < kCodecCount) options.codec = static_cast<Codec>(choice & 7);
  if ((choice & 8) != 0) options.timestamp_type = TimestampType::log_append_time;
  options.compacted = (choice & 0x10) != 0;
  options.transactional_allowed = (choice & 0x40) != 0;
  const Verdict verdict = validate_produced(bytes, options);
  if (verdict.error == ErrorCode::none) check_accepted(std::move(bytes), verdict.batch);
}

}  // namespace
}  // namespace drave::protocol

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace drave::protocol;
  if (size == 0) return 0;
  const drave::ByteView input(data + 1, size - 1);
  read(input);
  produce(data[0], input);
  return 0;
}
