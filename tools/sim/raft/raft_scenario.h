#pragma once
// Scenario `raft`: three to five nodes that run the whole replicated log (raftlog/raft_log.h) with
// its journal, files and sockets, and one that may join, on simulated machines: crashes and power
// cuts, disks that fail, stall and fill up, links that break in one or both directions, pauses,
// clocks that jump, snapshots, changes of voters, hand-overs, all drawn from the seed; some quorums
// are static at first and are upgraded to kraft.version 1 in the midst of it. Then a majority is
// healed for good and must get on, the rest stays as it is; then all are healed and must agree.
//
// The scenario `quorum` looks into the same consensus core at every step, and is faster; this one
// shows that what surrounds the core keeps its promises.
//
// Twice in a run or so, and once all are healed, all lose their power at the moment at which an
// entry was acknowledged or a vote promised: what then is on a majority of the disks, and what
// stands in quorum-state, was promised.
// Who starts again is asked for the vote that it had promised, in another's name, and has what it
// had applied as a follower.
//
// Invariants: those of Ledger (raft_peer.h), commit-without-majority, node-failed, no-progress,
// no-agreement.

#include "tools/sim/scenario.h"

namespace drave::simulation {

RunReport run_raft_scenario(std::uint64_t seed);

inline constexpr Floor kRaftFloors[] = {
    {"acknowledged", 8'000},
    {"elections", 300},
    {"kills", 200},
    {"power_cuts", 200},
    {"lost_sectors", 100},
    {"torn_writes", 20},
    {"write_errors", 10},
    {"failed_syncs", 50},
    {"no_space", 5},
    {"name_errors", 50},
    {"stalls", 50},
    {"pauses", 100},
    {"wall_jumps", 100},
    {"cuts", 100},
    {"fragments", 1000},
    {"blocked_links", 200},
    {"clean_stops", 100},
    {"snapshots_written", 200},
    {"snapshots_loaded", 50},
    {"voters_added", 10},
    {"voters_removed", 10},
    {"wiped_disks", 10},
    {"hand_overs", 20},
    {"kraft_upgrades", 5},
    {"power_lost_at_commit", 80},
    {"power_lost_at_vote", 40},
};

inline constexpr Scenario kRaftScenario{
    "raft", "the replicated log as it runs: disks, sockets, crashes, changes of voters",
    run_raft_scenario, kRaftFloors, 20'000};

}  // namespace drave::simulation
