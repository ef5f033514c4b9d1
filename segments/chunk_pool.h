#pragma once
// Memory for tails and for reads: 4 KiB aligned, handed out on the owner's shard, released on any.
// Released chunks come back to the owner through a lock-free stack and are used again; what is idle
// beyond a bound goes back to the system.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace drave::segments {

class ChunkPool : public std::enable_shared_from_this<ChunkPool> {
 public:
  static std::shared_ptr<ChunkPool> make(std::int64_t idle_bytes_max);
  ~ChunkPool();

  // At least `size` bytes, rounded up as capacity_for() says. The pool lives on until the last
  // chunk is released.
  std::shared_ptr<std::uint8_t> take(std::size_t size);
  // Powers of two from 4 KiB to 1 MiB, multiples of 4 KiB above.
  static std::size_t capacity_for(std::size_t size);

  // Of chunks that somebody holds. Readable on the owner's shard; a release elsewhere may lag.
  std::int64_t used_bytes() const { return used_bytes_.load(std::memory_order_relaxed); }
  std::int64_t idle_bytes() const { return idle_bytes_; }

 private:
  // Stands in the memory of a released chunk.
  struct Released {
    Released* next;
    std::size_t capacity;
  };
  struct Release;
  static constexpr int kClasses = 9;

  explicit ChunkPool(std::int64_t idle_bytes_max) : idle_bytes_max_(idle_bytes_max) {}
  void take_back_released();

  std::array<std::vector<std::uint8_t*>, kClasses> idle_;
  std::int64_t idle_bytes_max_;
  std::int64_t idle_bytes_ = 0;
  std::atomic<std::int64_t> used_bytes_{0};
  std::atomic<Released*> released_{nullptr};
};

}  // namespace drave::segments
