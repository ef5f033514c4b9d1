#include "tools/sim/quorum/quorum_scenario.h"

#include <algorithm>

#include "tools/sim/quorum/faults.h"

namespace drave::simulation {

using quorum::Cluster;
using quorum::Faults;
using quorum::is_static;

namespace {

constexpr std::uint64_t kFaultyEvents = 20'000;
// Of simulated time: many elections, and a snapshot fetched from afar.
constexpr Duration kPatience = seconds(90);
// Of that for a leader: ten election timeouts, half of them drawn long.
constexpr Duration kLeaderPatience = seconds(15);
constexpr Offset kProgress = 20;
// Quorums whose voters are configured; most of them are upgraded in the midst of it.
constexpr std::uint64_t kStaticOneIn = 4;

class Run {
 public:
  explicit Run(std::uint64_t seed)
      : shape_(seed * 2 + 1),
        voters_(3 + static_cast<int>(shape_.below(3))),
        nodes_(voters_ + 1 + static_cast<int>(shape_.below(2))),
        is_static_(shape_.one_in(kStaticOneIn)),
        is_upgraded_(is_static_ && shape_.one_in(2)),
        cluster_(seed, {nodes_, voters_, is_static_}, tally_),
        faults_(cluster_),
        propose_us_(1000 + shape_.between(0, 60'000)) {}

  RunReport run() {
    tally_["static_quorums"] += is_static_;
    for (int i = 0; i < nodes_; ++i) cluster_.boot(i);
    live();
    if (!cluster_.violation()) recover();
    RunReport report;
    report.trace_hash = cluster_.trace();
    report.world.events = cluster_.events();
    report.tally = tally_;
    report.violation = cluster_.violation() ? cluster_.violation() : violation_;
    if (report.violation) report.violation->detail += "\n" + cluster_.text();
    return report;
  }

 private:
  void work(Instant until) {
    while (cluster_.now() < until && !cluster_.violation()) {
      if (cluster_.now() >= next_proposal_) {
        cluster_.propose();
        faults_.poll();
        next_proposal_ =
            cluster_.now() + microseconds(propose_us_ / 2 + shape_.between(0, propose_us_));
      }
      cluster_.run_for(std::min(until, next_proposal_) - cluster_.now());
    }
  }

  void live() {
    Instant next_fault = cluster_.now() + seconds(1);
    while (cluster_.events() < kFaultyEvents && !cluster_.violation()) {
      work(next_fault);
      next_fault = faults_.act();
    }
  }

  // The healed ones elect a leader that commits, and all of them learn of it; and what was static
  // can be upgraded.
  void recover() {
    const std::vector<int> healed = faults_.heal_a_majority();
    const Offset wanted = cluster_.checker().committed() + kProgress;
    const Instant healed_at = cluster_.now();
    const Instant limit = healed_at + kPatience;
    bool has_led = false;
    auto has_all = [&](int node) {
      return cluster_.replica(node).core().high_watermark() >= wanted;
    };
    auto leads = [&](int node) {
      return cluster_.is_up(node) && cluster_.replica(node).core().is_leader();
    };
    while (cluster_.now() < limit && !cluster_.violation()) {
      work(cluster_.now() + milliseconds(200));
      for (const int node : healed) cluster_.boot(node);  // a flush that was to fail still does
      has_led = has_led || std::any_of(healed.begin(), healed.end(), leads);
      if (!has_led) {
        if (cluster_.now() - healed_at <= kLeaderPatience) continue;
        violation_ = Violation{"no-progress", "no leader among the healed:"};
        break;
      }
      if (is_upgraded_ && is_static(cluster_.checker().committed_voters())) {
        cluster_.upgrade();
        continue;
      }
      if (std::all_of(healed.begin(), healed.end(), has_all)) return;
    }
    if (!violation_) violation_ = Violation{"no-progress", "healed:"};
    for (const int node : healed) violation_->detail += " " + std::to_string(node);
  }

  Tally tally_;
  Random shape_;
  int voters_;
  int nodes_;
  bool is_static_;
  bool is_upgraded_;  // at the latest when it is healed
  Cluster cluster_;
  Faults faults_;
  std::int64_t propose_us_;
  Instant next_proposal_;
  std::optional<Violation> violation_;
};

}  // namespace

RunReport run_quorum_scenario(std::uint64_t seed) {
  return Run(seed).run();
}

}  // namespace drave::simulation
