#include "metadata/controller/placement.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace drave::metadata {

namespace {

bool is_usable(const RegistrationImage& broker) {
  // Every directory cordoned: nothing new is placed there.
  return !broker.cordoned_directories.has_value() || broker.cordoned_directories->empty() ||
         broker.cordoned_directories->size() < broker.directories.size();
}

// One rack's brokers, those that are not fenced first; each round hands them out from the next one
// on.
struct Rack {
  std::vector<NodeId> unfenced;
  std::vector<NodeId> fenced;
  std::size_t start = 0;

  NodeId at(std::size_t position) const {
    if (position < unfenced.size()) return unfenced[(start + position) % unfenced.size()];
    return fenced[(start + position) % fenced.size()];
  }
  std::size_t size() const { return unfenced.size() + fenced.size(); }
};

}  // namespace

Placement place_replicas(const ControllerContext& context, std::int32_t count,
                         std::int32_t replication_factor) {
  std::map<std::string, Rack> by_rack;
  std::size_t total = 0;
  std::size_t unfenced = 0;
  for (const auto& [id, broker] : context.image.brokers()) {
    if (!is_usable(broker)) continue;
    Rack& rack = by_rack[broker.rack.value_or("")];
    const bool active = !broker.fenced && !broker.in_controlled_shutdown;
    (active ? rack.unfenced : rack.fenced).push_back(id);
    ++total;
    if (active) ++unfenced;
  }
  const auto wanted = static_cast<std::size_t>(std::max(replication_factor, 0));
  if (unfenced == 0) {
    return {fmt::format(
                "Unable to replicate the partition {} time(s): All brokers are currently fenced or "
                "have all their log directories cordoned.",
                replication_factor),
            {}};
  }
  if (wanted > total) {
    return {
        fmt::format(
            "Unable to replicate the partition {} time(s): The target replication factor of {} "
            "cannot be reached because only {} broker(s) are registered or some brokers have all "
            "their log directories cordoned.",
            replication_factor, replication_factor, total),
        {}};
  }
  std::vector<Rack> racks;
  for (auto& [name, rack] : by_rack) {
    rack.start = static_cast<std::size_t>(context.random.below(rack.size()));
    racks.push_back(std::move(rack));
  }
  std::size_t rack_start = static_cast<std::size_t>(context.random.below(racks.size()));
  Placement placed;
  for (std::int32_t partition = 0; partition < count; ++partition) {
    std::vector<NodeId> replicas;
    std::vector<std::size_t> taken(racks.size(), 0);
    for (std::size_t at = rack_start; replicas.size() < wanted; ++at) {
      const std::size_t index = at % racks.size();
      Rack& rack = racks[index];
      // The leader is never a fenced broker.
      if (taken[index] == rack.size() || (replicas.empty() && rack.unfenced.empty())) continue;
      replicas.push_back(rack.at(taken[index]++));
    }
    for (Rack& rack : racks) ++rack.start;
    rack_start = (rack_start + 1) % racks.size();
    placed.partitions.push_back(std::move(replicas));
  }
  return placed;
}

PartitionImage new_partition(const Image& image, std::vector<NodeId> replicas) {
  PartitionImage partition;
  for (const NodeId replica : replicas) {
    const RegistrationImage* broker = image.broker(replica);
    if (broker != nullptr && !broker->fenced && !broker->in_controlled_shutdown)
      partition.isr.push_back(replica);
    // A broker with one directory has no choice; others say later where they put it.
    partition.directories.push_back(broker != nullptr && broker->directories.size() == 1
                                        ? broker->directories.front()
                                        : kZeroUuid);
  }
  partition.leader = partition.isr.empty() ? kNoLeader : partition.isr.front();
  partition.replicas = std::move(replicas);
  return partition;
}

}  // namespace drave::metadata
