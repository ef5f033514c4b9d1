#include "metadata/controller/registration.h"

#include <algorithm>

#include "metadata/features.h"

namespace drave::metadata {

namespace {

template <class Endpoint>
void fill_endpoints(const std::vector<BrokerEndpoint>& from, std::vector<Endpoint>& to) {
  for (const BrokerEndpoint& endpoint : from)
    to.push_back({endpoint.name, endpoint.host, endpoint.port, endpoint.security_protocol});
}

template <class Feature>
void fill_features(std::vector<Feature>& to) {
  for (const SupportedFeature& feature : supported_features())
    to.push_back({feature.name, feature.min, feature.max});
}

bool contains(const std::vector<NodeId>& ids, NodeId id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

// The change that makes `broker` lead a partition without a leader; nothing if it may not.
std::optional<protocol::PartitionChangeRecord> lead_again(const PartitionImage& partition,
                                                          NodeId broker) {
  if (partition.leader != kNoLeader || !contains(partition.replicas, broker)) return std::nullopt;
  const bool in_sync = contains(partition.isr, broker);
  const bool eligible = contains(partition.eligible_leader_replicas, broker);
  // The last one that led, when nobody else is left (KIP-966).
  const bool last_known = partition.isr.empty() && partition.eligible_leader_replicas.empty() &&
                          contains(partition.last_known_elr, broker);
  if (!in_sync && !eligible && !last_known) return std::nullopt;
  protocol::PartitionChangeRecord record;
  record.leader = broker;
  if (!in_sync) record.isr = std::vector<NodeId>{broker};
  if (!in_sync && eligible) {
    std::vector<NodeId> others = partition.eligible_leader_replicas;
    std::erase(others, broker);
    record.eligible_leader_replicas = std::move(others);
  }
  if (!partition.last_known_elr.empty()) record.last_known_elr = std::vector<NodeId>();
  return record;
}

}  // namespace

void register_controller(const Image& image, const NodeDescription& node, RecordList& records) {
  if (image.feature(kMetadataVersion) < metadata_level::kControllerRegistration) return;
  protocol::RegisterControllerRecord record;
  record.controller_id = node.id;
  record.incarnation_id = node.incarnation_id;
  fill_endpoints(node.controller_listeners, record.end_points);
  fill_features(record.features);
  records.add(record);
}

void register_broker(const Image& image, const NodeDescription& node, Offset offset,
                     RecordList& records) {
  const std::int16_t version = register_broker_version(image.feature(kMetadataVersion));
  protocol::RegisterBrokerRecord record;
  record.broker_id = node.id;
  record.incarnation_id = node.incarnation_id;
  record.broker_epoch = offset;
  fill_endpoints(node.listeners, record.end_points);
  fill_features(record.features);
  record.rack = node.rack.has_value() ? std::optional<std::string_view>(*node.rack) : std::nullopt;
  record.fenced = true;
  if (version >= 3) record.log_dirs = node.directories;
  if (version >= 4) record.cordoned_log_dirs = std::vector<Uuid>();
  records.add(record, version);
}

void unfence_broker(const Image& image, NodeId broker, RecordList& records) {
  const RegistrationImage* registered = image.broker(broker);
  if (registered == nullptr) return;
  const std::int16_t metadata_version = image.feature(kMetadataVersion);
  if (registered->fenced) {
    protocol::BrokerRegistrationChangeRecord record;
    record.broker_id = broker;
    record.broker_epoch = registered->epoch;
    record.fenced = -1;
    records.add(record, std::int16_t{0});
  }
  for (const auto& [name, topic] : image.topics().by_name()) {
    for (const auto& [index, partition] : topic->partitions) {
      std::optional<protocol::PartitionChangeRecord> record = lead_again(partition, broker);
      if (!record.has_value()) continue;
      record->partition_id = index;
      record->topic_id = topic->id;
      const std::int16_t version = partition_version(metadata_version);
      if (version < 2) {
        record->eligible_leader_replicas.reset();
        record->last_known_elr.reset();
      }
      records.add(*record, version);
    }
  }
}

std::int64_t take_producer_ids(const Image& image, NodeId broker, std::int64_t broker_epoch,
                               std::int32_t count, RecordList& records) {
  protocol::ProducerIdsRecord record;
  record.broker_id = broker;
  record.broker_epoch = broker_epoch;
  record.next_producer_id = image.next_producer_id() + count;
  records.add(record);
  return image.next_producer_id();
}

}  // namespace drave::metadata
