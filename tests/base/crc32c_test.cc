#include "base/crc32c.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/random.h"

namespace drave {
namespace {

TEST(Crc32c, known_values) {
  EXPECT_EQ(crc32c(as_bytes("")), 0u);
  EXPECT_EQ(crc32c(as_bytes("123456789")), 0xE3069283u);  // RFC 3720, B.4
  const std::vector<std::uint8_t> zeros(32, 0);
  EXPECT_EQ(crc32c(zeros), 0x8A9136AAu);
}

TEST(Crc32c, implementations_agree_on_every_length_and_alignment) {
  Random random(7);
  std::vector<std::uint8_t> bytes(5000);
  for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random.next());
  for (std::size_t size = 0; size < 600; ++size) {
    const ByteView view(bytes.data() + size % 9, size);
    ASSERT_EQ(crc32c(view), crc32c_table(view)) << size;
    ASSERT_EQ(crc32c_sse42(view), crc32c_table(view)) << size;
  }
  EXPECT_EQ(crc32c(bytes), crc32c_table(bytes));
}

TEST(Crc32c, continues) {
  const ByteView whole = as_bytes("one piece and another piece");
  EXPECT_EQ(crc32c(whole.subspan(10), crc32c(whole.first(10))), crc32c(whole));
}

}  // namespace
}  // namespace drave
