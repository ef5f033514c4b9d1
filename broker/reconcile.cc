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
  explicit DirectoryChoice(Shard& shard) : shard_(shard) {}
  // Nothing: there is no directory at all.
  std::optional<std::size_t> next(const Uuid& assigned) {
    if (counts_.empty()) count();
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
  // Takes a look at each partition: only for who has to choose.
  void count() {
    const auto& directories = shard_.directories();
    for (const auto& directory : directories)
      counts_.push_back(directories.size() == 1 ? 0 : directory->logs().size());
  }
  std::pair<bool, std::size_t> weight(std::size_t i) const {
    return {!shard_.directories()[i]->accepts_writes(), counts_[i]};
  }

  Shard& shard_;
  std::vector<std::size_t> counts_;  // by directory
};

// A topic that is another in the image that comes; null where it is not there.
struct TopicChange {
  const ServedTopic* before = nullptr;
  const ServedTopic* after = nullptr;
};

// `everything`: what stays counts as changed, too.
std::vector<TopicChange> changes_between(const ServingImage& before, const ServingImage& after,
                                         bool everything) {
  std::vector<TopicChange> changes;
  ServedTopics::for_each_change(before.topics(), after.topics(),
                                [&](const ServedTopic* old, const ServedTopic* now) {
                                  if (!everything || now == nullptr) changes.push_back({old, now});
                                });
  if (everything)
    for (const auto& [name, topic] : after.metadata().topics().by_name())
      changes.push_back({before.find(topic->id), after.find(topic->id)});
  return changes;
}

// Lets others run when many partitions were looked at since the last time.
class Pauses {
 public:
  explicit Pauses(io::Loop& loop) : loop_(loop) {}
  bool is_due(std::size_t partitions) {
    looked_at_ += partitions;
    return looked_at_ >= kPartitionsPerPass;
  }
  io::SleepAwaiter pause() {
    looked_at_ = 0;
    return io::next_pass(loop_);
  }

 private:
  static constexpr std::size_t kPartitionsPerPass = 2000;
  io::Loop& loop_;
  std::size_t looked_at_ = 0;
};

using Places = std::vector<std::pair<TopicIdPartition, Uuid>>;

// Where replicas are of which the metadata says otherwise.
struct Misplaced {
  Places places;
  std::size_t lost = 0;  // of them: said to be in a directory that is none of this node's
  Uuid lost_directory;   // of the last one of these
};

// A broker with one directory has no choice, and says nothing to where there was none.
void find_places(Shard& shard, const metadata::TopicImage& topic, Misplaced& found) {
  const std::vector<Uuid>& ids = shard.directory_ids();
  for (const auto& [index, partition] : topic.partitions) {
    Replica* replica = shard.replica({topic.id, index});
    if (replica == nullptr) continue;
    const Uuid assigned = assigned_directory(partition, shard.config().node_id);
    if (ids.size() < 2 && is_open_choice(assigned)) continue;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (shard.directories()[i].get() != &replica->directory() || ids[i] == assigned) continue;
      found.places.emplace_back(TopicIdPartition{topic.id, index}, ids[i]);
      if (shard.node().own_directories().may_have(assigned)) continue;
      ++found.lost;
      found.lost_directory = assigned;
    }
  }
}

io::Task<void> report_places(Shard& shard, const std::vector<TopicChange>& changes) {
  Misplaced found;
  Pauses pauses(shard.loop());
  for (const TopicChange& change : changes) {
    if (change.after == nullptr) continue;
    find_places(shard, *change.after->topic, found);
    if (pauses.is_due(change.after->topic->partitions.size())) co_await pauses.pause();
  }
  if (found.places.empty()) co_return;
  if (found.lost > 0)
    LOG_WARN("broker",
             "partitions were in directories that this node does not have any more: they are what "
             "is found of them here, most likely empty partitions={} directory={}",
             found.lost, found.lost_directory.to_string());
  Node* node = &shard.node();
  const auto* told = &found.places;
  co_await io::call_on(shard.loop(), 0, [node, told] {
    if (node->lifecycle() == nullptr) return;
    for (const auto& [id, directory] : *told) node->lifecycle()->placed(id, directory);
  });
}

