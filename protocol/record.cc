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

constexpr std::uint32_t kNotShort = 1u << 31;

// An unsigned varint of at most three bytes, which are there; else kNotShort is set in it.
inline std::uint32_t read_short(const std::uint8_t*& at) {
  const std::uint32_t first = *at++;
  if (first < 0x80) [[likely]]
    return first;
  const std::uint32_t second = *at++;
  if (second < 0x80) [[likely]]
    return (first & 0x7F) | second << 7;
  const std::uint32_t third = *at++;
  return (first & 0x7F) | (second & 0x7F) << 7 | (third & 0x7F) << 14 |
         (third < 0x80 ? 0 : kNotShort);
}

// The zigzag varint of a null key's or value's size, -1.
constexpr std::uint32_t kNullSize = 1;

}  // namespace

RecordIterator::PlainRun RecordIterator::pass_plain(std::int32_t offset_delta) {
  constexpr std::ptrdiff_t kNumbersMax = 16;  // length, attributes, two deltas, key size
  constexpr std::ptrdiff_t kRestMin = 4;      // of the batch, behind the key: for the value's size
  PlainRun run;
  const std::uint8_t* const end = end_;
  const std::uint8_t* record = at_;
  std::int32_t left = left_;
  std::int32_t newest = INT32_MIN;
  std::int32_t oldest = INT32_MAX;
  std::int32_t newest_left = left;
  std::uint32_t null_keys = 0;
  auto offset_wanted = static_cast<std::uint32_t>(offset_delta) << 1;
  for (; left > 1 && end - record >= kNumbersMax; --left, offset_wanted += 2) {
    const std::uint8_t* at = record;
    const std::uint32_t length = read_short(at);
    const std::uint8_t* const body = at++;  // attributes
    const std::uint32_t timestamp = read_short(at);
    const std::uint32_t offset = read_short(at);
    const std::uint32_t key = read_short(at);
    // An odd number is negative; an offset that is not short is not the one wanted.
    if (((length | timestamp | key) & kNotShort) != 0 || (length & 1) != 0 ||
        offset != offset_wanted || ((key & 1) != 0 && key != kNullSize))
      break;
    const std::uint32_t null_key = key & 1;
    const std::ptrdiff_t size = length >> 1;
    const std::ptrdiff_t key_size = null_key != 0 ? 0 : key >> 1;
    if (size > end - body || key_size > end - at - kRestMin) break;
    at += key_size;
    const std::uint32_t value = read_short(at);
    if ((value & kNotShort) != 0 || ((value & 1) != 0 && value != kNullSize)) break;
    at += (value & 1) != 0 ? 0 : value >> 1;
    // What is left is the count of headers, none.
    if (at + 1 != body + size || *at != 0) break;
    const std::int32_t delta = unzigzag32(timestamp);
    oldest = std::min(oldest, delta);
    if (delta > newest) {
      newest = delta;
      newest_left = left;
    }
    null_keys |= null_key;
    record = body + size;
  }
  run.count = left_ - left;
  if (run.count <= 0) return PlainRun{};
  run.timestamp_delta_min = oldest;
  run.timestamp_delta_max = newest;
  run.timestamp_max_at = left_ - newest_left;
  run.has_null_key = null_keys != 0;
  at_ = record;
  left_ = left;
  return run;
}

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
