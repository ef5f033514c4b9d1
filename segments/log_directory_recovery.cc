// How a log directory comes up. Each step may be interrupted and repeated: nothing that the
// journals hold is removed before it is in synced segments, and nothing is believed clean while it
// changes.

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "segments/log_directory_impl.h"
#include "segments/partition_metadata.h"

namespace drave::segments {
namespace {

// A process that was killed may hold its lock until its last disk request has ended.
constexpr int kLockTries = 20;
constexpr Duration kLockPause = milliseconds(50);
constexpr std::int64_t kLogsAtOnce = 8;

}  // namespace

io::Task<Result<void>> LogDirectoryImpl::recover() {
  CO_TRY(meta_, co_await read_meta_properties(home_, path_));
  CO_TRY_VOID(co_await lock());
  CO_TRY_VOID(co_await begin_recovery());
  CO_TRY_VOID(co_await read_checkpoints());
  CO_TRY_VOID(co_await list_partitions());
  CO_TRY_VOID(co_await name_partitions());
  CO_TRY_VOID(co_await open_logs());
  CO_TRY_VOID(co_await replay_journals(home_, scanned_, *this));
  CO_TRY_VOID(co_await finish_replay());
  // Log starts that only the journal knew must be on disk before it goes.
  parts_[kRecoveredPart] = part_of_recovered();
  CO_TRY_VOID(co_await write_checkpoints());
  CO_TRY_VOID(co_await remove_journals(home_, path_, scanned_));
  if (!report_.was_clean) {
    LOG_INFO("segments",
             "directory={} recovered: logs={} journal_groups={} journal_entries={} "
             "torn_bytes_cut={} rotten={}",
             path_, report_.logs, report_.journal_groups_replayed, report_.journal_entries_replayed,
             report_.torn_bytes_cut, report_.rotten.size());
  }
  for (const Error& error : report_.rotten)
    LOG_ERROR("segments", "rot was found: {}", error.message());
  scanned_ = {};
  co_return Result<void>{};
}

io::Task<Result<void>> LogDirectoryImpl::lock() {
  io::OpenOptions how;
  how.write = true;
  how.create = true;
  CO_TRY(lock_, co_await io::File::open(home_, path_of(kLockName), how));
  Result<void> locked;
  for (int i = 0; i < kLockTries; ++i) {
    locked = co_await lock_.lock();
    if (locked || locked.error().code != Errc::locked) break;
    co_await io::sleep_for(home_, kLockPause);
  }
  if (!locked && locked.error().code == Errc::locked)
    locked.error().context = path_ + " is in use by another process";
  co_return locked;
}

// From here on the directory is not clean any more, and Kafka refuses to start on it.
io::Task<Result<void>> LogDirectoryImpl::begin_recovery() {
  auto marker = co_await io::read_file(home_, path_of(kCleanShutdownName));
  std::optional<std::int64_t> epoch;
  if (marker) epoch = decode_clean_shutdown(as_text(*marker));
  was_dirty_ = (co_await io::status(home_, path_of(kJournalDirtyName))).has_value();
  CO_TRY(scanned_, co_await scan_journals(home_, path_));
  report_.was_clean = epoch.has_value() && !was_dirty_ && scanned_.entries == 0;
  if (report_.was_clean) clean_shutdown_epoch_ = *epoch;
  report_.journal_groups_replayed = scanned_.groups;
  report_.torn_bytes_cut = scanned_.torn_bytes;
  report_.rotten = scanned_.rotten;
  CO_TRY_VOID(co_await io::make_directories(home_, path_of(kJournalDirtyName)));
  CO_TRY_VOID(co_await mark_metadata_log());
  if (marker) CO_TRY_VOID(co_await io::unlink(home_, path_of(kCleanShutdownName)));
  co_return co_await sync_path();
}

std::string LogDirectoryImpl::metadata_log_mark() const {
  return io::join_path(path_of(partition_directory_name(kMetadataTopic, 0)), kMetadataLogDirtyName);
}

// Once there is such a log.
io::Task<Result<void>> LogDirectoryImpl::mark_metadata_log() {
  const std::string log = path_of(partition_directory_name(kMetadataTopic, 0));
  if (!(co_await io::status(home_, log)).has_value()) co_return Result<void>{};
  if ((co_await io::status(home_, metadata_log_mark())).has_value()) co_return Result<void>{};
  co_return co_await io::replace_file(home_, metadata_log_mark(), {});
}

// Durable on return: a mark that came back would keep Kafka from a clean directory.
io::Task<Result<void>> LogDirectoryImpl::unmark_metadata_log() {
  if (!(co_await io::status(home_, metadata_log_mark())).has_value()) co_return Result<void>{};
  CO_TRY_VOID(co_await io::unlink(home_, metadata_log_mark()));
  co_return co_await io::sync_directory(home_,
                                        path_of(partition_directory_name(kMetadataTopic, 0)));
}

io::Task<Result<OffsetCheckpoint>> LogDirectoryImpl::read_checkpoint(std::string_view name) {
  auto content = co_await io::read_file(home_, path_of(name));
  if (!content) {
    if (content.error().code == Errc::not_found) co_return OffsetCheckpoint{};
    co_return std::unexpected(std::move(content).error());
  }
  auto decoded = decode_offset_checkpoint(as_text(*content));
  if (decoded) co_return decoded;
  // Recovery does without: it looks at more bytes, and log starts fall back to the first segment.
  report_.rotten.push_back(Error{Errc::corrupt, 0, path_of(name) + ": " + decoded.error().context});
  co_return OffsetCheckpoint{};
}

io::Task<Result<void>> LogDirectoryImpl::read_checkpoints() {
  CO_TRY(found_offsets_.recovery_points, co_await read_checkpoint(kRecoveryPointName));
  CO_TRY(found_offsets_.log_starts, co_await read_checkpoint(kLogStartName));
  CO_TRY(found_offsets_.high_watermarks, co_await read_checkpoint(kHighWatermarkName));
  written_ = found_offsets_;
  co_return Result<void>{};
}

io::Task<Result<void>> LogDirectoryImpl::remove_directory(std::string path, std::string_view topic,
                                                          PartitionIndex partition) {
  std::string doomed = path_of(renamed_directory_name(topic, partition, draw_uuid(), "delete"));
  CO_TRY_VOID(co_await io::rename(home_, std::move(path), doomed));
  CO_TRY_VOID(co_await sync_path());
  co_return co_await io::remove_tree(home_, std::move(doomed));
}

io::Task<Result<void>> LogDirectoryImpl::list_partitions() {
  CO_TRY(const auto entries, co_await io::list_directory(home_, path_));
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const std::string& name = entries[i].name;
    if (!entries[i].is_directory || name == kJournalDirtyName) continue;
    PartitionDirectoryName parsed = parse_partition_directory(name);
    switch (parsed.kind) {
      case DirectoryKind::partition:
        CO_TRY_VOID(co_await take_partition(std::move(parsed), path_of(name)));
        break;
      case DirectoryKind::deleted:
        CO_TRY_VOID(co_await io::remove_tree(home_, path_of(name)));
        break;
      case DirectoryKind::future:
      case DirectoryKind::stray:
      case DirectoryKind::other: report_.ignored.push_back(name); break;
    }
  }
  co_return Result<void>{};
}

