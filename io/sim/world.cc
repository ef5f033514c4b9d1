#include "io/sim/world.h"

#include <utility>

namespace drave::io::sim {

Duration Delay::draw(Random& random) const {
  if (tail_one_in != 0 && random.one_in(tail_one_in)) return tail;
  if (most <= least) return least;
  return nanoseconds(random.between(least.ns, most.ns + 1));
}

WorldOptions WorldOptions::harsh(std::uint64_t seed) {
  Random random(seed ^ 0x6861727368ULL);
  const auto rate = [&](std::uint32_t most_often) {
    // Half of the faults are off in a given world; the others differ by a factor of up to 32.
    return random.one_in(2) ? 0u : most_often << random.below(6);
  };
  WorldOptions options;
  DiskOptions& disk = options.node.disk;
  disk.read_error_one_in = rate(2000);
  disk.write_error_one_in = rate(2000);
  disk.sync_error_one_in = rate(500);
  disk.no_space_one_in = rate(500);
  disk.short_read_one_in = rate(10);
  disk.short_write_one_in = rate(10);
  disk.stall_one_in = rate(100);
  disk.direct_supported = !random.one_in(8);
  disk.garbage_sector_one_in = rate(2);
  if (random.one_in(4)) disk.device_delay = {milliseconds(1), milliseconds(20)};
  NetworkOptions& network = options.network;
  network.cut_one_in = rate(200);
  network.zombie_one_in = rate(2);
  if (random.one_in(4)) network.window_bytes = 4096;
  if (random.one_in(4)) network.latency = {milliseconds(1), milliseconds(30)};
  options.node.clock_drift_ppm = random.between(-300, 301);
  disk.name_error_one_in = rate(1000);
  disk.name_no_space_one_in = rate(300);
  return options;
}

WorldCounters& WorldCounters::operator+=(const WorldCounters& other) {
  static_assert(sizeof(WorldCounters) % sizeof(std::uint64_t) == 0);
  auto* mine = reinterpret_cast<std::uint64_t*>(this);
  const auto* theirs = reinterpret_cast<const std::uint64_t*>(&other);
  for (std::size_t i = 0; i < sizeof(WorldCounters) / sizeof(std::uint64_t); ++i) {
    mine[i] += theirs[i];
  }
  return *this;
}

std::string WorldCounters::text() const {
  std::string text;
  const auto add = [&](const char* name, std::uint64_t value) {
    if (!text.empty()) text += ' ';
    text += name;
    text += '=';
    text += std::to_string(value);
  };
  add("events", events);
  add("passes", passes);
  add("operations", operations);
  add("power_cuts", power_cuts);
  add("kills", kills);
  add("restarts", restarts);
  add("abandoned", abandoned);
  add("pauses", pauses);
  add("lost_sectors", lost_sectors);
  add("landed_sectors", landed_sectors);
  add("torn_writes", torn_writes);
  add("garbage_sectors", garbage_sectors);
  add("reordered_writes", reordered_writes);
  add("lost_names", lost_names);
  add("landed_names", landed_names);
  add("read_errors", read_errors);
  add("bad_reads", bad_reads);
  add("write_errors", write_errors);
  add("failed_syncs", failed_syncs);
  add("lying_syncs", lying_syncs);
  add("no_space", no_space);
  add("name_errors", name_errors);
  add("short_transfers", short_transfers);
  add("stalls", stalls);
  add("flips", flips);
  add("descriptors_exhausted", descriptors_exhausted);
  add("connections", connections);
  add("refused_connects", refused_connects);
  add("cuts", cuts);
  add("silences", silences);
  add("zombies", zombies);
  add("fragments", fragments);
  add("wall_jumps", wall_jumps);
  return text;
}

World::World(std::uint64_t seed, WorldOptions options)
    : seed_(seed),
      options_(options),
      seeds_(seed ^ 0x447261766553696DULL),
      scenario_random_(seeds_.next()),
      reads_buffers_late_(options.draw_late_buffers && seeds_.one_in(2)),
      network_(*this, options.network, seeds_.next()) {
  trace_.add(seed);
}

World::~World() {
  for (auto& node : nodes_) {
    if (node->is_running()) node->kill();
  }
}

Node& World::add_node(NodeOptions options) {
  const auto number = static_cast<std::uint32_t>(nodes_.size());
  nodes_.push_back(std::make_unique<Node>(*this, number, options));
  return *nodes_.back();
}

void World::at(Instant moment, std::function<void()> function) {
  const std::uint64_t id = callback_count_++;
  callbacks_.emplace(id, std::move(function));
  events_.push(moment < now_ ? now_ : moment, *this, EventKind::callback, id, 0);
}

void World::on_event(EventKind, std::uint64_t a, std::uint64_t) {
  auto callback = callbacks_.extract(a);
  callback.mapped()();
}

bool World::step() {
  if (events_.empty()) return false;
  const Event event = events_.pop();
  ASSERT(event.at >= now_);
  now_ = event.at;
  ++counters_.events;
  trace_.add(static_cast<std::uint64_t>(now_.ns) * 8 + static_cast<std::uint64_t>(event.kind));
  event.target->on_event(event.kind, event.a, event.b);
  return true;
}

bool World::run_until(const std::function<bool()>& done, Duration span) {
  const Instant deadline = now_ + span;
  while (!done()) {
    if (events_.empty() || events_.first().at > deadline) {
      now_ = deadline;
      return false;
    }
    step();
  }
  return true;
}

void World::run_for(Duration span) {
  run_until([] { return false; }, span);
}

}  // namespace drave::io::sim
