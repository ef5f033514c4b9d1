#include "tools/cli/record_input.h"

#include <gtest/gtest.h>

namespace drave::cli {
namespace {

TEST(RecordInput, cuts_a_stream_wherever_it_comes_in_pieces) {
  RecordSplitter splitter("--");
  splitter.feed("one-");
  EXPECT_FALSE(splitter.next().has_value());
  splitter.compact();
  splitter.feed("-two--thr");
  EXPECT_EQ(splitter.next(), "one");
  EXPECT_EQ(splitter.next(), "two");
  EXPECT_FALSE(splitter.next().has_value());
  splitter.compact();
  splitter.feed("ee");
  splitter.finish();
  EXPECT_EQ(splitter.next(), "three");
  EXPECT_FALSE(splitter.next().has_value());
}

TEST(RecordInput, an_empty_line_is_a_record) {
  RecordSplitter splitter("\n");
  splitter.feed("\n\n");
  splitter.finish();
  EXPECT_EQ(splitter.next(), "");
  EXPECT_EQ(splitter.next(), "");
  EXPECT_FALSE(splitter.next().has_value());
}

TEST(RecordInput, splits_keys_and_knows_tombstones) {
  InputRecord record;
  record.read_line("k:v:w", ":", false);
  EXPECT_EQ(as_text(record.row.key.value()), "k");
  EXPECT_EQ(as_text(record.row.value.value()), "v:w");
  record.read_line("alone", ":", false);
  EXPECT_FALSE(record.row.key.has_value());
  record.read_line("k:", ":", false);
  EXPECT_TRUE(record.row.value.has_value());
  record.read_line("k:", ":", true);
  EXPECT_FALSE(record.row.value.has_value());
}

TEST(RecordInput, reads_what_consume_writes) {
  InputRecord record;
  const std::string line =
      R"({"topic":"t","partition":4,"offset":9,"timestamp":77,"keyBase64":"/wAB","value":null,)"
      R"("headers":[{"key":"a","value":"1"},{"key":"b","value":null}]})";
  ASSERT_TRUE(record.read_json(line).has_value());
  EXPECT_EQ(as_text(record.row.key.value()), std::string_view("\xFF\x00\x01", 3));
  EXPECT_FALSE(record.row.value.has_value());
  EXPECT_EQ(record.row.partition, 4);
  EXPECT_EQ(record.row.timestamp, 77);
  ASSERT_EQ(record.row.headers.size(), 2u);
  EXPECT_EQ(record.row.headers[0].first, "a");
  EXPECT_EQ(as_text(record.row.headers[0].second.value()), "1");
  EXPECT_FALSE(record.row.headers[1].second.has_value());
}

TEST(RecordInput, short_texts_stay_where_they_are) {
  InputRecord record;
  ASSERT_TRUE(record.read_json(R"({"key":"k1","value":"hello"})").has_value());
  EXPECT_EQ(as_text(record.row.key.value()), "k1");
  EXPECT_EQ(as_text(record.row.value.value()), "hello");
}

TEST(RecordInput, names_a_line_that_is_none) {
  InputRecord record;
  for (const char* line : {"", "x", "[]", R"({"valueBase64":"a"})", R"({"headers":[1]})",
                           R"({"headers":[{"value":"a"}]})"}) {
    const auto read = record.read_json(line);
    ASSERT_FALSE(read.has_value()) << line;
    EXPECT_EQ(read.error().code, ExitCode::usage);
  }
}

}  // namespace
}  // namespace drave::cli
