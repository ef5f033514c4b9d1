#include "broker/serving_image.h"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <unordered_set>

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
  made->is_built_ = true;
  made->build_authorizer(config, previous);
  made->build_config(config, previous);
  if (previous.is_built_ && made->topic_defaults_ == previous.topic_defaults_)
    made->take_changed_topics(config, previous);
  else
    made->take_all_topics(config);
  return made;
}

void ServingImage::build_config(const BrokerConfig& config, const ServingImage& previous) {
  if (previous.is_built_ && node_configs_ == previous.node_configs_ &&
      default_configs_ == previous.default_configs_) {
    config_ = previous.config_;
    topic_defaults_ = previous.topic_defaults_;
    return;
  }
  std::vector<std::string> problems;
  config_ = std::make_shared<BrokerConfig>(
      with_dynamic_configs(config, default_configs_, node_configs_, &problems));
  for (const std::string& problem : problems)
    LOG_WARN("broker", "a dynamic configuration does not count: {}", problem);
  topic_defaults_ =
      metadata::resolve_topic_config({{}, node_configs_, default_configs_, config.given});
}

void ServingImage::take_topic(const metadata::TopicPtr& topic, const BrokerConfig& config,
                              const ServedTopic* like) {
  ++topics_visited_;
  auto entry = std::make_shared<ServedTopic>();
  if (like != nullptr) {
    *entry = *like;
  } else {
    const metadata::ConfigMap& own = image_->configs({ConfigResourceType::topic, topic->name});
    entry->config =
        own.empty()
            ? topic_defaults_
            : metadata::resolve_topic_config({own, node_configs_, default_configs_, config.given});
    entry->log_config = log_config_of(entry->config);
    entry->is_internal = is_internal_topic(topic->name);
  }
  entry->topic = topic;
  topics_.put(entry);
}

void ServingImage::take_all_topics(const BrokerConfig& config) {
  for (const auto& [name, topic] : image_->topics().by_name()) take_topic(topic, config, nullptr);
}

void ServingImage::take_changed_topics(const BrokerConfig& config, const ServingImage& previous) {
  topics_ = previous.topics_;
  const auto& topics = image_->topics().by_name();
  std::unordered_set<std::string_view> reconfigured;
  auto of_configs = [&reconfigured](const ConfigResource& resource, auto, auto) {
    if (resource.type == ConfigResourceType::topic) reconfigured.insert(resource.name);
  };
  metadata::SharedMap<ConfigResource, metadata::ConfigMap>::for_each_change(
      previous.image_->all_configs(), image_->all_configs(), of_configs);
  auto of_topics = [&](const std::string& name, const metadata::TopicPtr* before,
                       const metadata::TopicPtr* after) {
    const bool is_same = before != nullptr && after != nullptr && (*before)->id == (*after)->id;
    const bool is_like = is_same && !reconfigured.contains(name);
    const ServedTopic* like = is_like ? previous.find((*before)->id) : nullptr;
    if (before != nullptr && !is_same) topics_.remove(**before);
    if (after != nullptr)
      take_topic(*after, config, like);
    else
      ++topics_visited_;
    reconfigured.erase(name);
  };
  metadata::SharedMap<std::string, metadata::TopicPtr>::for_each_change(
      previous.image_->topics().by_name(), topics, of_topics);
  for (const std::string_view name : reconfigured) {
    const auto topic = topics.find(name);
    if (topic != topics.end()) take_topic(topic->second, config, nullptr);
  }
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
