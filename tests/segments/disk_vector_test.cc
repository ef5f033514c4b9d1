// Directories that a genuine Kafka node wrote: every line that `disk/*.dump.jsonl` says of a file
// of a partition's directory, compared with what we read. Then whole partitions opened as logs,
// whose files a clean stop of ours must leave unchanged.

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "gtest/gtest.h"
#include "io/file.h"
#include "segments/leader_epoch_cache.h"
#include "segments/offset_checkpoint.h"
#include "segments/partition_metadata.h"
#include "segments/producer_snapshot.h"
#include "segments/segment.h"
#include "tests/segments/log_support.h"
#include "tests/vectors/vectors.h"

namespace drave::segments::testing {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Lines = std::vector<Json>;

// The lines of a dump, by file.
std::map<std::string, Lines> read_dump(const std::string& name) {
  std::map<std::string, Lines> files;
  vectors::for_each_line("disk/" + name + ".dump.jsonl", [&](std::string_view line, std::size_t) {
    Json row = Json::parse(line);
    files[row.at("file").get<std::string>()].push_back(std::move(row));
  });
  return files;
}

ByteView bytes_of(const std::string& dump, const std::string& file) {
  return as_bytes(vectors::read("disk/" + dump + "/" + file));
}

std::string text_of(const Json& row) {
  std::string text;
  for (const Json& line : row.at("lines")) text += line.get<std::string>() + "\n";
  return text;
}

void check_batch(const Json& row, const protocol::BatchView& batch, std::size_t position) {
  SCOPED_TRACE(row.at("file").get<std::string>() + " " + std::to_string(position));
  EXPECT_EQ(row.at("position"), position);
  EXPECT_EQ(row.at("magic"), batch.magic());
  EXPECT_EQ(row.at("baseOffset"), batch.base_offset());
  EXPECT_EQ(row.at("lastOffset"), batch.last_offset());
  EXPECT_EQ(row.at("sizeInBytes"), batch.size_bytes());
  EXPECT_EQ(row.at("codec"), to_string(*batch.codec()));
  EXPECT_EQ(row.at("maxTimestamp"), batch.max_timestamp());
  EXPECT_EQ(row.at("crc"), batch.crc());
  EXPECT_EQ(row.at("partitionLeaderEpoch"), batch.leader_epoch());
  EXPECT_EQ(row.at("attributes"), batch.attributes());
  EXPECT_EQ(row.at("producerId"), batch.producer_id());
  EXPECT_EQ(row.at("producerEpoch"), batch.producer_epoch());
  EXPECT_EQ(row.at("baseSequence"), batch.base_sequence());
  EXPECT_EQ(row.at("recordsCount"), batch.record_count());
  EXPECT_EQ(row.at("transactional"), batch.is_transactional());
  EXPECT_EQ(row.at("control"), batch.is_control());
  EXPECT_TRUE(batch.crc_matches());
}

void check_batches(const Lines& rows, ByteView bytes) {
  protocol::BatchIterator batches(bytes);
  for (std::size_t i = 0; i + 1 < rows.size(); ++i) {
    const std::size_t position = batches.position();
    const auto batch = batches.next();
    ASSERT_TRUE(batch.has_value());
    check_batch(rows[i], *batch, position);
  }
  EXPECT_FALSE(batches.next().has_value());
  EXPECT_EQ(rows.back().at("validBytes"), batches.position());
  EXPECT_EQ(rows.back().at("size"), bytes.size());
}

Offset base_of(const std::string& file) {
  return parse_segment_file_name(fs::path(file).filename().string())->first;
}

void check_offset_index(const Lines& rows, const std::string& file, ByteView bytes) {
  const auto index = OffsetIndex::decode(base_of(file), bytes, 1 << 30);
  ASSERT_TRUE(index.has_value()) << index.error().message();
  ASSERT_EQ(index->count(), rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i].at("offset"), index->entries()[i].offset);
    EXPECT_EQ(rows[i].at("position"), index->entries()[i].position);
  }
  EXPECT_EQ(index->encode(), std::vector<std::uint8_t>(bytes.begin(), bytes.end()));
}

