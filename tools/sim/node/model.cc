#include "tools/sim/node/model.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/assert.h"
#include "protocol/record_batch.h"

namespace drave::simulation {

Violation PartitionModel::violated(std::string invariant, std::string detail) const {
  return {std::move(invariant), text() + ": " + std::move(detail)};
}

std::string PartitionModel::text() const {
  return fmt::format("{}-{} id={} start=[{},{}] required_end={} end={}{}{}", topic_, id_.partition,
                     id_.topic_id.to_string(), start_, start_possible_, required_end_, end_,
                     truncating_to_ ? fmt::format(" truncating_to={}", *truncating_to_) : "",
                     restarting_at_ ? fmt::format(" restarting_at={}", *restarting_at_) : "");
}

void PartitionModel::appended(ModelBatch batch) {
  ASSERT_EQUAL(batch.first, end_);
  end_ = batch.end;
  const Offset first = batch.first;
  batches_.insert_or_assign(first, std::move(batch));
}

void PartitionModel::acknowledged(Offset end) {
  required_end_ = std::max(required_end_, std::min(end, end_));
}

PartitionModel PartitionModel::made_again() const {
  PartitionModel made(topic_, id_);
  made.deleted_ = deleted_;
  made.deleted_.insert(batches_.begin(), batches_.end());
  return made;
}

// All batches that end above `offset`; the log may end inside of one that is partly deleted.
void PartitionModel::void_from(Offset offset) {
  auto at = batches_.lower_bound(offset);
  if (at != batches_.begin() && std::prev(at)->second.end > offset) --at;
  for (; at != batches_.end(); at = batches_.erase(at)) {
    rotten_.erase(at->first);
    voided_.insert_or_assign(at->first, std::move(at->second));
  }
}

void PartitionModel::truncate_began(Offset to) {
  ++lineage_;
  truncating_to_ = to;
  required_end_ = std::min(required_end_, to);
}

void PartitionModel::truncate_ended() {
  const Offset to = *std::exchange(truncating_to_, std::nullopt);
  void_from(to);
  end_ = std::min(end_, to);
  required_end_ = std::min(required_end_, end_);
}

void PartitionModel::restart_began(Offset to) {
  ++lineage_;
  restarting_at_ = to;
  required_end_ = std::min(required_end_, start_);
}

void PartitionModel::restart_ended() {
  const Offset to = *std::exchange(restarting_at_, std::nullopt);
  for (auto& [first, batch] : batches_) voided_.insert_or_assign(first, std::move(batch));
  batches_.clear();
  rotten_.clear();
  start_ = start_possible_ = end_ = required_end_ = to;
}

void PartitionModel::rotted(Offset first) {
  rotten_.insert(first);
  producers_from_ = end_;
}

bool PartitionModel::is_rotten(Offset offset) const {
  const ModelBatch* batch = find(offset);
  return batch != nullptr && rotten_.contains(batch->first);
}

void PartitionModel::start_began(Offset to) {
  start_possible_ = std::max(start_possible_, to);
}

void PartitionModel::start_ended(Offset to) {
  start_ = std::max(start_, to);
}

void PartitionModel::retention_began(Offset to) {
  start_possible_ = std::max(start_possible_, to);
}

const ModelBatch* PartitionModel::find(Offset offset) const {
  auto after = batches_.upper_bound(offset);
  if (after == batches_.begin()) return nullptr;
  const ModelBatch& batch = std::prev(after)->second;
  return offset < batch.end ? &batch : nullptr;
}

const ModelBatch* PartitionModel::last_of(ProducerId producer) const {
  for (auto at = batches_.rbegin(); at != batches_.rend(); ++at) {
    if (at->first < producers_from_) break;
    if (at->second.producer_id == producer) return &at->second;
  }
  return nullptr;
}

std::vector<ProducerId> PartitionModel::producers() const {
  std::set<ProducerId> all;
  for (const auto& [first, batch] : batches_) {
    if (batch.producer_id >= 0 && first >= producers_from_) all.insert(batch.producer_id);
  }
  return {all.begin(), all.end()};
}

std::optional<Violation> PartitionModel::check_bounds(Offset log_start, Offset log_end) const {
  if (restarting_at_ && log_start == *restarting_at_ && log_end == *restarting_at_) {
    return std::nullopt;
  }
  const std::string seen = fmt::format("the log is [{}, {})", log_start, log_end);
  if (log_end < required_end_) return violated("acknowledged-record-lost", seen);
  if (log_start > start_possible_) return violated("acknowledged-record-lost", seen);
  if (log_start < start_) return violated("deleted-record-returned", seen);
  if (log_end > end_) {
    const bool was_deleted = deleted_.contains(end_) || voided_.empty();
    if (was_deleted && !deleted_.empty()) return violated("deleted-partition-returned", seen);
    return violated(voided_.empty() ? "unknown-record" : "truncated-record-returned", seen);
  }
  return std::nullopt;
}

std::optional<Violation> PartitionModel::check_read(ByteView bytes, Offset offset,
                                                    Offset& next) const {
  next = offset;
  while (!bytes.empty()) {
    if (bytes.size() < protocol::kBatchHeaderSize) {
      return violated("damaged-record-served", fmt::format("half a batch at {}", next));
    }
    const auto header = protocol::BatchHeader::read(bytes.data());
    const std::size_t size = static_cast<std::size_t>(header.size) + protocol::kBatchSizeFieldEnd;
    const ModelBatch* expected = find(next);
    const bool is_whole = size <= bytes.size();
    const ByteView got = bytes.first(std::min(size, bytes.size()));
    if (expected == nullptr || !is_whole || !std::ranges::equal(got, expected->bytes)) {
      const auto is_one_of = [&](const std::map<Offset, ModelBatch>& gone) {
        const auto found = gone.find(header.base_offset);
        return found != gone.end() && std::ranges::equal(got, found->second.bytes);
      };
      if (header.base_offset > next && is_one_of(batches_)) {
        return violated(next < required_end_ ? "acknowledged-record-lost" : "record-missing",
                        fmt::format("at {} comes the batch at {}", next, header.base_offset));
      }
      return violated(is_one_of(voided_)    ? "truncated-record-returned"
                      : is_one_of(deleted_) ? "deleted-partition-returned"
                      : expected == nullptr ? "unknown-record"
                                            : "damaged-record-served",
                      fmt::format("the batch at {} is not the one that was appended there "
                                  "(header says offset {}, size {})",
                                  next, header.base_offset, size));
    }
    next = expected->end;
    bytes = bytes.subspan(size);
  }
  return std::nullopt;
}

std::optional<Violation> PartitionModel::check_producers(
    const segments::ProducerStates& producers) const {
  for (const ProducerId id : this->producers()) {
    const ModelBatch& last = *last_of(id);
    if (last.first < start_possible_) continue;  // what is below may be forgotten
    segments::ProducerBatch again;
    again.producer_id = id;
    again.epoch = 0;
    again.first_sequence = last.first_sequence;
    again.last_sequence = last.last_sequence;
    const auto check = producers.check(again);
    if (check.verdict != segments::SequenceVerdict::duplicate || check.first_offset != last.first) {
      return violated(
          "producer-state-wrong",
          fmt::format("producer {} sent [{}, {}] to offset {}; sent again it is verdict {} at {}",
                      id, last.first_sequence, last.last_sequence, last.first,
                      static_cast<int>(check.verdict), check.first_offset));
    }
    again.first_sequence = protocol::sequence_after(last.last_sequence, 1);
    again.last_sequence = again.first_sequence;
    const auto next = producers.check(again);
    if (next.verdict != segments::SequenceVerdict::accept) {
      return violated(
          "producer-state-wrong",
          fmt::format("producer {} cannot go on after [{}, {}]: verdict {}", id,
                      last.first_sequence, last.last_sequence, static_cast<int>(next.verdict)));
    }
  }
  return std::nullopt;
}

void PartitionModel::settle(Offset log_start, Offset log_end) {
  ++lineage_;
  if (restarting_at_ && log_start == *restarting_at_ && log_end == *restarting_at_) {
    restart_ended();
  }
  restarting_at_.reset();
  truncating_to_.reset();
  removing_ = false;
  must_exist_ = true;
  void_from(log_end);
  start_ = start_possible_ = log_start;
  end_ = required_end_ = log_end;
}

}  // namespace drave::simulation
