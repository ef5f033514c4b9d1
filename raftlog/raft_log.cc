#include "raftlog/raft_log.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/assert.h"
#include "base/log.h"
#include "io/file.h"
#include "io/scope.h"
#include "io/sync.h"
#include "protocol/batch_builder.h"
#include "protocol/control_record.h"
#include "protocol/record_frame.h"
#include "raftlog/describe_quorum.h"
#include "raftlog/quorum_state.h"

namespace drave::raft {

namespace {

constexpr std::size_t kReplayReadBytes = 1 << 20;
// A batch of proposals ends at about this size.
constexpr std::size_t kProposedBatchBytes = 1 << 20;
constexpr OffsetAndEpoch kNoSnapshot{-1, -1};
constexpr OffsetAndEpoch kBootstrapSnapshot{0, 0};

std::vector<ReplicaKey> keys_of(const std::vector<Voter>& voters) {
  std::vector<ReplicaKey> keys;
  for (const Voter& voter : voters) keys.push_back({voter.id, voter.directory_id});
  return keys;
}

bool ends_with_any(std::string_view name) {
  return name.ends_with(".checkpoint.part") || name.ends_with(".checkpoint.deleted") ||
         name.find(".checkpoint.tmp") != std::string_view::npos;
}

class RaftLogImpl final : public RaftLog, public segments::LogObserver {
 public:
  RaftLogImpl(io::Loop& loop, RaftOptions options, RaftListener& listener, std::string path)
      : loop_(loop),
        options_(std::move(options)),
        listener_(listener),
        path_(std::move(path)),
        changed_(loop),
        flush_(*this),
        scope_(loop) {}
  ~RaftLogImpl() override {
    if (log_ != nullptr) log_->set_observer(nullptr);
  }

  // With a journal of its own in `directory`, or in `shared`.
  io::Task<Result<void>> open(segments::LogDirectory* directory, segments::LogShard* shared);

  void start() override { scope_.spawn(lead()); }
  bool is_leader() const override { return leading_; }
  LeaderEpoch epoch() const override { return core_->epoch(); }
  Offset end() const override { return log_->end(); }
  Offset log_start() const override { return log_->log_start(); }
  Offset high_watermark() const override { return core_->high_watermark(); }
  std::int16_t kraft_version() const override { return kraft_version_; }
  const std::vector<Voter>& voters() const override { return voters_; }
  std::int16_t kraft_version_at(Offset) const override { return kraft_version_; }
  std::vector<Voter> voters_at(Offset) const override { return voters_; }
  std::optional<Voter> leader_node() const override;
  QuorumStatus status() const override;
  io::Task<Result<Offset>> append(std::vector<ByteView> values) override;
  io::Task<Result<void>> committed(Offset end) override;
  void propose(Proposal& proposal) override;
  io::Task<Result<void>> transfer(NodeId) override {
    co_return failure(Errc::invalid, "this node is the only voter");
  }
  io::Task<Result<void>> write_snapshot(OffsetAndEpoch id,
                                        std::vector<std::uint8_t> bytes) override;
  OffsetAndEpoch latest_snapshot() const override {
    return snapshots_.empty() ? kNoSnapshot : snapshots_.back().id;
  }
  std::int64_t bytes_since_snapshot() const override { return bytes_since_snapshot_; }
  io::Task<Result<void>> stop() override;

