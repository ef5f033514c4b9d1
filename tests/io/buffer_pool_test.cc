#include "io/buffer_pool.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "base/random.h"

namespace drave::io::test {
namespace {

TEST(BufferPool, buffers_are_aligned_powers_of_two) {
  BufferPool pool(1 << 20);
  const struct {
    std::size_t asked, given;
  } cases[] = {{0, 4096},
               {1, 4096},
               {4096, 4096},
               {4097, 8192},
               {100'000, 131'072},
               {1 << 20, 1 << 20},
               {(1 << 20) + 1, (1 << 20) + 4096}};
  for (const auto& one : cases) {
    PooledBuffer buffer = pool.take(one.asked);
    EXPECT_EQ(buffer.capacity(), one.given);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 4096, 0u);
    std::memset(buffer.data(), 1, buffer.capacity());
  }
  EXPECT_EQ(pool.used_bytes(), 0u);
}

TEST(BufferPool, freed_buffers_come_again_up_to_the_bound) {
  BufferPool pool(8192);
  std::uint8_t* first = nullptr;
  {
    PooledBuffer a = pool.take(4096);
    PooledBuffer b = pool.take(4096);
    PooledBuffer c = pool.take(4096);
    first = c.data();
    EXPECT_EQ(pool.used_bytes(), 12288u);
    EXPECT_EQ(pool.system_count(), 3u);
  }
  EXPECT_EQ(pool.idle_bytes(), 8192u) << "the third went back to the system";
  PooledBuffer again = pool.take(100);
  EXPECT_EQ(pool.system_count(), 3u);
  EXPECT_EQ(pool.idle_bytes(), 4096u);
  PooledBuffer moved = std::move(again);
  EXPECT_FALSE(again.is_valid());
  EXPECT_TRUE(moved.is_valid());
  moved.reset();
  moved.reset();
  EXPECT_EQ(pool.used_bytes(), 0u);
  (void)first;
}

TEST(BufferPool, a_size_that_is_wanted_displaces_idle_ones_that_are_not) {
  BufferPool pool(1 << 20);
  {
    std::vector<PooledBuffer> old;
    for (int i = 0; i < 4; ++i) old.push_back(pool.take(256 << 10));
  }
  EXPECT_EQ(pool.idle_bytes(), 1u << 20);
  for (int i = 0; i < 10; ++i) {
    PooledBuffer large = pool.take(1 << 20);
    std::memset(large.data(), 1, large.capacity());
  }
  EXPECT_EQ(pool.system_count(), 5u) << "the first of the large ones came back nine times";
  EXPECT_LE(pool.idle_bytes(), 1u << 20);
}

TEST(LargePages, pieces_do_not_overlap_and_regions_go_back_when_all_of_them_did) {
  LargePages pages;
  Random random(2);
  struct Piece {
    std::uint8_t* data;
    std::size_t size;
    std::uint8_t mark;
  };
  std::vector<Piece> held;
  for (int i = 0; i < 400; ++i) {
    if (held.size() > 12 || (!held.empty() && random.below(2) == 0)) {
      const std::size_t at = random.below(held.size());
      const Piece piece = held[at];
      EXPECT_EQ(piece.data[0], piece.mark);
      EXPECT_EQ(piece.data[piece.size - 1], piece.mark);
      pages.give_back(piece.data, piece.size);
      held.erase(held.begin() + static_cast<std::ptrdiff_t>(at));
      continue;
    }
    const std::size_t size = LargePages::kSizeMin << random.below(4);
    auto* data = pages.take(size);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(data) % std::min(size, LargePages::kRegionSize), 0u);
    const auto mark = static_cast<std::uint8_t>(i);
    data[0] = data[size - 1] = mark;
    held.push_back({data, size, mark});
  }
  for (const Piece& piece : held) pages.give_back(piece.data, piece.size);
}

TEST(BufferPool, random_use_never_hands_out_overlapping_memory) {
  Random random(1);
  BufferPool pool(1 << 20);
  struct Held {
    PooledBuffer buffer;
    std::uint8_t mark;
  };
  std::vector<Held> held;
  for (int i = 0; i < 5000; ++i) {
    if (held.size() < 20 && random.one_in(2)) {
      Held one{pool.take(random.below(1 << 17)), static_cast<std::uint8_t>(i)};
      std::memset(one.buffer.data(), one.mark, one.buffer.capacity());
      held.push_back(std::move(one));
    } else if (!held.empty()) {
      const std::size_t at = random.below(held.size());
      Held& one = held[at];
      for (std::size_t k = 0; k < one.buffer.capacity(); k += 509)
        ASSERT_EQ(one.buffer.data()[k], one.mark);
      std::swap(one, held.back());
      held.pop_back();
    }
    ASSERT_LE(pool.idle_bytes(), std::size_t{1 << 20});
  }
}

}  // namespace
}  // namespace drave::io::test
