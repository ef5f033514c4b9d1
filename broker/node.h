#pragma once
// A node: its shards, its log directories, its controller, its listeners; from start to stop.
//
// Lives on shard 0, on which start() and stop() run; the Shards live on their loops. Everything
// else of the broker reaches the parts it needs through here. What is shared by all shards (config,
// budgets, the shards themselves) is immutable after start() or atomic.

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "broker/config/broker_config.h"
#include "broker/controller/controller_channel.h"
#include "broker/controller/forwarder.h"
#include "broker/controller/quorum_controller.h"
#include "broker/lifecycle/broker_lifecycle.h"
#include "broker/lifecycle/controller_registration.h"
#include "broker/memory_budget.h"
#include "broker/net/connection.h"
#include "broker/own_directories.h"
#include "broker/quorum_sample.h"
#include "broker/shard.h"
#include "io/loop.h"
#include "io/scope.h"
#include "io/socket.h"
#include "segments/log_directory.h"

namespace drave::broker {

enum class NodeState : std::uint8_t { starting, recovering, running, stopping, stopped };
std::string_view to_string(NodeState state);

class Node final : public Publisher {
 public:
  // `loops`: of all shards, connected by a hub, shard 0 first; they outlive the node. `config` is
  // copied.
  Node(std::vector<io::Loop*> loops, BrokerConfig config);
  ~Node();

  // On shard 0. Formats what is empty (a node alone), recovers, takes part in the quorum, registers
  // with the active controller, listens; clients are served when it returns. Without a majority of
  // the voters that takes as long as initial.broker.registration.timeout.ms. Errors end the start;
  // call stop() all the same.
  io::Task<Result<void>> start();
  // On shard 0. start() returns soon, with an error unless it is done.
  void cancel_start();
  // On shard 0. Leaves the cluster, stops listening, answers what was read, on all shards before
  // anything of any ends; then hands over the quorum's leadership, writes out, leaves the clean
  // marker. Peers that do not take their answers are cut off after kStopDrainMax.
  io::Task<void> stop();
  // On shard 0, before stop() or meanwhile (a second signal): connections are cut at once. What was
  // appended goes to the disk all the same.
  void hurry();

  const BrokerConfig& config() const { return config_; }
  Shard& shard(std::uint32_t number) { return *shards_[number]; }
  std::uint32_t shard_count() const { return static_cast<std::uint32_t>(shards_.size()); }
  MemoryBudget& assembly_budget() { return assembly_budget_; }
  MemoryBudget& response_budget() { return response_budget_; }
  // Called once, on shard 0, when the node cannot go on: `why` says what happened and what to do.
  // It is to be stopped then. Set before start().
  void on_failed(std::function<void(const std::string& why)> handler) {
    failed_handler_ = std::move(handler);
  }
  NodeState state() const { return state_.load(std::memory_order_acquire); }
  const std::string& cluster_id() const { return cluster_id_; }

  // The advertised endpoint for clients of the listener `name`.
  const Endpoint* advertised(std::string_view name) const;
  // Set once start() has bound; by listener name.
  const std::vector<Endpoint>& advertised_listeners() const { return advertised_; }

  // --- Shard 0 only
  QuorumController& controller() { return *controller_; }
  // Those of log.dirs that could be opened, in that order; then that of the metadata log, if it is
  // none of them.
  std::vector<std::unique_ptr<segments::LogDirectory>>& directories() { return directories_; }
  bool has_failed(std::size_t directory) const {
    return failed_directories_.contains(directories_[directory]->path());
  }
  std::size_t data_directory_count() const { return own_directories_.ids.size(); }
  // Paths in log.dirs that could not be opened at the start.
  const std::vector<std::string>& missing_directories() const { return missing_directories_; }
  Forwarder& forwarder() { return *forwarder_; }
  // Null without the broker role, and before the node has a controller.
  BrokerLifecycle* lifecycle() { return lifecycle_.get(); }
  // The next producer id; takes a new block from the active controller when the last is used up.
  io::Task<Result<ProducerId>> next_producer_id();
  // Has the active controller create topics with the broker's defaults for a client that asked
  // about them. Returns when they are known here, or after kAutoCreationWait: who waits for these
  // has others to hear about. The creation goes on then, once for a name, however many ask. What
  // was refused by then, with its error.
  using Refusals = std::map<std::string, protocol::ErrorCode>;
  io::Task<Refusals> auto_create(std::vector<std::string> names, Caller caller);
  io::Task<void> publish(metadata::ImagePtr image) override;
  // The newest image that was published. Shards follow; while they start, only at the end of that.
  const ServingImagePtr& serving() const { return serving_; }

  // --- Any thread
  // Once the shards are started.
  const OwnDirectories& own_directories() const { return own_directories_; }
  // As of a moment ago; null: the node has no controller yet.
  std::shared_ptr<const QuorumSample> quorum_sample() const;
  Readiness readiness() const;

  // --- Any shard
  // Counts a new connection of `host`; false: a limit of `limits` is reached. `always`: limits are
  // for clients, not for other controllers.
  bool admit_connection(const std::string& host, const BrokerConfig& limits, bool always);
  void connection_closed(const std::string& host);

