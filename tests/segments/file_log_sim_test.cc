// A log and its journal in the simulator: killed and cut from power at any step of appending,
// writing out, rolling, truncating and deleting, and recovered again and again.

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>

#include "base/random.h"
#include "gtest/gtest.h"
#include "io/file.h"
#include "io/sim/world.h"
#include "segments/journal_replay.h"
#include "segments/partition_log_impl.h"
#include "tests/segments/log_support.h"

namespace drave::segments::testing {
namespace {

using io::sim::Process;

constexpr const char* kDirectory = "/data";
constexpr const char* kLogPath = "/data/t-0";

// What must be true of the log, seen from outside.
struct Oracle {
  struct Batch {
    Offset first = 0;
    Offset end = 0;
    std::vector<std::uint8_t> bytes;
  };
  std::vector<Batch> history;  // appended and not truncated
  Offset acknowledged = 0;
  Offset log_start = 0;
  Offset cut_pending = INT64_MAX;  // a truncation that may or may not have happened
  Offset start_pending = 0;        // the same of a log start
  Offset checkpointed_start = 0;
  Offset recovery_point = 0;
  int verified = 0;
  int acknowledgements = 0;
  int truncations = 0;
  int deletions = 0;
  int replayed = 0;
  std::int64_t torn_bytes = 0;
  Sequence next_sequence = 0;
  bool may_fail = false;  // the disk breaks down now and then
  int failures = 0;

