#include "broker/security/access.h"

#include <algorithm>

#include "base/assert.h"
#include "base/log.h"
#include "broker/net/connection.h"
#include "broker/node.h"
#include "broker/shard.h"
#include "protocol/api_key.h"

namespace drave::broker {

using protocol::AclOperation;
using protocol::ResourceType;

namespace {

// A name as its sender wrote it, fit for one line of the log.
std::string printable(std::string_view name) {
  constexpr std::size_t kShownMax = 256;
  std::string shown(name.substr(0, kShownMax));
  std::replace_if(shown.begin(), shown.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return shown;
}

const ServingImage& image_for(const Request& request) {
  if (!request.from_controller_listener) return request.shard.image();
  ASSERT(request.shard.number() == 0);
  return *request.shard.node().serving();
}

}  // namespace

Access::Access(const Request& request)
    : authorizer_(image_for(request).restrictions()),
      shard_(&request.shard),
      api_key_(request.api_key) {
  if (!is_open()) host_ = metadata::canonical_host(request.connection.peer().host);
}

Access::Access(Shard& shard, const ServingImage& image, std::string principal,
               std::string_view host, std::int16_t api_key)
    : authorizer_(image.restrictions()),
      principal_(std::move(principal)),
      shard_(&shard),
      api_key_(api_key) {
  if (!is_open()) host_ = metadata::canonical_host(host);
}

bool Access::has_authorizer() const {
  return shard_->config().has_authorizer;
}

bool Access::decide(AclOperation operation, ResourceType type, std::string_view name,
                    bool log) const {
  const bool allowed = authorizer_->allows(requester(), operation, type, name);
  if (!allowed && log && shard_->may_log_denial()) {
    LOG_INFO("authorizer", "denied principal={} host={} operation={} resource={}:{} api={}",
             printable(principal_), host_, protocol::name(operation), protocol::name(type),
             printable(name), api_key_);
  }
  return allowed;
}

bool Access::may_some_topic(AclOperation operation) const {
  return is_open() || authorizer_->allows_some(requester(), operation, ResourceType::topic);
}

std::int32_t Access::operations(ResourceType type, std::string_view name) const {
  if (!is_open()) return authorizer_->allowed_operations(requester(), type, name);
  std::int32_t bits = 0;
  for (const AclOperation operation : protocol::supported_operations(type))
    bits |= 1 << static_cast<int>(operation);
  return bits;
}

std::int32_t Access::cluster_operations() const {
  if (!may_cluster(AclOperation::describe)) return 0;
  return operations(ResourceType::cluster, metadata::kClusterName);
}

bool may_act_as_node(const Request& request) {
  if (!request.shard.config().authorizes_nodes) return true;
  return Access(request).may_cluster(AclOperation::cluster_action);
}

}  // namespace drave::broker
