#include "tools/cli/topic_describe.h"

#include <fmt/format.h>

#include <algorithm>

#include "tools/cli/settings.h"
#include "tools/cli/topic_names.h"
#include "tools/client/offsets.h"

namespace drave::cli {
namespace {

using Offsets = std::map<PartitionIndex, client::PartitionOffset>;

struct Described {
  MetadataAnswer metadata;
  Offsets start;
  Offsets end;
  std::vector<ConfigEntry> configs;  // that are not defaults

  const auto& topic() const { return metadata.message.topics.front(); }
};

Outcome<Described> describe(client::Client& client, const std::string& name) {
  Described found;
  TRY(found.metadata, metadata_of(client, name));
  std::vector<PartitionIndex> partitions;
  for (const auto& partition : found.topic().partitions)
    partitions.push_back(partition.partition_index);
  TRY(found.start,
      client::list_offsets(client, found.topic(), partitions, client::kEarliest, false));
  TRY(found.end, client::list_offsets(client, found.topic(), partitions, client::kLatest, false));
  TRY(found.configs,
      describe_configs(client, protocol::ConfigResourceType::topic, name, "topic " + name));
  std::erase_if(found.configs, [](const ConfigEntry& one) { return one.source != "topic"; });
  return found;
}

Json to_json(const Described& found) {
  Json partitions = Json::array();
  for (const auto& partition : found.topic().partitions) {
    const PartitionIndex index = partition.partition_index;
    partitions.push_back({{"partition", index},
                          {"leader", partition.leader_id},
                          {"leaderEpoch", partition.leader_epoch},
                          {"replicas", partition.replica_nodes},
                          {"isr", partition.isr_nodes},
                          {"offline", partition.offline_replicas},
                          {"startOffset", found.start.at(index).offset},
                          {"endOffset", found.end.at(index).offset}});
  }
  Json configs = Json::object();
  for (const ConfigEntry& one : found.configs)
    configs[one.name] = one.value ? Json(*one.value) : Json(nullptr);
  return {{"topic", found.topic().name.value_or("")},
          {"topicId", found.topic().topic_id.to_string()},
          {"internal", found.topic().is_internal},
          {"configs", std::move(configs)},
          {"partitions", std::move(partitions)}};
}

// An offset, or why there is none.
std::string cell(const client::PartitionOffset& offset) {
  if (offset.error != protocol::ErrorCode::none) return std::string(protocol::name(offset.error));
  return std::to_string(offset.offset);
}

void print_table(const Described& found) {
  const auto& topic = found.topic();
  fmt::print("topic {}  id {}{}\n", topic.name.value_or(""), topic.topic_id.to_string(),
             topic.is_internal ? "  internal" : "");
  for (const ConfigEntry& one : found.configs)
    fmt::print("config {}={}\n", one.name, one.value.value_or("(hidden)"));
  Table table({"PARTITION", "LEADER", "EPOCH", "REPLICAS", "ISR", "START", "END"});
  for (const auto& partition : topic.partitions) {
    const PartitionIndex index = partition.partition_index;
    table.add({std::to_string(index), std::to_string(partition.leader_id),
               std::to_string(partition.leader_epoch), joined(partition.replica_nodes),
               joined(partition.isr_nodes), cell(found.start.at(index)),
               cell(found.end.at(index))});
  }
  fmt::print("{}", table.to_string());
}

}  // namespace

Outcome<> run_describe(Context& context, const DescribeOptions& options) {
  TRY(auto client, context.connect());
  Json all = Json::array();
  std::optional<Failure> first;
  bool printed = false;
  for (const std::string& name : options.topics) {
    Outcome<Described> found = describe(client, name);
    if (!found) {
      if (first) print_failure(*first);
      first = std::move(found).error();
      continue;
    }
    if (context.json()) {
      all.push_back(to_json(*found));
    } else {
      if (std::exchange(printed, true)) fmt::print("\n");
      print_table(*found);
    }
  }
  if (context.json()) print_json(all);
  if (first) return std::unexpected(std::move(*first));
  return {};
}

}  // namespace drave::cli
