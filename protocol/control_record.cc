#include "protocol/control_record.h"

#include <utility>

#include "base/assert.h"

namespace drave::protocol {
namespace {

constexpr std::int16_t kVersion = 0;
constexpr std::size_t kKeySize = 4;
constexpr std::size_t kEndMarkerSize = 6;

}  // namespace

Result<std::optional<ControlType>> parse_control_key(std::optional<ByteView> key) {
  if (!key || key->size() < kKeySize) {
    return failure(Errc::corrupt, "a control record's key has fewer than 4 bytes");
  }
  if (load_big<std::int16_t>(key->data()) < 0) {
    return failure(Errc::corrupt, "a control record's key has a negative version");
  }
  const auto type = load_big<std::int16_t>(key->data() + sizeof(std::int16_t));
  if (type < 0 || type > static_cast<std::int16_t>(ControlType::kraft_voters)) {
    return std::optional<ControlType>();
  }
  return std::optional(static_cast<ControlType>(type));
}

std::array<std::uint8_t, 4> control_key(ControlType type) {
  std::array<std::uint8_t, kKeySize> key;
  store_big(key.data(), kVersion);
  store_big(key.data() + sizeof(kVersion), static_cast<std::int16_t>(type));
  return key;
}

void append_control_record(BatchBuilder& builder, ControlType type, TimestampMs timestamp,
                           ByteView value) {
  const auto key = control_key(type);
  builder.append(timestamp, ByteView(key), value);
}

std::vector<std::uint8_t> build_end_marker(const EndMarker& marker, Offset base_offset,
                                           LeaderEpoch leader_epoch) {
  ASSERT(marker.type == ControlType::abort || marker.type == ControlType::commit);
  BatchBuilder builder({.base_offset = base_offset,
                        .leader_epoch = leader_epoch,
                        .producer_id = marker.producer_id,
                        .producer_epoch = marker.producer_epoch,
                        .transactional = true,
                        .control = true});
  std::array<std::uint8_t, kEndMarkerSize> value;
  store_big(value.data(), kVersion);
  store_big(value.data() + sizeof(kVersion), marker.coordinator_epoch);
  append_control_record(builder, marker.type, marker.timestamp, value);
  return std::move(builder).finish();
}

Result<std::int32_t> parse_end_marker_value(std::optional<ByteView> value) {
  if (!value || value->size() < kEndMarkerSize) {
    return failure(Errc::corrupt, "an end marker's value has fewer than 6 bytes");
  }
  if (load_big<std::int16_t>(value->data()) < 0) {
    return failure(Errc::corrupt, "an end marker has a negative version");
  }
  return load_big<std::int32_t>(value->data() + sizeof(std::int16_t));
}

}  // namespace drave::protocol
