#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>
#include <unordered_set>

#include "metadata/config/describe.h"
#include "metadata/config/validate.h"
#include "metadata/controller/placement.h"
#include "metadata/controller/topics.h"
#include "metadata/features.h"
#include "metadata/image_records.h"
#include "metadata/topic_name.h"
#include "protocol/error_code.h"

namespace drave::metadata {

namespace {

using protocol::CreateTopicsRequest;
using protocol::CreateTopicsResponse;
using protocol::ErrorCode;
using Result = CreateTopicsResponse::CreatableTopicResult;

struct Problem {
  ErrorCode code = ErrorCode::none;
  std::string text;
};

// Decides one request's topics one after the other; of a large one the partitions in pieces.
class TopicCreation final : public Decision<CreateTopicsResponse> {
 public:
  TopicCreation(const ControllerContext& context, const CreateTopicsRequest& request,
                std::int16_t version)
      : context_(context),
        request_(request),
        version_(version),
        metadata_version_(context.image.feature(kMetadataVersion)) {
    answer.message.topics.reserve(request.topics.size());
    for (const auto& topic : request.topics) ++counts_[topic.name];
    too_many_ = partition_total() > kRecordsPerRequestMax;
  }

  bool next(RecordList& records) override {
    Piece piece(records);
    while (!piece.is_full(records) && has_more()) {
      if (partitions_.empty()) take_topic(request_.topics[next_++], records);
      partitions_.add(records, piece.records_left(records), metadata_version_);
      piece.note_item();
    }
    return has_more();
  }

 private:
  bool has_more() const { return !partitions_.empty() || next_ < request_.topics.size(); }

  void take_topic(const CreateTopicsRequest::CreatableTopic& topic, RecordList& records) {
    const bool twice = counts_[topic.name] > 1;
    if (twice && !refused_twice_.insert(topic.name).second) return;
    Result& result = answer.message.topics.emplace_back();
    result.name = topic.name;
    result.error_message = std::nullopt;
    result.configs.emplace();
    const std::size_t before = records.size();
    Problem problem;
    if (twice)
      problem = {ErrorCode::invalid_request, "Duplicate topic name."};
    else if (too_many_)
      problem = {ErrorCode::policy_violation,
                 "Excessively large number of partitions per request."};
    else
      problem = decide(topic, result, records);
    if (problem.code == ErrorCode::none) return;
    records.cut(before);
    result.error_code = static_cast<std::int16_t>(problem.code);
    result.error_message = answer.keep(std::move(problem.text));
  }

  std::size_t partition_total() const {
    std::size_t total = 0;
    for (const auto& topic : request_.topics) {
      if (!topic.assignments.empty())
        total += topic.assignments.size();
      else if (topic.num_partitions == -1)
        total += static_cast<std::size_t>(context_.default_partitions);
      else if (topic.num_partitions > 0)
        total += static_cast<std::size_t>(topic.num_partitions);
    }
    return total;
  }

  Problem check_name(std::string_view name) {
    if (name == kMetadataTopicName) {
      return {ErrorCode::invalid_request,
              fmt::format("Creation of internal topic {} is prohibited.", name)};
    }
    if (auto problem = topic_name_problem(name))
      return {ErrorCode::invalid_topic_exception, std::move(*problem)};
    if (context_.image.topics().find(name) != nullptr)
      return {ErrorCode::topic_already_exists, fmt::format("Topic '{}' already exists.", name)};
    if (has_collision_chars(name)) {
      const TopicImage* present = context_.image.topics().find_colliding(name);
      const auto created = unified_.find(unify_collision_chars(name));
      if (present != nullptr || created != unified_.end()) {
        return {ErrorCode::invalid_topic_exception,
                fmt::format("Topic '{}' collides with existing topic: {}", name,
                            present != nullptr ? present->name : created->second)};
      }
    }
    return {};
  }

