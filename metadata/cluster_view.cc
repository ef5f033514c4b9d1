#include "metadata/cluster_view.h"

#include <algorithm>

namespace drave::metadata {

using protocol::ErrorCode;

const BrokerEndpoint* endpoint_on(const RegistrationImage& node, std::string_view listener) {
  for (const BrokerEndpoint& endpoint : node.endpoints)
    if (endpoint.name == listener) return &endpoint;
  return nullptr;
}

ListenerView::ListenerView(const Image& image, std::string_view listener) {
  nodes_.reserve(image.brokers().size());
  for (const auto& [id, broker] : image.brokers())
    nodes_.push_back({&broker, endpoint_on(broker, listener)});
}

const ListenerView::Node* ListenerView::registered(NodeId id) const {
  const auto at =
      std::lower_bound(nodes_.begin(), nodes_.end(), id,
                       [](const Node& node, NodeId than) { return node.broker->id < than; });
  return at == nodes_.end() || at->broker->id != id ? nullptr : &*at;
}

const ListenerView::Node* ListenerView::find(NodeId id, bool alive) const {
  const Node* node = registered(id);
  if (node == nullptr || node->endpoint == nullptr) return nullptr;
  return alive && node->broker->fenced ? nullptr : node;
}

NodeId ListenerView::any_alive(Random& random) const {
  std::vector<NodeId> alive;
  for (const Node& node : nodes_)
    if (!node.broker->fenced) alive.push_back(node.broker->id);
  return alive.empty() ? -1 : alive[random.below(alive.size())];
}

std::vector<NodeId> ListenerView::reachable(const std::vector<NodeId>& ids) const {
  std::vector<NodeId> found;
  for (const NodeId id : ids)
    if (find(id) != nullptr) found.push_back(id);
  return found;
}

PartitionView ListenerView::describe(const PartitionImage& partition, std::int16_t version) const {
  PartitionView view;
  const bool hides = version == 0;
  view.replicas = hides ? reachable(partition.replicas) : partition.replicas;
  view.isr = hides ? reachable(partition.isr) : partition.isr;
  for (const NodeId id : partition.replicas) {
    const Node* node = find(id);
    if (node == nullptr || !has_directory(*node->broker, partition)) view.offline.push_back(id);
  }
  const Node* leader = registered(partition.leader);
  if (leader == nullptr) {
    view.error = ErrorCode::leader_not_available;
  } else if (leader->endpoint == nullptr) {
    view.error = version >= 6 ? ErrorCode::listener_not_found : ErrorCode::leader_not_available;
  } else {
    view.leader = partition.leader;
    if (view.replicas.size() < partition.replicas.size() || view.isr.size() < partition.isr.size())
      view.error = ErrorCode::replica_not_available;
  }
  return view;
}

}  // namespace drave::metadata
