#pragma once
// Aligned memory of a shard: power-of-two buffers from 4 KiB to 1 MiB, 4 KiB aligned, so that any
// of them can go to a disk with O_DIRECT. Freed buffers are kept up to a bound and handed out
// again; beyond the bound the sizes that were not asked for the longest time go first, so that a
// load whose sizes change is soon served from the pool again. Not thread-safe; a buffer returns on
// the shard that took it.

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "io/large_pages.h"

namespace drave::io {

class BufferPool;

// Owns one buffer; gives it back to its pool. Move-only. capacity() is a power of two >= what was
// asked.
class PooledBuffer {
 public:
  PooledBuffer() = default;
  PooledBuffer(PooledBuffer&& other) noexcept
      : pool_(std::exchange(other.pool_, nullptr)),
        data_(std::exchange(other.data_, nullptr)),
        capacity_(std::exchange(other.capacity_, 0)) {}
  PooledBuffer& operator=(PooledBuffer&& other) noexcept;
  ~PooledBuffer() { reset(); }

  std::uint8_t* data() const { return data_; }
  std::size_t capacity() const { return capacity_; }
  MutableByteView bytes() const { return {data_, capacity_}; }
  bool is_valid() const { return data_ != nullptr; }
  void reset();

 private:
  friend class BufferPool;
  PooledBuffer(BufferPool* pool, std::uint8_t* data, std::size_t capacity)
      : pool_(pool), data_(data), capacity_(capacity) {}
  BufferPool* pool_ = nullptr;
  std::uint8_t* data_ = nullptr;
  std::size_t capacity_ = 0;
};

class BufferPool {
 public:
  static constexpr std::size_t kSizeMin = 4096;
  static constexpr std::size_t kSizeMax = std::size_t{1} << 20;

  // Keeps at most `idle_bytes_max` of freed buffers; the rest goes back to the system.
  explicit BufferPool(std::size_t idle_bytes_max);
  ~BufferPool();  // all buffers must have come back

  // At least `size` bytes; sizes above kSizeMax come from the system each time, in multiples of 4
  // KiB.
  PooledBuffer take(std::size_t size);

  std::size_t used_bytes() const { return used_bytes_; }
  std::size_t idle_bytes() const { return idle_bytes_; }
  std::uint64_t system_count() const {
    return system_count_;
  }  // allocations that the pool could not serve

 private:
  friend class PooledBuffer;
  void give_back(std::uint8_t* data, std::size_t capacity);
  bool make_idle_room(std::size_t capacity);
  std::uint8_t* allocate(std::size_t capacity);
  void release(std::uint8_t* data, std::size_t capacity);
  void release_idle(int size_class);

  static constexpr int kClasses = 9;
  LargePages large_pages_;
  std::array<std::vector<std::uint8_t*>, kClasses> idle_;
  std::array<std::uint64_t, kClasses> last_taken_{};  // in takes_
  std::uint64_t takes_ = 0;
  std::size_t idle_bytes_max_;
  std::size_t used_bytes_ = 0;
  std::size_t idle_bytes_ = 0;
  std::uint64_t system_count_ = 0;
};

}  // namespace drave::io