  io::Task<protocol::OwnedMessage<protocol::VoteResponse>> vote(const protocol::VoteRequest&,
                                                                std::int16_t) override {
    return refuse<protocol::VoteResponse>();
  }
  io::Task<protocol::OwnedMessage<protocol::BeginQuorumEpochResponse>> begin_quorum_epoch(
      const protocol::BeginQuorumEpochRequest&, std::int16_t) override {
    return refuse<protocol::BeginQuorumEpochResponse>();
  }
  io::Task<protocol::OwnedMessage<protocol::EndQuorumEpochResponse>> end_quorum_epoch(
      const protocol::EndQuorumEpochRequest&, std::int16_t) override {
    return refuse<protocol::EndQuorumEpochResponse>();
  }
  io::Task<protocol::OwnedMessage<protocol::FetchResponse>> fetch(const protocol::FetchRequest&,
                                                                  std::int16_t) override {
    return refuse<protocol::FetchResponse>();
  }
  io::Task<protocol::OwnedMessage<protocol::FetchSnapshotResponse>> fetch_snapshot(
      const protocol::FetchSnapshotRequest&, std::int16_t) override {
    return refuse<protocol::FetchSnapshotResponse>();
  }
  io::Task<protocol::OwnedMessage<protocol::AddRaftVoterResponse>> add_raft_voter(
      const protocol::AddRaftVoterRequest&, std::int16_t) override {
    return refuse<protocol::AddRaftVoterResponse>();
  }
  io::Task<protocol::OwnedMessage<protocol::RemoveRaftVoterResponse>> remove_raft_voter(
      const protocol::RemoveRaftVoterRequest&, std::int16_t) override {
    return refuse<protocol::RemoveRaftVoterResponse>();
  }
  io::Task<protocol::OwnedMessage<protocol::UpdateRaftVoterResponse>> update_raft_voter(
      const protocol::UpdateRaftVoterRequest&, std::int16_t) override {
    return refuse<protocol::UpdateRaftVoterResponse>();
  }
  protocol::OwnedMessage<protocol::DescribeQuorumResponse> describe_quorum(
      const protocol::DescribeQuorumRequest& request, std::int16_t version) override {
    return describe_quorum_answer(status(), leading_, request, version);
  }

  void on_durable_end_advanced(Offset durable_end) override;
  void on_log_fenced(const Error& error) override;

 private:
  struct Snapshot {
    OffsetAndEpoch id;
    std::int64_t size = 0;
    TimestampMs written_ms = 0;
  };

  // Appends what was proposed in this pass.
  struct Flush : io::Ready {
    explicit Flush(RaftLogImpl& of) : log(of) {
      run = [](io::Ready& item) { static_cast<Flush&>(item).log.append_proposed(); };
    }
    RaftLogImpl& log;
  };
  using Proposals = IntrusiveList<Proposal, ProposalTag>;

  // A quorum of one serves no others.
  template <class Response>
  static io::Task<protocol::OwnedMessage<Response>> refuse() {
    protocol::OwnedMessage<Response> answer;
    answer.message.error_code = static_cast<std::int16_t>(ErrorCode::invalid_request);
    co_return answer;
  }
  io::Task<void> lead();
  io::Task<Result<void>> become_leader();
  void resign();
  void append_proposed();
  io::Task<void> append_when_there_is_room();
  void end_proposals(Proposals& proposals, Offset end, const Error* error);

  std::string file(std::string_view name) const { return io::join_path(path_, name); }
  io::Task<Result<void>> find_snapshots();
  io::Task<Result<void>> load_snapshot();
  io::Task<Result<void>> replay();
  Result<void> replay_batches(ByteView bytes, Offset from);
  Result<void> note_control(const protocol::BatchView& batch, bool from_log);
  Result<void> check_voters() const;
  io::Task<Result<ElectionState>> read_state();
  void start_core(const ElectionState& state);
  void step(const Event& event) { core_->step(loop_.now(), event, effects_); }
  io::Task<Result<void>> win_election();
  Result<void> begin_epoch();
  Result<Offset> append_batch(std::vector<std::uint8_t> batch);
  bool must_write_voters() const;
  io::Task<void> drop_old_snapshots();
  Error gone() const {
    return failed_.value_or(Error{Errc::closed, 0, "this node does not lead the metadata quorum"});
  }