  Problem decide(const CreateTopicsRequest::CreatableTopic& topic, Result& result,
                 RecordList& records) {
    if (Problem problem = check_name(topic.name); problem.code != ErrorCode::none) return problem;
    ConfigMap configs;
    if (Problem problem = check_configs(topic, configs); problem.code != ErrorCode::none)
      return problem;
    std::vector<PartitionImage> partitions;
    Problem problem =
        topic.assignments.empty() ? place(topic, partitions) : take_assignment(topic, partitions);
    if (problem.code != ErrorCode::none) return problem;
    add_records(topic, configs, result, records);
    if (has_collision_chars(topic.name))
      unified_.emplace(unify_collision_chars(topic.name), topic.name);
    result.num_partitions = static_cast<std::int32_t>(partitions.size());
    result.replication_factor = static_cast<std::int16_t>(partitions.front().replicas.size());
    if (version_ >= 5) describe(configs, result);
    partitions_ = NewPartitions(result.topic_id, 0, std::move(partitions));
    return {};
  }

  Problem check_configs(const CreateTopicsRequest::CreatableTopic& topic, ConfigMap& configs) {
    std::vector<std::string_view> nulls;
    for (const auto& config : topic.configs) {
      if (!config.value.has_value())
        nulls.push_back(config.name);
      else if (config.name.size() > kTextLengthMax)
        return {ErrorCode::invalid_config, "The name of a configuration is too long."};
      else if (config.value->size() > kTextLengthMax)
        return {ErrorCode::invalid_config, std::string(kValueTooLong)};
      else
        configs[std::string(config.name)] = *config.value;
    }
    if (!nulls.empty()) {
      return {ErrorCode::invalid_config,
              fmt::format("Null value not supported for topic configs: {}", fmt::join(nulls, ","))};
    }
    if (configs.empty()) return {};
    if (auto valid = validate_topic_configs(context_.layers(configs)); !valid)
      return {ErrorCode::invalid_config, valid.error().context};
    configs = canonical_configs(ConfigScope::topic, configs);
    return {};
  }

  Problem place(const CreateTopicsRequest::CreatableTopic& topic,
                std::vector<PartitionImage>& partitions) {
    if (topic.replication_factor < -1 || topic.replication_factor == 0) {
      return {ErrorCode::invalid_replication_factor,
              "Replication factor must be larger than 0, or -1 to use the default value."};
    }
    if (topic.num_partitions < -1 || topic.num_partitions == 0) {
      return {ErrorCode::invalid_partitions,
              "Number of partitions was set to an invalid non-positive value."};
    }
    const std::int32_t count =
        topic.num_partitions == -1 ? context_.default_partitions : topic.num_partitions;
    const std::int32_t factor = topic.replication_factor == -1 ? context_.default_replication_factor
                                                               : topic.replication_factor;
    Placement placement = place_replicas(context_, count, factor);
    if (!placement.problem.empty()) {
      return {ErrorCode::invalid_replication_factor,
              fmt::format("Unable to replicate the partition {} time(s): {}", factor,
                          placement.problem)};
    }
    for (std::vector<NodeId>& replicas : placement.partitions)
      partitions.push_back(new_partition(context_, std::move(replicas)));
    return {};
  }

  Problem take_assignment(const CreateTopicsRequest::CreatableTopic& topic,
                          std::vector<PartitionImage>& partitions) {
    if (topic.replication_factor != -1) {
      return {
          ErrorCode::invalid_request,
          "A manual partition assignment was specified, but replication factor was not set to -1."};
    }
    if (topic.num_partitions != -1) {
      return {ErrorCode::invalid_request,
              "A manual partition assignment was specified, but numPartitions was not set to -1."};
    }
    std::map<std::int32_t, PartitionImage> assigned;
    std::optional<std::size_t> factor;
    for (const auto& assignment : topic.assignments) {
      if (assigned.contains(assignment.partition_index)) {
        return {ErrorCode::invalid_replica_assignment,
                fmt::format("Found multiple manual partition assignments for partition {}",
                            assignment.partition_index)};
      }
      if (std::string problem = assignment_problem(context_.image, assignment.broker_ids, factor);
          !problem.empty())
        return {ErrorCode::invalid_replica_assignment, std::move(problem)};
      factor = assignment.broker_ids.size();
      if (std::string problem = replication_problem(context_, *factor); !problem.empty())
        return {ErrorCode::invalid_replication_factor, std::move(problem)};
      PartitionImage partition = new_partition(context_, assignment.broker_ids);
      if (partition.isr.empty()) {
        return {ErrorCode::invalid_replica_assignment,
                fmt::format(
                    "All brokers specified in the manual partition assignment for partition {} are "
                    "fenced or in controlled shutdown.",
                    assignment.partition_index)};
      }
      assigned.emplace(assignment.partition_index, std::move(partition));
    }
    std::int32_t expected = 0;
    for (auto& [index, partition] : assigned) {
      if (index != expected++) {
        return {ErrorCode::invalid_replica_assignment,
                "partitions should be a consecutive 0-based integer sequence"};
      }
      partitions.push_back(std::move(partition));
    }
    return {};
  }

