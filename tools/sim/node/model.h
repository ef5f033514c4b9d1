#pragma once
// What one partition must, may and must not contain: the oracle beside the system under test.
//
// The model holds every batch that was ever appended to the current lineage of the log, byte for
// byte. An operation that has begun but not ended widens what is allowed (a truncation may or may
// not have happened); its end narrows it. After a crash the recovered log is compared, and from
// then on the model is what was recovered: all of that must stay.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "segments/producer_state.h"
#include "tools/sim/scenario.h"

namespace drave::simulation {

struct ModelBatch {
  Offset first = 0;
  Offset end = 0;
  std::vector<std::uint8_t> bytes;  // as stamped
  ProducerId producer_id = -1;
  Sequence first_sequence = -1;
  Sequence last_sequence = -1;
};

class PartitionModel {
 public:
  PartitionModel(std::string topic, TopicIdPartition id) : topic_(std::move(topic)), id_(id) {}

  // The same partition, deleted and made again with the same id, as when it leaves a directory and
  // comes back: of what it held nothing may return.
  PartitionModel made_again() const;

  const std::string& topic() const { return topic_; }
  const TopicIdPartition& id() const { return id_; }
  Offset end() const { return end_; }
  Offset required_end() const { return required_end_; }
  Offset start() const { return start_; }
  // Grows with each change that makes older waiters meaningless.
  std::uint64_t lineage() const { return lineage_; }

  // --- What the workload does
  void created() { must_exist_ = true; }
  void appended(ModelBatch batch);
  void acknowledged(Offset end);
  void truncate_began(Offset to);
  void truncate_ended();
  // Everything goes; the log is empty at `to`.
  void restart_began(Offset to);
  void restart_ended();
  void start_began(Offset to);
  void start_ended(Offset to);
  void remove_began() { removing_ = true; }
  // The medium has spoilt the batch that begins at `first`: it may be refused. What was known of
  // producers may be forgotten.
  void rotted(Offset first);
  bool is_rotten(Offset offset) const;
  // Segments were deleted by retention: the log may begin anywhere up to `to`.
  void retention_began(Offset to);

  bool must_exist() const { return must_exist_ && !removing_; }
  bool may_vanish() const { return !must_exist_ || removing_; }

  // --- Checks; the empty result means that all is well.
  // The bounds of the log after recovery.
  std::optional<Violation> check_bounds(Offset log_start, Offset log_end) const;
  // Whole batches that were read at `offset`; `next` becomes the offset after them.
  std::optional<Violation> check_read(ByteView bytes, Offset offset, Offset& next) const;
  // What the log says of each producer whose last batch is in [log_start, log_end).
  std::optional<Violation> check_producers(const segments::ProducerStates& producers) const;

  // The recovered log spans [log_start, log_end): from now on exactly that is required.
  void settle(Offset log_start, Offset log_end);

  const ModelBatch* find(Offset offset) const;  // the batch that contains it
  const ModelBatch* last_of(ProducerId producer) const;
  std::vector<ProducerId> producers() const;
  std::string text() const;  // for the detail of a violation

 private:
  Violation violated(std::string invariant, std::string detail) const;
  void void_from(Offset offset);

  std::string topic_;
  TopicIdPartition id_;
  std::map<Offset, ModelBatch> batches_;  // by first offset, without gaps
  // Voided by a truncation that is durable: must never be seen again. By first offset, the newest.
  std::map<Offset, ModelBatch> voided_;
  std::map<Offset, ModelBatch> deleted_;  // of the partition that had this id before
  Offset start_ = 0;                      // at least from here on ...
  Offset start_possible_ = 0;             // ... at most
  Offset end_ = 0;
  Offset required_end_ = 0;
  std::set<Offset> rotten_;    // first offsets of batches
  Offset producers_from_ = 0;  // only what was appended from here on tells of producers
  std::optional<Offset> truncating_to_;
  std::optional<Offset> restarting_at_;
  bool must_exist_ = false;
  bool removing_ = false;
  std::uint64_t lineage_ = 0;
};

}  // namespace drave::simulation
