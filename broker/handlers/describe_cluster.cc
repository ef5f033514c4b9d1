#include "protocol/messages/describe_cluster.h"

#include "broker/handlers/handlers.h"
#include "broker/handlers/leader_hint.h"
#include "broker/handlers/partition_access.h"
#include "broker/net/connection.h"
#include "broker/node.h"
#include "broker/security/access.h"
#include "metadata/features.h"

namespace drave::broker {

using protocol::ErrorCode;

namespace {
constexpr std::int8_t kBrokers = 1;
constexpr std::int8_t kControllers = 2;

void add(protocol::DescribeClusterResponse& answer, const metadata::RegistrationImage& node,
         std::string_view listener, bool fenced) {
  for (const metadata::BrokerEndpoint& endpoint : node.endpoints) {
    if (endpoint.name != listener) continue;
    auto& out = answer.brokers.emplace_back();
    out.broker_id = node.id;
    out.host = endpoint.host;
    out.port = endpoint.port;
    if (node.rack.has_value()) out.rack = *node.rack;
    out.is_fenced = fenced;
  }
}

// Whom to ask for what a controller decides. A controller's client finds the active one by this;
// for a broker's client any broker is as good.
NodeId controller_of(const Request& request, const metadata::Image& image) {
  Shard& shard = request.shard;
  if (!request.from_controller_listener) return any_alive_broker(image, shard.config().node_id);
  // Such connections live on shard 0, with the controller.
  const QuorumController& controller = shard.node().controller();
  const auto leader = controller.has_stopped() ? std::nullopt : controller.leader();
  return leader.has_value() ? leader->id : -1;
}

}  // namespace

io::Task<void> handle_describe_cluster(Request request) {
  protocol::DescribeClusterRequest message;
  if (!request.read(message)) co_return;
  Shard& shard = request.shard;
  const metadata::Image& image = shard.image().metadata();
  const std::string& listener = request.connection.listener().name;
  protocol::DescribeClusterResponse answer;
  answer.cluster_id = shard.node().cluster_id();
  answer.endpoint_type = message.endpoint_type;
  answer.controller_id = controller_of(request, image);
  const Access access(request);
  // On a controller it takes more than on a broker, as in Kafka.
  const bool is_refused =
      request.from_controller_listener && !access.may_cluster(protocol::AclOperation::alter);
  if (message.include_cluster_authorized_operations && !is_refused)
    answer.cluster_authorized_operations = access.cluster_operations();
  const std::int8_t here = request.from_controller_listener ? kControllers : kBrokers;
  // Controllers do not register below: there is nobody to name, and tools would wait for somebody.
  const bool names_controllers = image.feature(metadata::kMetadataVersion) >=
                                 metadata::metadata_level::kControllerRegistration;
  if (request.from_controller_listener && !names_controllers) {
    answer = {};
    answer.error_code = code_of(ErrorCode::unsupported_version);
    answer.error_message =
        "Direct-to-controller communication is not supported with the current MetadataVersion.";
  } else if (is_refused) {
    answer = {};
    answer.error_code = code_of(ErrorCode::cluster_authorization_failed);
    answer.error_message = protocol::message(ErrorCode::cluster_authorization_failed);
  } else if (message.endpoint_type != kBrokers && message.endpoint_type != kControllers) {
    answer.error_code = code_of(ErrorCode::unsupported_endpoint_type);
    answer.error_message = "The endpoint type must be 1 (brokers) or 2 (controllers).";
  } else if (message.endpoint_type != here) {
    answer.error_code = code_of(ErrorCode::mismatched_endpoint_type);
    answer.error_message = request.from_controller_listener
                               ? "This is a controller's listener: ask it for controllers."
                               : "This is a broker's listener: ask it for brokers.";
  } else if (here == kControllers) {
    for (const auto& [id, node] : image.controllers()) add(answer, node, listener, false);
  } else {
    for (const auto& [id, node] : image.brokers())
      if (!node.fenced || message.include_fenced_brokers) add(answer, node, listener, node.fenced);
  }
  request.response.send(answer);
  co_return;
}

}  // namespace drave::broker
