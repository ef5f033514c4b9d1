#include "tools/sim/cluster/cluster_scenario.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>

#include "base/mark.h"
#include "io/sim/world.h"
#include "tools/sim/cluster/client.h"
#include "tools/sim/cluster/member.h"
#include "tools/sim/cluster/promises.h"
#include "tools/sim/cluster/watch.h"

namespace drave::simulation {

using io::sim::Node;
using io::sim::World;

namespace {

constexpr int kClients = 3;
constexpr int kRoundsMin = 8;
constexpr int kRoundsMax = 24;
constexpr Duration kPatience = seconds(120);
// A loop passes for a reason: something has come, or a timer fires.
constexpr std::uint64_t kPassesPerOperation = 4;
constexpr std::uint64_t kPassesFree = 10'000;

// Half of the worlds have disks and networks that fail by themselves.
bool is_harsh(std::uint64_t seed) {
  return seed % 2 != 0;
}

io::sim::WorldOptions world_options(std::uint64_t seed) {
  if (!is_harsh(seed)) return {};
  io::sim::WorldOptions options = io::sim::WorldOptions::harsh(seed);
  if (seed % 3 == 0) {
    options.node.disk.write_error_one_in = 2000;
    options.node.disk.sync_error_one_in = 500;
    options.node.disk.name_no_space_one_in = 500;
  }
  return options;
}

class Run {
 public:
  explicit Run(std::uint64_t seed)
      : is_harsh_(is_harsh(seed)), world_(seed, world_options(seed)), random_(world_.random()) {
    draw_members();
    watch_.emplace(members_.size(), promises_, Random(random_.next()));
    std::vector<io::SocketAddress> brokers;
    for (const auto& member : members_)
      if (member->is_broker()) brokers.push_back({member->machine().host(), kClientPort});
    for (int i = 0; i < kClients; ++i) {
      clients_.push_back(
          std::make_unique<ClusterClient>(i, random_.next(), brokers, promises_, *watch_));
      client_machines_.push_back(&world_.add_node());
      // Of a client nothing is asked but to go on.
      client_machines_.back()->disk().options().stop_errors();
    }
  }

  RunReport run() {
    marks.clear();
    for (const auto& member : members_) member->start();
    const std::uint64_t phases = 1 + random_.below(2);
    for (std::uint64_t phase = 0; phase < phases && is_well(); ++phase) {
      send_clients();
      harm_and_heal();
      recall_clients();
      settle("all are healed");
    }
    if (is_well()) {
      for (const auto& member : members_)
        if (member->machine().is_running()) member->machine().power_cut();
      ++tally()["power_cuts_of_all"];
      settle("all have lost their power");
    }
    if (is_well()) stop_all();
    for (std::size_t i = 0; i < world_.node_count(); ++i)
      if (world_.node(i).is_running()) world_.node(i).kill();
    const io::sim::WorldCounters& counters = world_.counters();
    if (counters.passes > kPassesFree + kPassesPerOperation * counters.operations)
      promises_.violate("busy-loop", fmt::format("{} passes of loops for {} operations",
                                                 counters.passes, counters.operations));
    for (const auto& [name, count] : marks) tally()[name] += count;
    return {world_.trace_hash(), world_.counters(), tally(), promises_.violation()};
  }

 private:
  Tally& tally() { return promises_.tally(); }
  bool is_well() const { return !promises_.violation().has_value(); }
  Member& any() { return *members_[random_.below(members_.size())]; }

  // Looks at everything after each event; true if `done` came in time.
  template <class Done>
  bool run_until(Done done, Duration most) {
    bool is_done = false;
    world_.run_until(
        [&] {
          for (std::size_t i = 0; i < members_.size(); ++i) look(i);
          is_done = done();
          return is_done || !is_well();
        },
        most);
    return is_done;
  }
  void look(std::size_t index) {
    Member& member = *members_[index];
    watch_->look(index, member);
    if (!is_harsh_ && member.has_failed())
      promises_.violate("node-failed", fmt::format("node {}: {}", member.id(), member.problem()));
  }
  void run_for(Duration span) {
    run_until([] { return false; }, span);
  }

  // --- The cluster

