#pragma once
// The one implementation of QuorumController. Private to broker/controller: quorum_controller.cc
// has what it is and becomes, decisions.cc what it is asked.

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "broker/controller/controller_requests.h"
#include "broker/controller/quorum_controller.h"
#include "io/scope.h"
#include "metadata/controller/batching.h"
#include "metadata/controller/context.h"
#include "metadata/controller/heartbeat_tracker.h"
#include "metadata/controller/leadership.h"
#include "metadata/controller/no_op.h"
#include "metadata/delta.h"
#include "metadata/loader.h"
#include "metadata/record_list.h"
#include "protocol/error_code.h"

namespace drave::broker {

// What is committed is true, however long this node's own disks take to follow: its clients then
// meet what those of other nodes may meet, too. So long an answer waits for this node.
inline constexpr Duration kPublicationWaitMax = seconds(1);
// But for ACLs: who was told that somebody may do nothing any more relies on it. The client still
// waits then, also if the commit has taken as long.
inline constexpr Duration kAclsWaitMax = seconds(10);
static_assert(kAclsWaitMax + kAclsWaitMax < kClientWaitMax);
// Of a broker that is refused in the same way again.
inline constexpr Duration kRefusalTold = seconds(30);
inline constexpr std::size_t kRefusalsToldMax = 1000;

class Controller final : public QuorumController, public raft::RaftListener {
 public:
  Controller(io::Loop& loop, ControllerOptions options, Publisher& publisher);

  io::Task<Result<void>> open_log(segments::LogDirectory& directory);

  void start() override;
  metadata::ImagePtr image() const override { return published_; }
  Offset published_end() const override { return published_end_; }
  bool is_active() const override { return active_; }
  raft::RaftLog& raft() override { return *raft_; }
  bool has_stopped() const override { return stopped_; }
  std::optional<raft::Voter> leader() const override;
  bool is_here(NodeId node) const override { return node == config_.node_id; }
  io::WaitQueue& changed() override { return changed_; }

  Answer<protocol::CreateTopicsResponse> create_topics(const protocol::CreateTopicsRequest& request,
                                                       std::int16_t version) override;
  Answer<protocol::DeleteTopicsResponse> delete_topics(const protocol::DeleteTopicsRequest& request,
                                                       std::int16_t version) override;
  Answer<protocol::CreatePartitionsResponse> create_partitions(
      const protocol::CreatePartitionsRequest& request, std::int16_t version) override;
  Answer<protocol::IncrementalAlterConfigsResponse> incremental_alter_configs(
      const protocol::IncrementalAlterConfigsRequest& request, std::int16_t version) override;
  Answer<protocol::AlterConfigsResponse> alter_configs(const protocol::AlterConfigsRequest& request,
                                                       std::int16_t version) override;
  Answer<protocol::UpdateFeaturesResponse> update_features(
      const protocol::UpdateFeaturesRequest& request, std::int16_t version) override;
  Answer<protocol::CreateAclsResponse> create_acls(const protocol::CreateAclsRequest& request,
                                                   std::int16_t version) override;
  Answer<protocol::DeleteAclsResponse> delete_acls(const protocol::DeleteAclsRequest& request,
                                                   std::int16_t version) override;
  Answer<protocol::ElectLeadersResponse> elect_leaders(const protocol::ElectLeadersRequest& request,
                                                       std::int16_t version) override;
  Answer<protocol::UnregisterBrokerResponse> unregister_broker(
      const protocol::UnregisterBrokerRequest& request, std::int16_t version) override;
  Answer<protocol::BrokerRegistrationResponse> broker_registration(
      const protocol::BrokerRegistrationRequest& request, std::int16_t version) override;
  Answer<protocol::BrokerHeartbeatResponse> broker_heartbeat(
      const protocol::BrokerHeartbeatRequest& request, std::int16_t version) override;
  Answer<protocol::ControllerRegistrationResponse> controller_registration(
      const protocol::ControllerRegistrationRequest& request, std::int16_t version) override;
  Answer<protocol::AllocateProducerIdsResponse> allocate_producer_ids(
      const protocol::AllocateProducerIdsRequest& request, std::int16_t version) override;
  Answer<protocol::AssignReplicasToDirsResponse> assign_replicas_to_dirs(
      const protocol::AssignReplicasToDirsRequest& request, std::int16_t version) override;
  io::Task<void> stop() override;

