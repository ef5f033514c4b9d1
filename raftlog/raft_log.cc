#include "raftlog/raft_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <ranges>

#include "base/assert.h"
#include "base/log.h"
#include "io/file.h"
#include "raftlog/describe_quorum.h"
#include "raftlog/quorum_state.h"
#include "raftlog/raft_limits.h"
#include "raftlog/raft_log_impl.h"

namespace drave::raft {

namespace {

constexpr OffsetAndEpoch kBootstrapSnapshot{0, 0};

RpcClientOptions rpc_options(const RaftOptions& options) {
  RpcClientOptions rpc;
  rpc.client_id = fmt::format("raft-{}", options.node_id);
  rpc.connect_timeout = rpc.request_timeout = options.timers.request_timeout;
  return rpc;
}

CoreOptions core_options(io::Loop& loop, const RaftOptions& options) {
  CoreOptions core;
  core.self = {options.node_id, options.directory_id};
  core.voter_role = options.voter_role;
  core.seed = loop.backend().entropy();
  core.election_timeout = options.timers.election_timeout;
  core.fetch_timeout = options.timers.fetch_timeout;
  core.election_backoff_max = options.timers.election_backoff_max;
  core.request_timeout = options.timers.request_timeout;
  core.retry_backoff = options.timers.retry_backoff;
  // A fetch that waits for longer than a fetch timeout would look like a leader that is gone.
  core.fetch_wait = Duration{std::min(core.fetch_wait.ns, options.timers.fetch_timeout.ns / 4)};
  for (std::size_t index = 0; index < options.bootstrap_servers.size(); ++index)
    core.bootstrap.push_back(kFirstBootstrapId - static_cast<NodeId>(index));
  return core;
}

// What is deleted is what lies below the log's start, which snapshots decide.
RaftOptions without_retention(RaftOptions options) {
  options.log.retention_ms = options.log.retention_bytes = -1;
  return options;
}

}  // namespace

RaftLogImpl::RaftLogImpl(io::Loop& loop, RaftOptions options, RaftListener& listener,
                         std::string path)
    : loop_(loop),
      options_(without_retention(std::move(options))),
      self_{options_.node_id, options_.directory_id},
      listener_(listener),
      path_(std::move(path)),
      group_{options_.cluster_id, options_.topic, options_.id},
      core_(std::make_unique<Core>(core_options(loop, options_))),
      ticker_(*this),
      scope_(loop),
      changed_(loop),
      writer_(loop, scope_, *this),
      snapshots_(loop, path_),
      deliver_(loop),
      flush_(*this),
      own_links_(loop, rpc_options(options_)),
      links_(options_.links != nullptr ? *options_.links : own_links_),
      fetch_size_(options_.fetch_bytes_max),
      snapshot_size_(options_.snapshot_bytes_max) {}

RaftLogImpl::~RaftLogImpl() {
  ASSERT(log_ == nullptr && asking_.empty() && serving_ == 0);
}

// --- Start

io::Task<Result<void>> RaftLogImpl::open(segments::LogDirectory* directory,
                                         segments::LogShard* shared) {
  if (directory != nullptr) {
    CO_TRY(shard_, co_await directory->start_metadata_shard(loop_, options_.log));
    log_ = shard_->find(options_.id);
  } else {
    CO_TRY(log_, co_await shared->open_or_create({options_.topic, options_.id, options_.log}));
  }
  ASSERT(log_ != nullptr);
  log_->set_observer(this);
  writer_.set_log(log_);
  history_.reset(options_.static_voters, 0);
  CO_TRY_VOID(co_await snapshots_.open());
  CO_TRY_VOID(co_await load_snapshot());
  CO_TRY_VOID(co_await fit_log_to_snapshot());
  delivered_ = std::max<Offset>(snapshots_.latest().offset, 0);
  CO_TRY(const std::optional<ElectionState> state, co_await read_state());
  recovered_ = state.value_or(ElectionState{});
  // What is in the log is of epochs that this file named before.
  newest_epoch_ = state.has_value() ? state->epoch : INT32_MAX;
  if (!state.has_value() && options_.voter_role &&
      (log_->end() > log_->log_start() || snapshots_.latest().offset > 0)) {
    LOG_WARN("raft",
             "node={} topic={} {} is missing, though there is a log: for whom this node voted is "
             "forgotten. Where a disk loses files, remove the node from the voters, format it and "
             "add it again",
             self_.id, options_.topic, file(kQuorumStateFile));
  }
  began_empty_ = history_.voters().empty() && log_->end() == 0;
  CO_TRY_VOID(co_await scan_log());
  CO_TRY_VOID(check_voters());
  // Alone, all that is durable counts: whatever leads next begins with it.
  if (is_alone()) CO_TRY_VOID(co_await deliver_log(log_->end()));
  LOG_INFO("raft",
           "log opened node={} topic={} epoch={} start={} end={} snapshot={} kraft_version={} "
           "last_epoch={}",
           self_.id, options_.topic, recovered_.epoch, log_->log_start(), log_->end(),
           snapshots_.latest().offset, kraft_version(), log_->latest_epoch());
  co_return Result<void>{};
}

void RaftLogImpl::start() {
  ASSERT(!started_ && log_ != nullptr);
  started_ = true;
  leaderless_since_ = loop_.now();
  heard_leader_ = leaderless_since_;
  leaderless_told_ = leaderless_since_ + kLeaderlessTold;
  links_.join();
  Recovered recovered;
  recovered.election = recovered_;
  recovered.log = recovered_view();
  recovered.snapshot = snapshots_.latest();
  recovered.kraft_version = told_kraft_version_ = kraft_version();
  stepping_ = true;
  core_->start(loop_.now(), std::move(recovered), effects_);
  if (is_alone()) events_.push_back(CampaignNow{});
  finish_step(nullptr);
  scope_.spawn(run_deliveries());
  scope_.spawn(run_voter_upkeep());
}

bool RaftLogImpl::is_alone() const {
  const std::vector<Voter>& voters = history_.voters();
  return voters.size() == 1 &&
         ReplicaKey{voters.front().id, voters.front().directory_id}.matches(self_);
}

// Epochs are the batches' own where they were scanned, below that what the log's checkpoint says.
LogView RaftLogImpl::recovered_view() const {
  const Offset start = log_->log_start();
  const auto ends_there = std::ranges::find(
      snapshots_.all(), start, [](const StoredSnapshot& each) { return each.id.offset; });
  const bool is_known = ends_there != snapshots_.all().end();
  ASSERT(start == 0 || is_known);  // fit_log_to_snapshot()
  const OffsetAndEpoch start_id{start, is_known ? ends_there->id.epoch : 0};
  std::vector<EpochStart> epochs;
  Offset known = scanned_from_;
  while (known > start) {
    const LeaderEpoch epoch = log_->epoch_of(known - 1);
    const segments::EpochEnd before = log_->end_offset_for_epoch(epoch - 1);
    known = before.epoch < 0 || before.end_offset >= known ? start : before.end_offset;
    epochs.push_back({epoch, std::max(known, start)});
  }
  std::reverse(epochs.begin(), epochs.end());
  for (const EpochStart& scanned : scanned_epochs_) {
    if (epochs.empty() || epochs.back().epoch < scanned.epoch) epochs.push_back(scanned);
  }
  return LogView(start_id, log_->end(), std::move(epochs), history_.sets());
}

// The newest snapshot that is whole; a damaged one is passed over as long as the log covers what it
// stood for.
io::Task<Result<void>> RaftLogImpl::load_snapshot() {
  while (!snapshots_.all().empty()) {
    const OffsetAndEpoch id = snapshots_.latest();
    CO_TRY(const std::vector<std::uint8_t> bytes, co_await snapshots_.read(id));
    if (const Result<void> whole = check_snapshot(bytes); !whole) {
      const std::string path = snapshots_.path(id);
      LOG_ERROR("raft", "damaged snapshot path={} error={}", path, whole.error().message());
      const std::size_t count = snapshots_.all().size();
      if (count == 1 || snapshots_.all()[count - 2].id.offset < log_->log_start())
        co_return failure(Errc::corrupt, fmt::format("{}: {}", path, whole.error().context));
      snapshots_.pass_over(id);
      continue;
    }
    if (const Result<void> known = note_snapshot_controls(bytes, id); !known)
      co_return failure(known.error().code,
                        fmt::format("{}: {}", snapshots_.path(id), known.error().context));
    co_return listener_.on_snapshot(bytes, id);
  }
  co_return Result<void>{};
}

// Voters and kraft.version are what the snapshot says; of a static quorum it says nothing.
Result<void> RaftLogImpl::note_snapshot_controls(ByteView bytes, OffsetAndEpoch id) {
  std::vector<Voter> voters = options_.static_voters;
  std::int16_t version = 0;
  protocol::BatchIterator batches(bytes);
  while (std::optional<protocol::BatchView> batch = batches.next()) {
    if (!batch->is_control()) continue;
    TRY(wire::Control control, wire::control_of(*batch));
    version = control.kraft_version.value_or(version);
    if (!control.voters.has_value()) continue;
    voters = std::move(*control.voters);
    voters_from_snapshot_ = id != kBootstrapSnapshot;
  }
  history_.reset(std::move(voters), version);
  return {};
}

void RaftLogImpl::note_control(const wire::Control& control) {
  if (control.voters.has_value()) history_.add_voters(control.offset, *control.voters);
  if (control.kraft_version.has_value())
    history_.add_version(control.offset, *control.kraft_version);
}

// What a snapshot stands for is committed: a log that ends below it was lost, and one that
// contradicts it was replaced by it when the node ended.
io::Task<Result<void>> RaftLogImpl::fit_log_to_snapshot() {
  const OffsetAndEpoch id = snapshots_.latest();
  const Offset covered = std::max<Offset>(id.offset, 0);
  if (log_->log_start() > covered) {
    co_return failure(Errc::corrupt,
                      fmt::format("{}: the log begins at {}, and no snapshot reaches so far", path_,
                                  log_->log_start()));
  }
  // The start of a log is not written down, but where its snapshots end is: of what stands before
  // the start, only a snapshot that ends there tells the epoch. An older one may be left of a node
  // that ended when its segments were deleted and it was not.
  Offset kept = 0;
  for (const StoredSnapshot& snapshot : snapshots_.all() | std::views::reverse) {
    if (snapshot.id.offset >= log_->log_start()) kept = snapshot.id.offset;
  }
  bool fits = log_->end() >= covered;
  if (fits && kept > log_->log_start()) CO_TRY_VOID(co_await log_->advance_log_start(kept));
  if (fits && covered > log_->log_start()) {
    CO_TRY(const LeaderEpoch epoch, co_await read_epoch(covered - 1));
    fits = epoch == id.epoch;
  } else if (fits && covered > 0 && log_->end() > covered) {
    CO_TRY(const LeaderEpoch epoch, co_await read_epoch(covered));
    fits = epoch >= id.epoch;
  }
  if (!fits) {
    LOG_WARN("raft",
             "the log does not go on from its newest snapshot and begins anew at it path={}",
             path_);
    CO_TRY_VOID(co_await log_->truncate_fully_to(covered));
  }
  co_return Result<void>{};
}

// Of the batch that holds this record.
io::Task<Result<LeaderEpoch>> RaftLogImpl::read_epoch(Offset offset) {
  CO_TRY(const segments::ReadResult read, co_await log_->read({offset, offset + 1, 1, true}));
  for (const segments::LogPiece& piece : read.pieces) {
    protocol::BatchIterator batches(piece.bytes());
    while (const std::optional<protocol::BatchView> batch = batches.next()) {
      if (!batch->is_legacy() && batch->last_offset() >= offset) co_return batch->leader_epoch();
    }
  }
  co_return failure(Errc::corrupt,
                    fmt::format("{}: nothing to be read at offset {}", path_, offset));
}

// Control records count from the moment they are written, committed or not. Where the checkpoint of
// epochs does not reach down to the start of the log, all of it is read.
io::Task<Result<void>> RaftLogImpl::scan_log() {
  const Offset start = log_->log_start();
  Offset next = std::max(delivered_, start);
  if (next > start && log_->epoch_of(start) < 0) next = start;
  scanned_from_ = next;
  std::vector<std::uint8_t> joined;
  while (next < log_->end()) {
    CO_TRY(const segments::ReadResult read,
           co_await log_->read({next, log_->end(), kLogReadBytes, true}));
    const Offset from = next;
    if (read.pieces.size() == 1) {
      CO_TRY_VOID(scan_batches(read.pieces.front().bytes(), next));
    } else {
      joined.clear();
      for (const segments::LogPiece& piece : read.pieces)
        joined.insert(joined.end(), piece.bytes().begin(), piece.bytes().end());
      CO_TRY_VOID(scan_batches(joined, next));
    }
    if (next == from)
      co_return failure(Errc::corrupt,
                        fmt::format("{}: nothing to be read at offset {}", path_, next));
  }
  co_return Result<void>{};
}

Result<void> RaftLogImpl::scan_batches(ByteView bytes, Offset& next) {
  protocol::BatchIterator batches(bytes);
  while (std::optional<protocol::BatchView> batch = batches.next()) {
    // The first may begin below what was asked for.
    if (batch->last_offset() < next) continue;
    const bool is_sound = !batch->is_legacy() && is_in_place(*batch, next) &&
                          (!batch->is_control() || batch->crc_matches());
    if (!is_sound) {
      return failure(
          Errc::corrupt,
          fmt::format("{}: the batch at offset {} (there it says {}, epoch {}; {} {}) "
                      "fails its check",
                      path_, next, batch->base_offset(), batch->leader_epoch(), kQuorumStateFile,
                      newest_epoch_ == INT32_MAX ? "is missing"
                                                 : fmt::format("names epoch {}", newest_epoch_)));
    }
    if (scanned_epochs_.empty() || scanned_epochs_.back().epoch < batch->leader_epoch())
      scanned_epochs_.push_back({batch->leader_epoch(), next});
    // The snapshot tells what counted before it ends.
    if (batch->is_control() && batch->base_offset() >= delivered_) {
      const Result<wire::Control> control = wire::control_of(*batch);
      if (!control) {
        return failure(control.error().code,
                       fmt::format("{}: the batch at offset {}: {}", path_, batch->base_offset(),
                                   control.error().context));
      }
      note_control(*control);
    }
    next = batch->last_offset() + 1;
  }
  return {};
}

// A batch's checksum covers neither its offset nor its epoch. They are held against what else is
// known: offsets go on from batch to batch, epochs do not fall, and the checkpoint of epochs says
// the same. A node that took a damaged one for true would be elected with a log that nobody wrote.
bool RaftLogImpl::is_in_place(const protocol::BatchView& batch, Offset next) const {
  const bool is_first = next == scanned_from_;
  if (batch.base_offset() != next && !(is_first && batch.base_offset() < next)) return false;
  const LeaderEpoch epoch = batch.leader_epoch();
  if (epoch < 0 || epoch > newest_epoch_) return false;
  if (!scanned_epochs_.empty() && epoch < scanned_epochs_.back().epoch) return false;
  const LeaderEpoch noted = log_->epoch_of(next);
  return noted < 0 || noted == epoch;
}

Result<void> RaftLogImpl::check_voters() const {
  const std::vector<Voter>& voters = history_.voters();
  if (voters.empty() && options_.bootstrap_servers.empty()) {
    return failure(
        Errc::invalid,
        fmt::format("{}: no voter set is known. Format the directory with --standalone, or set "
                    "controller.quorum.voters or controller.quorum.bootstrap.servers",
                    path_));
  }
  if (voters.size() > kVotersMax) {
    return failure(Errc::invalid,
                   fmt::format("{}: the quorum has {} voters; at most {} are possible", path_,
                               voters.size(), kVotersMax));
  }
  if (voters.size() != 1 || voters.front().id != self_.id || is_alone()) return {};
  const Voter& voter = voters.front();
  return failure(Errc::invalid,
                 fmt::format("{}: the voter is node {} with the directory {}, not node {} with "
                             "{}: a wiped or copied disk is not that voter",
                             path_, voter.id, voter.directory_id.to_string(), self_.id,
                             self_.directory_id.to_string()));
}

io::Task<Result<std::optional<ElectionState>>> RaftLogImpl::read_state() {
  const std::string path = file(kQuorumStateFile);
  const Result<std::vector<std::uint8_t>> bytes = co_await io::read_file(loop_, path);
  if (!bytes) {
    if (bytes.error().code == Errc::not_found) co_return std::nullopt;
    co_return std::unexpected(bytes.error());
  }
  Result<ElectionState> state = parse_quorum_state(as_text(*bytes));
  if (!state)
    co_return failure(state.error().code, fmt::format("{}: {}", path, state.error().context));
  co_return *state;
}

// --- What is known

LeaderEpoch RaftLogImpl::epoch() const {
  return started_ ? core_->epoch() : recovered_.epoch;
}

std::optional<Voter> RaftLogImpl::leader_node() const {
  const NodeId leader = core_->leader();
  if (leader < 0) return std::nullopt;
  Voter found;
  found.id = leader;
  for (const Voter& voter : history_.voters()) {
    if (voter.id == leader) found = voter;
  }
  if (leader == self_.id) {
    found.directory_id = self_.directory_id;
    if (!options_.endpoint.host.empty()) found.endpoints = {options_.endpoint};
  } else if (leader_address_.id == leader) {
    found.endpoints = {{options_.endpoint.name, leader_address_.host, leader_address_.port}};
  }
  return found;
}

QuorumStatus RaftLogImpl::status() const {
  const QuorumView view = core_->describe();
  const Instant now = loop_.now();
  const TimestampMs wall_now = loop_.wall_now();
  auto wall = [now, wall_now](Instant then) -> TimestampMs {
    return then == Instant{} ? -1 : wall_now - (now - then).ns / milliseconds(1).ns;
  };
  auto describe = [&wall](const ReplicaView& replica) -> ReplicaStatus {
    return {replica.key, replica.log_end, wall(replica.last_fetch), wall(replica.last_caught_up)};
  };
  QuorumStatus status;
  status.leader = hears_leader() ? view.leader : -1;
  status.epoch = epoch();
  status.high_watermark = view.high_watermark;
  for (const ReplicaView& voter : view.voters) status.voters.push_back(describe(voter));
  for (const ReplicaView& observer : view.observers) status.observers.push_back(describe(observer));
  status.nodes = history_.voters();
  status.role = core_->role();
  return status;
}

protocol::OwnedMessage<protocol::DescribeQuorumResponse> RaftLogImpl::describe_quorum(
    const protocol::DescribeQuorumRequest& request, std::int16_t version) {
  return describe_quorum_answer(status(), core_->is_leader(), why_not_leader(), request, version);
}

// --- The end

// The voter that has most of the log, but for this one; -1: there is no other.
NodeId RaftLogImpl::best_successor() const {
  NodeId best = -1;
  Offset most = -2;
  for (const ReplicaKey& voter : core_->voters()) {
    if (voter.id == self_.id || core_->replicated(voter) <= most) continue;
    best = voter.id;
    most = core_->replicated(voter);
  }
  return best;
}

// What was appended is waited for before the leader goes, and then a successor. Who does not lead
// has nothing to wait for.
io::Task<void> RaftLogImpl::hand_over() {
  draining_ = true;
  if (!started_) co_return;
  step(Leave{});
  const Instant deadline = loop_.now() + kStopWaitMax;
  while (core_->is_leader() && !failed_.has_value() && core_->high_watermark() < log_->end()) {
    if (!co_await changed_.wait_until(deadline)) break;
  }
  if (!core_->is_leader() || failed_.has_value()) co_return;
  const LeaderEpoch led = core_->epoch();
  farewells_ = history_.voters().size() - (core_->is_voter() ? 1 : 0);
  // Who has everything is told first, and stands at once.
  if (const NodeId successor = best_successor(); successor >= 0) step(TransferTo{successor});
  if (core_->is_leader()) step(Resign{});
  while (!failed_.has_value()) {
    const bool has_successor = core_->epoch() > led && core_->leader() >= 0;
    if (has_successor || (farewells_ == 0 && !farewell_heard_)) co_return;
    if (!co_await changed_.wait_until(deadline)) co_return;
  }
}

io::Task<Result<void>> RaftLogImpl::stop() {
  if (stopping_ || log_ == nullptr) co_return Result<void>{};
  co_await hand_over();
  stopping_ = true;
  resign();
  append_proposed();
  loop_.timers().disarm(ticker_);
  scope_.request_stop();
  end_asking();
  for (RpcClient* client : asked_) client->cancel();
  changed_.wake_all();
  deliver_.wake_all();
  log_->room().wake_all();
  if (started_) co_await links_.leave();
  // On a full disk the log's own tasks wait for the journal.
  if (shard_ != nullptr) co_await shard_->settle();
  co_await scope_.join();
  while (serving_ > 0) co_await changed_.wait();
  log_->set_observer(nullptr);
  log_ = nullptr;
  if (shard_ == nullptr) co_return Result<void>{};
  co_return co_await shard_->stop();
}

namespace {

io::Task<Result<std::unique_ptr<RaftLog>>> open_in(io::Loop& loop,
                                                   segments::LogDirectory* directory,
                                                   segments::LogShard* shared,
                                                   std::string directory_path, RaftOptions options,
                                                   RaftListener& listener) {
  std::string path =
      io::join_path(directory_path, fmt::format("{}-{}", options.topic, options.id.partition));
  auto opened = std::make_unique<RaftLogImpl>(loop, std::move(options), listener, std::move(path));
  if (Result<void> started = co_await opened->open(directory, shared); !started) {
    [[maybe_unused]] const Result<void> stopped = co_await opened->stop();
    co_return std::unexpected(started.error());
  }
  co_return std::unique_ptr<RaftLog>(std::move(opened));
}

}  // namespace

io::Task<Result<std::unique_ptr<RaftLog>>> RaftLog::open(io::Loop& loop,
                                                         segments::LogDirectory& directory,
                                                         RaftOptions options,
                                                         RaftListener& listener) {
  return open_in(loop, &directory, nullptr, directory.path(), std::move(options), listener);
}

io::Task<Result<std::unique_ptr<RaftLog>>> RaftLog::open(io::Loop& loop, segments::LogShard& shard,
                                                         std::string directory_path,
                                                         RaftOptions options,
                                                         RaftListener& listener) {
  return open_in(loop, nullptr, &shard, std::move(directory_path), std::move(options), listener);
}

}  // namespace drave::raft
