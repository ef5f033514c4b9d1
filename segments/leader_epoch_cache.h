#pragma once
// Which leader epoch began at which offset (`leader-epoch-checkpoint`): what a follower that
// diverged asks for (KIP-101, KIP-279). Pure; saved as text: version 0, the count, then lines of
// epoch and start offset.

#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "segments/partition_log.h"

namespace drave::segments {

struct EpochEntry {
  LeaderEpoch epoch = 0;
  Offset start_offset = 0;
  bool operator==(const EpochEntry&) const = default;
};

class LeaderEpochCache {
 public:
  static Result<LeaderEpochCache> decode(std::string_view text);
  // With entries that start below `end` only.
  std::string encode(Offset end = INT64_MAX) const;

  // A batch of `epoch` stands at `start_offset`. Entries that contradict are dropped, as in Kafka.
  // True if anything changed.
  bool assign(LeaderEpoch epoch, Offset start_offset);
  // Drops entries that start at or above `offset`.
  bool truncate_from_end(Offset offset);
  // Drops entries that end at or below `offset`; the one in which it lies starts there.
  bool truncate_from_start(Offset offset);
  void clear() { entries_.clear(); }

  LeaderEpoch latest() const { return entries_.empty() ? -1 : entries_.back().epoch; }
  // Of the record at `offset`; -1 if it is below the first entry.
  LeaderEpoch epoch_of(Offset offset) const;
  // The largest known epoch <= `epoch` and the offset at which it ends, `log_end` for the latest;
  // {-1, -1} for an epoch above the latest, or if nothing is known.
  EpochEnd end_offset_for(LeaderEpoch epoch, Offset log_end) const;

  const std::vector<EpochEntry>& entries() const { return entries_; }

 private:
  std::vector<EpochEntry> entries_;  // both fields grow
};

}  // namespace drave::segments
