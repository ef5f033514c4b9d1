#pragma once
// Access control entries as the metadata log holds them, and the filters by which they are asked
// for and deleted. What they allow and deny is authorizer.h.

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "protocol/metadata_record.h"
#include "protocol/resource.h"

namespace drave::metadata {

// The name that stands for every name and every host, and the principal that is everybody.
inline constexpr std::string_view kWildcard = "*";
inline constexpr std::string_view kEverybody = "User:*";
// The one name that a resource of the type `cluster` has.
inline constexpr std::string_view kClusterName = "kafka-cluster";

// Values that a newer Kafka wrote and this version does not know are kept as they are.
struct Acl {
  protocol::ResourceType resource_type = protocol::ResourceType::unknown;
  std::string resource_name;
  protocol::PatternType pattern_type = protocol::PatternType::literal;
  std::string principal;  // "User:alice"
  std::string host;
  protocol::AclOperation operation = protocol::AclOperation::unknown;
  protocol::AclPermission permission = protocol::AclPermission::unknown;

  auto operator<=>(const Acl&) const = default;
};

// All of an image, by the id that the records give them.
using AclMap = std::map<Uuid, std::shared_ptr<const Acl>>;
using AclsPtr = std::shared_ptr<const AclMap>;

Acl acl_of(const protocol::AccessControlEntryRecord& record);
// Borrows the text of `acl`.
protocol::AccessControlEntryRecord record_of(const Uuid& id, const Acl& acl);

// Which entries DescribeAcls and DeleteAcls mean. A name, principal or host that is not given
// accepts any; so do the enumerations with `any`. With the pattern type `match` the name is that of
// a resource: every entry that applies to it, be it literal, prefixed or for all names.
struct AclFilter {
  protocol::ResourceType resource_type = protocol::ResourceType::any;
  std::optional<std::string_view> resource_name;
  protocol::PatternType pattern_type = protocol::PatternType::any;
  std::optional<std::string_view> principal;
  std::optional<std::string_view> host;
  protocol::AclOperation operation = protocol::AclOperation::any;
  protocol::AclPermission permission = protocol::AclPermission::any;

  bool matches(const Acl& acl) const;
  // Kafka's sentence if the filter names something that there is not, for INVALID_REQUEST; else
  // empty.
  std::string_view problem() const;
};

// From one filter of a DeleteAcls request, or a whole DescribeAcls request. Borrows its text.
template <class Asked>
AclFilter filter_of(const Asked& asked) {
  return {static_cast<protocol::ResourceType>(asked.resource_type_filter),
          asked.resource_name_filter,
          static_cast<protocol::PatternType>(asked.pattern_type_filter),
          asked.principal_filter,
          asked.host_filter,
          static_cast<protocol::AclOperation>(asked.operation),
          static_cast<protocol::AclPermission>(asked.permission_type)};
}

}  // namespace drave::metadata
