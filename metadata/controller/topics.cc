#include "metadata/controller/topics.h"

#include <fmt/format.h>

#include <map>
#include <set>

#include "metadata/controller/placement.h"
#include "metadata/features.h"
#include "metadata/image_records.h"
#include "protocol/error_code.h"

namespace drave::metadata {

using protocol::ErrorCode;

namespace {

std::int16_t code_of(ErrorCode code) {
  return static_cast<std::int16_t>(code);
}

// How often a request to delete names what.
struct Named {
  explicit Named(const protocol::DeleteTopicsRequest& request) {
    for (const std::string_view name : request.topic_names) ++names[name];
    for (const auto& topic : request.topics) {
      if (topic.name.has_value() && topic.topic_id.is_zero())
        ++names[*topic.name];
      else if (!topic.name.has_value() && !topic.topic_id.is_zero())
        ++ids[topic.topic_id];
    }
  }
  // By a name that counts.
  bool also_by_name(const TopicImage& topic) const {
    const auto found = names.find(topic.name);
    return found != names.end() && found->second == 1;
  }

  std::map<std::string_view, int> names;
  std::map<TopicId, int> ids;
};

}  // namespace

protocol::OwnedMessage<protocol::DeleteTopicsResponse> delete_topics(
    const ControllerContext& context, const protocol::DeleteTopicsRequest& request,
    std::int16_t version, RecordList& records) {
  protocol::OwnedMessage<protocol::DeleteTopicsResponse> answer;
  const Named named(request);
  std::set<std::string_view> names_refused;
  std::set<TopicId> ids_refused;
  auto refuse = [&answer](std::optional<std::string_view> name, const TopicId& id, ErrorCode code,
                          std::string_view text) {
    auto& result = answer.message.responses.emplace_back();
    result.name = name;
    result.topic_id = id;
    result.error_code = code_of(code);
    result.error_message = text;
  };
  auto remove = [&](const TopicImage* topic, std::optional<std::string_view> name) {
    if (!context.delete_topic_enable) {
      const ErrorCode code =
          version < 3 ? ErrorCode::invalid_request : ErrorCode::topic_deletion_disabled;
      return refuse(name, topic->id, code, protocol::message(ErrorCode::topic_deletion_disabled));
    }
    protocol::RemoveTopicRecord record;
    record.topic_id = topic->id;
    records.add(record);
    auto& result = answer.message.responses.emplace_back();
    result.name = name.has_value() ? *name : answer.keep(topic->name);
    result.topic_id = topic->id;
  };
  // What is named twice is told so once, and stays.
  auto by_name = [&](std::string_view name) {
    const TopicImage* topic = context.image.topics().find(name);
    if (named.names.at(name) > 1) {
      if (names_refused.insert(name).second)
        refuse(name, TopicId(), ErrorCode::invalid_request, "Duplicate topic name.");
      return;
    }
    if (topic != nullptr && named.ids.contains(topic->id)) {
      return refuse(name, topic->id, ErrorCode::invalid_request,
                    "The provided topic name maps to an ID that was already supplied.");
    }
    if (topic != nullptr) return remove(topic, name);
    refuse(name, TopicId(), ErrorCode::unknown_topic_or_partition,
           protocol::message(ErrorCode::unknown_topic_or_partition));
  };
  for (const std::string_view name : request.topic_names) by_name(name);
  for (const auto& asked : request.topics) {
    if (asked.name.has_value() && !asked.topic_id.is_zero()) {
      refuse(asked.name, asked.topic_id, ErrorCode::invalid_request,
             "You may not specify both topic name and topic id.");
    } else if (asked.name.has_value()) {
      by_name(*asked.name);
    } else if (asked.topic_id.is_zero()) {
      refuse(std::nullopt, TopicId(), ErrorCode::invalid_request,
             "Neither topic name nor id were specified.");
    } else if (named.ids.at(asked.topic_id) > 1) {
      if (ids_refused.insert(asked.topic_id).second) {
        refuse(std::nullopt, asked.topic_id, ErrorCode::invalid_request, "Duplicate topic id.");
      }
    } else if (const TopicImage* topic = context.image.topics().find(asked.topic_id);
               topic != nullptr) {
      if (!named.also_by_name(*topic)) remove(topic, std::nullopt);  // else the name says why not
    } else {
      refuse(std::nullopt, asked.topic_id, ErrorCode::unknown_topic_id,
             protocol::message(ErrorCode::unknown_topic_id));
    }
  }
  return answer;
}

namespace {

using protocol::CreatePartitionsRequest;

struct Problem {
  ErrorCode code = ErrorCode::none;
  std::optional<std::string> text;
};

Problem add_partitions(const ControllerContext& context,
                       const CreatePartitionsRequest::CreatePartitionsTopic& asked,
                       RecordList& records) {
  const TopicImage* topic = context.image.topics().find(asked.name);
  if (topic == nullptr) return {ErrorCode::unknown_topic_or_partition, std::nullopt};
  const auto present = static_cast<std::int32_t>(topic->partitions.size());
  if (asked.count == present)
    return {ErrorCode::invalid_partitions,
            fmt::format("Topic already has {} partition(s).", present)};
  if (asked.count < present) {
    return {ErrorCode::invalid_partitions,
            fmt::format("The topic {} currently has {} partition(s); {} would not be an increase.",
                        asked.name, present, asked.count)};
  }
  const std::int32_t added = asked.count - present;
  if (records.size() + static_cast<std::size_t>(added) > kRecordsPerRequestMax)
    return {ErrorCode::policy_violation, "Excessively large number of partitions per request."};
  const std::size_t factor =
      topic->partitions.empty() ? 1 : topic->partitions.begin()->second.replicas.size();
  if (std::string problem = replication_problem(context, factor); !problem.empty())
    return {ErrorCode::invalid_replication_factor, std::move(problem)};
  std::vector<std::vector<NodeId>> placed;
  if (asked.assignments.has_value()) {
    if (asked.assignments->size() != static_cast<std::size_t>(added)) {
      return {ErrorCode::invalid_replica_assignment,
              fmt::format("Attempted to add {} additional partition(s), but only {} assignment(s) "
                          "were specified.",
                          added, asked.assignments->size())};
    }
    for (const auto& assignment : *asked.assignments) {
      if (std::string problem = assignment_problem(context.image, assignment.broker_ids, factor);
          !problem.empty())
        return {ErrorCode::invalid_replica_assignment, std::move(problem)};
      placed.push_back(assignment.broker_ids);
    }
  } else {
    Placement placement = place_replicas(context, added, static_cast<std::int32_t>(factor));
    if (!placement.problem.empty())
      return {ErrorCode::invalid_replication_factor, std::move(placement.problem)};
    placed = std::move(placement.partitions);
  }
  const std::int16_t metadata_version = context.image.feature(kMetadataVersion);
  PartitionIndex index = present;
  for (std::vector<NodeId>& replicas : placed) {
    const PartitionImage partition = new_partition(context.image, std::move(replicas));
    if (partition.isr.empty()) {
      return {ErrorCode::invalid_replica_assignment,
              fmt::format("All brokers specified in the manual partition assignment for partition "
                          "{} are fenced or "
                          "in controlled shutdown.",
                          index)};
    }
    add_partition_record(records, topic->id, index++, partition, metadata_version);
  }
  return {};
}

}  // namespace

protocol::OwnedMessage<protocol::CreatePartitionsResponse> create_partitions(
    const ControllerContext& context, const CreatePartitionsRequest& request, RecordList& records) {
  protocol::OwnedMessage<protocol::CreatePartitionsResponse> answer;
  std::map<std::string_view, int> counts;
  for (const auto& topic : request.topics) ++counts[topic.name];
  std::set<std::string_view> refused_twice;
  for (const auto& topic : request.topics) {
    const bool twice = counts[topic.name] > 1;
    if (twice && !refused_twice.insert(topic.name).second) continue;
    const std::size_t before = records.size();
    Problem problem = twice ? Problem{ErrorCode::invalid_request, "Duplicate topic name."}
                            : add_partitions(context, topic, records);
    auto& result = answer.message.results.emplace_back();
    result.name = topic.name;
    result.error_code = code_of(problem.code);
    if (problem.code != ErrorCode::none) records.cut(before);
    if (problem.text.has_value()) result.error_message = answer.keep(std::move(*problem.text));
  }
  return answer;
}

}  // namespace drave::metadata
