#include "base/crc32c.h"

#include <string>
#include "tests/vectors/table.h"

namespace drave {
namespace {

TEST(Crc32cVector, every_implementation_agrees_with_java) {
  const std::size_t lines =
      vectors::each_row("crc32c", {"bytes", "crc32c"}, [](const nlohmann::json& row) {
        const auto bytes = vectors::from_hex(row.at("bytes").get<std::string>());
        const auto wanted = row.at("crc32c").get<std::uint32_t>();
        EXPECT_EQ(crc32c(bytes), wanted);
        EXPECT_EQ(crc32c_table(bytes), wanted);
        EXPECT_EQ(crc32c_sse42(bytes), wanted);
      });
  EXPECT_GE(lines, 65u);
}

}  // namespace
}  // namespace drave
