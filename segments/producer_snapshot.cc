#include "segments/producer_snapshot.h"

#include "base/crc32c.h"

namespace drave::segments {
namespace {

constexpr std::int16_t kVersion = 1;
constexpr std::size_t kCrcAt = 2;
constexpr std::size_t kCountAt = 6;
constexpr std::size_t kHeaderSize = 10;
constexpr std::size_t kEntrySize = 46;

ProducerEntry read_entry(const std::uint8_t* at) {
  ProducerEntry entry;
  entry.producer_id = load_big<std::int64_t>(at);
  entry.epoch = load_big<std::int16_t>(at + 8);
  ProducerEntry::Batch batch;
  batch.last_sequence = load_big<std::int32_t>(at + 10);
  batch.last_offset = load_big<std::int64_t>(at + 14);
  batch.offset_delta = load_big<std::int32_t>(at + 22);
  batch.timestamp = load_big<std::int64_t>(at + 26);
  entry.last_timestamp = batch.timestamp;
  entry.coordinator_epoch = load_big<std::int32_t>(at + 34);
  entry.transaction_first_offset = load_big<std::int64_t>(at + 38);
  if (batch.last_offset >= 0) {
    entry.batches[0] = batch;
    entry.batch_count = 1;
  }
  return entry;
}

void write_entry(std::uint8_t* at, const ProducerEntry& entry) {
  ProducerEntry::Batch batch;
  if (entry.batch_count > 0) batch = entry.batches[entry.batch_count - 1];
  store_big(at, entry.producer_id);
  store_big(at + 8, entry.epoch);
  store_big(at + 10, batch.last_sequence);
  store_big(at + 14, batch.last_offset);
  store_big(at + 22, batch.offset_delta);
  store_big(at + 26, entry.last_timestamp);
  store_big(at + 34, entry.coordinator_epoch);
  store_big(at + 38, entry.transaction_first_offset);
}

}  // namespace

Result<std::vector<ProducerEntry>> decode_producer_snapshot(ByteView bytes) {
  if (bytes.size() < kHeaderSize) return failure(Errc::corrupt, "producer snapshot: too short");
  if (load_big<std::int16_t>(bytes.data()) != kVersion) {
    return failure(Errc::unsupported, "producer snapshot: unknown version");
  }
  if (load_big<std::uint32_t>(bytes.data() + kCrcAt) != crc32c(bytes.subspan(kCountAt))) {
    return failure(Errc::corrupt, "producer snapshot: crc mismatch");
  }
  const auto count = load_big<std::int32_t>(bytes.data() + kCountAt);
  if (count < 0 || static_cast<std::size_t>(count) != (bytes.size() - kHeaderSize) / kEntrySize ||
      (bytes.size() - kHeaderSize) % kEntrySize != 0) {
    return failure(Errc::corrupt, "producer snapshot: size and count disagree");
  }
  std::vector<ProducerEntry> entries;
  entries.reserve(static_cast<std::size_t>(count));
  for (std::int32_t i = 0; i < count; ++i) {
    entries.push_back(
        read_entry(bytes.data() + kHeaderSize + static_cast<std::size_t>(i) * kEntrySize));
  }
  return entries;
}

std::vector<std::uint8_t> encode_producer_snapshot(const ProducerStates& states) {
  std::vector<std::uint8_t> bytes(kHeaderSize + states.entries().size() * kEntrySize);
  store_big(bytes.data(), kVersion);
  store_big(bytes.data() + kCountAt, static_cast<std::int32_t>(states.entries().size()));
  std::uint8_t* at = bytes.data() + kHeaderSize;
  for (const auto& [id, entry] : states.entries()) {
    write_entry(at, entry);
    at += kEntrySize;
  }
  store_big(bytes.data() + kCrcAt, crc32c(ByteView(bytes).subspan(kCountAt)));
  return bytes;
}

}  // namespace drave::segments
