#pragma once
// A seeded generator (SplitMix64) for decisions that must be replayable. Seeds come from
// io::Backend::entropy(), never from a device directly.

#include <cstdint>

#include "base/assert.h"

namespace drave {

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15ULL);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
  }
  // Uniform in [0, bound); bound > 0.
  std::uint64_t below(std::uint64_t bound) {
    ASSERT(bound > 0);
    return static_cast<std::uint64_t>((static_cast<unsigned __int128>(next()) * bound) >> 64);
  }
  // Uniform in [first, last).
  std::int64_t between(std::int64_t first, std::int64_t last) {
    ASSERT(first < last);
    return first + static_cast<std::int64_t>(below(static_cast<std::uint64_t>(last - first)));
  }
  // True once in `n` times on average.
  bool one_in(std::uint64_t n) { return below(n) == 0; }

 private:
  std::uint64_t state_;
};

}  // namespace drave