  void draw_members() {
    const std::uint64_t draw = random_.below(100);
    const int controllers = draw < 15 ? 5 : 3;
    const bool apart = draw >= 85;
    const int brokers = apart ? 2 : draw >= 60 ? 1 : 0;  // that are only that
    const bool is_static = random_.one_in(6);
    ++tally()[controllers == 5 ? "clusters_of_five"
              : apart          ? "clusters_with_roles_apart"
              : brokers > 0    ? "clusters_with_observer"
                               : "clusters_of_three"];
    raft::FormatOptions format;
    std::string servers;
    for (int i = 0; i < controllers + brokers; ++i) world_.add_node();
    for (int i = 0; i < controllers; ++i) {
      const std::string& host = world_.node(i).host();
      format.initial_controllers.push_back({i + 1, host, kControllerPort, Uuid{7, 100u + i}});
      servers += fmt::format("{}{}{}:{}", i == 0 ? "" : ",",
                             is_static ? fmt::format("{}@", i + 1) : "", host, kControllerPort);
    }
    if (is_static) format.initial_controllers.clear();
    const std::vector<std::string> settings = draw_settings(is_static, servers);
    for (int i = 0; i < controllers + brokers; ++i) {
      Member::Options options;
      options.id = i + 1;
      options.roles = i >= controllers ? Roles::broker : apart ? Roles::controller : Roles::both;
      options.settings = settings;
      options.format = format;
      options.format.mode = is_static          ? raft::FormatMode::static_voters
                            : i >= controllers ? raft::FormatMode::no_initial_controllers
                                               : raft::FormatMode::initial_controllers;
      if (i >= controllers) options.format.initial_controllers.clear();
      options.shards = random_.one_in(3) ? 2 : 1;
      members_.push_back(std::make_unique<Member>(world_.node(i), options));
    }
  }

  std::vector<std::string> draw_settings(bool is_static, const std::string& servers) {
    std::vector<std::string> settings{
        (is_static ? "controller.quorum.voters=" : "controller.quorum.bootstrap.servers=") +
            servers,
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users=User:ANONYMOUS",
        fmt::format("metadata.log.max.record.bytes.between.snapshots={}", 2000 << random_.below(5)),
        fmt::format("metadata.max.retention.bytes={}", 4000 << random_.below(5)),
        "internal.metadata.log.segment.bytes=65536"};
    // Then a topic of many partitions is a transaction (client.cc, kPartitionsAtOnce).
    has_transactions_ = random_.one_in(2);
    if (has_transactions_) settings.push_back("internal.metadata.max.batch.size.in.bytes=1024");
    if (random_.one_in(2)) {
      settings.push_back("broker.session.timeout.ms=2000");
      settings.push_back("broker.heartbeat.interval.ms=500");
    }
    if (random_.one_in(2)) {
      settings.push_back("controller.quorum.fetch.timeout.ms=600");
      settings.push_back("controller.quorum.election.timeout.ms=400");
      settings.push_back("controller.quorum.election.backoff.max.ms=300");
      settings.push_back("controller.quorum.request.timeout.ms=600");
    }
    return settings;
  }

  // --- Clients

  void send_clients() {
    for (std::size_t i = 0; i < clients_.size(); ++i) {
      ClusterClient* client = clients_[i].get();
      client_machines_[i]->start(
          [client](io::sim::Process& process) { return client->work(process); }, 1);
    }
  }
  bool clients_are_back() const {
    return std::none_of(client_machines_.begin(), client_machines_.end(),
                        [](const Node* machine) { return machine->is_running(); });
  }
  void recall_clients() {
    for (const auto& client : clients_) client->end();
    if (!run_until([this] { return clients_are_back(); }, kPatience) && is_well())
      promises_.violate("no-progress", "a client's request does not end");
  }

  // --- Faults

