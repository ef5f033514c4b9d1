// Readers of a log in the simulator while it is written out, truncated, deleted from and ended:
// what they get is what stood there, whichever piece of memory or reading of the disk it came from.

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "gtest/gtest.h"
#include "io/file.h"
#include "io/scope.h"
#include "io/sim/world.h"
#include "segments/log_limits.h"
#include "segments/partition_log_impl.h"
#include "tests/segments/log_support.h"

namespace drave::segments::testing {
namespace {

using io::sim::Process;

constexpr const char* kLogPath = "/data/t-0";
constexpr std::int64_t kTailBytes = 4 * kMiB;
constexpr std::int64_t kTailLeft = 256 * kKiB;
constexpr int kReaders = 3;
constexpr int kSteps = 60;

// Batches that stood in the log, each from one step to another.
struct History {
  struct Batch {
    std::vector<std::uint8_t> bytes;
    int born = 0;
    int died = INT32_MAX;
  };
  std::multimap<Offset, Batch> batches;  // by their first offset
  int step = 0;
  std::uint8_t fill = 0;
  bool has_ended = false;

  // A read that began at step `since` and ends now returned it.
  bool has(Offset first, ByteView bytes, int since) const {
    const auto [begin, end] = batches.equal_range(first);
    return std::any_of(begin, end, [&](const auto& at) {
      const Batch& batch = at.second;
      return batch.died >= since && batch.bytes.size() == bytes.size() &&
             std::memcmp(bytes.data(), batch.bytes.data(), bytes.size()) == 0;
    });
  }
};

struct Totals {
  std::uint64_t reads = 0;
  std::uint64_t from_disk = 0;
  std::uint64_t refused = 0;
  std::uint64_t truncations = 0;
  std::uint64_t deletions = 0;
  std::uint64_t ended_under_readers = 0;
  std::uint64_t ahead = 0;
  std::uint64_t bad_reads = 0;
};

struct Story {
  explicit Story(std::uint64_t seed) : random(seed) {
    batch_bytes = 2000u << random.below(6);  // all of one size: what is cut is met at its place
    cut_records = static_cast<Offset>((1 << 20) / batch_bytes * 2);
    config.segment_bytes = static_cast<std::int64_t>(2 + random.below(8)) << 20;
    config.file_delete_delay_ms = 0;
    config.retention_bytes = 3 << 20;
  }
  Random random;
  std::size_t batch_bytes = 0;
  Offset cut_records = 0;  // how many a truncation takes at most
  LogConfig config;
  History history;
  Totals totals;
  io::Scope* readers = nullptr;
};

// Checks each batch; returns the offset behind the last one.
Offset check(Story& story, const ReadRequest& request, const ReadResult& result, int since) {
  Offset next = request.offset;
  for (const LogPiece& piece : result.pieces) {
    protocol::BatchIterator batches(piece.bytes());
    while (const auto batch = batches.next()) {
      const std::size_t at = static_cast<std::size_t>(batch->bytes().data() - piece.bytes().data());
      EXPECT_TRUE(story.history.has(batch->base_offset(),
                                    piece.bytes().subspan(at, batch->size_bytes()), since))
          << "offset " << batch->base_offset() << " at step " << story.history.step;
      next = batch->last_offset() + 1;
    }
  }
  return next;
}

io::Task<void> read_on(Process& process, Story& story, PartitionLog& log, std::uint64_t seed) {
  Random random(seed);
  Offset next = 0;
  while (!story.history.has_ended && !process.is_dead()) {
    if (random.below(16) == 0) {
      // Often where truncations cut.
      Offset from = log.log_start();
      if (random.below(2) == 0) from = std::max(from, log.end() - story.cut_records);
      next = from + static_cast<Offset>(random.below(log.end() - from + 1));
    }
    ReadRequest request;
    request.offset = next;
    request.bytes_max = std::size_t{4096} << random.below(9);
    request.at_least_one_batch = true;
    const int since = story.history.step;
    Result<std::optional<ReadResult>> quick = log.try_read(request);
    Result<ReadResult> result = ReadResult{};
    if (!quick) {
      result = std::unexpected(quick.error());
    } else if (quick->has_value()) {
      result = std::move(**quick);
    } else {
      result = co_await log.read(request);
    }
    ++story.totals.reads;
    if (!result) {
      const Errc code = result.error().code;
      EXPECT_EQ(code, Errc::out_of_range) << result.error().message();
      ++story.totals.refused;
      next = story.history.has_ended ? 0 : log.log_start();
    } else {
      if (result->from_disk) ++story.totals.from_disk;
      next = check(story, request, *result, since);
    }
    // A segment that was read often enough is read through the page cache: not too often.
    const auto pause = static_cast<std::int64_t>(random.below(600));
    co_await io::sleep_for(process.loop(), microseconds(pause));
  }
}

io::Task<void> read_once(Story& story, PartitionLog& log, Offset offset) {
  const int since = story.history.step;
  const ReadRequest request{.offset = offset, .bytes_max = 1 << 20, .at_least_one_batch = true};
  const Result<ReadResult> result = co_await log.read(request);
  if (result) check(story, request, *result, since);
}

io::Task<Result<void>> append_and_write(Story& story, LogHarness& harness, PartitionLogImpl& log) {
  const std::size_t bytes = 300'000 + story.random.below(400'000);
  for (std::size_t done = 0; done < bytes; done += story.batch_bytes) {
    std::vector<std::uint8_t> batch = make_batch(
        {.records = 2, .value_bytes = story.batch_bytes / 2, .fill = ++story.history.fill});
    CO_TRY(const AppendResult appended, log.append_as_leader(batch, 0, 1000));
    story.history.batches.emplace(appended.first_offset,
                                  History::Batch{std::move(batch), story.history.step});
  }
  CO_TRY_VOID(co_await log.flush());
  // Nearly all of it; what is left mirrors the last block, so that segments go on past the page
  // cache.
  harness.tails.make_room(kTailBytes - kTailLeft);
  co_return Result<void>{};
}

io::Task<Result<void>> truncate(Story& story, PartitionLogImpl& log) {
  std::vector<Offset> firsts;
  for (const auto& [first, batch] : story.history.batches)
    if (batch.died == INT32_MAX && first > log.log_start()) firsts.push_back(first);
  if (firsts.empty()) co_return Result<void>{};
  const std::size_t most = std::min<std::size_t>(firsts.size(), story.cut_records / 2);
  const Offset cut = firsts[firsts.size() - 1 - story.random.below(most)];
  if (story.random.below(4) != 0) {
    // Somebody reads there just then: is opening the file, or waiting for the disk.
    const Offset near = cut - static_cast<Offset>(story.random.below(20));
    story.readers->spawn(read_once(story, log, std::max(near, log.log_start())));
    const auto pause = static_cast<std::int64_t>(story.random.below(300));
    co_await io::sleep_for(story.readers->loop(), microseconds(pause));
  }
  CO_TRY_VOID(co_await log.truncate_to(cut));
  for (auto& [first, batch] : story.history.batches)
    if (first >= cut) batch.died = std::min(batch.died, story.history.step);
  ++story.history.step;
  ++story.totals.truncations;
  co_return Result<void>{};
}

io::Task<Result<void>> change_something(Story& story, LogHarness& harness, PartitionLogImpl& log) {
  const std::uint64_t what = story.random.below(13);
  if (what < 4) co_return co_await append_and_write(story, harness, log);
  if (what < 7) {
    CO_TRY_VOID(co_await truncate(story, log));
    const Offset cut = log.end();
    CO_TRY_VOID(co_await append_and_write(story, harness, log));
    co_await read_once(story, log, cut);
    co_return Result<void>{};
  }
  if (what < 8) {
    CO_TRY(const int deleted, co_await log.enforce_retention(1000, log.end(), 2));
    story.totals.deletions += static_cast<std::uint64_t>(deleted);
    CO_TRY_VOID(co_await log.unlink_deleted(100));
    co_return Result<void>{};
  }
  co_await io::sleep_for(harness.loop(),
                         microseconds(static_cast<std::int64_t>(story.random.below(10'000))));
  co_return Result<void>{};
}

io::Task<void> live(Process& process, Story& story) {
  io::Loop& loop = process.loop();
  // Few descriptors, so that files are opened often; little memory, so that they are read often.
  const auto files_max = static_cast<std::int64_t>(1 + story.random.below(3));
  LogHarness harness(loop, kLogPath, kTailBytes, files_max, (2 + story.random.below(3)) * kMiB);
  (void)co_await io::make_directories(loop, kLogPath);
  auto log = co_await harness.open(story.config, {.clean = true});
  if (!log) co_return;
  io::Scope readers(loop);
  story.readers = &readers;
  for (int i = 0; i < kReaders; ++i)
    readers.spawn(read_on(process, story, **log, story.random.next()));
  for (int step = 0; step < kSteps; ++step) {
    const Result<void> done = co_await change_something(story, harness, **log);
    EXPECT_TRUE(done.has_value()) << done.error().message();
    ++story.history.step;
  }
  story.history.has_ended = true;
  story.totals.ended_under_readers += readers.running_count() > 0 ? 1 : 0;
  // As when its partition is deleted: readers are under way.
  co_await (*log)->discard();
  log->reset();
  co_await readers.join();
  const ReadCache::Counters& counters = harness.files.read_cache().counters();
  story.totals.ahead += counters.ahead;
}

constexpr Offset kColdBatches = 500;

io::Task<void> read_one(PartitionLog& log, Offset offset, int& answered) {
  const Result<ReadResult> result =
      co_await log.read({.offset = offset, .bytes_max = 1, .at_least_one_batch = true});
  EXPECT_TRUE(result.has_value());
  if (!result) co_return;
  ++answered;
  EXPECT_GT(result->size, 20'000U);
}

// Each batch is asked for at once, by a reader of its own that wants one byte.
io::Task<void> read_all_at_once(Process& process, int& answered, std::size_t& held_most) {
  io::Loop& loop = process.loop();
  LogHarness harness(loop, kLogPath, kTailBytes, 64, kMiB);
  (void)co_await io::make_directories(loop, kLogPath);
  LogConfig config;
  config.index_interval_bytes = 4096;
  auto log = co_await harness.open(config, {.clean = true});
  EXPECT_TRUE(log.has_value());
  if (!log) co_return;
  for (Offset offset = 0; offset < kColdBatches; ++offset) {
    auto batch = make_batch({.value_bytes = 20'000});
    EXPECT_TRUE((*log)->append_as_leader(batch, 0, 1000).has_value());
    if (offset % 50 == 49) EXPECT_TRUE((co_await (*log)->flush()).has_value());
  }
  harness.tails.make_room(kTailBytes - kTailLeft);
  const Offset cold = (*log)->end() - 20;
  const ReadCache& cache = harness.files.read_cache();
  io::Scope readers(loop);
  for (Offset offset = 0; offset < cold; ++offset) readers.spawn(read_one(**log, offset, answered));
  while (readers.running_count() > 0) {
    held_most = std::max(held_most, cache.held_bytes());
    co_await io::sleep_for(loop, milliseconds(1));
  }
  co_await readers.join();
  EXPECT_EQ(answered, cold);
  co_await (*log)->discard();
}

// Where there is no room for what they read, few read at a time.
TEST(ReadSim, cold_readers_of_little_do_not_take_memory_without_bound) {
  for (const bool direct : {true, false}) {
    io::sim::World world(3);
    io::sim::NodeOptions options;
    options.disk.direct_supported = direct;
    options.disk.uncached_one_in = 1;
    options.disk.device_delay = options.disk.cached_delay = {milliseconds(3), milliseconds(9)};
    io::sim::Node& node = world.add_node(options);
    int answered = 0;
    std::size_t held_most = 0;
    node.start([&](Process& process) { return read_all_at_once(process, answered, held_most); });
    EXPECT_TRUE(world.run_until([&] { return !node.is_running(); }, seconds(600)));
    EXPECT_GT(answered, 400);
    EXPECT_GE(held_most, kMiB / 2);
    // The cache's own, what the tails lend, and pieces of 68 KiB, which take 128.
    EXPECT_LE(held_most, kMiB + kTailBytes / 2 + (kReadsBeyondMax + 1) * 128 * kKiB);
    if (node.is_running()) node.kill();
  }
}

// DRAVE_SEED=n DRAVE_SEEDS=1 runs one seed again.
std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST(ReadSim, readers_get_what_stood_there_while_the_log_changes) {
  Totals total;
  const std::uint64_t first = number_from("DRAVE_SEED", 1);
  const std::uint64_t count = number_from("DRAVE_SEEDS", 60);
  for (std::uint64_t seed = first; seed < first + count && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    io::sim::World world(seed);
    io::sim::Node& node = world.add_node();
    node.disk().options().bad_read_one_in = seed % 3 == 0 ? 20 : 0;
    node.disk().options().short_read_one_in = seed % 4 == 0 ? 5 : 0;
    // Much happens while a file is being opened.
    if (seed % 2 == 0) node.disk().options().name_delay = {microseconds(2), milliseconds(1)};
    Story story(seed);
    node.start([&story](Process& process) { return live(process, story); });
    EXPECT_TRUE(world.run_until([&] { return !node.is_running(); }, seconds(600)));
    total.reads += story.totals.reads;
    total.from_disk += story.totals.from_disk;
    total.refused += story.totals.refused;
    total.truncations += story.totals.truncations;
    total.deletions += story.totals.deletions;
    total.ended_under_readers += story.totals.ended_under_readers;
    total.ahead += story.totals.ahead;
    total.bad_reads += world.counters().bad_reads;
  }
  std::string text;
  for (const auto& [name, value] : {std::pair{"reads", total.reads},
                                    {"from_disk", total.from_disk},
                                    {"ahead", total.ahead},
                                    {"refused", total.refused},
                                    {"truncations", total.truncations},
                                    {"deletions", total.deletions},
                                    {"ended_under_readers", total.ended_under_readers},
                                    {"bad_reads", total.bad_reads}}) {
    RecordProperty(name, std::to_string(value));
    text += std::string(name) + "=" + std::to_string(value) + " ";
  }
  std::printf("%s\n", text.c_str());
  if (count < 60) return;
  EXPECT_GT(total.from_disk, 2000u);
  EXPECT_GT(total.ahead, 100u);
  EXPECT_GT(total.truncations, 500u);
  EXPECT_GT(total.deletions, 10u);
  EXPECT_GT(total.ended_under_readers, 50u);
  EXPECT_GT(total.bad_reads, 50u);
}

}  // namespace
}  // namespace drave::segments::testing
