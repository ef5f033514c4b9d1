#pragma once
// The arguments of drave-sim.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace drave::simulation {

inline constexpr std::string_view kUsage =
    "drave-sim run --scenario NAME (--seed N | --seeds A..B) [--canary NAME] [--quiet] [--log]\n"
    "drave-sim run --canary NAME\n"
    "drave-sim list\n"
    "\n"
    "run   runs a scenario once per seed. One line per seed, totals at the end. Ends with exit "
    "code 1\n"
    "      at the first violated invariant, and with a command that shows it again.\n"
    "      A canary alone runs in the scenario that shows it, in at most 200 seeds; one that is "
    "not\n"
    "      caught ends with exit code 3.\n"
    "list  the scenarios, and the canaries: deliberate bugs, one of which --canary switches on,\n"
    "      each with the invariant that it violates.\n";

// A canary must be caught within so many.
inline constexpr std::uint64_t kCanarySeeds = 200;

struct Command {
  bool is_list = false;
  bool is_help = false;
  std::string scenario;  // empty: the canary's
  std::uint64_t first_seed = 1;
  std::uint64_t last_seed = 1;  // inclusive
  std::string canary;           // empty: none
  bool quiet = false;           // no line per seed
  bool log = false;             // what the node does and logs, on standard error
};

// Errc::invalid with a sentence for the user.
Result<Command> parse_command_line(const std::vector<std::string_view>& arguments);

}  // namespace drave::simulation
