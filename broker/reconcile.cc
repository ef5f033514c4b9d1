#include "broker/reconcile.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "broker/node.h"
#include "broker/shard.h"
#include "io/each.h"
#include "io/mailbox.h"

namespace drave::broker {
namespace {

// Partitions whose files are made or removed together: they share the waits for the disk.
constexpr std::size_t kAtOnce = 32;

struct NewPartition {
  std::size_t directory;  // of the shard's
  segments::PartitionToOpen partition;
  LeaderEpoch leader_epoch;
};

struct GonePartition {
  segments::LogShard* directory;
  TopicIdPartition id;
  std::string topic;
};

// Chooses the directory that the metadata says, else the one with the fewest partitions of this
// shard, as Kafka does, of those that take any.
class DirectoryChoice {
 public:
  explicit DirectoryChoice(Shard& shard) : shard_(shard) {
    for (const auto& directory : shard.directories()) counts_.push_back(directory->logs().size());
  }
  // Nothing: there is no directory at all.
  std::optional<std::size_t> next(const Uuid& assigned) {
    std::optional<std::size_t> best;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      if (shard_.directory_ids()[i] == assigned) best = i;
      if (best == i) break;
      if (!best.has_value() || weight(i) < weight(*best)) best = i;
    }
    if (best.has_value()) ++counts_[*best];
    return best;
  }

 private:
  std::pair<bool, std::size_t> weight(std::size_t i) const {
    return {!shard_.directories()[i]->accepts_writes(), counts_[i]};
  }

  Shard& shard_;
  std::vector<std::size_t> counts_;
};

// The directory in which the metadata has this node's replica; zero: it does not say.
Uuid assigned_directory(const metadata::PartitionImage& partition, NodeId node) {
  for (std::size_t i = 0; i < partition.replicas.size() && i < partition.directories.size(); ++i)
    if (partition.replicas[i] == node) return partition.directories[i];
  return {};
}

// Tells the controller where replicas are of which the metadata says otherwise. `before`: its
// topics that have not changed need not be looked at.
io::Task<void> report_places(Shard& shard, const ServingImage& image, const ServingImage* before) {
  if (shard.directory_ids().size() < 2) co_return;
  std::vector<std::pair<TopicIdPartition, Uuid>> places;
  for (const auto& [name, topic] : image.metadata().topics().by_name()) {
    if (before != nullptr && before->find(topic->id) == image.find(topic->id)) continue;
    for (const auto& [index, partition] : topic->partitions) {
      Replica* replica = shard.replica({topic->id, index});
      if (replica == nullptr) continue;
      for (std::size_t i = 0; i < shard.directories().size(); ++i) {
        if (shard.directories()[i].get() != &replica->directory()) continue;
        const Uuid actual = shard.directory_ids()[i];
        if (actual != assigned_directory(partition, shard.config().node_id))
          places.emplace_back(TopicIdPartition{topic->id, index}, actual);
      }
    }
  }
  if (places.empty()) co_return;
  Node* node = &shard.node();
  const auto* told = &places;
  co_await io::call_on(shard.loop(), 0, [node, told] {
    if (node->lifecycle() == nullptr) return;
    for (const auto& [id, directory] : *told) node->lifecycle()->placed(id, directory);
  });
}

// Brings what stays up to date; returns what is to be created.
std::vector<NewPartition> update_topic(Shard& shard, const ServedTopic& topic,
                                       DirectoryChoice& directories) {
  std::vector<NewPartition> created;
  for (const auto& [index, partition] : topic.topic->partitions) {
    const TopicIdPartition id{topic.topic->id, index};
    if (shard_of(id, shard.count()) != shard.number()) continue;
    if (!has_replica(partition, shard.config().node_id)) continue;
    if (Replica* replica = shard.replica(id); replica != nullptr) {
      replica->log().set_config(topic.log_config);
      replica->set_leader_epoch(partition.leader_epoch);
    } else if (const auto directory =
                   directories.next(assigned_directory(partition, shard.config().node_id))) {
      created.push_back(
          {*directory, {topic.topic->name, id, topic.log_config}, partition.leader_epoch});
    }
  }
  return created;
}

io::Task<void> create(Shard& shard, NewPartition wanted) {
  segments::LogShard& directory = *shard.directories()[wanted.directory];
  Result<segments::PartitionLog*> log = co_await directory.open_or_create(wanted.partition);
  if (!log) {
    LOG_ERROR("broker", "log cannot be created topic={} partition={} error={}",
              wanted.partition.topic, wanted.partition.id.partition, log.error().message());
    co_return;
  }
  shard.add_replica(directory, **log, wanted.leader_epoch);
}

// Takes what is gone out of service at once.
std::vector<GonePartition> retire(Shard& shard, const ServingImage& before,
                                  const ServingImage& after) {
  std::vector<GonePartition> gone;
  for (const auto& [name, topic] : before.metadata().topics().by_name()) {
    const ServedTopic* still = after.find(topic->id);
    if (still != nullptr && still == before.find(topic->id)) continue;
    for (const auto& [index, partition] : topic->partitions) {
      if (still != nullptr && is_here(*still, index, shard.config().node_id)) continue;
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
  co_await report_places(shard, *image, everything ? nullptr : before.get());
  const std::vector<GonePartition> gone = retire(shard, *before, *image);
  co_await io::for_each(shard.loop(), gone.size(), kAtOnce,
                        [&](std::size_t i) { return remove(gone[i]); });
}

}  // namespace drave::broker
