#pragma once
// The driver behind RaftLog: does what the consensus core's effects ask, in their order, and tells
// it what happened. Split over raft_log_*.cc by what it is about:
//
//   raft_log.cc           opening and recovering, what others may ask, the end
//   raft_log_step.cc      stepping the core and performing its effects; requests to others
//   raft_log_follow.cc    what a leader's answers bring: batches, snapshots
//   raft_log_lead.cc      appending: control batches, decisions of the controller, proposals
//   raft_log_deliver.cc   what is committed goes to the listener; snapshots of this node
//   raft_log_serve.cc     requests of others
//   raft_log_voters.cc    changes of voters, asked for by others and by this node itself
//
// The core's view of the log changes at once; the log follows in the order of LogWriter. Steps do
// not nest: what happens while effects are performed is stepped after them.

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "io/scope.h"
#include "io/sync.h"
#include "io/timer_wheel.h"
#include "protocol/batch_builder.h"
#include "raftlog/core/core.h"
#include "raftlog/fetch_size.h"
#include "raftlog/links.h"
#include "raftlog/log_writer.h"
#include "raftlog/raft_log.h"
#include "raftlog/snapshot_store.h"
#include "raftlog/voter_history.h"
#include "raftlog/wire.h"

namespace drave::raft {

class RaftLogImpl final : public RaftLog, public segments::LogObserver, public LogWriter::Owner {
 public:
  RaftLogImpl(io::Loop& loop, RaftOptions options, RaftListener& listener, std::string path);
  ~RaftLogImpl() override;

  // With a journal of its own in `directory`, or in `shared`.
  io::Task<Result<void>> open(segments::LogDirectory* directory, segments::LogShard* shared);

  // RaftLog
  void start() override;
  bool is_leader() const override { return leading_; }
  LeaderEpoch epoch() const override;
  Offset end() const override { return log_->end(); }
  Offset log_start() const override { return log_->log_start(); }
  Offset high_watermark() const override { return core_->high_watermark(); }
  std::int16_t kraft_version() const override { return history_.kraft_version(); }
  const std::vector<Voter>& voters() const override { return history_.voters(); }
  std::int16_t kraft_version_at(Offset offset) const override {
    return history_.kraft_version_at(offset);
  }
  std::vector<Voter> voters_at(Offset offset) const override { return history_.voters_at(offset); }
  std::optional<Voter> leader_node() const override;
  std::string refusal() const override { return hears_leader() ? "" : refusal_; }
  QuorumStatus status() const override;
  const ElectionCounters& elections() const override { return elections_; }
  bool is_voter() const override { return core_->is_voter(); }
  io::Task<Result<Offset>> append(std::vector<ByteView> values) override;
  io::Task<Result<void>> committed(Offset end) override;
  void propose(Proposal& proposal) override;
  io::Task<Result<Offset>> upgrade_kraft_version(std::int16_t level) override;
  Result<void> may_upgrade_kraft_version(std::int16_t level) const override;
  io::Task<Result<void>> transfer(NodeId voter) override;
  void step_down() override;
  io::Task<Result<void>> write_snapshot(OffsetAndEpoch id,
                                        std::vector<std::uint8_t> bytes) override;
  OffsetAndEpoch latest_snapshot() const override { return snapshots_.latest(); }
  std::int64_t bytes_since_snapshot() const override { return bytes_since_snapshot_; }
  io::Task<protocol::OwnedMessage<protocol::VoteResponse>> vote(
      const protocol::VoteRequest& request, std::int16_t version) override;
  io::Task<protocol::OwnedMessage<protocol::BeginQuorumEpochResponse>> begin_quorum_epoch(
      const protocol::BeginQuorumEpochRequest& request, std::int16_t version) override;
  io::Task<protocol::OwnedMessage<protocol::EndQuorumEpochResponse>> end_quorum_epoch(
      const protocol::EndQuorumEpochRequest& request, std::int16_t version) override;
  io::Task<protocol::OwnedMessage<protocol::FetchResponse>> fetch(
      const protocol::FetchRequest& request, std::int16_t version) override;
  io::Task<wire::Fetched> fetch_plain(const wire::FetchAsked& request) override;
  const wire::Group& group() const override { return group_; }
  io::Task<protocol::OwnedMessage<protocol::FetchSnapshotResponse>> fetch_snapshot(
      const protocol::FetchSnapshotRequest& request, std::int16_t version) override;
  io::Task<protocol::OwnedMessage<protocol::AddRaftVoterResponse>> add_raft_voter(
      const protocol::AddRaftVoterRequest& request, std::int16_t version) override;
  io::Task<protocol::OwnedMessage<protocol::RemoveRaftVoterResponse>> remove_raft_voter(
      const protocol::RemoveRaftVoterRequest& request, std::int16_t version) override;
  io::Task<protocol::OwnedMessage<protocol::UpdateRaftVoterResponse>> update_raft_voter(
      const protocol::UpdateRaftVoterRequest& request, std::int16_t version) override;
  protocol::OwnedMessage<protocol::DescribeQuorumResponse> describe_quorum(
      const protocol::DescribeQuorumRequest& request, std::int16_t version) override;
  io::Task<void> hand_over() override;
  io::Task<Result<void>> stop() override;

