#pragma once
// A shard's part of a log directory. See LogShard in log_directory.h; this is the class behind it.

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "io/descriptors.h"
#include "io/scope.h"
#include "io/sync.h"
#include "segments/file_cache.h"
#include "segments/log_directory.h"
#include "segments/log_flusher.h"
#include "segments/offset_checkpoint.h"
#include "segments/partition_log_impl.h"
#include "segments/tail.h"

namespace drave::segments {

class LogDirectoryImpl;
class LogShardImpl;

// What a shard's logs contribute to the directory's checkpoint files.
struct CheckpointPart {
  OffsetCheckpoint recovery_points;
  OffsetCheckpoint log_starts;
  OffsetCheckpoint high_watermarks;
};

// How the directory's home loop reaches a shard that may have ended: `shard` is read and written on
// the shard's own loop only. Shared by messages under way.
struct ShardLink {
  LogShardImpl* shard = nullptr;
  std::uint32_t number = 0;
};

struct HashTopicIdPartition {
  std::size_t operator()(const TopicIdPartition& id) const {
    return std::hash<Uuid>()(id.topic_id) * 31 + static_cast<std::size_t>(id.partition);
  }
};

class LogShardImpl final : public LogShard, public LogFlusherOwner {
 public:
  // `directory` and its options outlive the shard. `part` numbers its share of the checkpoints;
  // `checkpointed` false: its logs are not named there (the metadata log).
  LogShardImpl(io::Loop& loop, LogDirectoryImpl& directory, int part, bool checkpointed);
  ~LogShardImpl() override;

  // Makes the journal.
  io::Task<Result<void>> start_journal(std::string name, JournalOptions options);
  // What its logs borrow.
  LogServices services();
  // Takes logs over that are attached to services(), and starts the flusher.
  void start(std::vector<std::unique_ptr<PartitionLogImpl>> logs);

  // LogShard
  PartitionLog* find(const TopicIdPartition& id) override;
  io::Task<Result<PartitionLog*>> open_or_create(PartitionToOpen partition) override;
  io::Task<Result<void>> remove(TopicIdPartition id) override;
  std::vector<PartitionLog*> logs() override;
  Journal& journal() override { return *journal_; }
  bool accepts_writes() const override { return has_space_ && !fenced_; }
  std::int64_t tail_bytes() const override { return tails_.used_bytes(); }
  ReadCounters read_counters() const override;
  void set_high_watermark_source(std::function<Offset(const PartitionLog&)> source) override {
    high_watermark_of_ = std::move(source);
  }
  io::Task<void> settle() override;
  io::Task<Result<void>> stop() override;

  // LogFlusherOwner
  OpenLog* log_of(JournalClient& client) override;
  void on_no_space() override;
  void on_checkpoint_wanted() override;

  // Fences all logs, soon; tells the directory.
  void fence(const Error& error);
  const std::shared_ptr<ShardLink>& link() const { return link_; }
  int part() const { return part_; }
  const FlusherCounters& flusher_counters() const { return flusher_->counters(); }

 private:
  struct Doomed {
    std::string path;
    Instant due;
  };

  PartitionLog* adopt(std::unique_ptr<PartitionLogImpl> log);
  io::Task<Result<std::unique_ptr<PartitionLogImpl>>> create(PartitionToOpen partition);
  io::Task<Result<std::unique_ptr<PartitionLogImpl>>> make(PartitionToOpen partition,
                                                           std::string path, bool is_there);
  io::Task<Result<void>> remove_from_disk(std::string path, std::string topic, TopicIdPartition id,
                                          Duration delay);
  io::Task<Result<void>> take_name(std::string path, std::string doomed, TopicPartitionName name);
  void doom(std::string path, Duration delay);
  io::Task<Result<void>> sync_names();
  CheckpointPart collect_offsets() const;
  io::Task<void> fence_all(Error error);
  void wake_who_wait_for_room();
  io::Task<void> run_upkeep();
  io::Task<void> run_reaper();
  io::Task<void> watch_space();
  io::Task<void> unlink_deleted();
  io::Task<Result<void>> checkpoint();
  io::Task<Result<void>> close_logs();

  io::Loop& loop_;
  LogDirectoryImpl& directory_;
  const LogDirectoryOptions& options_;
  int part_;
  bool checkpointed_;
  TailBudget tails_;
  FileCache files_;
  io::Scope scope_;
  io::WaitQueue upkeep_;
  io::WaitQueue reaper_work_;
  io::WaitQueue opened_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<LogFlusher> flusher_;
  std::optional<io::DescriptorPatience> patience_;
  std::unordered_map<TopicIdPartition, std::unique_ptr<OpenLog>, HashTopicIdPartition> logs_;
  std::set<TopicIdPartition> busy_;  // being opened or removed
  std::deque<Doomed> doomed_;        // by due
  std::function<Offset(const PartitionLog&)> high_watermark_of_;
  std::shared_ptr<ShardLink> link_;
  bool has_space_ = true;
  bool fenced_ = false;
  bool ending_ = false;    // settle() or stop() was called
  bool stopping_ = false;  // and nothing is being opened or removed any more
  std::uint64_t entries_at_space_check_ = 0;
  bool wants_checkpoint_ = false;
  Error fence_reason_;
};

}  // namespace drave::segments
