#include "tools/sim/raft/raft_peer.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/log.h"
#include "protocol/record_frame.h"
#include "raftlog/net/raft_service.h"
#include "raftlog/quorum_state.h"
#include "segments/log_directory.h"

namespace drave::simulation {

namespace {

segments::LogDirectoryOptions small_directory(std::int64_t tail_bytes_max) {
  segments::LogDirectoryOptions options;
  options.metadata_journal = {.file_bytes = 256 * kKiB,
                              .first_file_bytes = 32 * kKiB,
                              .bytes_max = kMiB,
                              .group_bytes_max = 128 * kKiB};
  options.tail_bytes_max = tail_bytes_max;
  options.idle_write_ms = 50;
  options.free_bytes_min = kMiB;
  return options;
}

io::Task<void> nothing() {
  co_return;
}

std::vector<raft::ReplicaKey> keys_of(const std::vector<raft::Voter>& voters) {
  std::vector<raft::ReplicaKey> keys;
  for (const raft::Voter& voter : voters) keys.push_back({voter.id, voter.directory_id});
  return keys;
}

template <class Function>
void each_record(const protocol::BatchView& batch, Function function) {
  protocol::RecordIterator records(batch.records(), batch.record_count());
  Offset offset = batch.base_offset();
  for (protocol::RecordView record; records.next(record);)
    function(offset++, as_text(record.value().value_or(ByteView())));
}

}  // namespace

// --- Ledger

Ledger::Key Ledger::key_of(const raft::ReplicaKey& replica) {
  return {replica.id, replica.directory_id.to_string()};
}

void Ledger::violate(std::string violation) {
  if (violation_.empty()) violation_ = std::move(violation);
}

void Ledger::apply(Offset offset, std::string_view value, NodeId by) {
  const auto [at, is_new] = applied_.emplace(offset, value);
  if (is_new || at->second == value) return;
  violate(fmt::format("{}: offset {} is \"{}\" and at node {} \"{}\"",
                      acknowledged_.contains(offset) ? "acknowledged-entry-lost" : "states-differ",
                      offset, at->second, by, value));
}

void Ledger::apply_control(Offset offset, NodeId by) {
  const auto at = applied_.find(offset);
  if (at == applied_.end()) return;
  violate(fmt::format("{}: offset {} is \"{}\" and at node {} a control batch",
                      acknowledged_.contains(offset) ? "acknowledged-entry-lost" : "states-differ",
                      offset, at->second, by));
}

void Ledger::applied_lost(NodeId node, Offset end, Offset applied) {
  violate(fmt::format("applied-not-durable: node {} ends at {}, and had applied up to {}", node,
                      end, applied));
}

void Ledger::acknowledge(std::string_view value, Acknowledged by) {
  const Offset offset = by.end - 1;
  apply(offset, value, -1);
  acknowledged_.insert(offset);
  if (by.end > last_acknowledged_.end) last_acknowledged_ = std::move(by);
}

void Ledger::note_leader(LeaderEpoch epoch, NodeId leader, NodeId by) {
  const NodeId known = leaders_.emplace(epoch, leader).first->second;
  if (known != leader)
    violate(fmt::format("two-leaders: epoch {}: {} and {} (seen by {})", epoch, known, leader, by));
}

void Ledger::note_vote(const raft::ReplicaKey& voter, LeaderEpoch epoch, NodeId candidate) {
  const NodeId known = votes_.emplace(std::pair(key_of(voter), epoch), candidate).first->second;
  if (known != candidate)
    violate(fmt::format("vote-changed: node {} votes for {} and {} in epoch {}", voter.id, known,
                        candidate, epoch));
}

std::optional<Ledger::Vote> Ledger::last_vote(const raft::ReplicaKey& voter) const {
  const Key key = key_of(voter);
  auto newest = votes_.upper_bound({key, INT32_MAX});
  if (newest == votes_.begin()) return std::nullopt;
  --newest;
  if (newest->first.first != key) return std::nullopt;
  return Vote{newest->first.second, newest->second};
}

void Ledger::recovered(const raft::ReplicaKey& voter, const raft::ElectionState& state) {
  const std::optional<Vote> promised = last_vote(voter);
  if (!promised || promised->epoch < state.epoch) return;
  // Who knows the leader of the epoch votes for nobody else in it.
  const NodeId voted = state.voted.value_or(raft::ReplicaKey{}).id;
  if (promised->epoch == state.epoch && (state.leader >= 0 || voted == promised->candidate)) return;
  violate(fmt::format("vote-not-durable: node {} voted for {} in epoch {}, its disk says {} in {}",
                      voter.id, promised->candidate, promised->epoch, voted, state.epoch));
}

// --- A node

RaftPeer::RaftPeer(io::sim::Node& node, Options options, Ledger& ledger)
    : node_(node), options_(std::move(options)), ledger_(ledger) {
  node_.disk().make_directory(kRaftDirectory);
  node_.disk().sync_all();
}

void RaftPeer::start() {
  ASSERT(!node_.is_running());
  forget_life();
  node_.start([this](io::sim::Process& process) { return run(process); });
}

void RaftPeer::wipe(Uuid directory_id) {
  ASSERT(!node_.is_running());
  options_.directory_id = directory_id;
  options_.voters.clear();
  durable_end_ = 0;
  for (const std::string& path : node_.disk().files_below(kRaftDirectory))
    node_.disk().remove(path);
  node_.disk().sync_all();
}

void RaftPeer::forget_life() {
  state_.clear();
  opened_end_.reset();
  applied_end_ = 0;
  applied_epoch_ = 0;
  leads_ = has_led_ = false;
  controls_.clear();
  failed_.reset();
}

io::Task<void> RaftPeer::run(io::sim::Process& process) {
  process_ = &process;
  io::Gate stop(process.loop());
  io::Scope scope(process.loop());
  stop_ = &stop;
  process.on_stop([&stop] { stop.open(); });
  const Result<void> ran = co_await run_log(process);
  if (!ran && !process.is_dead())
    LOG_WARN("sim", "node={} ended error={}", options_.id, ran.error().message());
  co_await scope.join();
  stop_ = nullptr;
}

io::Task<Result<void>> RaftPeer::run_log(io::sim::Process& process) {
  io::Loop& loop = process.loop();
  raft::FormatOptions format;
  format.cluster_id = options_.cluster_id;
  format.node_id = options_.id;
  format.directories = {kRaftDirectory};
  format.metadata_directory = kRaftDirectory;
  format.mode = !options_.raft.static_voters.empty() ? raft::FormatMode::static_voters
                : options_.voters.empty()            ? raft::FormatMode::no_initial_controllers
                                                     : raft::FormatMode::initial_controllers;
  format.initial_controllers = options_.voters;
  format.ignore_formatted = true;
  CO_TRY_VOID(co_await raft::format(loop, format));
  CO_TRY(auto directory, co_await segments::LogDirectory::open(
                             loop, kRaftDirectory, small_directory(options_.tail_bytes_max)));
  options_.directory_id = directory->meta().directory_id;
  raft::RaftOptions options = options_.raft;
  options.cluster_id = options_.cluster_id;
  options.node_id = options_.id;
  options.directory_id = options_.directory_id;
  if (options.endpoint.host.empty()) options.endpoint = {"CONTROLLER", node_.host(), kRaftPort};
  options.log.segment_bytes = 64 * kKiB;
  Result<void> done;
  {
    raft::RpcServerOptions served;
    served.apis = raft::raft_apis();
    served.names_kraft_version = true;
    served.versions_max = {{protocol::ApiKey::vote, options_.vote_version_max}};
    raft::RpcServer server(loop, served, *this);
    auto opened = co_await raft::RaftLog::open(loop, *directory, options, *this);
    if (opened) {
      log_ = std::move(*opened);
      note_opened();
      scope_ = std::make_unique<io::Scope>(loop);
      done = co_await server.listen({node_.host(), options.endpoint.port});
      if (done) {
        log_->start();
        if (const auto promised = ledger_.last_vote(key()); promised && !process_->is_dead())
          scope_->spawn(ask_for_promised(*log_, *promised));
        co_await stop_->wait();
      }
      co_await scope_->join();
      Result<void> stopped = co_await log_->stop();
      if (done) done = std::move(stopped);
      // It is asked for nothing any more; what was asked of it ends.
      const std::unique_ptr<raft::RaftLog> ended = std::move(log_);
      co_await server.close();
      co_await scope_->join();
      scope_.reset();
    } else {
      done = std::unexpected(opened.error());
    }
  }
  const bool clean = done.has_value() && !failed_.has_value();
  Result<void> closed = co_await directory->close(loop, -1, clean);
  if (done) done = std::move(closed);
  co_return done;
}

void RaftPeer::note_opened() {
  if (process_->is_dead()) return;
  opened_end_ = log_->end();
  if (*opened_end_ < durable_end_) ledger_.applied_lost(options_.id, *opened_end_, durable_end_);
  const std::string path =
      fmt::format("{}/{}-0/{}", kRaftDirectory, raft::kMetadataTopic, raft::kQuorumStateFile);
  raft::ElectionState state;
  if (node_.disk().exists(path)) {
    const std::vector<std::uint8_t> bytes = node_.disk().content(path);
    // It was read just now.
    if (const auto parsed = raft::parse_quorum_state(as_text(bytes)); parsed) state = *parsed;
  }
  ledger_.recovered(key(), state);
}

io::Task<void> RaftPeer::serve(raft::RpcExchange& exchange) {
  if (log_ == nullptr) return nothing();
  if (exchange.key == protocol::ApiKey::vote) return serve_vote(*log_, exchange);
  return raft::serve_raft(*log_, exchange);
}

// A vote of an earlier life is given to nobody else, however much that one has. Few elections have
// two candidates and a voter that starts in between, so somebody asks whenever one has started.
io::Task<void> RaftPeer::ask_for_promised(raft::RaftLog& log, Ledger::Vote promised) {
  protocol::VoteRequest request;
  auto& topic = request.topics.emplace_back();
  topic.topic_name = raft::kMetadataTopic;
  auto& asked = topic.partitions.emplace_back();
  asked.replica_epoch = promised.epoch;
  asked.replica_id = promised.candidate == 1 ? 2 : 1;
  asked.replica_directory_id = {7, static_cast<std::uint64_t>(asked.replica_id)};
  asked.last_offset_epoch = promised.epoch - 1;
  asked.last_offset = INT32_MAX;
  const NodeId candidate = asked.replica_id;
  const auto answer = co_await log.vote(request, 2);
  const auto& topics = answer.message.topics;
  if (process_->is_dead() || topics.empty() || topics[0].partitions.empty()) co_return;
  if (topics[0].partitions[0].vote_granted) ledger_.note_vote(key(), promised.epoch, candidate);
}

// What is said of votes is also noted.
io::Task<void> RaftPeer::serve_vote(raft::RaftLog& log, raft::RpcExchange& exchange) {
  protocol::VoteRequest request;
  if (!exchange.read(request)) co_return;
  const auto answer = co_await log.vote(request, exchange.version);
  const bool has_partitions = !request.topics.empty() && !request.topics[0].partitions.empty() &&
                              !answer.message.topics.empty() &&
                              !answer.message.topics[0].partitions.empty();
  if (has_partitions && !process_->is_dead()) {
    const auto& asked = request.topics[0].partitions[0];
    const auto& said = answer.message.topics[0].partitions[0];
    const raft::ReplicaKey candidate{asked.replica_id, asked.replica_directory_id};
    if (!asked.pre_vote && candidate.directory_id != Uuid())
      ledger_.note_vote(candidate, asked.replica_epoch, candidate.id);
    if (!asked.pre_vote && said.vote_granted)
      ledger_.note_vote(key(), asked.replica_epoch, candidate.id);
  }
  [[maybe_unused]] const Result<void> sent = exchange.answer(answer.message);
}

// --- The state machine

void RaftPeer::apply(Offset offset, std::string_view value) {
  if (process_->is_dead()) return;
  state_[offset] = value;
  applied_end_ = std::max(applied_end_, offset + 1);
  ledger_.apply(offset, value, options_.id);
}

Result<void> RaftPeer::on_snapshot(ByteView batches, OffsetAndEpoch id) {
  state_.clear();
  protocol::BatchIterator walk(batches);
  while (std::optional<protocol::BatchView> batch = walk.next()) {
    if (batch->is_control()) continue;
    each_record(*batch, [this](Offset, std::string_view text) {
      const std::size_t cut = text.find('=');
      Offset offset = -1;
      std::from_chars(text.data(), text.data() + cut, offset);
      apply(offset, text.substr(cut + 1));
    });
  }
  if (id.offset > 0) ++snapshots_loaded_;
  note_applied(id.offset, id.epoch);
  return {};
}

Result<bool> RaftPeer::on_batch(const protocol::BatchView& batch) {
  // Some are taken in two pieces.
  const bool in_two = !batch.is_control() && batch.base_offset() % 4 == 0;
  if (in_two && std::exchange(begun_, batch.base_offset()) != batch.base_offset()) return false;
  // Batches follow each other without a gap.
  if (batch.base_offset() != applied_end_ && !process_->is_dead())
    return failure(Errc::corrupt,
                   fmt::format("batch at {} behind {}", batch.base_offset(), applied_end_));
  if (batch.is_control()) {
    controls_.push_back(batch.base_offset());
    if (!process_->is_dead()) ledger_.apply_control(batch.base_offset(), options_.id);
  } else {
    each_record(batch, [this](Offset offset, std::string_view text) { apply(offset, text); });
  }
  note_applied(batch.last_offset() + 1, batch.leader_epoch());
  return true;
}

void RaftPeer::note_applied(Offset end, LeaderEpoch epoch) {
  applied_end_ = end;
  applied_epoch_ = epoch;
  if (!has_led_ && !process_->is_dead()) durable_end_ = std::max(durable_end_, end);
}

void RaftPeer::on_high_watermark(Offset high_watermark) {
  if (!leads_ || high_watermark <= applied_end_) return;
  applied_end_ = high_watermark;
  applied_epoch_ = led_epoch_;
}

void RaftPeer::on_leading(LeaderEpoch epoch) {
  leads_ = true;
  led_epoch_ = epoch;
  on_leader_changed(options_.id, epoch);
}

void RaftPeer::on_leader_changed(NodeId leader, LeaderEpoch epoch) {
  has_led_ |= leader == options_.id;
  if (leader >= 0 && !process_->is_dead()) ledger_.note_leader(epoch, leader, options_.id);
}

void RaftPeer::on_failed(const Error& error) {
  failed_ = error;
  if (stop_ != nullptr) stop_->open();
}

void RaftPeer::propose(std::string value) {
  auto* pending = new Pending;
  pending->peer = this;
  pending->text = std::move(value);
  pending->value = as_bytes(pending->text);
  pending->done = &RaftPeer::proposal_done;
  log_->propose(*pending);
}

void RaftPeer::proposal_done(raft::Proposal& proposal, const Error* error) {
  const std::unique_ptr<Pending> pending(static_cast<Pending*>(&proposal));
  RaftPeer& peer = *pending->peer;
  if (error != nullptr) {
    ++peer.proposals_lost_;
    return;
  }
  if (peer.process_->is_dead()) return;
  peer.state_[pending->end - 1] = pending->text;
  peer.ledger_.acknowledge(
      pending->text,
      {pending->end, keys_of(peer.log_->voters_at(pending->end)), keys_of(peer.log_->voters())});
}

void RaftPeer::snapshot() {
  if (!is_running() || applied_end_ <= 0) return;
  const OffsetAndEpoch id{applied_end_, applied_epoch_};
  raft::SnapshotBuilder builder(id.epoch, 0, log_->kraft_version_at(id.offset),
                                log_->voters_at(id.offset), process_->loop().wall_now());
  for (const auto& [offset, value] : state_)
    builder.add(as_bytes(std::string_view(fmt::format("{}={}", offset, value))));
  scope_->spawn(write_snapshot(id, std::move(builder).finish()));
}

io::Task<void> RaftPeer::write_snapshot(OffsetAndEpoch id, std::vector<std::uint8_t> bytes) {
  if (log_ == nullptr) co_return;
  [[maybe_unused]] const Result<void> written = co_await log_->write_snapshot(id, std::move(bytes));
}

// --- All of them

raft::RaftOptions with_static_voters(raft::RaftOptions options, std::size_t voters) {
  for (std::size_t i = 1; i <= voters; ++i) {
    raft::Voter& voter = options.static_voters.emplace_back();
    voter.id = static_cast<NodeId>(i);
    voter.endpoints = {{"CONTROLLER", fmt::format("10.0.0.{}", i), kRaftPort}};
  }
  return options;
}

RaftCluster::RaftCluster(std::uint64_t seed, std::size_t voters, std::size_t others,
                         const raft::RaftOptions& options, io::sim::WorldOptions world)
    : world_(seed, world) {
  std::vector<raft::InitialController> named;
  for (std::size_t i = 0; i < voters + others; ++i) world_.add_node();
  for (std::size_t i = 0; i < voters; ++i) {
    named.push_back({static_cast<NodeId>(i + 1), world_.node(i).host(), kRaftPort,
                     Uuid{0x1000 + i, 0x2000 + i}});
  }
  for (std::size_t i = 0; i < voters + others; ++i) {
    RaftPeer::Options each;
    each.id = static_cast<NodeId>(i + 1);
    each.raft = options;
    if (i < voters) each.voters = named;
    for (std::size_t j = 0; j < voters; ++j)
      each.raft.bootstrap_servers.push_back({world_.node(j).host(), kRaftPort});
    peers_.push_back(std::make_unique<RaftPeer>(world_.node(i), std::move(each), ledger_));
  }
}

RaftCluster::~RaftCluster() {
  for (const auto& peer : peers_) {
    if (peer->node().is_running()) peer->node().kill();
  }
}

void RaftCluster::start_all() {
  for (const auto& peer : peers_) {
    if (!peer->node().is_running()) peer->start();
  }
}

void RaftCluster::cut_power() {
  for (const auto& peer : peers_) peer->node().power_cut();
}

// Who is not there under this directory any more had it on another disk.
bool RaftCluster::has_durable(const raft::ReplicaKey& voter, Offset end) const {
  for (const auto& peer : peers_) {
    const bool is_it = peer->id() == voter.id &&
                       (voter.directory_id == Uuid() || voter.directory_id == peer->directory_id());
    if (is_it && peer->opened_end().has_value() && *peer->opened_end() < end) return false;
  }
  return true;
}

std::size_t RaftCluster::count_durable(const std::vector<raft::ReplicaKey>& voters,
                                       Offset end) const {
  return static_cast<std::size_t>(
      std::count_if(voters.begin(), voters.end(),
                    [&](const raft::ReplicaKey& voter) { return has_durable(voter, end); }));
}

std::optional<std::string> RaftCluster::find_lost_acknowledged(Duration most) {
  const Ledger::Acknowledged last = ledger_.last_acknowledged();
  const Instant limit = world_.now() + most;
  auto all_opened = [this] {
    return std::all_of(peers_.begin(), peers_.end(),
                       [](const auto& peer) { return peer->opened_end().has_value(); });
  };
  do {
    start_all();  // also who fails while it starts
    world_.run_until(all_opened, milliseconds(50));
  } while (!all_opened() && world_.now() < limit);
  const std::size_t then = count_durable(last.voters_then, last.end);
  const std::size_t now = count_durable(last.voters_now, last.end);
  if (then * 2 > last.voters_then.size() || now * 2 > last.voters_now.size()) return std::nullopt;
  return fmt::format("offset {} was acknowledged, {} of {} voters have it", last.end - 1, now,
                     last.voters_now.size());
}

RaftPeer* RaftCluster::leader() {
  RaftPeer* newest = nullptr;
  for (const auto& peer : peers_) {
    if (peer->is_leader() && (newest == nullptr || newest->log().epoch() < peer->log().epoch()))
      newest = peer.get();
  }
  return newest;
}

RaftPeer* RaftCluster::await_leader(Duration most) {
  run_until([this] { return leader() != nullptr; }, most);
  return leader();
}

bool RaftCluster::commit(std::string value, Duration most) {
  RaftPeer* at = await_leader(most);
  if (at == nullptr) return false;
  const std::size_t before = ledger_.acknowledged();
  at->propose(std::move(value));
  return run_until([&] { return ledger_.acknowledged() > before; }, most);
}

bool RaftCluster::await_agreement(Duration most) {
  return run_until(
      [this] {
        for (const auto& peer : peers_) {
          if (peer->is_running() && peer->state() != ledger_.applied()) return false;
        }
        return true;
      },
      most);
}

}  // namespace drave::simulation
