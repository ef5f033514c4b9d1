// Log directories in the simulator: what was acknowledged is there after any crash, what was
// removed or truncated is not, whatever the number of shards before and after.

#include <cstdlib>
#include <map>

#include "gtest/gtest.h"
#include "io/file.h"
#include "io/mailbox.h"
#include "io/scope.h"
#include "io/sim/world.h"
#include "protocol/record_batch.h"
#include "segments/log_directory.h"
#include "segments/log_shard.h"
#include "tests/segments/log_support.h"

namespace drave::segments::testing {
namespace {

constexpr int kPartitions = 5;

LogConfig small_segments() {
  LogConfig config;
  config.segment_bytes = 8 * kKiB;
  return config;
}

LogDirectoryOptions small_directory() {
  LogDirectoryOptions options;
  options.journal = {.file_bytes = 64 * kKiB,
                     .first_file_bytes = 16 * kKiB,
                     .bytes_max = 256 * kKiB,
                     .group_bytes_max = 16 * kKiB};
  options.tail_bytes_max = kMiB;
  options.idle_write_ms = 20;
  options.segment_piece_bytes = 8 * kKiB;
  options.free_bytes_min = kMiB;
  options.checkpoint_interval_ms = 50;
  options.open_files_max = 16;
  return options;
}

// What a partition must hold: kept outside of the node.
struct Model {
  std::uint64_t topic_id = 0;  // 0: it does not exist
  struct Batch {
    Offset end = 0;
    std::uint32_t crc = 0;
  };
  std::map<Offset, Batch> batches;  // by base offset, all that were submitted and not cut
  Offset acknowledged_end = 0;
  Offset log_start = 0;              // acknowledged
  std::optional<Offset> truncating;  // asked for, not acknowledged
  std::optional<Offset> starting;
  bool is_creating = false;
  bool is_removing = false;
};

struct Totals {
  int acknowledged = 0;
  int truncated = 0;
  int removed = 0;
  int recoveries = 0;
  int crashes = 0;
  int faults = 0;
};

class Scenario {
 public:
  explicit Scenario(std::uint64_t seed, io::sim::WorldOptions options = {})
      : world_(seed, options), random_(seed * 31 + 7), node_(world_.add_node()) {
    const std::string meta =
        "#\nnode.id=1\nversion=1\ncluster.id=c\ndirectory.id=q4x9lwHTRwKFrQ69LT3_Sg\n";
    node_.disk().put("/data/meta.properties", as_bytes(meta));
  }

  // One life of the node; how it ends is drawn.
  void live() {
    ended_ = false;
    node_.start([this](io::sim::Process& process) { return program(process); },
                random_.one_in(2) ? 1 : 2);
    const bool clean = random_.one_in(4);
    world_.run_until([&] { return !node_.is_running(); },
                     microseconds(random_.between(2'000, 400'000)));
    if (clean && node_.is_running()) {
      node_.stop();
      world_.run_until([&] { return !node_.is_running(); }, seconds(60));
    } else if (node_.is_running()) {
      world_.run_until([&] { return node_.has_disk_writes_in_flight(); }, milliseconds(50));
    }
    if (node_.is_running()) {
      ++totals_.crashes;
      if (random_.one_in(3)) {
        node_.kill();
      } else {
        node_.power_cut();
      }
    }
  }

  // A life that only looks.
  void look() {
    only_look_ = true;
    world_.run_for(milliseconds(1));
    node_.start([this](io::sim::Process& process) { return program(process); }, 1);
    world_.run_until([&] { return !node_.is_running(); }, seconds(120));
    EXPECT_FALSE(node_.is_running());
  }

  Totals& totals() { return totals_; }
  io::sim::World& world() { return world_; }
  io::sim::Node& node() { return node_; }

 private:
  io::Task<void> program(io::sim::Process& process) {
    bool stopping = false;
    process.on_stop([&stopping] { stopping = true; });
    io::Loop& loop = process.loop();
    auto opened = co_await LogDirectory::open(loop, "/data", small_directory());
    if (!opened) {
      note_fault(process, opened.error());
      co_return;
    }
    LogDirectory& directory = **opened;
    std::vector<std::unique_ptr<LogShard>> shards;
    Result<void> outcome;
    for (std::uint32_t i = 0; i < process.shard_count() && outcome; ++i) {
      auto started = co_await io::call_on(
          loop, i, [&directory, &on = process.loop(i), i, count = process.shard_count()] {
            return directory.start_shard(
                on,
                [i, count](const PartitionToOpen& found) {
                  return static_cast<std::uint32_t>(found.id.partition) % count == i;
                },
                [](const PartitionToOpen&) { return small_segments(); });
          });
      if (started) {
        shards.push_back(std::move(*started));
      } else {
        outcome = std::unexpected(std::move(started).error());
      }
    }
    if (outcome && !process.is_dead()) {
      ++totals_.recoveries;
      check(directory.recovery());
      for (std::size_t i = 0; i < shards.size(); ++i) {
        co_await io::call_on(loop, static_cast<std::uint32_t>(i),
                             [this, &process, &shard = *shards[i], i] {
                               return check_shard(process, shard, static_cast<std::uint32_t>(i));
                             });
      }
    }
    if (outcome && !only_look_) {
      io::Scope work(loop);
      for (int i = 0; i < kPartitions; ++i) {
        const std::uint32_t owner = static_cast<std::uint32_t>(i) % process.shard_count();
        work.spawn(run_on(process, owner, *shards[owner], i, stopping));
      }
      co_await work.join();
    }
    bool clean = outcome.has_value();
    for (std::size_t i = 0; i < shards.size(); ++i) {
      auto stopped = co_await io::call_on(loop, static_cast<std::uint32_t>(i),
                                          [&shard = *shards[i]] { return shard.stop(); });
      clean = clean && stopped.has_value();
      co_await io::call_on(loop, static_cast<std::uint32_t>(i),
                           [&shard = shards[i]] { shard.reset(); });
    }
    [[maybe_unused]] auto closed = co_await directory.close(loop, 1, clean);
    if (!outcome) note_fault(process, outcome.error());
  }

