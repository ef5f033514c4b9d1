#pragma once
// What drave-sim can run. A scenario is a function of a seed: it makes a world, runs it with faults
// and checks invariants; the first one that does not hold ends the run and is reported by name.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "io/sim/counters.h"

namespace drave::simulation {

// What a scenario counts beside the world: "acknowledged", "recoveries", ...
using Tally = std::map<std::string, std::uint64_t, std::less<>>;

struct Violation {
  std::string invariant;  // one of the scenario's names, "acknowledged-record-lost" and the like
  std::string detail;
};

struct RunReport {
  std::uint64_t trace_hash = 0;
  io::sim::WorldCounters world;
  Tally tally;
  std::optional<Violation> violation;
};

// Over many seeds a fault that no longer occurs is a broken simulator, not a green run. What is
// rare is sometimes missed by a hundred seeds that are as good as others: least() leaves room for
// chance, two standard deviations of independent events; but once at least everything happens.
struct Floor {
  std::string_view counter;  // of the tally, or of WorldCounters::text()
  std::uint64_t per_hundred_seeds;

  std::uint64_t least(std::uint64_t seeds) const {
    const double expected = static_cast<double>(per_hundred_seeds * seeds) / 100;
    return static_cast<std::uint64_t>(std::max(1.0, expected - 2 * std::sqrt(expected)));
  }
};

struct Scenario {
  std::string_view name;
  std::string_view description;
  RunReport (*run)(std::uint64_t seed);
  std::span<const Floor> floors;
  std::uint64_t events_min;  // of each seed
};

std::span<const Scenario> scenarios();
const Scenario* find_scenario(std::string_view name);

// A deliberate bug (base/canary.h) and the scenario that catches it.
struct Canary {
  std::string_view name;
  std::string_view scenario;
  std::string_view invariant;  // the one that it violates
};
std::span<const Canary> canaries();
const Canary* find_canary(std::string_view name);

}  // namespace drave::simulation
