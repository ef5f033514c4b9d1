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

class TopicDeletion final : public Decision<protocol::DeleteTopicsResponse> {
 public:
  TopicDeletion(const ControllerContext& context, const protocol::DeleteTopicsRequest& request,
                std::int16_t version)
      : context_(context), request_(request), version_(version), named_(request) {}

  bool next(RecordList& records) override {
    const std::size_t names = request_.topic_names.size();
    const std::size_t end = names + request_.topics.size();
    Piece piece(records);
    for (; !piece.is_full(records) && next_ < end; ++next_) {
      if (next_ < names)
        by_name(request_.topic_names[next_], records);
      else
        take(request_.topics[next_ - names], records);
      piece.note_item();
    }
    return next_ < end;
  }

 private:
  void refuse(std::optional<std::string_view> name, const TopicId& id, ErrorCode code,
              std::string_view text) {
    auto& result = answer.message.responses.emplace_back();
    result.name = name;
    result.topic_id = id;
    result.error_code = code_of(code);
    result.error_message = text;
  }

  void remove(const TopicImage& topic, std::optional<std::string_view> name, RecordList& records) {
    if (!context_.delete_topic_enable) {
      const ErrorCode code =
          version_ < 3 ? ErrorCode::invalid_request : ErrorCode::topic_deletion_disabled;
      return refuse(name, topic.id, code, protocol::message(ErrorCode::topic_deletion_disabled));
    }
    // As in Kafka, where the list of records is full then.
    if (records.size() >= kRecordsPerRequestMax) {
      return refuse(name, topic.id, ErrorCode::unknown_server_error,
                    "Excessively large number of topics per request.");
    }
    protocol::RemoveTopicRecord record;
    record.topic_id = topic.id;
    records.add(record);
    auto& result = answer.message.responses.emplace_back();
    result.name = name.has_value() ? *name : answer.keep(topic.name);
    result.topic_id = topic.id;
  }

  // What is named twice is told so once, and stays.
  void by_name(std::string_view name, RecordList& records) {
    const TopicImage* topic = context_.image.topics().find(name);
    if (named_.names.at(name) > 1) {
      if (names_refused_.insert(name).second)
        refuse(name, TopicId(), ErrorCode::invalid_request, "Duplicate topic name.");
    } else if (topic != nullptr && named_.ids.contains(topic->id)) {
      refuse(name, topic->id, ErrorCode::invalid_request,
             "The provided topic name maps to an ID that was already supplied.");
    } else if (topic != nullptr) {
      remove(*topic, name, records);
    } else {
      refuse(name, TopicId(), ErrorCode::unknown_topic_or_partition,
             protocol::message(ErrorCode::unknown_topic_or_partition));
    }
  }

  void by_id(const TopicId& id, RecordList& records) {
    const TopicImage* topic = context_.image.topics().find(id);
    if (named_.ids.at(id) > 1) {
      if (ids_refused_.insert(id).second)
        refuse(std::nullopt, id, ErrorCode::invalid_request, "Duplicate topic id.");
    } else if (topic != nullptr) {
      // Also by a name that counts: that says why not.
      if (!named_.also_by_name(*topic)) remove(*topic, std::nullopt, records);
    } else {
      refuse(std::nullopt, id, ErrorCode::unknown_topic_id,
             protocol::message(ErrorCode::unknown_topic_id));
    }
  }

  void take(const protocol::DeleteTopicsRequest::DeleteTopicState& asked, RecordList& records) {
    if (asked.name.has_value() && !asked.topic_id.is_zero()) {
      refuse(asked.name, asked.topic_id, ErrorCode::invalid_request,
             "You may not specify both topic name and topic id.");
    } else if (asked.name.has_value()) {
      by_name(*asked.name, records);
    } else if (asked.topic_id.is_zero()) {
      refuse(std::nullopt, TopicId(), ErrorCode::invalid_request,
             "Neither topic name nor id were specified.");
    } else {
      by_id(asked.topic_id, records);
    }
  }

  const ControllerContext context_;
  const protocol::DeleteTopicsRequest& request_;
  const std::int16_t version_;
  const Named named_;
  std::set<std::string_view> names_refused_;
  std::set<TopicId> ids_refused_;
  std::size_t next_ = 0;  // of the request's names, then of its topics
};

}  // namespace

std::unique_ptr<Decision<protocol::DeleteTopicsResponse>> begin_delete_topics(
    const ControllerContext& context, const protocol::DeleteTopicsRequest& request,
    std::int16_t version) {
  return std::make_unique<TopicDeletion>(context, request, version);
}

protocol::OwnedMessage<protocol::DeleteTopicsResponse> delete_topics(
    const ControllerContext& context, const protocol::DeleteTopicsRequest& request,
    std::int16_t version, RecordList& records) {
  return decide_at_once(begin_delete_topics(context, request, version), records);
}

