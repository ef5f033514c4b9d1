#include "tools/sim/quorum/cluster.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace drave::simulation::quorum {

namespace {

// Records of a leader that are not committed.
constexpr Offset kUncommittedMax = 500;

// Nodes are numbered from 0, and their ids are the same.
raft::ReplicaKey key_of(int node) {
  return {node, {0, 1 + static_cast<std::uint64_t>(node)}};
}

// A replica by its id and its disk.
std::string text_of(const raft::ReplicaKey& key) {
  return fmt::format("{}.{}", key.id, key.directory_id.low);
}

}  // namespace

Cluster::Cluster(std::uint64_t seed, const Shape& shape, Tally& tally)
    : random_(seed), tally_(tally), checker_(tally), network_(random_) {
  raft::VoterSet formatted;
  for (int i = 0; i < shape.voters; ++i)
    formatted.push_back(shape.is_static ? raft::ReplicaKey{i, {}} : key_of(i));
  checker_.start_with(formatted);
  for (int i = 0; i < shape.nodes; ++i) {
    const bool knows = shape.is_static || i < shape.voters;
    nodes_.push_back(
        std::make_unique<Node>(Replica(key_of(i), knows ? formatted : raft::VoterSet{}, checker_)));
  }
}

raft::CoreOptions Cluster::core_options(int node) {
  raft::CoreOptions options;
  options.seed = random_.next();
  options.request_timeout = seconds(1);
  for (int i = 0; i < size(); ++i) {
    if (i != node) options.bootstrap.push_back(i);
  }
  return options;
}

// --- Time

Instant Cluster::local(int node) const {
  const Node& each = at(node);
  const Duration real = now_ - each.drift_from;
  return each.local_from + Duration{real.ns + real.ns / 1000 * each.drift};
}

Instant Cluster::real(int node, Instant local) const {
  const Node& each = at(node);
  if (local == Instant::never()) return local;
  const std::int64_t span = (local - each.local_from).ns;
  return std::max(now_, each.drift_from + Duration{span / (1000 + each.drift) * 1000 + 1000});
}

void Cluster::drift(int node, int per_thousand) {
  const Instant now_there = local(node);
  at(node).drift_from = now_;
  at(node).local_from = now_there;
  at(node).drift = per_thousand;
}

void Cluster::jump(int node, Duration by) {
  const Instant now_there = local(node);
  at(node).drift_from = now_;
  at(node).local_from = now_there + by;
  // A timer that waits for the kernel fires at once, or later than it was meant to.
  if (!is_up(node)) return;
  at(node).tick_at = Instant::never();
  settle(node);
}

void Cluster::schedule(Instant when, Kind kind, int node, std::uint64_t argument) {
  queue_.push({when, ++order_, kind, node, replica(node).life(), argument});
}

void Cluster::note(std::uint64_t value) {
  trace_ = (trace_ ^ value) * 0x100000001B3ULL;
  trace_ ^= trace_ >> 29;
}

void Cluster::step() {
  if (queue_.empty() || violation()) return;
  const Event event = queue_.top();
  queue_.pop();
  now_ = std::max(now_, event.at);
  ++events_;
  note(static_cast<std::uint64_t>(now_.ns) ^ (static_cast<std::uint64_t>(event.kind) << 56) ^
       (static_cast<std::uint64_t>(event.node) << 48));
  if (is_paused(event.node) && event.kind != Kind::resume && event.kind != Kind::lost) {
    ++tally_["deferred_events"];
    at(event.node).deferred.push_back(event);
    return;
  }
  run(event);
  settle(event.node);
}

void Cluster::run_for(Duration span) {
  run_until([] { return false; }, span);
}

void Cluster::run(const Event& event) {
  const int node = event.node;
  const bool is_same_life = event.life == replica(node).life() && replica(node).is_running();
  switch (event.kind) {
    case Kind::message: {
      const auto found = messages_.find(event.argument);
      const Message message = std::move(found->second);
      messages_.erase(found);
      if (is_up(node)) replica(node).deliver(local(node), message);
      break;
    }
    case Kind::lost:  // the sender hears that its request failed
      if (is_same_life)
        replica(node).step(
            local(node),
            raft::RequestFailed{static_cast<NodeId>(event.argument & 0xFF), event.argument >> 8});
      break;
    case Kind::tick:
      if (!is_same_life || event.at != at(node).tick_at) break;
      at(node).tick_at = Instant::never();
      replica(node).step(local(node), raft::Tick{});
      break;
    case Kind::log_written:
      if (is_same_life) log_written(node);
      break;
    case Kind::saved:
      if (!is_same_life) break;
      at(node).saving = false;
      if (at(node).full_until > now_) {
        ++tally_["refused_saves"];
        crash(node);
        break;
      }
      replica(node).finish_save(local(node));
      break;
    case Kind::resume: {
      at(node).paused_until = {};
      // It finds its timers expired before it reads what came meanwhile.
      if (is_up(node)) replica(node).step(local(node), raft::Tick{});
      for (const Event& late : std::exchange(at(node).deferred, {})) run(late);
      break;
    }
  }
}

