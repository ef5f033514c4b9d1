#include "tools/sim/wire/wire_scenario.h"

#include <fmt/format.h>

#include "io/sim/world.h"
#include "tools/sim/sim_node.h"
#include "tools/sim/wire/producer.h"

namespace drave::simulation {

using io::sim::Node;
using io::sim::World;
using io::sim::WorldOptions;

namespace {

constexpr std::uint64_t kEventsMin = 6000;
constexpr int kBootsMin = 4;
constexpr int kBootsMax = 40;
constexpr Duration kPatience = seconds(120);

class Driver {
 public:
  explicit Driver(std::uint64_t seed)
      : world_(seed, WorldOptions::harsh(seed)),
        server_(world_.add_node()),
        client_(world_.add_node()),
        producer_(world_.random().next(), server_.host()),
        node_(server_, config_for(server_)) {
    // Slow, and sound: what fails is the power. There is time for an answer that comes too early.
    io::sim::DiskOptions& disk = server_.disk().options();
    disk.stop_errors();
    disk.device_delay = {microseconds(100), milliseconds(3)};
  }

  RunReport run() {
    for (int boot = 0; boot < kBootsMax && !producer_.violation(); ++boot) {
      if (boot >= kBootsMin && world_.counters().events >= kEventsMin) break;
      live_and_die();
    }
    finish();
    if (client_.is_running()) client_.kill();
    if (server_.is_running()) server_.kill();
    return {world_.trace_hash(), world_.counters(), producer_.tally(), producer_.violation()};
  }

 private:
  bool is_over() const { return producer_.violation().has_value(); }

  void start() { node_.start(1 + static_cast<std::uint32_t>(world_.random().below(2))); }
  // It serves, or ends because it cannot.
  bool has_started() const { return node_.is_ready() || !node_.problem().empty(); }
  void check_start() {
    if (!node_.problem().empty()) producer_.violate("start-fails", node_.problem());
  }
  void start_client() {
    client_.start([this](io::sim::Process& process) { return producer_.run(process); }, 1);
  }

  void live_and_die() {
    Random& random = world_.random();
    start();
    // Some lives end before the node serves.
    if (random.one_in(5)) {
      world_.run_until([this] { return is_over(); }, microseconds(random.between(1, 20'000)));
      check_start();
    } else {
      if (!world_.run_until([this] { return is_over() || has_started(); }, kPatience)) {
        producer_.violate("no-progress", "the node does not come up");
      }
      check_start();
      if (is_over()) return;
      start_client();
      world_.run_until([this] { return is_over(); }, microseconds(random.between(1, 60'000)));
      if (random.below(4) != 0) {
        world_.run_until([this] { return is_over() || server_.has_disk_writes_in_flight(); },
                         milliseconds(50));
        world_.run_until([this] { return is_over(); }, microseconds(random.between(0, 1500)));
      }
    }
    if (is_over()) return;
    const std::uint64_t draw = random.below(100);
    if (draw < 65) {
      server_.power_cut();
    } else if (draw < 85) {
      server_.kill();
    } else {
      stop();
    }
    if (client_.is_running()) client_.kill();
  }

  void stop() {
    server_.stop();
    if (!world_.run_until([this] { return is_over() || !server_.is_running(); }, kPatience)) {
      producer_.violate("stop-hangs", "the node was told to stop and did not");
    }
    if (node_.has_stopped()) ++producer_.tally()["clean_stops"];
  }

  void finish() {
    if (is_over()) return;
    start();
    if (!world_.run_until([this] { return is_over() || has_started(); }, kPatience)) {
      producer_.violate("no-progress", "the node does not come up");
    }
    check_start();
    if (is_over()) return;
    start_client();
    const std::uint64_t verified = producer_.verified_count();
    const std::uint64_t wanted = producer_.acknowledged() + 5;
    if (!world_.run_until(
            [&] {
              return is_over() ||
                     (producer_.verified_count() > verified && producer_.acknowledged() >= wanted);
            },
            kPatience)) {
      producer_.violate("no-progress", fmt::format("verified={} acknowledged={} wanted={}",
                                                   producer_.verified_count() > verified,
                                                   producer_.acknowledged(), wanted));
    }
    if (is_over()) return;
    client_.kill();
    stop();
  }

  World world_;
  Node& server_;
  Node& client_;
  WireProducer producer_;
  SimNode node_;
};

}  // namespace

RunReport run_wire_scenario(std::uint64_t seed) {
  return Driver(seed).run();
}

}  // namespace drave::simulation
