#include "segments/lost_range.h"

#include "base/assert.h"
#include "base/crc32c.h"

namespace drave::segments {

using protocol::BatchHeader;

namespace {

constexpr std::int32_t kSize = kLostRangeBytes - protocol::kBatchSizeFieldEnd;

std::uint32_t crc_of(ByteView bytes) {
  return ~crc32c(bytes.subspan(protocol::batch_field::kAttributes,
                               kLostRangeBytes - protocol::batch_field::kAttributes));
}

}  // namespace

std::array<std::uint8_t, kLostRangeBytes> encode_lost_range(const LostRange& range) {
  ASSERT(range.end_offset > range.first_offset);
  std::array<std::uint8_t, kLostRangeBytes> bytes{};
  BatchHeader header;
  header.base_offset = range.first_offset;
  header.size = kSize;
  header.last_offset_delta = static_cast<std::int32_t>(range.end_offset - range.first_offset - 1);
  header.write(bytes.data());
  header.crc = crc_of(bytes);
  header.write(bytes.data());
  return bytes;
}

std::optional<LostRange> decode_lost_range(ByteView bytes) {
  if (bytes.size() < kLostRangeBytes) return std::nullopt;
  const BatchHeader header = BatchHeader::read(bytes.data());
  if (header.magic != protocol::kBatchMagic || header.size != kSize || header.record_count != 0 ||
      header.base_offset < 0 || header.last_offset_delta < 0 || header.crc != crc_of(bytes)) {
    return std::nullopt;
  }
  return LostRange{header.base_offset, header.base_offset + header.last_offset_delta + 1};
}

}  // namespace drave::segments