  // But for its partitions.
  void add_records(const CreateTopicsRequest::CreatableTopic& topic, const ConfigMap& configs,
                   Result& result, RecordList& records) {
    protocol::TopicRecord record;
    record.name = topic.name;
    record.topic_id = draw_id(context_.random);
    result.topic_id = record.topic_id;
    records.add(record);
    for (const auto& [name, value] : configs) {
      protocol::ConfigRecord config;
      config.resource_type = static_cast<std::int8_t>(ConfigResourceType::topic);
      config.resource_name = topic.name;
      config.name = name;
      config.value = value;
      records.add(config);
    }
  }

  CreateTopicsResponse::CreatableTopicConfigs told(ConfigEntry entry) {
    CreateTopicsResponse::CreatableTopicConfigs out;
    out.name = answer.keep(std::move(entry.name));
    out.value = entry.value.has_value()
                    ? std::optional<std::string_view>(answer.keep(std::move(*entry.value)))
                    : std::nullopt;
    out.read_only = entry.read_only;
    out.config_source = static_cast<std::int8_t>(entry.source);
    out.is_sensitive = entry.sensitive;
    return out;
  }

  // What topics without configs of their own say is worked out once; others differ where they have
  // some.
  void describe(const ConfigMap& configs, Result& result) {
    static const ConfigMap kNone;
    if (!default_configs_.has_value()) {
      default_configs_.emplace();
      for (ConfigEntry& entry : describe_topic_configs(context_.layers(kNone)))
        default_configs_->push_back(told(std::move(entry)));
    }
    result.configs = *default_configs_;
    for (const auto& [name, value] : configs) {
      const auto at = std::find_if(result.configs->begin(), result.configs->end(),
                                   [&key = name](const auto& each) { return each.name == key; });
      if (at == result.configs->end()) continue;
      *at = told(*describe_topic_config(name, context_.layers(configs)));
    }
  }

  const ControllerContext context_;
  const CreateTopicsRequest& request_;
  const std::int16_t version_;
  const std::int16_t metadata_version_;
  std::map<std::string_view, int> counts_;  // how often a name is there
  std::set<std::string_view> refused_twice_;
  bool too_many_ = false;
  std::size_t next_ = 0;      // of the request's topics
  NewPartitions partitions_;  // of the topic before it
  // Of what this request creates: names with '_' for '.', to the name.
  std::map<std::string, std::string, std::less<>> unified_;
  std::optional<std::vector<CreateTopicsResponse::CreatableTopicConfigs>> default_configs_;
};

}  // namespace

std::unique_ptr<Decision<CreateTopicsResponse>> begin_create_topics(
    const ControllerContext& context, const CreateTopicsRequest& request, std::int16_t version) {
  return std::make_unique<TopicCreation>(context, request, version);
}

protocol::OwnedMessage<CreateTopicsResponse> create_topics(const ControllerContext& context,
                                                           const CreateTopicsRequest& request,
                                                           std::int16_t version,
                                                           RecordList& records) {
  return decide_at_once(begin_create_topics(context, request, version), records);
}

std::string assignment_problem(const Image& image, const std::vector<NodeId>& replicas,
                               std::optional<std::size_t> replication_factor) {
  if (replicas.empty()) return "The manual partition assignment includes an empty replica list.";
  std::set<NodeId> seen;
  for (const NodeId replica : replicas) {
    if (image.broker(replica) == nullptr) {
      return fmt::format(
          "The manual partition assignment includes broker {}, but no such broker is registered.",
          replica);
    }
    if (!seen.insert(replica).second) {
      return fmt::format("The manual partition assignment includes the broker {} more than once.",
                         replica);
    }
  }
  if (replication_factor.has_value() && *replication_factor != replicas.size()) {
    return fmt::format(
        "The manual partition assignment includes a partition with {} replica(s), but this is not "
        "consistent with previous partitions, which have {} replica(s).",
        replicas.size(), *replication_factor);
  }
  return {};
}

}  // namespace drave::metadata
