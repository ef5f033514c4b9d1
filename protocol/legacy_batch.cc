#include "protocol/legacy_batch.h"

#include <utility>

#include "base/assert.h"

namespace drave::protocol {
namespace {

constexpr std::size_t kAttributes = 17;
constexpr std::size_t kTimestamp = 18;
constexpr std::size_t kPayload = 18;  // of magic 0; eight more for magic 1

struct Message {
  LegacyRecord record;
  bool append_time = false;
};

bool take_sized(ByteView& bytes, std::optional<ByteView>& out) {
  if (bytes.size() < sizeof(std::int32_t)) return false;
  const auto size = load_big<std::int32_t>(bytes.data());
  bytes = bytes.subspan(sizeof(size));
  out.reset();
  if (size < 0) return true;
  if (static_cast<std::size_t>(size) > bytes.size()) return false;
  out = bytes.first(static_cast<std::size_t>(size));
  bytes = bytes.subspan(static_cast<std::size_t>(size));
  return true;
}

Result<Message> parse_message(BatchView batch) {
  const ByteView bytes = batch.bytes();
  Message message;
  std::size_t at = kPayload;
  if (batch.magic() == 1) {
    at += sizeof(TimestampMs);
    if (bytes.size() < at) return failure(Errc::corrupt, "a message shorter than its header");
    message.record.timestamp = load_big<TimestampMs>(bytes.data() + kTimestamp);
    message.append_time = (bytes[kAttributes] & batch_attribute::kLogAppendTime) != 0;
  }
  message.record.offset = batch.base_offset();
  ByteView rest = bytes.subspan(at);
  if (!take_sized(rest, message.record.key) || !take_sized(rest, message.record.value)) {
    return failure(Errc::corrupt, "a message whose key or value is longer than itself");
  }
  return message;
}

Result<void> read_inner(BatchView wrapper, const Message& outer, ByteView decoded,
                        std::vector<LegacyRecord>& records) {
  BatchIterator messages(decoded);
  while (const auto inner = messages.next()) {
    if (inner->magic() != wrapper.magic() || inner->codec_bits() != 0) {
      return failure(Errc::corrupt, "a compressed message set inside another, or of mixed magic");
    }
    if (!inner->crc_matches()) return failure(Errc::corrupt, "crc mismatch of an inner message");
    TRY(Message message, parse_message(*inner));
    if (outer.append_time) message.record.timestamp = outer.record.timestamp;
    records.push_back(message.record);
  }
  if (messages.corrupt() || messages.remaining() > 0 || records.empty()) {
    return failure(Errc::corrupt, "a compressed message set that does not hold whole messages");
  }
  if (wrapper.magic() == 1) {
    const auto last = static_cast<std::uint64_t>(records.back().offset);
    // Some old clients left the wrapper's offset at 0: then the inner offsets count from there.
    const auto wrapped = static_cast<std::uint64_t>(wrapper.base_offset());
    const std::uint64_t base = wrapped == 0 ? 0 : wrapped - last;
    for (LegacyRecord& record : records) {
      record.offset = static_cast<Offset>(base + static_cast<std::uint64_t>(record.offset));
    }
  }
  return {};
}

}  // namespace

Result<LegacyBatch> LegacyBatch::read(BatchView batch, std::size_t decoded_bytes_max) {
  ASSERT(batch.is_legacy());
  LegacyBatch result;
  TRY(const Message outer, parse_message(batch));
  if (batch.magic() == 1) {
    result.timestamp_type_ =
        outer.append_time ? TimestampType::log_append_time : TimestampType::create_time;
    result.max_timestamp_ = outer.record.timestamp;
  }
  const std::optional<Codec> codec = batch.codec();
  if (!codec || *codec == Codec::zstd) {
    return failure(Errc::corrupt, "a codec that this message format never had");
  }
  if (*codec == Codec::none) {
    result.records_.push_back(outer.record);
    return result;
  }
  if (!outer.record.value) return failure(Errc::corrupt, "a compressed message without a value");
  Decompressor decompressor;
  decompressor.start(
      *codec, *outer.record.value,
      {.decoded_bytes_max = decoded_bytes_max, .ignore_lz4_header_checksum = batch.magic() == 0});
  while (true) {
    TRY(const DecodedSlice slice, decompressor.step());
    if (slice.end) break;
    result.decoded_.insert(result.decoded_.end(), slice.bytes.begin(), slice.bytes.end());
  }
  TRY_VOID(read_inner(batch, outer, result.decoded_, result.records_));
  return result;
}

}  // namespace drave::protocol
