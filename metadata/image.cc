#include "metadata/image.h"

#include <algorithm>

namespace drave::metadata {

const TopicImage* TopicsImage::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second.get();
}

const TopicImage* TopicsImage::find(const TopicId& id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : found->second.get();
}

std::size_t TopicsImage::partition_count() const {
  std::size_t count = 0;
  for (const auto& [name, topic] : by_name_) count += topic->partitions.size();
  return count;
}

void TopicsImage::put(TopicPtr topic) {
  by_id_[topic->id] = topic;
  by_name_[topic->name] = std::move(topic);
}

void TopicsImage::remove(const TopicId& id) {
  const TopicImage* topic = find(id);
  if (topic == nullptr) return;
  by_name_.erase(topic->name);
  by_id_.erase(id);
}

const RegistrationImage* Image::broker(NodeId id) const {
  const auto found = brokers_.find(id);
  return found == brokers_.end() ? nullptr : &found->second;
}

std::int16_t Image::feature(std::string_view name) const {
  const auto found = features_.find(name);
  return found == features_.end() ? 0 : found->second;
}

const ConfigMap& Image::configs(const ConfigResource& resource) const {
  static const ConfigMap kNone;
  const auto found = configs_.find(resource);
  return found == configs_.end() ? kNone : found->second;
}

bool is_online(const RegistrationImage& broker, const Uuid& directory) {
  if (directory == kDirectoryUnassigned || directory == kDirectoryMigrating) return true;
  if (directory == kDirectoryLost) return false;
  return broker.directories.empty() ||
         std::find(broker.directories.begin(), broker.directories.end(), directory) !=
             broker.directories.end();
}

bool has_directory(const RegistrationImage& broker, const PartitionImage& partition) {
  for (std::size_t i = 0; i < partition.replicas.size() && i < partition.directories.size(); ++i)
    if (partition.replicas[i] == broker.id) return is_online(broker, partition.directories[i]);
  return true;
}

}  // namespace drave::metadata
