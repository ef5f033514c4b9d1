#pragma once
// What consensus knows of the log without its bytes: where it begins and ends, which epochs have
// records in it, how much of it is durable, and the voter sets in it.

#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "raftlog/core/state.h"

namespace drave::raft {

// The records from `start` on, up to the next entry's, have this epoch.
struct EpochStart {
  LeaderEpoch epoch = 0;
  Offset start = 0;
  bool operator==(const EpochStart&) const = default;
};

struct VotersAt {
  Offset offset = -1;  // of the Voters record; -1: from the configuration, a snapshot or formatting
  VoterSet voters;
};

class LogView {
 public:
  LogView() = default;
  // `start` is where the log begins and the epoch of the last record before it ({0, 0}: no such
  // record). All of [start, end) is durable.
  LogView(OffsetAndEpoch start, Offset end, std::vector<EpochStart> epochs,
          std::vector<VotersAt> voters);

  Offset start() const { return start_.offset; }
  OffsetAndEpoch start_id() const { return start_; }
  Offset end() const { return end_; }
  Offset flushed() const { return flushed_; }
  bool is_flushed() const { return flushed_ == end_; }
  std::uint64_t generation() const { return generation_; }
  std::size_t epoch_count() const { return epochs_.size(); }
  // End and epoch of the last record (or of the one before start()).
  OffsetAndEpoch last() const { return {end_, epoch_before(end_)}; }
  // Of the record at offset - 1; start() <= offset <= end().
  LeaderEpoch epoch_before(Offset offset) const;
  // The largest epoch not above `epoch` that has records, and where they end. Below what the log
  // holds: start_id().
  OffsetAndEpoch end_of(LeaderEpoch epoch) const;

  void append(Offset end, LeaderEpoch epoch);
  // What is above `to` is gone, and with it its voter sets. Begins a new generation.
  void truncate(Offset to);
  // Returns whether anything became durable.
  bool flush(std::uint64_t generation, Offset end);
  // The log is replaced by what ends at `id`. Begins a new generation.
  void reset(OffsetAndEpoch id);
  void move_start(OffsetAndEpoch start);

  const VoterSet& voters() const { return voters_.back().voters; }
  Offset voters_offset() const { return voters_.back().offset; }
  // The set before the last one; the last one itself if there is no other.
  const VoterSet& voters_before() const {
    return voters_[voters_.size() > 1 ? voters_.size() - 2 : 0].voters;
  }
  std::size_t voter_sets() const { return voters_.size(); }
  void add_voters(Offset offset, VoterSet voters);
  // All that there were are replaced.
  void set_voters(VoterSet voters);
  // Voter sets that the one at or below `committed` follows are not needed any more.
  void forget_voters_before(Offset committed);

 private:
  OffsetAndEpoch start_{0, 0};
  Offset end_ = 0;
  Offset flushed_ = 0;  // start <= flushed <= end
  std::uint64_t generation_ = 0;
  std::vector<EpochStart> epochs_;  // both ascend; the first starts at start(), if there is one
  std::vector<VotersAt> voters_{VotersAt{}};  // by offset, never empty
};

}  // namespace drave::raft
