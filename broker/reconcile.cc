#include "broker/reconcile.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "broker/node.h"
#include "broker/shard.h"
#include "io/each.h"

namespace drave::broker {
namespace {

// Partitions whose files are made or removed together: they share the waits for the disk.
constexpr std::size_t kAtOnce = 32;

struct NewPartition {
  segments::LogShard* directory;
  segments::PartitionToOpen partition;
  LeaderEpoch leader_epoch;
};

struct GonePartition {
  segments::LogShard* directory;
  TopicIdPartition id;
  std::string topic;
};

// Chooses the directory with the fewest partitions of this shard, as Kafka does, of those that take
// any.
class DirectoryChoice {
 public:
  explicit DirectoryChoice(Shard& shard) {
    for (const auto& directory : shard.directories())
      counts_.emplace_back(directory.get(), directory->logs().size());
  }
  segments::LogShard* next() {
    const auto best = std::min_element(counts_.begin(), counts_.end(), [](auto& a, auto& b) {
      return std::pair(!a.first->accepts_writes(), a.second) <
             std::pair(!b.first->accepts_writes(), b.second);
    });
    if (best == counts_.end()) return nullptr;
    ++best->second;
    return best->first;
  }

 private:
  std::vector<std::pair<segments::LogShard*, std::size_t>> counts_;
};

// Brings what stays up to date; returns what is to be created.
std::vector<NewPartition> update_topic(Shard& shard, const ServedTopic& topic,
                                       DirectoryChoice& directories) {
  std::vector<NewPartition> created;
  const auto node_id = shard.config().node_id;
  for (const auto& [index, partition] : topic.topic->partitions) {
    const TopicIdPartition id{topic.topic->id, index};
    if (shard_of(id, shard.count()) != shard.number()) continue;
    if (std::find(partition.replicas.begin(), partition.replicas.end(), node_id) ==
        partition.replicas.end())
      continue;
    if (Replica* replica = shard.replica(id); replica != nullptr) {
      replica->log().set_config(topic.log_config);
      replica->set_leader_epoch(partition.leader_epoch);
    } else if (segments::LogShard* directory = directories.next(); directory != nullptr) {
      created.push_back(
          {directory, {topic.topic->name, id, topic.log_config}, partition.leader_epoch});
    }
  }
  return created;
}

io::Task<void> create(Shard& shard, NewPartition wanted) {
  Result<segments::PartitionLog*> log = co_await wanted.directory->open_or_create(wanted.partition);
  if (!log) {
    LOG_ERROR("broker", "log cannot be created topic={} partition={} error={}",
              wanted.partition.topic, wanted.partition.id.partition, log.error().message());
    co_return;
  }
  shard.add_replica(*wanted.directory, **log, wanted.leader_epoch);
}

// Takes what is gone out of service at once.
std::vector<GonePartition> retire(Shard& shard, const ServingImage& before,
                                  const ServingImage& after) {
  std::vector<GonePartition> gone;
  for (const auto& [name, topic] : before.metadata().topics().by_name()) {
    if (after.find(topic->id) != nullptr) continue;
    for (const auto& [index, partition] : topic->partitions) {
      const TopicIdPartition id{topic->id, index};
      Replica* replica = shard.replica(id);
      if (replica == nullptr) continue;
      gone.push_back({&replica->directory(), id, std::string(name)});
      shard.remove_replica(id);
    }
  }
  return gone;
}

io::Task<void> remove(GonePartition gone) {
  if (const Result<void> removed = co_await gone.directory->remove(gone.id); !removed)
    LOG_ERROR("broker", "log cannot be removed topic={} partition={} error={}", gone.topic,
              gone.id.partition, removed.error().message());
}

}  // namespace

io::Task<void> reconcile(Shard& shard, ServingImagePtr image, bool everything) {
  const ServingImagePtr before = shard.image_ptr();
  DirectoryChoice directories(shard);
  std::vector<NewPartition> created;
  for (const auto& [name, topic] : image->metadata().topics().by_name()) {
    const ServedTopic* served = image->find(topic->id);
    if (served == before->find(topic->id) && !everything) continue;
    for (NewPartition& one : update_topic(shard, *served, directories))
      created.push_back(std::move(one));
  }
  co_await io::for_each(shard.loop(), created.size(), kAtOnce,
                        [&](std::size_t i) { return create(shard, created[i]); });
  shard.set_image(image);
  const std::vector<GonePartition> gone = retire(shard, *before, *image);
  co_await io::for_each(shard.loop(), gone.size(), kAtOnce,
                        [&](std::size_t i) { return remove(gone[i]); });
}

}  // namespace drave::broker
