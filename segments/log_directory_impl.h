#pragma once
// The class behind LogDirectory. Its members are the home loop's (that of open()); shards reach it
// with io::call_on. Recovery: log_directory_recovery.cc.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/file.h"
#include "segments/file_cache.h"
#include "segments/journal_replay.h"
#include "segments/log_directory.h"
#include "segments/log_shard.h"
#include "segments/meta_properties.h"
#include "segments/partition_log_impl.h"
#include "segments/tail.h"

namespace drave::segments {

class LogDirectoryImpl final : public LogDirectory, public ReplayTarget {
 public:
  LogDirectoryImpl(io::Loop& loop, std::string path, LogDirectoryOptions options);
  ~LogDirectoryImpl() override;

  io::Task<Result<void>> recover();

  // LogDirectory
  const std::string& path() const override { return path_; }
  const MetaProperties& meta() const override { return meta_; }
  const RecoveryReport& recovery() const override { return report_; }
  std::vector<PartitionToOpen> found() const override { return found_; }
  std::int64_t clean_shutdown_epoch() const override { return clean_shutdown_epoch_; }
  io::Task<Result<std::unique_ptr<LogShard>>> start_shard(
      io::Loop& loop, std::function<bool(const PartitionToOpen&)> is_mine,
      std::function<LogConfig(const PartitionToOpen&)> config_of) override;
  io::Task<Result<std::unique_ptr<LogShard>>> start_metadata_shard(io::Loop& loop,
                                                                   LogConfig config) override;
  std::optional<Offset> high_watermark(const std::string& topic,
                                       PartitionIndex partition) const override;
  io::Task<Result<void>> set_stray(io::Loop& loop, TopicIdPartition id) override;
  io::Task<Result<void>> close(io::Loop& loop, std::int64_t broker_epoch, bool clean) override;

  // --- For its shards, on the home loop (io::call_on).
  static constexpr int kRecoveredPart = -1;
  static constexpr int kMetadataPart = 0;
  std::uint32_t home_shard() const { return home_.shard(); }
  const LogDirectoryOptions& options() const { return options_; }  // any thread
  std::string path_of(std::string_view name) const { return io::join_path(path_, name); }
  // Durable when the task completes; callers at the same time share one sync.
  io::Task<Result<void>> sync_names();
  // Replaces a shard's share of the checkpoint files; durable when the task completes. Callers at
  // the same time share the writing.
  io::Task<Result<void>> checkpoint(int part, CheckpointPart offsets);
  // A partition is gone: no checkpoint file names it when the task completes.
  io::Task<Result<void>> drop_from_checkpoints(int part, TopicPartitionName name);
  void note_started(std::shared_ptr<ShardLink> link);
  void note_stopped(const std::shared_ptr<ShardLink>& link, bool clean);
  void fence(Error error);
  Uuid draw_uuid();

  // ReplayTarget
  io::Task<Result<void>> replay(JournalEntry entry) override;
  io::Task<Result<void>> replay_lost(JournalEntry entry) override;

 private:
  using LogPointer = std::unique_ptr<PartitionLogImpl>;
  // Work that several callers may ask for at once and that one run does for all who asked before
  // it began.
  struct Shared {
    explicit Shared(io::Loop& loop) : done(loop) {}
    io::WaitQueue done;
    bool is_running = false;
    std::uint64_t asked = 0;
    std::uint64_t finished = 0;
    std::uint64_t failed_from = 0;  // callers (failed_from, failed_to] hear of `error`
    std::uint64_t failed_to = 0;
    Error error;
  };
  using SharedWork = io::Task<Result<void>> (LogDirectoryImpl::*)();
  io::Task<Result<void>> share(Shared& shared, SharedWork work);

  // A partition's directory whose partition.metadata is missing or cannot be read.
  struct Nameless {
    PartitionDirectoryName name;
    std::string directory;
    Error why;
    bool has_data = false;  // segments; without them the journals may have all there is
  };

  // Recovery, in this order.
  io::Task<Result<void>> lock();
  io::Task<Result<void>> begin_recovery();
  std::string metadata_log_mark() const;
  io::Task<Result<void>> mark_metadata_log();
  io::Task<Result<void>> unmark_metadata_log();
  io::Task<Result<OffsetCheckpoint>> read_checkpoint(std::string_view name);
  io::Task<Result<void>> read_checkpoints();
  io::Task<Result<void>> list_partitions();
  io::Task<Result<void>> take_partition(PartitionDirectoryName name, std::string directory);
  io::Task<Result<void>> name_partitions();
  io::Task<Result<void>> name_partition(Nameless nameless, TopicIdPartition id);
  std::multimap<PartitionIndex, TopicIdPartition> homeless_partitions() const;
  io::Task<Result<void>> open_logs();
  io::Task<void> open_one(PartitionToOpen partition, io::Semaphore& permits, Result<void>& outcome);
  io::Task<Result<void>> finish_replay();
  io::Task<void> finish_one(PartitionLogImpl& log, io::Semaphore& permits, Result<void>& outcome);
  io::Task<Result<void>> remove_directory(std::string path, std::string_view topic,
                                          PartitionIndex partition);

  // Attached to `shard`'s services.
  io::Task<Result<std::vector<LogPointer>>> take_logs(
      LogShardImpl& shard, std::function<bool(const PartitionToOpen&)> is_mine,
      std::function<LogConfig(const PartitionToOpen&)> config_of);
  CheckpointPart part_of_recovered() const;
  io::Task<Result<void>> sync_path();
  io::Task<Result<void>> write_checkpoints();
  io::Task<Result<void>> write_checkpoint(std::string_view name, const OffsetCheckpoint& wanted,
                                          OffsetCheckpoint& written);
  io::Task<void> tell_failed();
  io::Task<void> tell_shard(std::shared_ptr<ShardLink> link);

  io::Loop& home_;
  std::string path_;
  LogDirectoryOptions options_;
  MetaProperties meta_;
  RecoveryReport report_;
  std::int64_t clean_shutdown_epoch_ = -1;
  io::File lock_;
  TailBudget tails_;  // while recovering
  FileCache files_;
  io::Scope scope_;
  ScannedJournals scanned_;
  bool was_dirty_ = false;
  CheckpointPart found_offsets_;
  CheckpointPart written_;
  std::map<int, CheckpointPart> parts_;
  std::vector<PartitionToOpen> found_;
  std::vector<Nameless> nameless_;
  std::map<TopicIdPartition, LogPointer> recovered_;
  std::vector<std::shared_ptr<ShardLink>> shards_;
  Shared name_sync_;
  Shared checkpoint_writing_;
  bool fenced_ = false;
  bool all_clean_ = true;
  Error fence_reason_;
};

}  // namespace drave::segments
