#include "tools/sim/quorum/disk.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace drave::simulation::quorum {

std::uint64_t next_chain(std::uint64_t chain, LeaderEpoch epoch, std::uint64_t value) {
  return Random(chain ^ (static_cast<std::uint64_t>(epoch) << 48) ^ (value * 0x9E37'79B9)).next();
}

raft::VoterSet Log::voters_below(Offset offset) const {
  for (Offset at_offset = offset; at_offset > start; --at_offset) {
    if (at(at_offset - 1).voters.has_value()) return *at(at_offset - 1).voters;
  }
  for (auto snapshot = snapshots.rbegin(); snapshot != snapshots.rend(); ++snapshot) {
    if (snapshot->id.offset <= offset) return snapshot->voters;
  }
  return formatted;
}

bool Log::names_voters() const {
  return !snapshots.empty() || std::any_of(entries.begin(), entries.end(), [](const Entry& entry) {
    return entry.voters.has_value();
  });
}

void Log::truncate(Offset to) {
  ASSERT(start <= to && to <= end());
  while (end() > to) entries.pop_back();
}

void Log::install(const Snapshot& snapshot) {
  entries.clear();
  start = snapshot.id.offset;
  start_epoch = snapshot.id.epoch;
  start_chain = snapshot.chain;
  snapshots.assign(1, snapshot);
}

void Log::move_start(Offset to) {
  if (to <= start) return;
  ASSERT_AT_MOST(to, end());
  start_epoch = epoch_below(to);
  start_chain = chain_below(to);
  while (start < to) {
    entries.pop_front();
    ++start;
  }
  std::erase_if(snapshots, [to](const Snapshot& each) { return each.id.offset < to; });
}

void Log::add_snapshot(const Snapshot& snapshot) {
  if (snapshots.empty() || snapshots.back().id.offset < snapshot.id.offset)
    snapshots.push_back(snapshot);
}

raft::LogView Log::view() const {
  std::vector<raft::EpochStart> epochs;
  std::vector<raft::VotersAt> voters{{-1, voters_below(start)}};
  for (Offset offset = start; offset < end(); ++offset) {
    const Entry& entry = at(offset);
    if (epochs.empty() || epochs.back().epoch != entry.epoch)
      epochs.push_back({entry.epoch, offset});
    if (entry.voters.has_value()) voters.push_back({offset, *entry.voters});
  }
  return {{start, start_epoch}, end(), std::move(epochs), std::move(voters)};
}

void Disk::apply(const Write& write) {
  if (const auto* append = std::get_if<Append>(&write)) {
    log_.entries.push_back(append->entry);
  } else if (const auto* truncate = std::get_if<Truncate>(&write)) {
    log_.truncate(truncate->to);
  } else if (const auto* install = std::get_if<Install>(&write)) {
    log_.install(install->snapshot);
  } else if (const auto* snapshot = std::get_if<WriteSnapshot>(&write)) {
    log_.add_snapshot(snapshot->snapshot);
  } else if (const auto* move = std::get_if<MoveStart>(&write)) {
    log_.move_start(move->to);
  }
}

std::vector<Disk::Write> Disk::finish_writes(std::size_t count) {
  ASSERT_AT_MOST(count, pending_.size());
  std::vector<Write> done;
  for (; count > 0; --count) {
    apply(pending_.front());
    done.push_back(std::move(pending_.front()));
    pending_.pop_front();
  }
  return done;
}

std::size_t Disk::pending_truncations() const {
  return static_cast<std::size_t>(
      std::count_if(pending_.begin(), pending_.end(),
                    [](const Write& each) { return std::holds_alternative<Truncate>(each); }));
}

void Disk::format(raft::VoterSet voters) {
  *this = Disk();
  log_.formatted = std::move(voters);
}

std::uint64_t Disk::finish_save() {
  ASSERT(!saves_.empty());
  const Save last = saves_.back();
  saves_.clear();
  election_ = last.state;
  return last.version;
}

Disk::Fate Disk::crash(Random& random) {
  const std::size_t pending = pending_.size();
  const bool tore = pending > 0 && random.one_in(3);
  const std::size_t landed = tore || random.one_in(3) ? 0 : random.below(pending + 1);
  finish_writes(landed);
  pending_.clear();
  if (!saves_.empty() && random.one_in(2)) finish_save();
  saves_.clear();
  return {pending - landed, tore};
}

}  // namespace drave::simulation::quorum
