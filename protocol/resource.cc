#include "protocol/resource.h"

#include <iterator>

namespace drave::protocol {
namespace {

constexpr std::string_view kUnknown = "UNKNOWN";

template <class E, std::size_t N>
std::string_view pick(const std::string_view (&names)[N], E value) {
  const auto index = static_cast<int>(value);
  return index >= 0 && index < static_cast<int>(N) ? names[index] : kUnknown;
}

using enum AclOperation;
constexpr AclOperation kTopic[] = {read,  write,    create,           remove,
                                   alter, describe, describe_configs, alter_configs};
constexpr AclOperation kGroup[] = {read, remove, describe, describe_configs, alter_configs};
constexpr AclOperation kCluster[] = {
    create, alter, describe, cluster_action, describe_configs, alter_configs, idempotent_write};
constexpr AclOperation kTransactionalId[] = {write, describe, two_phase_commit};
constexpr AclOperation kDelegationToken[] = {describe};
constexpr AclOperation kUser[] = {create_tokens, describe_tokens};

}  // namespace

std::string_view name(ResourceType type) {
  static constexpr std::string_view kNames[] = {
      kUnknown, "ANY", "TOPIC", "GROUP", "CLUSTER", "TRANSACTIONAL_ID", "DELEGATION_TOKEN", "USER"};
  return pick(kNames, type);
}

std::string_view name(PatternType type) {
  static constexpr std::string_view kNames[] = {kUnknown, "ANY", "MATCH", "LITERAL", "PREFIXED"};
  return pick(kNames, type);
}

std::string_view name(AclOperation operation) {
  static constexpr std::string_view kNames[] = {kUnknown,
                                                "ANY",
                                                "ALL",
                                                "READ",
                                                "WRITE",
                                                "CREATE",
                                                "DELETE",
                                                "ALTER",
                                                "DESCRIBE",
                                                "CLUSTER_ACTION",
                                                "DESCRIBE_CONFIGS",
                                                "ALTER_CONFIGS",
                                                "IDEMPOTENT_WRITE",
                                                "CREATE_TOKENS",
                                                "DESCRIBE_TOKENS",
                                                "TWO_PHASE_COMMIT"};
  return pick(kNames, operation);
}

std::string_view name(AclPermission permission) {
  static constexpr std::string_view kNames[] = {kUnknown, "ANY", "DENY", "ALLOW"};
  return pick(kNames, permission);
}

std::string_view name(ConfigResourceType type) {
  switch (type) {
    case ConfigResourceType::topic: return "TOPIC";
    case ConfigResourceType::broker: return "BROKER";
    case ConfigResourceType::broker_logger: return "BROKER_LOGGER";
    case ConfigResourceType::client_metrics: return "CLIENT_METRICS";
    case ConfigResourceType::group: return "GROUP";
    case ConfigResourceType::unknown: break;
  }
  return kUnknown;
}

std::span<const AclOperation> supported_operations(ResourceType type) {
  switch (type) {
    case ResourceType::topic: return kTopic;
    case ResourceType::group: return kGroup;
    case ResourceType::cluster: return kCluster;
    case ResourceType::transactional_id: return kTransactionalId;
    case ResourceType::delegation_token: return kDelegationToken;
    case ResourceType::user: return kUser;
    case ResourceType::unknown:
    case ResourceType::any: break;
  }
  return {};
}

}  // namespace drave::protocol
