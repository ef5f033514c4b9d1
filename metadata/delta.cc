#include "metadata/delta.h"

#include <fmt/format.h>

#include <algorithm>
#include <variant>

namespace drave::metadata {

namespace {

constexpr std::size_t kOpenTopicsMax = 256;

// What is kept is written to snapshots in the order of its keys: quotas, SCRAM, tokens, as Kafka
// does.
std::string quota_key(const protocol::ClientQuotaRecord& record) {
  std::vector<std::string> parts;
  for (const auto& entity : record.entity) {
    parts.push_back(entity.entity_name.has_value()
                        ? fmt::format("{}={}", entity.entity_type, *entity.entity_name)
                        : fmt::format("{}", entity.entity_type));
  }
  std::sort(parts.begin(), parts.end());
  std::string key = "1quota";
  for (const std::string& part : parts) key.append(1, '\0').append(part);
  return key.append(1, '\0').append(record.key);
}
std::string scram_key(std::string_view name, std::int8_t mechanism) {
  return fmt::format("3scram{}/{}", mechanism, name);
}
std::string token_key(std::string_view id) {
  return fmt::format("4token{}", id);
}

template <class Endpoint>
std::vector<BrokerEndpoint> endpoints_of(const std::vector<Endpoint>& from) {
  std::vector<BrokerEndpoint> endpoints;
  for (const Endpoint& endpoint : from) {
    endpoints.push_back({std::string(endpoint.name), std::string(endpoint.host), endpoint.port,
                         endpoint.security_protocol});
  }
  return endpoints;
}

template <class Feature>
std::map<std::string, FeatureRange> features_of(const std::vector<Feature>& from) {
  std::map<std::string, FeatureRange> features;
  for (const Feature& feature : from) {
    features[std::string(feature.name)] = {feature.min_supported_version,
                                           feature.max_supported_version};
  }
  return features;
}

// Directories of `replicas` after a change that names none: replicas that stay keep theirs.
std::vector<Uuid> directories_after(const PartitionImage& before,
                                    const std::vector<NodeId>& replicas) {
  std::vector<Uuid> directories;
  if (before.directories.empty()) return directories;
  for (const NodeId replica : replicas) {
    const auto at = std::find(before.replicas.begin(), before.replicas.end(), replica);
    directories.push_back(
        at == before.replicas.end()
            ? kDirectoryUnassigned
            : before.directories[static_cast<std::size_t>(at - before.replicas.begin())]);
  }
  return directories;
}

}  // namespace

Result<void> Delta::apply(const protocol::MetadataRecord& record) {
  return std::visit([this](const auto& each) { return on(each); }, record);
}

Result<void> Delta::apply(ByteView value) {
  TRY(const protocol::VersionedMetadataRecord decoded, protocol::decode_metadata_record(value));
  return apply(decoded.record);
}

void Delta::apply(const protocol::KRaftVersionRecord& record) {
  if (record.kraft_version == 0)
    change().features.erase("kraft.version");
  else
    change().features["kraft.version"] = record.kraft_version;
}

void Delta::apply(const protocol::VotersRecord& record) {
  std::vector<VoterImage>& voters = change().voters;
  voters.clear();
  for (const auto& voter : record.voters) {
    VoterImage kept;
    kept.id = voter.voter_id;
    kept.directory_id = voter.voter_directory_id;
    for (const auto& endpoint : voter.endpoints)
      kept.endpoints.push_back(
          {std::string(endpoint.name), std::string(endpoint.host), endpoint.port, 0});
    kept.kraft_version = {voter.kraft_version_feature.min_supported_version,
                          voter.kraft_version_feature.max_supported_version};
    voters.push_back(std::move(kept));
  }
}

Image Delta::finish(OffsetAndEpoch last_contained, TimestampMs timestamp) && {
  close_all();
  if (acls_ != nullptr) change().acls = std::move(acls_);
  image_.content_ = std::move(now_);
  changed_ = nullptr;
  image_.last_contained_ = last_contained;
  image_.last_contained_timestamp_ = timestamp;
  return std::move(image_);
}

Image::Content& Delta::change() {
  if (changed_ == nullptr) now_ = changed_ = std::make_shared<Image::Content>(*now_);
  return *changed_;
}

void Delta::count(const PartitionImage& partition, int sign) {
  auto& counts = change().replica_counts;
  auto add = [&counts, sign](NodeId id, std::int64_t ReplicaCounts::* what) {
    ReplicaCounts& of = counts[id];
    of.*what += sign;
    if (of == ReplicaCounts()) counts.erase(id);
  };
  add(partition.leader, &ReplicaCounts::leads);
  for (const NodeId id : partition.isr) add(id, &ReplicaCounts::in_isr);
  for (const NodeId id : partition.eligible_leader_replicas) add(id, &ReplicaCounts::in_elr);
}

// Together at the end they would take too long where thousands of topics change.
void Delta::close_some() {
  if (open_.size() >= kOpenTopicsMax) close_all();
}

void Delta::close_all() {
  for (auto& [id, topic] : open_) change().topics.put(std::move(topic));
  open_.clear();
}

TopicImage* Delta::open(const TopicId& id) {
  const auto found = open_.find(id);
  if (found != open_.end()) return found->second.get();
  const TopicImage* before = now_->topics.find(id);
  if (before == nullptr) return nullptr;
  auto copy = std::make_shared<TopicImage>(*before);
  close_some();
  return open_.emplace(id, std::move(copy)).first->second.get();
}

const TopicImage* Delta::last(const TopicId& id) const {
  const auto found = open_.find(id);
  return found == open_.end() ? now_->topics.find(id) : found->second.get();
}

AclMap& Delta::open_acls() {
  if (acls_ == nullptr) acls_ = std::make_shared<AclMap>(*now_->acls);
  return *acls_;
}

Result<RegistrationImage*> Delta::registered(NodeId id, std::int64_t epoch,
                                             std::string_view record) {
  auto& brokers = change().brokers;
  const auto found = brokers.find(id);
  if (found == brokers.end())
    return failure(Errc::invalid, fmt::format("{}: broker {} is not registered", record, id));
  if (found->second.epoch != epoch) {
    return failure(Errc::invalid, fmt::format("{}: broker {} is registered in epoch {}, not {}",
                                              record, id, found->second.epoch, epoch));
  }
  return &found->second;
}

Result<void> Delta::keep(std::string key, const protocol::MetadataRecord& record) {
  protocol::Writer out;
  TRY_VOID(protocol::encode_metadata_record(out, record, protocol::version_max(record)));
  change().kept[key].assign(out.own().begin(), out.own().end());
  return {};
}

Result<void> Delta::forget(const std::string& key, std::string_view record) {
  if (change().kept.erase(key) == 0)
    return failure(Errc::invalid, fmt::format("{}: there is nothing to remove", record));
  return {};
}

Result<void> Delta::on(const protocol::RegisterBrokerRecord& record) {
  RegistrationImage broker;
  broker.id = record.broker_id;
  broker.epoch = record.broker_epoch;
  broker.incarnation_id = record.incarnation_id;
  broker.endpoints = endpoints_of(record.end_points);
  broker.features = features_of(record.features);
  if (record.rack.has_value()) broker.rack = std::string(*record.rack);
  broker.fenced = record.fenced;
  broker.in_controlled_shutdown = record.in_controlled_shutdown;
  broker.directories = record.log_dirs;
  broker.cordoned_directories = record.cordoned_log_dirs;
  change().brokers[record.broker_id] = std::move(broker);
  return {};
}

Result<void> Delta::on(const protocol::UnregisterBrokerRecord& record) {
  TRY_VOID(registered(record.broker_id, record.broker_epoch, record.kName));
  change().brokers.erase(record.broker_id);
  return {};
}

Result<void> Delta::on(const protocol::TopicRecord& record) {
  if (now_->topics.find(record.name) != nullptr)
    return failure(Errc::invalid, fmt::format("TopicRecord: topic {} exists already", record.name));
  auto topic = std::make_shared<TopicImage>();
  topic->name = record.name;
  topic->id = record.topic_id;
  close_some();
  // A placeholder under its name, so that a second TopicRecord of this delta is found out.
  change().topics.put(std::make_shared<TopicImage>(*topic));
  open_[record.topic_id] = std::move(topic);
  return {};
}

Result<void> Delta::on(const protocol::PartitionRecord& record) {
  TopicImage* topic = open(record.topic_id);
  if (topic == nullptr) {
    return failure(Errc::invalid, fmt::format("PartitionRecord: there is no topic with the id {}",
                                              record.topic_id.to_string()));
  }
  const bool is_new = !topic->partitions.contains(record.partition_id);
  PartitionImage& partition = topic->partitions[record.partition_id];
  if (!is_new) count(partition, -1);
  partition = PartitionImage();
  partition.replicas = record.replicas;
  partition.directories = record.directories;
  partition.isr = record.isr;
  partition.removing_replicas = record.removing_replicas;
  partition.adding_replicas = record.adding_replicas;
  partition.eligible_leader_replicas =
      record.eligible_leader_replicas.value_or(std::vector<NodeId>());
  partition.last_known_elr = record.last_known_elr.value_or(std::vector<NodeId>());
  partition.leader = record.leader;
  partition.leader_recovery_state = record.leader_recovery_state;
  partition.leader_epoch = record.leader_epoch;
  partition.partition_epoch = record.partition_epoch;
  count(partition, 1);
  return {};
}

Result<void> Delta::on(const protocol::ConfigRecord& record) {
  const ConfigResource resource{static_cast<ConfigResourceType>(record.resource_type),
                                std::string(record.resource_name)};
  if (record.value.has_value()) {
    change().configs[resource][std::string(record.name)] = *record.value;
    return {};
  }
  const auto present = now_->configs.find(resource);
  if (present == now_->configs.end() || !present->second.contains(record.name)) return {};
  ConfigMap& configs = change().configs[resource];
  configs.erase(configs.find(record.name));
  if (configs.empty()) change().configs.erase(resource);
  return {};
}

Result<void> Delta::on(const protocol::PartitionChangeRecord& record) {
  TopicImage* topic = open(record.topic_id);
  if (topic == nullptr || !topic->partitions.contains(record.partition_id)) {
    return failure(Errc::invalid,
                   fmt::format("PartitionChangeRecord: there is no partition {} of the topic {}",
                               record.partition_id, record.topic_id.to_string()));
  }
  PartitionImage& partition = topic->partitions[record.partition_id];
  count(partition, -1);
  if (record.directories.has_value())
    partition.directories = *record.directories;
  else if (record.replicas.has_value())
    partition.directories = directories_after(partition, *record.replicas);
  if (record.replicas.has_value()) partition.replicas = *record.replicas;
  if (record.isr.has_value()) partition.isr = *record.isr;
  if (record.removing_replicas.has_value()) partition.removing_replicas = *record.removing_replicas;
  if (record.adding_replicas.has_value()) partition.adding_replicas = *record.adding_replicas;
  if (record.eligible_leader_replicas.has_value())
    partition.eligible_leader_replicas = *record.eligible_leader_replicas;
  if (record.last_known_elr.has_value()) partition.last_known_elr = *record.last_known_elr;
  if (record.leader_recovery_state >= 0)
    partition.leader_recovery_state = record.leader_recovery_state;
  if (record.leader != kLeaderUnchanged) {
    partition.leader = record.leader;
    ++partition.leader_epoch;
  }
  ++partition.partition_epoch;
  count(partition, 1);
  return {};
}

Result<void> Delta::on(const protocol::FenceBrokerRecord& record) {
  TRY(RegistrationImage * broker, registered(record.id, record.epoch, record.kName));
  broker->fenced = true;
  return {};
}

Result<void> Delta::on(const protocol::UnfenceBrokerRecord& record) {
  TRY(RegistrationImage * broker, registered(record.id, record.epoch, record.kName));
  broker->fenced = false;
  return {};
}

Result<void> Delta::on(const protocol::RemoveTopicRecord& record) {
  const TopicImage* topic = now_->topics.find(record.topic_id);
  if (topic == nullptr) {
    return failure(Errc::invalid, fmt::format("RemoveTopicRecord: there is no topic with the id {}",
                                              record.topic_id.to_string()));
  }
  for (const auto& [index, partition] : last(record.topic_id)->partitions) count(partition, -1);
  change().configs.erase(ConfigResource{ConfigResourceType::topic, topic->name});
  open_.erase(record.topic_id);
  change().topics.remove(record.topic_id);
  return {};
}

Result<void> Delta::on(const protocol::DelegationTokenRecord& record) {
  return keep(token_key(record.token_id), record);
}

Result<void> Delta::on(const protocol::UserScramCredentialRecord& record) {
  return keep(scram_key(record.name, record.mechanism), record);
}

Result<void> Delta::on(const protocol::FeatureLevelRecord& record) {
  if (record.feature_level == 0)
    change().features.erase(std::string(record.name));
  else
    change().features[std::string(record.name)] = record.feature_level;
  return {};
}

Result<void> Delta::on(const protocol::ClientQuotaRecord& record) {
  if (!record.remove) return keep(quota_key(record), record);
  change().kept.erase(quota_key(record));
  return {};
}

Result<void> Delta::on(const protocol::ProducerIdsRecord& record) {
  change().next_producer_id = record.next_producer_id;
  return {};
}

Result<void> Delta::on(const protocol::BrokerRegistrationChangeRecord& record) {
  TRY(RegistrationImage * broker, registered(record.broker_id, record.broker_epoch, record.kName));
  if (record.fenced != 0) broker->fenced = record.fenced > 0;
  if (record.in_controlled_shutdown != 0)
    broker->in_controlled_shutdown = record.in_controlled_shutdown > 0;
  if (!record.log_dirs.empty()) broker->directories = record.log_dirs;
  if (record.cordoned_log_dirs.has_value()) broker->cordoned_directories = record.cordoned_log_dirs;
  return {};
}

Result<void> Delta::on(const protocol::AccessControlEntryRecord& record) {
  open_acls()[record.id] = std::make_shared<const Acl>(acl_of(record));
  return {};
}

Result<void> Delta::on(const protocol::RemoveAccessControlEntryRecord& record) {
  if (open_acls().erase(record.id) == 0) {
    return failure(Errc::invalid, fmt::format("{}: there is no entry with the id {}", record.kName,
                                              record.id.to_string()));
  }
  return {};
}

Result<void> Delta::on(const protocol::NoOpRecord&) {
  return {};
}

// Kafka 4 keeps nothing of a migration from ZooKeeper either.
Result<void> Delta::on(const protocol::ZkMigrationStateRecord&) {
  return {};
}

Result<void> Delta::on(const protocol::RemoveUserScramCredentialRecord& record) {
  return forget(scram_key(record.name, record.mechanism), record.kName);
}

// What transactions mean for what is seen is the loader's affair (loader.h).
Result<void> Delta::on(const protocol::BeginTransactionRecord&) {
  return {};
}

Result<void> Delta::on(const protocol::EndTransactionRecord&) {
  return {};
}

Result<void> Delta::on(const protocol::AbortTransactionRecord&) {
  return {};
}

Result<void> Delta::on(const protocol::RemoveDelegationTokenRecord& record) {
  return forget(token_key(record.token_id), record.kName);
}

Result<void> Delta::on(const protocol::RegisterControllerRecord& record) {
  RegistrationImage controller;
  controller.id = record.controller_id;
  controller.incarnation_id = record.incarnation_id;
  controller.endpoints = endpoints_of(record.end_points);
  controller.features = features_of(record.features);
  controller.fenced = false;
  change().controllers[record.controller_id] = std::move(controller);
  return {};
}

Result<void> Delta::on(const protocol::ClearElrRecord& record) {
  std::vector<TopicId> ids;
  if (record.topic_name.empty()) {
    for (const auto& [name, topic] : now_->topics.by_name()) ids.push_back(topic->id);
  } else if (const TopicImage* topic = now_->topics.find(record.topic_name); topic != nullptr) {
    ids.push_back(topic->id);
  } else {
    return failure(Errc::invalid,
                   fmt::format("ClearElrRecord: there is no topic {}", record.topic_name));
  }
  for (const TopicId& id : ids) {
    const auto before = last(id)->partitions;
    TopicImage* topic = nullptr;  // most have nothing to clear, and stay shared
    for (const auto& [index, partition] : before) {
      if (partition.eligible_leader_replicas.empty() && partition.last_known_elr.empty()) continue;
      if (topic == nullptr) topic = open(id);
      PartitionImage& cleared = topic->partitions[index];
      count(cleared, -1);
      cleared.eligible_leader_replicas.clear();
      cleared.last_known_elr.clear();
      count(cleared, 1);
    }
  }
  return {};
}

}  // namespace drave::metadata
