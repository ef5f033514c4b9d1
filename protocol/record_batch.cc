#include "protocol/record_batch.h"

#include <fmt/format.h>
#include <zlib.h>

#include <array>

#include "base/assert.h"
#include "base/crc32c.h"

namespace drave::protocol {
namespace {

constexpr std::array<std::string_view, kCodecCount> kCodecNames = {"none", "gzip", "snappy", "lz4",
                                                                   "zstd"};

// Of magic 0 and 1: the CRC stands where magic 2 has the leader epoch, and attributes behind magic.
constexpr std::size_t kLegacyCrc = 12;
constexpr std::size_t kLegacyCrcBegin = 16;
constexpr std::size_t kLegacyAttributes = 17;

bool header_fits(const BatchPeek& peek) {
  return peek.magic < kBatchMagic || peek.size >= kBatchHeaderSize;
}

std::string short_header_message(std::size_t size) {
  return fmt::format("Record batch is corrupt (the size {} is smaller than the minimum {})", size,
                     kBatchHeaderSize);
}

}  // namespace

std::string_view to_string(Codec codec) {
  return kCodecNames[static_cast<std::size_t>(codec)];
}

std::optional<Codec> codec_from_name(std::string_view name) {
  for (std::size_t i = 0; i < kCodecNames.size(); ++i) {
    if (kCodecNames[i] == name) return static_cast<Codec>(i);
  }
  return std::nullopt;
}

BatchHeader BatchHeader::read(const std::uint8_t* at) {
  BatchHeader header;
  header.base_offset = load_big<Offset>(at + batch_field::kBaseOffset);
  header.size = load_big<std::int32_t>(at + batch_field::kSize);
  header.leader_epoch = load_big<LeaderEpoch>(at + batch_field::kLeaderEpoch);
  header.magic = load_big<std::int8_t>(at + batch_field::kMagic);
  header.crc = load_big<std::uint32_t>(at + batch_field::kCrc);
  header.attributes = load_big<std::int16_t>(at + batch_field::kAttributes);
  header.last_offset_delta = load_big<std::int32_t>(at + batch_field::kLastOffsetDelta);
  header.base_timestamp = load_big<TimestampMs>(at + batch_field::kBaseTimestamp);
  header.max_timestamp = load_big<TimestampMs>(at + batch_field::kMaxTimestamp);
  header.producer_id = load_big<ProducerId>(at + batch_field::kProducerId);
  header.producer_epoch = load_big<ProducerEpoch>(at + batch_field::kProducerEpoch);
  header.base_sequence = load_big<Sequence>(at + batch_field::kBaseSequence);
  header.record_count = load_big<std::int32_t>(at + batch_field::kRecordCount);
  return header;
}

void BatchHeader::write(std::uint8_t* at) const {
  store_big(at + batch_field::kBaseOffset, base_offset);
  store_big(at + batch_field::kSize, size);
  store_big(at + batch_field::kLeaderEpoch, leader_epoch);
  store_big(at + batch_field::kMagic, magic);
  store_big(at + batch_field::kCrc, crc);
  store_big(at + batch_field::kAttributes, attributes);
  store_big(at + batch_field::kLastOffsetDelta, last_offset_delta);
  store_big(at + batch_field::kBaseTimestamp, base_timestamp);
  store_big(at + batch_field::kMaxTimestamp, max_timestamp);
  store_big(at + batch_field::kProducerId, producer_id);
  store_big(at + batch_field::kProducerEpoch, producer_epoch);
  store_big(at + batch_field::kBaseSequence, base_sequence);
  store_big(at + batch_field::kRecordCount, record_count);
}

std::uint32_t BatchView::crc() const {
  return field<std::uint32_t>(is_legacy() ? kLegacyCrc : batch_field::kCrc);
}

bool BatchView::crc_matches() const {
  if (!is_legacy()) return crc() == crc32c(bytes_.subspan(batch_field::kAttributes));
  const ByteView covered = bytes_.subspan(kLegacyCrcBegin);
  return crc() == crc32_z(0, covered.data(), covered.size());
}

std::uint8_t BatchView::codec_bits() const {
  const int attributes_byte =
      is_legacy() ? field<std::int8_t>(kLegacyAttributes) : static_cast<int>(attributes());
  return static_cast<std::uint8_t>(attributes_byte & batch_attribute::kCodecMask);
}

std::optional<Codec> BatchView::codec() const {
  const std::uint8_t bits = codec_bits();
  if (bits >= kCodecCount) return std::nullopt;
  return static_cast<Codec>(bits);
}

std::string BatchPeek::message() const {
  switch (status) {
    case Status::size_too_small:
      return fmt::format("Record size {} is less than the minimum record overhead ({})", size_field,
                         kBatchSizeFieldMin);
    case Status::size_overflow:
      return fmt::format("Record size {} is beyond every limit", size_field);
    case Status::unknown_magic: return fmt::format("Invalid magic found in record: {}", magic);
    case Status::whole:
    case Status::partial: break;
  }
  return {};
}

BatchPeek peek_batch(ByteView bytes) {
  BatchPeek peek;
  if (bytes.size() < kBatchSizeFieldEnd) return peek;
  peek.size_field = load_big<std::int32_t>(bytes.data() + batch_field::kSize);
  if (peek.size_field < kBatchSizeFieldMin) {
    peek.status = BatchPeek::Status::size_too_small;
    return peek;
  }
  if (bytes.size() < kBatchMagicEnd) return peek;
  peek.magic = load_big<std::int8_t>(bytes.data() + batch_field::kMagic);
  if (peek.magic < 0 || peek.magic > kBatchMagic) {
    peek.status = BatchPeek::Status::unknown_magic;
    return peek;
  }
  if (peek.size_field > INT32_MAX - static_cast<std::int32_t>(kBatchSizeFieldEnd)) {
    peek.status = BatchPeek::Status::size_overflow;
    return peek;
  }
  peek.size = static_cast<std::size_t>(peek.size_field) + kBatchSizeFieldEnd;
  if (peek.size <= bytes.size()) peek.status = BatchPeek::Status::whole;
  return peek;
}

Result<std::size_t> peek_batch_size(ByteView bytes) {
  const BatchPeek peek = peek_batch(bytes);
  if (peek.corrupt()) return failure(Errc::corrupt, peek.message());
  if (peek.size == 0) return failure(Errc::torn, "too few bytes to tell the batch's size");
  if (!header_fits(peek)) return failure(Errc::corrupt, short_header_message(peek.size));
  return peek.size;
}

Result<BatchView> parse_batch(ByteView bytes) {
  const BatchPeek peek = peek_batch(bytes);
  if (peek.corrupt()) return failure(Errc::corrupt, peek.message());
  if (peek.size != 0 && !header_fits(peek)) {
    return failure(Errc::corrupt, short_header_message(peek.size));
  }
  if (peek.status == BatchPeek::Status::partial) {
    return failure(Errc::torn, fmt::format("{} bytes of an incomplete batch", bytes.size()));
  }
  return BatchView(bytes.first(peek.size));
}

std::optional<BatchView> BatchIterator::next() {
  const ByteView rest = bytes_.subspan(position_);
  const BatchPeek peek = peek_batch(rest);
  corrupt_ = peek.corrupt() || (peek.status == BatchPeek::Status::whole && !header_fits(peek));
  if (corrupt_ || peek.status == BatchPeek::Status::partial) return std::nullopt;
  position_ += peek.size;
  return BatchView(rest.first(peek.size));
}

std::string BatchIterator::message() const {
  if (!corrupt_) return {};
  const BatchPeek peek = peek_batch(bytes_.subspan(position_));
  return peek.corrupt() ? peek.message() : short_header_message(peek.size);
}

void stamp_batch(MutableByteView batch, Offset base_offset, LeaderEpoch leader_epoch) {
  ASSERT(batch.size() >= kBatchHeaderSize);
  store_big(batch.data() + batch_field::kBaseOffset, base_offset);
  store_big(batch.data() + batch_field::kLeaderEpoch, leader_epoch);
}

bool set_max_timestamp(MutableByteView batch, TimestampType type, TimestampMs max_timestamp) {
  ASSERT(batch.size() >= kBatchHeaderSize);
  const auto attributes = load_big<std::int16_t>(batch.data() + batch_field::kAttributes);
  const bool append_time = (attributes & batch_attribute::kLogAppendTime) != 0;
  const bool wanted = type == TimestampType::log_append_time;
  if (append_time == wanted &&
      load_big<TimestampMs>(batch.data() + batch_field::kMaxTimestamp) == max_timestamp) {
    return false;
  }
  const int kept = attributes & batch_attribute::kUsed & ~batch_attribute::kLogAppendTime;
  store_big(batch.data() + batch_field::kAttributes,
            static_cast<std::int16_t>(kept | (wanted ? batch_attribute::kLogAppendTime : 0)));
  store_big(batch.data() + batch_field::kMaxTimestamp, max_timestamp);
  set_batch_crc(batch);
  return true;
}

void set_batch_crc(MutableByteView batch) {
  ASSERT(batch.size() >= kBatchHeaderSize);
  store_big(batch.data() + batch_field::kCrc, crc32c(batch.subspan(batch_field::kAttributes)));
}

}  // namespace drave::protocol
