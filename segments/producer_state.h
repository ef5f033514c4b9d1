#pragma once
// What a partition remembers of its producers: the last five batches of each, so that a retry is
// answered with the original offset and a gap is refused (KIP-98, KIP-360), and its open
// transaction. Pure: no I/O, no clock. Saved in Kafka's `.snapshot` files and rebuilt from the log
// after them.

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/ids.h"

namespace drave::segments {

// What a batch says of its producer.
struct ProducerBatch {
  ProducerId producer_id = -1;
  ProducerEpoch epoch = -1;
  Sequence first_sequence = -1;
  Sequence last_sequence = -1;  // wraps
  Offset first_offset = -1;     // -1 where not yet known
  Offset last_offset = -1;
  TimestampMs timestamp = -1;  // of the batch: max timestamp
  bool is_transactional = false;
};

enum class SequenceVerdict : std::uint8_t {
  accept,
  duplicate,          // offsets of the original in SequenceCheck
  out_of_order,       // OUT_OF_ORDER_SEQUENCE_NUMBER
  fenced_epoch,       // INVALID_PRODUCER_EPOCH
  invalid_txn_state,  // a non-transactional batch while the producer's transaction is open
};

struct SequenceCheck {
  SequenceVerdict verdict = SequenceVerdict::accept;
  Offset first_offset = -1;
  Offset last_offset = -1;
  TimestampMs timestamp = -1;
  std::string message;  // for the error answers
};

struct ProducerEntry {
  struct Batch {
    Sequence last_sequence = -1;
    Offset last_offset = -1;
    std::int32_t offset_delta = 0;  // last offset - first offset
    TimestampMs timestamp = -1;
  };
  static constexpr std::size_t kBatchesMax = 5;

  ProducerId producer_id = -1;
  ProducerEpoch epoch = -1;
  std::int32_t coordinator_epoch = -1;
  Offset transaction_first_offset = -1;  // -1: none open
  TimestampMs last_timestamp = -1;
  std::array<Batch, kBatchesMax> batches{};  // oldest first, [0, batch_count)
  std::uint8_t batch_count = 0;
};

class ProducerStates {
 public:
  SequenceCheck check(const ProducerBatch& batch) const;
  // The batch was appended; its offsets are known.
  void update(const ProducerBatch& batch);
  // A transaction marker was appended at `offset`. Returns the first offset of the transaction that
  // it ended, or nullopt if none was open.
  std::optional<Offset> end_transaction(ProducerId id, ProducerEpoch epoch,
                                        std::int32_t coordinator_epoch, Offset offset,
                                        TimestampMs timestamp);
  // Forgets producers that wrote nothing since now - expiration (none with an open transaction).
  void expire(TimestampMs now_ms, std::int64_t expiration_ms);
  // Forgets everything (a truncation reloads a snapshot and replays what follows it).
  void clear();

  std::optional<Offset> first_unstable_offset() const;
  const std::map<ProducerId, ProducerEntry>& entries() const { return entries_; }
  void load(std::vector<ProducerEntry> entries);
  const ProducerEntry* find(ProducerId id) const;

 private:
  std::map<ProducerId, ProducerEntry> entries_;  // ordered: snapshots are reproducible
  std::set<Offset> open_transactions_;           // first offsets of those that are open
};

}  // namespace drave::segments