  void harm_and_heal() {
    const std::int64_t rounds = random_.between(kRoundsMin, kRoundsMax);
    for (std::int64_t round = 0; round < rounds && is_well(); ++round) {
      run_for(microseconds(random_.between(1000, 700'000)));
      harm();
      look_after();
    }
    heal();
  }

  void harm() {
    Node& node = any().machine();
    Node& other = any().machine();
    switch (random_.below(20)) {
      case 0:
      case 1:
        if (node.is_running()) node.kill();
        break;
      case 2:
      case 3:
        run_until([&] { return node.has_disk_writes_in_flight(); }, milliseconds(20));
        if (node.is_running()) node.power_cut();
        break;
      case 4:
      case 5:
      case 6:
        if (node.number() == other.number()) break;
        ++tally()["blocked_links"];
        world_.network().block(node, other);
        if (random_.one_in(2)) world_.network().block(other, node);
        break;
      case 7: isolate(node); break;
      case 8: world_.network().unblock_all(); break;
      case 9:
        if (node.number() != other.number()) world_.network().cut(node, other);
        break;
      case 10:
      case 11:
        if (node.is_running() && !node.is_paused()) node.pause();
        break;
      case 12:
        if (!node.is_running() || node.is_paused()) break;
        node.stop();
        ++tally()["clean_stops"];
        break;
      case 13: node.jump_wall_clock(random_.between(-100'000, 100'000)); break;
      case 14:
        ++tally()["slow_disks"];
        node.disk().options().stall_one_in = 3;
        break;
      case 15:
        if (random_.one_in(2)) harm_all();
        break;
      case 16:
      case 17: ask_to_hand_over(random_.one_in(2)); break;
      case 18:
        if (has_transactions_)
          harm_transaction();
        else
          depose();
        break;
      case 19: depose(); break;
      default: break;
    }
  }

  void isolate(Node& node) {
    ++tally()["isolated"];
    for (const auto& member : members_) {
      if (member->machine().number() == node.number()) continue;
      world_.network().block(node, member->machine());
      if (random_.below(4) != 0) world_.network().block(member->machine(), node);
    }
  }

  // Whoever leads is asked to hand over, perhaps while it has still to become active; to a voter
  // that may be down, so that nothing comes of it.
  void ask_to_hand_over(bool is_new) {
    Member* leader = nullptr;
    const auto leads = [&] { return (leader = find_leader(is_new)) != nullptr; };
    if (!run_until(leads, seconds(2)) || !is_well()) return;
    ++tally()[is_new ? "hand_overs_of_new" : "hand_overs"];
    leader->hand_over_to(any().id());
  }

  // Null: nobody leads, or nobody that `is_new` and not active yet.
  Member* find_leader(bool is_new) {
    Member* leader = nullptr;
    for (const auto& member : members_) {
      if (member->is_stopping() || member->controller() == nullptr) continue;
      broker::QuorumController& controller = *member->controller();
      if (controller.raft().is_leader() && !(is_new && controller.is_active()))
        leader = member.get();
    }
    return leader;
  }

  // Whoever leads has begun a transaction, and is harmed before it can have come to its end
  // everywhere.
  void harm_transaction() {
    const std::uint64_t before = marks["transactions"];
    if (!run_until([&] { return marks["transactions"] > before; }, seconds(2)) || !is_well())
      return;
    ++tally()["transactions_harmed"];
    run_for(microseconds(random_.between(0, 1000)));
    Member* leader = find_leader(false);
    if (leader == nullptr || !is_well()) return;
    switch (random_.below(3)) {
      case 0: leader->machine().power_cut(); break;
      case 1: isolate(leader->machine()); break;
      default: leader->hand_over_to(any().id()); break;
    }
  }

  Member* active() {
    for (const auto& member : members_) {
      broker::QuorumController* controller = member->controller();
      if (controller != nullptr && controller->is_active()) return member.get();
    }
    return nullptr;
  }

  // The active controller is cut off from all other members, and its clients go on asking it, until
  // it knows that it leads no more: what it was asked for meanwhile it cannot promise.
  void depose() {
    Member* deposed = active();
    if (deposed == nullptr || deposed->machine().is_paused()) return;
    for (const auto& member : members_) {
      if (member.get() == deposed) continue;
      world_.network().block(deposed->machine(), member->machine());
      world_.network().block(member->machine(), deposed->machine());
    }
    const bool is_deposed = run_until(
        [&] {
          broker::QuorumController* controller = deposed->controller();
          return controller == nullptr || !controller->is_active();
        },
        seconds(4));
    // Who leads next goes its own way.
    run_until([&] { return active() != nullptr; }, seconds(4));
    if (is_deposed) ++tally()["deposed"];
  }

  void harm_all() {
    const bool power = random_.one_in(2);
    ++tally()[power ? "power_cuts_of_all" : "kills_of_all"];
    for (const auto& member : members_) {
      Node& machine = member->machine();
      if (!machine.is_running()) continue;
      if (power)
        machine.power_cut();
      else
        machine.kill();
    }
  }

  void look_after() {
    for (const auto& member : members_) {
      Node& machine = member->machine();
      if (machine.is_running() && machine.is_paused() && random_.one_in(3)) machine.resume();
      if (!machine.is_running() && random_.one_in(2)) member->start();
      if (random_.one_in(4)) machine.disk().options().stall_one_in = 0;
    }
    if (random_.one_in(6)) world_.network().unblock_all();
  }

  // --- Liveness

  void heal() {
    world_.network().unblock_all();
    for (const auto& member : members_) {
      io::sim::DiskOptions& disk = member->machine().disk().options();
      disk.stop_errors();
      disk.stall_one_in = 0;
      if (member->machine().is_running() && member->machine().is_paused())
        member->machine().resume();
    }
  }

  // A node may still die of a write that failed before.
  void start_missing() {
    for (const auto& member : members_)
      if (!member->machine().is_running()) member->start();
  }

  // Every node has the same image, with all that is acknowledged, in which every broker is in
  // service.
  bool agree() {
    std::optional<std::uint64_t> hash;
    for (const auto& member : members_) {
      broker::QuorumController* controller = member->controller();
      if (controller == nullptr || !member->is_ready()) return false;
      if (controller->published_end() < promises_.acknowledged_end()) return false;
      const metadata::ImagePtr image = controller->image();
      const std::uint64_t its = hash_of(*image);
      if (hash.value_or(its) != its) return false;
      hash = its;
      for (const auto& each : members_) {
        const metadata::RegistrationImage* broker = image->broker(each->id());
        if (each->is_broker() && (broker == nullptr || !broker->is_active())) return false;
      }
    }
    return true;
  }

  bool await_agreement() {
    const Instant limit = world_.now() + kPatience;
    while (world_.now() < limit && is_well()) {
      start_missing();
      if (agree()) return true;
      run_for(milliseconds(100));
    }
    return false;
  }

  void settle(std::string_view when) {
    if (!is_well()) return;
    if (!await_agreement()) return tell_disagreement(when);
    // It is known to all, and stays so.
    for (const auto& member : members_) promises_.check(*member->controller()->image());
    ClusterClient* client = clients_[0].get();
    client_machines_[0]->start(
        [client](io::sim::Process& process) { return client->create_through_each(process); }, 1);
    const Instant limit = world_.now() + kPatience;
    while (client_machines_[0]->is_running() && is_well()) {
      if (world_.now() >= limit)
        return promises_.violate("no-progress", fmt::format("no topic is created, {}", when));
      start_missing();  // one that was told to stop may have gone meanwhile
      run_until([this] { return !client_machines_[0]->is_running(); }, milliseconds(100));
    }
    if (!is_well()) return;
    if (!await_agreement()) return tell_disagreement(when);
    for (const auto& member : members_) promises_.check(*member->controller()->image());
  }

  void tell_disagreement(std::string_view when) {
    if (!is_well()) return;
    std::string text(when);
    for (const auto& member : members_) {
      broker::QuorumController* controller = member->controller();
      text += fmt::format(" [{} ready={} {}", member->id(), member->is_ready(), member->problem());
      if (controller != nullptr)
        text += fmt::format("active={} image={} hash={:016x}", controller->is_active(),
                            controller->image()->last_contained().offset,
                            hash_of(*controller->image()));
      text += "]";
    }
    for (const auto& [id, broker] : watch_->newest()->brokers())
      text += fmt::format(" broker={} fenced={} leaves={}", id, broker.fenced,
                          broker.in_controlled_shutdown);
    promises_.violate("no-agreement", text);
  }

  void stop_all() {
    for (const auto& member : members_)
      if (member->machine().is_running()) member->machine().stop();
    const auto ended = [this] {
      return std::none_of(members_.begin(), members_.end(),
                          [](const auto& member) { return member->machine().is_running(); });
    };
    if (!run_until(ended, kPatience) && is_well())
      promises_.violate("stop-hangs", "all were told to stop");
  }

  const bool is_harsh_;
  bool has_transactions_ = false;
  World world_;
  Random& random_;
  Promises promises_;
  std::vector<std::unique_ptr<Member>> members_;
  std::optional<MetadataWatch> watch_;
  std::vector<std::unique_ptr<ClusterClient>> clients_;
  std::vector<Node*> client_machines_;
};

}  // namespace

RunReport run_cluster_scenario(std::uint64_t seed) {
  return Run(seed).run();
}

}  // namespace drave::simulation