  void note_fault(io::sim::Process& process, const Error& error) {
    if (process.is_dead()) return;
    ++totals_.faults;
    if (error.code == Errc::corrupt) ADD_FAILURE() << error.message();
  }

  void check(const RecoveryReport& report) {
    for (const Error& error : report.rotten) ADD_FAILURE() << error.message();
  }

  io::Task<void> check_shard(io::sim::Process& process, LogShard& shard, std::uint32_t number) {
    const std::vector<PartitionLog*> logs = shard.logs();
    for (PartitionLog* log : logs) {
      Model& model = models_[log->id().partition];
      if (process.is_dead()) co_return;
      if (log->id().topic_id.low != model.topic_id) {
        ADD_FAILURE() << "partition " << log->id().partition << " came back";
        co_return;
      }
      co_await check_log(process, *log, model);
    }
    for (int i = 0; i < kPartitions; ++i) {
      Model& model = models_[i];
      if (process.is_dead()) co_return;
      if (static_cast<std::uint32_t>(i) % process.shard_count() != number) continue;
      PartitionLog* log = shard.find({{7, model.topic_id}, i});
      if (model.topic_id == 0 || log != nullptr) {
        // A creation or removal that was under way has been decided.
        model.is_creating = model.is_removing = false;
        continue;
      }
      EXPECT_TRUE(model.is_creating || model.is_removing) << "partition " << i << " is lost";
      model = Model{};
    }
  }

  io::Task<void> check_log(io::sim::Process& process, PartitionLog& log, Model& model) {
    const Offset end = log.end();
    Offset least = model.acknowledged_end;
    if (model.truncating) least = std::min(least, *model.truncating);
    EXPECT_GE(end, least) << "acknowledged records are lost";
    EXPECT_GE(log.log_start(), model.log_start) << log.topic();
    EXPECT_LE(log.log_start(), model.starting.value_or(model.log_start)) << log.topic();
    auto all = co_await read_all(log, log.log_start(), 4096);
    if (process.is_dead()) co_return;
    if (!all) {
      EXPECT_TRUE(all.error().code == Errc::io) << all.error().message();
      co_return;
    }
    protocol::BatchIterator batches(*all);
    std::map<Offset, Model::Batch> found;
    Offset next = -1;
    while (auto batch = batches.next()) {
      if (next >= 0) EXPECT_EQ(batch->base_offset(), next);
      next = batch->last_offset() + 1;
      const auto expected = model.batches.find(batch->base_offset());
      if (expected == model.batches.end()) {
        ADD_FAILURE() << "offset " << batch->base_offset() << " was never written, or cut";
        continue;
      }
      EXPECT_EQ(batch->crc(), expected->second.crc) << "at offset " << batch->base_offset();
      found[batch->base_offset()] = {next, batch->crc()};
    }
    // Recovered is durable: from here on this is what must be there.
    if (next >= 0) EXPECT_EQ(next, end);
    model.batches = std::move(found);
    model.acknowledged_end = end;
    model.log_start = log.log_start();
    model.truncating.reset();
    model.starting.reset();
  }

  static io::Task<void> run_partition_there(Scenario& self, io::sim::Process& process,
                                            std::uint32_t owner, LogShard& shard, int number,
                                            const bool& stopping) {
    Random random(self.random_.next());
    while (!stopping && !process.is_dead()) {
      if (!co_await self.step(process, process.loop(owner), shard, number, random)) co_return;
    }
  }
  io::Task<void> run_on(io::sim::Process& process, std::uint32_t owner, LogShard& shard, int number,
                        const bool& stopping) {
    co_await io::call_on(process.loop(), owner, [this, &process, owner, &shard, number, &stopping] {
      return run_partition_there(*this, process, owner, shard, number, stopping);
    });
  }

