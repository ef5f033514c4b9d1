#include "metadata/acls.h"

namespace drave::metadata {

using protocol::AclOperation;
using protocol::AclPermission;
using protocol::PatternType;
using protocol::ResourceType;

Acl acl_of(const protocol::AccessControlEntryRecord& record) {
  return {static_cast<ResourceType>(record.resource_type),
          std::string(record.resource_name),
          static_cast<PatternType>(record.pattern_type),
          std::string(record.principal),
          std::string(record.host),
          static_cast<AclOperation>(record.operation),
          static_cast<AclPermission>(record.permission_type)};
}

protocol::AccessControlEntryRecord record_of(const Uuid& id, const Acl& acl) {
  protocol::AccessControlEntryRecord record;
  record.id = id;
  record.resource_type = static_cast<std::int8_t>(acl.resource_type);
  record.resource_name = acl.resource_name;
  record.pattern_type = static_cast<std::int8_t>(acl.pattern_type);
  record.principal = acl.principal;
  record.host = acl.host;
  record.operation = static_cast<std::int8_t>(acl.operation);
  record.permission_type = static_cast<std::int8_t>(acl.permission);
  return record;
}

namespace {

bool name_matches(std::string_view wanted, PatternType how, const Acl& acl) {
  if (how != PatternType::match || wanted == acl.resource_name) return wanted == acl.resource_name;
  if (acl.pattern_type == PatternType::prefixed) return wanted.starts_with(acl.resource_name);
  return acl.pattern_type == PatternType::literal && acl.resource_name == kWildcard;
}

}  // namespace

bool AclFilter::matches(const Acl& acl) const {
  if (resource_type != ResourceType::any && resource_type != acl.resource_type) return false;
  if (pattern_type != PatternType::any && pattern_type != PatternType::match &&
      pattern_type != acl.pattern_type)
    return false;
  if (resource_name.has_value() && !name_matches(*resource_name, pattern_type, acl)) return false;
  return (!principal.has_value() || *principal == acl.principal) &&
         (!host.has_value() || *host == acl.host) &&
         (operation == AclOperation::any || operation == acl.operation) &&
         (permission == AclPermission::any || permission == acl.permission);
}

std::string_view AclFilter::problem() const {
  constexpr std::string_view kUnknown = "UNKNOWN";
  if (protocol::name(resource_type) == kUnknown || protocol::name(pattern_type) == kUnknown)
    return "Unknown patternFilter.";
  if (protocol::name(operation) == kUnknown || protocol::name(permission) == kUnknown)
    return "Unknown entryFilter.";
  return {};
}

}  // namespace drave::metadata
