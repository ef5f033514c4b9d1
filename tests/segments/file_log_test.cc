#include "segments/partition_log_impl.h"

#include <filesystem>
#include <fstream>
#include <set>

#include "base/random.h"
#include "gtest/gtest.h"
#include "protocol/compression.h"
#include "tests/segments/log_support.h"

namespace drave::segments::testing {
namespace {

namespace fs = std::filesystem;

class FileLog : public ::testing::Test {
 protected:
  FileLog() : harness_(run_.loop(), directory_.path()) {}
  ~FileLog() override { log_.reset(); }

  void open(LogConfig config = {}, RecoveryHints hints = {.clean = true}) {
    auto opened = run_.run(harness_.open(config, hints));
    ASSERT_TRUE(opened.has_value()) << opened.error().message();
    log_ = std::move(*opened);
  }
  // As a SIGKILL would: what is in files stays, no more is written.
  void drop() { log_.reset(); }
  void close() {
    check(run_.run(log_->close()));
    log_.reset();
  }
  static void check(const Result<void>& result) {
    ASSERT_TRUE(result.has_value()) << result.error().message();
  }
  Offset append(const BatchShape& shape, LeaderEpoch epoch = 0) {
    std::vector<std::uint8_t> batch = make_batch(shape);
    auto appended = log_->append_as_leader(batch, epoch, 5000);
    EXPECT_TRUE(appended.has_value()) << appended.error().message();
    expected_.insert(expected_.end(), batch.begin(), batch.end());
    return appended ? appended->first_offset : -1;
  }
  void flush() { check(run_.run(log_->flush())); }
  void expect_content(std::size_t bytes_max = 5000) {
    auto all = run_.run(read_all(*log_, log_->log_start(), bytes_max));
    ASSERT_TRUE(all.has_value()) << all.error().message();
    EXPECT_TRUE(*all == expected_) << all->size() << " != " << expected_.size();
  }
  std::set<std::string> names() const {
    std::set<std::string> found;
    for (const auto& entry : fs::directory_iterator(directory_.path())) {
      found.insert(entry.path().filename());
    }
    return found;
  }
  std::string file(const std::string& name) const { return directory_.path() + "/" + name; }