void check_time_index(const Lines& rows, const std::string& file, ByteView bytes) {
  const auto index = TimeIndex::decode(base_of(file), bytes);
  ASSERT_TRUE(index.has_value()) << index.error().message();
  ASSERT_EQ(index->count(), rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i].at("timestamp"), index->entries()[i].timestamp);
    EXPECT_EQ(rows[i].at("offset"), index->entries()[i].offset);
  }
  EXPECT_EQ(index->encode(), std::vector<std::uint8_t>(bytes.begin(), bytes.end()));
}

void check_transaction_index(const Lines& rows, const std::string& file, ByteView bytes) {
  const auto index = TransactionIndex::decode(base_of(file), bytes);
  ASSERT_TRUE(index.has_value()) << index.error().message();
  ASSERT_EQ(index->entries().size(), rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i].at("version"), 0);
    EXPECT_EQ(rows[i].at("producerId"), index->entries()[i].producer_id);
    EXPECT_EQ(rows[i].at("firstOffset"), index->entries()[i].first_offset);
    EXPECT_EQ(rows[i].at("lastOffset"), index->entries()[i].last_offset);
    EXPECT_EQ(rows[i].at("lastStableOffset"), index->entries()[i].last_stable_offset);
  }
  EXPECT_EQ(index->encode(), std::vector<std::uint8_t>(bytes.begin(), bytes.end()));
}

void check_snapshot(const Lines& rows, ByteView bytes) {
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].at("version"), 1);
  const auto entries = decode_producer_snapshot(bytes);
  ASSERT_TRUE(entries.has_value()) << entries.error().message();
  const Json& wanted = rows[0].at("json").at("producerEntries");
  ASSERT_EQ(entries->size(), wanted.size());
  EXPECT_EQ(rows[0].at("json").at("crc"), load_big<std::uint32_t>(bytes.data() + 2));
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const ProducerEntry& entry = (*entries)[i];
    EXPECT_EQ(wanted[i].at("producerId"), entry.producer_id);
    EXPECT_EQ(wanted[i].at("epoch"), entry.epoch);
    EXPECT_EQ(wanted[i].at("lastSequence"),
              entry.batch_count == 0 ? -1 : entry.batches[0].last_sequence);
    EXPECT_EQ(wanted[i].at("lastOffset"),
              entry.batch_count == 0 ? -1 : entry.batches[0].last_offset);
    EXPECT_EQ(wanted[i].at("offsetDelta"),
              entry.batch_count == 0 ? 0 : entry.batches[0].offset_delta);
    EXPECT_EQ(wanted[i].at("timestamp"), entry.last_timestamp);
    EXPECT_EQ(wanted[i].at("coordinatorEpoch"), entry.coordinator_epoch);
    EXPECT_EQ(wanted[i].at("currentTxnFirstOffset"), entry.transaction_first_offset);
  }
  ProducerStates states;
  states.load(*entries);
  const std::vector<std::uint8_t> again = encode_producer_snapshot(states);
  EXPECT_EQ(again.size(), bytes.size());
  if (entries->size() < 2) {  // Kafka's order is that of a hash map
    EXPECT_EQ(again, std::vector<std::uint8_t>(bytes.begin(), bytes.end()));
  }
}

