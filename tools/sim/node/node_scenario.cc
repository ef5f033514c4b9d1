#include "tools/sim/node/node_scenario.h"

#include <fmt/format.h>

#include "base/log.h"
#include "io/sim/world.h"
#include "tools/sim/node/workload.h"

namespace drave::simulation {

using io::sim::DiskOptions;
using io::sim::Node;
using io::sim::World;
using io::sim::WorldOptions;

namespace {

constexpr std::uint64_t kEventsMin = 6000;
constexpr int kBootsMin = 8;
constexpr int kBootsMax = 60;
// Longer than a stall and what follows it; of simulated time.
constexpr Duration kPatience = seconds(60);
constexpr std::int32_t kDescriptorsEnough = 20'000;
constexpr std::uint64_t kDescriptorsFew = 12;  // fewer than a node has open

// Drives the node through its lives.
class Driver {
 public:
  explicit Driver(std::uint64_t seed)
      : world_(seed, WorldOptions::harsh(seed)),
        node_(world_.add_node()),
        harsh_(node_.disk().options()),
        workload_(world_.random().next(), 2 + static_cast<std::uint32_t>(seed % 5)) {
    gentle_ = harsh_;
    gentle_.stop_errors();
    // Whoever set the machine up made the data directory.
    node_.disk().make_directory(kDataDirectory);
    node_.disk().sync_all();
    // Some disks are small.
    if (world_.random().one_in(6)) harsh_.capacity_bytes = 3 << 20;
    // And some break down rather often.
    if (world_.random().one_in(2)) {
      harsh_.sync_error_one_in = 400;
      harsh_.write_error_one_in = 800;
      harsh_.no_space_one_in = 400;
      harsh_.name_no_space_one_in = 200;
    }
    // Some sync each write, and often in vain.
    syncs_in_vain_ = world_.random().one_in(3);
    if (syncs_in_vain_) {
      harsh_.direct_supported = gentle_.direct_supported = false;
      harsh_.sync_error_one_in = 12;
    }
    rots_ = world_.random().one_in(4);
    starves_ = world_.random().one_in(3);
  }

  RunReport run() {
    for (int boot = 0; boot < kBootsMax && !workload_.violation(); ++boot) {
      if (boot >= kBootsMin && world_.counters().events >= kEventsMin) break;
      live_and_die();
    }
    finish();
    if (node_.is_running()) node_.kill();
    return {world_.trace_hash(), world_.counters(), workload_.tally(), workload_.violation()};
  }

 private:
  bool is_over() const { return workload_.violation() || !node_.is_running(); }

  void start(bool faulty) {
    node_.disk().options() = faulty ? harsh_ : gentle_;
    workload_.set_faulty(faulty);
    workload_.set_starved(node_.options().descriptors_max < kDescriptorsEnough);
    node_.start([this](io::sim::Process& process) { return workload_.run(process); },
                1 + static_cast<std::uint32_t>(world_.random().below(3)));
  }

  // What the process is doing, for the detail of a violation.
  std::string shards_text() {
    std::string text;
    for (std::uint32_t i = 0; node_.is_running() && i < node_.process().shard_count(); ++i) {
      io::Loop& loop = node_.process().loop(i);
      text += fmt::format(" shard {}: in_flight={} timers={} ready={}", i, loop.in_flight_count(),
                          loop.timers().armed_count(), loop.has_ready());
    }
    return text;
  }

  void live_and_die() {
    Random& random = world_.random();
    if (!random.one_in(4)) feed();
    if (rots_ && random.one_in(3)) workload_.rot(node_.disk());
    start(syncs_in_vain_ || random.one_in(3));
    // Some lives end while the node still recovers.
    const std::int64_t longest_us = random.one_in(4) ? 3'000 : 150'000;
    const std::uint64_t failed_before = world_.counters().failed_syncs;
    auto has_failed = [&] { return world_.counters().failed_syncs > failed_before; };
    world_.run_until([&] { return is_over() || has_failed(); },
                     microseconds(random.between(1, longest_us)));
    if (is_over()) return;
    if (has_failed()) return outlive_failed_sync();
    if (random.one_in(6)) node_.jump_wall_clock(random.between(-100'000, 100'000));
    if (starves_ && random.one_in(3)) starve();
    if (is_over()) return;
    if (random.below(4) != 0) {  // crashes hurt most in the middle of a write
      world_.run_until([this] { return is_over() || node_.has_disk_writes_in_flight(); },
                       milliseconds(20));
      world_.run_until([this] { return is_over(); }, microseconds(random.between(0, 150)));
    }
    if (is_over()) return;
    const std::uint64_t draw = random.below(100);
    LOG_DEBUG("sim", "life ends at_us={} how={}", world_.now().ns / 1000,
              draw < 55   ? "power cut"
              : draw < 80 ? "kill"
                          : "stop");
    if (draw < 55) {
      node_.power_cut();
    } else if (draw < 80) {
      node_.kill();
    } else {
      stop();
    }
  }

