#include "broker/replica.h"

#include "base/log.h"
#include "broker/shard.h"

namespace drave::broker {

Replica::Replica(Shard& shard, segments::LogShard& directory, segments::PartitionLog& log,
                 LeaderEpoch leader_epoch)
    : shard_(shard), directory_(directory), log_(log), leader_epoch_(leader_epoch) {
  log_.set_observer(this);
  if (leader_epoch_ > log_.latest_epoch()) log_.begin_epoch(leader_epoch_);
}

Replica::~Replica() {
  wake_waiters();
  unlink();
}

void Replica::set_leader_epoch(LeaderEpoch epoch) {
  if (epoch <= leader_epoch_) return;
  leader_epoch_ = epoch;
  log_.begin_epoch(epoch);
}

void Replica::on_appended() {
  if (log_.config().flush_messages != 1 && has_waiters()) shard_.note_visible(*this);
}

void Replica::on_durable_end_advanced(Offset) {
  if (has_waiters()) shard_.note_visible(*this);
}

void Replica::on_log_fenced(const Error& error) {
  LOG_ERROR("broker", "replica fenced topic={} partition={} error={}", log_.topic(),
            log_.id().partition, error.message());
  if (has_waiters()) shard_.note_visible(*this);
}

void Replica::wake_waiters() {
  while (!waiters_.empty()) {
    DataWaiter& waiter = waiters_.pop_front();
    waiter.wake(waiter);
  }
}

}  // namespace drave::broker
