#include "protocol/wire.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace drave::protocol {
namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes bytes_of(ByteView view) {
  return {view.begin(), view.end()};
}

TEST(Reader, keeps_its_first_error_and_yields_nothing_after_it) {
  const Bytes bytes = {0, 1, 2};
  Reader in(bytes);
  EXPECT_EQ(in.integer<std::int16_t>(), 1);
  EXPECT_EQ(in.integer<std::int32_t>(), 0);
  EXPECT_FALSE(in.ok());
  EXPECT_EQ(in.error_position(), 2u);
  EXPECT_EQ(in.integer<std::uint8_t>(), 0);
  EXPECT_EQ(in.remaining(), 0u);
  in.fail("later");
  EXPECT_STREQ(in.error(), "message ends inside a number");
}

TEST(Reader, a_count_is_compared_with_the_remaining_bytes) {
  const Bytes bytes = {0x7f, 0xff, 0xff, 0xff, 1, 2, 3, 4};
  Reader in(bytes);
  EXPECT_EQ(in.count(false, true, 1, 1, "f"), 0);
  EXPECT_FALSE(in.ok());
  EXPECT_FALSE(in.over_budget());

  const Bytes four = {0, 0, 0, 4, 1, 2, 3, 4};
  Reader fits(four);
  EXPECT_EQ(fits.count(false, true, 1, 1, "f"), 4);
  Reader tight(four);
  EXPECT_EQ(tight.count(false, true, 2, 1, "f"), 0);
  EXPECT_FALSE(tight.ok());
}

TEST(Reader, arrays_are_charged_to_the_budget) {
  Bytes bytes(104, 0);
  bytes[3] = 100;
  Reader in(bytes, 1000);
  EXPECT_EQ(in.count(false, false, 1, 10, "f"), 100);
  EXPECT_TRUE(in.ok());
  Reader small(bytes, 999);
  EXPECT_EQ(small.count(false, false, 1, 10, "f"), 0);
  EXPECT_TRUE(small.over_budget());
}

TEST(Reader, the_default_budget_is_bounded) {
  EXPECT_LE(kDecodedBytesFloor, kDecodedBytesMax);
  Bytes bytes(std::size_t{8} << 20, 0);
  store_big(bytes.data(), static_cast<std::int32_t>(bytes.size() - 4));
  Reader in(bytes);
  EXPECT_EQ(in.count(false, false, 1, 16, "f"), 0);
  EXPECT_TRUE(in.over_budget());
}

TEST(Reader, null_is_refused_where_it_cannot_be) {
  const Bytes classic = {0xff, 0xff};
  Reader nullable(classic);
  EXPECT_FALSE(nullable.string(false, true, "f").present);
  EXPECT_TRUE(nullable.ok());
  Reader strict(classic);
  EXPECT_FALSE(strict.string(false, false, "f").present);
  EXPECT_FALSE(strict.ok());
  EXPECT_STREQ(strict.error_field(), "f");
  const Bytes flexible = {0};
  Reader compact(flexible);
  EXPECT_FALSE(compact.string(true, true, "f").present);
  EXPECT_TRUE(compact.ok());
}

TEST(Reader, a_string_has_at_most_32767_bytes_but_bytes_may_be_longer) {
  Writer out;
  out.uvarint(32768 + 1);
  const Bytes content(32768, 'a');
  out.bytes(content);
  Reader text(out.own());
  (void)text.string(true, false, "f");
  EXPECT_FALSE(text.ok());
  Reader raw(out.own());
  EXPECT_EQ(raw.bytes_field(true, false, "f").bytes.size(), 32768u);
  EXPECT_TRUE(raw.ok());
}

TEST(Reader, a_tagged_field_must_be_as_long_as_it_says) {
  const Bytes bytes = {1, 2, 3, 4};
  Reader in(bytes);
  const std::uint8_t* end = in.enter(2);
  EXPECT_EQ(in.remaining(), 2u);
  EXPECT_EQ(in.integer<std::int16_t>(), 0x0102);
  in.leave(end);
  EXPECT_TRUE(in.ok());
  EXPECT_EQ(in.remaining(), 2u);
  end = in.enter(2);
  in.integer<std::int8_t>();
  in.leave(end);
  EXPECT_FALSE(in.ok());
  EXPECT_EQ(in.remaining(), 0u);
}

TEST(Writer, grows_and_keeps_its_buffer) {
  Writer out;
  for (int i = 0; i < 10000; ++i) out.integer(i);
  EXPECT_EQ(out.size(), 40000u);
  EXPECT_EQ(load_big<std::int32_t>(out.own().data() + 39996), 9999);
  const std::uint8_t* before = out.own().data();
  out.clear();
  EXPECT_EQ(out.size(), 0u);
  out.integer(std::int64_t{1});
  EXPECT_EQ(out.own().data(), before);
}

TEST(Writer, an_exact_buffer_may_be_filled_but_not_exceeded) {
  std::array<std::uint8_t, 5> place{};
  Writer out{MutableByteView(place)};
  out.integer(std::int32_t{1});
  out.uvarint(127);
  EXPECT_TRUE(out.ok());
  EXPECT_EQ(out.size(), 5u);
  out.uvarint(0);
  EXPECT_FALSE(out.ok());
  EXPECT_EQ(out.size(), 5u);
}

TEST(Writer, patches_a_length_that_was_not_known_yet) {
  Writer out;
  out.integer(std::int32_t{0});
  out.bytes(as_bytes("hello"));
  out.patch(0, static_cast<std::int32_t>(out.size() - 4));
  EXPECT_EQ(load_big<std::int32_t>(out.own().data()), 5);
}

TEST(Writer, gathers_long_bytes_and_copies_short_ones) {
  const Bytes record(4096, 7);
  const Bytes tiny(16, 8);
  Writer plain;
  Writer out;
  out.gather(1024);
  for (Writer* writer : {&plain, &out}) {
    writer->integer(std::int32_t{1});
    writer->bytes_field(record, true);
    writer->bytes_field(tiny, true);
    writer->bytes_field(record, true);
  }
  EXPECT_EQ(out.size(), plain.size());
  EXPECT_EQ(out.cuts().size(), 2u);
  EXPECT_LT(out.own().size(), 64u);
  Bytes joined;
  int external = 0;
  out.pieces([&](ByteView piece) {
    external += piece.data() == record.data() ? 1 : 0;
    joined.insert(joined.end(), piece.begin(), piece.end());
  });
  EXPECT_EQ(external, 2);
  EXPECT_EQ(joined, bytes_of(plain.own()));
  out.clear();
  EXPECT_EQ(out.size(), 0u);
  EXPECT_TRUE(out.cuts().empty());
}

TEST(Writer, refuses_strings_that_no_reader_takes) {
  Writer out;
  out.string(std::string(32767, 'a'), false, "f");
  EXPECT_TRUE(out.ok());
  out.string(std::string(32768, 'a'), false, "f");
  EXPECT_FALSE(out.ok());
  EXPECT_STREQ(out.error_field(), "f");
}

}  // namespace
}  // namespace drave::protocol