  // --- raft::RaftListener
  Result<void> on_snapshot(ByteView batches, OffsetAndEpoch id) override;
  Result<bool> on_batch(const protocol::BatchView& batch) override;
  void on_high_watermark(Offset high_watermark) override;
  void on_leading(LeaderEpoch epoch) override;
  void on_resigned(Offset committed) override;
  void on_leader_changed(NodeId leader, LeaderEpoch epoch) override;
  void on_failed(const Error& error) override;

 private:
  // Appended by this node, not known to be committed.
  struct Pending {
    Offset end = 0;
    metadata::ImagePtr visible;
    metadata::ImagePtr working;  // with the records of an open transaction; null: there is none
  };

  struct Change {
    std::string_view what;  // a literal
    bool validate_only = false;
    metadata::Atomicity atomicity = metadata::Atomicity::all;
    bool is_of_node = false;      // asks for no image here: answered as soon as it is committed
    bool is_of_sweepers = false;  // sweeping_ is held, too, until the change is appended
    // So long the answer waits for this node's shards to have it, once it is committed.
    Duration publication_wait = kPublicationWaitMax;
  };

  metadata::ControllerContext context();
  bool leads(LeaderEpoch epoch) const { return leads_ && raft_->epoch() == epoch; }
  void note_committed(Offset high_watermark);

  // --- Becoming active
  io::Task<void> take_over(LeaderEpoch epoch);
  // What has to be in the log before anything is decided; what is there already is not repeated.
  // `aborts`: a transaction is open; false as soon as that is ended. Errc::closed: this node does
  // not lead, or hands over, which may fail. The caller holds sweeping_ and deciding_.
  io::Task<Result<void>> prepare(bool& aborts);
  // Of the changes that an earlier controller began. Errors: closed, as above.
  io::Task<Result<void>> finish_left_over();
  io::Task<Result<metadata::RecordList>> read_bootstrap();
  io::Task<void> tend(LeaderEpoch epoch);
  // Fences whoever was silent for a session, one after the other by their ids. Ends with the first
  // failure: those that there are, are the log's, not a broker's, and the next check begins with
  // the same one again. A failure of one broker alone would be in the way of those behind it.
  io::Task<void> fence_silent(LeaderEpoch epoch);

  // --- Changing
  // Appends records that were decided against ahead_, which then includes them. The caller holds
  // deciding_. A part of them may be appended also if this fails; no node leads on with that
  // (leave_half_done).
  io::Task<Result<void>> append(metadata::RecordList records, metadata::Atomicity atomicity,
                                std::string_view what);
  // Makes the changes in pieces, and lets others decide in between. The caller holds sweeping_ and
  // deciding_, also when this returns; if that is with success, nobody else has decided since
  // revisit(). As with append(), a part may be appended if it fails.
  io::Task<Result<void>> sweep(metadata::PartitionSweep sweep, std::string_view what);
  // The pieces and revisit(); `begun`: something of it is appended.
  io::Task<Result<void>> sweep_pieces(metadata::PartitionSweep sweep, std::string_view what,
                                      LeaderEpoch epoch, bool& begun);
  // Appends a broker's own records. `is_swept`: its partitions have been changed for that.
  io::Task<Result<void>> append_own(metadata::RecordList records, std::string_view what,
                                    bool is_swept);
  // What was begun in `epoch` is appended in part, and cannot go on: though this node leads, if an
  // attempt to hand over came between, and failed. It leads no more then: who takes over, perhaps
  // itself, takes a transaction back and brings partitions and registrations together
  // (metadata/controller/leadership.h, left_over()).
  void leave_half_done(LeaderEpoch epoch, std::string_view what, const Error& error);
  // One batch, decided while the node led in `epoch`; `goes_on`: it is part of a transaction that
  // does not end with it.
  io::Task<Result<void>> append_batch(const metadata::RecordList& records, LeaderEpoch epoch,
                                      bool goes_on);
  // A broker that is refused asks several times a second: it is told of now and then.
  void note_refused(NodeId broker, std::int16_t error, std::string_view reason);
  // Returns when everything below `end` is committed.
  io::Task<Result<void>> committed(Offset end);
  // Returns when everything below `end` is committed, and published if that takes a moment only and
  // this node leads for so long.
  io::Task<Result<void>> visible(Offset end, Duration publication_wait = kPublicationWaitMax);
  io::Task<void> publish_loop();
  bool wants_snapshot() const;
  io::Task<void> write_snapshot(metadata::ImagePtr image);

