#include "tools/sim/node/node_scenario.h"
#include "tools/sim/scenario.h"

namespace drave::simulation {
namespace {

const Scenario kScenarios[] = {
    kNodeScenario,
};

constexpr Canary kCanaries[] = {
    {"ack-before-flush", "node", "acknowledged-record-lost"},
    {"duplicate-acked-early", "node", "acknowledged-record-lost"},
    {"journal-recycled-early", "node", "acknowledged-record-lost"},
    {"missing-directory-sync", "node", "acknowledged-record-lost"},
    {"replay-resurrects-truncated", "node", "truncated-record-returned"},
    {"deleted-topic-replayed", "node", "deleted-partition-returned"},
    {"snapshot-ahead-of-segment", "node", "producer-state-wrong"},
    {"torn-taken-for-valid", "node", "damaged-record-served"},
};

}  // namespace

std::span<const Scenario> scenarios() {
  return kScenarios;
}

const Scenario* find_scenario(std::string_view name) {
  for (const Scenario& scenario : kScenarios) {
    if (scenario.name == name) return &scenario;
  }
  return nullptr;
}

std::span<const Canary> canaries() {
  return kCanaries;
}

const Canary* find_canary(std::string_view name) {
  for (const Canary& canary : kCanaries) {
    if (canary.name == name) return &canary;
  }
  return nullptr;
}

}  // namespace drave::simulation
