#pragma once
// Sizes and times with their units in the name.

#include <compare>
#include <cstdint>

namespace drave {

inline constexpr std::int64_t kKiB = 1024;
inline constexpr std::int64_t kMiB = 1024 * kKiB;
inline constexpr std::int64_t kGiB = 1024 * kMiB;

// A span of monotonic time, in nanoseconds.
struct Duration {
  std::int64_t ns = 0;
  auto operator<=>(const Duration&) const = default;
  constexpr Duration operator+(Duration other) const { return {ns + other.ns}; }
  constexpr Duration operator-(Duration other) const { return {ns - other.ns}; }
  constexpr std::int64_t us() const { return ns / 1000; }
  constexpr std::int64_t ms() const { return ns / 1'000'000; }
};
constexpr Duration nanoseconds(std::int64_t n) {
  return {n};
}
constexpr Duration microseconds(std::int64_t n) {
  return {n * 1000};
}
constexpr Duration milliseconds(std::int64_t n) {
  return {n * 1'000'000};
}
constexpr Duration seconds(std::int64_t n) {
  return {n * 1'000'000'000};
}

// A moment of a loop's monotonic clock. Never compared between nodes, never stored.
struct Instant {
  std::int64_t ns = 0;
  auto operator<=>(const Instant&) const = default;
  constexpr Instant operator+(Duration span) const { return {ns + span.ns}; }
  constexpr Instant operator-(Duration span) const { return {ns - span.ns}; }
  constexpr Duration operator-(Instant other) const { return {ns - other.ns}; }
  static constexpr Instant never() { return {INT64_MAX}; }
};

}  // namespace drave
