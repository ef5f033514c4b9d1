#include "tools/client/endpoint.h"

#include <gtest/gtest.h>

namespace drave::client {
namespace {

TEST(Endpoint, takes_names_ports_and_lists) {
  const auto found = parse_endpoints("a,b:19092,[::1]:9093,[fe80::1]");
  ASSERT_TRUE(found.has_value()) << found.error().message();
  const std::vector<Endpoint> expected{{"a", 9092}, {"b", 19092}, {"::1", 9093}, {"fe80::1", 9092}};
  EXPECT_EQ(*found, expected);
  EXPECT_EQ((*found)[2].to_string(), "[::1]:9093");
}

TEST(Endpoint, refuses_what_is_none) {
  for (const char* text : {"", ":9092", "a:", "a:0", "a:65536", "a:x", "a:1x", "::1:9092", "[::1",
                           "[::1]9092", "a,,b", "a:9092,"}) {
    EXPECT_FALSE(parse_endpoints(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace drave::client