  // The way of every request: decide, append what was decided, wait until it is visible. `fail`
  // turns an answer into a refusal.
  template <class A, class Decide, class Fail>
  io::Task<A> change(Change how, Decide decide, Fail fail) {
    co_await deciding_.acquire();
    metadata::RecordList records;
    A answer = decide(context(), records);
    if (const Result<void> done = co_await take(how, std::move(records)); !done)
      fail(answer, done.error());
    co_return answer;
  }
  // The same, decided in pieces between which others run: `begin(context)` makes a Decision.
  template <class A, class Begin, class Fail>
  io::Task<A> change_in_pieces(Change how, Begin begin, Fail fail) {
    co_await deciding_.acquire();
    const metadata::ImagePtr image = ahead_;  // voters may change meanwhile
    metadata::RecordList records;
    const auto decision = begin(context());
    while (decision->next(records)) co_await io::next_pass(loop_);
    A answer = std::move(decision->answer);
    if (const Result<void> done = co_await take(how, std::move(records)); !done)
      fail(answer, done.error());
    co_return answer;
  }
  // Appends what was decided, lets others decide, and returns when it is visible. The caller holds
  // deciding_, which this releases.
  io::Task<Result<void>> take(Change how, metadata::RecordList records);
  // The same for brokers' requests, whose answers have one code. Nothing is decided while this node
  // is not active.
  template <class Response, class Decide>
  Answer<Response> broker_change(std::string_view what, Decide decide, bool is_of_node = true);
  // The same where partitions may have to be changed before (metadata/controller/brokers.h):
  // `plan(context)` has a `sweep`, and decide() is given the plan.
  template <class Response, class Plan, class Decide>
  Answer<Response> planned_change(std::string_view what, Plan plan, Decide decide);

  io::Loop& loop_;
  ControllerOptions options_;
  const BrokerConfig& config_;
  Publisher& publisher_;
  Random random_;
  std::string directory_path_;
  std::unique_ptr<raft::RaftLog> raft_;

  metadata::Loader loader_;   // what is committed
  Offset committed_end_ = 0;  // loader_ has all below it
  std::deque<Pending> pending_;
  metadata::ImagePtr ahead_;  // with everything appended
  Offset ahead_end_ = 0;
  metadata::ImagePtr published_;
  Offset published_end_ = 0;

  bool leads_ = false;             // the quorum
  bool active_ = false;            // leads and has put things in order
  std::optional<NodeId> leaving_;  // whose partitions a sweep is taking away
  metadata::HeartbeatTracker tracker_;
  metadata::NoOpClock no_ops_;
  // What is planned and swept, and what a plan relies on: one at a time. Taken before deciding_.
  io::Semaphore sweeping_;
  io::Semaphore deciding_;  // one decision at a time
  io::WaitQueue commit_;    // something to publish, or the end
  io::WaitQueue changed_;
  io::WaitQueue tending_;  // wakes tend() to end
  bool publishing_ = false;
  TimestampMs snapshot_ms_ = 0;  // when the last one was written or the log opened
  struct RefusalTold {
    std::int16_t error = 0;
    Instant until;
  };
  std::map<NodeId, RefusalTold> refusals_told_;  // at most kRefusalsToldMax
  bool snapshot_running_ = false;
  Instant snapshot_again_{};  // after one that could not be written: not before
  bool stopping_ = false;
  bool stopped_ = false;
  io::Scope scope_;
};

// What is told when the quorum did not take a decision.
inline std::int16_t refusal_of(const Error& error) {
  return static_cast<std::int16_t>(error.code == Errc::too_large
                                       ? protocol::ErrorCode::policy_violation
                                       : protocol::ErrorCode::not_controller);
}

}  // namespace drave::broker
