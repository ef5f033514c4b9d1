#include "broker/fetch/fetch_operation.h"

#include <algorithm>

#include "broker/node.h"

namespace drave::broker {

using protocol::ErrorCode;

// --- On the connection's shard

FetchOperation::FetchOperation(Shard& shard, Connection& connection, FetchPlan plan, Limits limits)
    : shard_(shard),
      plan_(std::move(plan)),
      limits_(limits),
      outcomes_(plan_.items.size()),
      ended_(shard.loop()) {
  cancel = [](Parked& parked) { static_cast<FetchOperation&>(parked).cancel_all(); };
  connection.park(*this);
}

FetchOperation::~FetchOperation() {
  unlink();
}

FetchPart& FetchOperation::part_of(std::uint32_t shard) {
  for (const auto& part : parts_)
    if (part->shard_number_ == shard) return *part;
  parts_.push_back(std::make_unique<FetchPart>(*this, shard));
  return *parts_.back();
}

void FetchOperation::start_parts() {
  for (std::size_t i = 0; i < plan_.items.size(); ++i) {
    const FetchItem& item = plan_.items[i];
    if (item.error != ErrorCode::none) {
      outcomes_[i].error = item.error;
      found_bytes_ = INT32_MAX;  // an error is answered at once
      continue;
    }
    part_of(shard_of(item.id, shard_.count())).items_.push_back(i);
  }
  parts_running_ = parts_.size();
  for (const auto& part : parts_) {
    part->cancelled_ = cancelled_;
    if (part->shard_number_ == shard_.number())
      part->go_.run(part->go_);
    else
      shard_.loop().hub()->send(shard_.number(), part->shard_number_, part->go_);
  }
}

io::Task<void> FetchOperation::run() {
  start_parts();
  if (parts_.empty()) {
    // Nothing to wait for but the time itself: a client that polls with no partition, or with
    // errors only.
    if (plan_.items.empty() && !cancelled_) co_await ended_.wait_until(limits_.deadline);
  }
  while (parts_running_ > 0 || cancels_on_way_ > 0) co_await ended_.wait();
  trim();
}

void FetchOperation::on_part_done() {
  --parts_running_;
  // The first that has enough ends the others' waiting.
  if (parts_running_ > 0) cancel_all();
  ended_.wake_all();
}

void FetchOperation::cancel_all() {
  cancelled_ = true;
  ended_.wake_all();
  for (const auto& part : parts_) {
    if (!part->running_ || part->cancel_sent_) continue;
    part->cancel_sent_ = true;
    ++cancels_on_way_;
    if (part->shard_number_ == shard_.number())
      part->cancel_.run(part->cancel_);
    else
      shard_.loop().hub()->send(shard_.number(), part->shard_number_, part->cancel_);
  }
}

// Parts read side by side, each up to the whole limit: what exceeds it in the order of the request
// goes.
void FetchOperation::trim() {
  if (parts_.size() < 2) return;
  std::int64_t left = limits_.bytes_max;
  bool any = false;
  for (FetchOutcome& outcome : outcomes_) {
    const auto size = static_cast<std::int64_t>(outcome.data.size);
    if (size == 0) continue;
    if (any && size > left) {
      outcome.data = {};
      continue;
    }
    any = true;
    left -= size;
  }
}

std::int64_t take_reserved(FetchOperation& operation, const Response& by) {
  std::int64_t bytes = 0;
  for (const auto& part : operation.parts_) {
    if (part->reserved_bytes_ == 0) continue;
    bytes += std::exchange(part->reserved_bytes_, 0);
    operation.shard_.node().response_budget().hand_over(part.get(), &by);
  }
  return bytes;
}

// --- On the partitions' shard

FetchPart::FetchPart(FetchOperation& operation, std::uint32_t shard)
    : operation_(operation),
      shard_number_(shard),
      shard_(&operation.shard_.node().shard(shard)),
      news_(shard_->loop()) {
  go_.part = cancel_.part = cancel_taken_.part = done_.part = this;
  go_.run = [](io::Message& message) {
    FetchPart& part = *static_cast<PartMessage&>(message).part;
    part.shard_->scope().spawn(part.run());
  };
  cancel_.run = [](io::Message& message) {
    FetchPart& part = *static_cast<PartMessage&>(message).part;
    part.cancelled_ = true;
    part.news_.wake_all();
    part.send_home(part.cancel_taken_);
  };
  cancel_taken_.run = [](io::Message& message) {
    FetchOperation& home = static_cast<PartMessage&>(message).part->operation_;
    --home.cancels_on_way_;
    home.ended_.wake_all();
  };
  done_.run = [](io::Message& message) {
    FetchPart& part = *static_cast<PartMessage&>(message).part;
    part.running_ = false;
    part.operation_.on_part_done();
  };
}

bool FetchPart::has_enough() const {
  return settled_ || cancelled_ || shard_->scope().is_stopping() ||
         operation_.found_bytes_.load(std::memory_order_acquire) >= operation_.limits_.bytes_min ||
         shard_->loop().now() >= operation_.limits_.deadline;
}

io::Task<void> FetchPart::run() {
  co_await read_all();
  while (!has_enough()) {
    co_await wait_for_news();
    co_await read_all();
  }
  send_home(done_);
}

void FetchPart::send_home(PartMessage& message) {
  Shard& home = operation_.shard_;
  if (&home == shard_) return message.run(message);
  shard_->loop().hub()->send(shard_number_, home.number(), message);
}

bool FetchPart::has_visible_data() const {
  return std::any_of(items_.begin(), items_.end(), [&](std::size_t index) {
    const FetchItem& item = operation_.plan_.items[index];
    Replica* replica = shard_->replica(item.id);
    return replica != nullptr &&
           item.fetch_offset < replica->visible_end(operation_.limits_.read_committed);
  });
}

std::int64_t FetchPart::bytes_to_reserve() const {
  std::int64_t bytes = 0;
  for (const std::size_t index : items_)
    bytes += std::max<std::int64_t>(operation_.plan_.items[index].bytes_max, 0);
  return std::min(bytes, operation_.limits_.bytes_max);
}

// False: nobody waits for what would be read any more.
io::Task<bool> FetchPart::reserve(std::int64_t bytes) {
  MemoryBudget& budget = shard_->node().response_budget();
  const auto fits = [&] {
    return bytes <= kSmallFetchBytes ? budget.try_take_small(bytes) : budget.try_take(bytes, this);
  };
  if (fits()) co_return true;
  budget.begin_wait();
  bool taken = false;
  while (!cancelled_ && !(taken = fits()))
    co_await shard_->memory_room().wait_until(shard_->loop().now() + MemoryBudget::kRetry);
  budget.end_wait();
  co_return taken;
}

io::Task<void> FetchPart::read_all() {
  operation_.found_bytes_.fetch_sub(found_bytes_, std::memory_order_acq_rel);
  // Memory first: a thousand clients that ask for a MiB each do not get it all at once.
  std::int64_t wanted = bytes_to_reserve();
  std::int64_t reserved = 0;
  MemoryBudget& budget = shard_->node().response_budget();
  while (true) {
    if (has_visible_data()) {
      may_read_ = co_await reserve(wanted);
      reserved = may_read_ ? wanted : 0;
    }
    found_bytes_ = 0;
    for (const std::size_t item : items_) co_await read_one(item);
    // A batch is told whole, however little was asked for.
    const std::int64_t more = found_bytes_ - reserved;
    if (more <= 0) break;
    if (budget.try_take(more, this)) {
      reserved += more;
      break;
    }
    wanted = found_bytes_;
    give_up_data();
    if (reserved > 0) shard_->give_back_memory(budget, std::exchange(reserved, 0), this, true);
  }
  reserved_bytes_ = std::min(reserved, found_bytes_);
  if (reserved > 0)
    shard_->give_back_memory(budget, reserved - reserved_bytes_, this, reserved_bytes_ == 0);
  operation_.found_bytes_.fetch_add(found_bytes_, std::memory_order_acq_rel);
}

void FetchPart::give_up_data() {
  for (const std::size_t index : items_) operation_.outcomes_[index].data = {};
}

io::Task<void> FetchPart::read_one(std::size_t index) {
  const FetchItem& item = operation_.plan_.items[index];
  const FetchOperation::Limits& limits = operation_.limits_;
  FetchOutcome& outcome = operation_.outcomes_[index];
  outcome = {};
  Replica* replica = shard_->replica(item.id);
  if (replica == nullptr) {
    outcome.error = ErrorCode::not_leader_or_follower;
    settled_ = true;
    co_return;
  }
  segments::PartitionLog& log = replica->log();
  outcome.log_start = log.log_start();
  outcome.high_watermark = replica->high_watermark();
  outcome.last_stable_offset = std::min(outcome.high_watermark, log.last_stable_offset());
  if (item.last_fetched_epoch >= 0 && limits.version >= 12) {
    const segments::EpochEnd end = log.end_offset_for_epoch(item.last_fetched_epoch);
    if (end.epoch != item.last_fetched_epoch || end.end_offset < item.fetch_offset) {
      outcome.diverging = end;
      settled_ = true;
      co_return;
    }
  }
  const Offset end = replica->visible_end(limits.read_committed);
  if (item.fetch_offset < outcome.log_start || item.fetch_offset > log.end()) {
    outcome.error = ErrorCode::offset_out_of_range;
    settled_ = true;
    co_return;
  }
  if (item.fetch_offset >= end || !may_read_) co_return;
  segments::ReadRequest request;
  request.offset = item.fetch_offset;
  request.end_limit = end;
  const std::int64_t room = std::max<std::int64_t>(limits.bytes_max - found_bytes_, 0);
  request.bytes_max = static_cast<std::size_t>(
      std::min<std::int64_t>(std::max<std::int32_t>(item.bytes_max, 0), room));
  request.at_least_one_batch = found_bytes_ == 0;
  if (request.bytes_max == 0 && !request.at_least_one_batch) co_return;
  Result<std::optional<segments::ReadResult>> quick = log.try_read(request);
  Result<segments::ReadResult> data = segments::ReadResult{};
  if (!quick)
    data = std::unexpected(quick.error());
  else if (quick->has_value())
    data = std::move(**quick);
  else {
    data = co_await log.read(request);
    if (shard_->replica(item.id) != replica) data = failure(Errc::closed, "the partition is gone");
  }
  if (!data) {
    settled_ = true;
    outcome.error = data.error().code == Errc::out_of_range ? ErrorCode::offset_out_of_range
                    : data.error().code == Errc::closed     ? ErrorCode::not_leader_or_follower
                                                            : ErrorCode::kafka_storage_error;
    co_return;
  }
  outcome.data = std::move(*data);
  found_bytes_ += static_cast<std::int64_t>(outcome.data.size);
  if (limits.read_committed && outcome.data.size > 0) {
    Result<std::vector<segments::AbortedTransaction>> aborted =
        co_await log.aborted_transactions(item.fetch_offset, end);
    if (aborted)
      outcome.aborted = std::move(*aborted);
    else
      outcome.error = ErrorCode::kafka_storage_error;
  }
}

io::Task<void> FetchPart::wait_for_news() {
  for (const std::size_t index : items_) {
    Replica* replica = shard_->replica(operation_.plan_.items[index].id);
    if (replica == nullptr) {
      settled_ = true;
      continue;
    }
    auto waiter = std::make_unique<Waiter>();
    waiter->part = this;
    waiter->wake = [](DataWaiter& woken) { static_cast<Waiter&>(woken).part->news_.wake_all(); };
    replica->wait_for_data(*waiter);
    waiters_.push_back(std::move(waiter));
  }
  give_up_data();  // a parked fetch holds none
  if (reserved_bytes_ > 0)
    shard_->give_back_memory(shard_->node().response_budget(), reserved_bytes_, this, true);
  reserved_bytes_ = 0;
  if (!has_enough()) co_await news_.wait_until(operation_.limits_.deadline);
  for (const auto& waiter : waiters_) waiter->unlink();
  waiters_.clear();
}

}  // namespace drave::broker
