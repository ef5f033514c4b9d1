#pragma once
// Views of bytes and big-endian loads and stores. Kafka's integers are big-endian on the wire and
// on disk; nothing here allocates. The caller guarantees that the bytes are there.

#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace drave {

using ByteView = std::span<const std::uint8_t>;
using MutableByteView = std::span<std::uint8_t>;

inline ByteView as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
inline std::string_view as_text(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

template <std::integral T>
constexpr T big_endian(T value) {
  if constexpr (std::endian::native == std::endian::big || sizeof(T) == 1) return value;
  return std::byteswap(value);
}

// Reads a big-endian T from [at, at + sizeof(T)); no alignment needed.
template <std::integral T>
T load_big(const std::uint8_t* at) {
  T value;
  std::memcpy(&value, at, sizeof(T));
  return big_endian(value);
}

// Writes a big-endian T to [at, at + sizeof(T)).
template <std::integral T>
void store_big(std::uint8_t* at, T value) {
  value = big_endian(value);
  std::memcpy(at, &value, sizeof(T));
}

}  // namespace drave
