#include "broker/net/frame.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "broker/limits.h"

namespace drave::broker {
namespace {

std::vector<std::uint8_t> frame_of(std::int32_t announced, std::size_t bytes) {
  std::vector<std::uint8_t> frame(4 + bytes);
  store_big(frame.data(), announced);
  for (std::size_t i = 0; i < bytes; ++i) frame[4 + i] = static_cast<std::uint8_t>(i * 7);
  return frame;
}

// Feeds `frame` in pieces of `piece` bytes, as a socket would.
void feed(FrameAssembly& assembly, ByteView frame, std::size_t piece) {
  std::size_t at = std::min(piece, frame.size());
  assembly.begin(frame.first(at));
  while (at < frame.size()) {
    const MutableByteView room = assembly.room();
    const std::size_t size = std::min({piece, frame.size() - at, room.size()});
    std::memcpy(room.data(), frame.data() + at, size);
    assembly.received(size);
    at += size;
  }
}

TEST(FrameAssembly, puts_frames_of_any_size_together_from_any_pieces) {
  io::BufferPool pool(1 << 20);
  for (const std::size_t size : {0ul, 1ul, 5ul, 4091ul, 4096ul, 70'000ul, 300'000ul, 2'500'000ul}) {
    for (const std::size_t piece : {1ul, 3ul, 4ul, 5ul, 4096ul, 65'536ul}) {
      if (size / piece > 100'000) continue;
      const auto frame = frame_of(static_cast<std::int32_t>(size), size);
      FrameAssembly assembly(pool);
      feed(assembly, frame, piece);
      ASSERT_TRUE(assembly.is_complete());
      auto [bytes, owner] = assembly.take(nullptr, 0);
      ASSERT_EQ(bytes.size(), size);
      ASSERT_TRUE(size == 0 || std::memcmp(bytes.data(), frame.data() + 4, size) == 0);
      ASSERT_FALSE(assembly.is_active());
    }
  }
}

TEST(FrameAssembly, holds_in_proportion_to_what_arrived_not_to_what_was_announced) {
  io::BufferPool pool(1 << 20);
  FrameAssembly assembly(pool);
  const auto frame = frame_of(64 << 20, 5000);
  feed(assembly, frame, 1000);
  EXPECT_EQ(assembly.announced(), 64 << 20);
  EXPECT_LE(assembly.capacity(), static_cast<std::int64_t>(kFrameBytesFirst));
  EXPECT_FALSE(assembly.is_complete());
  assembly.abandon();
  EXPECT_EQ(pool.used_bytes(), 0u);
}

TEST(FrameAssembly, takes_the_size_of_a_frame_that_came_whole_at_once) {
  io::BufferPool pool(1 << 20);
  FrameAssembly assembly(pool);
  const auto frame = frame_of(200'000, 200'000);
  EXPECT_EQ(assembly.proven_size(frame), 0u) << "nothing has been proven yet";
  feed(assembly, frame, 30'000);
  assembly.take(nullptr, 0);
  ASSERT_EQ(assembly.proven_size(ByteView(frame).first(30'000)), 200'004u);
  assembly.begin(ByteView(frame).first(30'000), 200'004);
  EXPECT_EQ(assembly.growth(), 0) << "nothing is copied again";
  EXPECT_EQ(assembly.room().size(), 170'004u);
  assembly.abandon();
  EXPECT_EQ(assembly.proven_size(frame_of(64 << 20, 10)), 0u) << "larger than what was proven";
  EXPECT_EQ(assembly.proven_size(frame_of(-5, 10)), 0u);
}

TEST(FrameAssembly, asks_for_nothing_beyond_its_frame) {
  io::BufferPool pool(1 << 20);
  FrameAssembly assembly(pool);
  const auto frame = frame_of(10, 6);
  feed(assembly, frame, 10);
  EXPECT_EQ(assembly.room().size(), 4u);
  assembly.abandon();
}

}  // namespace
}  // namespace drave::broker
