#include "io/buffer_pool.h"

#include <sys/mman.h>

#include <bit>

#include "base/assert.h"
#include "io/detail/poison.h"

namespace drave::io {
namespace {

// Pages come untouched: a buffer costs memory only as far as it is used.
std::uint8_t* map_pages(std::size_t size) {
  void* at = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) fatal("out of memory: mmap of an I/O buffer was refused");
  return static_cast<std::uint8_t*>(at);
}

int class_of(std::size_t capacity) {
  return std::countr_zero(capacity) - std::countr_zero(BufferPool::kSizeMin);
}

}  // namespace

PooledBuffer& PooledBuffer::operator=(PooledBuffer&& other) noexcept {
  if (this != &other) {
    reset();
    pool_ = std::exchange(other.pool_, nullptr);
    data_ = std::exchange(other.data_, nullptr);
    capacity_ = std::exchange(other.capacity_, 0);
  }
  return *this;
}

void PooledBuffer::reset() {
  if (data_ == nullptr) return;
  pool_->give_back(std::exchange(data_, nullptr), std::exchange(capacity_, 0));
  pool_ = nullptr;
}

BufferPool::BufferPool(std::size_t idle_bytes_max) : idle_bytes_max_(idle_bytes_max) {
  static_assert(kSizeMin << (kClasses - 1) == kSizeMax);
}

BufferPool::~BufferPool() {
  ASSERT_EQUAL(used_bytes_, 0u);
  for (int i = 0; i < kClasses; ++i) {
    for (std::uint8_t* data : idle_[i]) {
      ASAN_UNPOISON_MEMORY_REGION(data, kSizeMin << i);
      munmap(data, kSizeMin << i);
    }
  }
}

PooledBuffer BufferPool::take(std::size_t size) {
  const std::size_t capacity = size <= kSizeMin   ? kSizeMin
                               : size <= kSizeMax ? std::bit_ceil(size)
                                                  : (size + kSizeMin - 1) / kSizeMin * kSizeMin;
  used_bytes_ += capacity;
  if (capacity <= kSizeMax) {
    auto& idle = idle_[class_of(capacity)];
    if (!idle.empty()) {
      std::uint8_t* data = idle.back();
      idle.pop_back();
      idle_bytes_ -= capacity;
      ASAN_UNPOISON_MEMORY_REGION(data, capacity);
      return PooledBuffer(this, data, capacity);
    }
  }
  ++system_count_;
  return PooledBuffer(this, map_pages(capacity), capacity);
}

void BufferPool::give_back(std::uint8_t* data, std::size_t capacity) {
  ASSERT_AT_MOST(capacity, used_bytes_);
  used_bytes_ -= capacity;
  if (capacity > kSizeMax || idle_bytes_ + capacity > idle_bytes_max_) {
    munmap(data, capacity);
    return;
  }
  ASAN_POISON_MEMORY_REGION(data, capacity);
  idle_bytes_ += capacity;
  idle_[class_of(capacity)].push_back(data);
}

}  // namespace drave::io
