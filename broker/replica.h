#pragma once
// A partition as this node serves it: its log, its leader epoch, its high watermark, and those who
// wait for data. Lives on the shard that owns the partition.
//
// With one replica the high watermark is what the log says is safe to show: the durable end, or the
// end where the topic's flush.messages allows an acknowledgement before the flush.

#include <algorithm>
#include <cstdint>

#include "base/ids.h"
#include "base/intrusive_list.h"
#include "segments/log_directory.h"
#include "segments/partition_log.h"

namespace drave::broker {

class Shard;

struct ReplicaNewsTag;

// Woken when a replica's visible end moved, or the replica went away. Unlinked before `wake`.
struct DataWaiter : ListLink<struct DataWaiterTag> {
  void (*wake)(DataWaiter&) = nullptr;
};

struct TopicIdPartitionHash {
  std::size_t operator()(const TopicIdPartition& id) const noexcept {
    return static_cast<std::size_t>(
        id.topic_id.high ^ (id.topic_id.low * 0x9E3779B97F4A7C15ULL) ^
        (static_cast<std::uint64_t>(id.partition) * 0xD6E8FEB86659FD93ULL));
  }
};

class Replica : public segments::LogObserver, public ListLink<ReplicaNewsTag> {
 public:
  Replica(Shard& shard, segments::LogShard& directory, segments::PartitionLog& log,
          LeaderEpoch leader_epoch);
  virtual ~Replica();

  segments::PartitionLog& log() { return log_; }
  segments::LogShard& directory() { return directory_; }
  LeaderEpoch leader_epoch() const { return leader_epoch_; }
  void set_leader_epoch(LeaderEpoch epoch);

  Offset high_watermark() const {
    return log_.config().flush_messages == 1 ? log_.durable_end() : log_.end();
  }
  // What a fetch of that isolation level may see: below this.
  Offset visible_end(bool read_committed) const {
    const Offset high = high_watermark();
    return read_committed ? std::min(high, log_.last_stable_offset()) : high;
  }

  // After an append: with flush.messages > 1 it may be visible already.
  void on_appended();
  void wait_for_data(DataWaiter& waiter) { waiters_.push_back(waiter); }
  bool has_waiters() const { return !waiters_.empty(); }
  void wake_waiters();

  void on_durable_end_advanced(Offset durable_end) override;
  void on_log_fenced(const Error& error) override;

 private:
  Shard& shard_;
  segments::LogShard& directory_;
  segments::PartitionLog& log_;
  LeaderEpoch leader_epoch_;
  IntrusiveList<DataWaiter, DataWaiterTag> waiters_;
};

}  // namespace drave::broker
