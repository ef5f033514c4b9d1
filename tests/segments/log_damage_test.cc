// What becomes of a log whose files are damaged when it is truncated: what is intact stays, what is
// lost is refused, and the log goes on where it was to go on, also after the next starts.

#include <algorithm>
#include <fstream>

#include "gtest/gtest.h"
#include "io/sim/world.h"
#include "segments/lost_range.h"
#include "segments/partition_log_impl.h"
#include "tests/segments/log_support.h"

namespace drave::segments::testing {
namespace {

constexpr const char* kFirstSegment = "00000000000000000000.log";

TEST(LostRange, is_told_from_batches_and_from_other_damage) {
  const auto bytes = encode_lost_range({70, 75});
  const auto range = decode_lost_range(bytes);
  ASSERT_TRUE(range.has_value());
  EXPECT_EQ(range->first_offset, 70);
  EXPECT_EQ(range->end_offset, 75);
  const auto batch = protocol::parse_batch(bytes);
  ASSERT_TRUE(batch.has_value());
  EXPECT_FALSE(batch->crc_matches());
  EXPECT_FALSE(decode_lost_range(ByteView(bytes).first(kLostRangeBytes - 1)).has_value());
  EXPECT_FALSE(decode_lost_range(make_batch()).has_value());
  EXPECT_FALSE(decode_lost_range(protocol::BatchBuilder({}).finish()).has_value());
  for (std::size_t at = protocol::batch_field::kMagic; at < bytes.size(); ++at) {
    auto changed = bytes;
    changed[at] ^= 0x10;
    EXPECT_FALSE(decode_lost_range(changed).has_value()) << at;
  }
}

// Batches of ten records each, in one segment unless the test says otherwise.
class LogDamage : public ::testing::Test {
 protected:
  LogDamage() : harness_(run_.loop(), directory_.path()) {}
  ~LogDamage() override { log_.reset(); }

  void open(RecoveryHints hints) {
    auto opened = run_.run(harness_.open(config_, hints));
    ASSERT_TRUE(opened.has_value()) << opened.error().message();
    log_ = std::move(*opened);
  }
  void close() {
    const auto closed = run_.run(log_->close());
    ASSERT_TRUE(closed.has_value()) << closed.error().message();
    log_.reset();
  }
  void append(int count) {
    for (; count > 0; --count) {
      std::vector<std::uint8_t> batch = make_batch({.records = 10, .value_bytes = 100});
      batch_bytes_ = batch.size();
      ASSERT_TRUE(log_->append_as_leader(batch, 0, 5000).has_value());
    }
    const auto flushed = run_.run(log_->flush());
    ASSERT_TRUE(flushed.has_value()) << flushed.error().message();
  }
  void truncate(Offset offset) {
    const auto cut = run_.run(log_->truncate_to(offset));
    ASSERT_TRUE(cut.has_value()) << cut.error().message();
  }
  // Bytes in the middle of a batch.
  void rot(std::size_t batch) {
    std::fstream file(directory_.path() + "/" + kFirstSegment,
                      std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(batch * batch_bytes_ + 70));
    file.write("????", 4);
  }
  // The base offset of the batch that an offset is read from; -1: it is refused as corrupt.
  Offset batch_at(Offset offset) {
    const auto read =
        run_.run(log_->read({.offset = offset, .bytes_max = 100, .at_least_one_batch = true}));
    if (!read) {
      EXPECT_EQ(read.error().code, Errc::corrupt) << read.error().message();
      return -1;
    }
    EXPECT_GT(read->size, 0u) << offset;
    return read->size == 0 ? -2 : load_big<Offset>(flatten(*read).data());
  }
  // Of what is read one by one, from the memory of the tail and, with it given up, from files.
  void expect_batches(const std::vector<std::pair<Offset, Offset>>& wanted) {
    for (int i = 0; i < 2; ++i) {
      for (const auto& [offset, base] : wanted) EXPECT_EQ(batch_at(offset), base) << offset;
      harness_.tails.make_room(INT64_MAX / 2);
    }
  }

