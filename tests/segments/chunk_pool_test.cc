// Memory of tails and of reads: what comes back is used again, and nobody reads it meanwhile.

#include "segments/chunk_pool.h"

#include <cstring>
#include <thread>

#include "base/units.h"
#include "gtest/gtest.h"
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#define HAS_POISON
#endif
#endif

namespace drave::segments::testing {
namespace {

TEST(ChunkPool, what_another_thread_releases_is_used_again) {
  const auto pool = ChunkPool::make(kMiB);
  auto chunk = pool->take(5000);
  const std::uint8_t* memory = chunk.get();
  std::memset(chunk.get(), 1, 8192);
  EXPECT_EQ(pool->used_bytes(), 8192);
  std::thread([moved = std::move(chunk)]() mutable { moved.reset(); }).join();
  EXPECT_EQ(pool->used_bytes(), 0);
  chunk = pool->take(8192);
  EXPECT_EQ(chunk.get(), memory);
  std::memset(chunk.get(), 2, 8192);
}

TEST(ChunkPool, holds_no_more_idle_than_it_may) {
  const auto pool = ChunkPool::make(8192);
  auto small = pool->take(4096), large = pool->take(8192);
  small.reset();
  large.reset();
  pool->free_idle(0);
  EXPECT_EQ(pool->idle_bytes(), 8192);
  pool->free_idle(8192);
  EXPECT_EQ(pool->idle_bytes(), 0);
}

TEST(ChunkPool, a_released_chunk_is_poisoned) {
#ifdef HAS_POISON
  const auto pool = ChunkPool::make(8 * kMiB, ChunkPool::kReusedSizeMax);
  for (const std::size_t size : {4 * kKiB, kMiB}) {
    auto chunk = pool->take(size);
    std::uint8_t* memory = chunk.get();
    std::memset(memory, 1, size);
    chunk.reset();
    EXPECT_TRUE(__asan_address_is_poisoned(memory + 64));
    EXPECT_TRUE(__asan_address_is_poisoned(memory + size - 1));
    pool->free_idle(0);
    EXPECT_TRUE(__asan_address_is_poisoned(memory + size - 1)) << "idle";
    chunk = pool->take(size);
    ASSERT_EQ(chunk.get(), memory);
    EXPECT_EQ(__asan_region_is_poisoned(memory, size), nullptr);
  }
#else
  GTEST_SKIP() << "AddressSanitizer is off";
#endif
}

}  // namespace
}  // namespace drave::segments::testing