struct NewEpoch {
  TopicIdPartition id;
  LeaderEpoch leader_epoch;
};

// What is done when the whole change was looked at.
struct Rest {
  std::vector<NewPartition> created;
  // Of what stays. They come into force with the image: who compares them must find both old or
  // both new.
  std::vector<NewEpoch> epochs;
};

// Brings what stays up to date; adds what is left to do.
void update_topic(Shard& shard, const ServedTopic& topic, DirectoryChoice& directories,
                  Rest& rest) {
  for (const auto& [index, partition] : topic.topic->partitions) {
    const TopicIdPartition id{topic.topic->id, index};
    if (shard_of(id, shard.count()) != shard.number()) continue;
    if (!has_replica(partition, shard.config().node_id)) continue;
    const Uuid assigned = assigned_directory(partition, shard.config().node_id);
    if (Replica* replica = shard.replica(id); replica != nullptr) {
      replica->log().set_config(topic.log_config);
      if (replica->leader_epoch() < partition.leader_epoch)
        rest.epochs.push_back({id, partition.leader_epoch});
    } else if (shard.node().own_directories().withholds(assigned)) {
      continue;
    } else if (const auto directory = directories.next(assigned)) {
      rest.created.push_back(
          {*directory, {topic.topic->name, id, topic.log_config}, partition.leader_epoch});
    }
  }
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

// Takes what is gone of a topic out of service.
void retire(Shard& shard, const TopicChange& change, std::vector<GonePartition>& gone) {
  const metadata::TopicImage& topic = *change.before->topic;
  for (const auto& [index, partition] : topic.partitions) {
    if (change.after != nullptr && is_here(*change.after, index, shard.config().node_id)) continue;
    const TopicIdPartition id{topic.id, index};
    Replica* replica = shard.replica(id);
    if (replica == nullptr) continue;
    gone.push_back({&replica->directory(), id, topic.name});
    shard.remove_replica(id);
  }
}

io::Task<void> remove(GonePartition gone) {
  if (const Result<void> removed = co_await gone.directory->remove(gone.id); !removed)
    LOG_ERROR("broker", "log cannot be removed topic={} partition={} error={}", gone.topic,
              gone.id.partition, removed.error().message());
}

}  // namespace

Uuid assigned_directory(const metadata::PartitionImage& partition, NodeId node) {
  for (std::size_t i = 0; i < partition.replicas.size() && i < partition.directories.size(); ++i)
    if (partition.replicas[i] == node) return partition.directories[i];
  return {};
}

io::Task<void> reconcile(Shard& shard, ServingImagePtr image, bool everything) {
  const ServingImagePtr before = shard.image_ptr();
  const std::vector<TopicChange> changes = changes_between(*before, *image, everything);
  Pauses pauses(shard.loop());
  DirectoryChoice directories(shard);
  Rest rest;
  for (const TopicChange& change : changes) {
    if (change.after == nullptr) continue;
    update_topic(shard, *change.after, directories, rest);
    if (pauses.is_due(change.after->topic->partitions.size())) co_await pauses.pause();
  }
  co_await io::for_each(shard.loop(), rest.created.size(), kAtOnce,
                        [&](std::size_t i) { return create(shard, rest.created[i]); });
  for (const NewEpoch& each : rest.epochs)
    if (Replica* replica = shard.replica(each.id); replica != nullptr)
      replica->set_leader_epoch(each.leader_epoch);
  shard.set_image(image);
  co_await report_places(shard, changes);
  std::vector<GonePartition> gone;
  for (const TopicChange& change : changes) {
    if (change.before == nullptr) continue;
    retire(shard, change, gone);
    if (pauses.is_due(change.before->topic->partitions.size())) co_await pauses.pause();
  }
  co_await io::for_each(shard.loop(), gone.size(), kAtOnce,
                        [&](std::size_t i) { return remove(gone[i]); });
}

}  // namespace drave::broker