  LogTestDirectory directory_;
  LogRun run_;
  LogHarness harness_;
  LogConfig config_;
  std::unique_ptr<PartitionLogImpl> log_;
  std::size_t batch_bytes_ = 0;
};

// Reading for the place of the cut begins before it.
TEST_F(LogDamage, what_stands_between_damage_and_a_cut_stays) {
  open({.clean = true});
  append(5);
  close();
  rot(1);
  open({.clean = true});
  truncate(40);
  EXPECT_EQ(log_->end(), 40);
  append(1);
  expect_batches({{0, 0}, {15, -1}, {20, 20}, {39, 30}, {40, 40}});
  log_.reset();
  open({.recovery_point = 50});
  EXPECT_EQ(log_->end(), 50);
  expect_batches({{0, 0}, {15, -1}, {20, 20}, {39, 30}, {40, 40}});
  close();
}

TEST_F(LogDamage, a_cut_inside_of_it_ends_the_log_there_and_what_is_lost_stays_lost) {
  for (const bool is_known : {false, true}) {
    std::filesystem::remove_all(directory_.path());
    std::filesystem::create_directory(directory_.path());
    open({.clean = true});
    append(5);
    close();
    rot(2);
    open({.clean = !is_known, .recovery_point = 50});
    EXPECT_EQ(log_->report().rotten.empty(), !is_known);
    truncate(25);
    EXPECT_EQ(log_->end(), 25);
    const std::vector<std::pair<Offset, Offset>> before = {{19, 10}, {20, -1}, {24, -1}};
    expect_batches(before);
    append(2);
    const std::vector<std::pair<Offset, Offset>> after = {{0, 0},   {19, 10}, {20, -1},
                                                          {24, -1}, {25, 25}, {36, 35}};
    expect_batches(after);
    // Without a journal and with an old recovery point, as after a crash; and after a clean stop.
    for (const bool clean : {false, true, true, false}) {
      if (clean) {
        close();
      } else {
        log_.reset();
      }
      open({.clean = clean, .recovery_point = 0});
      EXPECT_EQ(log_->end(), 45);
      EXPECT_EQ(log_->report().torn_bytes_cut, 0);
      expect_batches(after);
    }
    // A further cut beside it, and nothing behind it.
    truncate(25);
    EXPECT_EQ(log_->end(), 25);
    expect_batches(before);
    close();
    open({.clean = true});
    EXPECT_EQ(log_->end(), 25);
    expect_batches(before);
    append(1);
    expect_batches({{20, -1}, {24, -1}, {25, 25}});
    close();
  }
}

// As a start does: the journal has a truncation that ends inside of damage, and what came after it.
TEST_F(LogDamage, a_replayed_cut_inside_of_it_does_not_lose_what_follows) {
  open({.clean = true});
  append(5);
  close();
  rot(2);
  std::vector<std::uint8_t> batch = make_batch({.records = 10, .value_bytes = 100, .fill = 'n'});
  protocol::stamp_batch(batch, 25, 1);
  for (int start = 0; start < 3; ++start) {
    open({.recovery_point = 50, .journal_first = 25});
    ASSERT_TRUE(run_.run(log_->replay_truncate(0, 25)).has_value());
    ASSERT_TRUE(run_.run(log_->replay_append(25, 35, batch)).has_value());
    if (start > 0) {
      const auto finished = run_.run(log_->finish_replay());
      ASSERT_TRUE(finished.has_value()) << finished.error().message();
    }
    EXPECT_EQ(log_->end(), 35);
    expect_batches({{19, 10}, {20, -1}, {24, -1}, {25, 25}, {34, 25}});
    if (start < 2) log_.reset();
  }
  close();
}

TEST_F(LogDamage, what_a_journal_has_lost_stays_lost) {
  std::vector<std::uint8_t> first = make_batch({.records = 10, .value_bytes = 100});
  std::vector<std::uint8_t> second = first;
  protocol::stamp_batch(first, 0, 0);
  protocol::stamp_batch(second, 15, 0);
  for (const bool is_first : {false, true}) {
    std::filesystem::remove_all(directory_.path());
    std::filesystem::create_directory(directory_.path());
    open({.recovery_point = 0, .journal_first = 0});
    if (!is_first) ASSERT_TRUE(run_.run(log_->replay_append(0, 10, first)).has_value());
    ASSERT_TRUE(run_.run(log_->replay_lost(is_first ? 0 : 10, 15)).has_value());
    ASSERT_TRUE(run_.run(log_->replay_append(15, 25, second)).has_value());
    ASSERT_TRUE(run_.run(log_->finish_replay()).has_value());
    for (const bool clean : {false, true, false}) {
      EXPECT_EQ(log_->end(), 25);
      expect_batches({{0, is_first ? -1 : 0}, {10, -1}, {14, -1}, {15, 15}, {24, 15}});
      if (clean) {
        close();
      } else {
        log_.reset();
      }
      open({.clean = clean, .recovery_point = 0, .journaled = true});
    }
    log_.reset();
  }
}

// At the end of a segment that another one follows.
TEST_F(LogDamage, a_rotten_end_of_a_segment_takes_none_behind_it_along) {
  for (const bool journaled : {true, false}) {
    std::filesystem::remove_all(directory_.path());
    std::filesystem::create_directory(directory_.path());
    config_.segment_bytes = 3000;
    open({.clean = true});
    append(5);
    log_.reset();
    rot(1);
    open({.recovery_point = 0, .journaled = journaled});
    if (journaled) {
      EXPECT_EQ(log_->end(), 50);
      EXPECT_EQ(log_->report().torn_bytes_cut, 0);
      expect_batches({{0, 0}, {10, -1}, {19, -1}, {20, 20}, {49, 40}});
    } else {
      EXPECT_EQ(log_->end(), 10);  // as Kafka does
    }
    log_.reset();
  }
}

// What was read wrong once is not damaged. (In these worlds it is in bytes that a CRC covers.)
TEST(LogDamageSim, reads_that_arrive_wrong_are_no_damage_to_a_start_and_a_truncation) {
  for (std::uint64_t seed = 1; seed <= 16; ++seed) {
    io::sim::World world(seed);
    io::sim::Node& node = world.add_node();
    bool ended = false;
    node.start([&](io::sim::Process& process) -> io::Task<void> {
      io::Loop& loop = process.loop();
      (void)co_await io::make_directories(loop, "/data/t-0");
      LogHarness harness(loop, "/data/t-0", 1 * kMiB, 8);
      auto log = co_await harness.open({}, {.clean = true});
      for (int i = 0; i < 5; ++i) {
        std::vector<std::uint8_t> batch = make_batch({.records = 10, .value_bytes = 100});
        EXPECT_TRUE((*log)->append_as_leader(batch, 0, 5000).has_value());
      }
      EXPECT_TRUE((co_await (*log)->flush()).has_value());
      co_await (*log)->discard();
      log->reset();
      node.disk().options().bad_read_one_in = 8;
      log = co_await harness.open({}, {.recovery_point = 0});
      EXPECT_TRUE((*log)->report().rotten.empty());
      EXPECT_EQ((*log)->end(), 50);
      EXPECT_TRUE((co_await (*log)->truncate_to(35)).has_value());
      EXPECT_EQ((*log)->end(), 30);
      co_await (*log)->discard();
      ended = true;
    });
    world.run_until([&] { return ended; }, seconds(10));
    ASSERT_TRUE(ended);
    node.kill();
    if (HasFailure()) {
      ADD_FAILURE() << "seed " << seed;
      break;
    }
  }
}

}  // namespace
}  // namespace drave::segments::testing
