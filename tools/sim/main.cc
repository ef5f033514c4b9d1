// drave-sim: runs Drave in simulated worlds, one per seed, and checks what it promises.

#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <vector>

#include "base/canary.h"
#include "base/log.h"
#include "tools/sim/command_line.h"
#include "tools/sim/last_words.h"
#include "tools/sim/scenario.h"

namespace drave::simulation {
namespace {

// Exit codes; 2 is a command line that makes no sense.
constexpr int kViolated = 1;
constexpr int kCanaryMissed = 3;

// One seed in so many is run a second time; both runs must have the same trace hash.
constexpr std::uint64_t kRerunOneIn = 20;

std::string replay_command(const Command& command, std::uint64_t seed) {
  return fmt::format("drave-sim run --scenario {} --seed {}{}", command.scenario, seed,
                     command.canary.empty() ? "" : " --canary " + command.canary);
}

// Of the processor; the longest takes a hundredth of it, ten times that under sanitizers.
constexpr Duration kSeedTime = seconds(120);

std::string tally_text(const Tally& tally) {
  std::string text;
  for (const auto& [name, count] : tally) text += fmt::format(" {}={}", name, count);
  return text;
}

struct Totals {
  std::uint64_t seeds = 0;
  std::uint64_t reruns = 0;
  io::sim::WorldCounters world;
  Tally tally;

  void add(const RunReport& report) {
    ++seeds;
    world += report.world;
    for (const auto& [name, count] : report.tally) tally[name] += count;
  }
  // The world's counters and the tally, under their printed names.
  Tally all() const {
    Tally counts = tally;
    const std::string printed = world.text();
    std::string_view text = printed;
    while (!text.empty()) {
      const std::string_view item = text.substr(0, text.find(' '));
      text.remove_prefix(std::min(text.size(), item.size() + 1));
      const std::size_t equals = item.find('=');
      counts[std::string(item.substr(0, equals))] +=
          std::stoull(std::string(item.substr(equals + 1)));
    }
    return counts;
  }
};

bool report_violation(const Command& command, std::uint64_t seed, const Violation& violation) {
  fmt::print("violated={} seed={}\n{}\nreplay: {}\n", violation.invariant, seed, violation.detail,
             replay_command(command, seed));
  return false;
}

bool run_seed(const Command& command, const Scenario& scenario, std::uint64_t seed,
              Totals& totals) {
  begin_seed(seed, replay_command(command, seed), kSeedTime);
  const RunReport report = scenario.run(seed);
  totals.add(report);
  if (!command.quiet || report.violation) {
    fmt::print("seed={} trace={:016x} {}{}\n", seed, report.trace_hash, report.world.text(),
               tally_text(report.tally));
  }
  if (report.violation) {
    const Canary* canary = find_canary(command.canary);
    if (canary == nullptr || report.violation->invariant == canary->invariant) {
      return report_violation(command, seed, *report.violation);
    }
    // A bug may break more than one promise; a canary is there for the one that it names.
    fmt::print("besides={} seed={}\n", report.violation->invariant, seed);
    return true;
  }
  if (report.world.events < scenario.events_min) {
    return report_violation(
        command, seed,
        {"events-floor",
         fmt::format("{} events, wanted {}", report.world.events, scenario.events_min)});
  }
  if (seed % kRerunOneIn != 0) return true;
  ++totals.reruns;
  const RunReport again = scenario.run(seed);
  if (again.trace_hash == report.trace_hash) return true;
  return report_violation(command, seed,
                          {"determinism", fmt::format("trace {:016x}, then {:016x}",
                                                      report.trace_hash, again.trace_hash)});
}

bool check_floors(const Command& command, const Scenario& scenario, const Totals& totals) {
  if (!command.canary.empty() || totals.seeds < 100) return true;
  const Tally counts = totals.all();
  bool all_reached = true;
  for (const Floor& floor : scenario.floors) {
    const auto found = counts.find(floor.counter);
    const std::uint64_t count = found == counts.end() ? 0 : found->second;
    const std::uint64_t wanted = floor.least(totals.seeds);
    if (count >= wanted) continue;
    fmt::print("below_floor={} count={} wanted={}\n", floor.counter, count, wanted);
    all_reached = false;
  }
  return all_reached;
}

int run(Command command) {
  const Canary* canary = find_canary(command.canary);
  if (command.scenario.empty() && canary != nullptr) command.scenario = canary->scenario;
  const Scenario* scenario = find_scenario(command.scenario);
  if (scenario == nullptr || (!command.canary.empty() && canary == nullptr)) {
    fmt::print(stderr, "no such scenario or canary; drave-sim list shows them\n");
    return 2;
  }
  active_canary = command.canary;
  install_last_words();
  log::set_level("*", command.log ? "debug" : "off");
  Totals totals;
  bool holds = true;
  for (std::uint64_t seed = command.first_seed; holds; ++seed) {
    holds = run_seed(command, *scenario, seed, totals);
    std::fflush(stdout);
    if (seed == command.last_seed) break;
  }
  fmt::print("total scenario={} seeds={} reruns={} {}{}\n", scenario->name, totals.seeds,
             totals.reruns, totals.world.text(), tally_text(totals.tally));
  if (canary != nullptr) {
    if (!holds) return kViolated;
    fmt::print("canary={} not caught in {} seeds\n", canary->name, totals.seeds);
    return kCanaryMissed;
  }
  if (holds) holds = check_floors(command, *scenario, totals);
  return holds ? 0 : kViolated;
}

int list() {
  for (const Scenario& scenario : scenarios())
    fmt::print("scenario={} {}\n", scenario.name, scenario.description);
  for (const Canary& canary : canaries())
    fmt::print("canary={} scenario={} violates={}\n", canary.name, canary.scenario,
               canary.invariant);
  return 0;
}

}  // namespace
}  // namespace drave::simulation

int main(int argc, char** argv) {
  using namespace drave::simulation;
  const auto command = parse_command_line({argv + std::min(argc, 1), argv + argc});
  if (!command) {
    fmt::print(stderr, "{}\n", command.error().context);
    return 2;
  }
  if (command->is_help) {
    fmt::print("{}", kUsage);
    return 0;
  }
  return command->is_list ? list() : run(*command);
}
