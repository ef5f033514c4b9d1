#include <gtest/gtest.h>

#include "broker/config/server_properties.h"

namespace drave::broker {
namespace {

using namespace std::string_literals;

// "key=value" of every setting, one a line; or the error.
std::string parsed(std::string_view text) {
  const auto properties = parse_properties(text, "f");
  if (!properties) return "error: " + properties.error().context;
  std::string out;
  for (const Property& property : *properties) out += property.key + "=" + property.value + "\n";
  return out;
}

TEST(ServerProperties, keys_end_at_equals_colon_or_blank) {
  EXPECT_EQ(parsed("a=1\nb:2\nc 3\n  d = 4\ne\t:\t5\nf\ng=\nh  =  = x"),
            "a=1\nb=2\nc=3\nd=4\ne=5\nf=\ng=\nh== x\n");
}

TEST(ServerProperties, comments_and_empty_lines_are_passed_over) {
  EXPECT_EQ(parsed("# a=1\n  ! b=2\n\n   \n\t\nc=3 # not a comment\n#\\\nd=4"),
            "c=3 # not a comment\nd=4\n");
}

TEST(ServerProperties, lines_end_as_on_any_system) {
  EXPECT_EQ(parsed("a=1\r\nb=2\rc=3\n"), "a=1\nb=2\nc=3\n");
  EXPECT_EQ(parsed("\xEF\xBB\xBF"
                   "a=1"),
            "a=1\n");
  EXPECT_EQ(parsed(""), "");
}

TEST(ServerProperties, a_backslash_at_the_end_goes_on_in_the_next_line) {
  EXPECT_EQ(parsed("a=1,\\\n   2,\\\r\n\t3\nb=4"), "a=1,2,3\nb=4\n");
  EXPECT_EQ(parsed("a=x\\\\\nb=2"), "a=x\\\nb=2\n");
  EXPECT_EQ(parsed("a=x\\\\\\\ny"), "a=x\\y\n");
  EXPECT_EQ(parsed("a=1\\"), "a=1\n");
  EXPECT_EQ(parsed("a=1\\\n#b=2"), "a=1#b=2\n");
  EXPECT_EQ(parsed("a=1\\\n\nb=2"), "a=1\nb=2\n");
}

TEST(ServerProperties, escapes_are_javas) {
  EXPECT_EQ(parsed("a\\=b\\:c\\ d=x\\ty"), "a=b:c d=x\ty\n");
  EXPECT_EQ(parsed("a=C:\\\\dir\\d"), "a=C:\\dird\n");
  EXPECT_EQ(parsed("a=\\u00e9\\u20AC\\ud83d\\ude00"), "a=\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\n");
  for (const std::string_view bad :
       {"a=\\u12", "a=\\u12g4", "a=\\ud83d", "a=\\ude00", "a=\\ud83d\\u0041"}) {
    EXPECT_EQ(parsed(bad), "error: f:1: a \\u wants four hexadecimal digits of a character") << bad;
  }
}

TEST(ServerProperties, blanks_after_a_value_belong_to_it) {
  EXPECT_EQ(parsed("a=1  \n"), "a=1  \n");
}

TEST(ServerProperties, bytes_that_are_not_utf8_are_an_error_outside_of_comments) {
  EXPECT_EQ(parsed("a=\xC3\xA9"), "a=\xC3\xA9\n");
  EXPECT_EQ(parsed("# caf\xE9\na=1"), "a=1\n");
  for (const std::string_view bad : {"\xE9", "\xC0\x80", "\xED\xA0\x80", "\xF5\x80\x80\x80", "\xC3",
                                     "\xE0\x80\x80", "\xF4\x90\x80\x80", "\x80"}) {
    EXPECT_EQ(parsed("a=1\nb=" + std::string(bad)), "error: f:2: not UTF-8");
  }
}

TEST(ServerProperties, errors_name_the_line_a_setting_begins_at) {
  EXPECT_EQ(parsed("\n# c\na=1\\\n\\u"),
            "error: f:3: a \\u wants four hexadecimal digits of a character");
  EXPECT_EQ(parsed("a=1\n=2"), "error: f:2: a key is missing before '='");
  EXPECT_EQ(parsed("a=\0"s), "error: f:1: a NUL character");
  EXPECT_EQ(parsed("a=\\u0000"), "error: f:1: a NUL character");
}

TEST(ServerProperties, doubles_are_kept_in_order_with_their_places) {
  const auto properties = parse_properties("a=1\n\na=2\n", "dir/s.properties");
  ASSERT_TRUE(properties.has_value());
  ASSERT_EQ(properties->size(), 2U);
  EXPECT_EQ((*properties)[1].value, "2");
  EXPECT_EQ((*properties)[1].where, "dir/s.properties:3");
}

TEST(ServerProperties, a_file_that_cannot_be_one_is_refused) {
  const auto properties = parse_properties(std::string(kPropertiesBytesMax + 1, '\n'), "f");
  ASSERT_FALSE(properties.has_value());
  EXPECT_EQ(properties.error().code, Errc::too_large);
  EXPECT_TRUE(parse_properties(std::string(kPropertiesBytesMax, '\n'), "f").has_value());
}

TEST(ServerProperties, an_override_is_key_and_value) {
  const auto property = parse_override(" log.dirs = /a\\b=c ");
  ASSERT_TRUE(property.has_value());
  EXPECT_EQ(property->key, "log.dirs");
  EXPECT_EQ(property->value, "/a\\b=c");
  EXPECT_EQ(parse_override("a=")->value, "");
  EXPECT_FALSE(parse_override("a").has_value());
  EXPECT_FALSE(parse_override("=a").has_value());
  EXPECT_FALSE(parse_override("").has_value());
  EXPECT_FALSE(parse_override("a=\xFF").has_value());
}

}  // namespace
}  // namespace drave::broker
