#pragma once
// One log directory: its lock, its identity, its partition logs, its journals and their recovery.
//
// Layout and formats are Kafka's (segments/FORMAT.md), plus journal files and the directory
// `drave.journal.dirty`, which stands there while a journal holds what segments lack, so that a
// Kafka node refuses to start on it.
//
// open() runs on one loop (shard 0): it locks, reads, recovers, replays every journal it finds,
// whatever their number, into segments, syncs, and removes them. Only then are partitions assigned
// to shards: start_shard() gives each shard its own journal and flusher. After that, a shard
// touches its own logs only.
//
// A directory that fails (EIO, failed sync) is fenced: all its logs are; the observer is told once.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "io/loop.h"
#include "io/mailbox.h"
#include "segments/partition_log.h"

namespace drave::segments {

struct MetaProperties {
  std::int32_t version = 1;
  std::string cluster_id;
  NodeId node_id = -1;
  Uuid directory_id;
};

struct LogDirectoryOptions {
  JournalOptions journal;
  std::int64_t tail_bytes_max = 64 * kMiB;        // per shard, tails in memory
  std::int64_t open_files_max = 1024;             // per shard, segments' descriptors (LRU)
  std::int64_t idle_write_ms = 500;               // idle data reaches its segment within this
  std::int64_t segment_piece_bytes = 512 * kKiB;  // of one segment write
  // Below this produce is refused with a retriable error.
  std::int64_t free_bytes_min = 256 * kMiB;
  std::int64_t checkpoint_interval_ms = 60'000;
  std::int64_t producer_expiration_ms = 86'400'000;
  // Of the metadata log's journal.
  JournalOptions metadata_journal{
      .file_bytes = 8 * kMiB, .first_file_bytes = 256 * kKiB, .bytes_max = 64 * kMiB};
  // The directory has failed and is fenced. Called once, on the loop of open(), not from within a
  // call into this folder.
  std::function<void(const Error&)> on_failed;
};

struct RecoveryReport {
  bool was_clean = true;
  int logs = 0;
  int journal_groups_replayed = 0;
  int journal_entries_replayed = 0;
  std::int64_t torn_bytes_cut = 0;
  int journal_entries_dropped = 0;   // of partitions whose directory is not there
  std::vector<Error> rotten;         // Errc::corrupt with file and position; ranges quarantined
  std::vector<std::string> ignored;  // directories left alone: `-future`, `-stray`, unknown ones
};

struct PartitionToOpen {
  std::string topic;
  TopicIdPartition id;
  LogConfig config;
};

// What a shard's readers behind the tails cost.
struct ReadCounters {
  std::uint64_t hits = 0;         // answers from memory
  std::uint64_t disk_reads = 0;   // read-ahead included
  std::uint64_t cache_bytes = 0;  // pieces of segments: in the cache, being read, being sent
  std::uint64_t ahead_bytes = 0;  // of the cache: not asked for yet
};

// What a shard has of a directory: a journal, a flusher, its logs. Lives on that shard's loop.
class LogShard {
 public:
  virtual ~LogShard() = default;
  // Finds an open log, or null.
  virtual PartitionLog* find(const TopicIdPartition& id) = 0;
  // Makes the log's directory with its partition.metadata, durable with its name before the first
  // acknowledgement (the directory is synced before the append that depends on it is reported
  // durable). An existing log of the same topic id is opened.
  virtual io::Task<Result<PartitionLog*>> open_or_create(PartitionToOpen partition) = 0;
  // The partition is deleted: journal entry `remove`, rename to `-delete`, files unlinked later.
  // Durable when the task completes; waiters fail; the PartitionLog is gone.
  virtual io::Task<Result<void>> remove(TopicIdPartition id) = 0;
  virtual std::vector<PartitionLog*> logs() = 0;
  virtual Journal& journal() = 0;
  // False while free space is below the bound: produce is refused, all else goes on.
  virtual bool accepts_writes() const = 0;
  virtual std::int64_t tail_bytes() const = 0;
  virtual ReadCounters read_counters() const = 0;
  // What `replication-offset-checkpoint` shall say of a log; without one, its durable end. The file
  // never names more than what is in synced segments.
  virtual void set_high_watermark_source(std::function<Offset(const PartitionLog&)> source) = 0;
  // Before a stop: returns when the journal has written all that it was given. On a full disk that
  // may never be: after a few seconds without progress the journal is fenced, and what it had not
  // written (nothing of it was acknowledged, but for flush.messages > 1) is given up.
  virtual io::Task<void> settle() = 0;
  // Settles, writes everything to segments, syncs, closes the journal. After it only destruction.
  // An error: something is not in its segment, and the next start recovers.
  virtual io::Task<Result<void>> stop() = 0;
};

class LogDirectory {
 public:
  virtual ~LogDirectory() = default;

  // Locks and recovers. Errc::locked, Errc::not_found (no meta.properties: format first),
  // Errc::corrupt.
  static io::Task<Result<std::unique_ptr<LogDirectory>>> open(io::Loop& loop, std::string path,
                                                              LogDirectoryOptions options);
  // Writes meta.properties into an empty or new directory, which is durable with its own name then.
  // Errc::already_exists if it has one.
  static io::Task<Result<void>> format(io::Loop& loop, std::string path, MetaProperties properties);
  static io::Task<Result<MetaProperties>> read_meta_properties(io::Loop& loop, std::string path);

  virtual const std::string& path() const = 0;
  virtual const MetaProperties& meta() const = 0;
  virtual const RecoveryReport& recovery() const = 0;
  // Partitions found on disk, with their topic ids (before they are assigned).
  virtual std::vector<PartitionToOpen> found() const = 0;
  // broker epoch of the clean marker that was found; -1 if the last stop was not clean.
  virtual std::int64_t clean_shutdown_epoch() const = 0;

  // After open(): gives shard `loop.shard()` its LogShard, with the found partitions for which
  // `is_mine` says so. Runs on that shard's loop. `is_mine` and the partition's config come from
  // the caller.
  virtual io::Task<Result<std::unique_ptr<LogShard>>> start_shard(
      io::Loop& loop, std::function<bool(const PartitionToOpen&)> is_mine,
      std::function<LogConfig(const PartitionToOpen&)> config_of) = 0;

  // The metadata log `__cluster_metadata-0` (topic id kMetadataTopicId) with a journal and a
  // flusher of its own, as a shard that holds nothing else. Its directory is made if it is not
  // there; other files in it (`.checkpoint`, `quorum-state`) are left alone. Before start_shard()
  // or after.
  virtual io::Task<Result<std::unique_ptr<LogShard>>> start_metadata_shard(io::Loop& loop,
                                                                           LogConfig config) = 0;

  // Of `replication-offset-checkpoint` as it was found.
  virtual std::optional<Offset> high_watermark(const std::string& topic,
                                               PartitionIndex partition) const = 0;

  // A partition found on disk that no metadata knows: renamed to `-stray`, kept.
  virtual io::Task<Result<void>> set_stray(io::Loop& loop, TopicIdPartition id) = 0;

  // After all shards have stopped: writes checkpoints and `.kafka_cleanshutdown`, unlocks. Shard 0.
  virtual io::Task<Result<void>> close(io::Loop& loop, std::int64_t broker_epoch, bool clean) = 0;
};

}  // namespace drave::segments
