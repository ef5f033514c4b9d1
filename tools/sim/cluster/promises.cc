#include "tools/sim/cluster/promises.h"

#include <fmt/format.h>

#include <utility>

#include "metadata/features.h"

namespace drave::simulation {

void Promises::violate(std::string_view invariant, std::string detail) {
  if (!violation_) violation_ = Violation{std::string(invariant), std::move(detail)};
}

void Promises::acknowledge(const char* what) {
  ++acknowledged_;
  acknowledged_end_ = committed_end_;
  ++tally_["acknowledged"];
  ++tally_[what];
}

// --- What clients say

void Promises::topic_created(const std::string& name, const TopicId& id, std::int32_t partitions) {
  acknowledge("topics_created");
  for (const auto& [other, topic] : topics_) {
    if (other == id || (topic.name == name && topic.fate == Fate::kept))
      violate("created-twice",
              fmt::format("{} as {} and as {}", name, other.to_string(), id.to_string()));
  }
  Topic& topic = topics_[id];
  topic.name = name;
  topic.partitions = topic.partitions_asked = partitions;
}

void Promises::deletion_asked(const TopicId& id) {
  topics_.at(id).fate = Fate::leaving;
}

void Promises::topic_deleted(const TopicId& id) {
  acknowledge("topics_deleted");
  topics_.at(id).fate = Fate::gone;
}

void Promises::partitions_asked(const TopicId& id, std::int32_t count) {
  topics_.at(id).partitions_asked = count;
}

void Promises::partitions_created(const TopicId& id, std::int32_t count) {
  acknowledge("partitions_created");
  topics_.at(id).partitions = count;
}

void Promises::config_set(const TopicId& id, const std::string& key, const std::string& value) {
  acknowledge("configs_set");
  topics_.at(id).configs[key] = value;
}

void Promises::acl_asked(const std::string& principal) {
  principals_.try_emplace(principal);
}

void Promises::acl_created(const std::string& principal) {
  acknowledge("acls_created");
  principals_.at(principal).is_created = true;
}

void Promises::acl_deletion_asked(const std::string& principal, const metadata::Image& seen) {
  Principal& subject = principals_.at(principal);
  subject.fate = Fate::leaving;
  for (const auto& [id, acl] : *seen.acls())
    if (acl->principal == principal) subject.ids.push_back(id);
}

void Promises::acl_deleted(const std::string& principal) {
  acknowledge("acls_deleted");
  principals_.at(principal).fate = Fate::gone;
}

void Promises::producer_id_given(ProducerId id) {
  acknowledge("producer_ids");
  if (!producer_ids_.insert(id).second) violate("producer-id-twice", fmt::format("{}", id));
}

void Promises::upgraded() {
  acknowledge("kraft_upgrades");
  is_upgraded_ = true;
}

// --- What an image says

void Promises::check_topic(const TopicId& id, const Topic& topic, const metadata::Image& image) {
  const metadata::TopicImage* found = image.topics().find(id);
  const Offset offset = image.last_contained().offset;
  if (topic.fate == Fate::gone && found != nullptr)
    violate("deleted-returned", fmt::format("topic {} at offset {}", topic.name, offset));
  if (topic.fate != Fate::kept) return;
  if (found == nullptr || found->name != topic.name)
    return violate("acknowledged-lost",
                   fmt::format("topic {} {} at offset {}", topic.name, id.to_string(), offset));
  const auto partitions = static_cast<std::int32_t>(found->partitions.size());
  if (partitions < topic.partitions)
    violate("acknowledged-lost", fmt::format("{} of {} partitions of {} at offset {}", partitions,
                                             topic.partitions, topic.name, offset));
  if (partitions > topic.partitions_asked)
    violate("unasked", fmt::format("{} instead of {} partitions of {}", partitions,
                                   topic.partitions_asked, topic.name));
  const metadata::ConfigMap& configs =
      image.configs({metadata::ConfigResourceType::topic, topic.name});
  for (const auto& [key, value] : topic.configs) {
    const auto set = configs.find(key);
    if (set == configs.end() || set->second != value)
      violate("acknowledged-lost",
              fmt::format("{}={} of {} at offset {}", key, value, topic.name, offset));
  }
}

void Promises::check_acls(const metadata::Image& image) {
  std::map<std::string, std::vector<Uuid>> found;
  for (const auto& [id, acl] : *image.acls()) found[acl->principal].push_back(id);
  for (const auto& [principal, ids] : found) {
    if (!principals_.contains(principal)) violate("unasked", "an ACL of " + principal);
    if (ids.size() > 1) violate("applied-twice", "an ACL of " + principal);
  }
  for (const auto& [principal, subject] : principals_) {
    if (subject.is_created && subject.fate == Fate::kept && !found.contains(principal))
      violate("acknowledged-lost",
              fmt::format("the ACL of {} at offset {}", principal, image.last_contained().offset));
    for (const Uuid& id : subject.ids)
      if (subject.fate == Fate::gone && image.acls()->contains(id))
        violate("deleted-returned", "the ACL of " + principal);
  }
}

void Promises::check_whole(const metadata::Image& image) {
  for (const auto& [name, topic] : image.topics().by_name()) {
    const auto asked = names_.find(name);
    if (asked == names_.end())
      violate("unasked", "topic " + name);
    else if (std::cmp_less(topic->partitions.size(), asked->second))
      violate("half-visible", fmt::format("{} of {} partitions of {}", topic->partitions.size(),
                                          asked->second, name));
  }
}

void Promises::check(const metadata::Image& image) {
  ++tally_["images_checked"];
  for (const auto& [id, topic] : topics_) check_topic(id, topic, image);
  check_acls(image);
  if (is_upgraded_ && image.feature(metadata::kKraftVersion) < 1)
    violate("acknowledged-lost",
            fmt::format("kraft.version 1 at offset {}", image.last_contained().offset));
  // The next block to be given begins behind what was given.
  if (!producer_ids_.empty() && image.next_producer_id() <= *producer_ids_.rbegin())
    violate("producer-id-twice",
            fmt::format("producer id {} was given, the next at offset {} is {}",
                        *producer_ids_.rbegin(), image.last_contained().offset,
                        image.next_producer_id()));
}

}  // namespace drave::simulation
