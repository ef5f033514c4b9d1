#pragma once
// Where clients are to turn instead: to the leader of a partition, or to a broker that takes what a
// controller decides.

#include <algorithm>
#include <string_view>
#include <vector>

#include "broker/serving_image.h"
#include "metadata/cluster_view.h"

namespace drave::broker {

// The broker that Metadata and DescribeCluster call the controller: any takes such requests. This
// node, unless it is fenced. -1: none is alive.
NodeId any_alive_broker(const metadata::Image& image, NodeId here);

// Tells who leads the partition `id` now: into CurrentLeader of its answer, and the leader's
// address once into NodeEndpoints.
template <class CurrentLeader, class NodeEndpoint>
void hint_leader(const ServingImage& serving, const TopicIdPartition& id, std::string_view listener,
                 CurrentLeader& current, std::vector<NodeEndpoint>& nodes) {
  const ServedTopic* topic = serving.find(id.topic_id);
  if (topic == nullptr) return;
  const auto partition = topic->topic->partitions.find(id.partition);
  if (partition == topic->topic->partitions.end()) return;
  const NodeId leader = partition->second.leader;
  current.leader_id = leader;
  current.leader_epoch = partition->second.leader_epoch;
  const metadata::RegistrationImage* broker = serving.metadata().broker(leader);
  if (broker == nullptr || broker->fenced) return;
  const metadata::BrokerEndpoint* endpoint = metadata::endpoint_on(*broker, listener);
  const bool told = std::any_of(nodes.begin(), nodes.end(), [leader](const NodeEndpoint& node) {
    return node.node_id == leader;
  });
  if (endpoint == nullptr || told) return;
  NodeEndpoint& node = nodes.emplace_back();
  node.node_id = leader;
  node.host = endpoint->host;
  node.port = endpoint->port;
  if (broker->rack.has_value()) node.rack = *broker->rack;
}

}  // namespace drave::broker