  // No file can be opened for a while. The node lives, and goes on when it is over; now and then
  // it is not over when the node ends, or begins.
  void starve() {
    Random& random = world_.random();
    ++workload_.tally()["starved"];
    workload_.set_starved(true);
    node_.set_descriptors_max(static_cast<std::int32_t>(random.below(kDescriptorsFew)));
    world_.run_until([this] { return is_over(); },
                     microseconds(random.between(0, random.one_in(3) ? 3'000'000 : 200'000)));
    if (is_over() || random.one_in(4)) return;
    feed();
    const std::uint64_t before = workload_.acknowledged();
    const bool goes_on =
        world_.run_until([&] { return is_over() || workload_.acknowledged() > before; }, kPatience);
    if (!goes_on)
      workload_.violate(
          {"no-progress", "descriptors are there and nothing is acknowledged:" + shards_text()});
    if (!is_over()) ++workload_.tally()["outlived_starving"];
  }

  void feed() { node_.set_descriptors_max(kDescriptorsEnough); }

  // What a sync could not write may be gone for good: whoever goes on all the same has promised too
  // much by the time that the power goes.
  void outlive_failed_sync() {
    Random& random = world_.random();
    // Often the disk says nothing more from now on.
    const bool is_quiet = random.one_in(2);
    if (is_quiet) node_.disk().options().sync_error_one_in = 0;
    const std::int64_t longest_us = is_quiet ? 100'000 : random.one_in(2) ? 5'000 : 30'000;
    world_.run_until([this] { return is_over(); }, microseconds(random.between(0, longest_us)));
    if (workload_.violation()) return;
    ++workload_.tally()["cuts_after_failed_sync"];
    node_.power_cut();
  }

  void stop() {
    node_.stop();
    if (world_.run_until([this] { return is_over(); }, kPatience)) return;
    workload_.violate({"stop-hangs", "the node was told to stop and did not:" + shards_text()});
  }

  // With a disk that works the node recovers, takes records for every topic, and stops cleanly.
  void finish() {
    if (workload_.violation()) return;
    feed();
    start(false);
    const std::uint64_t recovered = workload_.verified_boots();
    const std::uint64_t wanted = workload_.acknowledged() + workload_.topic_count() * 5;
    const bool progressed = world_.run_until(
        [&] {
          return workload_.violation() ||
                 (workload_.verified_boots() > recovered && workload_.acknowledged() >= wanted);
        },
        kPatience);
    if (workload_.violation()) return;
    if (!progressed) {
      workload_.violate(
          {"no-progress", fmt::format("running={} recovered={} acknowledged={} wanted={}{}",
                                      node_.is_running(), workload_.verified_boots() > recovered,
                                      workload_.acknowledged(), wanted, shards_text())});
      return;
    }
    stop();
    if (workload_.violation()) return;
    start(false);
    const std::uint64_t before = workload_.verified_boots();
    if (!world_.run_until(
            [&] { return workload_.violation() || workload_.verified_boots() > before; },
            kPatience)) {
      workload_.violate({"no-progress", "after a clean stop the node does not come up"});
    }
  }

  World world_;
  Node& node_;
  DiskOptions harsh_;
  DiskOptions gentle_;
  Workload workload_;
  bool rots_ = false;
  bool starves_ = false;
  bool syncs_in_vain_ = false;
};

}  // namespace

RunReport run_node_scenario(std::uint64_t seed) {
  return Driver(seed).run();
}

}  // namespace drave::simulation