  io::Loop& loop_;
  RaftOptions options_;
  RaftListener& listener_;
  std::string path_;                           // of the log's directory
  std::unique_ptr<segments::LogShard> shard_;  // null: the log is in another's
  segments::PartitionLog* log_ = nullptr;
  std::unique_ptr<Core> core_;       // null until the log is known
  Effects effects_;                  // of the core's last step
  io::WaitQueue changed_;            // the high watermark moved, or nothing will move it any more
  std::vector<Snapshot> snapshots_;  // by offset
  std::vector<Voter> voters_;
  std::int16_t kraft_version_ = 0;
  bool voters_replicated_ = false;  // by the log or a snapshot of it, not just by formatting
  std::int64_t bytes_since_snapshot_ = 0;
  std::vector<std::uint8_t> epoch_batch_;  // the first of the epoch that this node leads
  bool leading_ = false;
  Flush flush_;
  Proposals proposed_;
  Proposals uncommitted_;  // appended
  bool waits_for_room_ = false;
  io::Scope scope_;
  std::optional<Error> failed_;
  bool stopped_ = false;
};

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
  if (!options_.static_voters.empty()) voters_ = options_.static_voters;
  CO_TRY_VOID(co_await find_snapshots());
  CO_TRY_VOID(co_await load_snapshot());
  CO_TRY_VOID(co_await replay());
  CO_TRY_VOID(check_voters());
  CO_TRY(const ElectionState state, co_await read_state());
  start_core(state);
  LOG_INFO("raft", "metadata log opened epoch={} start={} end={} snapshot={} kraft_version={}",
           core_->epoch(), log_->log_start(), log_->end(), latest_snapshot().offset,
           kraft_version_);
  co_return Result<void>{};
}

void RaftLogImpl::start_core(const ElectionState& state) {
  CoreOptions options;
  options.self = {options_.node_id, options_.directory_id};
  core_ = std::make_unique<Core>(std::move(options));
  Recovered recovered;
  recovered.election = state;
  recovered.snapshot = latest_snapshot();
  recovered.kraft_version = kraft_version_;
  // Of the epochs below the last one nobody asks in a quorum of one.
  const OffsetAndEpoch start{log_->log_start(), 0};
  LeaderEpoch last = std::max(log_->latest_epoch(), 0);
  if (!snapshots_.empty()) last = std::max(last, snapshots_.back().id.epoch);
  std::vector<EpochStart> epochs;
  if (log_->end() > start.offset) epochs.push_back({last, start.offset});
  recovered.log = LogView(epochs.empty() ? OffsetAndEpoch{start.offset, last} : start, log_->end(),
                          std::move(epochs), {{-1, keys_of(voters_)}});
  core_->start(loop_.now(), std::move(recovered), effects_);
}

io::Task<Result<void>> RaftLogImpl::find_snapshots() {
  CO_TRY(const std::vector<io::DirectoryEntry> entries, co_await io::list_directory(loop_, path_));
  for (const io::DirectoryEntry& entry : entries) {
    if (entry.is_directory) continue;
    if (ends_with_any(entry.name)) {
      CO_TRY_VOID(co_await io::unlink(loop_, file(entry.name)));
      continue;
    }
    const std::optional<OffsetAndEpoch> id = parse_snapshot_name(entry.name);
    if (!id.has_value()) continue;
    CO_TRY(const io::FileStatus status, co_await io::status(loop_, file(entry.name)));
    snapshots_.push_back({*id, static_cast<std::int64_t>(status.size), status.modified_ms});
  }
  std::sort(snapshots_.begin(), snapshots_.end(),
            [](const Snapshot& a, const Snapshot& b) { return a.id < b.id; });
  co_return Result<void>{};
}

// The newest snapshot that is whole; a damaged one is passed over as long as the log covers what it
// stood for.
io::Task<Result<void>> RaftLogImpl::load_snapshot() {
  for (std::size_t at = snapshots_.size(); at > 0; --at) {
    const Snapshot snapshot = snapshots_[at - 1];
    const std::string path = file(snapshot_name(snapshot.id));
    CO_TRY(const std::vector<std::uint8_t> bytes,
           co_await io::read_file(loop_, path, static_cast<std::size_t>(snapshot.size) + 1));
    if (const Result<void> whole = check_snapshot(bytes); !whole) {
      LOG_ERROR("raft", "damaged snapshot path={} error={}", path, whole.error().message());
      if (at == 1 || snapshots_[at - 2].id.offset < log_->log_start())
        co_return failure(Errc::corrupt, fmt::format("{}: {}", path, whole.error().context));
      snapshots_.pop_back();
      continue;
    }
    protocol::BatchIterator batches{ByteView(bytes)};
    while (std::optional<protocol::BatchView> batch = batches.next())
      CO_TRY_VOID(note_control(*batch, snapshot.id != kBootstrapSnapshot));
    CO_TRY_VOID(listener_.on_snapshot(bytes, snapshot.id));
    break;
  }
  const Offset covered = std::max<Offset>(latest_snapshot().offset, 0);
  if (log_->log_start() > covered) {
    co_return failure(Errc::corrupt,
                      fmt::format("{}: the log begins at {}, and no snapshot reaches so far", path_,
                                  log_->log_start()));
  }
  // Everything that a snapshot stands for was durable in the log once; a log that ends below it was
  // lost.
  if (log_->end() < covered) CO_TRY_VOID(co_await log_->truncate_fully_to(covered));
  co_return Result<void>{};
}

io::Task<Result<void>> RaftLogImpl::replay() {
  Offset next = std::max(std::max<Offset>(latest_snapshot().offset, 0), log_->log_start());
  std::vector<std::uint8_t> bytes;
  while (next < log_->end()) {
    CO_TRY(const segments::ReadResult read,
           co_await log_->read({next, log_->end(), kReplayReadBytes, true}));
    bytes.clear();
    for (const segments::LogPiece& piece : read.pieces)
      bytes.insert(bytes.end(), piece.bytes().begin(), piece.bytes().end());
    CO_TRY_VOID(replay_batches(bytes, next));
    protocol::BatchIterator batches{ByteView(bytes)};
    Offset behind = next;
    while (std::optional<protocol::BatchView> batch = batches.next())
      behind = batch->last_offset() + 1;
    if (behind == next)
      co_return failure(Errc::corrupt,
                        fmt::format("{}: nothing to be read at offset {}", path_, next));
    next = behind;
  }
  co_return Result<void>{};
}

Result<void> RaftLogImpl::replay_batches(ByteView bytes, Offset from) {
  protocol::BatchIterator batches(bytes);
  while (std::optional<protocol::BatchView> batch = batches.next()) {
    if (batch->is_legacy() || !batch->crc_matches()) {
      return failure(Errc::corrupt, fmt::format("{}: the batch at offset {} fails its check", path_,
                                                batch->base_offset()));
    }
    // The first may begin below what was asked for.
    if (batch->last_offset() < from) continue;
    if (batch->is_control()) TRY_VOID(note_control(*batch, true));
    bytes_since_snapshot_ += static_cast<std::int64_t>(batch->size_bytes());
    TRY_VOID(listener_.on_batch(*batch));
  }
  return {};
}

Result<void> RaftLogImpl::note_control(const protocol::BatchView& batch, bool from_log) {
  if (!batch.is_control()) return {};
  protocol::RecordIterator records(batch.records(), batch.record_count());
  for (protocol::RecordView record; records.next(record);) {
    TRY(const std::optional<protocol::ControlType> type, protocol::parse_control_key(record.key()));
    const ByteView value = record.value().value_or(ByteView());
    if (type == protocol::ControlType::kraft_version) {
      protocol::KRaftVersionRecord version;
      TRY_VOID(protocol::decode_control_value(value, version));
      kraft_version_ = version.kraft_version;
    } else if (type == protocol::ControlType::kraft_voters) {
      protocol::VotersRecord voters;
      TRY_VOID(protocol::decode_control_value(value, voters));
      voters_ = voters_of(voters);
      voters_replicated_ = from_log;
    }
  }
  return {};
}

Result<void> RaftLogImpl::check_voters() const {
  const ReplicaKey self{options_.node_id, options_.directory_id};
  if (voters_.empty()) {
    return failure(
        Errc::invalid,
        fmt::format("{}: no voter set is known. Format the directory with --standalone, or set "
                    "controller.quorum.voters",
                    path_));
  }
  if (voters_.size() > 1) {
    return failure(Errc::unsupported,
                   fmt::format("{}: the metadata quorum has {} voters; this version runs "
                               "a quorum of one",
                               path_, voters_.size()));
  }
  const Voter& voter = voters_.front();
  if (!ReplicaKey{voter.id, voter.directory_id}.matches(self)) {
    return failure(Errc::invalid,
                   fmt::format("{}: the voter is node {} with the directory {}, not node {} with "
                               "{}: a wiped or copied disk is not that voter",
                               path_, voter.id, voter.directory_id.to_string(), self.id,
                               self.directory_id.to_string()));
  }
  return {};
}

io::Task<Result<ElectionState>> RaftLogImpl::read_state() {
  const std::string path = file(kQuorumStateFile);
  const Result<std::vector<std::uint8_t>> bytes = co_await io::read_file(loop_, path);
  if (!bytes) {
    if (bytes.error().code == Errc::not_found) co_return ElectionState{};
    co_return std::unexpected(bytes.error());
  }
  Result<ElectionState> state = parse_quorum_state(as_text(*bytes));
  if (!state)
    co_return failure(state.error().code, fmt::format("{}: {}", path, state.error().context));
  co_return *state;
}

// --- Leading

io::Task<void> RaftLogImpl::lead() {
  const Result<void> led = co_await become_leader();
  if (!led) {
    if (!stopped_) listener_.on_failed(led.error());
    co_return;
  }
  if (stopped_) co_return;
  leading_ = true;
  listener_.on_leader_changed(options_.node_id, core_->epoch());
  listener_.on_leading(core_->epoch());
}

io::Task<Result<void>> RaftLogImpl::become_leader() {
  CO_TRY_VOID(co_await win_election());
  if (!core_->is_leader()) co_return std::unexpected(gone());
  const protocol::BatchView batch = *protocol::parse_batch(epoch_batch_);
  CO_TRY_VOID(co_await committed(batch.last_offset() + 1));
  co_return listener_.on_batch(batch);
}

// Alone: the own vote, then the own leadership, each durable before the next step.
io::Task<Result<void>> RaftLogImpl::win_election() {
  step(CampaignNow{});
  while (effects_.save.has_value()) {
    const SaveState save = *effects_.save;
    const std::string text = print_quorum_state(save.state, kraft_version_, core_->voters());
    CO_TRY_VOID(co_await io::replace_file(loop_, file(kQuorumStateFile),
                                          std::vector<std::uint8_t>(text.begin(), text.end())));
    step(StateSaved{save.version});
  }
  if (effects_.append.has_value()) co_return begin_epoch();
  co_return Result<void>{};
}

bool RaftLogImpl::must_write_voters() const {
  if (kraft_version_ < 1) return false;
  return !voters_replicated_ || (!options_.endpoint.host.empty() &&
                                 voters_.front().endpoints != std::vector{options_.endpoint});
}

Result<void> RaftLogImpl::begin_epoch() {
  protocol::BatchOptions options;
  options.control = true;
  options.leader_epoch = core_->epoch();
  protocol::BatchBuilder batch(options);
  const TimestampMs now = loop_.wall_now();
  auto add = [&batch, now](protocol::ControlType type, const auto& message) -> Result<void> {
    protocol::Writer out;
    TRY_VOID(protocol::encode(out, message, std::int16_t{0}));
    protocol::append_control_record(batch, type, now, out.own());
    return {};
  };
  protocol::LeaderChangeMessage change;
  change.leader_id = options_.node_id;
  for (const Voter& voter : voters_) change.voters.push_back({voter.id, Uuid()});
  change.granting_voters.push_back({options_.node_id, Uuid()});
  TRY_VOID(add(protocol::ControlType::leader_change, change));
  if (must_write_voters()) {
    if (!options_.endpoint.host.empty()) voters_.front().endpoints = {options_.endpoint};
    protocol::KRaftVersionRecord version;
    version.kraft_version = kraft_version_;
    TRY_VOID(add(protocol::ControlType::kraft_version, version));
    TRY_VOID(add(protocol::ControlType::kraft_voters, voters_record(voters_)));
    voters_replicated_ = true;
  }
  log_->begin_epoch(core_->epoch());
  std::vector<std::uint8_t> bytes = std::move(batch).finish();
  TRY(const Offset end, append_batch(bytes));
  const Offset first = end - protocol::parse_batch(bytes)->record_count();
  protocol::stamp_batch(bytes, first, core_->epoch());
  epoch_batch_ = std::move(bytes);
  return {};
}

Result<Offset> RaftLogImpl::append_batch(std::vector<std::uint8_t> batch) {
  const std::int64_t size = static_cast<std::int64_t>(batch.size());
  TRY(const segments::AppendResult appended,
      log_->append_as_leader(batch, core_->epoch(), loop_.wall_now()));
  bytes_since_snapshot_ += size;
  step(Appended{appended.end_offset, core_->epoch_start() < 0});
  return appended.end_offset;
}

io::Task<Result<Offset>> RaftLogImpl::append(std::vector<ByteView> values) {
  ASSERT(!values.empty());
  protocol::BatchOptions options;
  options.leader_epoch = core_->epoch();
  protocol::BatchBuilder batch(options);
  const TimestampMs now = loop_.wall_now();
  for (const ByteView value : values) batch.append(now, std::nullopt, value);
  if (batch.size_bytes() > kBatchBytesMax)
    co_return failure(Errc::too_large,
                      fmt::format("{} bytes of metadata records", batch.size_bytes()));
  const std::vector<std::uint8_t> bytes = std::move(batch).finish();
  while (!failed_.has_value() && core_->may_append()) {
    Result<Offset> end = append_batch(bytes);
    if (end || end.error().code != Errc::busy) co_return end;
    co_await log_->room().wait();
  }
  co_return std::unexpected(gone());
}

io::Task<Result<void>> RaftLogImpl::committed(Offset end) {
  while (core_->high_watermark() < end) {
    if (failed_.has_value() || !core_->is_leader()) co_return std::unexpected(gone());
    co_await changed_.wait();
  }
  co_return Result<void>{};
}

// --- Proposals

void RaftLogImpl::propose(Proposal& proposal) {
  if (proposed_.empty() && !waits_for_room_) loop_.post(flush_);
  proposed_.push_back(proposal);
}

void RaftLogImpl::append_proposed() {
  while (!proposed_.empty() && !waits_for_room_) {
    if (failed_.has_value() || !leading_) {
      const Error error = gone();
      end_proposals(proposed_, INT64_MAX, &error);
      return;
    }
    protocol::BatchOptions options;
    options.leader_epoch = core_->epoch();
    protocol::BatchBuilder batch(options);
    const TimestampMs now = loop_.wall_now();
    Proposals taken;
    while (!proposed_.empty() && batch.size_bytes() < kProposedBatchBytes) {
      Proposal& next = proposed_.pop_front();
      batch.append(now, std::nullopt, next.value);
      next.end = log_->end() + batch.record_count();
      taken.push_back(next);
    }
    const bool is_too_large = batch.size_bytes() > kBatchBytesMax;
    const Result<Offset> end = is_too_large ? failure(Errc::too_large, "a record is too large")
                                            : append_batch(std::move(batch).finish());
    if (end) {
      while (!taken.empty()) uncommitted_.push_back(taken.pop_front());
    } else if (end.error().code == Errc::busy) {
      while (!proposed_.empty()) taken.push_back(proposed_.pop_front());
      while (!taken.empty()) proposed_.push_back(taken.pop_front());
      waits_for_room_ = true;
      scope_.spawn(append_when_there_is_room());
    } else {
      end_proposals(taken, INT64_MAX, &end.error());
    }
  }
}

io::Task<void> RaftLogImpl::append_when_there_is_room() {
  co_await log_->room().wait();
  waits_for_room_ = false;
  append_proposed();
}

void RaftLogImpl::end_proposals(Proposals& proposals, Offset end, const Error* error) {
  Proposals ended;  // what done() proposes comes behind them
  while (!proposals.empty() && proposals.front().end <= end) ended.push_back(proposals.pop_front());
  while (!ended.empty()) {
    Proposal& proposal = ended.pop_front();
    proposal.done(proposal, error);
  }
}

void RaftLogImpl::on_durable_end_advanced(Offset durable_end) {
  if (core_ == nullptr) return;
  step(Flushed{core_->log().generation(), durable_end});
  if (!effects_.high_watermark_moved) return;
  changed_.wake_all();
  end_proposals(uncommitted_, core_->high_watermark(), nullptr);
  listener_.on_high_watermark(core_->high_watermark());
}

void RaftLogImpl::on_log_fenced(const Error& error) {
  LOG_ERROR("raft", "the metadata log takes no more writes error={}", error.message());
  failed_ = Error{Errc::fenced, error.system, error.context};
  if (core_ != nullptr) step(DiskFailed{});
  changed_.wake_all();
  resign();
  listener_.on_failed(*failed_);
}

void RaftLogImpl::resign() {
  if (!leading_) return;
  leading_ = false;
  const Error error = gone();
  end_proposals(uncommitted_, INT64_MAX, &error);
  listener_.on_resigned(core_->high_watermark());
}

std::optional<Voter> RaftLogImpl::leader_node() const {
  for (const Voter& voter : voters_) {
    if (voter.id == core_->leader()) return voter;
  }
  return std::nullopt;
}

QuorumStatus RaftLogImpl::status() const {
  QuorumStatus status;
  status.leader = core_->leader();
  status.epoch = core_->epoch();
  status.high_watermark = core_->high_watermark();
  for (const Voter& voter : voters_) {
    const ReplicaKey key{voter.id, voter.directory_id};
    status.voters.push_back({key, core_->replicated(key), -1, -1});
    if (voter.id == options_.node_id && log_ != nullptr) {
      const TimestampMs now = loop_.wall_now();
      status.voters.back() = {key, log_->end(), now, now};
    }
  }
  status.nodes = voters_;
  return status;
}

// --- Snapshots

io::Task<Result<void>> RaftLogImpl::write_snapshot(OffsetAndEpoch id,
                                                   std::vector<std::uint8_t> bytes) {
  if (id.offset <= std::max<Offset>(latest_snapshot().offset, 0)) co_return Result<void>{};
  const std::int64_t size = static_cast<std::int64_t>(bytes.size());
  const std::int64_t bytes_before = bytes_since_snapshot_;
  CO_TRY_VOID(co_await io::replace_file(loop_, file(snapshot_name(id)), std::move(bytes)));
  snapshots_.push_back({id, size, loop_.wall_now()});
  // What was appended while the file was written counts for the next one.
  bytes_since_snapshot_ -= bytes_before;
  LOG_INFO("raft", "snapshot written offset={} epoch={} bytes={}", id.offset, id.epoch, size);
  co_await drop_old_snapshots();
  co_return Result<void>{};
}

// The oldest go while log and snapshots are too large or they are too old; one always stays. The
// log begins where the oldest that is left ends.
io::Task<void> RaftLogImpl::drop_old_snapshots() {
  std::int64_t total = log_->size_bytes();
  for (const Snapshot& snapshot : snapshots_) total += snapshot.size;
  while (snapshots_.size() > 1 && !stopped_) {
    const Snapshot oldest = snapshots_.front();
    const bool too_large = options_.retention_bytes >= 0 && total > options_.retention_bytes;
    const bool too_old =
        options_.retention_ms >= 0 && loop_.wall_now() - oldest.written_ms > options_.retention_ms;
    if (!too_large && !too_old) co_return;
    const Offset start = snapshots_[1].id.offset;
    if (start > log_->log_start()) {
      if (const Result<void> moved = co_await log_->advance_log_start(start); !moved) {
        LOG_WARN("raft", "the log's start did not move error={}", moved.error().message());
        co_return;
      }
    }
    if (const Result<void> gone = co_await io::unlink(loop_, file(snapshot_name(oldest.id)));
        !gone) {
      LOG_WARN("raft", "a snapshot could not be removed error={}", gone.error().message());
      co_return;
    }
    snapshots_.erase(snapshots_.begin());
    total -= oldest.size;
  }
}

io::Task<Result<void>> RaftLogImpl::stop() {
  if (stopped_ || log_ == nullptr) co_return Result<void>{};
  stopped_ = true;
  // What was appended is waited for before the leader goes.
  if (core_ != nullptr && core_->is_leader() && !failed_.has_value() &&
      log_->durable_end() < log_->end()) {
    [[maybe_unused]] const Result<void> flushed = co_await committed(log_->end());
  }
  if (core_ != nullptr) step(Resign{});
  resign();
  append_proposed();
  changed_.wake_all();
  log_->room().wake_all();
  co_await scope_.join();
  log_->set_observer(nullptr);
  log_ = nullptr;
  if (shard_ == nullptr) co_return Result<void>{};
  co_return co_await shard_->stop();
}

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
