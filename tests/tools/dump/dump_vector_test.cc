// What we read of Kafka's files beside what Kafka's own classes read of them.

#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "tests/vectors/vectors.h"
#include "tools/dump/dump.h"

namespace drave::dump {
namespace {

using Rows = std::map<std::string, std::vector<Item>>;

Rows kafka_rows(const std::string& folder) {
  Rows rows;
  vectors::for_each_line("disk/" + folder + ".dump.jsonl",
                         [&](std::string_view line, std::size_t number) {
                           Item row = Item::parse(line, nullptr, false);
                           ASSERT_TRUE(row.is_object()) << "line " << number;
                           rows[row["file"]].push_back(std::move(row));
                         });
  return rows;
}

std::vector<Item> our_items(const std::string& path) {
  std::vector<Item> items;
  const auto damage = dump_file(path, as_bytes(vectors::read(path)), {.records = true},
                                [&](Item item) { items.push_back(std::move(item)); });
  EXPECT_TRUE(damage.has_value()) << path;
  EXPECT_EQ(damage.value_or(1), 0u) << path;
  return items;
}

void compare_fields(const Item& kafka, const Item& ours,
                    const std::vector<std::pair<const char*, const char*>>& names) {
  for (const auto& [theirs, our] : names) {
    ASSERT_TRUE(kafka.contains(theirs) && ours.contains(our))
        << theirs << " " << our << ours.dump();
    EXPECT_EQ(kafka[theirs], ours[our]) << theirs;
  }
}

void compare_record(const Item& kafka, const Item& ours) {
  compare_fields(kafka, ours, {{"offset", "offset"}, {"timestamp", "timestamp"}});
  const auto size = [](const Item& hex) {
    return hex.is_null() ? -1 : static_cast<std::int64_t>(hex.get<std::string>().size() / 2);
  };
  EXPECT_EQ(size(kafka["key"]), ours["keySize"]);
  EXPECT_EQ(size(kafka["value"]), ours["valueSize"]);
  // Records of the metadata log; those of other internal topics are dumped as bytes.
  if (ours.contains("record")) {
    EXPECT_EQ(kafka["type"], ours["record"]["type"]);
    EXPECT_EQ(nlohmann::json(kafka["json"]), nlohmann::json(ours["record"]["data"]));
  }
  if (kafka.contains("controlValue") && ours.contains("control") &&
      ours["control"].contains("data")) {
    EXPECT_EQ(nlohmann::json(kafka["controlValue"]), nlohmann::json(ours["control"]["data"]));
  }
}

void compare_batches(const std::vector<Item>& kafka, const std::vector<Item>& ours) {
  auto at = ours.begin();
  for (const Item& row : kafka) {
    if (!row.contains("baseOffset")) continue;
    ASSERT_TRUE(at != ours.end());
    compare_fields(row, *at++,
                   {{"baseOffset", "baseOffset"},
                    {"lastOffset", "lastOffset"},
                    {"position", "position"},
                    {"sizeInBytes", "size"},
                    {"codec", "codec"},
                    {"recordsCount", "count"},
                    {"partitionLeaderEpoch", "leaderEpoch"},
                    {"timestampType", "timestampType"},
                    {"maxTimestamp", "maxTimestamp"}});
    for (const Item& record : row["records"]) {
      ASSERT_TRUE(at != ours.end());
      compare_record(record, *at++);
    }
  }
  EXPECT_TRUE(at == ours.end());
}

// Rows without batches: index entries, checkpoints and the like.
void compare_entries(FileKind kind, const std::vector<Item>& kafka, const std::vector<Item>& ours) {
  if (kind == FileKind::producer_snapshot) {
    const Item& producers = kafka.at(0)["json"]["producerEntries"];
    ASSERT_EQ(producers.size(), ours.size());
    for (std::size_t i = 0; i < ours.size(); ++i) {
      compare_fields(producers[i], ours[i],
                     {{"producerId", "producerId"}, {"epoch", "producerEpoch"}});
    }
    return;
  }
  const bool is_index = kind == FileKind::offset_index || kind == FileKind::time_index ||
                        kind == FileKind::transaction_index;
  if (!is_index) {
    EXPECT_FALSE(ours.empty() && kafka.at(0)["lines"].size() > 2);
    return;
  }
  std::size_t i = 0;
  for (const Item& row : kafka) {
    for (const char* name : {"offset", "position", "timestamp", "producerId", "firstOffset",
                             "lastOffset", "lastStableOffset"}) {
      if (!row.contains(name)) continue;
      ASSERT_LT(i, ours.size());
      EXPECT_EQ(row[name], ours[i][name]) << name;
    }
    if (row.size() > 1) ++i;
  }
  EXPECT_EQ(i, ours.size());
}

void compare_folder(const std::string& folder) {
  std::size_t compared = 0;
  for (const auto& [file, rows] : kafka_rows(folder)) {
    SCOPED_TRACE(file);
    const std::string path = "disk/" + folder + "/" + file;
    const FileKind kind = kind_of(path);
    ASSERT_NE(kind, FileKind::unknown);
    const std::vector<Item> items = our_items(path);
    if (kind == FileKind::log || kind == FileKind::metadata_log) {
      compare_batches(rows, items);
    } else {
      compare_entries(kind, rows, items);
    }
    ++compared;
  }
  EXPECT_GT(compared, 10u);
}

TEST(DumpVector, a_used_directory_reads_as_kafka_reads_it) {
  compare_folder("run");
}

TEST(DumpVector, formatted_directories_read_as_kafka_reads_them) {
  compare_folder("formatted");
}

}  // namespace
}  // namespace drave::dump
