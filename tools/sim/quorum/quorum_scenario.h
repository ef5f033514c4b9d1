#pragma once
// Scenario `quorum`: the consensus core alone, three to seven of them with virtual disks, clocks
// and links; then a majority is healed for good and must get on. One quorum of four is static at
// first, its voters are ids in every node's configuration; most of these are upgraded to
// kraft.version 1 in the midst of it, some more than once, since the first leader lost it, others
// when they are healed.
//
// Invariants: those of quorum/checker.h, and no-progress.

#include "tools/sim/scenario.h"

namespace drave::simulation {

RunReport run_quorum_scenario(std::uint64_t seed);

// About half of the least that fourteen ranges of 100 seeds showed. fault_* is counted when it had
// an effect on a node that runs; what that came to has counters of its own.
inline constexpr Floor kQuorumFloors[] = {
    {"elections", 950},
    {"commits", 45'000},
    {"truncations", 200},
    {"changes_done", 160},
    {"changes_refused", 900},
    {"voter_changes", 250},
    {"static_quorums", 7},
    {"upgrades", 4},
    {"upgrades_undone", 2},
    {"snapshots_loaded", 150},
    {"snapshot_chunks_sent", 500},
    {"crashes", 6000},
    {"crashes_while_writing", 230},
    {"lost_writes", 4000},
    {"torn_writes", 75},
    {"failed_flushes", 500},
    {"refused_saves", 1500},
    {"wiped_disks", 75},
    {"slow_writes", 3700},
    {"hung_writes", 1600},
    {"full_writes", 170},
    {"late_controls", 2},
    {"cuts", 13'000},
    {"lost_messages", 140'000},
    {"lost_one_way", 20'000},
    {"late_messages", 950},
    {"doubled_messages", 8000},
    {"deferred_events", 9000},
    {"relapses", 6},
    {"role_unattached", 6000},
    {"role_voted", 8000},
    {"role_prospective", 11'000},
    {"role_candidate", 3400},
    {"role_leader", 950},
    {"role_follower", 7500},
    {"role_resigned", 1500},
    {"sent_pre_vote", 75'000},
    {"sent_vote", 14'000},
    {"sent_begin_epoch", 9500},
    {"sent_end_epoch", 6000},
    {"sent_fetch", 200'000},
    {"sent_fetch_snapshot", 500},
    {"sent_add_voter", 650},
    {"sent_remove_voter", 270},
    {"sent_update_voter", 70},
    {"fault_crash", 4000},
    {"fault_crash_while_writing", 100},
    {"fault_cut", 3700},
    {"fault_one_way_cut", 4000},
    {"fault_partition", 5000},
    {"fault_lossy", 5500},
    {"fault_pause", 4000},
    {"fault_slow_disk", 4000},
    {"fault_hung_disk", 4000},
    {"fault_full_disk", 3700},
    {"fault_failed_flush", 4000},
    {"fault_drift", 4000},
    {"fault_clock_jump", 4000},
    {"fault_snapshot", 390},
    {"fault_add_voter", 75},
    {"fault_remove_voter", 95},
    {"fault_transfer", 15},
    {"fault_resign", 130},
    {"fault_campaign", 1800},
    {"fault_upgrade", 12},
};

inline constexpr Scenario kQuorumScenario{
    "quorum", "consensus: crashes, cuts, lost writes, wiped disks, changes of voters",
    run_quorum_scenario, kQuorumFloors, 20'000};

}  // namespace drave::simulation
