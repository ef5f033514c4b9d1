#include "io/buffer_pool.h"

#include <sys/mman.h>

#include <bit>

#include "base/assert.h"
#include "base/poison.h"

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
  for (int i = 0; i < kClasses; ++i)
    while (!idle_[i].empty()) release_idle(i);
}

PooledBuffer BufferPool::take(std::size_t size) {
  const std::size_t capacity = size <= kSizeMin   ? kSizeMin
                               : size <= kSizeMax ? std::bit_ceil(size)
                                                  : (size + kSizeMin - 1) / kSizeMin * kSizeMin;
  used_bytes_ += capacity;
  if (capacity <= kSizeMax) {
    last_taken_[class_of(capacity)] = ++takes_;
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
  return PooledBuffer(this, allocate(capacity), capacity);
}

std::uint8_t* BufferPool::allocate(std::size_t capacity) {
  const bool is_large = capacity >= LargePages::kSizeMin && capacity <= kSizeMax;
  return is_large ? large_pages_.take(capacity) : map_pages(capacity);
}

void BufferPool::release(std::uint8_t* data, std::size_t capacity) {
  const bool is_large = capacity >= LargePages::kSizeMin && capacity <= kSizeMax;
  if (is_large)
    large_pages_.give_back(data, capacity);
  else
    munmap(data, capacity);
}

void BufferPool::give_back(std::uint8_t* data, std::size_t capacity) {
  ASSERT_AT_MOST(capacity, used_bytes_);
  used_bytes_ -= capacity;
  if (capacity > kSizeMax || !make_idle_room(capacity)) {
    release(data, capacity);
    return;
  }
  ASAN_POISON_MEMORY_REGION(data, capacity);
  idle_bytes_ += capacity;
  idle_[class_of(capacity)].push_back(data);
}

// Frees idle buffers of other sizes, those first that were not asked for the longest time.
bool BufferPool::make_idle_room(std::size_t capacity) {
  while (idle_bytes_ + capacity > idle_bytes_max_) {
    int oldest = class_of(capacity);
    for (int i = 0; i < kClasses; ++i)
      if (!idle_[i].empty() && last_taken_[i] < last_taken_[oldest]) oldest = i;
    if (oldest == class_of(capacity)) return false;
    release_idle(oldest);
  }
  return true;
}

void BufferPool::release_idle(int size_class) {
  std::uint8_t* data = idle_[size_class].back();
  idle_[size_class].pop_back();
  idle_bytes_ -= kSizeMin << size_class;
  ASAN_UNPOISON_MEMORY_REGION(data, kSizeMin << size_class);
  release(data, kSizeMin << size_class);
}

}  // namespace drave::io
