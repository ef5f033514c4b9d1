#include "segments/log_directory.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "segments/meta_properties.h"
#include "tests/segments/journal_support.h"
#include "tests/segments/log_support.h"

namespace drave::segments::testing {
namespace {

const MetaProperties kMeta{1, "MkU3OEVBNTcwNTJENDM2Qg", 1, {3, 4}};

struct DirectoryFixture : ::testing::Test {
  void format() {
    auto formatted = io.run(LogDirectory::format(io.loop(), directory.path(), kMeta));
    ASSERT_TRUE(formatted.has_value()) << formatted.error().message();
  }
  Result<std::unique_ptr<LogDirectory>> try_open() {
    return io.run(LogDirectory::open(io.loop(), directory.path(), options));
  }
  void open() {
    auto opened = try_open();
    ASSERT_TRUE(opened.has_value()) << opened.error().message();
    logs = std::move(*opened);
  }
  void start() {
    auto started = io.run(logs->start_shard(
        io.loop(), [](const PartitionToOpen&) { return true; },
        [](const PartitionToOpen&) { return LogConfig{}; }));
    ASSERT_TRUE(started.has_value()) << started.error().message();
    shard = std::move(*started);
  }
  void stop(std::int64_t epoch = 9) {
    auto stopped = io.run(shard->stop());
    EXPECT_TRUE(stopped.has_value()) << stopped.error().message();
    shard.reset();
    auto closed = io.run(logs->close(io.loop(), epoch, true));
    EXPECT_TRUE(closed.has_value()) << closed.error().message();
    logs.reset();
  }
  PartitionLog* create(const std::string& topic, std::uint64_t id, PartitionIndex partition = 0) {
    auto made = io.run(shard->open_or_create({topic, partition_id(id, partition), LogConfig{}}));
    EXPECT_TRUE(made.has_value()) << made.error().message();
    return made ? *made : nullptr;
  }
  void append(PartitionLog& log, int records = 1) {
    auto batch = make_batch({.records = records});
    auto appended = log.append_as_leader(batch, 0, 1000);
    ASSERT_TRUE(appended.has_value()) << appended.error().message();
    io.run_until([&] { return log.durable_end() >= appended->end_offset; });
  }
  bool exists(const std::string& name) const {
    return std::filesystem::exists(directory.path() + "/" + name);
  }
  std::string content(const std::string& name) const {
    std::ifstream file(directory.path() + "/" + name);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(directory.path()))
      found.push_back(entry.path().filename().string());
    std::sort(found.begin(), found.end());
    return found;
  }

  TemporaryDirectory directory;
  UringRun io;
  LogDirectoryOptions options;
  std::unique_ptr<LogDirectory> logs;
  std::unique_ptr<LogShard> shard;
};

TEST_F(DirectoryFixture, formats_once_and_tells_when_it_is_not_formatted) {
  auto opened = try_open();
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, Errc::not_found);
  format();
  auto again = io.run(LogDirectory::format(io.loop(), directory.path(), kMeta));
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().code, Errc::already_exists);
  auto read = io.run(LogDirectory::read_meta_properties(io.loop(), directory.path()));
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->cluster_id, kMeta.cluster_id);
  EXPECT_EQ(read->node_id, 1);
  EXPECT_EQ(read->directory_id, kMeta.directory_id);
}

TEST_F(DirectoryFixture, a_clean_stop_leaves_what_kafka_knows_and_nothing_else) {
  format();
  open();
  EXPECT_FALSE(logs->recovery().was_clean);
  EXPECT_TRUE(exists("drave.journal.dirty"));
  start();
  PartitionLog* log = create("topic", 1);
  for (int i = 0; i < 5; ++i) append(*log, 3);
  EXPECT_EQ(log->durable_end(), 15);
  stop(42);
  EXPECT_EQ(names(), (std::vector<std::string>{".kafka_cleanshutdown", ".lock", "meta.properties",
                                               "recovery-point-offset-checkpoint",
                                               "replication-offset-checkpoint", "topic-0"}));
  EXPECT_EQ(content(".kafka_cleanshutdown"), "{\"version\":0,\"brokerEpoch\":42}");
  EXPECT_EQ(content("recovery-point-offset-checkpoint"), "0\n1\ntopic 0 15\n");
  EXPECT_EQ(content("replication-offset-checkpoint"), "0\n1\ntopic 0 15\n");
  open();
  EXPECT_TRUE(logs->recovery().was_clean);
  EXPECT_EQ(logs->clean_shutdown_epoch(), 42);
  EXPECT_EQ(logs->high_watermark("topic", 0), 15);
  EXPECT_FALSE(exists(".kafka_cleanshutdown"));
  ASSERT_EQ(logs->found().size(), 1U);
  EXPECT_EQ(logs->found()[0].topic, "topic");
  start();
  log = shard->find(partition_id(1));
  ASSERT_NE(log, nullptr);
  EXPECT_EQ(log->end(), 15);
  append(*log);
  stop();
}

