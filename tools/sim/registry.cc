#include "tools/sim/cluster/cluster_scenario.h"
#include "tools/sim/node/node_scenario.h"
#include "tools/sim/quorum/quorum_scenario.h"
#include "tools/sim/raft/raft_scenario.h"
#include "tools/sim/scenario.h"
#include "tools/sim/wire/wire_scenario.h"

namespace drave::simulation {
namespace {

const Scenario kScenarios[] = {
    kClusterScenario, kNodeScenario, kQuorumScenario, kRaftScenario, kWireScenario,
};

constexpr Canary kCanaries[] = {
    {"answers-uncommitted", "cluster", "producer-id-twice"},
    {"deposed-acknowledges", "cluster", "acknowledged-lost"},
    {"publishes-uncommitted", "cluster", "uncommitted-applied"},
    {"shows-half-of-transaction", "cluster", "half-visible"},
    {"ack-before-flush", "node", "acknowledged-record-lost"},
    {"duplicate-acked-early", "wire", "acknowledged-record-lost"},
    {"journal-recycled-early", "node", "acknowledged-record-lost"},
    {"journal-sync-retried", "node", "acknowledged-record-lost"},
    {"missing-directory-sync", "node", "acknowledged-record-lost"},
    {"replay-resurrects-truncated", "node", "truncated-record-returned"},
    {"deleted-topic-replayed", "node", "deleted-partition-returned"},
    {"snapshot-ahead-of-segment", "node", "producer-state-wrong"},
    {"torn-taken-for-valid", "node", "damaged-record-served"},
    {"older-epoch-committed", "quorum", "older-epoch-committed"},
    {"vote-forgotten", "quorum", "vote-changed"},
    {"leader-counts-unflushed", "quorum", "commit-without-majority"},
    {"follower-acks-unflushed", "quorum", "unflushed-acknowledged"},
    {"truncates-committed", "quorum", "committed-truncated"},
    {"prospective-keeps-leader", "quorum", "no-progress"},
    {"early-voter-change", "quorum", "voter-change-early"},
    {"stale-acks-counted", "quorum", "commit-without-majority"},
    {"flush-retried", "quorum", "unflushed-acknowledged"},
    {"fetches-before-flush", "raft", "commit-without-majority"},
    {"vote-before-save", "raft", "vote-not-durable"},
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