void Cluster::log_written(int node) {
  Node& each = at(node);
  const std::size_t count = std::exchange(each.writing, 0);
  if (std::exchange(each.fails, false)) {
    ++tally_["failed_flushes"];
    if (each.replica.fail_flush(local(node))) crash(node);
    return;
  }
  each.replica.finish_writes(local(node), count);
}

// What a node wants after it did something: messages sent, writes begun, its timer set.
void Cluster::settle(int node) {
  Node& each = at(node);
  if (!each.replica.is_running()) return;
  if (!is_paused(node) && each.replica.take_controls(local(node), each.full_until <= now_))
    ++tally_["late_controls"];
  for (Message& message : std::exchange(each.replica.outbox(), {})) send(std::move(message));
  for (const raft::ChangeVoterReply& outcome : std::exchange(each.replica.outcomes(), {}))
    ++tally_[outcome.error == raft::ErrorCode::none ? "changes_done" : "changes_refused"];
  start_writes(node);
  const Instant wanted = real(node, each.replica.core().deadline());
  if (wanted < each.tick_at || each.tick_at <= now_) {
    each.tick_at = wanted;
    if (wanted != Instant::never()) schedule(wanted, Kind::tick, node);
  }
  note(static_cast<std::uint64_t>(each.replica.core().epoch()) << 32 ^
       static_cast<std::uint64_t>(each.replica.core().high_watermark()));
}

void Cluster::start_writes(int node) {
  Node& each = at(node);
  if (each.writing == 0 && each.replica.disk().has_log_writes()) {
    each.writing = each.replica.disk().pending_count();
    schedule(now_ + disk_time(node, false), Kind::log_written, node);
  }
  if (!each.saving && each.replica.disk().has_saves()) {
    each.saving = true;
    schedule(now_ + disk_time(node, true), Kind::saved, node);
  }
}

Duration Cluster::disk_time(int node, bool is_save) {
  const Node& each = at(node);
  std::uint64_t us = each.disk.write_us / 2 + random_.below(each.disk.write_us + 1);
  if (each.disk.slow_one_in > 0 && random_.one_in(each.disk.slow_one_in)) {
    ++tally_["slow_writes"];
    us += random_.below(each.disk.slow_ms * 1000 + 1);
  }
  if (each.hung_until > now_) ++tally_["hung_writes"];
  if (!is_save && each.full_until > now_) ++tally_["full_writes"];
  const Instant until = std::max(each.hung_until, is_save ? Instant{} : each.full_until);
  const Duration held = until > now_ ? until - now_ : Duration{};
  return held + microseconds(static_cast<std::int64_t>(us));
}

// --- Messages

void Cluster::send(Message message) {
  if (message.to < 0 || message.to >= size()) return;
  const bool arrives = !network_.is_cut(message.from, message.to, now_) && !network_.loses();
  const int from = message.from;
  const std::uint64_t failure = (message.id << 8) | static_cast<std::uint64_t>(message.to);
  // A node that is down refuses connections; a cut link is silent; what is lost may be noticed.
  const bool is_refused = message.is_request && !replica(message.to).is_running();
  if (is_refused || !arrives) {
    ++tally_["lost_messages"];
    if (network_.is_cut(message.from, message.to, now_) &&
        !network_.is_cut(message.to, message.from, now_))
      ++tally_["lost_one_way"];
    if (message.is_request && (is_refused || random_.one_in(3)) &&
        !network_.is_cut(message.to, message.from, now_))
      schedule(now_ + network_.delay(), Kind::lost, from, failure);
    return;
  }
  const int copies = network_.doubles() ? 2 : 1;
  if (copies == 2) ++tally_["doubled_messages"];
  for (int i = 0; i < copies; ++i) {
    const std::uint64_t number = next_message_++;
    messages_.emplace(number, message);
    bool is_late = false;
    const Duration delay = network_.delay(is_late);
    tally_["late_messages"] += is_late;
    schedule(now_ + delay, Kind::message, message.to, number);
  }
}

// --- Nodes

void Cluster::boot(int node) {
  if (replica(node).is_running()) return;
  Node& each = at(node);
  checker_.on_boot(each.replica);
  each.writing = 0;
  each.saving = each.fails = false;
  each.tick_at = Instant::never();
  each.replica.fetch_batches_max = 1 + random_.below(12);
  each.replica.snapshot_chunks = 1 + random_.between(0, 6);
  each.replica.boot(local(node), core_options(node));
  settle(node);
}

