#include "tools/cli/topic_describe.h"

#include <fmt/format.h>

#include <algorithm>

#include "tools/cli/settings.h"
#include "tools/cli/topic_names.h"
#include "tools/client/offsets.h"

namespace drave::cli {
namespace {

using protocol::ErrorCode;
using Offsets = std::map<PartitionIndex, client::PartitionOffset>;

// A leader that hangs costs a tenth of the time that a request may take, once, and the offsets of
// its partitions: what all others say of the topic is shown.
constexpr int kPartForLeader = 10;
constexpr client::Milliseconds kLeaderAnswersMin{1000};

// Leaders that could not be asked, and why.
using Silent = std::map<NodeId, Error>;

struct Described {
  MetadataAnswer metadata;
  Offsets start;
  Offsets end;
  std::vector<ConfigEntry> configs;  // that are not defaults

  const auto& topic() const { return metadata.message.topics.front(); }
};

ErrorCode code_of(const Error& error) {
  return error.code == Errc::timed_out ? ErrorCode::request_timed_out
                                       : ErrorCode::broker_not_available;
}

// Adds the offsets of the partitions of one leader; those of one that cannot be asked are its
// error.
void add_offsets(client::Client& client, Described& found, NodeId leader,
                 const std::vector<PartitionIndex>& partitions, Silent& silent) {
  for (const auto& [timestamp, offsets] :
       {std::pair{client::kEarliest, &found.start}, {client::kLatest, &found.end}}) {
    if (!silent.contains(leader)) {
      auto asked = client::list_offsets(client, found.topic(), partitions, timestamp, false);
      if (asked) {
        offsets->merge(*asked);
        continue;
      }
      silent.emplace(leader, std::move(asked).error());
    }
    for (const PartitionIndex index : partitions)
      (*offsets)[index].error = code_of(silent.at(leader));
  }
}

Outcome<Described> describe(client::Client& client, const std::string& name, Silent& silent) {
  Described found;
  TRY(found.metadata, metadata_of(client, name));
  std::map<NodeId, std::vector<PartitionIndex>> led;
  for (const auto& partition : found.topic().partitions)
    led[partition.leader_id].push_back(partition.partition_index);
  for (const auto& [leader, partitions] : led)
    add_offsets(client, found, leader, partitions, silent);
  TRY(found.configs,
      describe_configs(client, protocol::ConfigResourceType::topic, name, "topic " + name));
  std::erase_if(found.configs, [](const ConfigEntry& one) { return one.source != "topic"; });
  return found;
}

Json to_json(const Described& found) {
  Json partitions = Json::array();
  for (const auto& partition : found.topic().partitions) {
    const PartitionIndex index = partition.partition_index;
    Json row = {{"partition", index},
                {"leader", partition.leader_id},
                {"leaderEpoch", partition.leader_epoch},
                {"replicas", partition.replica_nodes},
                {"isr", partition.isr_nodes},
                {"offline", partition.offline_replicas},
                {"startOffset", found.start.at(index).offset},
                {"endOffset", found.end.at(index).offset}};
    if (const ErrorCode error = found.end.at(index).error; error != ErrorCode::none)
      row["offsetError"] = protocol::name(error);
    partitions.push_back(std::move(row));
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
  if (offset.error != ErrorCode::none) return std::string(protocol::name(offset.error));
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
  const client::Milliseconds timeout(context.timeout_ms);
  client.set_node_timeout(std::min(timeout, std::max(timeout / kPartForLeader, kLeaderAnswersMin)));
  Json all = Json::array();
  Silent silent;
  std::optional<Failure> last;
  const auto note = [&last](Failure failure) {
    if (last) print_failure(*last);
    last = std::move(failure);
  };
  bool printed = false;
  for (const std::string& name : options.topics) {
    Outcome<Described> found = describe(client, name, silent);
    if (!found) {
      note(std::move(found).error());
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
  for (const auto& [leader, error] : silent) note(error);
  if (last) return std::unexpected(std::move(*last));
  return {};
}

}  // namespace drave::cli
