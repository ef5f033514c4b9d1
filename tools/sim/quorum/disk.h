#pragma once
// The disk of one replica of the quorum: what is durable, and what was written and is not yet.
//
// Two lanes, as in the real driver: `quorum-state` is replaced in one piece; all that concerns log
// and snapshots goes through a journal, in order. A crash leaves of the journal's pending writes
// some first ones, or of a group under way nothing at all, where its sectors tore; and the pending
// quorum-state or the old one.

#include <cstdint>
#include <deque>
#include <optional>
#include <variant>
#include <vector>

#include "base/random.h"
#include "raftlog/core/log_view.h"
#include "raftlog/core/state.h"

namespace drave::simulation::quorum {

// A batch of one record. `chain` is a hash of this record and all before it, so that two logs can
// be compared at an offset.
struct Entry {
  LeaderEpoch epoch = 0;
  std::uint64_t value = 0;
  std::uint64_t chain = 0;
  std::optional<raft::VoterSet> voters;
};

// Whether these are the voters of kraft.version 0: ids only, from every node's configuration.
inline bool is_static(const raft::VoterSet& voters) {
  return !voters.empty() && voters.front().directory_id.is_zero();
}

std::uint64_t next_chain(std::uint64_t chain, LeaderEpoch epoch, std::uint64_t value);

struct Snapshot {
  OffsetAndEpoch id;
  std::uint64_t chain = 0;  // of everything below id.offset; stands for the state
  raft::VoterSet voters;
};

// A log with its snapshots; the one in memory and the one on disk have the same form.
struct Log {
  Offset start = 0;
  LeaderEpoch start_epoch = 0;
  std::uint64_t start_chain = 0;
  std::deque<Entry> entries;        // from `start` on
  std::vector<Snapshot> snapshots;  // by offset
  raft::VoterSet formatted;         // voters as formatted or configured, before any record

  Offset end() const { return start + static_cast<Offset>(entries.size()); }
  const Entry& at(Offset offset) const { return entries[static_cast<std::size_t>(offset - start)]; }
  // Of everything below `offset`; start <= offset <= end.
  std::uint64_t chain_below(Offset offset) const {
    return offset == start ? start_chain : at(offset - 1).chain;
  }
  LeaderEpoch epoch_below(Offset offset) const {
    return offset == start ? start_epoch : at(offset - 1).epoch;
  }
  bool has(Offset offset, std::uint64_t chain) const {
    return offset >= start && offset <= end() && chain_below(offset) == chain;
  }
  // Whether it says who votes, beyond what was formatted.
  bool names_voters() const;
  // The voters as of all records below `offset`.
  raft::VoterSet voters_below(Offset offset) const;
  std::int16_t kraft_version() const { return is_static(voters_below(end())) ? 0 : 1; }
  void truncate(Offset to);
  void install(const Snapshot& snapshot);
  void move_start(Offset to);  // to the end of a snapshot; nothing if it is there already
  void add_snapshot(const Snapshot& snapshot);
  raft::LogView view() const;
};

class Disk {
 public:
  struct Append {
    Entry entry;
  };
  struct Truncate {
    Offset to = 0;
  };
  struct Install {
    Snapshot snapshot;
  };
  struct WriteSnapshot {
    Snapshot snapshot;
  };
  struct MoveStart {
    Offset to = 0;
  };
  using Write = std::variant<Append, Truncate, Install, WriteSnapshot, MoveStart>;
  struct Save {
    std::uint64_t version = 0;
    raft::ElectionState state;
  };

  void write(Write write) { pending_.push_back(std::move(write)); }
  void save(Save save) { saves_.push_back(std::move(save)); }
  bool has_log_writes() const { return !pending_.empty(); }
  bool has_saves() const { return !saves_.empty(); }
  std::size_t pending_count() const { return pending_.size(); }

  std::size_t pending_truncations() const;
  // The first `count` pending writes become durable; returns them.
  std::vector<Write> finish_writes(std::size_t count);
  // An empty disk, formatted.
  void format(raft::VoterSet voters);
  // All saves that are pending do, the last one wins. Returns its version.
  std::uint64_t finish_save();
  // Pending writes fail: what they would have written is gone, though the pages look clean.
  void lose_writes() { pending_.clear(); }
  void lose_saves() { saves_.clear(); }
  // Power or process are gone.
  struct Fate {
    std::size_t lost = 0;  // pending writes
    bool tore = false;     // the group under way is there in part, which its checksum tells
  };
  Fate crash(Random& random);

  const Log& log() const { return log_; }
  const raft::ElectionState& election() const { return election_; }

 private:
  void apply(const Write& write);

  Log log_;
  raft::ElectionState election_;
  std::deque<Write> pending_;
  std::deque<Save> saves_;
};

}  // namespace drave::simulation::quorum
