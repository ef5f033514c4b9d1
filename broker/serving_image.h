#pragma once
// The metadata image as the request path needs it: topics by name and by id with their effective
// configuration, and who may do what. Built once for each image on shard 0, then shared by all
// shards, immutable.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "broker/config/broker_config.h"
#include "broker/served_topics.h"
#include "metadata/authorizer.h"
#include "metadata/config/topic_config.h"
#include "metadata/image.h"
#include "segments/log_config.h"

namespace drave::broker {

class ServingImage {
 public:
  // An image from which nothing is served yet.
  static std::shared_ptr<const ServingImage> empty();
  // Looks at the topics alone that changed since `previous`, itself or in their configs, and shares
  // the others with it; at all of them if what a topic inherits from the node has changed, or if
  // `previous` is empty. `config`: as the node started.
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
  const ServedTopic* find(std::string_view name) const { return topics_.find(name); }
  const ServedTopic* find(const TopicId& id) const { return topics_.find(id); }
  const ServedTopics& topics() const { return topics_; }
  // How many topics build() looked at for this image: what it cost.
  std::size_t topics_visited() const { return topics_visited_; }

 private:
  metadata::ImagePtr image_;
  std::shared_ptr<const BrokerConfig> config_;  // shared by images between two dynamic changes
  // Null only without an authorizer; shared by images between which no ACL changed.
  std::shared_ptr<const metadata::Authorizer> authorizer_;
  std::shared_ptr<const metadata::Authorizer> restrictions_;  // the same, or null
  metadata::ConfigMap node_configs_;
  metadata::ConfigMap default_configs_;
  // What a topic without configs of its own is served with.
  metadata::TopicConfig topic_defaults_;
  bool is_built_ = false;  // not empty()
  ServedTopics topics_;
  std::size_t topics_visited_ = 0;

  void build_config(const BrokerConfig& config, const ServingImage& previous);
  void build_authorizer(const BrokerConfig& config, const ServingImage& previous);
  void take_all_topics(const BrokerConfig& config);
  void take_changed_topics(const BrokerConfig& config, const ServingImage& previous);
  // `like`: an entry of the same topic, under the same configs; null: none.
  void take_topic(const metadata::TopicPtr& topic, const BrokerConfig& config,
                  const ServedTopic* like);
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
