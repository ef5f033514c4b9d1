#include "broker/serving_image.h"

#include <xxhash.h>

#include <algorithm>
#include <array>

#include "base/bytes.h"
#include "base/log.h"

namespace drave::broker {

namespace {
// A century: what is longer overflows clocks of nanoseconds.
constexpr std::int64_t kDeleteDelayMsMax = 100LL * 365 * 24 * 3600 * 1000;
}  // namespace

using metadata::ConfigResource;
using metadata::ConfigResourceType;

std::shared_ptr<const ServingImage> ServingImage::empty() {
  auto made = std::make_shared<ServingImage>();
  made->image_ = std::make_shared<metadata::Image>();
  made->config_ = std::make_shared<BrokerConfig>();
  return made;
}

std::shared_ptr<const ServingImage> ServingImage::build(metadata::ImagePtr image,
                                                        const BrokerConfig& config,
                                                        const ServingImage& previous) {
  auto made = std::make_shared<ServingImage>();
  made->image_ = std::move(image);
  const metadata::Image& now = *made->image_;
  made->node_configs_ = now.configs({ConfigResourceType::broker, std::to_string(config.node_id)});
  made->default_configs_ = now.configs({ConfigResourceType::broker, ""});
  const bool same_defaults = made->node_configs_ == previous.node_configs_ &&
                             made->default_configs_ == previous.default_configs_ &&
                             previous.is_built_;
  made->is_built_ = true;
  made->build_authorizer(config, previous);
  if (same_defaults) {
    made->config_ = previous.config_;
  } else {
    std::vector<std::string> problems;
    made->config_ = std::make_shared<BrokerConfig>(
        with_dynamic_configs(config, made->default_configs_, made->node_configs_, &problems));
    for (const std::string& problem : problems)
      LOG_WARN("broker", "a dynamic configuration does not count: {}", problem);
  }
  for (const auto& [name, topic] : now.topics().by_name()) {
    const ConfigResource resource{ConfigResourceType::topic, name};
    const metadata::ConfigMap& own = now.configs(resource);
    EntryPtr entry;
    if (const auto old = previous.by_id_.find(topic->id); old != previous.by_id_.end()) {
      const bool same =
          same_defaults && old->second->topic == topic && previous.image_->configs(resource) == own;
      if (same) entry = old->second;
    }
    if (entry == nullptr) {
      auto fresh = std::make_shared<ServedTopic>();
      fresh->topic = topic;
      fresh->config = metadata::resolve_topic_config(
          {own, made->node_configs_, made->default_configs_, config.given});
      fresh->log_config = log_config_of(fresh->config);
      fresh->is_internal = is_internal_topic(name);
      entry = std::move(fresh);
    }
    made->by_name_.emplace(entry->topic->name, entry);
    made->by_id_.emplace(topic->id, entry);
  }
  return made;
}

void ServingImage::build_authorizer(const BrokerConfig& config, const ServingImage& previous) {
  if (!config.has_authorizer) return;
  const bool is_same = previous.authorizer_ != nullptr && previous.image_->acls() == image_->acls();
  authorizer_ =
      is_same ? previous.authorizer_
              : std::make_shared<const metadata::Authorizer>(
                    image_->acls(), metadata::AuthorizerOptions{
                                        config.super_users, config.allow_everyone_if_no_acl_found});
  if (!authorizer_->allows_everything()) restrictions_ = authorizer_;
}

const ServedTopic* ServingImage::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second.get();
}

const ServedTopic* ServingImage::find(const TopicId& id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : found->second.get();
}

segments::LogConfig log_config_of(const metadata::TopicConfig& config) {
  segments::LogConfig log;
  log.segment_bytes = config.segment_bytes;
  log.segment_ms = config.segment_ms;
  log.segment_jitter_ms = config.segment_jitter_ms;
  log.segment_index_bytes = config.segment_index_bytes;
  log.index_interval_bytes = config.index_interval_bytes;
  log.retention_ms = config.retention_ms;
  log.retention_bytes = config.retention_bytes;
  log.flush_messages = config.flush_messages;
  log.max_message_bytes = config.max_message_bytes;
  log.file_delete_delay_ms = std::min(config.file_delete_delay_ms, kDeleteDelayMsMax);
  log.cleanup_delete = config.cleanup_delete;
  log.cleanup_compact = config.cleanup_compact;
  log.preallocate = config.preallocate;
  return log;
}

bool has_replica(const metadata::PartitionImage& partition, NodeId node) {
  return std::find(partition.replicas.begin(), partition.replicas.end(), node) !=
         partition.replicas.end();
}

bool is_here(const ServedTopic& topic, PartitionIndex partition, NodeId node) {
  const auto found = topic.topic->partitions.find(partition);
  return found != topic.topic->partitions.end() && has_replica(found->second, node);
}

std::uint32_t shard_of(const TopicIdPartition& id, std::uint32_t shard_count) {
  if (shard_count == 1) return 0;
  // Neighbouring partitions of a topic go to neighbouring shards: a topic of as many partitions as
  // shards is spread evenly.
  std::array<std::uint8_t, 16> key;
  store_big(key.data(), id.topic_id.high);
  store_big(key.data() + 8, id.topic_id.low);
  const std::uint64_t base = XXH3_64bits(key.data(), key.size());
  return static_cast<std::uint32_t>((base + static_cast<std::uint64_t>(id.partition)) %
                                    shard_count);
}

bool is_internal_topic(std::string_view name) {
  return name == "__consumer_offsets" || name == "__transaction_state" ||
         name == "__share_group_state";
}

}  // namespace drave::broker
