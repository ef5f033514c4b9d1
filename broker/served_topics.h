#pragma once
// The topics that a node serves, by name and by id, each with its effective configuration: the part
// of a ServingImage that requests look things up in.
//
// Immutable once it is published. A copy shares what is not changed, so that a change of one topic
// costs the same however many there are, and two copies are compared in the time that their
// differences take.

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "metadata/config/topic_config.h"
#include "metadata/image.h"
#include "metadata/shared_value.h"
#include "segments/log_config.h"

namespace drave::broker {

struct ServedTopic {
  metadata::TopicPtr topic;
  metadata::TopicConfig config;
  segments::LogConfig log_config;
  bool is_internal = false;  // __consumer_offsets, __transaction_state, __share_group_state
};

class ServedTopics {
 public:
  // Shared by the images between which the topic and its configs did not change.
  using Entry = std::shared_ptr<const ServedTopic>;

  // Null: no such topic.
  const ServedTopic* find(std::string_view name) const;
  const ServedTopic* find(const TopicId& id) const;

  // In the place of the entry with this id, if there is one. No other entry has its name.
  void put(const Entry& entry);
  void remove(const metadata::TopicImage& topic);

  // Calls visit(before, after) for each topic that is another in the two, null where it is not
  // there; in no order that means anything, but always in the same.
  template <class Visit>
  static void for_each_change(const ServedTopics& before, const ServedTopics& after, Visit visit) {
    for (std::size_t i = 0; i < kBuckets; ++i)
      if (!before.by_id_[i].is(after.by_id_[i])) merge(*before.by_id_[i], *after.by_id_[i], visit);
  }

 private:
  static constexpr std::size_t kBuckets = 256;
  struct Slot {
    std::uint64_t hash = 0;
    Entry entry;
  };
  // Sorted by hash, then by name or id.
  using Bucket = std::vector<Slot>;
  using Buckets = std::array<metadata::Shared<Bucket>, kBuckets>;

  static bool goes_before(const Slot& a, const Slot& b) {
    return a.hash != b.hash ? a.hash < b.hash : a.entry->topic->id < b.entry->topic->id;
  }
  template <class Visit>
  static void merge(const Bucket& before, const Bucket& after, Visit& visit) {
    auto old = before.begin();
    auto now = after.begin();
    while (old != before.end() || now != after.end()) {
      // Most: without a look at the topic, which is far away in memory.
      if (old != before.end() && now != after.end() && old->entry == now->entry) {
        ++old;
        ++now;
      } else if (now == after.end() || (old != before.end() && goes_before(*old, *now))) {
        visit((old++)->entry.get(), static_cast<const ServedTopic*>(nullptr));
      } else if (old == before.end() || goes_before(*now, *old)) {
        visit(static_cast<const ServedTopic*>(nullptr), (now++)->entry.get());
      } else {
        visit((old++)->entry.get(), (now++)->entry.get());
      }
    }
  }

  Buckets by_name_;
  Buckets by_id_;
};

}  // namespace drave::broker
