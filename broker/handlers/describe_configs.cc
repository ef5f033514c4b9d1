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
using ConfigResult = protocol::DescribeConfigsResponse::DescribeConfigsResourceResult;

// Fills the answer to one request, by the image of its beginning.
class Describer {
 public:
  Describer(const BrokerConfig& config, ServingImagePtr image,
            const protocol::DescribeConfigsRequest& message, Answer& answer)
      : config_(config),
        image_(std::move(image)),
        message_(message),
        answer_(answer),
        node_configs_(image_->metadata().configs(
            {ConfigResourceType::broker, std::to_string(config.node_id)})),
        default_configs_(image_->metadata().configs({ConfigResourceType::broker, ""})) {}

  void describe(const ResourceAsked& asked, ResourceResult& result);

 private:
  ConfigResult told(metadata::ConfigEntry entry);
  void add(const ResourceAsked& asked, ResourceResult& result,
           std::vector<metadata::ConfigEntry> entries);
  void add_topic(const ResourceAsked& asked, ResourceResult& result,
                 const metadata::ConfigMap& own);
  metadata::ConfigLayers layers(const metadata::ConfigMap& own) const {
    return {own, node_configs_, default_configs_, config_.given};
  }

  const BrokerConfig& config_;
  const ServingImagePtr image_;
  const protocol::DescribeConfigsRequest& message_;
  Answer& answer_;
  const metadata::ConfigMap& node_configs_;
  const metadata::ConfigMap& default_configs_;
  // What topics without configs of their own say, once it was asked for.
  std::optional<std::vector<ConfigResult>> topic_defaults_;
};

ConfigResult Describer::told(metadata::ConfigEntry entry) {
  ConfigResult out;
  out.name = answer_.keep(std::move(entry.name));
  out.value.reset();
  if (entry.value.has_value()) out.value = answer_.keep(std::move(*entry.value));
  out.read_only = entry.read_only;
  out.config_source = static_cast<std::int8_t>(entry.source);
  out.is_sensitive = entry.sensitive;
  out.config_type = static_cast<std::int8_t>(entry.type);
  out.documentation.reset();
  if (message_.include_documentation)
    out.documentation = answer_.keep(std::move(entry.documentation));
  if (!message_.include_synonyms) return out;
  for (metadata::ConfigSynonym& synonym : entry.synonyms) {
    auto& other = out.synonyms.emplace_back();
    other.name = answer_.keep(std::move(synonym.name));
    other.value.reset();
    if (synonym.value.has_value()) other.value = answer_.keep(std::move(*synonym.value));
    other.source = static_cast<std::int8_t>(synonym.source);
  }
  return out;
}

// The keys that a resource was asked for; none: all of them.
std::set<std::string_view> wanted_of(const ResourceAsked& asked) {
  if (!asked.configuration_keys.has_value()) return {};
  return {asked.configuration_keys->begin(), asked.configuration_keys->end()};
}

void Describer::add(const ResourceAsked& asked, ResourceResult& result,
                    std::vector<metadata::ConfigEntry> entries) {
  const std::set<std::string_view> wanted = wanted_of(asked);
  for (metadata::ConfigEntry& entry : entries) {
    if (wanted.empty() || wanted.contains(entry.name))
      result.configs.push_back(told(std::move(entry)));
  }
}

// Topics differ from each other in their own configs only.
void Describer::add_topic(const ResourceAsked& asked, ResourceResult& result,
                          const metadata::ConfigMap& own) {
  static const metadata::ConfigMap kNone;
  if (!topic_defaults_.has_value()) {
    topic_defaults_.emplace();
    for (metadata::ConfigEntry& entry : metadata::describe_topic_configs(layers(kNone)))
      topic_defaults_->push_back(told(std::move(entry)));
  }
  const std::set<std::string_view> wanted = wanted_of(asked);
  for (const ConfigResult& entry : *topic_defaults_) {
    if (!wanted.empty() && !wanted.contains(entry.name)) continue;
    if (own.contains(entry.name))
      result.configs.push_back(told(*metadata::describe_topic_config(entry.name, layers(own))));
    else
      result.configs.push_back(entry);
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

void Describer::describe(const ResourceAsked& asked, ResourceResult& result) {
  const metadata::Image& image = image_->metadata();
  static const metadata::ConfigMap kNone;
  const std::string name(asked.resource_name);
  const auto type = static_cast<ConfigResourceType>(asked.resource_type);
  switch (type) {
    case ConfigResourceType::topic:
      if (!metadata::is_valid_topic_name(name))
        return refuse(answer_, result, ErrorCode::invalid_topic_exception,
                      "The topic name is not valid.");
      if (image.topics().find(std::string_view(name)) == nullptr)
        return refuse(answer_, result, ErrorCode::unknown_topic_or_partition,
                      "There is no topic of this name.");
      return add_topic(asked, result, image.configs({type, name}));
    case ConfigResourceType::broker:
      if (name.empty())
        return add(asked, result, metadata::describe_default_broker_configs(default_configs_));
      if (name != std::to_string(config_.node_id))
        return refuse(
            answer_, result, ErrorCode::invalid_request,
            fmt::format("Unexpected broker id, expected {} or empty string, but received {}",
                        config_.node_id, name));
      return add(asked, result, metadata::describe_broker_configs(layers(kNone)));
    case ConfigResourceType::group:
      if (name.empty())
        return refuse(answer_, result, ErrorCode::invalid_request, "Group name must not be empty");
      return add(asked, result,
                 metadata::describe_group_configs(layers(image.configs({type, name}))));
    case ConfigResourceType::client_metrics:
      if (name.empty())
        return refuse(answer_, result, ErrorCode::invalid_request,
                      "Client metrics subscription name must not be empty");
      return add(asked, result,
                 metadata::describe_client_metrics_configs(image.configs({type, name})));
    case ConfigResourceType::broker_logger:
      return refuse(answer_, result, ErrorCode::invalid_request,
                    std::string(metadata::kWhereLogLevelsAre));
    case ConfigResourceType::unknown: break;
  }
  refuse(answer_, result, ErrorCode::invalid_request,
         fmt::format("Resources of type {} cannot be described.", asked.resource_type));
}

}  // namespace

io::Task<void> handle_describe_configs(Request request) {
  protocol::DescribeConfigsRequest message;
  if (!request.read(message)) co_return;
  Answer answer;
  const Access access(request);
  Describer describer(request.shard.config(), request.shard.image_ptr(), message, answer);
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
      describer.describe(asked, result);
      described += 1 + result.configs.size();
    }
    // One resource takes some tens of microseconds.
    if (answer.message.results.size() % kResourcesAtOnce == 0)
      co_await io::yield(request.shard.loop());
  }
  request.response.send(answer.message);
}

}  // namespace drave::broker
