#include "segments/producer_state.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace drave::segments {
namespace {

constexpr ProducerEpoch kNoEpoch = -1;

// 2^31-1 is followed by 0.
bool follows(Sequence last, Sequence next) {
  return static_cast<std::int64_t>(next) == static_cast<std::int64_t>(last) + 1 ||
         (next == 0 && last == INT32_MAX);
}

Sequence first_sequence_of(const ProducerEntry::Batch& batch) {
  const std::int64_t first = static_cast<std::int64_t>(batch.last_sequence) - batch.offset_delta;
  return static_cast<Sequence>(first >= 0 ? first : first + INT32_MAX + 1);
}

Sequence last_sequence_of(const ProducerEntry& entry) {
  return entry.batch_count == 0 ? -1 : entry.batches[entry.batch_count - 1].last_sequence;
}

const ProducerEntry::Batch* find_duplicate(const ProducerEntry& entry, const ProducerBatch& batch) {
  if (batch.epoch != entry.epoch) return nullptr;
  for (std::size_t i = 0; i < entry.batch_count; ++i) {
    const ProducerEntry::Batch& known = entry.batches[i];
    if (known.last_sequence == batch.last_sequence &&
        first_sequence_of(known) == batch.first_sequence) {
      return &known;
    }
  }
  return nullptr;
}

SequenceCheck refuse(SequenceVerdict verdict, std::string message) {
  SequenceCheck check;
  check.verdict = verdict;
  check.message = std::move(message);
  return check;
}

void set_epoch(ProducerEntry& entry, ProducerEpoch epoch) {
  if (entry.epoch == epoch) return;
  entry.epoch = epoch;
  entry.batch_count = 0;
}

}  // namespace

SequenceCheck ProducerStates::check(const ProducerBatch& batch) const {
  const ProducerEntry* entry = find(batch.producer_id);
  if (entry == nullptr) return {};
  if (const ProducerEntry::Batch* original = find_duplicate(*entry, batch)) {
    return {SequenceVerdict::duplicate,
            original->last_offset - original->offset_delta,
            original->last_offset,
            original->timestamp,
            {}};
  }
  const std::string who = "producer " + std::to_string(batch.producer_id);
  if (batch.epoch < entry->epoch) {
    return refuse(SequenceVerdict::fenced_epoch, who + " uses epoch " +
                                                     std::to_string(batch.epoch) + ", but epoch " +
                                                     std::to_string(entry->epoch) + " was seen");
  }
  if (batch.epoch != entry->epoch) {
    if (batch.first_sequence != 0 && entry->epoch != kNoEpoch) {
      return refuse(SequenceVerdict::out_of_order,
                    who + " begins epoch " + std::to_string(batch.epoch) + " with sequence " +
                        std::to_string(batch.first_sequence) + " instead of 0");
    }
  } else if (entry->epoch != kNoEpoch && !follows(last_sequence_of(*entry), batch.first_sequence)) {
    return refuse(SequenceVerdict::out_of_order,
                  who + " sent sequence " + std::to_string(batch.first_sequence) + " after " +
                      std::to_string(last_sequence_of(*entry)));
  }
  if (entry->transaction_first_offset >= 0 && !batch.is_transactional) {
    return refuse(SequenceVerdict::invalid_txn_state,
                  who + " has a transaction open and sent a batch outside of it");
  }
  return {};
}

void ProducerStates::update(const ProducerBatch& batch) {
  ASSERT(batch.first_offset >= 0 && batch.last_offset >= batch.first_offset);
  ProducerEntry& entry = entries_[batch.producer_id];
  entry.producer_id = batch.producer_id;
  set_epoch(entry, batch.epoch);
  if (entry.batch_count == ProducerEntry::kBatchesMax) {
    std::shift_left(entry.batches.begin(), entry.batches.end(), 1);
    --entry.batch_count;
  }
  entry.batches[entry.batch_count++] = {
      batch.last_sequence, batch.last_offset,
      static_cast<std::int32_t>(batch.last_offset - batch.first_offset), batch.timestamp};
  entry.last_timestamp = batch.timestamp;
  if (batch.is_transactional && entry.transaction_first_offset < 0) {
    entry.transaction_first_offset = batch.first_offset;
    open_transactions_.insert(batch.first_offset);
  }
}

std::optional<Offset> ProducerStates::end_transaction(ProducerId id, ProducerEpoch epoch,
                                                      std::int32_t coordinator_epoch,
                                                      Offset /*offset*/, TimestampMs timestamp) {
  ProducerEntry& entry = entries_[id];
  entry.producer_id = id;
  set_epoch(entry, epoch);
  entry.coordinator_epoch = coordinator_epoch;
  entry.last_timestamp = timestamp;
  const Offset first = std::exchange(entry.transaction_first_offset, -1);
  if (first < 0) return std::nullopt;
  open_transactions_.erase(first);
  return first;
}

void ProducerStates::expire(TimestampMs now_ms, std::int64_t expiration_ms) {
  std::erase_if(entries_, [&](const auto& item) {
    const ProducerEntry& entry = item.second;
    return entry.transaction_first_offset < 0 && now_ms - entry.last_timestamp >= expiration_ms;
  });
}

void ProducerStates::clear() {
  entries_.clear();
  open_transactions_.clear();
}

std::optional<Offset> ProducerStates::first_unstable_offset() const {
  if (open_transactions_.empty()) return std::nullopt;
  return *open_transactions_.begin();
}

void ProducerStates::load(std::vector<ProducerEntry> entries) {
  clear();
  for (ProducerEntry& entry : entries) {
    if (entry.transaction_first_offset >= 0) {
      open_transactions_.insert(entry.transaction_first_offset);
    }
    entries_[entry.producer_id] = entry;
  }
}

const ProducerEntry* ProducerStates::find(ProducerId id) const {
  const auto found = entries_.find(id);
  return found == entries_.end() ? nullptr : &found->second;
}

}  // namespace drave::segments
