#include "tools/sim/wire/wire_scenario.h"

#include <fmt/format.h>

#include "broker/config/broker_config.h"
#include "broker/node.h"
#include "io/sim/world.h"
#include "io/sync.h"
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

broker::BrokerConfig config_for(const Node& machine) {
  std::vector<broker::Property> properties;
  for (const std::string& text :
       {std::string("node.id=1"), std::string("process.roles=broker,controller"),
        "listeners=PLAINTEXT://" + machine.host() + ":9092",
        std::string("controller.listener.names=CONTROLLER"),
        "advertised.listeners=PLAINTEXT://" + machine.host() + ":9092",
        std::string("log.dirs=data"), std::string("drave.http.listener=off"),
        std::string("drave.journal.bytes=16MiB"), std::string("drave.journal.file.bytes=1MiB")}) {
    auto property = broker::parse_override(text);
    ASSERT(property.has_value());
    properties.push_back(std::move(*property));
  }
  broker::LoadedConfig loaded = broker::load_broker_config(properties, {});
  ASSERT(loaded.errors.empty());
  return *loaded.config;
}

class Driver {
 public:
  explicit Driver(std::uint64_t seed)
      : world_(seed, WorldOptions::harsh(seed)),
        server_(world_.add_node()),
        client_(world_.add_node()),
        producer_(world_.random().next(), server_.host()),
        config_(config_for(server_)) {
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

  io::Task<void> serve(io::sim::Process& process) {
    std::vector<io::Loop*> loops;
    for (std::uint32_t i = 0; i < process.shard_count(); ++i) loops.push_back(&process.loop(i));
    broker::Node node(loops, config_);
    io::Gate stop(process.loop(0));
    process.on_stop([&stop, &node] {
      node.cancel_start();
      stop.open();
    });
    const Result<void> started = co_await node.start();
    if (started) {
      if (!process.is_dead()) is_ready_ = true;
      co_await stop.wait();
    } else if (!process.is_dead() && started.error().code != Errc::canceled) {
      producer_.violate("start-fails", started.error().message());
    }
    co_await node.stop();
    if (!process.is_dead()) is_stopped_ = true;
  }

  void start() {
    is_ready_ = is_stopped_ = false;
    server_.start([this](io::sim::Process& process) { return serve(process); },
                  1 + static_cast<std::uint32_t>(world_.random().below(2)));
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
    } else {
      if (!world_.run_until([this] { return is_over() || is_ready_; }, kPatience)) {
        producer_.violate("no-progress", "the node does not come up");
      }
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
    if (is_stopped_) ++producer_.tally()["clean_stops"];
  }

  void finish() {
    if (is_over()) return;
    start();
    if (!world_.run_until([this] { return is_over() || is_ready_; }, kPatience)) {
      producer_.violate("no-progress", "the node does not come up");
    }
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
  broker::BrokerConfig config_;
  bool is_ready_ = false;
  bool is_stopped_ = false;
};

}  // namespace

RunReport run_wire_scenario(std::uint64_t seed) {
  return Driver(seed).run();
}

}  // namespace drave::simulation