io::Task<Result<void>> LogDirectoryImpl::take_partition(PartitionDirectoryName name,
                                                        std::string directory) {
  auto topic_id = co_await read_partition_metadata(home_, directory);
  if (name.topic == kMetadataTopic) topic_id = kMetadataTopicId;
  // Left alone, it would lose what the journals have of it. A disk that does not answer now may
  // answer the next start.
  if (!topic_id && (topic_id.error().code == Errc::io || topic_id.error().code == Errc::busy))
    co_return std::unexpected(topic_id.error());
  if (!topic_id) {
    CO_TRY(const auto entries, co_await io::list_directory(home_, directory));
    const bool has_data = std::any_of(entries.begin(), entries.end(), [](const auto& entry) {
      return entry.name.ends_with(".log");
    });
    nameless_.push_back({std::move(name), std::move(directory), topic_id.error(), has_data});
    co_return Result<void>{};
  }
  const TopicIdPartition id{*topic_id, name.partition};
  const auto scanned = scanned_.partitions.find(id);
  if (scanned != scanned_.partitions.end() && scanned->second.is_removed)
    co_return co_await remove_directory(directory, name.topic, name.partition);
  // Its names may be those of a creation that a failed sync ended: what is kept in it from now on
  // is to be found under them after the next power cut, too.
  if (!report_.was_clean) CO_TRY_VOID(co_await io::sync_directory(home_, directory));
  found_.push_back({std::move(name.topic), id, LogConfig{}});
  co_return Result<void>{};
}

