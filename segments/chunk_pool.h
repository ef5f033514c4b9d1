#pragma once
// Memory for tails and for reads: 4 KiB aligned, handed out on the owner's shard, released on any.
// Released chunks come back to the owner through a lock-free stack and are used again; what is idle
// beyond a bound goes back to the system, sizes first that were not asked for the longest time.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "io/large_pages.h"

namespace drave::segments {

class ChunkPool : public std::enable_shared_from_this<ChunkPool> {
 public:
  // Chunks of at most `reused_size_max` bytes, a power of two up to kReusedSizeMax, are used again;
  // larger ones come from the system each time, which costs a page fault for every 4 KiB of them.
  static std::shared_ptr<ChunkPool> make(std::int64_t idle_bytes_max,
                                         std::size_t reused_size_max = kTailReusedSizeMax);
  ~ChunkPool();

  // At least `size` bytes: a power of two from 4 KiB on as far as chunks are used again, a multiple
  // of 4 KiB above. The pool lives on until the last chunk is released.
  std::shared_ptr<std::uint8_t> take(std::size_t size);
  // What take() hands out for `size` in a pool of tails.
  static std::size_t capacity_for(std::size_t size) {
    return capacity_for(size, kTailReusedSizeMax);
  }

  static constexpr std::size_t kTailReusedSizeMax = std::size_t{1} << 20;
  static constexpr std::size_t kReusedSizeMax = std::size_t{8} << 20;

  // Of chunks that somebody holds. Readable on the owner's shard; a release elsewhere may lag.
  std::int64_t used_bytes() const { return used_bytes_.load(std::memory_order_relaxed); }
  std::int64_t idle_bytes() const { return idle_bytes_; }
  // Gives about so many idle bytes back to the system, as far as there are any.
  void free_idle(std::int64_t bytes);

 private:
  // Stands in the memory of a released chunk.
  struct Released {
    Released* next;
    std::size_t capacity;
  };
  struct Release;
  static constexpr int kClasses = 12;  // 4 KiB to kReusedSizeMax

  ChunkPool(std::int64_t idle_bytes_max, std::size_t reused_size_max)
      : idle_bytes_max_(idle_bytes_max), reused_size_max_(reused_size_max) {}
  static std::size_t capacity_for(std::size_t size, std::size_t reused_size_max);
  void take_back_released();
  bool make_idle_room(std::size_t capacity);
  std::uint8_t* take_idle(int size_class);
  std::uint8_t* allocate(std::size_t capacity);
  void free_reused(std::uint8_t* memory, std::size_t capacity);

  io::LargePages large_pages_;
  std::array<std::vector<std::uint8_t*>, kClasses> idle_;
  std::array<std::uint64_t, kClasses> last_taken_{};  // in takes_
  std::uint64_t takes_ = 0;
  std::int64_t idle_bytes_max_;
  const std::size_t reused_size_max_;
  std::int64_t idle_bytes_ = 0;
  std::atomic<std::int64_t> used_bytes_{0};
  std::atomic<Released*> released_{nullptr};
};

}  // namespace drave::segments
