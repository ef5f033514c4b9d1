#pragma once
// Kafka's 16-byte ids: big-endian on wire and disk, 22 characters of URL-safe base64 without
// padding in text. Zero means "none"; {0,1} is the id of __cluster_metadata.

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace drave {

struct Uuid {
  std::uint64_t high = 0;
  std::uint64_t low = 0;

  auto operator<=>(const Uuid&) const = default;
  bool is_zero() const { return high == 0 && low == 0; }

  std::string to_string() const;
  // Accepts Kafka's 22 characters (with or without "==" padding); anything else is nullopt.
  static std::optional<Uuid> parse(std::string_view text);
  // A version 4 UUID from 128 random bits. Kafka never draws one whose text begins with '-', nor a
  // reserved one (below 100): is_reserved() tells, and the caller draws again.
  static Uuid from_random(std::uint64_t high, std::uint64_t low);
  bool is_reserved() const { return high == 0 && low < 100; }
};

inline constexpr Uuid kZeroUuid{};
inline constexpr Uuid kMetadataTopicId{0, 1};

}  // namespace drave

template <>
struct std::hash<drave::Uuid> {
  std::size_t operator()(const drave::Uuid& id) const noexcept {
    return static_cast<std::size_t>(id.high ^ (id.low * 0x9E3779B97F4A7C15ULL));
  }
};