namespace {

using protocol::CreatePartitionsRequest;

struct Problem {
  ErrorCode code = ErrorCode::none;
  std::optional<std::string> text;
};

// What is to be added goes to `added`; there are `records` already.
Problem add_partitions(const ControllerContext& context,
                       const CreatePartitionsRequest::CreatePartitionsTopic& asked,
                       const RecordList& records, NewPartitions& added) {
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
  const std::int32_t more = asked.count - present;
  if (records.size() + static_cast<std::size_t>(more) > kRecordsPerRequestMax)
    return {ErrorCode::policy_violation, "Excessively large number of partitions per request."};
  const std::size_t factor =
      topic->partitions.empty() ? 1 : topic->partitions.begin()->second.replicas.size();
  if (std::string problem = replication_problem(context, factor); !problem.empty())
    return {ErrorCode::invalid_replication_factor, std::move(problem)};
  std::vector<std::vector<NodeId>> placed;
  if (asked.assignments.has_value()) {
    if (asked.assignments->size() != static_cast<std::size_t>(more)) {
      return {ErrorCode::invalid_replica_assignment,
              fmt::format("Attempted to add {} additional partition(s), but only {} assignment(s) "
                          "were specified.",
                          more, asked.assignments->size())};
    }
    for (const auto& assignment : *asked.assignments) {
      if (std::string problem = assignment_problem(context.image, assignment.broker_ids, factor);
          !problem.empty())
        return {ErrorCode::invalid_replica_assignment, std::move(problem)};
      placed.push_back(assignment.broker_ids);
    }
  } else {
    Placement placement = place_replicas(context, more, static_cast<std::int32_t>(factor));
    if (!placement.problem.empty())
      return {ErrorCode::invalid_replication_factor, std::move(placement.problem)};
    placed = std::move(placement.partitions);
  }
  std::vector<PartitionImage> partitions;
  for (std::vector<NodeId>& replicas : placed) {
    partitions.push_back(new_partition(context, std::move(replicas)));
    if (partitions.back().isr.empty()) {
      return {ErrorCode::invalid_replica_assignment,
              fmt::format("All brokers specified in the manual partition assignment for partition "
                          "{} are fenced or "
                          "in controlled shutdown.",
                          present + static_cast<std::int32_t>(partitions.size()) - 1)};
    }
  }
  added = NewPartitions(topic->id, present, std::move(partitions));
  return {};
}

class PartitionCreation final : public Decision<protocol::CreatePartitionsResponse> {
 public:
  PartitionCreation(const ControllerContext& context, const CreatePartitionsRequest& request)
      : context_(context), request_(request) {
    for (const auto& topic : request.topics) ++counts_[topic.name];
  }

  bool next(RecordList& records) override {
    const std::int16_t metadata_version = context_.image.feature(kMetadataVersion);
    Piece piece(records);
    while (!piece.is_full(records) && has_more()) {
      if (partitions_.empty()) take(request_.topics[next_++], records);
      partitions_.add(records, piece.records_left(records), metadata_version);
      piece.note_item();
    }
    return has_more();
  }

 private:
  bool has_more() const { return !partitions_.empty() || next_ < request_.topics.size(); }

  void take(const CreatePartitionsRequest::CreatePartitionsTopic& topic,
            const RecordList& records) {
    const bool twice = counts_[topic.name] > 1;
    if (twice && !refused_twice_.insert(topic.name).second) return;
    Problem problem = twice ? Problem{ErrorCode::invalid_request, "Duplicate topic name."}
                            : add_partitions(context_, topic, records, partitions_);
    auto& result = answer.message.results.emplace_back();
    result.name = topic.name;
    result.error_code = code_of(problem.code);
    if (problem.text.has_value()) result.error_message = answer.keep(std::move(*problem.text));
  }

  const ControllerContext context_;
  const CreatePartitionsRequest& request_;
  std::map<std::string_view, int> counts_;
  std::set<std::string_view> refused_twice_;
  std::size_t next_ = 0;      // of the request's topics
  NewPartitions partitions_;  // of the topic before it
};

}  // namespace

std::unique_ptr<Decision<protocol::CreatePartitionsResponse>> begin_create_partitions(
    const ControllerContext& context, const CreatePartitionsRequest& request) {
  return std::make_unique<PartitionCreation>(context, request);
}

protocol::OwnedMessage<protocol::CreatePartitionsResponse> create_partitions(
    const ControllerContext& context, const CreatePartitionsRequest& request, RecordList& records) {
  return decide_at_once(begin_create_partitions(context, request), records);
}

}  // namespace drave::metadata