  // segments::LogObserver
  void on_durable_end_advanced(Offset durable_end) override;
  void on_log_fenced(const Error& error) override;

  // LogWriter::Owner
  void on_truncated(std::uint64_t generation) override;
  void on_write_failed(const Error& error) override;
  void on_writer_idle() override { append_control(); }

 private:
  using Proposals = IntrusiveList<Proposal, ProposalTag>;

  struct Ticker : io::Timer {
    explicit Ticker(RaftLogImpl& of) : io::Timer(&fired), log(of) {}
    static void fired(io::Timer& timer) { static_cast<Ticker&>(timer).log.tick(); }
    RaftLogImpl& log;
  };
  // Appends what was proposed in this pass.
  struct Flush : io::Ready {
    explicit Flush(RaftLogImpl& of) : log(of) {
      run = [](io::Ready& item) { static_cast<Flush&>(item).log.append_proposed(); };
    }
    RaftLogImpl& log;
  };
  // What came with a reply that is being stepped.
  struct Received {
    ByteView records;  // of a fetch
    std::vector<wire::Control> controls;
    ByteView chunk;  // of a snapshot
  };
  // co_await Asking(log, request): the core's reply; nothing: the log has ended.
  struct Asking : io::ReadyCoroutine {
    Asking(RaftLogImpl& of, Request asked) : log(of), request(std::move(asked)) {}
    RaftLogImpl& log;
    Request request;
    std::optional<Reply> reply;
    bool ended = false;
    bool await_ready() {
      log.ask_core(*this);
      return ended;
    }
    void await_suspend(std::coroutine_handle<> suspended) { coroutine = suspended; }
    std::optional<Reply> await_resume() { return std::move(reply); }
  };
  // Counts what others wait for: stop() returns when it has ended.
  class Serving {
   public:
    explicit Serving(RaftLogImpl& log) : log_(log) { ++log_.serving_; }
    Serving(const Serving&) = delete;
    ~Serving() {
      if (--log_.serving_ == 0) log_.changed_.wake_all();
    }

   private:
    RaftLogImpl& log_;
  };

  // raft_log.cc
  std::string file(std::string_view name) const { return io::join_path(path_, name); }
  io::Task<Result<void>> load_snapshot();
  io::Task<Result<void>> fit_log_to_snapshot();
  io::Task<Result<LeaderEpoch>> read_epoch(Offset offset);
  io::Task<Result<void>> scan_log();
  Result<void> scan_batches(ByteView bytes, Offset& next);
  bool is_in_place(const protocol::BatchView& batch, Offset next) const;
  Result<void> note_snapshot_controls(ByteView bytes, OffsetAndEpoch id);
  void note_control(const wire::Control& control);
  Result<void> check_voters() const;
  io::Task<Result<std::optional<ElectionState>>> read_state();  // nothing: there is no such file
  LogView recovered_view() const;
  bool is_alone() const;
  NodeId best_successor() const;
  Error gone() const {
    return failed_.value_or(Error{Errc::closed, 0, "this node does not lead the quorum"});
  }

  // raft_log_step.cc
  void step(Event event, const Received* received = nullptr);
  void finish_step(const Received* received);
  void perform(const Received* received);
  void tick();
  void arm_ticker();
  void save(const SaveState& state);
  io::Task<void> run_saver();
  io::Task<bool> wait_for_space(Error error);
  void note_role();
  void count_leader();
  void note_high_watermark();
  void note_kraft_version();
  void resign();
  void fail(const Error& error);
  void send(OutgoingRequest& request);
  std::optional<io::SocketAddress> address_of(NodeId node) const;
  void note_refusal(NodeId by, ErrorCode error);
  void note_stranger(NodeId who, std::optional<std::string_view> cluster_id, ErrorCode error);
  bool hears_leader() const;
  void note_leaderless();
  // The voters with their addresses, for an operator; a voter says whom of them it reaches. Who
  // asks bootstrap servers says what came of it.
  std::string list_voters() const;
  std::string list_bootstrap_servers() const;
  void note_bootstrap(NodeId server, std::string said);
  // Who leads instead of this node, or that nobody does; empty: this node leads.
  std::string why_not_leader() const;
  void note_lost_log();
  void note_misfit();
  void note_misread(NodeId leader, const std::string& why);
  void note_lost_voter(const LostLog& lost);
  void note_leader_address(const std::optional<wire::LeaderAddress>& leader);
  void note_answered(FetchSize& size, Instant asked, const Error* error) const;
  void request_failed(NodeId to, std::uint64_t id, const Error& error);
  io::Task<void> send_to(NodeId to, std::uint64_t id, RpcClient& client, VoteRequest request);
  io::Task<void> send_to(NodeId to, std::uint64_t id, RpcClient& client, BeginEpochRequest request);
  io::Task<void> send_to(NodeId to, std::uint64_t id, RpcClient& client, EndEpochRequest request);
  io::Task<void> send_to(NodeId to, std::uint64_t id, RpcClient& client, FetchRequest request);
  io::Task<void> send_to(NodeId to, std::uint64_t id, RpcClient& client, SnapshotRequest request);