void check_text(const std::string& name, const Lines& rows, ByteView bytes) {
  ASSERT_EQ(rows.size(), 1u);
  const std::string text(as_text(bytes));
  if (name == "partition.metadata") {
    EXPECT_EQ(text + "\n", text_of(rows[0]));
    const auto id = decode_partition_metadata(text);
    ASSERT_TRUE(id.has_value()) << id.error().message();
    EXPECT_EQ(encode_partition_metadata(*id), text);
  } else if (name == "leader-epoch-checkpoint") {
    EXPECT_EQ(text, text_of(rows[0]));
    const auto epochs = LeaderEpochCache::decode(text);
    ASSERT_TRUE(epochs.has_value()) << epochs.error().message();
    EXPECT_EQ(epochs->encode(), text);
  } else {
    EXPECT_EQ(text, text_of(rows[0]));
    const auto checkpoint = decode_offset_checkpoint(text);
    ASSERT_TRUE(checkpoint.has_value()) << checkpoint.error().message();
    EXPECT_EQ(*decode_offset_checkpoint(encode_offset_checkpoint(*checkpoint)), *checkpoint);
    EXPECT_EQ(encode_offset_checkpoint(*checkpoint).size(), text.size());
  }
}

// Files of the log directory itself and of the quorum: other tests read them.
bool is_others(const std::string& name) {
  static const std::set<std::string> names{"meta.properties", "quorum-state",
                                           ".kafka_cleanshutdown"};
  return names.contains(name);
}

TEST(DiskVector, every_line_of_every_file_is_read_equal) {
  int files_seen = 0;
  for (const std::string dump : {"run", "formatted"}) {
    for (const auto& [file, rows] : read_dump(dump)) {
      SCOPED_TRACE(dump + "/" + file);
      const std::string name = fs::path(file).filename();
      const std::string suffix = fs::path(file).extension();
      const ByteView bytes = bytes_of(dump, file);
      ++files_seen;
      if (is_others(name)) {
        --files_seen;
      } else if (suffix == ".log" || suffix == ".checkpoint") {
        check_batches(rows, bytes);
      } else if (suffix == ".index") {
        check_offset_index(rows, file, bytes);
      } else if (suffix == ".timeindex") {
        check_time_index(rows, file, bytes);
      } else if (suffix == ".txnindex") {
        check_transaction_index(rows, file, bytes);
      } else if (suffix == ".snapshot") {
        check_snapshot(rows, bytes);
      } else if (name == "partition.metadata" || name.ends_with("-checkpoint")) {
        check_text(name, rows, bytes);
      } else {
        ADD_FAILURE() << "a file of a kind that this test does not know";
      }
    }
  }
  EXPECT_GT(files_seen, 150);
}

std::map<std::string, std::string> files_in(const fs::path& directory) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(directory)) {
    if (!entry.is_regular_file()) continue;
    std::ifstream in(entry.path(), std::ios::binary);
    files[entry.path().filename()] = {std::istreambuf_iterator<char>(in), {}};
  }
  return files;
}

struct OpenedVector {
  OpenedVector() {
    vectors::extract("disk/run", directory.path() + "/run");
    for (const auto& entry : fs::directory_iterator(directory.path() + "/run")) {
      if (entry.is_directory()) partitions.push_back(entry.path());
    }
    std::sort(partitions.begin(), partitions.end());
    std::ifstream in(directory.path() + "/run/log-start-offset-checkpoint");
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    starts = *decode_offset_checkpoint(text);
    std::ifstream points_in(directory.path() + "/run/recovery-point-offset-checkpoint");
    const std::string points_text{std::istreambuf_iterator<char>(points_in), {}};
    points = *decode_offset_checkpoint(points_text);
  }
  static TopicPartitionName name_of(const fs::path& path) {
    const std::string name = path.filename();
    const std::size_t dash = name.rfind('-');
    return {name.substr(0, dash), std::stoi(name.substr(dash + 1))};
  }
  Offset start_of(const fs::path& path) const {
    const auto found = starts.find(name_of(path));
    return found == starts.end() ? 0 : found->second;
  }
  LogTestDirectory directory;
  std::vector<fs::path> partitions;
  OffsetCheckpoint starts;
  OffsetCheckpoint points;
};

