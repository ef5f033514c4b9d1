#include "metadata/image_records.h"

#include "metadata/features.h"

namespace drave::metadata {

namespace {

constexpr std::size_t kRecordsPerPiece = 500;

template <class Record>
void fill_endpoints(const RegistrationImage& from, std::vector<Record>& endpoints) {
  for (const BrokerEndpoint& endpoint : from.endpoints)
    endpoints.push_back({endpoint.name, endpoint.host, endpoint.port, endpoint.security_protocol});
}

template <class Record>
void fill_features(const RegistrationImage& from, std::vector<Record>& features) {
  for (const auto& [name, range] : from.features) features.push_back({name, range.min, range.max});
}

void add_features(RecordList& records, const Image& image) {
  auto add = [&records](std::string_view name, std::int16_t level) {
    protocol::FeatureLevelRecord record;
    record.name = name;
    record.feature_level = level;
    records.add(record);
  };
  // First: what else the records may be depends on it.
  if (const std::int16_t level = image.feature(kMetadataVersion); level > 0)
    add(kMetadataVersion, level);
  for (const auto& [name, level] : image.features())
    if (name != kMetadataVersion && name != kKraftVersion) add(name, level);
}

void add_registrations(RecordList& records, const Image& image, std::int16_t metadata_version) {
  const std::int16_t version = register_broker_version(metadata_version);
  for (const auto& [id, broker] : image.brokers()) {
    protocol::RegisterBrokerRecord record;
    record.broker_id = id;
    record.incarnation_id = broker.incarnation_id;
    record.broker_epoch = broker.epoch;
    fill_endpoints(broker, record.end_points);
    fill_features(broker, record.features);
    record.rack =
        broker.rack.has_value() ? std::optional<std::string_view>(*broker.rack) : std::nullopt;
    record.fenced = broker.fenced;
    record.in_controlled_shutdown = broker.in_controlled_shutdown;
    if (version >= 3) record.log_dirs = broker.directories;
    if (version >= 4) record.cordoned_log_dirs = broker.cordoned_directories;
    records.add(record, version);
  }
  if (metadata_version < metadata_level::kControllerRegistration) return;
  for (const auto& [id, controller] : image.controllers()) {
    protocol::RegisterControllerRecord record;
    record.controller_id = id;
    record.incarnation_id = controller.incarnation_id;
    fill_endpoints(controller, record.end_points);
    fill_features(controller, record.features);
    records.add(record);
  }
}

// Of what is only kept (delta.cc), the quotas come before producer ids and ACLs, the rest behind.
constexpr std::string_view kAfterQuotas = "2";

void add_quotas_and_producer_ids(RecordList& records, const Image& image) {
  const auto end = image.kept().lower_bound(kAfterQuotas);
  for (auto kept = image.kept().begin(); kept != end; ++kept) records.add_encoded(kept->second);
  if (image.next_producer_id() > 0) {
    protocol::ProducerIdsRecord record;
    record.broker_id = -1;
    record.broker_epoch = -1;
    record.next_producer_id = image.next_producer_id();
    records.add(record);
  }
}

void add_rest(RecordList& records, const Image& image) {
  for (auto kept = image.kept().lower_bound(kAfterQuotas); kept != image.kept().end(); ++kept)
    records.add_encoded(kept->second);
}

}  // namespace

void add_partition_record(RecordList& records, const TopicId& topic, PartitionIndex index,
                          const PartitionImage& partition, std::int16_t metadata_version) {
  const std::int16_t version = partition_version(metadata_version);
  protocol::PartitionRecord record;
  record.partition_id = index;
  record.topic_id = topic;
  record.replicas = partition.replicas;
  record.isr = partition.isr;
  record.removing_replicas = partition.removing_replicas;
  record.adding_replicas = partition.adding_replicas;
  record.leader = partition.leader;
  record.leader_recovery_state = partition.leader_recovery_state;
  record.leader_epoch = partition.leader_epoch;
  record.partition_epoch = partition.partition_epoch;
  if (version >= 1) {
    record.directories = partition.directories;
    record.directories.resize(partition.replicas.size());
  }
  if (version >= 2) {
    if (!partition.eligible_leader_replicas.empty())
      record.eligible_leader_replicas = partition.eligible_leader_replicas;
    if (!partition.last_known_elr.empty()) record.last_known_elr = partition.last_known_elr;
  }
  records.add(record, version);
}

ImageRecords::ImageRecords(ImagePtr image)
    : image_(std::move(image)),
      topic_(image_->topics().by_name().begin()),
      config_(image_->all_configs().begin()),
      acl_(image_->acls()->begin()) {}

bool ImageRecords::next(RecordList& records) {
  switch (part_) {
    case Part::features:
      add_features(records, *image_);
      add_registrations(records, *image_, image_->feature(kMetadataVersion));
      part_ = Part::topics;
      return true;
    case Part::topics:
      if (!add_topics(records)) part_ = Part::configs;
      return true;
    case Part::configs:
      if (!add_configs(records)) part_ = Part::quotas;
      return true;
    case Part::quotas:
      add_quotas_and_producer_ids(records, *image_);
      part_ = Part::acls;
      return true;
    case Part::acls:
      if (!add_acls(records)) part_ = Part::rest;
      return true;
    case Part::rest:
      add_rest(records, *image_);
      part_ = Part::end;
      return true;
    case Part::end: break;
  }
  return false;
}

bool ImageRecords::add_topics(RecordList& records) {
  const std::size_t size_max = records.size() + kRecordsPerPiece;
  for (; topic_ != image_->topics().by_name().end(); ++topic_) {
    if (records.size() >= size_max) return true;
    const TopicImage& topic = *topic_->second;
    protocol::TopicRecord record;
    record.name = topic.name;
    record.topic_id = topic.id;
    records.add(record);
    for (const auto& [index, partition] : topic.partitions) {
      add_partition_record(records, topic.id, index, partition, image_->feature(kMetadataVersion));
    }
  }
  return false;
}

bool ImageRecords::add_configs(RecordList& records) {
  const std::size_t size_max = records.size() + kRecordsPerPiece;
  for (; config_ != image_->all_configs().end(); ++config_) {
    if (records.size() >= size_max) return true;
    for (const auto& [name, value] : config_->second) {
      protocol::ConfigRecord record;
      record.resource_type = static_cast<std::int8_t>(config_->first.type);
      record.resource_name = config_->first.name;
      record.name = name;
      record.value = value;
      records.add(record);
    }
  }
  return false;
}

bool ImageRecords::add_acls(RecordList& records) {
  const std::size_t size_max = records.size() + kRecordsPerPiece;
  for (; acl_ != image_->acls()->end(); ++acl_) {
    if (records.size() >= size_max) return true;
    records.add(record_of(acl_->first, *acl_->second));
  }
  return false;
}

RecordList image_records(const Image& image) {
  RecordList records;
  // Borrowed for as long as the walk lasts.
  ImageRecords source(ImagePtr(ImagePtr(), &image));
  while (source.next(records)) {
  }
  return records;
}

}  // namespace drave::metadata
