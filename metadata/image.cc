#include "metadata/image.h"

#include <algorithm>

#include "metadata/topic_name.h"

namespace drave::metadata {

const TopicImage* TopicsImage::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second.get();
}

const TopicImage* TopicsImage::find(const TopicId& id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : found->second.get();
}

namespace {

std::string collision_key(std::string_view name) {
  return unify_collision_chars(name).append(1, '\0');
}

}  // namespace

const TopicImage* TopicsImage::find_colliding(std::string_view name) const {
  const std::string key = collision_key(name);
  const auto found = colliding_.lower_bound(key);
  return found == colliding_.end() || !found->first.starts_with(key) ? nullptr
                                                                     : find(found->second);
}

void TopicsImage::put(TopicPtr topic) {
  if (has_collision_chars(topic->name) && !by_name_.contains(topic->name))
    colliding_[collision_key(topic->name).append(topic->name)] = topic->name;
  by_id_[topic->id] = topic;
  by_name_[topic->name] = std::move(topic);
}

void TopicsImage::remove(const TopicId& id) {
  const TopicImage* topic = find(id);
  if (topic == nullptr) return;
  if (has_collision_chars(topic->name))
    colliding_.erase(collision_key(topic->name).append(topic->name));
  by_name_.erase(topic->name);
  by_id_.erase(id);
}

const RegistrationImage* Image::broker(NodeId id) const {
  const auto found = content_->brokers.find(id);
  return found == content_->brokers.end() ? nullptr : &found->second;
}

ReplicaCounts Image::replica_counts(NodeId id) const {
  const auto found = content_->replica_counts.find(id);
  return found == content_->replica_counts.end() ? ReplicaCounts() : found->second;
}

std::int16_t Image::feature(std::string_view name) const {
  const auto found = content_->features.find(name);
  return found == content_->features.end() ? 0 : found->second;
}

const ConfigMap& Image::configs(const ConfigResource& resource) const {
  static const ConfigMap kNone;
  const auto found = content_->configs.find(resource);
  return found == content_->configs.end() ? kNone : found->second;
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