// What the journals have of partitions that no directory is known to be of, by their numbers.
std::multimap<PartitionIndex, TopicIdPartition> LogDirectoryImpl::homeless_partitions() const {
  std::multimap<PartitionIndex, TopicIdPartition> homeless;
  for (const auto& [id, partition] : scanned_.partitions) {
    if (partition.is_removed || id.topic_id == kMetadataTopicId) continue;
    const bool has_home = std::any_of(found_.begin(), found_.end(),
                                      [&id](const PartitionToOpen& one) { return one.id == id; });
    if (!has_home) homeless.emplace(id.partition, id);
  }
  return homeless;
}

// A directory is durable before a journal has anything of its partition. So where one directory of
// some number has no readable id, and the journals have one partition of that number without a
// directory, they belong together. With more of either there is no telling: the journals are kept.
io::Task<Result<void>> LogDirectoryImpl::name_partitions() {
  std::map<PartitionIndex, int> nameless_count;
  for (const Nameless& nameless : nameless_) ++nameless_count[nameless.name.partition];
  const auto homeless = homeless_partitions();
  bool keep_journals = false;
  for (std::size_t i = 0; i < nameless_.size(); ++i) {
    const Nameless& nameless = nameless_[i];
    const PartitionIndex number = nameless.name.partition;
    const bool is_foreign = nameless.why.code == Errc::unsupported;
    if (!is_foreign && nameless_count[number] == 1 && homeless.count(number) == 1) {
      CO_TRY_VOID(co_await name_partition(nameless, homeless.find(number)->second));
      continue;
    }
    // A crash while it was being made leaves nothing; anything else is not ours to judge.
    if (nameless.why.code == Errc::not_found && !nameless.has_data && homeless.count(number) == 0) {
      CO_TRY_VOID(co_await remove_directory(nameless.directory, nameless.name.topic, number));
      continue;
    }
    report_.rotten.push_back(
        Error{Errc::corrupt, 0, nameless.directory + " is left alone: " + nameless.why.message()});
    report_.ignored.push_back(partition_directory_name(nameless.name.topic, number));
    for (auto [at, end] = homeless.equal_range(number); at != end; ++at) {
      keep_journals = true;
      report_.rotten.push_back(
          Error{Errc::corrupt, 0,
                fmt::format("{}: the journals have records of topic id {} partition {}, perhaps of "
                            "this directory, and are kept",
                            nameless.directory, at->second.topic_id.to_string(), number)});
    }
  }
  if (keep_journals)
    for (ScannedFile& file : scanned_.files) file.is_kept = file.is_kept || !file.extents.empty();
  co_return Result<void>{};
}

io::Task<Result<void>> LogDirectoryImpl::name_partition(Nameless nameless, TopicIdPartition id) {
  CO_TRY_VOID(co_await write_partition_metadata(home_, nameless.directory, id.topic_id));
  report_.rotten.push_back(
      Error{Errc::corrupt, 0,
            fmt::format("{}: {}; written anew with topic id {}, which the journals have",
                        nameless.directory, nameless.why.message(), id.topic_id.to_string())});
  found_.push_back({std::move(nameless.name.topic), id, LogConfig{}});
  co_return Result<void>{};
}

io::Task<Result<void>> LogDirectoryImpl::open_logs() {
  Result<void> outcome;
  io::Semaphore permits(home_, kLogsAtOnce);
  io::Scope opening(home_);
  for (const PartitionToOpen& partition : found_)
    opening.spawn(open_one(partition, permits, outcome));
  co_await opening.join();
  report_.logs = static_cast<int>(recovered_.size());
  co_return outcome;
}

