#pragma once
// Scenario `node`: one node with its log directory under crashes, power cuts and disk faults.
//
// Invariants: acknowledged-record-lost, damaged-record-served, truncated-record-returned,
// deleted-record-returned, deleted-partition-returned, producer-state-wrong, intact-record-refused,
// unknown-record, record-missing, offset-gap, operation-failed (without a fault to explain it),
// no-progress, stop-hangs. A record on a sector that the medium has spoilt may be refused, and what
// was acknowledged and is refused for another reason is lost.

#include "tools/sim/scenario.h"

namespace drave::simulation {

RunReport run_node_scenario(std::uint64_t seed);

inline constexpr Floor kNodeFloors[] = {
    {"acknowledged", 20'000},
    {"recoveries", 500},
    {"power_cuts", 300},
    {"kills", 100},
    {"clean_stops", 50},
    {"lost_sectors", 1000},
    {"torn_writes", 500},
    {"reordered_writes", 50},
    {"lost_names", 500},
    {"failed_syncs", 200},
    {"cuts_after_failed_sync", 60},
    {"no_space", 5},
    {"stalls", 100},
    {"name_errors", 20},
    {"descriptors_exhausted", 200},
    {"outlived_starving", 20},
    {"truncations", 100},
    {"record_deletions", 50},
    {"deleted_partitions", 50},
    {"made_again", 50},
    {"rotten_sectors", 10},
    {"rot_refused", 20},
};

inline constexpr Scenario kNodeScenario{
    "node", "a node's log directory under crashes, power cuts and disk faults", run_node_scenario,
    kNodeFloors, 5000};

}  // namespace drave::simulation
