#include "protocol/messages/describe_configs.h"

#include <fmt/format.h>

#include <set>

#include "broker/handlers/handlers.h"
#include "broker/handlers/partition_access.h"
#include "broker/node.h"
#include "broker/security/access.h"
#include "metadata/config/describe.h"
#include "metadata/topic_name.h"
#include "protocol/owned_message.h"

namespace drave::broker {

using metadata::ConfigResourceType;
using protocol::ErrorCode;

namespace {

constexpr std::size_t kResourcesAtOnce = 16;
// Configs that one answer tells: resources beyond are refused. All those of ten thousand topics.
constexpr std::size_t kDescribedConfigsMax = 500'000;

using Answer = protocol::OwnedMessage<protocol::DescribeConfigsResponse>;
using ResourceAsked = protocol::DescribeConfigsRequest::DescribeConfigsResource;
using ResourceResult = protocol::DescribeConfigsResponse::DescribeConfigsResult;

void add_entries(Answer& answer, ResourceResult& result, const ResourceAsked& asked,
                 const protocol::DescribeConfigsRequest& message,
                 std::vector<metadata::ConfigEntry> entries) {
  // None: all of them.
  std::set<std::string_view> wanted;
  if (asked.configuration_keys.has_value())
    wanted.insert(asked.configuration_keys->begin(), asked.configuration_keys->end());
  for (metadata::ConfigEntry& entry : entries) {
    if (!wanted.empty() && !wanted.contains(entry.name)) continue;
    auto& out = result.configs.emplace_back();
    out.name = answer.keep(std::move(entry.name));
    out.value.reset();
    if (entry.value.has_value()) out.value = answer.keep(std::move(*entry.value));
    out.read_only = entry.read_only;
    out.config_source = static_cast<std::int8_t>(entry.source);
    out.is_sensitive = entry.sensitive;
    out.config_type = static_cast<std::int8_t>(entry.type);
    out.documentation.reset();
    if (message.include_documentation)
      out.documentation = answer.keep(std::move(entry.documentation));
    if (!message.include_synonyms) continue;
    for (metadata::ConfigSynonym& synonym : entry.synonyms) {
      auto& told = out.synonyms.emplace_back();
      told.name = answer.keep(std::move(synonym.name));
      told.value.reset();
      if (synonym.value.has_value()) told.value = answer.keep(std::move(*synonym.value));
      told.source = static_cast<std::int8_t>(synonym.source);
    }
  }
}

void refuse(Answer& answer, ResourceResult& result, ErrorCode error, std::string why) {
  result.error_code = code_of(error);
  result.error_message = answer.keep(std::move(why));
}

// Who may not know the configs of the resource is told so with the resource's own error.
ErrorCode refusal_of(const Access& access, const ResourceAsked& asked) {
  using protocol::ResourceType;
  constexpr auto kDescribe = protocol::AclOperation::describe_configs;
  switch (static_cast<ConfigResourceType>(asked.resource_type)) {
    case ConfigResourceType::topic:
      return access.may_topic(kDescribe, asked.resource_name)
                 ? ErrorCode::none
                 : ErrorCode::topic_authorization_failed;
    case ConfigResourceType::group:
      return access.may(kDescribe, ResourceType::group, asked.resource_name)
                 ? ErrorCode::none
                 : ErrorCode::group_authorization_failed;
    case ConfigResourceType::broker:
    case ConfigResourceType::broker_logger:
    case ConfigResourceType::client_metrics:
      return access.may_cluster(kDescribe) ? ErrorCode::none
                                           : ErrorCode::cluster_authorization_failed;
    case ConfigResourceType::unknown: break;
  }
  return ErrorCode::none;
}

void describe(Shard& shard, Answer& answer, ResourceResult& result, const ResourceAsked& asked,
              const protocol::DescribeConfigsRequest& message) {
  const metadata::Image& image = shard.image().metadata();
  const metadata::ConfigMap none;
  const std::string name(asked.resource_name);
  const auto type = static_cast<ConfigResourceType>(asked.resource_type);
  const metadata::ConfigMap& node_configs =
      image.configs({ConfigResourceType::broker, std::to_string(shard.config().node_id)});
  const metadata::ConfigMap& default_configs = image.configs({ConfigResourceType::broker, ""});
  const metadata::ConfigMap& fixed = shard.config().given;
  switch (type) {
    case ConfigResourceType::topic:
      if (!metadata::is_valid_topic_name(name))
        return refuse(answer, result, ErrorCode::invalid_topic_exception,
                      "The topic name is not valid.");
      if (image.topics().find(std::string_view(name)) == nullptr)
        return refuse(answer, result, ErrorCode::unknown_topic_or_partition,
                      "There is no topic of this name.");
      return add_entries(answer, result, asked, message,
                         metadata::describe_topic_configs(
                             {image.configs({type, name}), node_configs, default_configs, fixed}));
    case ConfigResourceType::broker: {
      if (name.empty())
        return add_entries(answer, result, asked, message,
                           metadata::describe_default_broker_configs(default_configs));
      if (name != std::to_string(shard.config().node_id))
        return refuse(
            answer, result, ErrorCode::invalid_request,
            fmt::format("Unexpected broker id, expected {} or empty string, but received {}",
                        shard.config().node_id, name));
      return add_entries(
          answer, result, asked, message,
          metadata::describe_broker_configs({none, node_configs, default_configs, fixed}));
    }
    case ConfigResourceType::group:
      if (name.empty())
        return refuse(answer, result, ErrorCode::invalid_request, "Group name must not be empty");
      return add_entries(answer, result, asked, message,
                         metadata::describe_group_configs(
                             {image.configs({type, name}), node_configs, default_configs, fixed}));
    case ConfigResourceType::client_metrics:
      if (name.empty())
        return refuse(answer, result, ErrorCode::invalid_request,
                      "Client metrics subscription name must not be empty");
      return add_entries(answer, result, asked, message,
                         metadata::describe_client_metrics_configs(image.configs({type, name})));
    case ConfigResourceType::broker_logger:
    case ConfigResourceType::unknown: break;
  }
  refuse(answer, result, ErrorCode::invalid_request,
         fmt::format("Resources of type {} cannot be described.", asked.resource_type));
}

}  // namespace

io::Task<void> handle_describe_configs(Request request) {
  protocol::DescribeConfigsRequest message;
  if (!request.read(message)) co_return;
  Answer answer;
  const Access access(request);
  std::size_t described = 0;
  for (const ResourceAsked& asked : message.resources) {
    ResourceResult& result = answer.message.results.emplace_back();
    result.resource_type = asked.resource_type;
    result.resource_name = asked.resource_name;
    result.error_message.reset();
    const ErrorCode refused = refusal_of(access, asked);
    if (refused != ErrorCode::none) {
      refuse(answer, result, refused, std::string(protocol::message(refused)));
    } else if (described >= kDescribedConfigsMax) {
      refuse(answer, result, ErrorCode::policy_violation, "Too many configs in one answer.");
    } else {
      describe(request.shard, answer, result, asked, message);
      described += 1 + result.configs.size();
    }
    // One resource takes some tens of microseconds.
    if (answer.message.results.size() % kResourcesAtOnce == 0)
      co_await io::yield(request.shard.loop());
  }
  request.response.send(answer.message);
}

}  // namespace drave::broker
