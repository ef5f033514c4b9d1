#include "broker/controller/quorum_controller.h"

#include <deque>

#include "base/assert.h"
#include "base/log.h"
#include "io/file.h"
#include "io/scope.h"
#include "io/sync.h"
#include "metadata/controller/acls.h"
#include "metadata/controller/bootstrap.h"
#include "metadata/controller/configs.h"
#include "metadata/controller/features_update.h"
#include "metadata/controller/registration.h"
#include "metadata/controller/topics.h"
#include "metadata/delta.h"
#include "metadata/features.h"
#include "metadata/image_records.h"
#include "metadata/loader.h"
#include "protocol/error_code.h"
#include "raftlog/raft_log.h"

namespace drave::broker {

namespace {

using metadata::ImagePtr;
using metadata::RecordList;
using protocol::ErrorCode;
using protocol::OwnedMessage;

constexpr std::int32_t kProducerIdBlock = 1000;
constexpr Duration kSnapshotCheckInterval = seconds(60);

// How Kafka numbers security protocols in records.
std::int16_t protocol_number(SecurityProtocol protocol) {
  return static_cast<std::int16_t>(protocol);
}

metadata::BrokerEndpoint endpoint_of(const Endpoint& from) {
  return {from.listener, from.host, from.port, protocol_number(from.protocol)};
}

// What clients are told when the quorum did not take a decision.
ErrorCode code_of(const Error& error) {
  return error.code == Errc::too_large ? ErrorCode::policy_violation : ErrorCode::not_controller;
}

class Controller final : public QuorumController, public raft::RaftListener {
 public:
  Controller(io::Loop& loop, ControllerOptions options, Publisher& publisher)
      : loop_(loop),
        options_(std::move(options)),
        config_(*options_.config),
        publisher_(publisher),
        random_(loop.backend().entropy()),
        ahead_(loader_.image()),
        published_(loader_.image()),
        deciding_(loop, 1),
        leadership_(loop),
        commit_(loop),
        published_changed_(loop),
        scope_(loop) {}

  io::Task<Result<void>> start(segments::LogDirectory& directory);

  io::Task<Result<void>> activate() override;
  void set_advertised_listeners(std::vector<Endpoint> listeners) override {
    options_.advertised_listeners = std::move(listeners);
  }
  ImagePtr image() const override { return published_; }
  bool is_active() const override { return active_; }
  std::int64_t broker_epoch() const override { return broker_epoch_; }
  Offset high_watermark() const override { return raft_->high_watermark(); }
  LeaderEpoch leader_epoch() const override { return raft_->epoch(); }

  io::Task<OwnedMessage<protocol::CreateTopicsResponse>> create_topics(
      const protocol::CreateTopicsRequest& request, std::int16_t version) override;
  io::Task<OwnedMessage<protocol::DeleteTopicsResponse>> delete_topics(
      const protocol::DeleteTopicsRequest& request, std::int16_t version) override;
  io::Task<OwnedMessage<protocol::CreatePartitionsResponse>> create_partitions(
      const protocol::CreatePartitionsRequest& request, std::int16_t version) override;
  io::Task<OwnedMessage<protocol::IncrementalAlterConfigsResponse>> incremental_alter_configs(
      const protocol::IncrementalAlterConfigsRequest& request, std::int16_t version) override;
  io::Task<OwnedMessage<protocol::AlterConfigsResponse>> alter_configs(
      const protocol::AlterConfigsRequest& request, std::int16_t version) override;
  io::Task<OwnedMessage<protocol::UpdateFeaturesResponse>> update_features(
      const protocol::UpdateFeaturesRequest& request, std::int16_t version) override;
  io::Task<OwnedMessage<protocol::CreateAclsResponse>> create_acls(
      const protocol::CreateAclsRequest& request) override;
  io::Task<OwnedMessage<protocol::DeleteAclsResponse>> delete_acls(
      const protocol::DeleteAclsRequest& request) override;
  io::Task<Result<ProducerIdBlock>> allocate_producer_ids() override;
  OwnedMessage<protocol::DescribeQuorumResponse> describe_quorum(
      const protocol::DescribeQuorumRequest& request, std::int16_t version) override {
    return raft_->describe_quorum(request, version);
  }
  io::Task<void> stop() override;

