#include "io/sim/node.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "io/sim/world.h"

namespace drave::io::sim {
namespace {

// A corpse that has not come to its end after this many passes is abandoned.
constexpr int kCorpsePassesMax = 200'000;

Task<void> run_program(Node::Program program, Process& process, bool& ended) {
  co_await program(process);
  ended = true;
}

}  // namespace

Process::Process(Node& node, std::uint32_t shards, std::uint64_t incarnation)
    : node_(node), incarnation_(incarnation) {
  std::vector<Loop*> loops;
  for (std::uint32_t i = 0; i < shards; ++i) {
    shards_.push_back(std::make_unique<Shard>(*this, i));
    loops.push_back(&shards_.back()->loop);
  }
  if (shards > 1) hub_ = std::make_unique<MailboxHub>(loops);
}

Process::~Process() = default;

bool Process::has_free_descriptor() {
  if (descriptor_count_ < node_.options().descriptors_max) return true;
  ++node_.world().counters().descriptors_exhausted;
  return false;
}

std::int32_t Process::add_descriptor(Descriptor descriptor) {
  if (!has_free_descriptor()) return -EMFILE;
  ++descriptor_count_;
  if (descriptor.inode != nullptr) descriptor.inode->opened();
  // The lowest free number, as Linux does: a handle that is used after its close hits another file.
  const auto free = std::find_if(descriptors_.begin(), descriptors_.end(),
                                 [](const Descriptor& at) { return !at.is_used(); });
  const auto number = static_cast<std::int32_t>(free - descriptors_.begin());
  if (free == descriptors_.end()) {
    descriptors_.push_back(std::move(descriptor));
  } else {
    *free = std::move(descriptor);
  }
  return number;
}

Descriptor* Process::find_descriptor(Handle handle) {
  if (handle.value < 0 || static_cast<std::size_t>(handle.value) >= descriptors_.size()) {
    return nullptr;
  }
  Descriptor& descriptor = descriptors_[static_cast<std::size_t>(handle.value)];
  return descriptor.is_used() ? &descriptor : nullptr;
}

void Process::free_descriptor(Handle handle) {
  Descriptor* descriptor = find_descriptor(handle);
  if (descriptor->inode != nullptr && descriptor->inode->lock_holder == lock_number(handle)) {
    descriptor->inode->lock_holder = 0;
  }
  if (descriptor->inode != nullptr) descriptor->inode->closed();
  *descriptor = {};
  --descriptor_count_;
}

std::uint64_t Process::lock_number(Handle handle) const {
  return (incarnation_ << 32) + static_cast<std::uint32_t>(handle.value) + 1;
}

Node::Node(World& world, std::uint32_t number, NodeOptions options)
    : world_(world),
      number_(number),
      options_(options),
      host_("10.0.0." + std::to_string(number + 1)),
      random_(world.draw_seed()),
      disk_(options.disk, world.draw_seed(), world.counters()) {}

Node::~Node() = default;

void Node::start(Program program, std::uint32_t shards) {
  ASSERT(process_ == nullptr);
  if (incarnations_ > 0) ++world_.counters().restarts;
  has_power_ = true;
  paused_ = false;
  world_.network().node_started(*this);
  disk_.forget_failed_syncs();
  process_ =
      std::make_unique<Process>(*this, shards == 0 ? options_.shards : shards, ++incarnations_);
  Process& process = *process_;
  process.loop(0).start(run_program(std::move(program), process, process.program_ended_));
  for (std::uint32_t i = 0; i < process.shard_count(); ++i) touch(i);
}

void Node::stop() {
  if (process_ == nullptr) return;
  for (auto& function : process_->on_stop_) function();
  for (std::uint32_t i = 0; i < process_->shard_count(); ++i) touch(i);
}

void Node::kill() {
  ++world_.counters().kills;
  crash(false);
}

void Node::power_cut() {
  ++world_.counters().power_cuts;
  crash(true);
}

void Node::crash(bool power) {
  world_.trace().add(power ? 0xDEAD1 : 0xDEAD0);
  std::unique_ptr<Process> corpse = std::move(process_);
  has_power_ = !power;
  if (corpse != nullptr) {
    corpse->dead_ = true;
    corpse->dead_now_ = now();
    for (auto& shard : corpse->shards_) shard->backend.die(power);
  }
  if (power || corpse != nullptr) world_.network().process_died(*this, power);
  if (corpse != nullptr) {
    for (std::size_t i = 0; i < corpse->descriptors_.size(); ++i) {
      const Handle handle{static_cast<std::int32_t>(i)};
      if (corpse->find_descriptor(handle) != nullptr) corpse->free_descriptor(handle);
    }
  }
  if (power) disk_.power_cut();
  if (corpse != nullptr) bury(std::move(corpse));
}

void Node::bury(std::unique_ptr<Process> corpse) {
  if (!corpse->program_ended_) {
    for (auto& function : corpse->on_stop_) function();
  }
  const auto is_quiet = [](const Process::Shard& shard) {
    return !shard.loop.has_ready() && !shard.backend.has_work() &&
           shard.loop.in_flight_count() == 0;
  };
  // A timer that fires in a quiet pass may leave mail that the next pass sends, to a shard whose
  // turn was before: three quiet rounds say that nothing is on the way.
  for (int round = 0, quiet_rounds = 0; round < kCorpsePassesMax; ++round) {
    bool all_quiet = true;
    Instant deadline = Instant::never();
    for (auto& shard : corpse->shards_) {
      all_quiet = all_quiet && is_quiet(*shard);
      shard->loop.pass(Instant{});
      deadline = std::min(deadline, shard->loop.next_deadline());
    }
    quiet_rounds = all_quiet ? quiet_rounds + 1 : 0;
    if (quiet_rounds < 3) continue;
    if (deadline == Instant::never()) break;
    corpse->dead_now_ = std::max(corpse->dead_now_, deadline);
    quiet_rounds = 0;
  }
  bool at_rest = corpse->program_ended_;
  for (auto& shard : corpse->shards_) {
    at_rest = at_rest && is_quiet(*shard) && shard->loop.next_deadline() == Instant::never();
  }
  if (at_rest) return;
  ++world_.counters().abandoned;
  // Deliberately never freed: coroutines that still stand would be destroyed in mid-flight.
  static auto* const abandoned = new std::vector<std::unique_ptr<Process>>;
  abandoned->push_back(std::move(corpse));
}

void Node::pause() {
  paused_ = true;
  ++world_.counters().pauses;
}

void Node::resume() {
  paused_ = false;
  if (process_ == nullptr) return;
  for (std::uint32_t i = 0; i < process_->shard_count(); ++i) touch(i);
}

void Node::jump_wall_clock(std::int64_t milliseconds) {
  wall_offset_ms_ += milliseconds;
  ++world_.counters().wall_jumps;
}

bool Node::has_disk_writes_in_flight() const {
  if (process_ == nullptr) return false;
  return std::any_of(process_->shards_.begin(), process_->shards_.end(),
                     [](const auto& shard) { return shard->backend.has_disk_writes_in_flight(); });
}

Instant Node::now() const {
  const std::int64_t passed = world_.now().ns;
  // Drift in parts of a million, without overflow for years of world time.
  return Instant{options_.boot_offset.ns + passed + passed / 1'000'000 * options_.clock_drift_ppm};
}

Instant Node::world_time_of(Instant node_time) const {
  if (node_time == Instant::never()) return node_time;
  const std::int64_t ahead = (node_time - now()).ns;
  if (ahead <= 0) return world_.now();
  // Late by at most the drift and a little; a pass that comes too early only passes again.
  const std::int64_t correction = ahead / 1'000'000 * options_.clock_drift_ppm;
  return world_.now() + nanoseconds(ahead - correction + 1000);
}

TimestampMs Node::wall_now() const {
  return options_.wall_start_ms + (now().ns - options_.boot_offset.ns) / 1'000'000 +
         wall_offset_ms_;
}

Flight& Node::take_flight(SimBackend& backend, Operation& operation) {
  if (free_flights_.empty()) {
    flights_.push_back(std::make_unique<Flight>());
    flights_.back()->index = static_cast<std::uint32_t>(flights_.size() - 1);
    free_flights_.push_back(flights_.back().get());
  }
  Flight& flight = *free_flights_.back();
  free_flights_.pop_back();
  flight.operation = &operation;
  flight.backend = &backend;
  operation.backend_word[0] = flight.index;
  operation.backend_word[1] = flight.generation + std::uint64_t{1};
  return flight;
}

void Node::recycle(Flight& flight) {
  ++flight.generation;
  flight.operation = nullptr;
  flight.backend = nullptr;
  flight.inode.reset();
  flight.connection.reset();
  flight.listening.reset();
  flight.give_up_at = Instant::never();
  flight.has_early_bytes = false;
  flight.syncing = false;
  free_flights_.push_back(&flight);
}

Flight* Node::find_flight(std::uint64_t index, std::uint64_t generation) {
  if (index >= flights_.size()) return nullptr;
  Flight& flight = *flights_[index];
  return flight.generation == generation && flight.operation != nullptr ? &flight : nullptr;
}

void Node::schedule_flight(Flight& flight, Instant at) {
  world_.events().push(at, *this, EventKind::flight, flight.index, flight.generation);
}

void Node::touch(std::uint32_t shard) {
  if (process_ == nullptr || process_->dead_ || paused_) return;
  const Instant soon = std::max(world_.now(), process_->shards_[shard]->busy_until);
  schedule_pass(shard, soon + world_.options().pass_cost.draw(random_));
}

void Node::schedule_pass(std::uint32_t shard, Instant at) {
  Process::Shard& target = *process_->shards_[shard];
  if (target.pass_at <= at) return;
  target.pass_at = at;
  ++target.pass_number;
  world_.events().push(at, *this, EventKind::pass, shard,
                       (incarnations_ << 40) + target.pass_number);
}

void Node::schedule_next(std::uint32_t shard) {
  Process::Shard& target = *process_->shards_[shard];
  if (target.loop.has_ready() || target.backend.has_work()) {
    touch(shard);
    return;
  }
  const Instant deadline = world_time_of(target.loop.next_deadline());
  if (deadline != Instant::never()) schedule_pass(shard, std::max(deadline, target.busy_until));
}

std::uint64_t Node::work_done(const Process::Shard& shard) {
  return shard.backend.delivery_count() + shard.loop.counters().timers_fired;
}

void Node::pass(std::uint32_t shard) {
  Process::Shard& passing = *process_->shards_[shard];
  passing.pass_at = Instant::never();
  if (paused_) return;
  ++world_.counters().passes;
  const std::uint64_t done_before = work_done(passing);
  passing.loop.pass(Instant{});
  passing.busy_until = world_.now() + world_.options().pass_cost.draw(random_);
  if (process_->program_ended_) {
    process_->dead_ = true;
    process_->dead_now_ = now();
    world_.trace().add(0xE0D);
    crash(false);
    return;
  }
  // What completions and timers sent to other shards leaves at the head of the next pass.
  if (process_->shard_count() > 1 && work_done(passing) != done_before) touch(shard);
  schedule_next(shard);
  for (std::uint32_t other = 0; other < process_->shard_count(); ++other) {
    if (other != shard && process_->loop(other).has_ready()) touch(other);
  }
}

bool Node::resolves_to(const SocketAddress& address, const Node& from) const {
  if (address.host == host_) return true;
  const bool is_own = address.host == "127.0.0.1" || address.host == "localhost" ||
                      address.host == "::1" || address.host == "0.0.0.0";
  return is_own && &from == this;
}

void Node::on_event(EventKind kind, std::uint64_t a, std::uint64_t b) {
  if (kind == EventKind::pass) {
    if (process_ == nullptr || b >> 40 != incarnations_) return;
    const auto shard = static_cast<std::uint32_t>(a);
    if (process_->shards_[shard]->pass_number != (b & ((std::uint64_t{1} << 40) - 1)) ||
        process_->shards_[shard]->pass_at == Instant::never()) {
      return;
    }
    pass(shard);
    return;
  }
  if (Flight* flight = find_flight(a, b); flight != nullptr) flight->backend->take_effect(*flight);
}

}  // namespace drave::io::sim
