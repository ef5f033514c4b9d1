#include "segments/chunk_pool.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <new>

#include "base/assert.h"
#include "base/poison.h"
#include "segments/log_limits.h"

namespace drave::segments {
namespace {

int class_of(std::size_t capacity) {
  return std::countr_zero(capacity) - std::countr_zero(kChunkBytesMin);
}

}  // namespace

struct ChunkPool::Release {
  std::shared_ptr<ChunkPool> pool;
  std::size_t capacity;

  void operator()(std::uint8_t* memory) const {
    pool->used_bytes_.fetch_sub(static_cast<std::int64_t>(capacity), std::memory_order_relaxed);
    if (capacity > pool->reused_size_max_) {
      std::free(memory);
      return;
    }
    auto* node = new (memory) Released{nullptr, capacity};
    // Who still reads a chunk that was released must not go unnoticed because its memory is kept.
    ASAN_POISON_MEMORY_REGION(memory + sizeof(Released), capacity - sizeof(Released));
    node->next = pool->released_.load(std::memory_order_relaxed);
    while (!pool->released_.compare_exchange_weak(node->next, node, std::memory_order_release,
                                                  std::memory_order_relaxed)) {
    }
  }
};

std::shared_ptr<ChunkPool> ChunkPool::make(std::int64_t idle_bytes_max,
                                           std::size_t reused_size_max) {
  ASSERT(std::has_single_bit(reused_size_max) && reused_size_max <= kReusedSizeMax);
  return std::shared_ptr<ChunkPool>(new ChunkPool(idle_bytes_max, reused_size_max));
}

ChunkPool::~ChunkPool() {
  idle_bytes_max_ = 0;
  take_back_released();
  for (int i = 0; i < kClasses; ++i)
    while (std::uint8_t* memory = take_idle(i)) free_reused(memory, kChunkBytesMin << i);
}

std::size_t ChunkPool::capacity_for(std::size_t size, std::size_t reused_size_max) {
  if (size <= kChunkBytesMin) return kChunkBytesMin;
  if (size <= reused_size_max) return std::bit_ceil(size);
  return (size + kChunkBytesMin - 1) / kChunkBytesMin * kChunkBytesMin;
}

std::shared_ptr<std::uint8_t> ChunkPool::take(std::size_t size) {
  const std::size_t capacity = capacity_for(size, reused_size_max_);
  take_back_released();
  std::uint8_t* memory = nullptr;
  if (capacity <= reused_size_max_) {
    const int size_class = class_of(capacity);
    last_taken_[size_class] = ++takes_;
    memory = take_idle(size_class);
  }
  if (memory == nullptr) memory = allocate(capacity);
  used_bytes_.fetch_add(static_cast<std::int64_t>(capacity), std::memory_order_relaxed);
  return std::shared_ptr<std::uint8_t>(memory, Release{shared_from_this(), capacity});
}

std::uint8_t* ChunkPool::allocate(std::size_t capacity) {
  if (capacity >= io::LargePages::kSizeMin && capacity <= reused_size_max_)
    return large_pages_.take(capacity);
  auto* memory = static_cast<std::uint8_t*>(std::aligned_alloc(kChunkBytesMin, capacity));
  ASSERT(memory != nullptr);
  return memory;
}

void ChunkPool::free_reused(std::uint8_t* memory, std::size_t capacity) {
  ASAN_UNPOISON_MEMORY_REGION(memory, capacity);
  if (capacity >= io::LargePages::kSizeMin)
    large_pages_.give_back(memory, capacity);
  else
    std::free(memory);
}

// Null: none of that size.
std::uint8_t* ChunkPool::take_idle(int size_class) {
  auto& list = idle_[size_class];
  if (list.empty()) return nullptr;
  std::uint8_t* memory = list.back();
  list.pop_back();
  ASAN_UNPOISON_MEMORY_REGION(memory, kChunkBytesMin << size_class);
  idle_bytes_ -= static_cast<std::int64_t>(kChunkBytesMin << size_class);
  return memory;
}

void ChunkPool::free_idle(std::int64_t bytes) {
  take_back_released();
  for (int i = kClasses - 1; i >= 0; --i) {
    while (bytes > 0 && !idle_[i].empty()) {
      free_reused(take_idle(i), kChunkBytesMin << i);
      bytes -= static_cast<std::int64_t>(kChunkBytesMin << i);
    }
  }
}

// Frees idle chunks of other sizes, those first that were not asked for the longest time.
bool ChunkPool::make_idle_room(std::size_t capacity) {
  while (idle_bytes_ + static_cast<std::int64_t>(capacity) > idle_bytes_max_) {
    int oldest = class_of(capacity);
    for (int i = 0; i < kClasses; ++i)
      if (!idle_[i].empty() && last_taken_[i] < last_taken_[oldest]) oldest = i;
    if (oldest == class_of(capacity)) return false;
    free_reused(take_idle(oldest), kChunkBytesMin << oldest);
  }
  return true;
}

void ChunkPool::take_back_released() {
  Released* node = released_.exchange(nullptr, std::memory_order_acquire);
  while (node != nullptr) {
    Released* next = node->next;
    const std::size_t capacity = node->capacity;
    auto* memory = reinterpret_cast<std::uint8_t*>(node);
    if (make_idle_room(capacity)) {
      idle_[class_of(capacity)].push_back(memory);
      idle_bytes_ += static_cast<std::int64_t>(capacity);
    } else {
      free_reused(memory, capacity);
    }
    node = next;
  }
}

}  // namespace drave::segments