  Offset end() const { return history.empty() ? log_start : history.back().end; }
};

struct Replay final : ReplayTarget {
  Replay(PartitionLogImpl& to, Oracle& watched) : log(to), oracle(watched) {}
  io::Task<Result<void>> replay(JournalEntry entry) override {
    ++oracle.replayed;
    if (entry.type == JournalEntryType::append) {
      co_return co_await log.replay_append(entry.first_offset, entry.end_offset, entry.payload);
    }
    if (entry.type == JournalEntryType::truncate) {
      co_return co_await log.replay_truncate(entry.first_offset, entry.end_offset);
    }
    log.replay_log_start(entry.first_offset);
    co_return Result<void>{};
  }
  io::Task<Result<void>> replay_lost(JournalEntry entry) override {
    ADD_FAILURE() << "nothing rots here";
    co_return co_await log.replay_lost(entry.first_offset, entry.end_offset);
  }
  PartitionLogImpl& log;
  Oracle& oracle;
};

struct Acknowledgement : DurableWaiter {
  explicit Acknowledgement(io::Loop& loop) : queue(loop) {
    done = [](DurableWaiter& waiter, bool failed) {
      auto& self = static_cast<Acknowledgement&>(waiter);
      self.is_done = true;
      self.has_failed = failed;
      self.queue.wake_all();
    };
  }
  io::WaitQueue queue;
  bool is_done = false;
  bool has_failed = false;
};

void forget_below(Oracle& oracle, Offset offset) {
  while (!oracle.history.empty() && oracle.history.front().end <= offset) {
    oracle.history.erase(oracle.history.begin());
  }
}

// What was recovered is what was acknowledged, and what else there is was appended.
void verify(Oracle& oracle, PartitionLogImpl& log, const std::vector<std::uint8_t>& content) {
  ++oracle.verified;
  EXPECT_TRUE(log.report().rotten.empty()) << log.report().rotten[0].message();
  EXPECT_GE(log.end(), std::min(oracle.acknowledged, oracle.cut_pending));
  EXPECT_LE(log.end(), std::max(oracle.end(), oracle.log_start));
  EXPECT_GE(log.log_start(), oracle.log_start);
  EXPECT_LE(log.log_start(), std::max(oracle.log_start, oracle.start_pending));
  std::vector<std::uint8_t> expected;
  ProducerStates states;
  std::vector<Oracle::Batch> kept;
  for (Oracle::Batch& batch : oracle.history) {
    if (batch.end > log.end()) break;
    states.update({1, 0, protocol::parse_batch(batch.bytes)->base_sequence(),
                   protocol::parse_batch(batch.bytes)->last_sequence(), batch.first, batch.end - 1,
                   0, false});
    if (batch.end > log.log_start()) {
      expected.insert(expected.end(), batch.bytes.begin(), batch.bytes.end());
    }
    kept.push_back(std::move(batch));
  }
  EXPECT_TRUE(content == expected)
      << content.size() << " != " << expected.size() << " end " << log.end();
  const ProducerEntry* known = log.producers().find(1);
  const ProducerEntry* wanted = states.find(1);
  if (wanted != nullptr && kept.size() > 0 && kept.back().end > log.log_start()) {
    ASSERT_NE(known, nullptr);
    EXPECT_EQ(known->batches[known->batch_count - 1].last_sequence,
              wanted->batches[wanted->batch_count - 1].last_sequence);
    EXPECT_EQ(known->batches[known->batch_count - 1].last_offset, log.end() - 1);
  }
  oracle.history = std::move(kept);
  oracle.next_sequence =
      wanted == nullptr ? 0 : wanted->batches[wanted->batch_count - 1].last_sequence + 1;
  oracle.log_start = oracle.start_pending = log.log_start();
  oracle.acknowledged = log.end();
  oracle.cut_pending = INT64_MAX;
  oracle.torn_bytes += log.report().torn_bytes_cut;
  forget_below(oracle, oracle.log_start);
}

LogConfig small_segments() {
  LogConfig config;
  config.segment_bytes = 6000;
  config.index_interval_bytes = 500;
  config.retention_bytes = 30'000;
  config.file_delete_delay_ms = 1;
  return config;
}

io::Task<Result<std::unique_ptr<PartitionLogImpl>>> recover(Process& process, LogHarness& harness,
                                                            Oracle& oracle) {
  io::Loop& loop = process.loop();
  CO_TRY_VOID(co_await io::make_directories(loop, kLogPath));
  CO_TRY_VOID(co_await io::sync_directory(loop, kDirectory));
  CO_TRY_VOID(co_await io::sync_directory(loop, "/"));
  CO_TRY(const ScannedJournals scanned, co_await scan_journals(loop, kDirectory));
  RecoveryHints hints;
  hints.recovery_point = oracle.recovery_point;
  hints.log_start = oracle.checkpointed_start;
  const auto found = scanned.partitions.find(kTestPartition);
  if (found != scanned.partitions.end()) hints.journal_first = found->second.append_first;
  CO_TRY(std::unique_ptr<PartitionLogImpl> log, co_await harness.open(small_segments(), hints));
  Replay replay(*log, oracle);
  CO_TRY_VOID(co_await replay_journals(loop, scanned, replay));
  CO_TRY_VOID(co_await log->finish_replay());
  CO_TRY(const std::vector<std::uint8_t> content, co_await read_all(*log, log->log_start(), 3000));
  if (process.is_dead()) co_return failure(Errc::closed, "dead");
  verify(oracle, *log, content);
  // As the directory does before it removes the journals.
  oracle.checkpointed_start = log->log_start();
  oracle.recovery_point = log->recovery_point();
  CO_TRY_VOID(co_await remove_journals(loop, kDirectory, scanned));
  co_return std::move(log);
}

io::Task<Result<void>> append_some(Process& process, PartitionLogImpl& log, Oracle& oracle,
                                   Random& random) {
  const int count = 1 + static_cast<int>(random.below(6));
  for (int i = 0; i < count; ++i) {
    BatchShape shape;
    shape.records = 1 + static_cast<int>(random.below(4));
    shape.value_bytes = random.below(700);
    shape.fill = static_cast<std::uint8_t>(random.below(256));
    shape.producer_id = 1;
    shape.producer_epoch = 0;
    shape.base_sequence = oracle.next_sequence;
    std::vector<std::uint8_t> batch = make_batch(shape);
    CO_TRY(const AppendResult appended, log.append_as_leader(batch, 0, 1000));
    if (process.is_dead()) co_return failure(Errc::closed, "dead");
    oracle.next_sequence += shape.records;
    oracle.history.push_back({appended.first_offset, appended.end_offset, std::move(batch)});
  }
  if (random.below(3) == 0) co_return Result<void>{};
  Acknowledgement told(process.loop());
  told.wanted = log.end();
  log.when_durable(told);
  while (!told.is_done) co_await told.queue.wait();
  if (told.has_failed || process.is_dead()) co_return failure(Errc::closed, "dead");
  oracle.acknowledged = std::max(oracle.acknowledged, told.wanted);
  ++oracle.acknowledgements;
  co_return Result<void>{};
}

io::Task<Result<void>> cut_some(Process& process, PartitionLogImpl& log, Oracle& oracle,
                                Random& random) {
  if (oracle.history.empty()) co_return Result<void>{};
  const Offset cut = oracle.history[random.below(oracle.history.size())].first;
  if (cut < log.log_start()) co_return Result<void>{};
  oracle.cut_pending = cut;
  CO_TRY_VOID(co_await log.truncate_to(cut));
  if (process.is_dead()) co_return failure(Errc::closed, "dead");
  EXPECT_EQ(log.end(), cut);
  while (!oracle.history.empty() && oracle.history.back().first >= cut) {
    oracle.next_sequence = protocol::parse_batch(oracle.history.back().bytes)->base_sequence();
    oracle.history.pop_back();
  }
  oracle.acknowledged = cut;
  oracle.cut_pending = INT64_MAX;
  ++oracle.truncations;
  co_return Result<void>{};
}

io::Task<Result<void>> delete_some(Process& process, PartitionLogImpl& log, Oracle& oracle,
                                   Random& random) {
  if (random.below(2) == 0 && !oracle.history.empty()) {
    const Offset start = oracle.history[random.below(oracle.history.size())].first;
    oracle.start_pending = std::max(oracle.start_pending, start);
    CO_TRY_VOID(co_await log.advance_log_start(start));
  } else {
    const Offset limit = log.durable_end();
    oracle.start_pending = std::max(oracle.start_pending, limit);
    CO_TRY(const int deleted, co_await log.enforce_retention(1000, limit, 3));
    oracle.deletions += deleted;
    CO_TRY_VOID(co_await log.unlink_deleted(100));
  }
  if (process.is_dead()) co_return failure(Errc::closed, "dead");
  oracle.log_start = oracle.start_pending = log.log_start();
  forget_below(oracle, oracle.log_start);
  co_return Result<void>{};
}

io::Task<Result<void>> do_something(Process& process, PartitionLogImpl& log, Oracle& oracle,
                                    Random& random) {
  const std::uint64_t what = random.below(20);
  if (what < 12) co_return co_await append_some(process, log, oracle, random);
  if (what < 15) {
    CO_TRY_VOID(co_await log.write_tail_piece(8192, false));
    co_return Result<void>{};
  }
  if (what < 17) {
    CO_TRY_VOID(co_await log.sync_segments());
    if (!process.is_dead()) oracle.recovery_point = log.recovery_point();
    co_return Result<void>{};
  }
  if (what < 18) co_return co_await cut_some(process, log, oracle, random);
  if (what < 19) co_return co_await delete_some(process, log, oracle, random);
  co_return co_await log.flush();
}

// One life of the node. Ends by itself when its I/O fails.
io::Task<void> live(Process& process, Oracle& oracle, std::uint64_t seed) {
  Random random(seed);
  LogHarness recovering(process.loop(), kLogPath, 1 * kMiB, 8);
  LogHarness living(process.loop(), kLogPath, 1 * kMiB, 8);
  auto log = co_await recover(process, recovering, oracle);
  if (!log) co_return;
  JournalOptions options;
  options.file_bytes = 256 * kKiB;
  options.bytes_max = kMiB;
  auto journal = co_await Journal::create(process.loop(), kDirectory, "journal-0", options);
  if (!journal) co_return;
  const auto attached = co_await (*log)->attach(living.services(journal->get()));
  EXPECT_TRUE(attached.has_value()) << attached.error().message();
  bool has_failed = false;
  while (attached) {
    const Result<void> done = co_await do_something(process, **log, oracle, random);
    if (!done) {
      if (!process.is_dead() && !oracle.may_fail) ADD_FAILURE() << done.error().message();
      ++oracle.failures;
      has_failed = true;
      break;
    }
  }
  if (has_failed) {
    (void)co_await (*log)->close();  // the next start wants its entries
  } else {
    co_await (*log)->discard();
  }
  (void)co_await (*journal)->close();
}

// DRAVE_SEED=n DRAVE_SEEDS=1 runs one seed again.
std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

Oracle run_seed(std::uint64_t seed, int lives, bool with_failing_syncs) {
  io::sim::World world(seed);
  io::sim::Node& node = world.add_node();
  Oracle oracle;
  oracle.may_fail = with_failing_syncs;
  for (int life = 0; life < lives && !::testing::Test::HasFailure(); ++life) {
    const std::uint64_t program_seed = world.random().next();
    if (with_failing_syncs) node.disk().options().sync_error_one_in = life % 2 == 0 ? 10 : 0;
    node.start(
        [&oracle, program_seed](Process& process) { return live(process, oracle, program_seed); });
    world.run_for(microseconds(static_cast<std::int64_t>(world.random().below(60'000))));
    for (int i = 0; i < 200 && !node.has_disk_writes_in_flight(); ++i) world.step();
    for (std::uint64_t i = world.random().below(20); i > 0; --i) world.step();
    if (world.random().below(2) == 0) {
      node.power_cut();
    } else {
      node.kill();
    }
  }
  return oracle;
}

struct BegunAgain {
  int kept_names = 0;
  int lost_files = 0;
  bool ended = false;
};

bool is_there(io::sim::Disk& disk, const std::string& path) {
  const std::vector<std::string> files = disk.files_below(kDirectory);
  return std::find(files.begin(), files.end(), path) != files.end();
}

// Deletes the oldest segment while names find no space now and then, then begins again at it.
io::Task<void> begin_again_at_a_deleted_segment(Process& process, io::sim::Disk& disk,
                                                BegunAgain& seen) {
  io::Loop& loop = process.loop();
  EXPECT_TRUE((co_await io::make_directories(loop, kLogPath)).has_value());
  LogHarness harness(loop, kLogPath, 1 * kMiB, 8);
  LogConfig config;
  config.segment_bytes = 1000;
  config.retention_ms = 1;
  config.file_delete_delay_ms = 1000;
  auto log = co_await harness.open(config, {.clean = true});
  EXPECT_TRUE(log.has_value());
  for (int i = 0; i < 10; ++i) {
    std::vector<std::uint8_t> batch = make_batch({.records = 5, .value_bytes = 50});
    EXPECT_TRUE((*log)->append_as_leader(batch, 0, 1000).has_value());
  }
  EXPECT_TRUE((co_await (*log)->flush()).has_value());
  disk.options().name_no_space_one_in = 3;
  const auto deleted = co_await (*log)->enforce_retention(1'000'000, (*log)->end(), 1);
  disk.options().name_no_space_one_in = 0;
  const std::string first = std::string(kLogPath) + "/00000000000000000000.log";
  if (deleted && is_there(disk, first)) {
    ++seen.kept_names;
    EXPECT_TRUE((co_await (*log)->truncate_fully_to(0)).has_value());
    std::vector<std::uint8_t> batch = make_batch();
    EXPECT_TRUE((*log)->append_as_leader(batch, 0, 1000).has_value());
    EXPECT_TRUE((co_await (*log)->flush()).has_value());
    co_await io::sleep_for(loop, seconds(2));
    EXPECT_TRUE((co_await (*log)->unlink_deleted(100)).has_value());
    if (!is_there(disk, first)) ++seen.lost_files;
  }
  co_await (*log)->discard();
  seen.ended = true;
}

TEST(FileLogSim, a_segment_that_has_the_name_of_a_deleted_one_stays) {
  BegunAgain seen;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    io::sim::World world(seed);
    io::sim::Node& node = world.add_node();
    seen.ended = false;
    node.start([&](Process& process) {
      return begin_again_at_a_deleted_segment(process, node.disk(), seen);
    });
    world.run_until([&] { return seen.ended; }, seconds(10));
    ASSERT_TRUE(seen.ended);
    node.kill();
  }
  EXPECT_GT(seen.kept_names, 3);
  EXPECT_EQ(seen.lost_files, 0);
}

// Three segments, the first of which is torn at its beginning; opened again with all of it in a
// journal.
io::Task<void> open_torn_segments(Process& process, io::sim::Disk& disk, bool& ended) {
  io::Loop& loop = process.loop();
  EXPECT_TRUE((co_await io::make_directories(loop, kLogPath)).has_value());
  LogHarness harness(loop, kLogPath, 1 * kMiB, 8);
  LogConfig config;
  config.segment_bytes = 1000;
  {
    auto log = co_await harness.open(config, {.clean = true});
    EXPECT_TRUE(log.has_value());
    for (int i = 0; i < 3; ++i) {
      std::vector<std::uint8_t> batch = make_batch({.records = 5, .value_bytes = 150});
      EXPECT_TRUE((*log)->append_as_leader(batch, 0, 1000).has_value());
    }
    EXPECT_TRUE((co_await (*log)->flush()).has_value());
    co_await (*log)->discard();
  }
  disk.sync_all();
  disk.flip(std::string(kLogPath) + "/00000000000000000000.log", 100);
  auto log = co_await harness.open(config, {.recovery_point = 0, .journal_first = 0});
  EXPECT_TRUE(log.has_value());
  EXPECT_EQ((*log)->end(), 0);
  co_await (*log)->discard();
  ended = true;
}

// What is replayed into the first one may reach beyond where they begin: two segments would have
// the same offsets.
TEST(FileLogSim, segments_behind_a_torn_write_do_not_come_back) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    io::sim::World world(seed);
    io::sim::Node& node = world.add_node();
    bool ended = false;
    node.start([&](Process& process) { return open_torn_segments(process, node.disk(), ended); });
    world.run_until([&] { return ended; }, seconds(10));
    ASSERT_TRUE(ended);
    node.power_cut();
    for (const std::string& path : node.disk().files_below(kLogPath))
      EXPECT_FALSE(path.ends_with(".log") && !path.ends_with("/00000000000000000000.log")) << path;
  }
}

TEST(FileLogSim, acknowledged_batches_survive_crashes_at_any_step) {
  Oracle total;
  const std::uint64_t first = number_from("DRAVE_SEED", 1);
  const std::uint64_t count = number_from("DRAVE_SEEDS", 200);
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const Oracle oracle = run_seed(seed, 8, false);
    total.verified += oracle.verified;
    total.acknowledgements += oracle.acknowledgements;
    total.truncations += oracle.truncations;
    total.deletions += oracle.deletions;
    total.replayed += oracle.replayed;
    total.torn_bytes += oracle.torn_bytes;
    if (HasFailure()) break;
  }
  RecordProperty("verified", total.verified);
  std::printf("verified=%d acknowledgements=%d truncations=%d deletions=%d replayed=%d torn=%lld\n",
              total.verified, total.acknowledgements, total.truncations, total.deletions,
              total.replayed, static_cast<long long>(total.torn_bytes));
  if (count < 200) return;
  EXPECT_GT(total.verified, 500);
  EXPECT_GT(total.acknowledgements, 1000);
  EXPECT_GT(total.truncations, 100);
  EXPECT_GT(total.deletions, 20);
  EXPECT_GT(total.replayed, 500);
  EXPECT_GT(total.torn_bytes, 1000);
}

// A sync that failed leaves bytes in the page cache that the disk does not have and that no later
// sync writes. The next start sees them, and must not believe that they are there.
TEST(FileLogSim, acknowledged_batches_survive_failed_syncs_and_then_a_power_cut) {
  int failures = 0;
  int verified = 0;
  for (std::uint64_t seed = 1; seed <= 200 && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const Oracle oracle = run_seed(seed, 8, true);
    failures += oracle.failures;
    verified += oracle.verified;
  }
  EXPECT_GT(failures, 100);
  EXPECT_GT(verified, 300);
}

}  // namespace
}  // namespace drave::segments::testing