// What a log of ours must hold, from the copied files themselves.
std::vector<std::uint8_t> content_of(const fs::path& partition, Offset start) {
  std::map<std::string, std::string> files = files_in(partition);
  std::vector<std::uint8_t> all;
  for (const auto& [name, bytes] : files) {
    if (!name.ends_with(".log")) continue;
    protocol::BatchIterator batches(as_bytes(bytes));
    while (auto batch = batches.next()) {
      if (batch->last_offset() < start) continue;
      all.insert(all.end(), batch->bytes().begin(), batch->bytes().end());
    }
  }
  return all;
}

TEST(DiskVector, partitions_of_a_clean_node_open_and_close_unchanged) {
  OpenedVector vector;
  ASSERT_GE(vector.partitions.size(), 28u);
  LogRun run;
  for (const fs::path& partition : vector.partitions) {
    SCOPED_TRACE(partition.filename());
    const auto before = files_in(partition);
    const Offset start = vector.start_of(partition);
    LogHarness harness(run.loop(), partition);
    LogConfig config;
    auto log = run.run(harness.open(config, {.clean = true, .log_start = start}));
    ASSERT_TRUE(log.has_value()) << log.error().message();
    EXPECT_TRUE((*log)->report().rotten.empty());
    EXPECT_EQ((*log)->report().indexes_rebuilt, 0);
    EXPECT_EQ((*log)->report().torn_bytes_cut, 0);
    EXPECT_EQ((*log)->log_start(), start);
    const auto point = vector.points.find(OpenedVector::name_of(partition));
    if (point != vector.points.end()) EXPECT_EQ((*log)->end(), point->second);
    for (const std::size_t piece : {std::size_t{100}, std::size_t{1} << 20}) {
      const auto all = run.run(read_all(**log, start, piece));
      ASSERT_TRUE(all.has_value()) << all.error().message();
      EXPECT_TRUE(*all == content_of(partition, start));
    }
    const auto closed = run.run((*log)->close());
    ASSERT_TRUE(closed.has_value()) << closed.error().message();
    log->reset();
    auto after = files_in(partition);
    for (const auto& [name, bytes] : before) {
      // Kafka assigns an epoch when a leader begins; with a record of it at the latest we do too.
      if (name == "leader-epoch-checkpoint" && point != vector.points.end() && point->second == 0) {
        continue;
      }
      EXPECT_EQ(after[name].size(), bytes.size()) << name;
      EXPECT_TRUE(after[name] == bytes) << name;
    }
    for (const auto& [name, bytes] : after) {
      if (!name.ends_with(".snapshot")) EXPECT_TRUE(before.contains(name)) << name;
    }
  }
}

TEST(DiskVector, partitions_recover_to_the_same_after_losing_all_that_is_derived) {
  OpenedVector vector;
  LogRun run;
  for (const fs::path& partition : vector.partitions) {
    SCOPED_TRACE(partition.filename());
    const auto before = files_in(partition);
    for (const auto& [name, bytes] : before) {
      if (name.ends_with("index") || name.ends_with(".snapshot") ||
          name == "leader-epoch-checkpoint") {
        fs::remove(partition / name);
      }
    }
    const Offset start = vector.start_of(partition);
    LogHarness harness(run.loop(), partition);
    auto log = run.run(harness.open({}, {.clean = false, .log_start = start}));
    ASSERT_TRUE(log.has_value()) << log.error().message();
    const auto all = run.run(read_all(**log, start, 4096));
    ASSERT_TRUE(all.has_value()) << all.error().message();
    EXPECT_TRUE(*all == content_of(partition, start));
    ASSERT_TRUE(run.run((*log)->close()).has_value());
    log->reset();
    auto after = files_in(partition);
    for (const auto& [name, bytes] : before) {
      if (name.ends_with(".txnindex") || name.ends_with(".log")) {
        EXPECT_TRUE(after[name] == bytes) << name;
      }
    }
  }
}

}  // namespace
}  // namespace drave::segments::testing