  // raft_log_follow.cc
  void append_received(std::size_t count, const Received& received);
  void take_chunk(const SnapshotChunk& chunk, const Received& received, bool is_last);
  io::Task<void> store_chunk(SnapshotChunk chunk, std::vector<std::uint8_t> bytes, bool is_last);
  io::Task<Result<void>> take_snapshot(OffsetAndEpoch id, ByteView bytes);

  // raft_log_lead.cc
  void append_control();
  void note_appended(Offset end);
  void note_committed();
  io::Task<void> await_room();
  io::Task<void> append_control_when_there_is_room();
  Result<std::vector<std::uint8_t>> build_control(const ControlBatch& control,
                                                  wire::Control& content);
  std::vector<Voter> with_endpoints(const VoterSet& keys) const;
  void keep_own_control(Offset base, Offset end, ByteView bytes);
  Result<void> deliver_own_controls();
  bool must_write_voters() const;
  Result<Offset> append_batch(MutableByteView batch);
  void append_proposed();
  io::Task<void> append_proposed_when_there_is_room();
  void end_proposals(Proposals& proposals, Offset end, const Error* error);

  // raft_log_deliver.cc
  io::Task<void> run_deliveries();
  bool has_delivery() const;
  io::Task<Result<bool>> deliver_some();
  io::Task<Result<void>> deliver_log(Offset end);
  io::Task<Result<void>> deliver_batches(ByteView bytes, Offset end);
  // What is being handed over counts for nothing any more.
  bool delivery_is_over() const {
    return snapshot_to_deliver_.has_value() || loading_ || stopping_ || failed_.has_value();
  }
  void lead_if_ready();
  io::Task<void> drop_old_snapshots();
  io::Task<bool> delete_old_segments();

  // raft_log_serve.cc
  void ask_core(Asking& asking);
  void answer(std::uint64_t token, Reply reply);
  void end_asking();
  // A reply of the kind that was asked for: the core may also say that it is too busy.
  template <class T>
  T reply_as(std::optional<Reply> reply) const {
    if (reply.has_value()) {
      if (T* fitting = std::get_if<T>(&*reply)) return std::move(*fitting);
    }
    T busy;
    busy.error = ErrorCode::broker_not_available;
    busy.epoch = epoch();
    busy.leader = core_->leader();
    return busy;
  }
  const VoterEndpoint* leader_endpoint(NodeId leader) const;
  io::Task<wire::Fetched> find_for(wire::Asked<FetchRequest> asked, std::int32_t wanted);
  static void take_records(const segments::ReadResult& read, wire::Fetched& fetched);
  void go_around(const Error& error, FetchReply& reply);
  io::Task<Result<std::vector<std::uint8_t>>> read_piece(OffsetAndEpoch id, std::int64_t position,
                                                         std::size_t bytes_max);
  bool may_tell_unreadable();
  ErrorCode note_unreadable_snapshot(OffsetAndEpoch id, const Error& error);

  // raft_log_voters.cc
  bool names_controllers_listener(const Voter& voter) const;
  io::Task<ChangeVoterReply> change_voter(ChangeVoterRequest request, Voter voter);
  std::string why_refused(const ChangeVoterRequest& change, ErrorCode error) const;
  io::Task<Result<void>> ask_kraft_versions(Voter& voter, Instant deadline);
  ErrorCode introduce(const ChangeVoterRequest& request, Voter voter);
  ChangeVoterRequest upgrade_request() const;
  io::Task<void> run_voter_upkeep();
  void note_removed();
  void tell_upkeep(std::string_view what, NodeId leader, std::string why);
  void connect_voters();
  static io::Task<void> connect(RpcClient& client);
  io::Task<void> update_own_voter(NodeId leader, io::SocketAddress address);
  io::Task<void> join_voters(NodeId leader, io::SocketAddress address);
  const Voter* find_voter(const ReplicaKey& key) const;
  bool is_stale(const Voter& voter) const;

