#pragma once
// Scenario `wire`: a whole broker under crashes, asked through its sockets by an idempotent
// producer that sends many a batch twice at the same time, over two connections.
//
// Invariants: acknowledged-record-lost, record-duplicated, damaged-record-served, unknown-record,
// producer-state-wrong, start-fails, stop-hangs, no-progress.

#include "tools/sim/scenario.h"

namespace drave::simulation {

RunReport run_wire_scenario(std::uint64_t seed);

inline constexpr Floor kWireFloors[] = {
    {"acknowledged", 1000}, {"duplicates_sent", 500}, {"recoveries", 200}, {"power_cuts", 100},
    {"kills", 20},          {"clean_stops", 20},
};

inline constexpr Scenario kWireScenario{
    "wire", "a broker under crashes, with a producer that sends batches twice", run_wire_scenario,
    kWireFloors, 5000};

}  // namespace drave::simulation
