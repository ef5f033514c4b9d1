#include "tools/sim/node/workload.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "io/descriptors.h"
#include "io/file.h"
#include "io/mailbox.h"
#include "io/scope.h"
#include "protocol/batch_builder.h"

namespace drave::simulation {

using io::Loop;
using io::Task;
using segments::LogShard;
using segments::PartitionLog;

namespace {

constexpr std::size_t kReadBytes = 48 * 1024;
constexpr std::size_t kLargeValueBytes = 50'000;

segments::LogDirectoryOptions directory_options() {
  segments::LogDirectoryOptions options;
  options.journal.file_bytes = 128 * kKiB;
  options.journal.first_file_bytes = 16 * kKiB;
  options.journal.bytes_max = kMiB;
  options.journal.group_bytes_max = 32 * kKiB;
  options.tail_bytes_max = 512 * kKiB;
  options.open_files_max = 16;
  options.idle_write_ms = 20;
  options.segment_piece_bytes = 32 * kKiB;
  options.free_bytes_min = 256 * kKiB;
  options.checkpoint_interval_ms = 100;
  return options;
}

std::uint32_t slot_of(const std::string& topic) {
  return static_cast<std::uint32_t>(std::stoul(topic.substr(1)));
}

}  // namespace

// One life of the process.
struct Workload::Boot {
  io::sim::Process& process;
  Workload& workload;
  std::uint64_t number;
  std::unique_ptr<segments::LogDirectory> directory;
  bool stopping = false;
  bool clean = true;
  bool left_alone = false;  // a partition could not be read, because of a fault
  std::string false_rot;    // what recovery took for rot without a reason
  std::uint32_t verified_shards = 0;

  bool is_over() const { return stopping || process.is_dead() || workload.violation(); }
  std::uint32_t shard_of(std::uint32_t slot) const {
    return static_cast<std::uint32_t>((slot + number) % process.shard_count());
  }
};

struct Workload::AckWaiter : segments::DurableWaiter {
  Workload* workload = nullptr;
  io::sim::Process* process = nullptr;
  PartitionModel* model = nullptr;
  std::uint64_t lineage = 0;