  Result<void> on_snapshot(ByteView batches, OffsetAndEpoch id) override {
    TRY_VOID(loader_.load_snapshot(batches, id));
    ahead_ = loader_.image();
    return {};
  }
  Result<void> on_batch(const protocol::BatchView& batch) override {
    TRY_VOID(loader_.apply(batch));
    ahead_ = loader_.image();
    ahead_end_ = batch.last_offset() + 1;
    return {};
  }
  void on_high_watermark(Offset) override { commit_.wake_all(); }
  void on_leading(LeaderEpoch) override {
    leads_ = true;
    leadership_.wake_all();
  }
  void on_resigned(Offset) override { leads_ = false; }
  void on_leader_changed(NodeId, LeaderEpoch) override {}
  void on_failed(const Error& error) override {
    failed_ = error;
    leadership_.wake_all();
    commit_.wake_all();
  }

 private:
  // Appended, not yet published.
  struct Pending {
    Offset end = 0;
    ImagePtr image;
  };

  raft::RaftOptions raft_options() const;
  metadata::ControllerContext context() {
    return {*ahead_,
            config_.given,
            config_.node_id,
            config_.num_partitions,
            config_.default_replication_factor,
            config_.delete_topic_enable,
            random_};
  }
  io::Task<Result<RecordList>> read_bootstrap();
  io::Task<Result<void>> register_node();
  // Appends records that were decided against ahead_, which then includes them. The caller holds
  // deciding_.
  io::Task<Result<void>> append(RecordList records);
  // Returns when everything below `end` is committed and published.
  io::Task<Result<void>> visible(Offset end);
  io::Task<void> publish_loop();
  bool wants_snapshot() const;
  io::Task<void> write_snapshot(ImagePtr image);

  // The way of every request: decide, append what was decided, wait until it is visible. `fail`
  // turns an answer into a refusal.
  template <class Answer, class Decide, class Fail>
  io::Task<Answer> change(bool validate_only, Decide decide, Fail fail) {
    co_await deciding_.acquire();
    RecordList records;
    Answer answer = decide(context(), records);
    Result<void> done;
    if (!active_)
      done = failure(Errc::closed, "this node is not the active controller");
    else if (!validate_only && !records.empty())
      done = co_await append(std::move(records));
    // Also what only looked must not tell of changes that could still be lost.
    const Offset end = ahead_end_;
    deciding_.release();
    if (done) done = co_await visible(end);
    if (!done) fail(answer, done.error());
    co_return answer;
  }

