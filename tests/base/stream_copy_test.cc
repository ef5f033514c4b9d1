#include "base/stream_copy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/random.h"

namespace drave {
namespace {

TEST(StreamCopy, copies_all_bytes_and_no_others) {
  Random random(3);
  std::vector<std::uint8_t> from(3 * kStreamCopyMin);
  for (auto& byte : from) byte = static_cast<std::uint8_t>(random.below(255));
  constexpr std::uint8_t kUntouched = 255;
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, kStreamCopyMin - 1, kStreamCopyMin,
                                 kStreamCopyMin + 1, kStreamCopyMin + 63, 2 * kStreamCopyMin}) {
    for (const std::size_t shift : {0, 1, 8, 63}) {
      std::vector<std::uint8_t> to(size + 128, kUntouched);
      const ByteView wanted = ByteView(from).subspan(2 * shift, size);
      stream_copy(to.data() + shift, wanted);
      const auto begin = to.begin() + static_cast<std::ptrdiff_t>(shift);
      const auto end = begin + static_cast<std::ptrdiff_t>(size);
      ASSERT_TRUE(std::equal(begin, end, wanted.begin())) << size << " " << shift;
      const auto outside =
          std::count(to.begin(), begin, kUntouched) + std::count(end, to.end(), kUntouched);
      ASSERT_EQ(outside, 128) << size << " " << shift;
    }
  }
}

}  // namespace
}  // namespace drave
