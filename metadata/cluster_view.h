#pragma once
// The cluster as somebody sees it who asks on one listener: which brokers there are and where, who
// leads a partition, which replicas are away. The facts of Metadata, DescribeCluster and
// DescribeTopicPartitions, as Kafka gives them.

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "metadata/image.h"
#include "protocol/error_code.h"

namespace drave::metadata {

struct PartitionView {
  protocol::ErrorCode error = protocol::ErrorCode::none;
  NodeId leader = kNoLeader;  // -1 also when it is not to be reached on this listener
  std::vector<NodeId> replicas;
  std::vector<NodeId> isr;
  std::vector<NodeId> offline;  // fenced, unknown, without this listener, or without the directory
};

// Made for one answer: it looks at each broker once, and then at partitions cheaply.
class ListenerView {
 public:
  struct Node {
    const RegistrationImage* broker = nullptr;
    const BrokerEndpoint* endpoint = nullptr;  // on this listener; null: it has none
  };

  // Keeps pointers into the image.
  ListenerView(const Image& image, std::string_view listener);

  // Every registered broker, by id.
  const std::vector<Node>& nodes() const { return nodes_; }
  // Null: not registered, or without this listener; with `alive` also: fenced.
  const Node* find(NodeId id, bool alive = true) const;
  // Some broker that is not fenced, wherever it listens: what KRaft's brokers call the controller
  // in Metadata and DescribeCluster. -1 if there is none.
  NodeId any_alive(Random& random) const;

  // `version`: of Metadata. The first one hides replicas that cannot be reached and calls them an
  // error; from 6 on a leader without this listener is LISTENER_NOT_FOUND instead of
  // LEADER_NOT_AVAILABLE.
  PartitionView describe(const PartitionImage& partition, std::int16_t version) const;

 private:
  const Node* registered(NodeId id) const;
  std::vector<NodeId> reachable(const std::vector<NodeId>& ids) const;

  std::vector<Node> nodes_;
};

// Of a registration: null if it has no such listener.
const BrokerEndpoint* endpoint_on(const RegistrationImage& node, std::string_view listener);

}  // namespace drave::metadata
