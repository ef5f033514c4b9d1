#include "segments/file_log.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/canary.h"
#include "protocol/control_record.h"
#include "protocol/record.h"
#include "segments/log_limits.h"
#include "segments/producer_snapshot.h"

namespace drave::segments {

using protocol::BatchView;

FileLog::FileLog(LogServices services, std::string path, std::string topic, TopicIdPartition id,
                 LogConfig config)
    : path_(std::move(path)), topic_(std::move(topic)), id_(id), config_(config) {
  bind(std::move(services));
}

FileLog::~FileLog() {
  ASSERT(waiters_.empty());
  ASSERT_EQUAL(under_way_, 0u);
  for (const SegmentPtr& segment : segments_) segment->close_files(*services_.files);
}

void FileLog::bind(LogServices services) {
  services_ = std::move(services);
  tail_ = std::make_unique<Tail>(*services_.tails);
  files_lock_ = std::make_unique<io::Semaphore>(loop(), 1);
  progress_ = std::make_unique<io::WaitQueue>(loop());
}

io::Task<FileLog::FilesLock> FileLog::lock_files() {
  io::Semaphore* lock = files_lock_.get();
  co_await lock->acquire();
  co_return FilesLock(lock);
}

Offset FileLog::last_stable_offset() const {
  const std::optional<Offset> unstable = producers_.first_unstable_offset();
  return unstable ? std::min(*unstable, end_) : end_;
}

std::int64_t FileLog::size_bytes() const {
  std::int64_t total = 0;
  for (const SegmentPtr& segment : segments_) total += static_cast<std::int64_t>(segment->size);
  return total;
}

Error FileLog::fenced_error() const {
  return Error{Errc::fenced, fence_reason_.system,
               path_ + " takes no writes: " + fence_reason_.message()};
}

// --- Appending

Result<void> FileLog::check_can_append(std::size_t bytes) {
  if (fenced_) return std::unexpected(fenced_error());
  if (closing_) return failure(Errc::closed, path_ + " is closing");
  if (services_.journal != nullptr && services_.journal->is_full()) {
    return failure(Errc::busy, "journal full: " + path_);
  }
  const auto needed = static_cast<std::int64_t>(ChunkPool::capacity_for(bytes + kChunkBytesMin));
  if (!services_.tails->make_room(needed)) return failure(Errc::busy, "tail full: " + path_);
  return {};
}

io::WaitQueue& FileLog::room() {
  if (services_.journal != nullptr && services_.journal->is_full()) {
    return services_.journal->room();
  }
  return services_.tails->room();
}

Result<AppendResult> FileLog::append_as_leader(MutableByteView batch, LeaderEpoch epoch,
                                               TimestampMs now_ms) {
  TRY_VOID(check_can_append(batch.size()));
  TRY(const BatchView view, protocol::parse_batch(batch));
  if (view.is_legacy() || view.size_bytes() != batch.size()) {
    return failure(Errc::invalid, "append: not one batch of magic 2");
  }
  protocol::stamp_batch(batch, end_, epoch);
  Result<AppendResult> appended = append(batch, now_ms);
  if (appended && view.timestamp_type() == protocol::TimestampType::log_append_time) {
    appended->append_time = view.max_timestamp();
  }
  return appended;
}

Result<AppendResult> FileLog::append_as_follower(ByteView batches, TimestampMs now_ms) {
  TRY_VOID(check_can_append(batches.size()));
  Offset next = end_;
  protocol::BatchIterator walk(batches);
  bool any = false;
  while (std::optional<BatchView> batch = walk.next()) {
    if (batch->base_offset() < next || batch->last_offset() < batch->base_offset()) {
      return failure(Errc::invalid, "append: offset " + std::to_string(batch->base_offset()) +
                                        " does not continue " + std::to_string(next));
    }
    next = batch->last_offset() + 1;
    any = true;
  }
  if (!any || walk.remaining() != 0) {
    return failure(Errc::invalid, "append: not whole batches");
  }
  return append(batches, now_ms);
}

Result<AppendResult> FileLog::append(ByteView batches, TimestampMs now_ms) {
  AppendResult result;
  protocol::BatchIterator walk(batches);
  bool first = true;
  while (std::optional<BatchView> batch = walk.next()) {
    if (std::exchange(first, false)) result.first_offset = batch->base_offset();
    append_batch(*batch, now_ms);
  }
  result.end_offset = end_;
  JournalSequence sequence = 0;
  if (services_.journal != nullptr) {
    journal_known_ = true;
    sequence = services_.journal->append(
        *this, {JournalEntryType::append, id_, result.first_offset, result.end_offset, batches});
  }
  add_mark(sequence, static_cast<std::int64_t>(batches.size()));
  if (!unwritten_since_) unwritten_since_ = loop().now();
  return result;
}

void FileLog::append_batch(const BatchView& batch, TimestampMs now_ms) {
  if (segments_.back()->must_roll(batch, batch.last_offset(), config_, now_ms)) roll();
  Segment& segment = *segments_.back();
  const LogPosition at{segment.base_offset(), segment.size};
  tail_->append(at, batch.bytes(), batch.base_offset(), batch.last_offset() + 1);
  segment.note_batch(batch, config_.index_interval_bytes);
  end_ = batch.last_offset() + 1;
  note_state(segment, batch);
}

void note_producer(ProducerStates& states, TransactionIndex* aborted, const BatchView& batch) {
  if (batch.is_legacy() || !batch.has_producer_id()) return;
  if (!batch.is_control()) {
    states.update({batch.producer_id(), batch.producer_epoch(), batch.base_sequence(),
                   batch.last_sequence(), batch.base_offset(), batch.last_offset(),
                   batch.max_timestamp(), batch.is_transactional()});
    return;
  }
  protocol::RecordIterator records(batch.records(), batch.record_count());
  protocol::RecordView record;
  if (!records.next(record)) return;
  const auto type = protocol::parse_control_key(record.key());
  if (!type || !*type) return;
  if (**type != protocol::ControlType::abort && **type != protocol::ControlType::commit) return;
  const Result<std::int32_t> coordinator = protocol::parse_end_marker_value(record.value());
  if (!coordinator) return;
  const Offset offset = batch.base_offset();
  const std::optional<Offset> first = states.end_transaction(
      batch.producer_id(), batch.producer_epoch(), *coordinator, offset, batch.max_timestamp());
  if (!first || **type == protocol::ControlType::commit || aborted == nullptr) return;
  const Offset stable = states.first_unstable_offset().value_or(offset + 1);
  const auto& known = aborted->entries();
  if (!known.empty() && known.back().last_offset >= offset) return;
  aborted->append({batch.producer_id(), *first, offset, stable});
}

// What a batch does to leader epochs and producers, when it is appended and when it is found again.
void FileLog::note_state(Segment& segment, const BatchView& batch) {
  if (!batch.is_legacy() && batch.leader_epoch() > epochs_.latest() &&
      epochs_.assign(batch.leader_epoch(), batch.base_offset())) {
    epochs_changed_ = true;
  }
  note_producer(producers_, &segment.transaction_index, batch);
}

void FileLog::roll() {
  segments_.back()->set_complete();
  take_snapshot(end_);
  segments_.push_back(std::make_shared<Segment>(path_, end_, loop().wall_now()));
}

// What is remembered now may be written to a file only when the log up to here is synced.
void FileLog::take_snapshot(Offset offset) {
  if (snapshots_.contains(offset)) return;
  if (!pending_snapshots_.empty() && pending_snapshots_.back().offset >= offset) return;
  pending_snapshots_.push_back({offset, encode_producer_snapshot(producers_)});
}

void FileLog::begin_epoch(LeaderEpoch /*epoch*/) {}  // batches bring it

// --- Durability

void FileLog::add_mark(JournalSequence sequence, std::int64_t bytes) {
  const Segment& active = *segments_.back();
  const Mark mark{sequence, sequence, end_, {active.base_offset(), active.size}, bytes};
  if (sequence == 0) {
    add_durable(mark);
    return;
  }
  last_sequence_ = sequence;
  pending_marks_.push_back(mark);
}

void FileLog::add_durable(const Mark& mark) {
  if (!durable_marks_.empty() && durable_marks_.back().bytes + mark.bytes < kMarkBytesMin) {
    Mark joined = mark;
    joined.first_sequence = durable_marks_.back().first_sequence;
    joined.bytes += durable_marks_.back().bytes;
    durable_marks_.back() = joined;
    return;
  }
  durable_marks_.push_back(mark);
}

void FileLog::on_journal_durable(JournalSequence sequence) {
  durable_sequence_ = std::max(durable_sequence_, sequence);
  const Offset before = durable_end_;
  while (!pending_marks_.empty() && pending_marks_.front().sequence <= sequence) {
    const Mark mark = pending_marks_.front();
    pending_marks_.pop_front();
    durable_end_ = mark.end_offset;
    durable_at_ = mark.at;
    add_durable(mark);
  }
  progress_->wake_all();
  if (durable_end_ == before) return;
  wake_waiters(false, INT64_MAX);
  if (observer_ != nullptr) observer_->on_durable_end_advanced(durable_end_);
}

// Fewer than flush.messages records are acknowledged and not yet durable.
bool FileLog::may_acknowledge(Offset wanted) const {
  return wanted <= durable_end_ ||
         (wanted <= end_ && wanted - durable_end_ < config_.flush_messages);
}

void FileLog::when_durable(DurableWaiter& waiter) {
  const bool accepted = may_acknowledge(waiter.wanted);
  if (accepted || fenced_) {
    waiter.done(waiter, !accepted);
    return;
  }
  if (waiters_.empty()) {
    waiters_in_order_ = true;
  } else if (waiter.wanted < last_wanted_) {
    waiters_in_order_ = false;
  }
  last_wanted_ = waiter.wanted;
  waiters_.push_back(waiter);
}

// Tells those whose offset may be acknowledged now, and those above `fail_above` (all with
// `all_fail`) that theirs never will be. done() may add waiters.
void FileLog::wake_waiters(bool all_fail, Offset fail_above) {
  const auto is_durable = [&](const DurableWaiter& waiter) {
    return may_acknowledge(waiter.wanted);
  };
  if (!all_fail && fail_above == INT64_MAX && waiters_in_order_) {
    while (!waiters_.empty() && is_durable(waiters_.front())) {
      DurableWaiter& waiter = waiters_.pop_front();
      waiter.done(waiter, false);
    }
    return;
  }
  IntrusiveList<DurableWaiter, DurableWaiterTag> told;
  waiters_.for_each([&](DurableWaiter& waiter) {
    if (!all_fail && waiter.wanted <= fail_above && !is_durable(waiter)) return;
    waiter.unlink();
    told.push_back(waiter);
  });
  while (!told.empty()) {
    DurableWaiter& waiter = told.pop_front();
    waiter.done(waiter, !is_durable(waiter) || waiter.wanted > fail_above);
  }
}

io::Task<Result<void>> FileLog::wait_journal(JournalSequence sequence) {
  while (durable_sequence_ < sequence && !fenced_) co_await progress_->wait();
  if (durable_sequence_ < sequence) co_return std::unexpected(fenced_error());
  co_return Result<void>{};
}

void FileLog::fence(const Error& reason) {
  if (fenced_) return;
  fenced_ = true;
  fence_reason_ = reason;
  progress_->wake_all();
  wake_waiters(true, INT64_MAX);
  if (observer_ != nullptr) observer_->on_log_fenced(reason);
}

JournalSequence FileLog::oldest_sequence() const {
  JournalSequence oldest = 0;
  const auto consider = [&](JournalSequence sequence) {
    if (sequence != 0 && (oldest == 0 || sequence < oldest)) oldest = sequence;
  };
  if (!durable_marks_.empty()) {
    consider(durable_marks_.front().first_sequence);
  } else if (!pending_marks_.empty()) {
    consider(pending_marks_.front().first_sequence);
  }
  if (!log_start_marks_.empty()) consider(log_start_marks_.front().sequence);
  return oldest;
}

void FileLog::release_journal() {
  if (services_.journal == nullptr || last_sequence_ == 0) return;
  JournalSequence upto = last_sequence_;
  // A mark stands for the entries up to its sequence, so the front one holds back all behind the
  // last that was popped.
  if (!durable_marks_.empty() || !pending_marks_.empty()) upto = released_sequence_;
  if (!log_start_marks_.empty()) upto = std::min(upto, log_start_marks_.front().sequence - 1);
  if (upto > 0) services_.journal->release(*this, upto);
}

}  // namespace drave::segments