 private:
  struct Acceptor;
  struct AutoCreation;
  enum class ShardsState : std::uint8_t { idle, starting, started };

  io::Task<Result<void>> open_directories();
  io::Task<Result<std::unique_ptr<segments::LogDirectory>>> open_directory(
      std::string path, segments::LogDirectoryOptions options);
  Result<void> check_missing(const std::vector<Error>& why);
  void note_withheld(const ServingImage& image) const;
  io::Task<Result<void>> format_if_empty();
  void directory_failed(const std::string& path, const Error& error);
  io::Task<Result<void>> open_controller();
  void start_controller();
  void take_sample();
  io::Task<void> sample_loop();
  io::Task<Result<void>> start_broker();
  void metadata_failed(const Error& error);
  io::Task<void> leave_cluster();
  io::Task<void> forward_while_draining(bool has_controller);
  io::Task<void> stop_controller();
  io::Task<Result<protocol::AllocateProducerIdsResponse>> take_producer_ids();
  io::Task<void> create_by_itself(std::vector<std::string> names, Caller caller,
                                  std::shared_ptr<AutoCreation> creation);
  io::Task<void> wait_for_topics(const protocol::CreateTopicsResponse& created);
  io::Task<Result<void>> start_shards();
  io::Task<Result<void>> listen();
  io::Task<void> begin_accepting(bool controllers);
  io::Task<void> start_shard(Shard& shard, ServingImagePtr image, std::string* problem);
  io::Task<void> accept_loop(Shard& shard, Acceptor& acceptor);
  Shard& quietest_shard(Shard& accepting);
  // Runs `work` on every shard, one after the other, at this interval until the node stops.
  io::Task<void> repeat(Duration interval, io::Task<void> (Node::*work)(Shard&));
  io::Task<void> enforce_retention(Shard& shard);
  io::Task<void> expire_producers(Shard& shard);
  io::Task<void> on_shard(Shard& shard, io::Task<void> (Node::*work)(Shard&));
  // All at once.
  io::Task<void> on_all_shards(io::Task<void> (Node::*work)(Shard&));
  io::Task<void> drain(io::Task<void> (Node::*work)(Shard&));
  io::Task<void> drain_shard(Shard& shard);
  io::Task<void> cut_stragglers(int drain);
  io::Task<void> drain_controllers(Shard& shard);
  io::Task<void> stop_accepting(bool controllers);
  io::Task<void> cut_shard(Shard& shard);
  io::Task<void> end_shard(Shard& shard);
  io::Task<void> stop_logs(Shard& shard);
  ServingImagePtr build_serving_image(metadata::ImagePtr image);

  std::vector<io::Loop*> loops_;
  BrokerConfig config_;
  std::vector<std::unique_ptr<Shard>> shards_;
  MemoryBudget assembly_budget_;
  MemoryBudget response_budget_{kResponseBytesMax};
  std::atomic<NodeState> state_{NodeState::starting};
  std::string cluster_id_;
  std::vector<std::unique_ptr<segments::LogDirectory>> directories_;
  std::size_t metadata_directory_ = 0;  // index in directories_
  OwnDirectories own_directories_;
  std::vector<std::string> missing_directories_;
  std::set<std::string> failed_directories_;  // paths
  std::function<void(const std::string&)> failed_handler_;
  std::optional<Error> failure_;  // of the metadata log
  Uuid incarnation_id_;
  // In the order in which they need each other.
  std::unique_ptr<QuorumController> controller_;
  std::unique_ptr<ControllerChannel> channel_;          // of the node itself
  std::unique_ptr<ControllerChannel> forward_channel_;  // of its clients
  std::unique_ptr<Forwarder> forwarder_;
  std::unique_ptr<ControllerRegistration> controller_registration_;
  std::unique_ptr<BrokerLifecycle> lifecycle_;
  ShardsState shards_state_ = ShardsState::idle;
  ServingImagePtr serving_;
  std::vector<Endpoint> advertised_;
  std::vector<std::unique_ptr<Acceptor>> acceptors_;
  std::vector<std::unique_ptr<ListenerInfo>> listener_infos_;
  io::Scope scope_;
  io::WaitQueue stopping_;  // wakes what sleeps on shard 0
  bool stop_requested_ = false;
  bool hurry_ = false;
  int drains_ = 0;   // begun: clients', controllers'
  int drained_ = 0;  // of them, ended

  ProducerId producer_id_next_ = 0;
  std::int32_t producer_ids_left_ = 0;
  bool allocating_ids_ = false;
  io::WaitQueue ids_ready_;
  std::map<std::string, std::shared_ptr<AutoCreation>> creations_;  // under way, by topic

  mutable std::mutex sample_mutex_;  // once in a while, for as long as a pointer is copied
  std::shared_ptr<const QuorumSample> sample_;

  std::mutex connections_mutex_;  // a connection begins or ends: rare
  std::map<std::string, std::int32_t> connections_by_host_;
  std::int64_t connection_count_ = 0;
};

}  // namespace drave::broker
