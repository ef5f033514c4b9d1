#include "tools/cli/record_format.h"

#include <gtest/gtest.h>

#include "tools/cli/text.h"

namespace drave::cli {
namespace {

RecordRow example() {
  return {.topic = "orders",
          .partition = 3,
          .offset = 12,
          .timestamp = 1000,
          .key = as_bytes("k"),
          .value = as_bytes("hello"),
          .headers = {{"a", as_bytes("1")}, {"b", std::nullopt}}};
}

std::string formatted(std::string_view format, const RecordRow& row) {
  const auto parsed = RecordFormat::parse(format);
  EXPECT_TRUE(parsed.has_value()) << format;
  std::string out;
  if (parsed) parsed->append(out, row);
  return out;
}

TEST(RecordFormat, fills_in_every_field) {
  EXPECT_EQ(formatted("%t %p %o %T %k %s %h %K %S %%\\n", example()),
            "orders 3 12 1000 k hello a=1,b= 1 5 %\n");
  EXPECT_EQ(formatted("%R", example()), std::string("\0\0\0\5", 4));
  EXPECT_EQ(formatted("\\t\\x41\\\\\\0", example()), std::string("\tA\\\0", 4));
}

TEST(RecordFormat, shows_null_as_nothing_of_size_minus_one) {
  RecordRow row = example();
  row.key.reset();
  row.value.reset();
  EXPECT_EQ(formatted("[%k|%s|%K|%S]", row), "[||-1|-1]");
}

TEST(RecordFormat, refuses_what_it_does_not_know) {
  for (const char* text : {"%q", "%", "\\q", "\\", "\\x4", "\\xzz"})
    EXPECT_FALSE(RecordFormat::parse(text).has_value()) << text;
}

TEST(RecordFormat, carries_bytes_that_are_not_text_in_base64) {
  RecordRow row{.topic = "t", .partition = 0, .offset = 1, .timestamp = 2};
  const std::string bytes("\xFF\x00\x01", 3);
  row.value = as_bytes(bytes);
  std::string out;
  append_json(out, row);
  EXPECT_EQ(out,
            "{\"topic\":\"t\",\"partition\":0,\"offset\":1,\"timestamp\":2,\"key\":null,"
            "\"valueBase64\":\"/wAB\"}\n");
}

TEST(RecordText, knows_utf8) {
  EXPECT_TRUE(is_utf8(as_bytes("plain \xC3\xA9 \xE2\x82\xAC \xF0\x9F\x8C\x8A")));
  for (const char* text : {"\x80", "\xC0\x80", "\xC3", "\xE0\x80\x80", "\xED\xA0\x80",
                           "\xF4\x90\x80\x80", "\xF8\x88\x80\x80\x80"}) {
    EXPECT_FALSE(is_utf8(as_bytes(text)));
  }
}

TEST(RecordText, base64_goes_there_and_back) {
  for (const char* text : {"", "a", "ab", "abc", "abcd", "\xFF\xFE"})
    EXPECT_EQ(from_base64(to_base64(as_bytes(text))), text);
  EXPECT_EQ(to_base64(as_bytes("ab")), "YWI=");
  EXPECT_FALSE(from_base64("a").has_value());
  EXPECT_FALSE(from_base64("a!bc").has_value());
}

}  // namespace
}  // namespace drave::cli
