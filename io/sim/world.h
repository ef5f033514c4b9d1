#pragma once
// A simulated world: nodes, a network, one clock, one queue of events, one seed. Everything in it
// runs on the calling thread; the same seed and the same program give the same run, event for
// event, which trace_hash() proves. README.md says how to write a scenario.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "base/random.h"
#include "base/units.h"
#include "io/sim/counters.h"
#include "io/sim/event_queue.h"
#include "io/sim/network.h"
#include "io/sim/node.h"
#include "io/sim/options.h"
#include "io/sim/trace.h"

namespace drave::io::sim {

class World final : public EventTarget {
 public:
  explicit World(std::uint64_t seed, WorldOptions options = {});
  ~World();  // kills what runs
  World(const World&) = delete;

  Node& add_node() { return add_node(options_.node); }
  Node& add_node(NodeOptions options);
  Node& node(std::size_t number) { return *nodes_[number]; }
  std::size_t node_count() const { return nodes_.size(); }
  Network& network() { return network_; }

  Instant now() const { return now_; }
  // Of the scenario: its draws do not disturb those of the world.
  Random& random() { return scenario_random_; }
  std::uint64_t seed() const { return seed_; }

  // Calls `function` at a moment of the world's clock, between events.
  void at(Instant moment, std::function<void()> function);
  void after(Duration span, std::function<void()> function) {
    at(now_ + span, std::move(function));
  }

  // Runs one event; false when nothing will ever happen again.
  bool step();
  // Runs events until `done` (asked after each) or until `span` has passed; true if done.
  bool run_until(const std::function<bool()>& done, Duration span);
  void run_for(Duration span);

  const WorldCounters& counters() const { return counters_; }
  std::uint64_t trace_hash() const { return trace_.hash(); }

  // --- For the simulator.
  WorldCounters& counters() { return counters_; }
  Trace& trace() { return trace_; }
  EventQueue& events() { return events_; }
  const WorldOptions& options() const { return options_; }
  bool reads_buffers_late() const { return reads_buffers_late_; }
  void on_event(EventKind kind, std::uint64_t a, std::uint64_t b) override;
  std::uint64_t draw_seed() { return seeds_.next(); }

 private:
  std::uint64_t seed_;
  WorldOptions options_;
  Random seeds_;
  Random scenario_random_;
  bool reads_buffers_late_;
  Instant now_;
  WorldCounters counters_;
  Trace trace_;
  EventQueue events_;
  Network network_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::map<std::uint64_t, std::function<void()>> callbacks_;
  std::uint64_t callback_count_ = 0;
};

}  // namespace drave::io::sim