void Cluster::crash(int node) {
  if (!replica(node).is_running()) return;
  ++tally_["crashes"];
  if (writes(node)) ++tally_["crashes_while_writing"];
  at(node).paused_until = {};
  for (const Event& late : std::exchange(at(node).deferred, {})) {
    if (late.kind == Kind::message) messages_.erase(late.argument);
  }
  const Disk::Fate fate = replica(node).crash(random_);
  tally_["lost_writes"] += fate.lost;
  tally_["torn_writes"] += fate.tore;
}

void Cluster::pause(int node, Duration span) {
  at(node).paused_until = now_ + span;
  schedule(now_ + span, Kind::resume, node);
}

void Cluster::resume(int node) {
  at(node).paused_until = {};
  schedule(now_, Kind::resume, node);
}

void Cluster::hang_disk(int node, Duration span) {
  at(node).hung_until = now_ + span;
}

void Cluster::fill_disk(int node, Duration span) {
  at(node).full_until = now_ + span;
}

void Cluster::wipe(int node) {
  ++tally_["wiped_disks"];
  checker_.on_wipe(replica(node));
  replica(node).wipe({0, next_directory_++});
}

int Cluster::leader() {
  int found = -1;
  for (int i = 0; i < size(); ++i) {
    if (!is_up(i) || !replica(i).core().is_leader()) continue;
    if (found < 0 || replica(found).core().epoch() < replica(i).core().epoch()) found = i;
  }
  return found;
}

// --- Requests

bool Cluster::propose() {
  bool taken = false;
  for (int i = 0; i < size(); ++i) taken |= propose_at(i);
  return taken;
}

bool Cluster::propose_at(int node) {
  if (!is_up(node) || is_paused(node) || !replica(node).core().is_leader()) return false;
  // Clients wait: a leader that nobody hears does not write for ever.
  const raft::Core& core = replica(node).core();
  if (core.log().end() - std::max(core.high_watermark(), core.log().start()) > kUncommittedMax)
    return false;
  const bool taken = replica(node).propose(local(node), next_value_++).has_value();
  settle(node);
  return taken;
}

bool Cluster::change_voter(raft::ChangeVoterRequest::Kind kind, const raft::ReplicaKey& voter) {
  using Kinds = raft::ChangeVoterRequest::Kind;
  const int at_node = leader();
  if (at_node < 0 || is_paused(at_node)) return false;
  ++tally_[kind == Kinds::add      ? "sent_add_voter"
           : kind == Kinds::remove ? "sent_remove_voter"
                                   : "sent_update_voter"];
  replica(at_node).change_voter(local(at_node), {kind, voter, -1, true, seconds(10)});
  settle(at_node);
  return true;
}

bool Cluster::upgrade() {
  const int at_node = leader();
  if (at_node < 0 || is_paused(at_node)) return false;
  ++tally_["sent_upgrade"];
  raft::ChangeVoterRequest request;
  request.kind = raft::ChangeVoterRequest::Kind::upgrade;
  request.timeout = seconds(10);
  for (const raft::ReplicaKey& voter : replica(at_node).core().voters())
    request.voters.push_back(replica(voter.id).key());
  replica(at_node).change_voter(local(at_node), std::move(request));
  settle(at_node);
  return true;
}

bool Cluster::command(int node, const raft::Event& event) {
  if (!is_up(node) || is_paused(node)) return false;
  const raft::Role role = replica(node).core().role();
  const std::size_t said = replica(node).outbox().size();
  replica(node).step(local(node), event);
  const bool did = replica(node).core().role() != role || replica(node).outbox().size() != said;
  settle(node);
  return did;
}

bool Cluster::snapshot(int node, bool keep_one) {
  if (!is_up(node) || is_paused(node)) return false;
  const bool is_written = replica(node).snapshot(keep_one);
  settle(node);
  return is_written;
}

std::string Cluster::text() {
  std::string text =
      fmt::format("at {} ms, committed {}:", now_.ns / 1'000'000, checker_.committed());
  for (int i = 0; i < size(); ++i) {
    if (!replica(i).is_running()) {
      text += fmt::format("\n  {} down", i);
      continue;
    }
    const raft::Core& core = replica(i).core();
    text +=
        fmt::format("\n  {} {} epoch={} leader={} log=[{}, {}) flushed={} watermark={}{}{} voters=",
                    text_of(core.self()), raft::to_string(core.role()), core.epoch(), core.leader(),
                    core.log().start(), core.log().end(), core.log().flushed(),
                    core.high_watermark(), is_paused(i) ? " paused" : "",
                    replica(i).has_failed() ? " failed: " + replica(i).fatal() : "");
    for (const raft::ReplicaKey& voter : core.voters()) text += text_of(voter) + " ";
  }
  return text;
}

}  // namespace drave::simulation::quorum
