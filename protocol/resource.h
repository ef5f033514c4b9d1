#pragma once
// The small enumerations of Kafka's protocol about resources, their permissions and configuration.
// Values are those on the wire; a value that is none of them reads as `unknown`.

#include <cstdint>
#include <span>
#include <string_view>

namespace drave::protocol {

// What an ACL protects.
enum class ResourceType : std::int8_t {
  unknown = 0,
  any = 1,
  topic = 2,
  group = 3,
  cluster = 4,
  transactional_id = 5,
  delegation_token = 6,
  user = 7,
};

// How an ACL's resource name is compared; `any` and `match` stand in filters only.
enum class PatternType : std::int8_t { unknown = 0, any = 1, match = 2, literal = 3, prefixed = 4 };

// What an ACL is about. In `authorized_operations` of responses the bit (1 << value) is set.
enum class AclOperation : std::int8_t {
  unknown = 0,
  any = 1,
  all = 2,
  read = 3,
  write = 4,
  create = 5,
  remove = 6,  // Kafka's DELETE
  alter = 7,
  describe = 8,
  cluster_action = 9,
  describe_configs = 10,
  alter_configs = 11,
  idempotent_write = 12,
  create_tokens = 13,
  describe_tokens = 14,
  two_phase_commit = 15,
};

enum class AclPermission : std::int8_t { unknown = 0, any = 1, deny = 2, allow = 3 };

// What a configuration belongs to.
enum class ConfigResourceType : std::int8_t {
  unknown = 0,
  topic = 2,
  broker = 4,
  broker_logger = 8,
  client_metrics = 16,
  group = 32,
};

// Kafka's names, in capitals ("TRANSACTIONAL_ID"); "UNKNOWN" for anything else.
std::string_view name(ResourceType type);
std::string_view name(PatternType type);
std::string_view name(AclOperation operation);
std::string_view name(AclPermission permission);
std::string_view name(ConfigResourceType type);

// The operations that make sense on a resource, ascending; none for `unknown` and `any`.
std::span<const AclOperation> supported_operations(ResourceType type);

}  // namespace drave::protocol