io::Task<void> LogDirectoryImpl::open_one(PartitionToOpen partition, io::Semaphore& permits,
                                          Result<void>& outcome) {
  co_await permits.acquire();
  const TopicPartitionName name{partition.topic, partition.id.partition};
  RecoveryHints hints{.clean = report_.was_clean, .journaled = was_dirty_};
  if (const auto at = found_offsets_.recovery_points.find(name);
      at != found_offsets_.recovery_points.end())
    hints.recovery_point = at->second;
  if (const auto at = found_offsets_.log_starts.find(name); at != found_offsets_.log_starts.end())
    hints.log_start = at->second;
  if (const auto at = scanned_.partitions.find(partition.id); at != scanned_.partitions.end()) {
    hints.journal_first = at->second.append_first;
    hints.log_start = std::max(hints.log_start, at->second.log_start);
  }
  const LogServices services{.loop = &home_, .tails = &tails_, .files = &files_};
  auto opened = co_await PartitionLogImpl::open(
      services, path_of(partition_directory_name(name.topic, name.partition)), partition.topic,
      partition.id, partition.config, hints);
  permits.release();
  if (!opened) {
    if (outcome) outcome = std::unexpected(std::move(opened).error());
    co_return;
  }
  const OpenReport& report = (*opened)->report();
  report_.torn_bytes_cut += report.torn_bytes_cut;
  report_.rotten.insert(report_.rotten.end(), report.rotten.begin(), report.rotten.end());
  recovered_[partition.id] = std::move(*opened);
}

io::Task<Result<void>> LogDirectoryImpl::replay(JournalEntry entry) {
  const auto at = recovered_.find(entry.partition);
  if (at == recovered_.end()) {
    // Its directory is made durable before anything of it is acknowledged.
    ++report_.journal_entries_dropped;
    co_return Result<void>{};
  }
  ++report_.journal_entries_replayed;
  PartitionLogImpl& log = *at->second;
  switch (entry.type) {
    case JournalEntryType::append:
      co_return co_await log.replay_append(entry.first_offset, entry.end_offset, entry.payload);
    case JournalEntryType::truncate:
      co_return co_await log.replay_truncate(entry.first_offset, entry.end_offset);
    case JournalEntryType::log_start: log.replay_log_start(entry.first_offset); break;
    case JournalEntryType::remove: break;
  }
  co_return Result<void>{};
}

io::Task<Result<void>> LogDirectoryImpl::replay_lost(JournalEntry entry) {
  report_.rotten.push_back(
      Error{Errc::corrupt, 0,
            fmt::format("journal entry of topic id {} partition {} offsets [{}, {}) has rotted",
                        entry.partition.topic_id.to_string(), entry.partition.partition,
                        entry.first_offset, entry.end_offset)});
  const auto at = recovered_.find(entry.partition);
  if (at == recovered_.end() || entry.type != JournalEntryType::append) co_return Result<void>{};
  co_return co_await at->second->replay_lost(entry.first_offset, entry.end_offset);
}

io::Task<Result<void>> LogDirectoryImpl::finish_replay() {
  Result<void> outcome;
  io::Semaphore permits(home_, kLogsAtOnce);
  io::Scope finishing(home_);
  for (const auto& [id, partition] : scanned_.partitions) {
    const auto at = recovered_.find(id);
    if (at != recovered_.end()) finishing.spawn(finish_one(*at->second, permits, outcome));
  }
  co_await finishing.join();
  co_return outcome;
}

io::Task<void> LogDirectoryImpl::finish_one(PartitionLogImpl& log, io::Semaphore& permits,
                                            Result<void>& outcome) {
  co_await permits.acquire();
  auto finished = co_await log.finish_replay();
  permits.release();
  if (finished) co_return;
  if (finished.error().code == Errc::corrupt) {
    report_.rotten.push_back(finished.error());
  } else if (outcome) {
    outcome = std::move(finished);
  }
}

CheckpointPart LogDirectoryImpl::part_of_recovered() const {
  CheckpointPart part;
  for (const auto& [id, log] : recovered_) {
    if (id.topic_id == kMetadataTopicId) continue;
    const TopicPartitionName name{log->topic(), id.partition};
    part.recovery_points[name] = log->recovery_point();
    if (log->log_start() > 0) part.log_starts[name] = log->log_start();
    const auto found = found_offsets_.high_watermarks.find(name);
    if (found != found_offsets_.high_watermarks.end())
      part.high_watermarks[name] = std::min(found->second, log->recovery_point());
  }
  return part;
}

}  // namespace drave::segments
