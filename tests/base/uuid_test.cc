#include "base/uuid.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace drave {
namespace {

TEST(Uuid, text_of_known_ids) {
  EXPECT_EQ(kZeroUuid.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
  EXPECT_EQ(kMetadataTopicId.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
}

TEST(Uuid, parses_what_it_prints) {
  Random random(3);
  for (int i = 0; i < 1000; ++i) {
    const Uuid id = Uuid::from_random(random.next(), random.next());
    const auto parsed = Uuid::parse(id.to_string());
    ASSERT_TRUE(parsed.has_value());
    ASSERT_EQ(*parsed, id);
  }
}

TEST(Uuid, refuses_other_text) {
  EXPECT_FALSE(Uuid::parse(""));
  EXPECT_FALSE(Uuid::parse("AAAAAAAAAAAAAAAAAAAAA"));
  EXPECT_FALSE(Uuid::parse("AAAAAAAAAAAAAAAAAAAAA+"));
  EXPECT_FALSE(Uuid::parse("AAAAAAAAAAAAAAAAAAAAAAA"));
}

}  // namespace
}  // namespace drave