  static void notice(segments::DurableWaiter& waiter, bool failed) {
    auto& self = static_cast<AckWaiter&>(waiter);
    if (!failed && !self.process->is_dead() && self.model->lineage() == self.lineage) {
      self.model->acknowledged(self.wanted);
      ++self.workload->acknowledged_;
      ++self.workload->tally_["acknowledged"];
    }
    delete &self;
  }
};

Workload::Workload(std::uint64_t seed, std::uint32_t topic_count) : random_(seed) {
  for (std::uint32_t i = 0; i < topic_count; ++i) {
    slots_.push_back({"t" + std::to_string(i), i, nullptr});
  }
}

void Workload::violate(Violation violation) {
  if (!violation_) violation_ = std::move(violation);
}

void Workload::failed(Boot& boot, const std::string& what, const Error& error) {
  const bool runs = !boot.stopping && boot.verified_shards == boot.process.shard_count();
  boot.stopping = true;
  boot.clean = false;
  if (boot.process.is_dead()) return;
  ++tally_["failures"];
  LOG_DEBUG("sim", "failed what={} error={}", what, error.message());
  if (faulty_ && error.code != Errc::corrupt) return;
  if (starved_ && !runs && error.code != Errc::corrupt) return;
  violate({"operation-failed", what + ": " + error.message()});
}

segments::LogConfig Workload::config_of(const segments::PartitionToOpen& partition) const {
  segments::LogConfig config;
  config.segment_bytes = 16 * kKiB << slot_of(partition.topic) % 4;
  config.index_interval_bytes = 512;
  config.segment_index_bytes = 4 * kKiB;
  config.file_delete_delay_ms = 50;
  config.retention_ms = -1;
  return config;
}

// --- The life of the process

Task<Result<void>> Workload::format(Loop& loop) {
  segments::MetaProperties properties;
  properties.cluster_id = "simulated-cluster-id-x";
  properties.node_id = 1;
  properties.directory_id = Uuid{0x1234567890abcdef, 0xfedcba0987654321};
  auto formatted = co_await segments::LogDirectory::format(loop, kDataDirectory, properties);
  if (!formatted && formatted.error().code == Errc::already_exists) co_return Result<void>{};
  co_return std::move(formatted);
}

Task<void> Workload::run(io::sim::Process& process) {
  Boot boot{.process = process, .workload = *this, .number = ++boots_, .directory = nullptr};
  process.on_stop([&boot] {
    boot.stopping = true;
    for (std::uint32_t i = 0; i < boot.process.shard_count(); ++i)
      io::end_descriptor_waits(boot.process.loop(i));
  });
  Loop& loop = process.loop(0);
  if (auto formatted = co_await format(loop); !formatted) {
    failed(boot, "format", formatted.error());
    co_return;
  }
  auto opened = co_await segments::LogDirectory::open(loop, kDataDirectory, directory_options());
  if (!opened) {
    failed(boot, "open", opened.error());
    co_return;
  }
  boot.directory = std::move(*opened);
  LOG_DEBUG("sim", "opened boot={} clean={} groups={} entries={} torn={}", boot.number,
            boot.directory->recovery().was_clean,
            boot.directory->recovery().journal_groups_replayed,
            boot.directory->recovery().journal_entries_replayed,
            boot.directory->recovery().torn_bytes_cut);
  check_found(boot);
  if (!boot.is_over()) co_await run_shards(boot);
  auto closed =
      co_await boot.directory->close(loop, static_cast<std::int64_t>(boot.number), boot.clean);
  if (!closed) {
    failed(boot, "close", closed.error());
  } else if (boot.clean && !process.is_dead()) {
    ++tally_["clean_stops"];
    if (boot.verified_shards == process.shard_count()) acknowledged_all();
    LOG_DEBUG("sim", "stopped cleanly boot={}", boot.number);
  }
  boot.directory.reset();
}

// A clean stop leaves nothing behind that is not durable.
void Workload::acknowledged_all() {
  for (TopicSlot& slot : slots_) {
    if (slot.model != nullptr) slot.model->acknowledged(slot.model->end());
  }
}

Task<void> Workload::start_on_shard(Boot& boot, std::uint32_t shard) {
  co_await io::call_on(boot.process.loop(0), shard,
                       [at = &boot, shard] { return at->workload.run_shard(*at, shard); });
}

Task<void> Workload::run_shards(Boot& boot) {
  io::Scope scope(boot.process.loop(0));
  for (std::uint32_t shard = 0; shard < boot.process.shard_count(); ++shard) {
    scope.spawn(start_on_shard(boot, shard));
  }
  co_await scope.join();
}

Task<void> Workload::run_shard(Boot& boot, std::uint32_t shard) {
  Loop& loop = boot.process.loop(shard);
  auto started = co_await boot.directory->start_shard(
      loop,
      [&boot, shard](const segments::PartitionToOpen& partition) {
        return boot.shard_of(slot_of(partition.topic)) == shard;
      },
      [this](const segments::PartitionToOpen& partition) { return config_of(partition); });
  if (!started) {
    failed(boot, "start shard", started.error());
    co_return;
  }
  LogShard& logs = **started;
  co_await verify_shard(boot, shard, logs);
  const bool are_all_verified = ++boot.verified_shards == boot.process.shard_count();
  if (are_all_verified && !boot.is_over() && !boot.false_rot.empty()) {
    violate({"intact-record-refused", "recovery found rot where there is none: " + boot.false_rot});
  }
  if (are_all_verified && !boot.is_over()) {
    ++verified_boots_;
    ++tally_["recoveries"];
  }
  co_await work_on_shard(boot, shard, logs);
  if (auto stopped = co_await logs.stop(); !stopped) failed(boot, "stop shard", stopped.error());
  started->reset();
}

// Of who is told to stop nobody waits for descriptors any more.
Task<void> Workload::settle_when_over(Boot& boot, Loop& loop, LogShard& logs, const bool& ended) {
  while (!boot.is_over() && !ended) co_await io::sleep_for(loop, milliseconds(20));
  if (!ended) co_await logs.settle();
}

Task<void> Workload::work_on_shard(Boot& boot, std::uint32_t shard, LogShard& logs) {
  Loop& loop = boot.process.loop(shard);
  bool has_ended = false;
  io::Scope watch(loop);
  watch.spawn(settle_when_over(boot, loop, logs, has_ended));
  {
    io::Scope scope(loop);
    for (TopicSlot& slot : slots_) {
      if (boot.shard_of(slot.index) == shard) scope.spawn(work(boot, shard, slot, logs));
    }
    co_await scope.join();
  }
  has_ended = true;
  co_await watch.join();
}

// --- Checking

void Workload::check_found(Boot& boot) {
  const auto& recovery = boot.directory->recovery();
  // With read errors a partition may be left alone for this life; without, everything is there.
  boot.left_alone = faulty_ && !recovery.rotten.empty();
  if (boot.left_alone) ++tally_["left_alone"];
  if (!recovery.rotten.empty() && !faulty_ && !has_rot_ && !boot.process.is_dead()) {
    boot.false_rot = recovery.rotten.front().message();
  }
  for (const auto& partition : boot.directory->found()) {
    const TopicSlot& slot = slots_[slot_of(partition.topic)];
    if (slot.model != nullptr && slot.model->id() == partition.id) continue;
    violate({"deleted-partition-returned",
             fmt::format("{}-{} with id {} was found", partition.topic, partition.id.partition,
                         partition.id.topic_id.to_string())});
  }
}

Task<void> Workload::verify_shard(Boot& boot, std::uint32_t shard, LogShard& logs) {
  for (TopicSlot& slot : slots_) {
    if (boot.shard_of(slot.index) != shard || slot.model == nullptr) continue;
    if (boot.process.is_dead() || violation_) co_return;
    PartitionLog* log = logs.find(slot.model->id());
    if (log != nullptr) {
      co_await verify_log(boot, slot, *log);
      continue;
    }
    if (boot.left_alone) {
      boot.stopping = true;
      boot.clean = false;
      co_return;
    }
    if (slot.model->must_exist()) {
      violate({"acknowledged-record-lost", slot.model->text() + ": the partition is gone"});
      co_return;
    }
    removed_.insert(slot.model->id());
    slot.model = nullptr;
  }
}

Task<void> Workload::verify_log(Boot& boot, TopicSlot& slot, PartitionLog& log) {
  PartitionModel& model = *slot.model;
  const Offset start = log.log_start();
  const Offset end = log.end();
  LOG_DEBUG("sim", "recovered {} log=[{},{})", model.text(), start, end);
  // What is there and must not be says more than what is not there.
  auto wrong_bounds = model.check_bounds(start, end);
  const bool is_read = co_await read_through(boot, model, log, start, end);
  if (wrong_bounds && !boot.process.is_dead()) violate(std::move(*wrong_bounds));
  if (!is_read || violation_) co_return;
  model.settle(start, end);
  if (auto violation = model.check_producers(log.producers())) violate(std::move(*violation));
}

// Reads [from, to) and compares. False if the boot is over.
Task<bool> Workload::read_through(Boot& boot, const PartitionModel& model, PartitionLog& log,
                                  Offset from, Offset to) {
  for (Offset at = from; at < to && !boot.process.is_dead();) {
    segments::ReadRequest request;
    request.offset = at;
    request.end_limit = to;
    request.bytes_max = kReadBytes;
    request.at_least_one_batch = true;
    auto read = co_await log.read(request);
    if (boot.process.is_dead()) co_return false;
    if (!read) {
      if (read.error().code == Errc::out_of_range && at < log.log_start()) co_return true;
      if (read.error().code == Errc::corrupt && model.is_rotten(at)) {
        ++tally_["rot_refused"];
        at = model.find(at)->end;
        continue;
      }
      if (read.error().code == Errc::corrupt) {
        // What was acknowledged and can never be read is lost.
        violate({at < model.required_end() ? "acknowledged-record-lost" : "intact-record-refused",
                 model.text() + ": " + read.error().message()});
      } else {
        failed(boot, "read", read.error());
      }
      co_return false;
    }
    ++tally_["reads"];
    std::vector<std::uint8_t> bytes;
    for (const auto& piece : read->pieces) {
      bytes.insert(bytes.end(), piece.bytes().begin(), piece.bytes().end());
    }
    Offset next = at;
    if (auto violation = model.check_read(bytes, at, next)) {
      violate(std::move(*violation));
      co_return false;
    }
    if (next == at) {
      violate({"record-missing", model.text() + fmt::format(": nothing to read at {}", at)});
      co_return false;
    }
    at = next;
  }
  co_return !boot.process.is_dead();
}

// --- Rot

void Workload::rot(io::sim::Disk& disk) {
  TopicSlot& slot = slots_[random_.below(slots_.size())];
  if (slot.model == nullptr || !slot.model->must_exist()) return;
  const std::string directory = std::string(kDataDirectory) + "/" + slot.topic + "-0";
  if (!disk.exists(directory)) return;
  std::vector<std::string> paths = disk.files_below(directory);
  std::erase_if(paths, [](const std::string& path) { return !path.ends_with(".log"); });
  if (paths.empty()) return;
  const std::string& path = paths[random_.below(paths.size())];
  const std::vector<std::uint8_t> bytes = disk.content(path);
  struct Place {
    std::size_t begin;
    std::size_t end;
    Offset first;
  };
  std::vector<Place> places;
  for (std::size_t at = 0; at < bytes.size();) {
    const auto batch = protocol::parse_batch(ByteView(bytes).subspan(at));
    if (!batch || !batch->crc_matches()) break;
    const ModelBatch* known = slot.model->find(batch->base_offset());
    if (known == nullptr || known->first != batch->base_offset() ||
        !std::ranges::equal(batch->bytes(), known->bytes)) {
      break;
    }
    places.push_back({at, at + batch->size_bytes(), known->first});
    at += batch->size_bytes();
  }
  // What stands last cannot be told from a torn write.
  if (places.size() < 2) return;
  const Place& hit = places[random_.below(places.size() - 1)];
  const std::size_t sector =
      (hit.begin + random_.below(hit.end - hit.begin)) / io::sim::kSectorBytes;
  const std::size_t begin = sector * io::sim::kSectorBytes;
  if (begin + io::sim::kSectorBytes > places.back().begin) return;
  disk.rot(path, begin, random_);
  has_rot_ = true;
  ++tally_["rotten_sectors"];
  for (const Place& place : places) {
    if (place.end <= begin || place.begin >= begin + io::sim::kSectorBytes) continue;
    LOG_DEBUG("sim", "rot file={} sector={} first={}", path, sector, place.first);
    slot.model->rotted(place.first);
  }
}

// --- Working

Task<void> Workload::work(Boot& boot, std::uint32_t shard, TopicSlot& slot, LogShard& logs) {
  Loop& loop = boot.process.loop(shard);
  Random random(loop.backend().entropy());
  if (slot.model != nullptr) {
    if (PartitionLog* log = logs.find(slot.model->id()); log != nullptr) {
      log->begin_epoch(static_cast<LeaderEpoch>(boot.number));
    }
  }
  while (!boot.is_over()) {
    if (!co_await work_step(boot, loop, slot, logs, random)) break;
  }
}

// False: the boot is over.
Task<bool> Workload::work_step(Boot& boot, Loop& loop, TopicSlot& slot, LogShard& logs,
                               Random& random) {
  PartitionLog* log = slot.model == nullptr ? co_await create(boot, slot, logs, random)
                                            : logs.find(slot.model->id());
  if (log == nullptr) co_return false;
  PartitionModel& model = *slot.model;
  const std::uint64_t draw = random.below(100);
  if (draw < 60) {
    co_await append_some(boot, loop, slot, *log, random);
  } else if (draw < 75) {
    if (model.end() > log->log_start()) {
      const Offset from = random.between(log->log_start(), model.end());
      co_await read_through(boot, model, *log, from, std::min(from + 50, model.end()));
    }
  } else if (draw < 93) {
    co_await io::sleep_for(loop, microseconds(random.between(0, 40'000)));
  } else if (draw < 98) {
    co_await cut(boot, model, *log, random);
  } else if (draw < 99) {
    if (auto flushed = co_await log->flush(); !flushed) failed(boot, "flush", flushed.error());
  } else {
    co_await remove(boot, slot, logs);
  }
  co_return !boot.is_over();
}

Task<void> Workload::append_some(Boot& boot, Loop& loop, TopicSlot& slot, PartitionLog& log,
                                 Random& random) {
  PartitionModel& model = *slot.model;
  for (std::uint64_t left = 1 + random.below(6); left > 0 && !boot.is_over(); --left) {
    if (!append_one(boot, loop, model, log, random)) {
      co_await log.room().wait_until(loop.now() + milliseconds(20));
      co_return;
    }
  }
  if (random.one_in(2)) co_await io::yield(loop);
}

ModelBatch Workload::make_batch(PartitionModel& model, PartitionLog& log, Random& random,
                                TimestampMs now_ms) {
  ModelBatch batch;
  const auto known = model.producers();
  if (!known.empty() && random.below(20) != 0) {
    const ModelBatch& last =
        *model.last_of(known[random.below(std::min<std::size_t>(known.size(), 3))]);
    if (last.first >= log.log_start()) {
      batch.producer_id = last.producer_id;
      batch.first_sequence = protocol::sequence_after(last.last_sequence, 1);
    }
  }
  if (batch.producer_id < 0) {
    batch.producer_id = next_producer_id_++;
    batch.first_sequence = 0;
  }
  const auto records = static_cast<std::int32_t>(1 + random.below(3));
  batch.last_sequence = protocol::sequence_after(batch.first_sequence, records - 1);
  protocol::BatchOptions options;
  options.producer_id = batch.producer_id;
  options.producer_epoch = 0;
  options.base_sequence = batch.first_sequence;
  protocol::BatchBuilder builder(options);
  for (std::int32_t i = 0; i < records; ++i) {
    const std::size_t size =
        random.one_in(60) ? random.below(kLargeValueBytes) : random.below(1200);
    std::vector<std::uint8_t> value(size + 16);
    for (std::size_t at = 0; at + 8 <= value.size(); at += 8) {
      const std::uint64_t noise = random.next();
      std::memcpy(value.data() + at, &noise, 8);
    }
    builder.append(now_ms, std::nullopt, ByteView(value));
  }
  batch.end = records;
  batch.bytes = std::move(builder).finish();
  return batch;
}

// False: there is no room now.
bool Workload::append_one(Boot& boot, Loop& loop, PartitionModel& model, PartitionLog& log,
                          Random& random) {
  const TimestampMs now_ms = loop.wall_now();
  ModelBatch batch = make_batch(model, log, random, now_ms);
  segments::ProducerBatch produced;
  produced.producer_id = batch.producer_id;
  produced.epoch = 0;
  produced.first_sequence = batch.first_sequence;
  produced.last_sequence = batch.last_sequence;
  produced.timestamp = now_ms;
  const auto check = log.check_sequence(produced);
  if (check.verdict != segments::SequenceVerdict::accept) {
    violate({"producer-state-wrong",
             model.text() + ": the next batch of a producer is refused: " + check.message});
    return true;
  }
  auto appended = log.append_as_leader(batch.bytes, static_cast<LeaderEpoch>(boot.number), now_ms);
  if (!appended) {
    if (appended.error().code == Errc::busy || appended.error().code == Errc::no_space) {
      ++tally_["busy"];
      return false;
    }
    failed(boot, "append", appended.error());
    return true;
  }
  batch.first = appended->first_offset;
  batch.end = appended->end_offset;
  if (batch.first != model.end()) {
    violate({"offset-gap", model.text() + fmt::format(": appended at {}", batch.first)});
    return true;
  }
  const Offset end = batch.end;
  model.appended(std::move(batch));
  ++tally_["appended"];
  auto* waiter = new AckWaiter;
  waiter->workload = this;
  waiter->process = &boot.process;
  waiter->model = &model;
  waiter->lineage = model.lineage();
  waiter->wanted = end;
  waiter->done = &AckWaiter::notice;
  log.when_durable(*waiter);
  return true;
}

Task<void> Workload::cut(Boot& boot, PartitionModel& model, PartitionLog& log, Random& random) {
  if (model.end() == log.log_start()) co_return;
  const Offset somewhere = random.between(log.log_start(), model.end());
  const ModelBatch* batch = model.find(somewhere);
  const Offset boundary = batch->first;
  Result<void> done;
  switch (random.below(4)) {
    case 0:
    case 1:
      // A cut beside rot could take rot away with it.
      if (model.is_rotten(boundary) || model.is_rotten(boundary - 1)) co_return;
      LOG_DEBUG("sim", "truncate {} to={}", model.text(), somewhere);
      // The batch goes that holds the offset, though a part of it may be deleted already.
      model.truncate_began(std::max(boundary, log.log_start()));
      done = co_await log.truncate_to(somewhere);
      if (done && !boot.process.is_dead()) {
        model.truncate_ended();
        ++tally_["truncations"];
      }
      break;
    case 2:
      LOG_DEBUG("sim", "delete_records {} to={}", model.text(), somewhere);
      model.start_began(somewhere);
      done = co_await log.advance_log_start(somewhere);
      if (done && !boot.process.is_dead()) {
        model.start_ended(somewhere);
        ++tally_["record_deletions"];
      }
      break;
    default: {
      if (!random.one_in(4)) co_return;
      const Offset to = model.end() + random.between(0, 100);
      LOG_DEBUG("sim", "restart {} to={}", model.text(), to);
      model.restart_began(to);
      done = co_await log.truncate_fully_to(to);
      if (done && !boot.process.is_dead()) {
        model.restart_ended();
        ++tally_["full_truncations"];
      }
    }
  }
  LOG_DEBUG("sim", "cut {} ok={}", model.text(), done.has_value());
  if (!done) failed(boot, "cut", done.error());
}

Task<void> Workload::remove(Boot& boot, TopicSlot& slot, LogShard& logs) {
  LOG_DEBUG("sim", "remove {}", slot.model->text());
  slot.model->remove_began();
  auto removed = co_await logs.remove(slot.model->id());
  if (!removed) {
    failed(boot, "remove", removed.error());
    co_return;
  }
  if (boot.process.is_dead()) co_return;
  LOG_DEBUG("sim", "removed {}", slot.model->text());
  ++tally_["deleted_partitions"];
  removed_.insert(slot.model->id());
  slot.last = slot.model;
  slot.model = nullptr;
}

Task<PartitionLog*> Workload::create(Boot& boot, TopicSlot& slot, LogShard& logs, Random& random) {
  segments::PartitionToOpen partition;
  partition.topic = slot.topic;
  partition.id = {Uuid::from_random(random.next(), random.next()), 0};
  const PartitionModel* last = std::exchange(slot.last, nullptr);
  if (last != nullptr && random.one_in(2)) {
    partition.id = last->id();
    removed_.erase(partition.id);
    models_.push_back(std::make_unique<PartitionModel>(last->made_again()));
    ++tally_["made_again"];
  } else {
    models_.push_back(std::make_unique<PartitionModel>(slot.topic, partition.id));
  }
  partition.config = config_of(partition);
  slot.model = models_.back().get();
  LOG_DEBUG("sim", "create {}", slot.model->text());
  auto created = co_await logs.open_or_create(partition);
  // A broker tries again as long as the directory takes writes.
  if (!created && faulty_ && logs.accepts_writes() && !boot.is_over()) {
    ++tally_["creations_tried_again"];
    LOG_DEBUG("sim", "create again {} error={}", slot.model->text(), created.error().message());
    created = co_await logs.open_or_create(partition);
  }
  if (!created) {
    failed(boot, "create", created.error());
    co_return nullptr;
  }
  (*created)->begin_epoch(static_cast<LeaderEpoch>(boot.number));
  ++tally_["created_partitions"];
  co_return *created;
}

}  // namespace drave::simulation