  LogTestDirectory directory_;
  LogRun run_;
  LogHarness harness_;
  std::unique_ptr<PartitionLogImpl> log_;
  std::vector<std::uint8_t> expected_;
};

TEST_F(FileLog, what_was_appended_is_read_from_the_tail) {
  open();
  EXPECT_EQ(append({.records = 3}), 0);
  EXPECT_EQ(append({.records = 2}), 3);
  EXPECT_EQ(log_->end(), 5);
  EXPECT_EQ(log_->durable_end(), 0);
  expect_content();
  flush();
  EXPECT_EQ(log_->durable_end(), 5);
  EXPECT_EQ(log_->recovery_point(), 5);
  close();
}

TEST_F(FileLog, every_offset_in_memory_is_found_in_its_batch) {
  open();
  const auto expect_all = [&] {
    for (Offset offset = 0; offset < log_->end(); ++offset) {
      const auto read = run_.run(log_->read({offset, INT64_MAX, 1 << 20, true}));
      ASSERT_TRUE(read.has_value()) << read.error().message();
      ASSERT_FALSE(read->pieces.empty()) << offset << " of " << log_->end();
      EXPECT_EQ(load_big<std::int64_t>(read->pieces.front().bytes().data()), offset / 5 * 5);
    }
  };
  for (const Offset end : {60, 30, 35, 5, 60}) {
    if (end < log_->end()) check(run_.run(log_->truncate_to(end)));
    while (log_->end() < end) {
      append({.records = 5, .value_bytes = 300});
      expect_all();
    }
    expect_all();
  }
  close();
}

TEST_F(FileLog, a_clean_stop_leaves_what_kafka_leaves) {
  open();
  append({.records = 3, .producer_id = 9, .producer_epoch = 0, .base_sequence = 0}, 4);
  close();
  const std::set<std::string> wanted{"00000000000000000000.log", "00000000000000000000.index",
                                     "00000000000000000000.timeindex",
                                     "00000000000000000003.snapshot", "leader-epoch-checkpoint"};
  EXPECT_EQ(names(), wanted);
  EXPECT_EQ(fs::file_size(file("00000000000000000000.log")), expected_.size());
  EXPECT_EQ(fs::file_size(file("00000000000000000000.timeindex")), 12u);

  open();
  EXPECT_EQ(log_->end(), 3);
  EXPECT_EQ(log_->latest_epoch(), 4);
  ASSERT_NE(log_->producers().find(9), nullptr);
  EXPECT_EQ(log_->producers().find(9)->batches[0].last_sequence, 2);
  EXPECT_EQ(log_->report().segments_scanned, 0);
  expect_content();
  append({.records = 2}, 5);
  expect_content();
  close();
}

TEST_F(FileLog, batches_of_all_sizes_come_back_from_tail_files_and_after_reopening) {
  LogConfig config;
  config.segment_bytes = 300'000;
  open(config);
  Random random(1);
  for (int i = 0; i < 300; ++i) {
    append({.records = 1 + static_cast<int>(random.below(20)),
            .value_bytes = random.below(8) == 0 ? 12'000 : random.below(500),
            .timestamp = 1000 + i});
    if (random.below(7) == 0) {
      ASSERT_TRUE(run_.run(log_->write_tail_piece(64 * kKiB, random.below(2) == 0)).has_value());
    }
    if (random.below(20) == 0) check(run_.run(log_->sync_segments()));
  }
  expect_content(1000);
  expect_content(1 << 20);
  flush();
  harness_.tails.make_room(INT64_MAX / 2);  // all that is written leaves memory
  EXPECT_EQ(harness_.tails.used_bytes(), 0);
  expect_content(1000);
  expect_content(1 << 20);
  close();
  for (const std::string& name : names()) {
    if (name.ends_with(".log")) EXPECT_LE(fs::file_size(file(name)), 300'000u);
  }
  open(config);
  expect_content(7000);
  close();
}

// Their copies go past the caches, line by line: lengths and places around those of a line.
TEST_F(FileLog, large_batches_come_back_wherever_they_begin_and_end) {
  open({});
  for (const std::size_t around : {std::size_t{32} * kKiB, std::size_t{100'000}}) {
    for (std::size_t more = 0; more < 20; ++more) {
      append({.value_bytes = 1 + more * 5 % 64});
      append({.records = static_cast<int>(around / 100 + more), .value_bytes = 88 + more % 7});
    }
  }
  expect_content(1 << 20);
  close();
  open({});
  expect_content(1 << 20);
  close();
}

TEST_F(FileLog, direct_pieces_and_buffered_rests_make_one_file) {
  open();
  for (int round = 0; round < 6; ++round) {
    for (int i = 0; i < 15; ++i) append({.records = 1, .value_bytes = 100'000});
    std::size_t total = 0;
    while (true) {
      auto wrote = run_.run(log_->write_tail_piece(512 * kKiB, round % 2 == 0));
      ASSERT_TRUE(wrote.has_value()) << wrote.error().message();
      if (*wrote == 0) break;
      total += *wrote;
    }
    EXPECT_GT(total, 1'000'000u);
    check(run_.run(log_->sync_segments()));
  }
  flush();
  std::ifstream in(file("00000000000000000000.log"), std::ios::binary);
  const std::vector<std::uint8_t> bytes((std::istreambuf_iterator<char>(in)), {});
  EXPECT_TRUE(bytes == expected_);
  close();
}

TEST_F(FileLog, a_crash_loses_nothing_that_was_synced) {
  open();
  append({.records = 10, .producer_id = 5, .producer_epoch = 1, .base_sequence = 0}, 2);
  flush();
  const Offset point = log_->recovery_point();
  drop();
  open({}, {.clean = false, .recovery_point = point});
  EXPECT_EQ(log_->end(), 10);
  EXPECT_EQ(log_->latest_epoch(), 2);
  ASSERT_NE(log_->producers().find(5), nullptr);
  EXPECT_EQ(log_->report().segments_scanned, 1);
  expect_content();
  close();
}

TEST_F(FileLog, a_torn_tail_is_cut_and_an_intact_one_is_not) {
  open();
  append({.records = 10});
  append({.records = 10});
  flush();
  drop();
  const std::string path = file("00000000000000000000.log");
  fs::resize_file(path, fs::file_size(path) - 1);
  open({}, {.clean = false, .recovery_point = 0});
  EXPECT_EQ(log_->end(), 10);
  EXPECT_GT(log_->report().torn_bytes_cut, 0);
  EXPECT_TRUE(log_->report().rotten.empty());
  expected_.resize(expected_.size() / 2);
  EXPECT_EQ(fs::file_size(path), expected_.size());
  expect_content();
  drop();
  open({}, {.clean = false, .recovery_point = 0});
  EXPECT_EQ(log_->report().torn_bytes_cut, 0);
  expect_content();
  close();
}

TEST_F(FileLog, rot_in_the_middle_is_quarantined_and_never_cut) {
  open();
  for (int i = 0; i < 5; ++i) append({.records = 10, .value_bytes = 100});
  flush();
  drop();
  const std::string path = file("00000000000000000000.log");
  const std::size_t batch = expected_.size() / 5;
  {
    std::fstream out(path, std::ios::binary | std::ios::in | std::ios::out);
    out.seekp(static_cast<std::streamoff>(2 * batch + 70));
    out.put('\x7f');
  }
  open({}, {.clean = false, .recovery_point = 50});
  EXPECT_EQ(log_->end(), 50);
  EXPECT_EQ(log_->report().torn_bytes_cut, 0);
  ASSERT_EQ(log_->report().rotten.size(), 1u);
  EXPECT_EQ(log_->report().rotten[0].code, Errc::corrupt);
  EXPECT_EQ(fs::file_size(path), expected_.size());
  ReadRequest request{.offset = 22, .bytes_max = 100, .at_least_one_batch = true};
  auto refused = run_.run(log_->read(request));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, Errc::corrupt);
  request.offset = 35;
  auto served = run_.run(log_->read(request));
  ASSERT_TRUE(served.has_value()) << served.error().message();
  EXPECT_EQ(flatten(*served), std::vector<std::uint8_t>(expected_.begin() + 3 * batch,
                                                        expected_.begin() + 4 * batch));
  // A read that begins below ends before the damage.
  request = {.offset = 0, .bytes_max = 1 << 20};
  served = run_.run(log_->read(request));
  ASSERT_TRUE(served.has_value());
  EXPECT_EQ(served->size, 2 * batch);
  close();
}

TEST_F(FileLog, rot_under_a_running_log_is_found_by_reading) {
  open();
  for (int i = 0; i < 5; ++i) append({.records = 10, .value_bytes = 100});
  flush();
  harness_.tails.make_room(INT64_MAX / 2);
  const std::size_t batch = expected_.size() / 5;
  {
    std::fstream out(file("00000000000000000000.log"),
                     std::ios::binary | std::ios::in | std::ios::out);
    out.seekp(static_cast<std::streamoff>(2 * batch + 5));
    out.put('\x7f');  // in the base offset, which no CRC covers
  }
  for (const Offset offset : {20, 29}) {
    ReadRequest request{.offset = offset, .bytes_max = 1 << 20, .at_least_one_batch = true};
    auto refused = run_.run(log_->read(request));
    ASSERT_FALSE(refused.has_value()) << offset;
    EXPECT_EQ(refused.error().code, Errc::corrupt);
  }
  ReadRequest request{.offset = 30, .bytes_max = 1 << 20};
  auto served = run_.run(log_->read(request));
  ASSERT_TRUE(served.has_value()) << served.error().message();
  EXPECT_EQ(served->size, 2 * batch);
  close();
}

TEST_F(FileLog, reads_past_the_page_cache_tell_what_is_there) {
  LogConfig config;
  config.segment_bytes = 3 << 20;
  open(config);
  // Batches that end anywhere in a block, some larger than what one answer takes.
  for (int i = 0; i < 60; ++i)
    append({.records = 3, .value_bytes = 20'000u + 7'001u * static_cast<unsigned>(i % 13)});
  flush();
  for (const std::size_t bytes_max : {1024u, 16'384u, 100'000u, 1u << 20, 4u << 20}) {
    harness_.tails.make_room(INT64_MAX / 2);
    const auto all = run_.run(read_all(*log_, 0, bytes_max));
    ASSERT_TRUE(all.has_value()) << all.error().message();
    ASSERT_TRUE(*all == expected_) << bytes_max;
  }
  const std::size_t cached = harness_.files.read_cache().used_bytes();
  EXPECT_GT(cached, 1u << 20) << "nothing was read past the page cache";
  EXPECT_LE(cached, kReadCacheBytes + static_cast<std::size_t>(harness_.tails.bytes_max() / 2));
  close();
}

TEST_F(FileLog, what_a_reader_asks_for_next_is_read_ahead_once) {
  open();
  for (int i = 0; i < 400; ++i) {
    append({.records = 1, .value_bytes = 60'000});
    if (i % 100 == 99) flush();
  }
  const ReadCache& cache = harness_.files.read_cache();
  for (const std::size_t bytes_max : {16'384u, 1u << 20}) {
    harness_.tails.make_room(INT64_MAX / 2);
    const std::uint64_t before = cache.counters().ahead;
    const auto all = run_.run(read_all(*log_, 0, bytes_max));
    ASSERT_TRUE(all.has_value()) << all.error().message();
    ASSERT_TRUE(*all == expected_) << bytes_max;
    // 24 MB in pieces of 1 MiB, but for the first ones.
    EXPECT_GE(cache.counters().ahead - before, 20u);
    EXPECT_LE(cache.counters().ahead - before, 27u);
    EXPECT_LE(cache.counters().ahead_unused, 2u);
  }
  close();
}

TEST_F(FileLog, two_pieces_are_read_ahead_of_a_reader_that_goes_on) {
  open();
  for (int i = 0; i < 100; ++i) append({.records = 1, .value_bytes = 60'000});
  flush();
  harness_.tails.make_room(INT64_MAX / 2);
  const ReadCache& cache = harness_.files.read_cache();
  ReadRequest request{.offset = 0, .bytes_max = 500'000};
  ASSERT_TRUE(run_.run(log_->read(request)).has_value());
  EXPECT_EQ(cache.counters().ahead, 0u);  // nobody is known to go on
  request.offset = 8;                     // does, and passes the middle of the piece
  ASSERT_TRUE(run_.run(log_->read(request)).has_value());
  for (int i = 0; i < 1000 && cache.counters().ahead < 2; ++i)
    run_.loop().pass(run_.loop().now() + milliseconds(1));
  for (int i = 0; i < 20; ++i) run_.loop().pass(run_.loop().now() + milliseconds(1));
  EXPECT_EQ(cache.counters().ahead, 2u);
  expect_content(1 << 20);
  close();
}

TEST_F(FileLog, what_is_larger_than_a_piece_is_not_read_ahead_again) {
  open();
  for (int i = 0; i < 12; ++i) {
    append({.records = 1, .value_bytes = i % 2 == 0 ? 100'000u : 3'000'000u});
    flush();
  }
  harness_.tails.make_room(INT64_MAX / 2);
  expect_content(200'000);
  EXPECT_LE(harness_.files.read_cache().counters().ahead, 24u);
  close();
}

// A piece in memory whose bytes are not those of the file: nobody gets them, and the file is not
// called rotten for it.
TEST_F(FileLog, bad_memory_is_read_again_and_is_no_rot) {
  open();
  for (int i = 0; i < 20; ++i) append({.records = 1, .value_bytes = 50'000});
  flush();
  harness_.tails.make_room(INT64_MAX / 2);
  ReadRequest request{.offset = 0, .bytes_max = 100'000};
  ASSERT_TRUE(run_.run(log_->read(request)).has_value());
  request.offset = 10;
  auto result = run_.run(log_->read(request));  // from the same piece, checked only as far
  ASSERT_TRUE(result.has_value());
  // Behind what was answered so far.
  const std::uint8_t* known = result->pieces[0].bytes().data();
  const_cast<std::uint8_t*>(known)[3 * 50'000] ^= 1;
  request.bytes_max = 400'000;
  result = run_.run(log_->read(request));
  ASSERT_TRUE(result.has_value()) << result.error().message();
  EXPECT_LT(result->size, 400'000u - 60'000u);  // what is whole before it
  request.offset = 13;
  result = run_.run(log_->read(request));
  ASSERT_TRUE(result.has_value()) << result.error().message();
  EXPECT_GT(result->size, 300'000u);
  expect_content(1 << 20);
  close();
}

TEST_F(FileLog, what_a_truncation_cut_is_not_served_from_the_read_cache) {
  open();
  for (int i = 0; i < 40; ++i) append({.records = 1, .value_bytes = 50'000, .fill = 'a'});
  flush();
  harness_.tails.make_room(INT64_MAX / 2);
  ASSERT_TRUE(run_.run(read_all(*log_, 0, 1 << 20)).has_value());
  ASSERT_GT(harness_.files.read_cache().used_bytes(), 0u);
  check(run_.run(log_->truncate_to(10)));
  expected_.resize(expected_.size() / 40 * 10);
  for (int i = 0; i < 30; ++i) append({.records = 1, .value_bytes = 50'000, .fill = 'b'});
  flush();
  harness_.tails.make_room(INT64_MAX / 2);
  const auto all = run_.run(read_all(*log_, 0, 1 << 20));
  ASSERT_TRUE(all.has_value()) << all.error().message();
  EXPECT_TRUE(*all == expected_);
  close();
}

TEST_F(FileLog, truncation_removes_whole_batches_wherever_they_are) {
  LogConfig config;
  config.segment_bytes = 2000;
  for (const Offset cut : {0, 7, 30, 55, 99}) {
    for (const bool flushed : {false, true}) {
      open(config);
      check(run_.run(log_->truncate_fully_to(0)));
      expected_.clear();
      std::vector<std::size_t> sizes;
      for (int i = 0; i < 20; ++i) {
        append({.records = 5,
                .value_bytes = 50,
                .producer_id = 1,
                .producer_epoch = 0,
                .base_sequence = i * 5},
               i / 4);
        sizes.push_back(expected_.size());
      }
      if (flushed) flush();
      check(run_.run(log_->truncate_to(cut)));
      const Offset end = cut / 5 * 5;
      EXPECT_EQ(log_->end(), end);
      expected_.resize(end == 0 ? 0 : sizes[static_cast<std::size_t>(end / 5 - 1)]);
      expect_content();
      EXPECT_EQ(log_->latest_epoch(), end == 0 ? -1 : (end / 5 - 1) / 4);
      const ProducerEntry* producer = log_->producers().find(1);
      if (end == 0) {
        EXPECT_EQ(producer, nullptr);
      } else {
        ASSERT_NE(producer, nullptr);
        EXPECT_EQ(producer->batches[producer->batch_count - 1].last_sequence, end - 1);
      }
      append({.records = 5, .value_bytes = 50, .fill = 'n'}, 9);
      expect_content();
      close();
      open(config);
      expect_content();
      close();
      open(config);
      drop();
    }
  }
}

TEST_F(FileLog, truncating_everything_goes_on_at_the_offset) {
  open();
  append({.records = 10});
  flush();
  check(run_.run(log_->truncate_fully_to(100)));
  EXPECT_EQ(log_->log_start(), 100);
  EXPECT_EQ(log_->end(), 100);
  expected_.clear();
  EXPECT_EQ(append({.records = 2}), 100);
  close();
  open();
  EXPECT_EQ(log_->log_start(), 100);
  expect_content();
  close();
}

TEST_F(FileLog, timestamps_are_found_in_every_segment_and_codec) {
  LogConfig config;
  config.segment_bytes = 5000;
  config.index_interval_bytes = 300;
  open(config);
  for (int i = 0; i < 60; ++i) {
    append({.records = 4, .value_bytes = 60, .timestamp = 1000 + i * 10}, 3);
  }
  for (const bool reopened : {false, true}) {
    if (reopened) {
      close();
      open(config);
    }
    for (TimestampMs wanted : {0, 1000, 1003, 1004, 1337, 1590, 1593}) {
      const auto found = run_.run(log_->find_by_timestamp(wanted, INT64_MAX));
      ASSERT_TRUE(found.has_value()) << found.error().message();
      const std::int64_t at = std::max<std::int64_t>(wanted - 1000, 0);
      const bool between = at % 10 > 3;
      EXPECT_EQ(found->offset, between ? (at / 10 + 1) * 4 : at / 10 * 4 + at % 10) << wanted;
      EXPECT_EQ(found->leader_epoch, 3);
    }
    EXPECT_EQ(run_.run(log_->find_by_timestamp(1594, INT64_MAX))->offset, -1);
    EXPECT_EQ(run_.run(log_->find_by_timestamp(1337, 100))->offset, -1);
    EXPECT_EQ(run_.run(log_->find_max_timestamp(INT64_MAX))->offset, 239);
    EXPECT_EQ(run_.run(log_->find_max_timestamp(INT64_MAX))->timestamp, 1593);
    EXPECT_EQ(run_.run(log_->find_max_timestamp(102))->timestamp, 1251);
  }
  close();
}

TEST_F(FileLog, retention_deletes_old_segments_and_keeps_what_is_not_replicated) {
  LogConfig config;
  config.segment_bytes = 1000;
  config.retention_ms = 100;
  config.file_delete_delay_ms = 0;
  open(config);
  for (int i = 0; i < 30; ++i) append({.records = 5, .value_bytes = 50, .timestamp = 1000 + i});
  flush();
  EXPECT_EQ(*run_.run(log_->enforce_retention(1000, log_->end(), 100)), 0);
  EXPECT_EQ(*run_.run(log_->enforce_retention(1'000'000, 15, 100)), 1);
  EXPECT_EQ(log_->log_start(), 10);
  EXPECT_EQ(*run_.run(log_->enforce_retention(1'000'000, log_->end(), 2)), 2);
  EXPECT_EQ(log_->log_start(), 30);
  const auto before = names();
  EXPECT_TRUE(before.contains("00000000000000000010.log.deleted"));
  EXPECT_GT(*run_.run(log_->unlink_deleted(100)), 0);
  EXPECT_FALSE(names().contains("00000000000000000010.log.deleted"));
  while (*run_.run(log_->enforce_retention(1'000'000, log_->end(), 5)) > 0) {
  }
  EXPECT_EQ(log_->log_start(), 150);
  EXPECT_EQ(log_->end(), 150);
  expected_.clear();
  EXPECT_EQ(append({.records = 1, .timestamp = 999'999}), 150);
  close();
  open(config);
  EXPECT_EQ(log_->log_start(), 150);
  expect_content();
  ReadRequest request{.offset = 10, .bytes_max = 100};
  EXPECT_EQ(log_->try_read(request).error().code, Errc::out_of_range);
  close();
}

TEST_F(FileLog, missing_and_senseless_indexes_are_rebuilt) {
  LogConfig config;
  config.segment_bytes = 20'000;
  config.index_interval_bytes = 500;
  open(config);
  for (int i = 0; i < 100; ++i) append({.records = 5, .value_bytes = 100, .timestamp = 1000 + i});
  close();
  std::map<std::string, std::vector<char>> originals;
  for (const std::string& name : names()) {
    if (!name.ends_with("index")) continue;
    std::ifstream in(file(name), std::ios::binary);
    originals[name] = {std::istreambuf_iterator<char>(in), {}};
  }
  ASSERT_GT(originals.size(), 4u);
  int turn = 0;
  for (const auto& [name, bytes] : originals) {
    if (++turn % 2 == 0) {
      fs::remove(file(name));
    } else {
      std::ofstream(file(name), std::ios::binary) << std::string(24, '\xff');
    }
  }
  open(config);
  expect_content(2000);
  EXPECT_EQ(run_.run(log_->find_by_timestamp(1050, INT64_MAX))->offset, 234);
  close();
  for (const auto& [name, bytes] : originals) {
    std::ifstream in(file(name), std::ios::binary);
    EXPECT_EQ((std::vector<char>(std::istreambuf_iterator<char>(in), {})), bytes) << name;
  }
}

// A read begins where the index says, which is before what it wants: damage there is not its own.
TEST_F(FileLog, rot_before_an_offset_does_not_refuse_it) {
  open();
  for (int i = 0; i < 6; ++i) append({.records = 3, .value_bytes = 200});
  close();
  std::fstream rot(file("00000000000000000000.log"),
                   std::ios::in | std::ios::out | std::ios::binary);
  const std::size_t batch_size = expected_.size() / 6;
  for (const std::size_t batch : {1, 3}) {
    rot.seekp(static_cast<std::streamoff>(batch * batch_size));
    rot.write(std::string(100, '?').data(), 100);
  }
  rot.close();
  open();
  for (const Offset offset : {7, 8, 6, 16, 14, 12, 0, 2}) {
    ReadRequest request;
    request.offset = offset;
    request.bytes_max = 100;
    request.at_least_one_batch = true;
    const auto read = run_.run(log_->read(request));
    ASSERT_TRUE(read.has_value()) << offset << ": " << read.error().message();
    ASSERT_GT(read->size, 0u) << offset;
    EXPECT_EQ(load_big<Offset>(flatten(*read).data()), offset / 3 * 3);
  }
  for (const Offset offset : {3, 5, 9, 11}) {
    ReadRequest request;
    request.offset = offset;
    request.bytes_max = 100;
    EXPECT_FALSE(run_.run(log_->read(request)).has_value()) << offset;
  }
}

TEST_F(FileLog, a_log_that_was_closed_takes_no_more_batches) {
  open();
  append({.records = 3});
  check(run_.run(log_->close()));
  std::vector<std::uint8_t> late = make_batch({});
  const auto appended = log_->append_as_leader(late, 0, 5000);
  ASSERT_FALSE(appended.has_value());
  EXPECT_EQ(appended.error().code, Errc::closed);
  drop();
  open();
  expect_content();
  close();
}

// Every batch is found by its offset alone, through the indexes.
TEST_F(FileLog, a_segment_that_was_cut_and_grew_again_is_not_read_by_its_old_indexes) {
  LogConfig config;
  config.segment_bytes = 8000;
  config.index_interval_bytes = 1;
  open(config);
  for (int i = 0; i < 12; ++i) append({.value_bytes = 1000});
  flush();
  ASSERT_TRUE(names().contains("00000000000000000000.index"));
  check(run_.run(log_->truncate_to(2)));
  EXPECT_FALSE(names().contains("00000000000000000000.index"));
  EXPECT_FALSE(names().contains("00000000000000000000.timeindex"));
  for (int i = 0; i < 7; ++i) append({.value_bytes = 300});
  flush();
  const Offset synced = log_->recovery_point();
  ASSERT_EQ(synced, 9);
  append({.value_bytes = 7000});  // begins a segment; the indexes of the first are not written
  ASSERT_TRUE(run_.run(log_->write_tail_piece(64 * kKiB, false)).has_value());
  const Offset end = log_->end();
  drop();
  open(config, {.recovery_point = synced, .journal_first = synced});
  ASSERT_EQ(log_->end(), end);
  for (Offset offset = 0; offset < end; ++offset) {
    ReadRequest request;
    request.offset = offset;
    request.end_limit = offset + 1;
    request.bytes_max = 100;
    request.at_least_one_batch = true;
    const auto read = run_.run(log_->read(request));
    ASSERT_TRUE(read.has_value()) << offset << ": " << read.error().message();
    ASSERT_GT(read->size, 0u) << offset;
    EXPECT_EQ(load_big<Offset>(flatten(*read).data()), offset);
  }
  close();
}

TEST_F(FileLog, a_segment_that_grew_after_a_clean_stop_is_not_searched_by_its_old_times) {
  LogConfig config;
  config.segment_bytes = 8000;
  open(config);
  append({.value_bytes = 1000, .timestamp = 1000});
  close();
  open(config);
  append({.value_bytes = 1000, .timestamp = 2000});
  flush();
  const Offset synced = log_->recovery_point();
  ASSERT_EQ(synced, 2);
  append({.value_bytes = 7000, .timestamp = 1500});  // begins a segment
  ASSERT_TRUE(run_.run(log_->write_tail_piece(64 * kKiB, false)).has_value());
  drop();
  open(config, {.recovery_point = synced, .journal_first = synced});
  const auto found = run_.run(log_->find_by_timestamp(1900, log_->end()));
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->offset, 1);
  close();
}

// A power cut during a truncation may leave a segment of the part that was to go. The part before
// it is gone already; the journal has the truncation.
TEST_F(FileLog, a_truncation_that_was_interrupted_ends_the_log_where_it_was_to_end) {
  LogConfig config;
  config.segment_bytes = 4000;
  open(config);
  for (int i = 0; i < 9; ++i) append({.value_bytes = 1000});
  flush();
  drop();
  ASSERT_TRUE(names().contains("00000000000000000003.log"));
  ASSERT_TRUE(names().contains("00000000000000000006.log"));
  const std::size_t batch_size = expected_.size() / 9;
  fs::remove(file("00000000000000000003.log"));
  fs::resize_file(file("00000000000000000000.log"), 2 * batch_size);
  open(config, {.recovery_point = 0, .journal_first = 6});
  check(run_.run(log_->replay_truncate(0, 2)));
  check(run_.run(log_->finish_replay()));
  EXPECT_EQ(log_->end(), 2);
  EXPECT_FALSE(names().contains("00000000000000000006.log"));
  expected_.resize(2 * batch_size);
  EXPECT_EQ(append({.value_bytes = 1000}), 2);
  expect_content();
  close();
}

TEST_F(FileLog, a_truncation_into_a_batch_that_is_partly_deleted_ends_at_the_log_start) {
  open();
  append({.records = 3});
  append({.records = 3});
  flush();
  check(run_.run(log_->advance_log_start(4)));
  check(run_.run(log_->truncate_to(5)));
  EXPECT_EQ(log_->log_start(), 4);
  EXPECT_EQ(log_->end(), 4);
  expected_.clear();
  EXPECT_EQ(append({.records = 2}), 4);
  expect_content();
  close();
  open({}, {.clean = true, .log_start = 4});
  EXPECT_EQ(log_->end(), 6);
  expect_content();
  close();
}

TEST_F(FileLog, aborted_transactions_are_indexed_and_bound_the_stable_offset) {
  open();
  append({.records = 3,
          .producer_id = 1,
          .producer_epoch = 0,
          .base_sequence = 0,
          .transactional = true});
  append({.records = 2,
          .producer_id = 2,
          .producer_epoch = 0,
          .base_sequence = 0,
          .transactional = true});
  EXPECT_EQ(log_->last_stable_offset(), 0);
  const auto marker = [&](protocol::ControlType type, ProducerId id) {
    std::vector<std::uint8_t> batch = protocol::build_end_marker(
        {.type = type, .producer_id = id, .producer_epoch = 0, .timestamp = 2000}, 0, 0);
    ASSERT_TRUE(log_->append_as_leader(batch, 0, 0).has_value());
    expected_.insert(expected_.end(), batch.begin(), batch.end());
  };
  marker(protocol::ControlType::abort, 1);
  EXPECT_EQ(log_->last_stable_offset(), 3);
  marker(protocol::ControlType::commit, 2);
  EXPECT_EQ(log_->last_stable_offset(), 7);
  for (const char* how : {"live", "clean", "crash", "lost index"}) {
    SCOPED_TRACE(how);
    const auto aborted = run_.run(log_->aborted_transactions(0, 7));
    ASSERT_TRUE(aborted.has_value());
    ASSERT_EQ(aborted->size(), 1u);
    EXPECT_EQ((*aborted)[0].producer_id, 1);
    EXPECT_EQ((*aborted)[0].first_offset, 0);
    EXPECT_TRUE(run_.run(log_->aborted_transactions(6, 7))->empty());
    if (std::string(how) == "clean") {
      flush();
      drop();
      open({}, {.clean = false});
    } else {
      close();
      EXPECT_EQ(fs::file_size(file("00000000000000000000.txnindex")), 34u);
      if (std::string(how) == "crash") fs::remove(file("00000000000000000000.index"));
      open();
    }
  }
  expect_content();
  close();
}

TEST_F(FileLog, leftovers_of_deletions_and_cleanings_are_finished) {
  LogConfig config;
  config.segment_bytes = 1000;
  open(config);
  for (int i = 0; i < 9; ++i) append({.records = 5, .value_bytes = 50});
  close();
  const std::string second = file("00000000000000000010");
  std::ofstream(file("00000000000000000007.log.deleted")) << "x";
  std::ofstream(file("00000000000000000099.index")) << "";
  // Cleaning had renamed its result for the segment at 10, and nothing else.
  fs::copy(second + ".log", second + ".log.swap");
  std::ofstream(second + ".index.swap") << "";
  std::ofstream(second + ".timeindex.swap") << "";
  open(config);
  expect_content();
  for (const std::string& name : names()) {
    EXPECT_FALSE(name.ends_with(".swap") || name.ends_with(".deleted")) << name;
  }
  EXPECT_FALSE(names().contains("00000000000000000099.index"));
  close();
}

TEST_F(FileLog, a_full_tail_makes_appends_wait_until_it_is_written) {
  open();
  std::vector<std::uint8_t> batch = make_batch({.value_bytes = 900'000});
  int taken = 0;
  Result<AppendResult> last = AppendResult{};
  while ((last = log_->append_as_leader(batch, 0, 0))) ++taken;
  EXPECT_EQ(last.error().code, Errc::busy);
  EXPECT_GE(taken, 12);
  EXPECT_LE(harness_.tails.used_bytes(), harness_.tails.bytes_max() + 2 * kMiB);
  flush();
  EXPECT_TRUE(log_->append_as_leader(batch, 0, 0).has_value());
  close();
}

TEST_F(FileLog, open_files_stay_within_their_bound) {
  LogConfig config;
  config.segment_bytes = 1000;
  LogHarness small(run_.loop(), directory_.path(), 16 * kMiB, 4);
  auto opened = run_.run(small.open(config, {.clean = true}));
  ASSERT_TRUE(opened.has_value());
  log_ = std::move(*opened);
  for (int i = 0; i < 60; ++i) append({.records = 5, .value_bytes = 50});
  flush();
  small.tails.make_room(INT64_MAX / 2);
  expect_content();
  EXPECT_LE(small.files.open_count(), 4);
  EXPECT_EQ(small.files.pinned_count(), 0);
  close();
  EXPECT_EQ(small.files.open_count(), 0);
}

}  // namespace
}  // namespace drave::segments::testing
