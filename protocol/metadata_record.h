#pragma once
// The records of __cluster_metadata: a record's value is the frame version 1, the record's type and
// its version, all as unsigned varints, then the record.

#include "protocol/messages/metadata_variant.h"
#include "protocol/wire.h"

namespace drave::protocol {

inline constexpr std::uint32_t kMetadataFrameVersion = 1;

struct MetadataFrame {
  std::uint32_t type = 0;
  std::int16_t version = 0;
};

// Reads the frame; `in` then stands at the record. Errors: invalid, unsupported (another frame
// version).
[[nodiscard]] Result<MetadataFrame> decode_metadata_frame(Reader& in);
void encode_metadata_frame(Writer& out, const MetadataFrame& frame);

struct VersionedMetadataRecord {
  MetadataRecord record;  // text and bytes are views of the value it was read from
  std::int16_t version = 0;
};

// Reads a whole record's value, nothing may be left behind it. Errors: invalid; unsupported (a type
// or version that Kafka 4.3 does not have: it must not be skipped).
[[nodiscard]] Result<VersionedMetadataRecord> decode_metadata_record(ByteView value);

// Appends a record with its frame.
template <class M>
[[nodiscard]] Result<void> encode_metadata_record(Writer& out, const M& record,
                                                  std::int16_t version) {
  encode_metadata_frame(out, {static_cast<std::uint32_t>(M::kApiKey), version});
  return encode(out, record, version);
}
[[nodiscard]] Result<void> encode_metadata_record(Writer& out, const MetadataRecord& record,
                                                  std::int16_t version);
std::size_t metadata_record_size(const MetadataRecord& record, std::int16_t version);

std::string_view name(const MetadataRecord& record);
// The highest version of the record's type.
std::int16_t version_max(const MetadataRecord& record);

}  // namespace drave::protocol