  io::Loop& loop_;
  ControllerOptions options_;
  const BrokerConfig& config_;
  Publisher& publisher_;
  Random random_;
  std::string directory_path_;
  std::unique_ptr<raft::RaftLog> raft_;
  metadata::Loader loader_;  // while the log is replayed; a leader's own records go into ahead_
  ImagePtr ahead_;           // with everything appended
  Offset ahead_end_ = 0;
  std::deque<Pending> pending_;
  ImagePtr published_;
  Offset published_end_ = 0;
  bool leads_ = false;  // the quorum
  bool active_ = false;
  std::optional<Error> failed_;  // the metadata log has
  std::int64_t broker_epoch_ = -1;
  io::Semaphore deciding_;           // one decision at a time
  io::WaitQueue leadership_;         // leads_ or failed_ has changed
  io::WaitQueue commit_;             // something to publish, or the end
  io::WaitQueue published_changed_;  // published_end_ moved, or never will again
  bool publishing_ = false;
  TimestampMs snapshot_ms_ = 0;  // when the last one was written or the log opened
  bool snapshot_running_ = false;
  io::Scope scope_;
};

// --- Start

raft::RaftOptions Controller::raft_options() const {
  raft::RaftOptions options;
  options.node_id = config_.node_id;
  options.directory_id = options_.metadata_directory_id;
  for (const QuorumVoter& voter : config_.quorum_voters) {
    raft::Voter& added = options.static_voters.emplace_back();
    added.id = voter.id;
    added.endpoints.push_back({config_.controller_listener_name, voter.host, voter.port});
  }
  const Endpoint& endpoint = config_.advertised_controller_listener;
  options.endpoint = {endpoint.listener, endpoint.host, endpoint.port};
  options.log.segment_bytes = config_.metadata_segment_bytes;
  options.log.segment_ms = config_.metadata_segment_ms;
  options.log.retention_ms = -1;
  options.log.retention_bytes = -1;
  options.retention_bytes = config_.metadata_retention_bytes;
  options.retention_ms = config_.metadata_retention_ms;
  return options;
}

io::Task<Result<void>> Controller::start(segments::LogDirectory& directory) {
  directory_path_ = directory.path();
  CO_TRY(raft_, co_await raft::RaftLog::open(loop_, directory, raft_options(), *this));
  ahead_end_ = raft_->end();
  snapshot_ms_ = loop_.wall_now();
  published_ = ahead_;
  published_end_ = ahead_end_;
  co_await publisher_.publish(published_);
  co_return Result<void>{};
}

io::Task<Result<RecordList>> Controller::read_bootstrap() {
  const std::string path = io::join_path(directory_path_, raft::kBootstrapFile);
  Result<std::vector<std::uint8_t>> bytes = co_await io::read_file(loop_, path);
  if (!bytes && bytes.error().code != Errc::not_found) co_return std::unexpected(bytes.error());
  if (bytes) {
    if (const Result<void> whole = raft::check_snapshot(*bytes); !whole)
      co_return failure(Errc::corrupt, path + ": " + whole.error().context);
  }
  co_return metadata::bootstrap_records(bytes ? ByteView(*bytes) : ByteView(),
                                        config_.topic_defaults.min_insync_replicas);
}

io::Task<Result<void>> Controller::activate() {
  raft_->start();
  while (!leads_ && !failed_.has_value()) co_await leadership_.wait();
  if (failed_.has_value()) co_return std::unexpected(*failed_);
  const bool dangling = loader_.in_transaction();
  ahead_end_ = raft_->end();
  pending_.push_back({ahead_end_, ahead_});
  publishing_ = true;
  scope_.spawn(publish_loop());
  co_await deciding_.acquire();
  if (dangling) {
    RecordList records;
    protocol::AbortTransactionRecord abort;
    abort.reason = "The controller that began it is gone";
    records.add(abort);
    CO_TRY_VOID(co_await append(std::move(records)));
  }
  if (ahead_->feature(metadata::kMetadataVersion) == 0) {
    CO_TRY(RecordList records, co_await read_bootstrap());
    CO_TRY_VOID(co_await append(std::move(records)));
  }
  const std::int16_t level = ahead_->feature(metadata::kMetadataVersion);
  if (level < metadata::metadata_level::kMin || level > metadata::metadata_level::kNewest) {
    co_return failure(
        Errc::unsupported,
        fmt::format("the cluster's metadata.version is {}; this version can hold {} to {}", level,
                    metadata::metadata_level::kMin, metadata::metadata_level::kNewest));
  }
  CO_TRY_VOID(co_await register_node());
  active_ = true;
  const Offset end = ahead_end_;
  deciding_.release();
  CO_TRY_VOID(co_await visible(end));
  LOG_INFO("controller", "active epoch={} broker_epoch={} topics={} metadata_version={}",
           raft_->epoch(), broker_epoch_, published_->topics().by_name().size(), level);
  co_return Result<void>{};
}

io::Task<Result<void>> Controller::register_node() {
  metadata::NodeDescription node;
  node.id = config_.node_id;
  node.incarnation_id = metadata::draw_id(random_);
  for (const Endpoint& endpoint : options_.advertised_listeners)
    node.listeners.push_back(endpoint_of(endpoint));
  node.controller_listeners.push_back(endpoint_of(config_.advertised_controller_listener));
  node.rack = config_.rack;
  node.directories = options_.log_directory_ids;
  RecordList records;
  metadata::register_controller(*ahead_, node, records);
  broker_epoch_ = raft_->end() + static_cast<Offset>(records.size());
  metadata::register_broker(*ahead_, node, broker_epoch_, records);
  CO_TRY_VOID(co_await append(std::move(records)));
  RecordList unfencing;
  metadata::unfence_broker(*ahead_, config_.node_id, unfencing);
  if (!unfencing.empty()) CO_TRY_VOID(co_await append(std::move(unfencing)));
  co_return Result<void>{};
}

// --- Changing

io::Task<Result<void>> Controller::append(RecordList records) {
  metadata::Delta delta(*ahead_);
  std::vector<ByteView> values;
  for (std::size_t index = 0; index < records.size(); ++index) {
    CO_TRY_VOID(delta.apply(records[index]));
    values.push_back(records[index]);
  }
  const TimestampMs now = loop_.wall_now();
  const LeaderEpoch epoch = raft_->epoch();
  CO_TRY(const Offset end, co_await raft_->append(std::move(values)));
  ahead_ = std::make_shared<const metadata::Image>(std::move(delta).finish({end - 1, epoch}, now));
  ahead_end_ = end;
  pending_.push_back({end, ahead_});
  co_return Result<void>{};
}

io::Task<Result<void>> Controller::visible(Offset end) {
  CO_TRY_VOID(co_await raft_->committed(end));
  while (published_end_ < end) {
    if (!publishing_) co_return failure(Errc::closed, "the controller has stopped");
    co_await published_changed_.wait();
  }
  co_return Result<void>{};
}

io::Task<void> Controller::publish_loop() {
  while (true) {
    std::optional<Pending> next;
    while (!pending_.empty() && pending_.front().end <= raft_->high_watermark()) {
      next = std::move(pending_.front());
      pending_.pop_front();
    }
    if (next.has_value()) {
      co_await publisher_.publish(next->image);
      published_ = next->image;
      published_end_ = next->end;
      published_changed_.wake_all();
    } else if (scope_.is_stopping()) {
      break;
    } else {
      co_await commit_.wait_until(loop_.now() + kSnapshotCheckInterval);
    }
    if (wants_snapshot()) {
      snapshot_running_ = true;
      scope_.spawn(write_snapshot(published_));
    }
  }
  publishing_ = false;
  published_changed_.wake_all();
}

// --- Requests

io::Task<OwnedMessage<protocol::CreateTopicsResponse>> Controller::create_topics(
    const protocol::CreateTopicsRequest& request, std::int16_t version) {
  using Answer = OwnedMessage<protocol::CreateTopicsResponse>;
  return change<Answer>(
      request.validate_only,
      [&request, version](const metadata::ControllerContext& context, RecordList& records) {
        return metadata::create_topics(context, request, version, records);
      },
      [](Answer& answer, const Error& error) {
        for (auto& topic : answer.message.topics) {
          if (topic.error_code != 0) continue;
          const std::string_view name = topic.name;
          topic = {};
          topic.name = name;
          topic.error_code = static_cast<std::int16_t>(code_of(error));
          topic.error_message = answer.keep(error.context);
        }
      });
}

io::Task<OwnedMessage<protocol::DeleteTopicsResponse>> Controller::delete_topics(
    const protocol::DeleteTopicsRequest& request, std::int16_t version) {
  using Answer = OwnedMessage<protocol::DeleteTopicsResponse>;
  return change<Answer>(
      false,
      [&request, version](const metadata::ControllerContext& context, RecordList& records) {
        return metadata::delete_topics(context, request, version, records);
      },
      [](Answer& answer, const Error& error) {
        for (auto& topic : answer.message.responses) {
          if (topic.error_code != 0) continue;
          topic.error_code = static_cast<std::int16_t>(code_of(error));
          topic.error_message = answer.keep(error.context);
        }
      });
}

io::Task<OwnedMessage<protocol::CreatePartitionsResponse>> Controller::create_partitions(
    const protocol::CreatePartitionsRequest& request, std::int16_t) {
  using Answer = OwnedMessage<protocol::CreatePartitionsResponse>;
  return change<Answer>(
      request.validate_only,
      [&request](const metadata::ControllerContext& context, RecordList& records) {
        return metadata::create_partitions(context, request, records);
      },
      [](Answer& answer, const Error& error) {
        for (auto& topic : answer.message.results) {
          if (topic.error_code != 0) continue;
          topic.error_code = static_cast<std::int16_t>(code_of(error));
          topic.error_message = answer.keep(error.context);
        }
      });
}

namespace {

template <class Answer>
void fail_resources(Answer& answer, const Error& error) {
  for (auto& resource : answer.message.responses) {
    if (resource.error_code != 0) continue;
    resource.error_code = static_cast<std::int16_t>(code_of(error));
    resource.error_message = answer.keep(error.context);
  }
}

}  // namespace

io::Task<OwnedMessage<protocol::IncrementalAlterConfigsResponse>>
Controller::incremental_alter_configs(const protocol::IncrementalAlterConfigsRequest& request,
                                      std::int16_t) {
  using Answer = OwnedMessage<protocol::IncrementalAlterConfigsResponse>;
  return change<Answer>(
      request.validate_only,
      [&request](const metadata::ControllerContext& context, RecordList& records) {
        return metadata::incremental_alter_configs(context, request, records);
      },
      fail_resources<Answer>);
}

io::Task<OwnedMessage<protocol::AlterConfigsResponse>> Controller::alter_configs(
    const protocol::AlterConfigsRequest& request, std::int16_t) {
  using Answer = OwnedMessage<protocol::AlterConfigsResponse>;
  return change<Answer>(
      request.validate_only,
      [&request](const metadata::ControllerContext& context, RecordList& records) {
        return metadata::alter_configs(context, request, records);
      },
      fail_resources<Answer>);
}

io::Task<OwnedMessage<protocol::UpdateFeaturesResponse>> Controller::update_features(
    const protocol::UpdateFeaturesRequest& request, std::int16_t version) {
  using Answer = OwnedMessage<protocol::UpdateFeaturesResponse>;
  return change<Answer>(
      request.validate_only,
      [&request, version](const metadata::ControllerContext& context, RecordList& records) {
        return metadata::update_features(context, request, version, records);
      },
      [](Answer& answer, const Error& error) {
        if (answer.message.error_code != 0) return;
        answer.message.error_code = static_cast<std::int16_t>(code_of(error));
        answer.message.error_message = answer.keep(error.context);
        answer.message.results.clear();
      });
}

io::Task<OwnedMessage<protocol::CreateAclsResponse>> Controller::create_acls(
    const protocol::CreateAclsRequest& request) {
  using Answer = OwnedMessage<protocol::CreateAclsResponse>;
  return change<Answer>(
      false,
      [&request](const metadata::ControllerContext& context, RecordList& records) {
        return metadata::create_acls(context, request, records);
      },
      [](Answer& answer, const Error& error) {
        for (auto& result : answer.message.results) {
          if (result.error_code != 0) continue;
          result.error_code = static_cast<std::int16_t>(code_of(error));
          result.error_message = answer.keep(error.context);
        }
      });
}

io::Task<OwnedMessage<protocol::DeleteAclsResponse>> Controller::delete_acls(
    const protocol::DeleteAclsRequest& request) {
  using Answer = OwnedMessage<protocol::DeleteAclsResponse>;
  return change<Answer>(
      false,
      [&request](const metadata::ControllerContext& context, RecordList& records) {
        return metadata::delete_acls(context, request, records);
      },
      [](Answer& answer, const Error& error) {
        for (auto& result : answer.message.filter_results) {
          if (result.error_code != 0) continue;
          result = {};
          result.error_code = static_cast<std::int16_t>(code_of(error));
          result.error_message = answer.keep(error.context);
        }
      });
}

io::Task<Result<ProducerIdBlock>> Controller::allocate_producer_ids() {
  using Answer = Result<ProducerIdBlock>;
  return change<Answer>(
      false,
      [this](const metadata::ControllerContext& context, RecordList& records) -> Answer {
        const std::int64_t first = metadata::take_producer_ids(
            context.image, config_.node_id, broker_epoch_, kProducerIdBlock, records);
        return ProducerIdBlock{first, kProducerIdBlock};
      },
      [](Answer& answer, const Error& error) { answer = std::unexpected(error); });
}

// --- Snapshots

bool Controller::wants_snapshot() const {
  if (snapshot_running_ || scope_.is_stopping() ||
      published_end_ <= raft_->latest_snapshot().offset)
    return false;
  if (raft_->bytes_since_snapshot() >= config_.metadata_bytes_between_snapshots_max) return true;
  return config_.metadata_snapshot_interval_ms_max > 0 &&
         loop_.wall_now() - snapshot_ms_ >= config_.metadata_snapshot_interval_ms_max;
}

io::Task<void> Controller::write_snapshot(ImagePtr image) {
  const OffsetAndEpoch last = image->last_contained();
  raft::SnapshotBuilder snapshot(last.epoch, image->last_contained_timestamp(),
                                 raft_->kraft_version_at(last.offset + 1),
                                 raft_->voters_at(last.offset + 1), loop_.wall_now());
  metadata::ImageRecords source(image);
  RecordList records;
  while (source.next(records)) {
    for (std::size_t index = 0; index < records.size(); ++index) snapshot.add(records[index]);
    records.cut(0);
    co_await io::yield(loop_);
  }
  const Result<void> written =
      co_await raft_->write_snapshot({last.offset + 1, last.epoch}, std::move(snapshot).finish());
  if (!written)
    LOG_ERROR("controller", "no snapshot was written error={}", written.error().message());
  snapshot_ms_ = loop_.wall_now();
  snapshot_running_ = false;
}

io::Task<void> Controller::stop() {
  active_ = false;
  co_await deciding_.acquire();
  if (publishing_) [[maybe_unused]]
    const Result<void> finished = co_await visible(ahead_end_);
  scope_.request_stop();
  commit_.wake_all();
  co_await scope_.join();
  if (raft_ != nullptr) {
    if (const Result<void> stopped = co_await raft_->stop(); !stopped)
      LOG_ERROR("controller", "the metadata log did not stop cleanly error={}",
                stopped.error().message());
  }
}

}  // namespace

io::Task<Result<std::unique_ptr<QuorumController>>> QuorumController::open(
    io::Loop& loop, segments::LogDirectory& directory, ControllerOptions options,
    Publisher& publisher) {
  auto opened = std::make_unique<Controller>(loop, std::move(options), publisher);
  if (Result<void> started = co_await opened->start(directory); !started) {
    co_await opened->stop();
    co_return std::unexpected(started.error());
  }
  co_return std::unique_ptr<QuorumController>(std::move(opened));
}

}  // namespace drave::broker
