#pragma once
// Scenario `quorum`: the consensus core alone, three to seven of them with virtual disks, clocks
// and links; then a majority is healed for good and must get on.
//
// Invariants: those of quorum/checker.h, and no-progress.

#include "tools/sim/scenario.h"

namespace drave::simulation {

RunReport run_quorum_scenario(std::uint64_t seed);

inline constexpr Floor kQuorumFloors[] = {
    {"elections", 500},
    {"crashes", 500},
    {"crashes_while_writing", 100},
    {"lost_writes", 500},
    {"cuts", 500},
    {"voter_changes", 200},
    {"snapshots_loaded", 50},
    {"snapshot_chunks_sent", 100},
    {"commits", 20'000},
    {"truncations", 50},
    {"failed_flushes", 50},
    {"wiped_disks", 20},
    {"doubled_messages", 1000},
    {"lost_messages", 5000},
    {"role_unattached", 100},
    {"role_voted", 100},
    {"role_prospective", 100},
    {"role_candidate", 100},
    {"role_leader", 100},
    {"role_follower", 100},
    {"role_resigned", 100},
    {"sent_pre_vote", 100},
    {"sent_vote", 100},
    {"sent_begin_epoch", 100},
    {"sent_end_epoch", 100},
    {"sent_fetch", 100},
    {"sent_fetch_snapshot", 100},
    {"changes_done", 100},
    {"changes_refused", 20},
    {"torn_writes", 100},
    {"refused_saves", 5},
    {"fault_crash", 100},
    {"fault_crash_while_writing", 100},
    {"fault_cut", 100},
    {"fault_one_way_cut", 100},
    {"fault_partition", 100},
    {"fault_lossy", 100},
    {"fault_pause", 100},
    {"fault_slow_disk", 100},
    {"fault_hung_disk", 100},
    {"fault_full_disk", 100},
    {"fault_failed_flush", 100},
    {"fault_wipe", 100},
    {"fault_drift", 100},
    {"fault_clock_jump", 100},
    {"fault_snapshot", 100},
    {"fault_add_voter", 100},
    {"fault_remove_voter", 100},
    {"fault_transfer", 100},
    {"fault_resign", 100},
    {"fault_campaign", 100},
    {"relapses", 8},
};

inline constexpr Scenario kQuorumScenario{
    "quorum", "consensus: crashes, cuts, lost writes, wiped disks, changes of voters",
    run_quorum_scenario, kQuorumFloors, 20'000};

}  // namespace drave::simulation
