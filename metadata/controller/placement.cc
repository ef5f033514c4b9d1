#include "metadata/controller/placement.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "metadata/image_records.h"

namespace drave::metadata {

namespace {

// A broker with every directory cordoned gets nothing new.
bool has_room(const RegistrationImage& broker) {
  if (broker.directories.empty() || !broker.cordoned_directories.has_value()) return true;
  const std::vector<Uuid>& cordoned = *broker.cordoned_directories;
  return std::any_of(broker.directories.begin(), broker.directories.end(),
                     [&cordoned](const Uuid& id) {
                       return std::find(cordoned.begin(), cordoned.end(), id) == cordoned.end();
                     });
}

template <class T>
void shuffle(std::vector<T>& items, Random& random) {
  for (std::size_t left = items.size(); left > 1; --left)
    std::swap(items[left - 1], items[random.below(left)]);
}

// Brokers that are handed out in turn; each round (one per partition) begins one further on.
class Ring {
 public:
  void add(NodeId id) { ids_.push_back(id); }
  std::size_t size() const { return ids_.size(); }
  void begin_anywhere(Random& random) {
    if (!ids_.empty()) start_ = random.below(ids_.size());
  }
  void mix(Random& random) { shuffle(ids_, random); }

  void next_round() {
    taken_ = 0;
    ++start_;
  }
  std::optional<NodeId> next() {
    if (taken_ == ids_.size()) return std::nullopt;
    return ids_[(start_ + taken_++) % ids_.size()];
  }

 private:
  std::vector<NodeId> ids_;
  std::size_t start_ = 0;
  std::size_t taken_ = 0;
};

struct Rack {
  Ring unfenced;
  Ring fenced;

  std::optional<NodeId> next() {
    const std::optional<NodeId> id = unfenced.next();
    return id.has_value() ? id : fenced.next();
  }
};

class Racks {
 public:
  explicit Racks(const ControllerContext& context) : random_(context.random) {
    std::map<std::optional<std::string>, Rack> by_name;
    for (const auto& [id, broker] : context.image.brokers()) {
      // Fenced ones may get replicas, ones that are about to go may not.
      const bool is_leaving = broker.in_controlled_shutdown || context.leaving == id;
      if (!has_room(broker) || (!broker.fenced && is_leaving)) continue;
      Rack& rack = by_name[broker.rack];
      (broker.fenced ? rack.fenced : rack.unfenced).add(id);
      ++total_;
      if (!broker.fenced) ++unfenced_;
    }
    for (auto& [name, rack] : by_name) {
      rack.unfenced.begin_anywhere(random_);
      rack.fenced.begin_anywhere(random_);
      racks_.push_back(std::move(rack));
    }
    if (!racks_.empty()) start_ = random_.below(racks_.size());
  }

  std::size_t total() const { return total_; }
  std::size_t unfenced() const { return unfenced_; }

  // The replicas of the next partition: there are enough brokers, one of them is not fenced.
  std::vector<NodeId> place(std::size_t count) {
    if (round_ == unfenced_ && unfenced_ > 1) {
      // From here on the same assignments would come again.
      shuffle(racks_, random_);
      for (Rack& rack : racks_) {
        rack.unfenced.mix(random_);
        rack.fenced.mix(random_);
      }
      round_ = 0;
    }
    std::vector<NodeId> replicas;
    std::size_t leaders_rack = start_;
    while (true) {
      if (const auto id = racks_[leaders_rack].unfenced.next()) {
        replicas.push_back(*id);
        break;
      }
      leaders_rack = (leaders_rack + 1) % racks_.size();
    }
    // One from each rack in turn; on the first way round the leader's has given its share.
    bool leaders_turn = true;
    for (std::size_t at = start_; replicas.size() < count; at = (at + 1) % racks_.size()) {
      if (at == leaders_rack && leaders_turn)
        leaders_turn = false;
      else if (const auto id = racks_[at].next())
        replicas.push_back(*id);
    }
    for (Rack& rack : racks_) {
      rack.unfenced.next_round();
      rack.fenced.next_round();
    }
    ++round_;
    start_ = (start_ + 1) % racks_.size();
    return replicas;
  }

 private:
  Random& random_;
  std::vector<Rack> racks_;
  std::size_t total_ = 0;
  std::size_t unfenced_ = 0;
  std::size_t start_ = 0;  // rack of the next leader, if it has one
  std::size_t round_ = 0;  // partitions since the last shuffle
};

// Where a broker will put a new replica, as far as that is known.
Uuid directory_on(const RegistrationImage* broker) {
  if (broker == nullptr) return kDirectoryUnassigned;
  if (broker->directories.empty()) return kDirectoryMigrating;
  return broker->directories.size() == 1 ? broker->directories.front() : kDirectoryUnassigned;
}

}  // namespace

Placement place_replicas(const ControllerContext& context, std::int32_t count,
                         std::int32_t replication_factor) {
  if (replication_factor <= 0) {
    return {fmt::format("Invalid replication factor {}: the replication factor must be positive.",
                        replication_factor),
            {}};
  }
  Racks racks(context);
  const auto wanted = static_cast<std::size_t>(replication_factor);
  if (racks.unfenced() == 0)
    return {"All brokers are currently fenced, or have all their log directories cordoned.", {}};
  if (wanted > racks.total()) {
    return {fmt::format("The target replication factor of {} cannot be reached because only {} "
                        "broker(s) are registered or some brokers have all their log directories "
                        "cordoned.",
                        replication_factor, racks.total()),
            {}};
  }
  if (replication_factor > context.replication_factor_max)
    return {replication_problem(context, wanted), {}};
  Placement placed;
  for (std::int32_t partition = 0; partition < count; ++partition)
    placed.partitions.push_back(racks.place(wanted));
  return placed;
}

std::string replication_problem(const ControllerContext& context, std::size_t replicas) {
  if (replicas <= static_cast<std::size_t>(context.replication_factor_max)) return {};
  return fmt::format("This version of Drave keeps {} replica(s) of a partition.",
                     context.replication_factor_max);
}

PartitionImage new_partition(const ControllerContext& context, std::vector<NodeId> replicas) {
  PartitionImage partition;
  for (const NodeId replica : replicas) {
    const RegistrationImage* broker = context.image.broker(replica);
    const bool is_in_sync = broker != nullptr && broker->is_active() && context.leaving != replica;
    if (is_in_sync) partition.isr.push_back(replica);
    partition.directories.push_back(directory_on(broker));
  }
  partition.leader = partition.isr.empty() ? kNoLeader : partition.isr.front();
  partition.replicas = std::move(replicas);
  return partition;
}

void NewPartitions::add(RecordList& records, std::size_t count_max, std::int16_t metadata_version) {
  const std::size_t end = std::min(partitions_.size(), next_ + count_max);
  for (; next_ < end; ++next_)
    add_partition_record(records, topic_, index_++, partitions_[next_], metadata_version);
}

}  // namespace drave::metadata
