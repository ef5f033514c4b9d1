#include "tools/raftlog/group.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/log.h"
#include "protocol/record.h"

namespace drave::raft {

Group::~Group() {
  ASSERT_EQUAL(active_count_, 0u);
}

void Group::begin(const Load& load) {
  ASSERT(load.size >= sizeof(std::uint64_t));
  ASSERT(is_idle());
  load_ = load;
  begun_count_ = 0;
  proposers_.clear();
  for (std::uint32_t i = 0; i < load.in_flight; ++i) {
    auto& proposer = proposers_.emplace_back(std::make_unique<Proposer>());
    proposer->group = this;
    proposer->done = &Group::on_done;
    proposer->bytes.assign(load.size, static_cast<std::uint8_t>(i));
  }
  resume();
}

void Group::resume() {
  if (!is_leading_ || log_ == nullptr) return;
  const Instant now = loop_.now_precise();
  for (const auto& proposer : proposers_) {
    if (!proposer->is_active && begun_count_ < load_.count) propose(*proposer, now);
  }
}

void Group::propose(Proposer& proposer, Instant now) {
  store_big(proposer.bytes.data(), begun_count_++);
  proposer.value = proposer.bytes;
  proposer.begun = now;
  if (!proposer.is_active) ++active_count_;
  proposer.is_active = true;
  log_->propose(proposer);
}

void Group::on_done(Proposal& proposal, const Error* error) {
  auto& proposer = static_cast<Proposer&>(proposal);
  Group& group = *proposer.group;
  const Instant now = group.loop_.now_precise();
  if (error == nullptr && group.measured_.is_on) {
    ++group.measured_.commits;
    group.measured_.latency_ns.record((now - proposer.begun).ns);
  }
  if (error != nullptr) ++group.measured_.errors;
  if (error == nullptr && group.is_leading_ && group.log_ != nullptr &&
      group.begun_count_ < group.load_.count)
    return group.propose(proposer, now);
  proposer.is_active = false;
  --group.active_count_;
}

Result<void> Group::on_snapshot(ByteView, OffsetAndEpoch) {
  return {};
}

Result<bool> Group::on_batch(const protocol::BatchView& batch) {
  if (batch.is_control()) return true;
  protocol::RecordIterator records(batch.records(), batch.record_count());
  for (protocol::RecordView record; records.next(record);) {
    ++delivered_count_;
    delivered_bytes_ += static_cast<std::uint64_t>(std::max(record.value_size, 0));
  }
  if (records.fault() != protocol::RecordFault::none)
    return failure(Errc::corrupt, std::string(to_string(records.fault())));
  return true;
}

void Group::on_leading(LeaderEpoch) {
  is_leading_ = true;
  led_since_ = loop_.now_precise();
  resume();
}

void Group::on_resigned(Offset) {
  is_leading_ = false;
}

void Group::on_failed(const Error& error) {
  LOG_ERROR("raft", "the log is of no use any more: {}", error.message());
  has_failed_ = true;
  is_leading_ = false;
}

}  // namespace drave::raft
