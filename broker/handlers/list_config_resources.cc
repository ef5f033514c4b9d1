#include "protocol/messages/list_config_resources.h"

#include <algorithm>

#include "broker/handlers/handlers.h"
#include "broker/handlers/partition_access.h"
#include "broker/net/connection.h"
#include "broker/node.h"
#include "broker/security/access.h"
#include "metadata/cluster_view.h"
#include "protocol/owned_message.h"

namespace drave::broker {

using metadata::ConfigResource;
using metadata::ConfigResourceType;
using protocol::ErrorCode;

namespace {

using Answer = protocol::OwnedMessage<protocol::ListConfigResourcesResponse>;
using Types = std::vector<std::int8_t>;

bool contains(const Types& types, ConfigResourceType type) {
  return std::find(types.begin(), types.end(), static_cast<std::int8_t>(type)) != types.end();
}

// Version 0 is ListClientMetricsResources.
Types supported_types(std::int16_t version) {
  Types types{static_cast<std::int8_t>(ConfigResourceType::client_metrics)};
  if (version == 0) return types;
  for (const auto type : {ConfigResourceType::topic, ConfigResourceType::broker,
                          ConfigResourceType::broker_logger, ConfigResourceType::group})
    types.push_back(static_cast<std::int8_t>(type));
  return types;
}

void add(Answer& answer, ConfigResourceType type, std::string name) {
  auto& out = answer.message.config_resources.emplace_back();
  out.resource_name = answer.keep(std::move(name));
  out.resource_type = static_cast<std::int8_t>(type);
}

// Groups and subscriptions are resources because they have configs, nodes and topics by being
// there.
void list(const metadata::Image& image, std::string_view listener, const Types& types,
          Answer& answer) {
  for (const auto type : {ConfigResourceType::group, ConfigResourceType::client_metrics}) {
    if (!contains(types, type)) continue;
    const auto& configs = image.all_configs();
    for (auto at = configs.lower_bound(ConfigResource{type, ""});
         at != configs.end() && at->first.type == type; ++at)
      add(answer, type, at->first.name);
  }
  const metadata::ListenerView view(image, listener);
  for (const auto type : {ConfigResourceType::broker_logger, ConfigResourceType::broker}) {
    if (!contains(types, type)) continue;
    for (const auto& node : view.nodes())
      if (view.find(node.broker->id) != nullptr) add(answer, type, std::to_string(node.broker->id));
  }
  if (!contains(types, ConfigResourceType::topic)) return;
  for (const auto& [name, topic] : image.topics().by_name())
    add(answer, ConfigResourceType::topic, name);
}

}  // namespace

io::Task<void> handle_list_config_resources(Request request) {
  protocol::ListConfigResourcesRequest message;
  if (!request.read(message)) co_return;
  Answer answer;
  const Types supported = supported_types(request.version);
  const bool is_known = std::all_of(
      message.resource_types.begin(), message.resource_types.end(), [&supported](std::int8_t type) {
        return std::find(supported.begin(), supported.end(), type) != supported.end();
      });
  if (!Access(request).may_cluster(protocol::AclOperation::describe_configs))
    answer.message.error_code = code_of(ErrorCode::cluster_authorization_failed);
  else if (!is_known)
    answer.message.error_code = code_of(ErrorCode::unsupported_version);
  else
    list(request.shard.image().metadata(), request.connection.listener().name,
         message.resource_types.empty() ? supported : message.resource_types, answer);
  request.response.send(answer.message);
  co_return;
}

}  // namespace drave::broker
