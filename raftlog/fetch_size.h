#pragma once
// How much a replica asks its leader for at once, so that slow or crowded links catch up: an answer
// that is not there within the request timeout is lost, and as much asked for again would be lost
// again (KIP-1219 has an administrator find the size).
//
// After an answer that came too late half as much is asked for, down to kFetchBytesMin; after one
// that took less than half of the time twice as much, up to the bound.

#include <algorithm>
#include <cstddef>

#include "base/units.h"

namespace drave::raft {

inline constexpr std::size_t kFetchBytesMin = 16 * kKiB;

class FetchSize {
 public:
  explicit FetchSize(std::size_t most) : most_(most), bytes_(most) {}

  std::size_t bytes() const { return bytes_; }
  void answered(Duration took, Duration timeout) {
    if (took.ns * 2 < timeout.ns) bytes_ = std::min(most_, bytes_ * 2);
  }
  void timed_out() { bytes_ = std::min(most_, std::max(kFetchBytesMin, bytes_ / 2)); }

 private:
  std::size_t most_;
  std::size_t bytes_;
};

}  // namespace drave::raft