TEST_F(DirectoryFixture, a_second_process_finds_it_locked) {
  format();
  open();
  UringRun other;
  auto second = other.run(LogDirectory::open(other.loop(), directory.path(), options));
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code, Errc::locked);
  start();
  stop();
}

TEST_F(DirectoryFixture, a_removed_partition_is_gone_and_its_name_free) {
  format();
  open();
  start();
  append(*create("topic", 1), 10);
  append(*create("topic", 1, 1), 10);
  auto removed = io.run(shard->remove(partition_id(1)));
  EXPECT_TRUE(removed.has_value()) << removed.error().message();
  EXPECT_EQ(shard->find(partition_id(1)), nullptr);
  EXPECT_FALSE(exists("topic-0"));
  PartitionLog* log = create("topic", 2);
  EXPECT_EQ(log->end(), 0);
  append(*log);
  stop();
  open();
  start();
  EXPECT_EQ(shard->logs().size(), 2U);
  EXPECT_EQ(shard->find(partition_id(2))->end(), 1);
  EXPECT_EQ(shard->find(partition_id(1, 1))->end(), 10);
  for (const std::string& name : names()) EXPECT_FALSE(name.ends_with("-delete")) << name;
  stop();
}

TEST_F(DirectoryFixture, the_metadata_log_has_a_shard_of_its_own) {
  format();
  std::filesystem::create_directory(directory.path() + "/__cluster_metadata-0");
  std::ofstream(directory.path() + "/__cluster_metadata-0/quorum-state") << "{}";
  for (int run = 0; run < 2; ++run) {
    open();
    auto started = io.run(logs->start_metadata_shard(io.loop(), LogConfig{}));
    ASSERT_TRUE(started.has_value()) << started.error().message();
    start();
    EXPECT_TRUE(shard->logs().empty());
    PartitionLog* log = (*started)->find({kMetadataTopicId, 0});
    ASSERT_NE(log, nullptr);
    EXPECT_EQ(log->end(), run * 2);
    append(*log, 2);
    EXPECT_TRUE(io.run((*started)->stop()).has_value());
    started->reset();
    stop();
    EXPECT_EQ(content("__cluster_metadata-0/quorum-state"), "{}");
  }
}

TEST_F(DirectoryFixture, idle_data_reaches_its_segment_and_the_journal_is_released) {
  format();
  options.idle_write_ms = 40;
  options.journal.file_bytes = options.journal.first_file_bytes = 64 * kKiB;
  options.journal.bytes_max = 256 * kKiB;
  open();
  start();
  PartitionLog* log = create("topic", 1);
  append(*log);
  const std::string segment = "topic-0/00000000000000000000.log";
  io.run_until([&] {
    return exists(segment) && std::filesystem::file_size(directory.path() + "/" + segment) > 0;
  });
  // Many times the journal's size: it must be released all the time.
  for (int i = 0; i < 300; ++i) {
    io.run_until([&] { return !shard->journal().is_full(); });
    append(*log, 300);
  }
  EXPECT_GE(shard->journal().counters().files_recycled, 3U);
  stop();
}

TEST_F(DirectoryFixture, a_thousand_partitions_with_a_record_each_do_not_stall_the_next_append) {
  format();
  open();
  start();
  std::vector<PartitionLog*> all;
  for (int i = 0; i < 200; ++i) all.push_back(create("topic", 1, i));
  for (PartitionLog* log : all) append(*log);
  auto stopped = io.run(shard->stop());
  EXPECT_TRUE(stopped.has_value());
  shard.reset();
  EXPECT_TRUE(io.run(logs->close(io.loop(), 1, true)).has_value());
}

TEST_F(DirectoryFixture, below_the_free_space_bound_no_writes_are_accepted) {
  format();
  options.free_bytes_min = INT64_MAX;
  open();
  start();
  io.run_until([&] { return !shard->accepts_writes(); });
  stop();
}

}  // namespace
}  // namespace drave::segments::testing
