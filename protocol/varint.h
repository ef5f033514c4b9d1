#pragma once
// Kafka's variable-length integers, over raw pointers for the hot loops.
//
// Seven bits per byte, least significant group first, the top bit set on all but the last byte.
// "Signed" ones are zigzag-coded first (0, -1, 1, -2 ... become 0, 1, 2, 3 ...). As in Kafka, an
// int32 may take up to 5 bytes and an int64 up to 10; longer ones are refused, needlessly long ones
// (80 00) are read, and bits beyond the width are dropped.

#include <bit>
#include <cstddef>
#include <cstdint>

namespace drave::protocol {

inline constexpr std::size_t kVarintSizeMax = 5;
inline constexpr std::size_t kVarlongSizeMax = 10;

constexpr std::uint32_t zigzag32(std::int32_t value) {
  return (static_cast<std::uint32_t>(value) << 1) ^ static_cast<std::uint32_t>(value >> 31);
}
constexpr std::int32_t unzigzag32(std::uint32_t value) {
  return static_cast<std::int32_t>((value >> 1) ^ (0U - (value & 1U)));
}
constexpr std::uint64_t zigzag64(std::int64_t value) {
  return (static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63);
}
constexpr std::int64_t unzigzag64(std::uint64_t value) {
  return static_cast<std::int64_t>((value >> 1) ^ (0ULL - (value & 1ULL)));
}

// What ended the reading of a varint without a value.
enum class VarintFault : std::uint8_t { none, cut, too_long };

namespace detail {
template <class T>
[[gnu::noinline]] const std::uint8_t* read_unsigned_slowly(const std::uint8_t* at,
                                                           const std::uint8_t* end, T& value,
                                                           VarintFault& fault) {
  constexpr unsigned kGroups = sizeof(T) == 4 ? kVarintSizeMax : kVarlongSizeMax;
  T result = 0;
  for (unsigned group = 0; group < kGroups; ++group) {
    if (at == end) {
      fault = VarintFault::cut;
      return nullptr;
    }
    const std::uint8_t byte = *at++;
    result |= static_cast<T>(byte & 0x7F) << (7 * group);
    if (byte < 0x80) {
      value = result;
      return at;
    }
  }
  fault = VarintFault::too_long;
  return nullptr;
}
}  // namespace detail

// Each reads one value from [at, end) and returns the position behind it, or nullptr: then `fault`
// says why and `value` is unchanged.
inline const std::uint8_t* read_unsigned_varint(const std::uint8_t* at, const std::uint8_t* end,
                                                std::uint32_t& value, VarintFault& fault) {
  if (end - at >= 2) [[likely]] {
    const std::uint32_t first = at[0];
    if (first < 0x80) {
      value = first;
      return at + 1;
    }
    const std::uint32_t second = at[1];
    if (second < 0x80) {
      value = (first & 0x7F) | second << 7;
      return at + 2;
    }
  }
  return detail::read_unsigned_slowly(at, end, value, fault);
}
inline const std::uint8_t* read_varint(const std::uint8_t* at, const std::uint8_t* end,
                                       std::int32_t& value, VarintFault& fault) {
  std::uint32_t raw = 0;
  at = read_unsigned_varint(at, end, raw, fault);
  if (at != nullptr) value = unzigzag32(raw);
  return at;
}
inline const std::uint8_t* read_varlong(const std::uint8_t* at, const std::uint8_t* end,
                                        std::int64_t& value, VarintFault& fault) {
  std::uint64_t raw = 0;
  if (end - at >= 2) [[likely]] {
    const std::uint64_t first = at[0];
    if (first < 0x80) {
      value = unzigzag64(first);
      return at + 1;
    }
    const std::uint64_t second = at[1];
    if (second < 0x80) {
      value = unzigzag64((first & 0x7F) | second << 7);
      return at + 2;
    }
  }
  at = detail::read_unsigned_slowly(at, end, raw, fault);
  if (at != nullptr) value = unzigzag64(raw);
  return at;
}

// Bytes that the shortest form takes.
constexpr std::size_t unsigned_varint_size(std::uint32_t value) {
  return (static_cast<std::size_t>(std::bit_width(value | 1U)) + 6) / 7;
}
constexpr std::size_t varint_size(std::int32_t value) {
  return unsigned_varint_size(zigzag32(value));
}
constexpr std::size_t varlong_size(std::int64_t value) {
  return (static_cast<std::size_t>(std::bit_width(zigzag64(value) | 1ULL)) + 6) / 7;
}

// Each writes the shortest form to `at`, where there must be room, and returns the position behind.
inline std::uint8_t* write_unsigned_varlong(std::uint8_t* at, std::uint64_t value) {
  while (value >= 0x80) {
    *at++ = static_cast<std::uint8_t>(value | 0x80);
    value >>= 7;
  }
  *at++ = static_cast<std::uint8_t>(value);
  return at;
}
inline std::uint8_t* write_unsigned_varint(std::uint8_t* at, std::uint32_t value) {
  return write_unsigned_varlong(at, value);
}
inline std::uint8_t* write_varint(std::uint8_t* at, std::int32_t value) {
  return write_unsigned_varlong(at, zigzag32(value));
}
inline std::uint8_t* write_varlong(std::uint8_t* at, std::int64_t value) {
  return write_unsigned_varlong(at, zigzag64(value));
}

}  // namespace drave::protocol
