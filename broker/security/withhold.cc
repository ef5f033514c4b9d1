#include "broker/security/withhold.h"

#include <algorithm>
#include <iterator>

#include "broker/handlers/partition_access.h"
#include "metadata/controller/leadership.h"

namespace drave::broker {

using protocol::AclOperation;
using protocol::ErrorCode;
using protocol::ResourceType;

namespace {

ErrorCode alter_configs_refusal(const Access& access, std::int8_t type, std::string_view name) {
  using metadata::ConfigResourceType;
  constexpr AclOperation kAlter = AclOperation::alter_configs;
  switch (static_cast<ConfigResourceType>(type)) {
    case ConfigResourceType::topic:
      return access.may_topic(kAlter, name) ? ErrorCode::none
                                            : ErrorCode::topic_authorization_failed;
    case ConfigResourceType::group:
      return access.may(kAlter, ResourceType::group, name) ? ErrorCode::none
                                                           : ErrorCode::group_authorization_failed;
    case ConfigResourceType::broker:
    case ConfigResourceType::broker_logger:
    case ConfigResourceType::client_metrics:
      return access.may_cluster(kAlter) ? ErrorCode::none : ErrorCode::cluster_authorization_failed;
    case ConfigResourceType::unknown: break;
  }
  return ErrorCode::none;  // the controller knows no such resource either
}

// Of AlterConfigs and IncrementalAlterConfigs.
template <class RequestMessage, class ResponseMessage>
bool withhold_configs(const Access& access, RequestMessage& asked, ResponseMessage& refused) {
  std::erase_if(asked.resources, [&](const auto& resource) {
    const ErrorCode error =
        alter_configs_refusal(access, resource.resource_type, resource.resource_name);
    if (error == ErrorCode::none) return false;
    auto& out = refused.responses.emplace_back();
    out.error_code = code_of(error);
    out.error_message = protocol::message(error);
    out.resource_type = resource.resource_type;
    out.resource_name = resource.resource_name;
    return true;
  });
  return true;
}

// Of requests that the right to alter the cluster decides as a whole.
template <class ResponseMessage>
bool withhold_cluster(const Access& access, AclOperation operation, ResponseMessage& refused) {
  if (access.may_cluster(operation)) return true;
  refused.error_code = code_of(ErrorCode::cluster_authorization_failed);
  if constexpr (requires { refused.error_message; })
    refused.error_message = protocol::message(ErrorCode::cluster_authorization_failed);
  return false;
}

// Why an item of CreateAcls or DeleteAcls is refused, if it is.
struct AclsRefusal {
  ErrorCode error = ErrorCode::none;
  std::string_view why;
};

AclsRefusal acls_refusal(const Access& access) {
  if (!access.has_authorizer())
    return {ErrorCode::security_disabled, "No Authorizer is configured."};
  if (access.may_cluster(AclOperation::alter)) return {};
  return {ErrorCode::cluster_authorization_failed,
          protocol::message(ErrorCode::cluster_authorization_failed)};
}

template <class T>
void append(std::vector<T>& to, std::vector<T>& from) {
  std::move(from.begin(), from.end(), std::back_inserter(to));
}

}  // namespace

// --- Item by item

bool withhold(const Access& access, const ServingImage&, protocol::CreateTopicsRequest& asked,
              protocol::CreateTopicsResponse& refused) {
  if (access.may_cluster_quietly(AclOperation::create)) return true;
  std::erase_if(asked.topics, [&](const auto& topic) {
    if (access.may_topic(AclOperation::create, topic.name)) return false;
    auto& out = refused.topics.emplace_back();
    out.name = topic.name;
    out.error_code = code_of(ErrorCode::topic_authorization_failed);
    out.error_message = "Authorization failed.";
    return true;
  });
  return true;
}

// Who may not describe a topic is not told whether there is one, nor the name of an id. What may be
// unknown here only, because it is new, does not go on to the controller, which does not ask who
// may.
bool withhold(const Access& access, const ServingImage& image, protocol::DeleteTopicsRequest& asked,
              protocol::DeleteTopicsResponse& refused) {
  if (access.may_cluster_quietly(AclOperation::remove)) return true;
  const auto refuse = [&](std::optional<std::string_view> name, const TopicId& id,
                          ErrorCode error = ErrorCode::topic_authorization_failed) {
    auto& out = refused.responses.emplace_back();
    out.name = name;
    out.topic_id = id;
    out.error_code = code_of(error);
    out.error_message = protocol::message(error);
    return true;
  };
  const auto may_see = [&](std::string_view name) {
    return access.may_topic(AclOperation::describe, name);
  };
  const auto may_delete = [&](std::string_view name) {
    return access.may_topic(AclOperation::remove, name);
  };
  const auto refuse_name = [&](std::string_view name) {
    if (!may_see(name)) return refuse(name, TopicId());
    if (may_delete(name)) return false;
    return refuse(name, TopicId(),
                  image.find(name) == nullptr ? ErrorCode::unknown_topic_or_partition
                                              : ErrorCode::topic_authorization_failed);
  };
  std::erase_if(asked.topic_names, refuse_name);
  std::erase_if(asked.topics, [&](const auto& topic) {
    if (topic.name.has_value()) return topic.topic_id.is_zero() && refuse_name(*topic.name);
    if (topic.topic_id.is_zero()) return false;
    const ServedTopic* served = image.find(topic.topic_id);
    if (served == nullptr) return refuse(std::nullopt, topic.topic_id, ErrorCode::unknown_topic_id);
    if (may_delete(served->topic->name)) return false;
    const bool is_seen = may_see(served->topic->name);
    return refuse(is_seen ? std::optional<std::string_view>(served->topic->name) : std::nullopt,
                  topic.topic_id);
  });
  return true;
}

bool withhold(const Access& access, const ServingImage&, protocol::CreatePartitionsRequest& asked,
              protocol::CreatePartitionsResponse& refused) {
  std::erase_if(asked.topics, [&](const auto& topic) {
    if (access.may_topic(AclOperation::alter, topic.name)) return false;
    auto& out = refused.results.emplace_back();
    out.name = topic.name;
    out.error_code = code_of(ErrorCode::topic_authorization_failed);
    return true;
  });
  return true;
}

bool withhold(const Access& access, const ServingImage&, protocol::AlterConfigsRequest& asked,
              protocol::AlterConfigsResponse& refused) {
  return withhold_configs(access, asked, refused);
}

bool withhold(const Access& access, const ServingImage&,
              protocol::IncrementalAlterConfigsRequest& asked,
              protocol::IncrementalAlterConfigsResponse& refused) {
  return withhold_configs(access, asked, refused);
}

// --- As a whole

bool withhold(const Access& access, const ServingImage&, protocol::ElectLeadersRequest& asked,
              protocol::ElectLeadersResponse& refused) {
  if (access.may_cluster(AclOperation::alter)) return true;
  metadata::refuse_election(asked, code_of(ErrorCode::cluster_authorization_failed), refused);
  return false;
}

bool withhold(const Access& access, const ServingImage&, protocol::CreateAclsRequest& asked,
              protocol::CreateAclsResponse& refused) {
  const AclsRefusal refusal = acls_refusal(access);
  if (refusal.error == ErrorCode::none) return true;
  for (std::size_t i = 0; i < asked.creations.size(); ++i)
    refused.results.push_back({code_of(refusal.error), refusal.why});
  return false;
}

bool withhold(const Access& access, const ServingImage&, protocol::DeleteAclsRequest& asked,
              protocol::DeleteAclsResponse& refused) {
  const AclsRefusal refusal = acls_refusal(access);
  if (refusal.error == ErrorCode::none) return true;
  for (std::size_t i = 0; i < asked.filters.size(); ++i)
    refused.filter_results.push_back({code_of(refusal.error), refusal.why, {}});
  return false;
}

bool withhold(const Access& access, const ServingImage&, protocol::DescribeQuorumRequest&,
              protocol::DescribeQuorumResponse& refused) {
  return withhold_cluster(access, AclOperation::describe, refused);
}

bool withhold(const Access& access, const ServingImage&, protocol::UpdateFeaturesRequest&,
              protocol::UpdateFeaturesResponse& refused) {
  return withhold_cluster(access, AclOperation::alter, refused);
}

bool withhold(const Access& access, const ServingImage&, protocol::UnregisterBrokerRequest&,
              protocol::UnregisterBrokerResponse& refused) {
  return withhold_cluster(access, AclOperation::alter, refused);
}

bool withhold(const Access& access, const ServingImage&, protocol::AddRaftVoterRequest&,
              protocol::AddRaftVoterResponse& refused) {
  return withhold_cluster(access, AclOperation::alter, refused);
}

bool withhold(const Access& access, const ServingImage&, protocol::RemoveRaftVoterRequest&,
              protocol::RemoveRaftVoterResponse& refused) {
  return withhold_cluster(access, AclOperation::alter, refused);
}

// --- What the controller answered

void complete(const Access& access, protocol::CreateTopicsResponse& answer,
              protocol::CreateTopicsResponse& refused) {
  for (auto& topic : answer.topics) {
    if (topic.error_code != 0 ||
        access.may_quietly(AclOperation::describe_configs, ResourceType::topic, topic.name))
      continue;
    topic.topic_config_error_code = code_of(ErrorCode::topic_authorization_failed);
    topic.num_partitions = -1;
    topic.replication_factor = -1;
    topic.configs.emplace();
  }
  append(answer.topics, refused.topics);
}

void complete(const Access&, protocol::CreatePartitionsResponse& answer,
              protocol::CreatePartitionsResponse& refused) {
  append(answer.results, refused.results);
}

void complete(const Access&, protocol::DeleteTopicsResponse& answer,
              protocol::DeleteTopicsResponse& refused) {
  append(answer.responses, refused.responses);
}

void complete(const Access&, protocol::AlterConfigsResponse& answer,
              protocol::AlterConfigsResponse& refused) {
  append(answer.responses, refused.responses);
}

void complete(const Access&, protocol::IncrementalAlterConfigsResponse& answer,
              protocol::IncrementalAlterConfigsResponse& refused) {
  append(answer.responses, refused.responses);
}

}  // namespace drave::broker