  // One act of the one who uses this partition; false: it fails from now on.
  io::Task<bool> step(io::sim::Process& process, io::Loop& loop, LogShard& shard, int number,
                      Random& random) {
    Model& model = models_[number];
    const TopicIdPartition id{{7, model.topic_id}, number};
    PartitionLog* log = model.topic_id == 0 ? nullptr : shard.find(id);
    if (log == nullptr) {
      model = Model{};
      model.topic_id = ++topics_made_;
      model.is_creating = true;
      auto made = co_await shard.open_or_create(
          {"t" + std::to_string(random.below(2)) + "x" + std::to_string(number),
           {{7, model.topic_id}, number},
           small_segments()});
      if (process.is_dead() || !made) co_return false;
      model.is_creating = false;
      co_return true;
    }
    if (random.one_in(60)) {
      model.is_removing = true;
      auto removed = co_await shard.remove(id);
      if (process.is_dead() || !removed) co_return false;
      model = Model{};
      ++totals_.removed;
      co_return true;
    }
    if (random.one_in(25) && log->end() > log->log_start()) {
      const Offset to = boundary(model, random.between(log->log_start(), log->end() + 1));
      if (to < log->log_start()) co_return true;
      model.truncating = to;
      auto cut = co_await log->truncate_to(to);
      if (process.is_dead() || !cut) co_return false;
      model.truncating.reset();
      model.batches.erase(model.batches.lower_bound(to), model.batches.end());
      model.acknowledged_end = std::min(model.acknowledged_end, to);
      ++totals_.truncated;
      co_return true;
    }
    if (random.one_in(25)) {
      const Offset to = boundary(model, random.between(log->log_start(), log->end() + 1));
      if (to < log->log_start()) co_return true;
      model.starting = to;
      auto started = co_await log->advance_log_start(to);
      if (process.is_dead() || !started) co_return false;
      model.log_start = to;
      model.starting.reset();
      co_return true;
    }
    if (random.one_in(8)) {
      co_await io::sleep_for(loop, microseconds(random.between(10, 20'000)));
      co_return !process.is_dead();
    }
    co_return co_await append_some(process, loop, *log, model, random);
  }

  // A base offset of a batch at or below `offset`, or the end.
  static Offset boundary(const Model& model, Offset offset) {
    auto at = model.batches.upper_bound(offset);
    if (at == model.batches.begin()) return offset;
    --at;
    return offset >= at->second.end ? at->second.end : at->first;
  }

  io::Task<bool> append_some(io::sim::Process& process, io::Loop& loop, PartitionLog& log,
                             Model& model, Random& random) {
    const std::int64_t count = random.between(1, 5);
    for (std::int64_t i = 0; i < count; ++i) {
      auto batch =
          make_batch({.records = static_cast<int>(random.between(1, 4)),
                      .value_bytes = random.one_in(8) ? random.below(6000) : random.below(300),
                      .timestamp = static_cast<TimestampMs>(random.below(1 << 30)),
                      .fill = static_cast<std::uint8_t>(random.next())});
      auto appended = log.append_as_leader(batch, 0, 1000);
      if (!appended && appended.error().code == Errc::busy) break;
      if (!appended) co_return false;
      protocol::BatchIterator one(batch);
      model.batches[appended->first_offset] = {appended->end_offset, one.next()->crc()};
    }
    const Offset wanted = log.end();
    for (int i = 0; log.durable_end() < wanted; ++i) {
      if (process.is_dead() || log.is_fenced() || i > 100'000) co_return false;
      co_await io::sleep_for(loop, milliseconds(1));
      if (!process.is_dead() && log.durable_end() > model.acknowledged_end)
        model.acknowledged_end = log.durable_end();
    }
    if (process.is_dead()) co_return false;
    model.acknowledged_end = std::max(model.acknowledged_end, wanted);
    totals_.acknowledged += static_cast<int>(count);
    co_return true;
  }

  io::sim::World world_;
  Random random_;
  io::sim::Node& node_;
  std::map<int, Model> models_;
  std::uint64_t topics_made_ = 0;
  Totals totals_;
  bool ended_ = false;
  bool only_look_ = false;
};

// Appends a record every 5 ms for `span`, then waits for 200 ms. How often the segment's file grew,
// while it was appended to and until the end.
io::Task<void> grow_all_the_time(io::sim::Process& process, Duration span, int& growths,
                                 int& growths_at_end) {
  io::Loop& loop = process.loop();
  LogDirectoryOptions options = small_directory();
  options.journal = {.file_bytes = 8 * kMiB,
                     .first_file_bytes = 8 * kMiB,
                     .bytes_max = 32 * kMiB,
                     .group_bytes_max = 16 * kKiB};
  options.idle_write_ms = 100;
  options.segment_piece_bytes = 256 * kKiB;
  auto directory = co_await LogDirectory::open(loop, "/data", options);
  EXPECT_TRUE(directory.has_value());
  auto shard = co_await (*directory)
                   ->start_shard(
                       loop, [](const PartitionToOpen&) { return true; },
                       [](const PartitionToOpen&) { return LogConfig{}; });
  EXPECT_TRUE(shard.has_value());
  auto log = co_await (*shard)->open_or_create({"t", {{1, 1}, 0}, LogConfig{}});
  EXPECT_TRUE(log.has_value());
  const Instant end = loop.now() + span;
  std::uint64_t size = 0;
  while (loop.now() < end + milliseconds(200)) {
    if (loop.now() < end) {
      auto batch = make_batch();
      EXPECT_TRUE((*log)->append_as_leader(batch, 0, 1000).has_value());
    }
    co_await io::sleep_for(loop, milliseconds(5));
    const auto status = co_await io::status(loop, "/data/t-0/00000000000000000000.log");
    if (!status || status->size == size) continue;
    size = status->size;
    ++growths_at_end;
    if (loop.now() < end) ++growths;
  }
  EXPECT_EQ(size, static_cast<std::uint64_t>((*log)->size_bytes())) << "idle data is written";
  EXPECT_TRUE((co_await (*shard)->stop()).has_value());
  (*shard).reset();
  EXPECT_TRUE((co_await (*directory)->close(loop, 1, true)).has_value());
}

// What a start finds.
struct FoundLog {
  Offset start = -1;
  Offset end = -1;
  LeaderEpoch last_epoch = -1;
};

// Opens the log of the metadata, does `work` with it, stops.
io::Task<void> with_log(io::sim::Process& process,
                        std::function<io::Task<void>(PartitionLog&)> work, FoundLog& found) {
  io::Loop& loop = process.loop();
  auto directory = co_await LogDirectory::open(loop, "/data", small_directory());
  EXPECT_TRUE(directory.has_value());
  auto shard = co_await (*directory)->start_metadata_shard(loop, small_segments());
  EXPECT_TRUE(shard.has_value());
  PartitionLog* log = (*shard)->find({kMetadataTopicId, 0});
  EXPECT_TRUE(log != nullptr);
  if (work) co_await work(*log);
  found = {log->log_start(), log->end(), log->epoch_of(log->end() - 1)};
  const bool clean = (co_await (*shard)->stop()).has_value();
  (*shard).reset();
  (void)co_await (*directory)->close(loop, 1, clean);
}

io::Task<void> append_in_epoch(PartitionLog& log, LeaderEpoch epoch, int count) {
  log.begin_epoch(epoch);
  for (int i = 0; i < count; ++i) {
    auto batch = make_batch({.records = 1, .value_bytes = 300});
    EXPECT_TRUE(log.append_as_leader(batch, epoch, 1000).has_value());
  }
  (void)co_await log.flush();
}

FoundLog life_of(io::sim::World& world, io::sim::Node& node,
                 std::function<io::Task<void>(PartitionLog&)> work) {
  FoundLog found;
  node.start([&](io::sim::Process& process) { return with_log(process, work, found); }, 1);
  world.run_until([&] { return !node.is_running(); }, seconds(60));
  EXPECT_FALSE(node.is_running());
  if (node.is_running()) node.kill();
  return found;
}

struct FullDisk {
  bool is_full = false;
  bool has_ended = false;
  Result<void> outcome;
  Offset acknowledged = 0;
  Offset found = -1;
};

// Appends until nothing more is taken and nothing more becomes durable, on a disk that has become
// full; and is stopped then.
io::Task<void> run_full(io::sim::Process& process, FullDisk& disk, std::function<void()> fill) {
  io::Loop& loop = process.loop();
  auto directory = co_await LogDirectory::open(loop, "/data", small_directory());
  EXPECT_TRUE(directory.has_value());
  auto shard = co_await (*directory)
                   ->start_shard(
                       loop, [](const PartitionToOpen&) { return true; },
                       [](const PartitionToOpen&) { return LogConfig{}; });
  EXPECT_TRUE(shard.has_value());
  auto log = co_await (*shard)->open_or_create({"t", {{1, 1}, 0}, LogConfig{}});
  EXPECT_TRUE(log.has_value());
  disk.found = (*log)->end();
  if (fill) {
    fill();
    while (!(*shard)->journal().is_full()) {
      auto batch = make_batch({.records = 1, .value_bytes = 5000});
      EXPECT_TRUE((*log)->append_as_leader(batch, 0, 1000).has_value());
      co_await io::sleep_for(loop, microseconds(100));
    }
    co_await io::sleep_for(loop, seconds(3));
    disk.is_full = (*shard)->journal().is_full();
  }
  disk.acknowledged = (*log)->durable_end();
  disk.outcome = co_await (*shard)->stop();
  (*shard).reset();
  const bool clean = disk.outcome.has_value();
  if (!co_await (*directory)->close(loop, 1, clean) && clean)
    disk.outcome = failure(Errc::invalid, "the directory did not close");
  disk.has_ended = true;
}

io::Task<void> read_first(PartitionLog& log, bool& has_ended) {
  (void)co_await log.read({0, INT64_MAX, 1000, true});
  has_ended = true;
}

// The stop cannot write the last record, while a reader waits for the disk.
io::Task<void> stop_under_reader(io::sim::Process& process, io::sim::Disk& disk, bool& has_read) {
  io::Loop& loop = process.loop();
  auto directory = co_await LogDirectory::open(loop, "/data", small_directory());
  EXPECT_TRUE(directory.has_value());
  auto shard = co_await (*directory)->start_metadata_shard(loop, small_segments());
  EXPECT_TRUE(shard.has_value());
  PartitionLog* log = (*shard)->find({kMetadataTopicId, 0});
  while (log->end() < 300) {  // more than the tail keeps
    auto batch = make_batch({.records = 1, .value_bytes = 5000});
    const auto appended = log->append_as_leader(batch, 0, 1000);
    EXPECT_TRUE(appended || appended.error().code == Errc::busy) << appended.error().message();
    co_await io::sleep_for(loop, milliseconds(2));
  }
  co_await io::sleep_for(loop, seconds(1));
  io::Scope reading(loop);
  disk.options().stall_one_in = 1;
  disk.options().stall_delay = {seconds(10), seconds(10)};
  disk.options().uncached_one_in = 1;
  reading.spawn(read_first(*log, has_read));
  co_await io::sleep_for(loop, milliseconds(1));
  EXPECT_FALSE(has_read);
  disk.options().stall_one_in = 0;
  disk.options().capacity_bytes -= disk.free_space().available;
  auto batch = make_batch({.records = 1, .value_bytes = 5000});
  EXPECT_TRUE(log->append_as_leader(batch, 0, 1000).has_value());
  const Result<void> stopped = co_await (*shard)->stop();
  EXPECT_FALSE(stopped.has_value());
  EXPECT_TRUE(has_read);
  (*shard).reset();
  co_await reading.join();
  (void)co_await (*directory)->close(loop, 1, false);
}

io::Task<void> wait_for_room(PartitionLog& log, int& woken) {
  co_await log.room().wait();
  ++woken;
}

// A reader holds all memory of the tails, so that nothing but the end of the directory ends the
// wait.
io::Task<void> fail_with_full_tails(io::sim::Process& process, int& woken) {
  io::Loop& loop = process.loop();
  LogDirectoryOptions options = small_directory();
  options.journal = {.file_bytes = 4 * kMiB, .first_file_bytes = 4 * kMiB, .bytes_max = 16 * kMiB};
  auto directory = co_await LogDirectory::open(loop, "/data", options);
  EXPECT_TRUE(directory.has_value());
  auto shard = co_await (*directory)->start_metadata_shard(loop, small_segments());
  EXPECT_TRUE(shard.has_value());
  PartitionLog* log = (*shard)->find({kMetadataTopicId, 0});
  std::vector<ReadResult> held;
  Result<AppendResult> appended = AppendResult{};
  while (true) {
    auto batch = make_batch({.records = 1, .value_bytes = 10'000});
    appended = log->append_as_leader(batch, 0, 1000);
    if (!appended) break;
    auto read = log->try_read({appended->first_offset, INT64_MAX, 20'000, true});
    EXPECT_TRUE(read.has_value() && read->has_value());
    held.push_back(std::move(**read));
  }
  EXPECT_EQ(appended.error().code, Errc::busy);
  co_await io::sleep_for(loop, seconds(10));
  // By now all is written; the tails let go of it, but the reader does not.
  auto batch = make_batch();
  EXPECT_EQ(log->append_as_leader(batch, 0, 1000).error().code, Errc::busy);
  EXPECT_FALSE((*shard)->journal().is_full());
  io::Scope waiting(loop);
  waiting.spawn(wait_for_room(*log, woken));
  co_await io::sleep_for(loop, seconds(10));
  EXPECT_EQ(woken, 0);
  (*shard)->journal().fence(Error{Errc::io, 0, "made to fail"});
  co_await waiting.join();
  EXPECT_TRUE(log->is_fenced());
  held.clear();
  EXPECT_FALSE((co_await (*shard)->stop()).has_value());
  (*shard).reset();
  (void)co_await (*directory)->close(loop, 1, false);
}

constexpr int kManyLogs = 64;
constexpr int kManyRounds = 200;

// Appends to each of many logs every 10 ms, more than their tails' memory or the journal holds.
io::Task<void> grow_many(io::sim::Process& process, LogDirectoryOptions options,
                         FlusherCounters& told, std::int64_t& bytes) {
  io::Loop& loop = process.loop();
  auto directory = co_await LogDirectory::open(loop, "/data", options);
  EXPECT_TRUE(directory.has_value());
  auto shard = co_await (*directory)
                   ->start_shard(
                       loop, [](const PartitionToOpen&) { return true; },
                       [](const PartitionToOpen&) { return LogConfig{}; });
  EXPECT_TRUE(shard.has_value());
  std::vector<PartitionLog*> logs;
  for (int i = 0; i < kManyLogs; ++i) {
    auto log = co_await (*shard)->open_or_create({"t", {{1, 1}, i}, LogConfig{}});
    EXPECT_TRUE(log.has_value());
    logs.push_back(*log);
  }
  BatchShape shape;
  shape.value_bytes = 1000;
  for (int round = 0; round < kManyRounds; ++round) {
    for (PartitionLog* log : logs) {
      auto batch = make_batch(shape);
      while (true) {
        const auto appended = log->append_as_leader(batch, 0, 1000);
        if (appended) break;
        EXPECT_EQ(appended.error().code, Errc::busy);
        co_await log->room().wait();
      }
      bytes += static_cast<std::int64_t>(batch.size());
    }
    co_await io::sleep_for(loop, milliseconds(10));
  }
  told = static_cast<LogShardImpl&>(**shard).flusher_counters();
  EXPECT_TRUE((co_await (*shard)->stop()).has_value());
  (*shard).reset();
  EXPECT_TRUE((co_await (*directory)->close(loop, 1, true)).has_value());
}

void put_identity(io::sim::Node& node) {
  const std::string meta =
      "#\nnode.id=1\nversion=1\ncluster.id=c\ndirectory.id=q4x9lwHTRwKFrQ69LT3_Sg\n";
  node.disk().put("/data/meta.properties", as_bytes(meta));
}

// Runs grow_many() in the simulator; how many bytes were appended.
std::int64_t grow_many_logs(const LogDirectoryOptions& options, FlusherCounters& told,
                            Duration sync = {}) {
  io::sim::World world(1, {});
  io::sim::Node& node = world.add_node();
  put_identity(node);
  if (sync.ns > 0) node.disk().options().sync_delay = {sync, sync};
  std::int64_t bytes = 0;
  node.start([&](io::sim::Process& process) { return grow_many(process, options, told, bytes); },
             1);
  world.run_until([&] { return !node.is_running(); }, seconds(60));
  EXPECT_FALSE(node.is_running());
  return bytes;
}

}  // namespace

TEST(LogDirectoryInSimulator, who_waits_for_room_in_the_tails_hears_of_a_failed_directory) {
  io::sim::World world(1, {});
  io::sim::Node& node = world.add_node();
  put_identity(node);
  int woken = 0;
  node.start([&](io::sim::Process& process) { return fail_with_full_tails(process, woken); }, 1);
  world.run_until([&] { return !node.is_running(); }, seconds(60));
  EXPECT_EQ(woken, 1);
  EXPECT_FALSE(node.is_running());
  if (node.is_running()) node.kill();
}

TEST(LogDirectoryInSimulator, a_stop_that_fails_lets_readers_end) {
  io::sim::World world(1, {});
  io::sim::Node& node = world.add_node();
  put_identity(node);
  bool has_read = false;
  node.start(
      [&](io::sim::Process& process) { return stop_under_reader(process, node.disk(), has_read); },
      1);
  world.run_until([&] { return !node.is_running(); }, seconds(60));
  EXPECT_FALSE(node.is_running());
}

// Files cannot be removed and made: the log that was cut in memory only is not written to, and the
// next start cuts its files.
TEST(LogDirectoryInSimulator, a_truncation_that_finds_no_space_is_finished_by_the_next_start) {
  io::sim::World world(1, {});
  io::sim::Node& node = world.add_node();
  put_identity(node);
  (void)life_of(world, node, [](PartitionLog& log) { return append_in_epoch(log, 1, 40); });
  const auto cut = [&node](PartitionLog& log) -> io::Task<void> {
    return [](PartitionLog& to_cut, io::sim::DiskOptions& disk) -> io::Task<void> {
      co_await append_in_epoch(to_cut, 2, 10);
      disk.name_no_space_one_in = 1;
      EXPECT_FALSE((co_await to_cut.truncate_fully_to(1000)).has_value());
      disk.name_no_space_one_in = 0;
      EXPECT_TRUE(to_cut.is_fenced());
    }(log, node.disk().options());
  };
  (void)life_of(world, node, cut);
  const FoundLog found = life_of(world, node, {});
  EXPECT_EQ(found.start, 1000);
  EXPECT_EQ(found.end, 1000);
}

TEST(LogDirectoryInSimulator, epochs_that_found_no_space_are_written_when_there_is_some) {
  io::sim::World world(1, {});
  io::sim::Node& node = world.add_node();
  put_identity(node);
  (void)life_of(world, node, [](PartitionLog& log) { return append_in_epoch(log, 1, 4); });
  const auto begin = [&node](PartitionLog& log) -> io::Task<void> {
    return [](PartitionLog& full, io::sim::DiskOptions& disk) -> io::Task<void> {
      disk.name_no_space_one_in = 1;
      co_await append_in_epoch(full, 7, 4);
      disk.name_no_space_one_in = 0;
      co_await append_in_epoch(full, 7, 4);
    }(log, node.disk().options());
  };
  EXPECT_EQ(life_of(world, node, begin).last_epoch, 7);
  const FoundLog found = life_of(world, node, {});
  EXPECT_EQ(found.end, 12);
  EXPECT_EQ(found.last_epoch, 7);
}

// Reads through many segments, so that their files stay open, and makes a partition when fewer
// files than these may be open.
io::Task<void> create_among_idle_files(io::sim::Process& process, io::sim::Node& node,
                                       bool& is_made) {
  io::Loop& loop = process.loop();
  auto directory = co_await LogDirectory::open(loop, "/data", small_directory());
  EXPECT_TRUE(directory.has_value());
  auto shard = co_await (*directory)
                   ->start_shard(
                       loop, [](const PartitionToOpen&) { return true; },
                       [](const PartitionToOpen&) { return small_segments(); });
  EXPECT_TRUE(shard.has_value());
  auto log = co_await (*shard)->open_or_create({"t", {{1, 1}, 0}, small_segments()});
  EXPECT_TRUE(log.has_value());
  for (int i = 0; i < 40; ++i) co_await append_in_epoch(**log, 1, 4);
  (void)co_await read_all(**log, 0, 4096);
  node.set_descriptors_max(6);
  const std::uint64_t refused = node.world().counters().descriptors_exhausted;
  is_made = (co_await (*shard)->open_or_create({"u", {{1, 2}, 0}, small_segments()})).has_value();
  EXPECT_GT(node.world().counters().descriptors_exhausted, refused);
  node.set_descriptors_max(1000);
  EXPECT_TRUE((co_await (*shard)->stop()).has_value());
  (*shard).reset();
  EXPECT_TRUE((co_await (*directory)->close(loop, 1, true)).has_value());
}

TEST(LogDirectoryInSimulator, files_that_nobody_uses_make_room_for_one_that_is_wanted) {
  io::sim::World world(1, {});
  io::sim::Node& node = world.add_node();
  put_identity(node);
  bool is_made = false;
  node.start(
      [&](io::sim::Process& process) { return create_among_idle_files(process, node, is_made); },
      1);
  world.run_until([&] { return !node.is_running(); }, seconds(60));
  EXPECT_TRUE(is_made);
  EXPECT_FALSE(node.is_running());
  if (node.is_running()) node.kill();
}

// Makes a partition while syncs fail, and again when they do not.
io::Task<void> create_twice(io::sim::Process& process, io::sim::DiskOptions& disk,
                            bool& was_refused, bool& has_ended) {
  io::Loop& loop = process.loop();
  auto directory = co_await LogDirectory::open(loop, "/data", small_directory());
  EXPECT_TRUE(directory.has_value());
  auto shard = co_await (*directory)
                   ->start_shard(
                       loop, [](const PartitionToOpen&) { return true; },
                       [](const PartitionToOpen&) { return LogConfig{}; });
  EXPECT_TRUE(shard.has_value());
  disk.sync_error_one_in = 1;
  auto log = co_await (*shard)->open_or_create({"t", {{1, 1}, 0}, LogConfig{}});
  EXPECT_FALSE(log.has_value());
  disk.sync_error_one_in = 0;
  log = co_await (*shard)->open_or_create({"t", {{1, 1}, 0}, LogConfig{}});
  was_refused = !log.has_value();
  if (log) co_await append_in_epoch(**log, 1, 4);
  has_ended = true;
  co_await io::sleep_for(loop, seconds(1000));
}

// The second one's syncs say nothing of the names that the first one's have lost.
TEST(LogDirectoryInSimulator, a_creation_whose_sync_failed_is_not_tried_again) {
  bool was_refused = false;
  for (std::uint64_t seed = 1; seed <= 20 && !HasFailure(); ++seed) {
    io::sim::World world(seed, {});
    io::sim::Node& node = world.add_node();
    put_identity(node);
    bool has_ended = false;
    node.start(
        [&](io::sim::Process& process) {
          return create_twice(process, node.disk().options(), was_refused, has_ended);
        },
        1);
    world.run_until([&] { return has_ended; }, seconds(60));
    ASSERT_TRUE(has_ended);
    node.power_cut();
    EXPECT_TRUE(was_refused || node.disk().exists("/data/t-0"))
        << "acknowledged records are lost, seed " << seed;
  }
  EXPECT_TRUE(was_refused);
}

struct Removal {
  bool waited = false;
  Result<void> outcome;
  bool was_fenced = false;
  bool has_ended = false;
};

// Removes a partition while names find no space for five seconds.
io::Task<void> remove_without_space(io::sim::Process& process, io::sim::DiskOptions& disk,
                                    Removal& seen) {
  io::Loop& loop = process.loop();
  auto directory = co_await LogDirectory::open(loop, "/data", small_directory());
  EXPECT_TRUE(directory.has_value());
  auto shard = co_await (*directory)
                   ->start_shard(
                       loop, [](const PartitionToOpen&) { return true; },
                       [](const PartitionToOpen&) { return LogConfig{}; });
  EXPECT_TRUE(shard.has_value());
  auto log = co_await (*shard)->open_or_create({"t", {{1, 1}, 0}, LogConfig{}});
  EXPECT_TRUE(log.has_value());
  co_await append_in_epoch(**log, 1, 4);
  io::Scope removing(loop);
  bool is_removed = false;
  disk.name_no_space_one_in = 1;
  removing.spawn([](LogShard& from, Removal& into, bool& ended) -> io::Task<void> {
    into.outcome = co_await from.remove({{1, 1}, 0});
    ended = true;
  }(**shard, seen, is_removed));
  co_await io::sleep_for(loop, milliseconds(20));
  seen.waited = !is_removed;
  disk.name_no_space_one_in = 0;
  co_await removing.join();
  seen.was_fenced = !(*shard)->accepts_writes();
  seen.has_ended = true;
  co_await io::sleep_for(loop, seconds(1000));
}

TEST(LogDirectoryInSimulator, a_removal_that_finds_no_space_is_finished_when_there_is_some) {
  io::sim::World world(1, {});
  io::sim::Node& node = world.add_node();
  put_identity(node);
  Removal seen;
  node.start(
      [&](io::sim::Process& process) {
        return remove_without_space(process, node.disk().options(), seen);
      },
      1);
  world.run_until([&] { return seen.has_ended; }, seconds(60));
  EXPECT_TRUE(seen.has_ended && seen.waited);
  EXPECT_TRUE(seen.outcome.has_value()) << seen.outcome.error().message();
  EXPECT_FALSE(seen.was_fenced);
  node.power_cut();
  for (const std::string& file : node.disk().files_below("/data"))
    EXPECT_FALSE(file.starts_with("/data/t-0/")) << file;
}

// Nothing of what the journal has still to write can be written: the stop does not wait for space.
TEST(LogDirectoryInSimulator, a_stop_on_a_full_disk_with_a_full_journal_ends) {
  io::sim::World world(1, {});
  io::sim::Node& node = world.add_node();
  put_identity(node);
  FullDisk full;
  const std::uint64_t capacity = node.disk().options().capacity_bytes;
  const auto fill = [&node, capacity] {
    node.disk().options().capacity_bytes = capacity - node.disk().free_space().available;
  };
  node.start([&](io::sim::Process& process) { return run_full(process, full, fill); }, 1);
  world.run_until([&] { return !node.is_running(); }, seconds(60));
  EXPECT_TRUE(full.is_full);
  EXPECT_TRUE(full.has_ended);
  ASSERT_FALSE(full.outcome.has_value());
  EXPECT_EQ(full.outcome.error().code, Errc::no_space) << full.outcome.error().message();
  if (node.is_running()) node.kill();
  node.disk().options().capacity_bytes = capacity;
  FullDisk next;
  node.start([&](io::sim::Process& process) { return run_full(process, next, {}); }, 1);
  world.run_until([&] { return !node.is_running(); }, seconds(60));
  EXPECT_TRUE(next.has_ended && next.outcome.has_value());
  EXPECT_GT(full.acknowledged, 0);
  EXPECT_GE(next.found, full.acknowledged);
}

TEST(LogDirectoryInSimulator, many_logs_share_the_memory_of_tails_in_large_pieces) {
  LogDirectoryOptions options;
  options.free_bytes_min = kMiB;
  options.tail_bytes_max = 4 * kMiB;
  options.idle_write_ms = 60'000;  // nothing is written because of its age
  FlusherCounters told;
  const std::int64_t bytes = grow_many_logs(options, told);
  // Three quarters of the memory, shared by all, were a piece of 48 KiB for each; who is written
  // next has twice as much.
  ASSERT_GT(told.pieces, 0u);
  const std::uint64_t piece = told.piece_bytes / told.pieces;
  EXPECT_GE(piece, 32 * kKiB);
  EXPECT_GE(static_cast<std::int64_t>(told.piece_bytes), bytes - options.tail_bytes_max);
}

TEST(LogDirectoryInSimulator, a_log_is_synced_once_for_each_half_of_a_journal) {
  LogDirectoryOptions options;
  options.free_bytes_min = kMiB;
  options.journal = {
      .file_bytes = kMiB, .first_file_bytes = kMiB, .bytes_max = 8 * kMiB, .group_bytes_max = kMiB};
  options.idle_write_ms = 60'000;
  FlusherCounters told;
  const std::int64_t bytes = grow_many_logs(options, told, milliseconds(12));
  const auto halves = static_cast<std::uint64_t>(bytes / (options.journal.bytes_max / 2));
  EXPECT_GE(told.pressed_syncs, (halves - 1) * kManyLogs);
  EXPECT_LE(told.syncs, halves * kManyLogs);
}

TEST(LogDirectoryInSimulator, a_log_that_grows_all_the_time_is_written_in_few_pieces) {
  io::sim::World world(1, {});
  io::sim::Node& node = world.add_node();
  put_identity(node);
  int growths = 0;
  int growths_at_end = 0;
  node.start(
      [&](io::sim::Process& process) {
        return grow_all_the_time(process, seconds(2), growths, growths_at_end);
      },
      1);
  world.run_until([&] { return !node.is_running(); }, seconds(60));
  EXPECT_FALSE(node.is_running());
  // Four times idle_write_ms is the age at which they go: five in two seconds.
  EXPECT_GE(growths, 3);
  EXPECT_LE(growths, 6);
  EXPECT_GT(growths_at_end, growths);
}

TEST(LogDirectoryInSimulator, nothing_acknowledged_is_lost_and_nothing_removed_comes_back) {
  const char* only = std::getenv("DRAVE_SEED");
  const std::uint64_t first = only != nullptr ? std::strtoull(only, nullptr, 10) : 1;
  const std::uint64_t last = only != nullptr ? first : 40;
  Totals all;
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed) + " (DRAVE_SEED)");
    Scenario scenario(seed);
    for (int life = 0; life < 8 && !::testing::Test::HasFailure(); ++life) scenario.live();
    if (!::testing::Test::HasFailure()) scenario.look();
    all.acknowledged += scenario.totals().acknowledged;
    all.truncated += scenario.totals().truncated;
    all.removed += scenario.totals().removed;
    all.recoveries += scenario.totals().recoveries;
    all.crashes += scenario.totals().crashes;
    EXPECT_EQ(scenario.world().counters().abandoned, 0U);
    if (::testing::Test::HasFailure()) break;
  }
  std::printf("acknowledged=%d truncated=%d removed=%d recoveries=%d crashes=%d\n",
              all.acknowledged, all.truncated, all.removed, all.recoveries, all.crashes);
  if (only == nullptr) {
    EXPECT_GE(all.acknowledged, 1000);
    EXPECT_GE(all.truncated, 20);
    EXPECT_GE(all.removed, 20);
    EXPECT_GE(all.crashes, 100);
  }
}

io::Task<void> format_once(io::sim::Process& process, bool& is_formatted) {
  const MetaProperties properties{1, "q4x9lwHTRwKFrQ69LT3_Sg", 1, Uuid{7, 1}};
  is_formatted = (co_await LogDirectory::format(process.loop(), "/data", properties)).has_value();
}

// The first attempt leaves the directory's name, which no later sync of what is below makes
// durable. The second one is another process.
TEST(LogDirectoryInSimulator, what_a_second_attempt_has_formatted_is_there_after_a_power_cut) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    io::sim::World world(seed);
    io::sim::Node& node = world.add_node();
    for (const std::uint32_t sync_error_one_in : {1U, 0U}) {
      node.disk().options().sync_error_one_in = sync_error_one_in;
      bool is_formatted = false;
      node.start([&](io::sim::Process& process) { return format_once(process, is_formatted); });
      world.run_until([&] { return !node.is_running(); }, seconds(10));
      ASSERT_EQ(is_formatted, sync_error_one_in == 0);
    }
    node.power_cut();
    EXPECT_TRUE(node.disk().exists("/data/meta.properties")) << "seed " << seed;
  }
}

}  // namespace drave::segments::testing
