#include "segments/chunk_pool.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <new>

#include "base/assert.h"
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
    if (capacity > kChunkBytesMax) {
      std::free(memory);
      return;
    }
    auto* node = new (memory) Released{nullptr, capacity};
    node->next = pool->released_.load(std::memory_order_relaxed);
    while (!pool->released_.compare_exchange_weak(node->next, node, std::memory_order_release,
                                                  std::memory_order_relaxed)) {
    }
  }
};

std::shared_ptr<ChunkPool> ChunkPool::make(std::int64_t idle_bytes_max) {
  return std::shared_ptr<ChunkPool>(new ChunkPool(idle_bytes_max));
}

ChunkPool::~ChunkPool() {
  idle_bytes_max_ = 0;
  take_back_released();
  for (auto& list : idle_) {
    for (std::uint8_t* memory : list) std::free(memory);
  }
}

std::size_t ChunkPool::capacity_for(std::size_t size) {
  if (size <= kChunkBytesMin) return kChunkBytesMin;
  if (size <= kChunkBytesMax) return std::bit_ceil(size);
  return (size + kChunkBytesMin - 1) / kChunkBytesMin * kChunkBytesMin;
}

std::shared_ptr<std::uint8_t> ChunkPool::take(std::size_t size) {
  const std::size_t capacity = capacity_for(size);
  take_back_released();
  std::uint8_t* memory = nullptr;
  if (capacity <= kChunkBytesMax) {
    auto& list = idle_[static_cast<std::size_t>(class_of(capacity))];
    if (!list.empty()) {
      memory = list.back();
      list.pop_back();
      idle_bytes_ -= static_cast<std::int64_t>(capacity);
    }
  }
  if (memory == nullptr) {
    memory = static_cast<std::uint8_t*>(std::aligned_alloc(kChunkBytesMin, capacity));
    ASSERT(memory != nullptr);
  }
  used_bytes_.fetch_add(static_cast<std::int64_t>(capacity), std::memory_order_relaxed);
  return std::shared_ptr<std::uint8_t>(memory, Release{shared_from_this(), capacity});
}

void ChunkPool::take_back_released() {
  Released* node = released_.exchange(nullptr, std::memory_order_acquire);
  while (node != nullptr) {
    Released* next = node->next;
    const std::size_t capacity = node->capacity;
    auto* memory = reinterpret_cast<std::uint8_t*>(node);
    if (idle_bytes_ + static_cast<std::int64_t>(capacity) <= idle_bytes_max_) {
      idle_[static_cast<std::size_t>(class_of(capacity))].push_back(memory);
      idle_bytes_ += static_cast<std::int64_t>(capacity);
    } else {
      std::free(memory);
    }
    node = next;
  }
}

}  // namespace drave::segments
