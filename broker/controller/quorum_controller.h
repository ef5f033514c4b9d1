#pragma once
// The controller of this node: takes administrative requests, lets metadata/ decide what they mean,
// has the records committed by the quorum, applies them to the image, has the image published, and
// answers.
//
// Lives on shard 0. While it is the active controller it makes one decision at a time, against an
// image that includes what was appended and is not yet committed, so that requests may be
// pipelined; an answer leaves only when its records are committed (durable) and every local shard
// has an image that includes them (Publisher::publish has returned).
//
// Requests are taken by reference: the caller keeps them, and the frame that their text points
// into, until the task has ended. Answers own or borrow (from the request) their text.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "broker/config/broker_config.h"
#include "io/loop.h"
#include "io/task.h"
#include "metadata/image.h"
#include "protocol/messages/alter_configs.h"
#include "protocol/messages/create_acls.h"
#include "protocol/messages/create_partitions.h"
#include "protocol/messages/create_topics.h"
#include "protocol/messages/delete_acls.h"
#include "protocol/messages/delete_topics.h"
#include "protocol/messages/describe_quorum.h"
#include "protocol/messages/incremental_alter_configs.h"
#include "protocol/messages/update_features.h"
#include "protocol/owned_message.h"
#include "segments/log_directory.h"

namespace drave::broker {

// Who makes an image the one that the node serves from.
class Publisher {
 public:
  // Returns when every shard has it and runs what it says. Images come in order, one at a time.
  virtual io::Task<void> publish(metadata::ImagePtr image) = 0;

 protected:
  ~Publisher() = default;
};

struct ControllerOptions {
  const BrokerConfig* config = nullptr;  // outlives the controller
  std::string cluster_id;
  Uuid metadata_directory_id;
  std::vector<Uuid> log_directory_ids;         // of the broker's directories, for its registration
  std::vector<Endpoint> advertised_listeners;  // with the ports that were bound
};

// Producer ids [first, first + count).
struct ProducerIdBlock {
  std::int64_t first = 0;
  std::int32_t count = 0;
};

class QuorumController {
 public:
  virtual ~QuorumController() = default;

  // Opens the metadata log in `directory` (segments and checkpoints), replays it, and returns when
  // the image contains all that was committed; the image has been published once. The node does not
  // lead yet.
  static io::Task<Result<std::unique_ptr<QuorumController>>> open(io::Loop& loop,
                                                                  segments::LogDirectory& directory,
                                                                  ControllerOptions options,
                                                                  Publisher& publisher);
  // Wins the election (alone: its own vote), writes the bootstrap records on an empty log,
  // registers this node as controller and broker, unfences it. Returns when all that is committed
  // and published.
  virtual io::Task<Result<void>> activate() = 0;
  // The listeners' ports are known only after binding.
  virtual void set_advertised_listeners(std::vector<Endpoint> listeners) = 0;

  virtual metadata::ImagePtr image() const = 0;  // as published last
  virtual bool is_active() const = 0;
  virtual std::int64_t broker_epoch() const = 0;  // offset of our registration; -1 before
  virtual Offset high_watermark() const = 0;
  virtual LeaderEpoch leader_epoch() const = 0;

  virtual io::Task<protocol::OwnedMessage<protocol::CreateTopicsResponse>> create_topics(
      const protocol::CreateTopicsRequest& request, std::int16_t version) = 0;
  virtual io::Task<protocol::OwnedMessage<protocol::DeleteTopicsResponse>> delete_topics(
      const protocol::DeleteTopicsRequest& request, std::int16_t version) = 0;
  virtual io::Task<protocol::OwnedMessage<protocol::CreatePartitionsResponse>> create_partitions(
      const protocol::CreatePartitionsRequest& request, std::int16_t version) = 0;
  virtual io::Task<protocol::OwnedMessage<protocol::IncrementalAlterConfigsResponse>>
  incremental_alter_configs(const protocol::IncrementalAlterConfigsRequest& request,
                            std::int16_t version) = 0;
  virtual io::Task<protocol::OwnedMessage<protocol::AlterConfigsResponse>> alter_configs(
      const protocol::AlterConfigsRequest& request, std::int16_t version) = 0;
  virtual io::Task<protocol::OwnedMessage<protocol::UpdateFeaturesResponse>> update_features(
      const protocol::UpdateFeaturesRequest& request, std::int16_t version) = 0;
  virtual io::Task<protocol::OwnedMessage<protocol::CreateAclsResponse>> create_acls(
      const protocol::CreateAclsRequest& request) = 0;
  virtual io::Task<protocol::OwnedMessage<protocol::DeleteAclsResponse>> delete_acls(
      const protocol::DeleteAclsRequest& request) = 0;
  virtual io::Task<Result<ProducerIdBlock>> allocate_producer_ids() = 0;
  // Answers from the consensus core's state; no I/O.
  virtual protocol::OwnedMessage<protocol::DescribeQuorumResponse> describe_quorum(
      const protocol::DescribeQuorumRequest& request, std::int16_t version) = 0;

  // Resigns, finishes what was appended, writes nothing more. The metadata log is closed with its
  // directory.
  virtual io::Task<void> stop() = 0;
};

}  // namespace drave::broker
