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

// Kafka's controller would lead, and write, before its broker finds drave.journal.dirty.
TEST_F(DirectoryFixture, the_metadata_log_is_marked_until_a_clean_stop) {
  const std::string mark = "__cluster_metadata-0/drave-journal-dirty.cleaned";
  format();
  for (int run = 0; run < 2; ++run) {
    open();
    EXPECT_EQ(exists(mark), run == 1);  // from the first step on, if there is such a log
    auto started = io.run(logs->start_metadata_shard(io.loop(), LogConfig{}));
    ASSERT_TRUE(started.has_value()) << started.error().message();
    EXPECT_TRUE(exists(mark));
    start();
    EXPECT_TRUE(io.run((*started)->stop()).has_value());
    started->reset();
    stop();
    EXPECT_FALSE(exists(mark));
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

// More than the journal can hold is on its way when the stop comes, and nobody waits for it.
TEST_F(DirectoryFixture, a_stop_with_a_full_journal_writes_everything) {
  format();
  options.journal.file_bytes = 512 * kKiB;
  options.journal.bytes_max = 2 * kMiB;
  options.journal.group_bytes_max = kMiB;
  open();
  start();
  PartitionLog* log = create("topic", 1);
  while (!shard->journal().is_full()) {
    auto batch = make_batch({.records = 1, .value_bytes = 100 * kKiB});
    ASSERT_TRUE(log->append_as_leader(batch, 0, 1000).has_value());
  }
  const Offset end = log->end();
  EXPECT_GT(end * 100 * kKiB, options.journal.bytes_max);
  stop();
  open();
  EXPECT_TRUE(logs->recovery().was_clean);
  start();
  EXPECT_EQ(shard->find(partition_id(1))->end(), end);
  stop();
}

TEST_F(DirectoryFixture, below_the_free_space_bound_no_writes_are_accepted) {
  format();
  options.free_bytes_min = INT64_MAX;
  open();
  start();
  io.run_until([&] { return !shard->accepts_writes(); });
  stop();
}

// What a crash leaves: the directory as it is now.
struct CrashedDirectoryFixture : DirectoryFixture {
  void run(const std::function<void()>& work) {
    format();
    options.idle_write_ms = 3'600'000;  // the journal alone has everything
    open();
    start();
    work();
    // The kernel's workers go on without the loop: a file would get its name while it is copied.
    io.run_until([this] { return io.loop().in_flight_count() == 0; });
    std::filesystem::copy(directory.path(), left.path(), std::filesystem::copy_options::recursive);
    stop();
  }
  void put(const std::string& name, std::string_view text) {
    std::ofstream(left.path() + "/" + name, std::ios::trunc) << text;
  }
  void open_left() {
    auto opened = io.run(LogDirectory::open(io.loop(), left.path(), options));
    ASSERT_TRUE(opened.has_value()) << opened.error().message();
    logs = std::move(*opened);
  }
  Offset end_of(std::uint64_t id, PartitionIndex partition = 0) {
    PartitionLog* log = shard->find(partition_id(id, partition));
    return log == nullptr ? -1 : log->end();
  }
  int kept_journals() const {
    int count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(left.path()))
      if (entry.path().extension() == ".journal-rotten") ++count;
    return count;
  }

  TemporaryDirectory left;
};

TEST_F(CrashedDirectoryFixture, the_journal_names_a_partition_whose_metadata_is_unreadable) {
  for (const bool missing : {false, true}) {
    run([this] {
      append(*create("one", 1), 3);
      append(*create("two", 2), 4);
      append(*create("two", 2, 1), 5);
    });
    if (missing)
      std::filesystem::remove(left.path() + "/two-1/partition.metadata");
    else
      put("two-1/partition.metadata", "version: 0\ntopic_id: ????");
    open_left();
    ASSERT_EQ(logs->recovery().rotten.size(), 1U);
    EXPECT_NE(logs->recovery().rotten[0].context.find("two-1"), std::string::npos);
    EXPECT_EQ(logs->found().size(), 3U);
    EXPECT_EQ(kept_journals(), 0);
    start();
    EXPECT_EQ(end_of(1), 3);
    EXPECT_EQ(end_of(2), 4);
    EXPECT_EQ(end_of(2, 1), 5);
    stop();
    open_left();
    EXPECT_TRUE(logs->recovery().rotten.empty());
    EXPECT_EQ(logs->found().size(), 3U);
    start();
    stop();
    for (const std::string& path : {directory.path(), left.path()})
      for (const auto& entry : std::filesystem::directory_iterator(path))
        std::filesystem::remove_all(entry.path());
  }
}

TEST_F(CrashedDirectoryFixture, journals_are_kept_when_two_partitions_could_be_meant) {
  run([this] {
    append(*create("one", 1), 3);
    append(*create("two", 2), 4);
    append(*create("three", 3), 5);
  });
  put("one-0/partition.metadata", "");
  put("two-0/partition.metadata", "");
  open_left();
  EXPECT_EQ(logs->found().size(), 1U);
  EXPECT_EQ(logs->recovery().ignored.size(), 2U);
  EXPECT_EQ(logs->recovery().rotten.size(), 6U);  // each directory, and each with both ids
  EXPECT_EQ(kept_journals(), 1);
  start();
  EXPECT_EQ(end_of(3), 5);
  stop();
}

TEST_F(CrashedDirectoryFixture, a_format_from_the_future_is_not_overwritten) {
  run([this] { append(*create("one", 1), 3); });
  put("one-0/partition.metadata", "version: 1\ntopic_id: x");
  open_left();
  EXPECT_TRUE(logs->found().empty());
  EXPECT_EQ(kept_journals(), 1);
  std::ifstream metadata(left.path() + "/one-0/partition.metadata");
  std::string first;
  std::getline(metadata, first);
  EXPECT_EQ(first, "version: 1");
  start();
  stop();
}

}  // namespace
}  // namespace drave::segments::testing
