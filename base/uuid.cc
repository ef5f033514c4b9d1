#include "base/uuid.h"

#include <array>

namespace drave {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::size_t kTextSize = 22;

// The six bits of the id that character `index` shows, from the most significant end.
unsigned sextet(const Uuid& id, std::size_t index) {
  unsigned value = 0;
  for (std::size_t bit = index * 6; bit < index * 6 + 6; ++bit) {
    unsigned set = 0;
    if (bit < 64)
      set = static_cast<unsigned>(id.high >> (63 - bit)) & 1u;
    else if (bit < 128)
      set = static_cast<unsigned>(id.low >> (127 - bit)) & 1u;
    value = (value << 1) | set;
  }
  return value;
}

}  // namespace

std::string Uuid::to_string() const {
  std::string text(kTextSize, 'A');
  for (std::size_t i = 0; i < kTextSize; ++i) text[i] = kAlphabet[sextet(*this, i)];
  return text;
}

std::optional<Uuid> Uuid::parse(std::string_view text) {
  while (!text.empty() && text.back() == '=') text.remove_suffix(1);
  if (text.size() != kTextSize) return std::nullopt;
  Uuid id;
  for (std::size_t i = 0; i < kTextSize; ++i) {
    const auto value = kAlphabet.find(text[i]);
    if (value == std::string_view::npos) return std::nullopt;
    for (std::size_t bit = 0; bit < 6; ++bit) {
      const std::uint64_t set = (value >> (5 - bit)) & 1u;
      const std::size_t at = i * 6 + bit;
      if (at < 64)
        id.high |= set << (63 - at);
      else if (at < 128)
        id.low |= set << (127 - at);
    }
  }
  return id;
}

Uuid Uuid::from_random(std::uint64_t high, std::uint64_t low) {
  high = (high & ~std::uint64_t{0xF000}) | 0x4000;
  low = (low & 0x3FFFFFFFFFFFFFFFULL) | 0x8000000000000000ULL;
  return Uuid{high, low};
}

}  // namespace drave
