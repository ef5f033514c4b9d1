#pragma once
// Voter sets with their endpoints, and levels of kraft.version, by the offset of the control batch
// that holds them. What is written counts at once; a truncation brings back what was before. Pure.

#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "raftlog/core/log_view.h"
#include "raftlog/snapshot.h"

namespace drave::raft {

class VoterHistory {
 public:
  // Everything is replaced by what the configuration, formatting or a snapshot says.
  void reset(std::vector<Voter> voters, std::int16_t kraft_version);
  // Offsets never fall.
  void add_voters(Offset offset, std::vector<Voter> voters);
  void add_version(Offset offset, std::int16_t kraft_version);
  // What stands at or above `to` is gone.
  void truncate(Offset to);
  // Nobody asks for what counted below `offset` any more.
  void forget_before(Offset offset);

  const std::vector<Voter>& voters() const { return voters_.back().value; }
  // Of the present set; -1: it is not from the log.
  Offset voters_offset() const { return voters_.back().offset; }
  std::int16_t kraft_version() const { return versions_.back().value; }
  Offset version_offset() const { return versions_.back().offset; }
  // As of a log that ends at `end`.
  const std::vector<Voter>& voters_at(Offset end) const;
  std::int16_t kraft_version_at(Offset end) const;
  // All that is known, for the core.
  std::vector<VotersAt> sets() const;

 private:
  template <class T>
  struct At {
    Offset offset = -1;
    T value{};
  };
  // By offset, never empty; the first counts for all below the second.
  std::vector<At<std::vector<Voter>>> voters_{1};
  std::vector<At<std::int16_t>> versions_{1};
};

}  // namespace drave::raft
