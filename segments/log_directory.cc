#include "segments/log_directory.h"

#include <fmt/format.h>

#include <cerrno>

#include "base/log.h"
#include "io/file.h"
#include "io/mailbox.h"
#include "segments/log_directory_impl.h"

namespace drave::segments {
namespace {

std::vector<std::uint8_t> to_bytes(std::string_view text) {
  return {text.begin(), text.end()};
}

void move_offset(OffsetCheckpoint& from, OffsetCheckpoint& to, const TopicPartitionName& name) {
  const auto at = from.find(name);
  if (at == from.end()) return;
  to[name] = at->second;
  from.erase(at);
}

}  // namespace

LogDirectoryImpl::LogDirectoryImpl(io::Loop& loop, std::string path, LogDirectoryOptions options)
    : home_(loop),
      path_(std::move(path)),
      options_(std::move(options)),
      tails_(loop, options_.tail_bytes_max),
      files_(loop, 0),  // nothing stays open when logs move to their shards
      scope_(loop),
      name_sync_(loop),
      checkpoint_writing_(loop) {}

LogDirectoryImpl::~LogDirectoryImpl() = default;

io::Task<Result<std::unique_ptr<LogDirectory>>> LogDirectory::open(io::Loop& loop, std::string path,
                                                                   LogDirectoryOptions options) {
  auto directory = std::make_unique<LogDirectoryImpl>(loop, std::move(path), std::move(options));
  CO_TRY_VOID(co_await directory->recover());
  co_return std::unique_ptr<LogDirectory>(std::move(directory));
}

io::Task<Result<void>> LogDirectory::format(io::Loop& loop, std::string path,
                                            MetaProperties properties) {
  CO_TRY_VOID(co_await io::make_directories(loop, path));
  // Its own name may be left of an attempt whose sync failed, and everything below would go with
  // it. A parent that may not be read was made, as the directory was, by somebody else.
  const Result<void> named = co_await io::sync_name(loop, path);
  if (!named && named.error().system != EACCES) co_return named;
  std::string file = io::join_path(path, kMetaPropertiesName);
  auto there = co_await io::status(loop, file);
  if (there) co_return failure(Errc::already_exists, path + " is formatted already");
  if (there.error().code != Errc::not_found) co_return std::unexpected(std::move(there).error());
  co_return co_await io::replace_file(
      loop, std::move(file), to_bytes(encode_meta_properties(properties, loop.wall_now())));
}

io::Task<Result<MetaProperties>> LogDirectory::read_meta_properties(io::Loop& loop,
                                                                    std::string path) {
  auto content = co_await io::read_file(loop, io::join_path(path, kMetaPropertiesName));
  if (!content) {
    if (content.error().code == Errc::not_found)
      content.error().context = path + " has no meta.properties: format it first (drave format)";
    co_return std::unexpected(std::move(content).error());
  }
  auto properties = decode_meta_properties(as_text(*content));
  if (!properties) properties.error().context = path + ": " + properties.error().context;
  co_return properties;
}

// --- Handing logs to shards

io::Task<Result<std::vector<LogDirectoryImpl::LogPointer>>> LogDirectoryImpl::take_logs(
    LogShardImpl& shard, std::function<bool(const PartitionToOpen&)> is_mine,
    std::function<LogConfig(const PartitionToOpen&)> config_of) {
  std::vector<LogPointer> taken;
  for (std::size_t i = 0; i < found_.size(); ++i) {
    const PartitionToOpen& partition = found_[i];
    const auto at = recovered_.find(partition.id);
    if (at == recovered_.end() || partition.id.topic_id == kMetadataTopicId || !is_mine(partition))
      continue;
    LogPointer log = std::move(at->second);
    recovered_.erase(at);
    const TopicPartitionName name{partition.topic, partition.id.partition};
    // From one share to the other: no file may lack the partition in between.
    CheckpointPart& from = parts_[kRecoveredPart];
    CheckpointPart& to = parts_[shard.part()];
    move_offset(from.recovery_points, to.recovery_points, name);
    move_offset(from.log_starts, to.log_starts, name);
    move_offset(from.high_watermarks, to.high_watermarks, name);
    log->set_config(config_of(partition));
    CO_TRY_VOID(co_await log->attach(shard.services()));
    taken.push_back(std::move(log));
  }
  note_started(shard.link());
  co_return taken;
}

io::Task<Result<std::unique_ptr<LogShard>>> LogDirectoryImpl::start_shard(
    io::Loop& loop, std::function<bool(const PartitionToOpen&)> is_mine,
    std::function<LogConfig(const PartitionToOpen&)> config_of) {
  auto shard =
      std::make_unique<LogShardImpl>(loop, *this, static_cast<int>(loop.shard()) + 1, true);
  CO_TRY_VOID(
      co_await shard->start_journal(fmt::format("journal-{}", loop.shard()), options_.journal));
  // Attached on the home loop, which holds their open files until then.
  auto taken = co_await io::call_on(
      loop, home_shard(),
      [this, to = shard.get(), is_mine = std::move(is_mine), config_of = std::move(config_of)] {
        return take_logs(*to, is_mine, config_of);
      });
  shard->start(taken ? std::move(*taken) : std::vector<LogPointer>());
  if (!taken) {
    [[maybe_unused]] auto stopped = co_await shard->stop();
    co_return std::unexpected(std::move(taken).error());
  }
  co_return std::unique_ptr<LogShard>(std::move(shard));
}

io::Task<Result<std::unique_ptr<LogShard>>> LogDirectoryImpl::start_metadata_shard(
    io::Loop& loop, LogConfig config) {
  ASSERT_EQUAL(loop.shard(), home_shard());
  auto shard = std::make_unique<LogShardImpl>(loop, *this, kMetadataPart, false);
  CO_TRY_VOID(co_await shard->start_journal("journal-metadata", options_.metadata_journal));
  const TopicIdPartition id{kMetadataTopicId, 0};
  std::vector<LogPointer> logs;
  Result<void> attached;
  if (const auto at = recovered_.find(id); at != recovered_.end()) {
    logs.push_back(std::move(at->second));
    recovered_.erase(at);
    logs.back()->set_config(config);
    attached = co_await logs.back()->attach(shard->services());
  }
  note_started(shard->link());
  shard->start(attached ? std::move(logs) : std::vector<LogPointer>());
  if (attached) {
    auto opened = co_await shard->open_or_create({std::string(kMetadataTopic), id, config});
    attached = opened ? co_await mark_metadata_log() : std::unexpected(std::move(opened).error());
  }
  if (!attached) {
    [[maybe_unused]] auto stopped = co_await shard->stop();
    co_return std::unexpected(std::move(attached).error());
  }
  co_return std::unique_ptr<LogShard>(std::move(shard));
}

std::optional<Offset> LogDirectoryImpl::high_watermark(const std::string& topic,
                                                       PartitionIndex partition) const {
  const auto at = found_offsets_.high_watermarks.find({topic, partition});
  if (at == found_offsets_.high_watermarks.end()) return std::nullopt;
  return at->second;
}

io::Task<Result<void>> LogDirectoryImpl::set_stray(io::Loop& loop, TopicIdPartition id) {
  ASSERT_EQUAL(loop.shard(), home_shard());
  const auto at = recovered_.find(id);
  if (at == recovered_.end()) co_return failure(Errc::not_found, "no such partition here");
  LogPointer log = std::move(at->second);
  recovered_.erase(at);
  const std::string topic = log->topic();
  const std::string path = log->path();
  CO_TRY_VOID(co_await log->close());
  log.reset();
  std::string renamed = path_of(renamed_directory_name(topic, id.partition, draw_uuid(), "stray"));
  LOG_WARN("segments", "{} is not to be served: kept as {}", path, renamed);
  CO_TRY_VOID(co_await io::rename(home_, path, std::move(renamed)));
  CO_TRY_VOID(co_await sync_names());
  std::erase_if(found_, [&id](const PartitionToOpen& partition) { return partition.id == id; });
  co_return co_await drop_from_checkpoints(kRecoveredPart, {topic, id.partition});
}

Uuid LogDirectoryImpl::draw_uuid() {
  return Uuid::from_random(home_.backend().entropy(), home_.backend().entropy());
}

// --- What shards ask for

io::Task<Result<void>> LogDirectoryImpl::share(Shared& shared, SharedWork work) {
  const std::uint64_t ticket = ++shared.asked;
  while (shared.finished < ticket) {
    if (shared.is_running) {
      co_await shared.done.wait();
      continue;
    }
    shared.is_running = true;
    const std::uint64_t from = shared.finished;
    const std::uint64_t upto = shared.asked;
    auto outcome = co_await (this->*work)();
    shared.is_running = false;
    shared.finished = upto;
    if (!outcome) {
      shared.failed_from = from;
      shared.failed_to = upto;
      shared.error = std::move(outcome).error();
    }
    shared.done.wake_all();
  }
  if (ticket > shared.failed_from && ticket <= shared.failed_to)
    co_return std::unexpected(shared.error);
  co_return Result<void>{};
}

io::Task<Result<void>> LogDirectoryImpl::sync_path() {
  return io::sync_directory(home_, path_);
}

io::Task<Result<void>> LogDirectoryImpl::sync_names() {
  return share(name_sync_, &LogDirectoryImpl::sync_path);
}

io::Task<Result<void>> LogDirectoryImpl::checkpoint(int part, CheckpointPart offsets) {
  parts_[part] = std::move(offsets);
  return share(checkpoint_writing_, &LogDirectoryImpl::write_checkpoints);
}

io::Task<Result<void>> LogDirectoryImpl::drop_from_checkpoints(int part, TopicPartitionName name) {
  CheckpointPart& of = parts_[part];
  of.recovery_points.erase(name);
  of.log_starts.erase(name);
  of.high_watermarks.erase(name);
  if (!checkpoint_writing_.is_running && !written_.recovery_points.contains(name) &&
      !written_.log_starts.contains(name) && !written_.high_watermarks.contains(name))
    co_return Result<void>{};
  co_return co_await share(checkpoint_writing_, &LogDirectoryImpl::write_checkpoints);
}

io::Task<Result<void>> LogDirectoryImpl::write_checkpoints() {
  CheckpointPart all;
  for (const auto& [number, part] : parts_) {
    for (const auto& [name, offset] : part.recovery_points) all.recovery_points[name] = offset;
    for (const auto& [name, offset] : part.log_starts) all.log_starts[name] = offset;
    for (const auto& [name, offset] : part.high_watermarks) all.high_watermarks[name] = offset;
  }
  CO_TRY_VOID(co_await write_checkpoint(kLogStartName, all.log_starts, written_.log_starts));
  CO_TRY_VOID(
      co_await write_checkpoint(kRecoveryPointName, all.recovery_points, written_.recovery_points));
  co_return co_await write_checkpoint(kHighWatermarkName, all.high_watermarks,
                                      written_.high_watermarks);
}

io::Task<Result<void>> LogDirectoryImpl::write_checkpoint(std::string_view name,
                                                          const OffsetCheckpoint& wanted,
                                                          OffsetCheckpoint& written) {
  if (wanted == written) co_return Result<void>{};
  CO_TRY_VOID(
      co_await io::replace_file(home_, path_of(name), to_bytes(encode_offset_checkpoint(wanted))));
  written = wanted;
  co_return Result<void>{};
}

void LogDirectoryImpl::note_started(std::shared_ptr<ShardLink> link) {
  shards_.push_back(std::move(link));
}

void LogDirectoryImpl::note_stopped(const std::shared_ptr<ShardLink>& link, bool clean) {
  std::erase(shards_, link);
  all_clean_ = all_clean_ && clean;
}

void LogDirectoryImpl::fence(Error error) {
  if (fenced_) return;
  fenced_ = true;
  fence_reason_ = std::move(error);
  scope_.spawn(tell_failed());
}

io::Task<void> LogDirectoryImpl::tell_failed() {
  if (options_.on_failed) options_.on_failed(fence_reason_);
  const std::vector<std::shared_ptr<ShardLink>> shards = shards_;
  for (std::size_t i = 0; i < shards.size(); ++i) co_await tell_shard(shards[i]);
}

io::Task<void> LogDirectoryImpl::tell_shard(std::shared_ptr<ShardLink> link) {
  const std::uint32_t number = link->number;
  co_await io::call_on(home_, number, [link = std::move(link), error = fence_reason_] {
    if (link->shard != nullptr) link->shard->fence(error);
  });
}

// --- The end

io::Task<Result<void>> LogDirectoryImpl::close(io::Loop& loop, std::int64_t broker_epoch,
                                               bool clean) {
  ASSERT_EQUAL(loop.shard(), home_shard());
  ASSERT(shards_.empty());
  co_await scope_.join();
  Result<void> outcome;
  if (fenced_) outcome = std::unexpected(fence_reason_);
  while (!recovered_.empty()) {
    auto closed = co_await recovered_.begin()->second->close();
    if (outcome) outcome = std::move(closed);
    recovered_.erase(recovered_.begin());
  }
  if (clean && all_clean_ && outcome) {
    outcome = co_await write_checkpoints();
    if (outcome) outcome = co_await unmark_metadata_log();
    if (outcome) outcome = co_await io::remove_tree(home_, path_of(kJournalDirtyName));
    if (outcome) outcome = co_await sync_path();
    if (outcome)
      outcome = co_await io::replace_file(home_, path_of(kCleanShutdownName),
                                          to_bytes(encode_clean_shutdown(broker_epoch)));
  }
  auto unlocked = co_await lock_.close();
  co_return outcome ? std::move(unlocked) : std::move(outcome);
}

}  // namespace drave::segments
