#include <gtest/gtest.h>

#include "protocol/batch_builder.h"
#include "segments/journal_format.h"
#include "tools/dump/dump.h"

namespace drave::dump {
namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes batch_of(Offset offset, std::string_view value) {
  protocol::BatchBuilder builder({.base_offset = offset, .leader_epoch = 0});
  builder.append(1000, as_bytes("key"), as_bytes(value));
  return std::move(builder).finish();
}

struct Dumped {
  std::vector<Item> items;
  std::uint64_t damage = 0;

  std::vector<std::string> kinds() const {
    std::vector<std::string> found;
    for (const Item& item : items) found.push_back(item["kind"]);
    return found;
  }
};

Dumped dumped(std::string_view path, const Bytes& bytes, Options options = {}) {
  Dumped result;
  const auto damage =
      dump_file(path, bytes, options, [&](Item item) { result.items.push_back(std::move(item)); });
  EXPECT_TRUE(damage.has_value());
  result.damage = damage.value_or(0);
  return result;
}

Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

using Kinds = std::vector<std::string>;

TEST(DumpDamage, a_torn_tail_is_named_and_no_damage) {
  Bytes bytes = batch_of(0, "a") + batch_of(1, "b");
  const std::size_t second = bytes.size() / 2;
  bytes.resize(bytes.size() - 3);
  const Dumped result = dumped("t-0/0.log", bytes);
  EXPECT_EQ(result.kinds(), (Kinds{"batch", "torn"}));
  EXPECT_EQ(result.items[1]["position"], second);
  EXPECT_EQ(result.damage, 0u);
}

TEST(DumpDamage, behind_damage_the_next_valid_batch_is_found) {
  Bytes bytes = batch_of(0, "a") + batch_of(1, "b") + batch_of(2, "c");
  const std::size_t size = bytes.size() / 3;
  bytes[size + protocol::batch_field::kMagic] = 9;
  const Dumped result = dumped("t-0/0.log", bytes);
  EXPECT_EQ(result.kinds(), (Kinds{"batch", "damage", "batch"}));
  EXPECT_EQ(result.items[2]["baseOffset"], 2);
}

TEST(DumpDamage, a_wrong_checksum_shows_the_batch_and_not_its_records) {
  Bytes bytes = batch_of(0, "aaaa");
  bytes.back() ^= 1;
  const Dumped result = dumped("t-0/0.log", bytes, {.records = true, .values = true});
  EXPECT_EQ(result.kinds(), (Kinds{"batch", "damage"}));
  EXPECT_EQ(result.items[0]["crcValid"], false);
}

TEST(DumpDamage, zeros_behind_the_last_batch_are_room_and_no_damage) {
  Bytes bytes = batch_of(0, "a");
  bytes.resize(bytes.size() + 4096);
  EXPECT_EQ(dumped("t-0/0.log", bytes).damage, 0u);
}

TEST(DumpDamage, values_are_shown_on_request) {
  const Dumped result =
      dumped("t-0/0.log", batch_of(7, "hello"), {.records = true, .values = true});
  ASSERT_EQ(result.items.size(), 2u);
  EXPECT_EQ(result.items[1]["offset"], 7);
  EXPECT_EQ(result.items[1]["key"], "key");
  EXPECT_EQ(result.items[1]["value"], "hello");
  EXPECT_EQ(to_line(result.items[1]).substr(0, 17), "record: offset=7 ");
}

TEST(DumpDamage, an_index_that_shrinks_is_damage) {
  const Bytes bytes{0, 0, 0, 9, 0, 0, 0, 90, 0, 0, 0, 5, 0, 0, 0, 50};
  EXPECT_EQ(dumped("t-0/00000000000000000000.index", bytes).damage, 1u);
}

TEST(DumpDamage, a_journal_that_is_all_zeros_is_only_prepared) {
  const segments::JournalFileName name{.journal = "journal-0", .id = 5, .generation = 1};
  const Dumped result = dumped(segments::journal_file_name(name), Bytes(16384));
  EXPECT_EQ(result.kinds(), Kinds{"journalFile"});
  EXPECT_EQ(result.damage, 0u);
}

TEST(DumpDamage, a_name_that_says_nothing_is_refused) {
  const auto result = dump_file("t-0/notes.txt", {}, {}, [](const Item&) {});
  EXPECT_FALSE(result.has_value());
}

}  // namespace
}  // namespace drave::dump
