#pragma once
// Counts of values by logarithmic buckets with 32 linear steps each: about 3 % relative error from
// 1 to 2^40, fixed memory, no allocation. One writer; readers on other threads see a recent state
// (relaxed atomics), which is what /metrics needs.

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>

namespace drave {

class Histogram {
 public:
  static constexpr int kStepBits = 5;
  static constexpr int kBuckets = (41 - kStepBits + 1) << kStepBits;

  void record(std::int64_t value, std::uint64_t times = 1) {
    if (value < 0) value = 0;
    add(buckets_[index_of(static_cast<std::uint64_t>(value))], times);
    add(count_, times);
    add(sum_, static_cast<std::uint64_t>(value) * times);
    if (static_cast<std::uint64_t>(value) > max_.load(std::memory_order_relaxed))
      max_.store(static_cast<std::uint64_t>(value), std::memory_order_relaxed);
  }

  std::uint64_t count() const { return count_.load(std::memory_order_relaxed); }
  std::uint64_t sum() const { return sum_.load(std::memory_order_relaxed); }
  std::uint64_t max() const { return max_.load(std::memory_order_relaxed); }
  // The smallest bucket bound that at least `fraction` of the values do not exceed; 0 if empty.
  std::uint64_t percentile(double fraction) const {
    const std::uint64_t total = count();
    if (total == 0) return 0;
    const double wanted = fraction * static_cast<double>(total);
    std::uint64_t seen = 0;
    for (int i = 0; i < kBuckets; ++i) {
      seen += buckets_[i].load(std::memory_order_relaxed);
      if (static_cast<double>(seen) >= wanted && seen > 0) return std::min(upper_bound(i), max());
    }
    return max();
  }
  // Values that were at most `bound` (to the precision of the buckets).
  std::uint64_t count_at_most(std::uint64_t bound) const {
    std::uint64_t seen = 0;
    for (int i = 0; i < kBuckets && upper_bound(i) <= bound; ++i)
      seen += buckets_[i].load(std::memory_order_relaxed);
    return seen;
  }
  void merge(const Histogram& other) {
    for (int i = 0; i < kBuckets; ++i)
      add(buckets_[i], other.buckets_[i].load(std::memory_order_relaxed));
    add(count_, other.count());
    add(sum_, other.sum());
    if (other.max() > max()) max_.store(other.max(), std::memory_order_relaxed);
  }

 private:
  using Cell = std::atomic<std::uint64_t>;
  // One writer: a plain load and store, no locked instruction.
  static void add(Cell& cell, std::uint64_t n) {
    cell.store(cell.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  static int index_of(std::uint64_t value) {
    const int width = static_cast<int>(std::bit_width(value));
    if (width <= kStepBits + 1) return static_cast<int>(value);
    const int shift = width - kStepBits - 1;
    const int index = (shift << kStepBits) + static_cast<int>(value >> shift);
    return index < kBuckets ? index : kBuckets - 1;
  }
  static std::uint64_t upper_bound(int index) {
    if (index < (2 << kStepBits)) return static_cast<std::uint64_t>(index);
    const int shift = (index >> kStepBits) - 1;
    const std::uint64_t step =
        static_cast<std::uint64_t>(index) - (static_cast<std::uint64_t>(shift) << kStepBits);
    return ((step + 1) << shift) - 1;
  }

  std::array<Cell, kBuckets> buckets_{};
  Cell count_{0};
  Cell sum_{0};
  Cell max_{0};
};

}  // namespace drave