  io::Loop& loop_;
  const RaftOptions options_;
  const ReplicaKey self_;
  RaftListener& listener_;
  const std::string path_;  // of the log's directory
  const wire::Group group_;
  std::unique_ptr<segments::LogShard> shard_;  // null: the log is in another's
  segments::PartitionLog* log_ = nullptr;
  std::unique_ptr<Core> core_;
  Effects effects_;           // of the core's last step
  std::deque<Event> events_;  // to be stepped after the present one
  bool stepping_ = false;
  bool started_ = false;
  ElectionState recovered_;               // these until started
  bool began_empty_ = false;              // and knows of no voters yet
  LeaderEpoch newest_epoch_ = INT32_MAX;  // that anything in the log can be of
  Offset scanned_from_ = 0;
  std::vector<EpochStart> scanned_epochs_;
  Ticker ticker_;
  io::Scope scope_;
  io::WaitQueue changed_;  // high watermark, role, durable end; or the end of all of them
  std::optional<Error> failed_;
  bool draining_ = false;  // about to stop: nothing more is appended
  bool stopping_ = false;

  std::optional<SaveState> to_save_;  // the newest that is not durable
  bool saving_ = false;

  // The log
  LogWriter writer_;
  std::uint64_t generation_ = 0;  // of what the log's durable end means
  bool loading_ = false;          // a snapshot takes the log's place
  VoterHistory history_;
  bool voters_from_snapshot_ = false;  // which is more than formatting
  std::int16_t told_kraft_version_ = 0;
  SnapshotStore snapshots_;
  std::int64_t bytes_since_snapshot_ = 0;

  // Deliveries
  io::WaitQueue deliver_;
  Offset delivered_ = 0;  // given to the listener below this
  std::optional<OffsetAndEpoch> snapshot_to_deliver_;
  NodeId told_leader_ = -1;
  LeaderEpoch told_epoch_ = -1;

  // Leading
  bool leading_ = false;                  // as the listener knows
  LeaderEpoch led_epoch_ = -1;            // the last one in which it knew so
  Offset led_end_ = -1;                   // what was committed when that ended
  Offset epoch_begun_end_ = -1;           // of the epoch's first batch; -1: not appended
  std::optional<ControlBatch> control_;   // to be appended
  bool control_waits_ = false;            // for room in the journal
  std::optional<Instant> no_room_since_;  // something waits since then
  struct Timed {
    Offset end = 0;
    Instant since;
  };
  std::optional<Timed> timed_;  // one batch that is on its way: how long it takes
  Instant slow_commit_told_until_{};
  std::optional<Voter> changing_;  // who an AddRaftVoter or UpdateRaftVoter is about
  // Of a static quorum: what its voters have told this leader of themselves, until an upgrade
  // writes it down.
  std::vector<Voter> static_voters_;
  // Control batches of this leadership that the listener has not been given.
  struct OwnControl {
    Offset base = 0;
    Offset end = 0;
    std::vector<std::uint8_t> bytes;
  };
  std::deque<OwnControl> own_controls_;
  Flush flush_;
  Proposals proposed_;
  Proposals uncommitted_;  // appended
  bool proposals_wait_ = false;

  // Others
  Links own_links_;
  Links& links_;                        // these or RaftOptions::links
  wire::LeaderAddress leader_address_;  // as last heard; id -1: not heard
  Instant refusal_told_until_{};
  std::string refusal_;  // the last
  // What each bootstrap server said last; empty: none was asked since a leader was heard.
  std::vector<std::string> bootstrap_said_;
  Instant stranger_told_until_{};
  Instant misfit_told_until_{};
  FetchSize fetch_size_;
  FetchSize snapshot_size_;
  Instant unreadable_told_until_{};
  Instant no_space_told_until_{};
  Instant lost_told_until_{};
  ElectionCounters elections_;
  Instant leaderless_since_{};
  Instant heard_leader_{};  // a leader's last answer; or when it was last this node, or the start
  Instant leaderless_told_{};       // when it is told next
  LeaderEpoch introduced_in_ = -1;  // whose leader knows this voter of a static quorum
  bool has_joined_ = false;         // has been in a committed set since it started
  bool removal_told_ = false;
  Instant misread_told_until_{};
  std::string upkeep_told_;
  Instant upkeep_told_until_{};
  std::vector<std::pair<std::uint64_t, Asking*>> asking_;  // by token; each replica waits with one
  std::uint64_t last_token_ = 0;
  std::size_t serving_ = 0;
  std::vector<RpcClient*> asked_;  // who is to be a voter, for its versions
  std::size_t farewells_ = 0;      // voters that EndQuorumEpoch has not been tried with
  bool farewell_heard_ = false;
};

}  // namespace drave::raft
