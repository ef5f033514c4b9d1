#include "protocol/metadata_record.h"

#include <fmt/format.h>

#include <utility>
#include <variant>

namespace drave::protocol {
namespace {

// Makes the alternative whose type is `type` the active one; false if there is none.
template <std::size_t... I>
bool emplace_type(MetadataRecord& record, std::uint32_t type, std::index_sequence<I...>) {
  const auto try_one = [&]<std::size_t N>() {
    using M = std::variant_alternative_t<N, MetadataRecord>;
    if (static_cast<std::uint32_t>(M::kApiKey) != type) return false;
    record.template emplace<N>();
    return true;
  };
  return (try_one.template operator()<I>() || ...);
}

}  // namespace

Result<MetadataFrame> decode_metadata_frame(Reader& in) {
  const std::uint32_t frame_version = in.uvarint();
  const std::uint32_t type = in.uvarint();
  const std::uint32_t version = in.uvarint();
  if (!in.ok()) return failure(Errc::invalid, "metadata record ends inside its frame");
  if (frame_version != kMetadataFrameVersion) {
    return failure(Errc::unsupported,
                   fmt::format("metadata record of frame version {}", frame_version));
  }
  if (version > INT16_MAX)
    return failure(Errc::unsupported, fmt::format("metadata record of version {}", version));
  return MetadataFrame{type, static_cast<std::int16_t>(version)};
}

void encode_metadata_frame(Writer& out, const MetadataFrame& frame) {
  out.uvarint(kMetadataFrameVersion);
  out.uvarint(frame.type);
  out.uvarint(static_cast<std::uint32_t>(frame.version));
}

Result<VersionedMetadataRecord> decode_metadata_record(ByteView value) {
  Reader in(value);
  TRY(const MetadataFrame frame, decode_metadata_frame(in));
  VersionedMetadataRecord found{{}, frame.version};
  constexpr auto kAll = std::make_index_sequence<std::variant_size_v<MetadataRecord>>();
  if (!emplace_type(found.record, frame.type, kAll))
    return failure(Errc::unsupported, fmt::format("metadata record of type {}", frame.type));
  TRY_VOID(
      std::visit([&](auto& record) { return decode(in, record, frame.version); }, found.record));
  if (in.remaining() > 0) {
    return failure(Errc::invalid,
                   fmt::format("{} bytes behind a {}", in.remaining(), name(found.record)));
  }
  return found;
}

Result<void> encode_metadata_record(Writer& out, const MetadataRecord& record,
                                    std::int16_t version) {
  return std::visit([&](const auto& one) { return encode_metadata_record(out, one, version); },
                    record);
}

std::size_t metadata_record_size(const MetadataRecord& record, std::int16_t version) {
  const auto frame_size = [&](std::uint32_t type) {
    return 1 + unsigned_varint_size(type) +
           unsigned_varint_size(static_cast<std::uint32_t>(version));
  };
  return std::visit(
      [&]<class M>(const M& one) {
        return frame_size(static_cast<std::uint32_t>(M::kApiKey)) + encoded_size(one, version);
      },
      record);
}

std::string_view name(const MetadataRecord& record) {
  return std::visit([]<class M>(const M&) { return M::kName; }, record);
}

std::int16_t version_max(const MetadataRecord& record) {
  return std::visit([]<class M>(const M&) { return M::kVersionMax; }, record);
}

}  // namespace drave::protocol
