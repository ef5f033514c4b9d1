#pragma once
// The metadata of this node: replays what the quorum commits into images and has them published;
// and, while this node leads the quorum, is the active controller: takes requests, lets metadata/
// decide what they mean, has the records committed, and answers.
//
// Every node has one. One without the controller role observes the quorum and never leads it.
//
// Lives on shard 0. While it is active it makes one decision at a time, against an image that
// includes what was appended and is not yet committed, so that requests may be pipelined; an answer
// leaves only when its records are committed (durable on a majority). A client's answer waits for a
// moment longer until every local shard has an image that includes them (Publisher::publish has
// returned), so that it finds here what it was told. When it is deposed, what was in
// flight and is not known to be committed is answered with NOT_CONTROLLER, and the image goes back
// to what is committed. Requests are answered with NOT_CONTROLLER while it is not active.
//
// Requests are taken by reference: the caller keeps them, and the frame that their text points
// into, until the task has ended. Answers own or borrow (from the request) their text.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "broker/config/broker_config.h"
#include "io/loop.h"
#include "io/sync.h"
#include "io/task.h"
#include "metadata/image.h"
#include "protocol/messages/allocate_producer_ids.h"
#include "protocol/messages/alter_configs.h"
#include "protocol/messages/assign_replicas_to_dirs.h"
#include "protocol/messages/broker_heartbeat.h"
#include "protocol/messages/broker_registration.h"
#include "protocol/messages/controller_registration.h"
#include "protocol/messages/create_acls.h"
#include "protocol/messages/create_partitions.h"
#include "protocol/messages/create_topics.h"
#include "protocol/messages/delete_acls.h"
#include "protocol/messages/delete_topics.h"
#include "protocol/messages/elect_leaders.h"
#include "protocol/messages/incremental_alter_configs.h"
#include "protocol/messages/unregister_broker.h"
#include "protocol/messages/update_features.h"
#include "protocol/owned_message.h"
#include "raftlog/raft_log.h"
#include "segments/log_directory.h"

namespace drave::broker {

// Who makes an image the one that the node serves from.
class Publisher {
 public:
  // Returns when every shard has it and runs what it says. Images come in order, one at a time;
  // none comes after records that set nothing, as NoOps do.
  virtual io::Task<void> publish(metadata::ImagePtr image) = 0;

 protected:
  ~Publisher() = default;
};

struct ControllerOptions {
  const BrokerConfig* config = nullptr;  // outlives the controller
  std::string cluster_id;
  Uuid metadata_directory_id;
  Uuid incarnation_id;  // of this process: its registrations carry it
  // Called once, when the metadata log is of no use any more: the node is to be stopped.
  std::function<void(const Error& error)> on_failed;
};

class QuorumController {
 public:
  virtual ~QuorumController() = default;

  // Opens the metadata log in `directory` (segments and checkpoints) and publishes the image of the
  // newest snapshot; a quorum of one: of all that was committed.
  static io::Task<Result<std::unique_ptr<QuorumController>>> open(io::Loop& loop,
                                                                  segments::LogDirectory& directory,
                                                                  ControllerOptions options,
                                                                  Publisher& publisher);
  // Elections, replication and publishing begin.
  virtual void start() = 0;

  virtual metadata::ImagePtr image() const = 0;           // as published last
  virtual Offset published_end() const = 0;               // of the log: all before it is in image()
  virtual bool is_active() const = 0;                     // takes requests
  virtual raft::RaftLog& raft() = 0;                      // for the quorum's own requests
  virtual bool has_stopped() const = 0;                   // raft() is asked nothing any more
  virtual std::optional<raft::Voter> leader() const = 0;  // whom to ask; nothing: nobody is known
  virtual bool is_here(NodeId node) const = 0;            // it is this node
  // Woken when is_active(), leader(), image() or published_end() has changed, and when it stops.
  virtual io::WaitQueue& changed() = 0;

  // --- Decisions, of brokers and clients
  template <class Response>
  using Answer = io::Task<protocol::OwnedMessage<Response>>;

  virtual Answer<protocol::CreateTopicsResponse> create_topics(
      const protocol::CreateTopicsRequest& request, std::int16_t version) = 0;
  virtual Answer<protocol::DeleteTopicsResponse> delete_topics(
      const protocol::DeleteTopicsRequest& request, std::int16_t version) = 0;
  virtual Answer<protocol::CreatePartitionsResponse> create_partitions(
      const protocol::CreatePartitionsRequest& request, std::int16_t version) = 0;
  virtual Answer<protocol::IncrementalAlterConfigsResponse> incremental_alter_configs(
      const protocol::IncrementalAlterConfigsRequest& request, std::int16_t version) = 0;
  virtual Answer<protocol::AlterConfigsResponse> alter_configs(
      const protocol::AlterConfigsRequest& request, std::int16_t version) = 0;
  virtual Answer<protocol::UpdateFeaturesResponse> update_features(
      const protocol::UpdateFeaturesRequest& request, std::int16_t version) = 0;
  virtual Answer<protocol::CreateAclsResponse> create_acls(
      const protocol::CreateAclsRequest& request, std::int16_t version) = 0;
  virtual Answer<protocol::DeleteAclsResponse> delete_acls(
      const protocol::DeleteAclsRequest& request, std::int16_t version) = 0;
  virtual Answer<protocol::ElectLeadersResponse> elect_leaders(
      const protocol::ElectLeadersRequest& request, std::int16_t version) = 0;
  virtual Answer<protocol::UnregisterBrokerResponse> unregister_broker(
      const protocol::UnregisterBrokerRequest& request, std::int16_t version) = 0;

  // --- Decisions, of brokers and other controllers
  virtual Answer<protocol::BrokerRegistrationResponse> broker_registration(
      const protocol::BrokerRegistrationRequest& request, std::int16_t version) = 0;
  virtual Answer<protocol::BrokerHeartbeatResponse> broker_heartbeat(
      const protocol::BrokerHeartbeatRequest& request, std::int16_t version) = 0;
  virtual Answer<protocol::ControllerRegistrationResponse> controller_registration(
      const protocol::ControllerRegistrationRequest& request, std::int16_t version) = 0;
  virtual Answer<protocol::AllocateProducerIdsResponse> allocate_producer_ids(
      const protocol::AllocateProducerIdsRequest& request, std::int16_t version) = 0;
  virtual Answer<protocol::AssignReplicasToDirsResponse> assign_replicas_to_dirs(
      const protocol::AssignReplicasToDirsRequest& request, std::int16_t version) = 0;

  // Finishes what was appended, hands leadership over, writes nothing more. The metadata log is
  // closed with its directory.
  virtual io::Task<void> stop() = 0;
};

}  // namespace drave::broker
