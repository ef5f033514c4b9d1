#include "base/crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif
#include <isa-l/crc.h>

namespace drave {
namespace {

constexpr std::uint32_t kPolynomial = 0x82F63B78u;  // Castagnoli, reflected

// Below this many bytes the call into ISA-L costs more than it saves (uring.md section 4).
constexpr std::size_t kIsalBytesMin = 128;
// crc32_iscsi takes an int length.
constexpr std::size_t kIsalBytesMax = std::size_t{1} << 30;

constexpr std::array<std::uint32_t, 256> make_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1u) != 0 ? kPolynomial : 0u);
    table[i] = value;
  }
  return table;
}
constexpr auto kTable = make_table();

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) std::uint32_t sse42(const std::uint8_t* at, std::size_t size,
                                                      std::uint32_t state) {
  std::uint64_t wide = state;
  for (; size >= 8; size -= 8, at += 8) {
    std::uint64_t word;
    std::memcpy(&word, at, 8);
    wide = _mm_crc32_u64(wide, word);
  }
  state = static_cast<std::uint32_t>(wide);
  for (; size > 0; --size, ++at) state = _mm_crc32_u8(state, *at);
  return state;
}
bool has_sse42() {
  static const bool has = __builtin_cpu_supports("sse4.2") != 0;
  return has;
}
#endif

}  // namespace

std::uint32_t crc32c_table(ByteView bytes, std::uint32_t crc) {
  std::uint32_t state = ~crc;
  for (std::uint8_t byte : bytes) state = (state >> 8) ^ kTable[(state ^ byte) & 0xFFu];
  return ~state;
}

std::uint32_t crc32c_sse42(ByteView bytes, std::uint32_t crc) {
#if defined(__x86_64__)
  if (has_sse42()) return ~sse42(bytes.data(), bytes.size(), ~crc);
#endif
  return crc32c_table(bytes, crc);
}

std::uint32_t crc32c(ByteView bytes, std::uint32_t crc) {
  if (bytes.size() < kIsalBytesMin) return crc32c_sse42(bytes, crc);
#if defined(__x86_64__)
  while (!bytes.empty()) {
    const std::size_t piece = std::min(bytes.size(), kIsalBytesMax);
    // ISA-L neither inverts on the way in nor out; its parameter is not const but is not written.
    crc = ~crc32_iscsi(const_cast<unsigned char*>(bytes.data()), static_cast<int>(piece), ~crc);
    bytes = bytes.subspan(piece);
  }
  return crc;
#else
  return crc32c_table(bytes, crc);
#endif
}

}  // namespace drave
