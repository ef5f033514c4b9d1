#include "tools/sim/quorum/checker.h"

#include <fmt/format.h>

#include <algorithm>

namespace drave::simulation::quorum {

namespace {

std::uint64_t entry_key(Offset offset, LeaderEpoch epoch) {
  return (static_cast<std::uint64_t>(epoch) << 32) | static_cast<std::uint64_t>(offset);
}

std::string text_of(const raft::ReplicaKey& key) {
  return fmt::format("{}.{}", key.id, key.directory_id.low);
}

}  // namespace

Checker::Key Checker::key_of(const raft::ReplicaKey& key) {
  return (static_cast<Key>(key.id) << 48) ^ key.directory_id.low;
}

Checker::Memory& Checker::memory_of(const Replica& replica) {
  Memory& memory = memories_[key_of(replica.key())];
  memory.replica = &replica;
  return memory;
}

const Checker::Memory* Checker::find(const raft::ReplicaKey& voter) const {
  const auto found = memories_.find(key_of(voter));
  if (found != memories_.end()) return &found->second;
  if (!voter.directory_id.is_zero()) return nullptr;
  for (const auto& [key, memory] : memories_)
    if (!memory.wiped && memory.replica->id() == voter.id) return &memory;
  return nullptr;
}

void Checker::violate(std::string_view invariant, std::string detail) {
  if (!violation_) violation_ = Violation{std::string(invariant), std::move(detail)};
}

void Checker::on_boot(const Replica& replica) {
  Memory& memory = memory_of(replica);
  memory.watermark = -1;
  memory.seen_end = 0;
  memory.role = raft::Role::unattached;
  const LeaderEpoch epoch =
      std::max(replica.disk().election().epoch, replica.disk().log().view().last().epoch);
  if (epoch < memory.epoch)
    violate("epoch-fell", fmt::format("node {} from {} to {}", replica.id(), memory.epoch, epoch));
}

void Checker::on_wipe(const Replica& replica) {
  memory_of(replica).wiped = replica.disk().log();
}

// --- R1, R2: elections

void Checker::note_leader(const Replica& replica, LeaderEpoch epoch, NodeId leader) {
  const auto [known, is_new] = leaders_.try_emplace(epoch, leader);
  if (is_new) ++tally_["elections"];
  if (known->second != leader)
    violate("two-leaders", fmt::format("epoch {}: {} and {} (seen by {})", epoch, known->second,
                                       leader, replica.id()));
}

void Checker::note_vote(const raft::ReplicaKey& voter, LeaderEpoch epoch,
                        const raft::ReplicaKey& of) {
  const auto [known, is_new] = votes_.try_emplace({key_of(voter), epoch}, key_of(of));
  if (is_new) ++tally_["votes"];
  if (known->second != key_of(of))
    violate("vote-changed", fmt::format("{} votes twice in epoch {}, now for {}", text_of(voter),
                                        epoch, text_of(of)));
}

void Checker::on_request(Replica& replica, const raft::Request& request) {
  if (const auto* vote = std::get_if<raft::VoteRequest>(&request)) {
    ++tally_[vote->pre_vote ? "sent_pre_vote" : "sent_vote"];
    if (vote->pre_vote) return;
    note_vote(replica.key(), vote->epoch, replica.key());
    const raft::ElectionState& durable = replica.disk().election();
    if (durable.epoch < vote->epoch)
      violate("vote-not-durable", fmt::format("candidate {}", replica.id()));
  } else if (const auto* fetch = std::get_if<raft::FetchRequest>(&request)) {
    ++tally_["sent_fetch"];
    // R10: a fetch acknowledges.
    const Log& durable = replica.disk().log();
    if (fetch->offset > durable.start &&
        !durable.has(fetch->offset, replica.log().chain_below(fetch->offset)))
      violate("unflushed-acknowledged", fmt::format("node {} at {}, durable to {}", replica.id(),
                                                    fetch->offset, durable.end()));
  } else if (std::holds_alternative<raft::SnapshotRequest>(request)) {
    ++tally_["sent_fetch_snapshot"];
  } else if (std::holds_alternative<raft::BeginEpochRequest>(request)) {
    ++tally_["sent_begin_epoch"];
  } else if (std::holds_alternative<raft::EndEpochRequest>(request)) {
    ++tally_["sent_end_epoch"];
  }
}

void Checker::on_reply(Replica& replica, const raft::Request& request, const raft::Reply& reply) {
  if (const auto* chunk = std::get_if<raft::SnapshotReply>(&reply)) {
    if (chunk->error == raft::ErrorCode::none) ++tally_["snapshot_chunks_sent"];
    return;
  }
  const auto* vote = std::get_if<raft::VoteRequest>(&request);
  const auto* answer = std::get_if<raft::VoteReply>(&reply);
  if (vote == nullptr || answer == nullptr || !answer->granted) return;
  if (vote->pre_vote) {
    ++tally_["pre_votes_granted"];
    return;
  }
  note_vote(replica.key(), vote->epoch, vote->candidate);
  const raft::ElectionState& durable = replica.disk().election();
  const bool is_durable =
      durable.epoch > vote->epoch || (durable.epoch == vote->epoch && durable.voted.has_value() &&
                                      durable.voted->matches(vote->candidate));
  if (!is_durable) violate("vote-not-durable", fmt::format("voter {}", replica.id()));
}

// --- After each step

void Checker::on_step(Replica& replica, const raft::Effects& effects) {
  Memory& memory = memory_of(replica);
  const LeaderEpoch durable = replica.disk().election().epoch;
  if (durable < memory.epoch)
    violate("epoch-fell", fmt::format("node {}: {} after {}", replica.id(), durable, memory.epoch));
  memory.epoch = std::max(memory.epoch, durable);
  if (effects.truncate) {
    check_truncation(replica, effects.truncate->to);
    memory.seen_end = std::min(memory.seen_end, effects.truncate->to);
  }
  if (violation_) return;
  replica.core().check_invariants();
  check_entries(replica, memory);
  check_roles(replica, memory);
  if (replica.core().high_watermark() != memory.watermark) check_watermark(replica, memory);
  if (effects.append) check_control(replica, *effects.append);
  if (effects.load_snapshot) {
    ++tally_["snapshots_loaded"];
    if (replica.core().is_leader())
      violate("leader-loads-snapshot", fmt::format("node {}", replica.id()));
  }
  check_start(replica);
}

void Checker::check_roles(const Replica& replica, Memory& memory) {
  const raft::Core& core = replica.core();
  if (core.state().leader >= 0) note_leader(replica, core.epoch(), core.state().leader);
  if (core.role() == memory.role) return;
  memory.role = core.role();
  ++tally_["role_" + std::string(raft::to_string(core.role()))];
  if (core.is_leader()) check_new_leader(replica);
}

// What leaders of `epoch` and of those before it committed. A node that was paused may learn that
// it was elected when a newer epoch has long committed more, and need not have that.
Offset Checker::committed_by(LeaderEpoch epoch) const {
  const auto after = committed_in_.upper_bound(epoch);
  return after == committed_in_.begin() ? 0 : std::prev(after)->second;
}

// R5: a leader has everything that was committed in the epochs before its own.
void Checker::check_new_leader(const Replica& replica) {
  const Offset before = committed_by(replica.core().epoch() - 1);
  if (before == 0) return;
  if (replica.log().has(before, chains_[static_cast<std::size_t>(before - 1)])) return;
  violate("committed-entry-missing",
          fmt::format("leader {} of epoch {} ends at {}, committed {}", replica.id(),
                      replica.core().epoch(), replica.log().end(), before));
}

// R3, and what R5 means for those who follow.
void Checker::check_truncation(const Replica& replica, Offset to) {
  ++tally_["truncations"];
  const Log& log = replica.log();
  if (log.kraft_version() > 0 && is_static(log.voters_below(to))) ++tally_["upgrades_undone"];
  if (replica.core().is_leader())
    violate("leader-truncated", fmt::format("node {} to {}", replica.id(), to));
  const Offset kept = committed_part(log, committed_by(replica.core().epoch()));
  if (to < kept)
    violate("committed-truncated",
            fmt::format("node {} to {}, committed {}", replica.id(), to, kept));
}

// Where what the log shares with all that was committed below `end` ends: chains agree up to there
// and nowhere above.
Offset Checker::committed_part(const Log& log, Offset end) const {
  Offset same = log.start;
  Offset other = std::min(log.end(), end) + 1;
  while (same + 1 < other) {
    const Offset middle = same + (other - same) / 2;
    const bool agrees = log.chain_below(middle) == chains_[static_cast<std::size_t>(middle - 1)];
    (agrees ? same : other) = middle;
  }
  return same;
}

// R4: offset and epoch name an entry and all below it.
void Checker::check_entries(const Replica& replica, Memory& memory) {
  const Log& log = replica.log();
  memory.seen_end = std::clamp(memory.seen_end, log.start, log.end());
  for (; memory.seen_end < log.end(); ++memory.seen_end) {
    const Entry& entry = log.at(memory.seen_end);
    const auto [known, is_new] =
        entries_.try_emplace(entry_key(memory.seen_end, entry.epoch), entry.chain);
    if (known->second != entry.chain)
      violate("logs-differ",
              fmt::format("node {} at {} of epoch {}", replica.id(), memory.seen_end, entry.epoch));
  }
}

// R6, R7: what is applied is the same everywhere, and never taken back.
void Checker::check_watermark(const Replica& replica, Memory& memory) {
  const Offset watermark = replica.core().high_watermark();
  if (watermark < memory.watermark)
    violate("watermark-fell", fmt::format("node {} to {}", replica.id(), watermark));
  memory.watermark = watermark;
  const Log& log = replica.log();
  // Also if it resigned in the same step.
  const bool led = replica.core().state().leader == replica.id();
  if (watermark > committed() && led) extend_committed(replica, watermark);
  const Offset compared = std::min(watermark, committed());
  const bool is_same =
      watermark <= committed() &&
      (compared <= 0 || log.has(compared, chains_[static_cast<std::size_t>(compared - 1)]));
  if (!is_same)
    violate("states-differ",
            fmt::format("node {} at {}, committed {}", replica.id(), watermark, committed()));
}

// R7, R8, D1: by an entry of the own epoch, durable on a majority of the voters' disks.
void Checker::extend_committed(const Replica& replica, Offset to) {
  const Log& log = replica.log();
  if (committed() > 0 && !log.has(committed(), chains_.back())) {
    violate("states-differ",
            fmt::format("leader {} commits to {} on another past", replica.id(), to));
    return;
  }
  if (log.epoch_below(to) != replica.core().epoch())
    violate("older-epoch-committed",
            fmt::format("leader {} of {} commits an entry of {} at {}", replica.id(),
                        replica.core().epoch(), log.epoch_below(to), to - 1));
  std::size_t durable = 0;
  for (const raft::ReplicaKey& voter : replica.core().voters()) {
    const Memory* memory = find(voter);
    if (memory == nullptr) continue;
    const Log& disk = memory->wiped ? *memory->wiped : memory->replica->disk().log();
    // What its snapshot covers it has, too.
    if (disk.has(to, log.chain_below(to)) || disk.start >= to) ++durable;
  }
  if (durable * 2 <= replica.core().voters().size())
    violate("commit-without-majority",
            fmt::format("leader {} at {}: durable on {} of {}", replica.id(), to, durable,
                        replica.core().voters().size()));
  committed_in_[replica.core().epoch()] = to;
  for (Offset offset = committed(); offset < to; ++offset) {
    chains_.push_back(log.at(offset).chain);
    ++tally_["commits"];
    if (!log.at(offset).voters.has_value()) continue;
    tally_["upgrades"] += is_static(committed_voters_);
    committed_voters_ = *log.at(offset).voters;
    ++tally_["voter_changes"];
  }
}

// R9: one change at a time, of one voter, behind a committed entry of the own epoch. Voters that
// are ids get their directories first, all of them at once.
void Checker::check_control(const Replica& replica, const raft::ControlBatch& batch) {
  if (!batch.voters.has_value()) return;
  const raft::Core& core = replica.core();
  newest_voters_ = *batch.voters;
  std::size_t common = 0;
  for (const raft::ReplicaKey& voter : core.voters()) {
    common += static_cast<std::size_t>(
        std::count_if(batch.voters->begin(), batch.voters->end(),
                      [&voter](const raft::ReplicaKey& each) { return each.matches(voter); }));
  }
  const std::size_t most = std::max(batch.voters->size(), core.voters().size());
  const bool upgrades = is_static(core.voters());
  const bool one_at_most = (upgrades ? common : common + 1) >= most && upgrades == batch.upgrades &&
                           !is_static(*batch.voters);
  const bool is_settled =
      core.high_watermark() > core.log().voters_offset() && core.has_committed();
  if (!one_at_most || !is_settled)
    violate("voter-change-early",
            fmt::format("leader {} of epoch {}: watermark {}, voters at {}", replica.id(),
                        core.epoch(), core.high_watermark(), core.log().voters_offset()));
}

// R11
void Checker::check_start(const Replica& replica) {
  const Log& log = replica.log();
  if (log.start == 0) return;
  const bool is_covered =
      std::any_of(log.snapshots.begin(), log.snapshots.end(),
                  [&log](const Snapshot& each) { return each.id.offset == log.start; });
  if (!is_covered)
    violate("log-start-without-snapshot", fmt::format("node {} at {}", replica.id(), log.start));
}

}  // namespace drave::simulation::quorum
