#include "broker/served_topics.h"

#include <xxhash.h>

#include <algorithm>
#include <array>

#include "base/bytes.h"

namespace drave::broker {

namespace {

std::uint64_t hash_of(std::string_view name) {
  return XXH3_64bits(name.data(), name.size());
}

std::uint64_t hash_of(const TopicId& id) {
  std::array<std::uint8_t, 16> key;
  store_big(key.data(), id.high);
  store_big(key.data() + 8, id.low);
  return XXH3_64bits(key.data(), key.size());
}

std::size_t bucket_of(std::uint64_t hash) {
  return hash >> 56;
}

std::string_view key_of(const ServedTopic& topic, std::string_view) {
  return topic.topic->name;
}

const TopicId& key_of(const ServedTopic& topic, const TopicId&) {
  return topic.topic->id;
}

// The first slot that does not go before the key.
template <class Slots, class Key>
auto place_of(Slots& slots, std::uint64_t hash, const Key& key) {
  return std::partition_point(slots.begin(), slots.end(), [hash, &key](const auto& slot) {
    return slot.hash != hash ? slot.hash < hash : key_of(*slot.entry, key) < key;
  });
}

template <class Slots, class Key>
bool is_at(const Slots& slots, typename Slots::const_iterator at, std::uint64_t hash,
           const Key& key) {
  return at != slots.end() && at->hash == hash && key_of(*at->entry, key) == key;
}

template <class Buckets, class Key>
const ServedTopic* find_in(const Buckets& buckets, const Key& key) {
  const std::uint64_t hash = hash_of(key);
  const auto& slots = *buckets[bucket_of(hash)];
  const auto at = place_of(slots, hash, key);
  return is_at(slots, at, hash, key) ? at->entry.get() : nullptr;
}

template <class Buckets, class Key>
void put_in(Buckets& buckets, const Key& key, const ServedTopics::Entry& entry) {
  const std::uint64_t hash = hash_of(key);
  auto& slots = buckets[bucket_of(hash)].own();
  const auto at = place_of(slots, hash, key);
  if (is_at(slots, at, hash, key))
    at->entry = entry;
  else
    slots.insert(at, {hash, entry});
}

template <class Buckets, class Key>
void remove_from(Buckets& buckets, const Key& key) {
  const std::uint64_t hash = hash_of(key);
  auto& slots = buckets[bucket_of(hash)].own();
  const auto at = place_of(slots, hash, key);
  if (is_at(slots, at, hash, key)) slots.erase(at);
}

}  // namespace

const ServedTopic* ServedTopics::find(std::string_view name) const {
  return find_in(by_name_, name);
}

const ServedTopic* ServedTopics::find(const TopicId& id) const {
  return find_in(by_id_, id);
}

void ServedTopics::put(const Entry& entry) {
  put_in(by_name_, std::string_view(entry->topic->name), entry);
  put_in(by_id_, entry->topic->id, entry);
}

void ServedTopics::remove(const metadata::TopicImage& topic) {
  remove_from(by_name_, std::string_view(topic.name));
  remove_from(by_id_, topic.id);
}

}  // namespace drave::broker
