#include "tools/client/client.h"

#include <fmt/format.h>

#include <algorithm>

#include "protocol/messages/api_versions.h"
#include "protocol/messages/describe_cluster.h"

namespace drave::client {
namespace {

// Every broker knows this version; what it answers to it tells the rest.
constexpr std::int16_t kApiVersionsFirstAsked = 3;
// Of DescribeCluster: from here on it tells of controllers.
constexpr std::int16_t kEndpointTypes = 1;

}  // namespace

Result<Client> Client::connect(std::vector<Endpoint> endpoints, Milliseconds timeout) {
  Client client(timeout);
  Error tried{Errc::closed, 0, ""};
  for (const Endpoint& endpoint : endpoints) {
    Result<std::unique_ptr<Peer>> peer = open_peer(endpoint, timeout);
    if (peer) {
      client.bootstrap_ = std::move(*peer);
      return client;
    }
    tried.code = peer.error().code;
    if (!tried.context.empty()) tried.context += "; ";
    const Error& error = peer.error();
    tried.context += error.message().substr(std::string(to_string(error.code)).size() + 2);
  }
  return std::unexpected(tried);
}

Result<std::unique_ptr<Client::Peer>> Client::open_peer(const Endpoint& endpoint,
                                                        Milliseconds timeout) {
  auto peer = std::make_unique<Peer>();
  TRY(peer->connection, Connection::open(endpoint, timeout));
  protocol::ApiVersionsRequest request;
  request.client_software_name = "drave";
  request.client_software_version = DRAVE_VERSION;
  Answer<protocol::ApiVersionsResponse> answer;
  TRY_VOID(peer->connection->call(request, kApiVersionsFirstAsked, answer.message, answer.bytes));
  for (const auto& api : answer.message.api_keys)
    peer->versions[api.api_key] = {api.min_version, api.max_version};
  return peer;
}

Result<std::int16_t> Client::choose_version(const Peer& peer, std::int16_t key,
                                            std::int16_t version_min, std::int16_t version_max) {
  const protocol::ApiInfo* info = protocol::find_api(key);
  if (info != nullptr) version_max = std::min(version_max, info->max_stable());
  const auto found = peer.versions.find(key);
  const auto name = protocol::to_string(static_cast<protocol::ApiKey>(key));
  if (found == peer.versions.end()) {
    return failure(Errc::unsupported, fmt::format("{} does not serve {}",
                                                  peer.connection->endpoint().to_string(), name));
  }
  const std::int16_t version = std::min(version_max, found->second.max);
  if (version < std::max(version_min, found->second.min)) {
    return failure(Errc::unsupported,
                   fmt::format("{} serves {} in versions {} to {}; this needs {} to {}",
                               peer.connection->endpoint().to_string(), name, found->second.min,
                               found->second.max, version_min, version_max));
  }
  return version;
}

std::optional<std::int16_t> Client::version_of(protocol::ApiKey key) const {
  const auto& info = protocol::api_info(key);
  const auto version =
      choose_version(*bootstrap_, static_cast<std::int16_t>(key), info.min, info.max);
  if (!version) return std::nullopt;
  return *version;
}

bool Client::is_at_controller() const {
  return !version_of(protocol::ApiKey::metadata) &&
         version_of(protocol::ApiKey::describe_cluster).value_or(0) >= kEndpointTypes;
}

void Client::follow_controller() {
  if (!is_at_controller()) return;
  protocol::DescribeClusterRequest request;
  request.endpoint_type = 2;
  const auto answer = call<protocol::DescribeClusterResponse>(request, kEndpointTypes);
  if (!answer || answer->message.error_code != 0) return;
  for (const auto& node : answer->message.brokers) {
    const Endpoint there{std::string(node.host), static_cast<std::uint16_t>(node.port)};
    if (node.broker_id != answer->message.controller_id || there == endpoint()) continue;
    if (auto peer = open_peer(there, node_timeout_)) bootstrap_ = std::move(*peer);
    return;
  }
}

Result<Answer<protocol::MetadataResponse>> Client::metadata(
    const std::vector<std::string>& topics) {
  if (is_at_controller()) {
    return failure(Errc::unsupported,
                   fmt::format("{} is the listener of a controller, which tells of no topics and "
                               "brokers; -b has to name a broker",
                               endpoint().to_string()));
  }
  protocol::MetadataRequest request;
  request.allow_auto_topic_creation = false;
  if (topics.empty()) {
    request.topics.reset();
  } else {
    request.topics.emplace();
    for (const std::string& topic : topics) request.topics->push_back({.name = topic});
  }
  // Version 4 is the first that can ask without creating.
  constexpr std::int16_t kWithoutCreation = 4;
  TRY(auto answer, call<protocol::MetadataResponse>(request, kWithoutCreation));
  for (const auto& broker : answer.message.brokers) {
    brokers_[broker.node_id] = {std::string(broker.host), static_cast<std::uint16_t>(broker.port)};
  }
  return answer;
}

Result<Endpoint> Client::endpoint_of(NodeId node) const {
  const auto found = brokers_.find(node);
  if (found == brokers_.end())
    return failure(Errc::not_found, fmt::format("broker {} is not in the cluster", node));
  return found->second;
}

Result<Client::Peer*> Client::peer_of(NodeId node) {
  TRY(const Endpoint endpoint, endpoint_of(node));
  if (endpoint == bootstrap_->connection->endpoint()) return bootstrap_.get();
  std::unique_ptr<Peer>& peer = peers_[node];
  if (!peer) {
    Result<std::unique_ptr<Peer>> opened = open_peer(endpoint, node_timeout_);
    if (!opened) {
      Error error = std::move(opened).error();
      error.context += fmt::format(" (broker {} advertises this address)", node);
      return std::unexpected(error);
    }
    peer = std::move(*opened);
  }
  return peer.get();
}

}  // namespace drave::client
