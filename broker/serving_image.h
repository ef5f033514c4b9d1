#pragma once
// The metadata image as the request path needs it: topics by name and by id with their effective
// configuration, and who may do what. Built once for each image on shard 0, then shared by all
// shards, immutable.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/ids.h"
#include "broker/config/broker_config.h"
#include "metadata/authorizer.h"
#include "metadata/config/topic_config.h"
#include "metadata/image.h"
#include "segments/log_config.h"

namespace drave::broker {

struct ServedTopic {
  metadata::TopicPtr topic;
  metadata::TopicConfig config;
  segments::LogConfig log_config;
  bool is_internal = false;  // __consumer_offsets, __transaction_state, __share_group_state
};

class ServingImage {
 public:
  // An image from which nothing is served yet.
  static std::shared_ptr<const ServingImage> empty();
  // Reuses the entries of `previous` whose topic and configs did not change. `config`: as the node
  // started.
  static std::shared_ptr<const ServingImage> build(metadata::ImagePtr image,
                                                   const BrokerConfig& config,
                                                   const ServingImage& previous);

  const metadata::Image& metadata() const { return *image_; }
  // The node's configuration with the dynamic changes that this image holds.
  const BrokerConfig& config() const { return *config_; }
  const metadata::ImagePtr& metadata_ptr() const { return image_; }
  // Who may do what; null: everybody may do everything.
  std::shared_ptr<const metadata::Authorizer> restrictions() const { return restrictions_; }
  // Null: no such topic.
  const ServedTopic* find(std::string_view name) const;
  const ServedTopic* find(const TopicId& id) const;

 private:
  using EntryPtr = std::shared_ptr<const ServedTopic>;
  metadata::ImagePtr image_;
  std::shared_ptr<const BrokerConfig> config_;  // shared by images between two dynamic changes
  // Null only without an authorizer; shared by images between which no ACL changed.
  std::shared_ptr<const metadata::Authorizer> authorizer_;
  std::shared_ptr<const metadata::Authorizer> restrictions_;  // the same, or null
  metadata::ConfigMap node_configs_;
  metadata::ConfigMap default_configs_;
  void build_authorizer(const BrokerConfig& config, const ServingImage& previous);
  bool is_built_ = false;                                   // not empty()
  std::unordered_map<std::string_view, EntryPtr> by_name_;  // keys: the entries' topic names
  std::unordered_map<Uuid, EntryPtr> by_id_;
};
using ServingImagePtr = std::shared_ptr<const ServingImage>;

segments::LogConfig log_config_of(const metadata::TopicConfig& config);

// Whether this node has a replica of the partition.
bool has_replica(const metadata::PartitionImage& partition, NodeId node);
bool is_here(const ServedTopic& topic, PartitionIndex partition, NodeId node);

// The shard that has this partition: the same for all shards and starts of a process with as many
// shards.
std::uint32_t shard_of(const TopicIdPartition& id, std::uint32_t shard_count);

// Topics that clients may read but neither create nor write.
bool is_internal_topic(std::string_view name);

}  // namespace drave::broker
