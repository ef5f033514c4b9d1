#include "protocol/record.h"

namespace drave::protocol {
namespace {

// A length and its bytes, inside [at, end). Returns the position behind, or nullptr.
inline const std::uint8_t* read_sized(const std::uint8_t* at, const std::uint8_t* end,
                                      std::int32_t& size, const std::uint8_t*& begin) {
  VarintFault fault = VarintFault::none;
  begin = read_varint(at, end, size, fault);
  if (begin == nullptr) return nullptr;
  if (size <= 0) return begin;
  if (size > end - begin) return nullptr;
  return begin + size;
}

RecordFault parse_headers(const std::uint8_t* at, const std::uint8_t* end, RecordView& record) {
  for (std::int32_t i = 0; i < record.header_count; ++i) {
    std::int32_t size = 0;
    const std::uint8_t* begin = nullptr;
    VarintFault fault = VarintFault::none;
    const std::uint8_t* key = read_varint(at, end, size, fault);
    if (key == nullptr) return RecordFault::structure;
    if (size < 0) return RecordFault::header_key_null;
    if (size > end - key) return RecordFault::structure;
    at = read_sized(key + size, end, size, begin);
    if (at == nullptr) return RecordFault::structure;
    record.has_odd_length |= size < -1;
  }
  return at == end ? RecordFault::none : RecordFault::structure;
}

}  // namespace

std::string_view to_string(RecordFault fault) {
  switch (fault) {
    case RecordFault::none: return "no fault";
    case RecordFault::ends_early: return "the batch ends before the announced number of records";
    case RecordFault::length_too_long: return "a record's length has more than 5 bytes";
    case RecordFault::length_out_of_bounds: return "a record's length is beyond the batch";
    case RecordFault::structure: return "a record's fields do not fill its length";
    case RecordFault::header_count: return "a record announces an impossible number of headers";
    case RecordFault::header_key_null: return "a header has no key";
    case RecordFault::bytes_left_over: return "bytes follow the announced number of records";
  }
  return "unknown fault";
}

RecordFault parse_record_body(const std::uint8_t* at, const std::uint8_t* end, RecordView& record) {
  if (at == end) return RecordFault::structure;
  record.attributes = static_cast<std::int8_t>(*at++);
  VarintFault fault = VarintFault::none;
  at = read_varlong(at, end, record.timestamp_delta, fault);
  if (at == nullptr) return RecordFault::structure;
  at = read_varint(at, end, record.offset_delta, fault);
  if (at == nullptr) return RecordFault::structure;
  at = read_sized(at, end, record.key_size, record.key_begin);
  if (at == nullptr) return RecordFault::structure;
  at = read_sized(at, end, record.value_size, record.value_begin);
  if (at == nullptr) return RecordFault::structure;
  at = read_varint(at, end, record.header_count, fault);
  if (at == nullptr) return RecordFault::structure;
  record.has_odd_length = record.key_size < -1 || record.value_size < -1;
  if (record.header_count < 0 || record.header_count > end - at) return RecordFault::header_count;
  record.headers = ByteView(at, end);
  if (record.header_count == 0) [[likely]] {
    return at == end ? RecordFault::none : RecordFault::structure;
  }
  return parse_headers(at, end, record);
}

std::optional<RecordHeaderView> HeaderIterator::next() {
  if (left_ <= 0) return std::nullopt;
  --left_;
  std::int32_t size = 0;
  const std::uint8_t* begin = nullptr;
  RecordHeaderView header;
  at_ = read_sized(at_, end_, size, begin);
  if (at_ == nullptr || size < 0) return std::nullopt;
  header.key =
      std::string_view(reinterpret_cast<const char*>(begin), static_cast<std::size_t>(size));
  at_ = read_sized(at_, end_, size, begin);
  if (at_ == nullptr) return std::nullopt;
  if (size >= 0) header.value = ByteView(begin, static_cast<std::size_t>(size));
  return header;
}

}  // namespace drave::protocol
