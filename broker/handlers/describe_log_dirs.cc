#include "protocol/messages/describe_log_dirs.h"

#include <algorithm>
#include <map>
#include <set>

#include "broker/handlers/handlers.h"
#include "broker/handlers/partition_access.h"
#include "broker/node.h"
#include "broker/security/access.h"
#include "io/file.h"

namespace drave::broker {

using protocol::ErrorCode;

namespace {

struct LogSize {
  std::string topic;
  TopicIdPartition id;
  std::int64_t bytes = 0;
  bool is_fenced = false;
};

// What one shard has in the directory with that index; nothing in one that could not be opened.
std::vector<LogSize> sizes_of(Shard& shard, std::size_t directory) {
  std::vector<LogSize> sizes;
  if (directory >= shard.directories().size()) return sizes;
  for (segments::PartitionLog* log : shard.directories()[directory]->logs())
    sizes.push_back({log->topic(), log->id(), log->size_bytes(), log->is_fenced()});
  return sizes;
}

struct Usage {
  std::vector<std::string> paths;
  std::vector<Result<io::Space>> space;
};

io::Task<Usage> usage_of(Node& node) {
  Usage usage;
  for (std::size_t index = 0; index < node.data_directory_count(); ++index) {
    const auto& directory = node.directories()[index];
    usage.paths.push_back(directory->path());
    if (node.has_failed(index))
      usage.space.push_back(failure(Errc::fenced, "the directory has failed"));
    else
      usage.space.push_back(co_await io::free_space(node.shard(0).loop(), directory->path()));
  }
  for (const std::string& path : node.missing_directories()) {
    usage.paths.push_back(path);
    usage.space.push_back(failure(Errc::not_found, "the directory could not be opened"));
  }
  co_return usage;
}

using Wanted = std::set<std::pair<std::string_view, PartitionIndex>>;

Wanted wanted_of(const protocol::DescribeLogDirsRequest& message) {
  Wanted wanted;
  if (!message.topics.has_value()) return wanted;
  for (const auto& topic : *message.topics)
    for (const PartitionIndex partition : topic.partitions) wanted.emplace(topic.topic, partition);
  return wanted;
}

}  // namespace

io::Task<void> handle_describe_log_dirs(Request request) {
  protocol::DescribeLogDirsRequest message;
  if (!request.read(message)) co_return;
  if (!Access(request).may_cluster(protocol::AclOperation::describe)) {
    protocol::DescribeLogDirsResponse refused;
    refused.error_code = code_of(ErrorCode::cluster_authorization_failed);
    request.response.send(refused);
    co_return;
  }
  Shard& here = request.shard;
  Node* node = &here.node();
  const Usage usage = co_await io::call_on(here.loop(), 0, [node] { return usage_of(*node); });
  const bool all = !message.topics.has_value();
  const Wanted wanted = wanted_of(message);
  protocol::DescribeLogDirsResponse answer;
  std::vector<std::map<std::string, std::vector<LogSize>>> found(usage.paths.size());
  for (std::size_t directory = 0; directory < usage.paths.size(); ++directory) {
    for (std::uint32_t shard = 0; shard < here.count(); ++shard) {
      std::vector<LogSize> sizes = co_await io::call_on(
          here.loop(), shard,
          [node, shard, directory] { return sizes_of(node->shard(shard), directory); });
      for (LogSize& log : sizes)
        if (all || wanted.contains({log.topic, log.id.partition}))
          found[directory][log.topic].push_back(std::move(log));
    }
  }
  for (std::size_t directory = 0; directory < usage.paths.size(); ++directory) {
    auto& out = answer.results.emplace_back();
    out.log_dir = usage.paths[directory];
    if (const Result<io::Space>& space = usage.space[directory]; space) {
      out.total_bytes = static_cast<std::int64_t>(space->total);
      out.usable_bytes = static_cast<std::int64_t>(space->available);
    } else {
      out.error_code = code_of(ErrorCode::kafka_storage_error);
    }
    for (auto& [topic, logs] : found[directory]) {
      auto& described = out.topics.emplace_back();
      described.name = topic;
      std::sort(logs.begin(), logs.end(),
                [](const LogSize& a, const LogSize& b) { return a.id.partition < b.id.partition; });
      for (const LogSize& log : logs) {
        described.partitions.push_back({log.id.partition, log.bytes, 0, false});
        if (log.is_fenced) out.error_code = code_of(ErrorCode::kafka_storage_error);
      }
    }
  }
  request.response.send(answer);
}

}  // namespace drave::broker
