#include "metadata/authorizer.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

namespace drave::metadata {

using protocol::AclOperation;
using protocol::AclPermission;
using protocol::PatternType;
using protocol::ResourceType;

std::string canonical_host(std::string_view address) {
  const std::string text(address.substr(0, address.find('%')));  // without a scope
  in6_addr parsed{};
  if (text.find(':') == std::string::npos || inet_pton(AF_INET6, text.c_str(), &parsed) != 1)
    return std::string(address);
  char printed[INET6_ADDRSTRLEN];
  if (IN6_IS_ADDR_V4MAPPED(&parsed))
    inet_ntop(AF_INET, parsed.s6_addr + 12, printed, sizeof printed);
  else
    inet_ntop(AF_INET6, &parsed, printed, sizeof printed);
  return printed;
}

Authorizer::Authorizer(AclsPtr acls, AuthorizerOptions options)
    : acls_(std::move(acls)), options_(std::move(options)) {
  for (const auto& [id, acl] : *acls_) {
    const auto type = static_cast<std::size_t>(acl->resource_type);
    if (type >= kResourceTypes) continue;
    Section& section = sections_[type];
    const Rule rule{acl.get(), canonical_host(acl->host)};
    if (acl->pattern_type == PatternType::literal) {
      section.literal[acl->resource_name].push_back(rule);
    } else if (acl->pattern_type == PatternType::prefixed) {
      section.prefixed[acl->resource_name].push_back(rule);
      section.prefix_sizes.push_back(acl->resource_name.size());
    }
  }
  for (Section& section : sections_) {
    std::vector<std::size_t>& sizes = section.prefix_sizes;
    std::sort(sizes.begin(), sizes.end());
    sizes.erase(std::unique(sizes.begin(), sizes.end()), sizes.end());
  }
}

const Authorizer::Section* Authorizer::section(ResourceType type) const {
  const auto index = static_cast<std::size_t>(type);
  return index < kResourceTypes ? &sections_[index] : nullptr;
}

bool Authorizer::concerns(const Rule& rule, const Requester& requester) {
  return (rule.acl->principal == requester.principal || rule.acl->principal == kEverybody) &&
         (rule.host == kWildcard || rule.host == requester.host);
}

bool Authorizer::applies(const Acl& acl, AclOperation operation) {
  if (acl.operation == AclOperation::all || acl.operation == operation) return true;
  if (acl.permission != AclPermission::allow) return false;
  if (operation == AclOperation::describe_configs)
    return acl.operation == AclOperation::alter_configs;
  return operation == AclOperation::describe &&
         (acl.operation == AclOperation::read || acl.operation == AclOperation::write ||
          acl.operation == AclOperation::remove || acl.operation == AclOperation::alter);
}

// What was found for one question.
struct Authorizer::Finding {
  bool has_entries = false;  // for the resource, whoever they are about
  bool allowed = false;
  bool denied = false;
};

void Authorizer::look_up(const Rules& rules, std::string_view name, const Requester& requester,
                         AclOperation operation, Finding& finding) {
  const auto found = rules.find(name);
  if (found == rules.end()) return;
  finding.has_entries = true;
  for (const Rule& rule : found->second) {
    if (!concerns(rule, requester) || !applies(*rule.acl, operation)) continue;
    // A permission that this version does not know is taken for a denial.
    (rule.acl->permission == AclPermission::allow ? finding.allowed : finding.denied) = true;
  }
}

bool Authorizer::allows(const Requester& requester, AclOperation operation, ResourceType type,
                        std::string_view name) const {
  if (options_.super_users.contains(requester.principal)) return true;
  const Section* entries = section(type);
  if (entries == nullptr) return options_.allow_if_no_acl;
  Finding finding;
  look_up(entries->literal, name, requester, operation, finding);
  if (name != kWildcard) look_up(entries->literal, kWildcard, requester, operation, finding);
  for (const std::size_t size : entries->prefix_sizes) {
    if (finding.denied || size > name.size()) break;
    look_up(entries->prefixed, name.substr(0, size), requester, operation, finding);
  }
  if (finding.denied) return false;
  return finding.allowed || (!finding.has_entries && options_.allow_if_no_acl);
}

bool Authorizer::allows_some(const Requester& requester, AclOperation operation,
                             ResourceType type) const {
  // A name that nothing has: what is allowed for it is allowed for names without entries, too.
  if (allows(requester, operation, type, std::string_view("\0", 1))) return true;
  const Section* entries = section(type);
  if (entries == nullptr) return false;
  // Here, as in Kafka, only the operation itself and `all` count.
  const auto has = [&](const Rules& rules, std::string_view name, AclPermission permission) {
    const auto found = rules.find(name);
    return found != rules.end() &&
           std::any_of(found->second.begin(), found->second.end(), [&](const Rule& rule) {
             return rule.acl->permission == permission && concerns(rule, requester) &&
                    (rule.acl->operation == operation || rule.acl->operation == AclOperation::all);
           });
  };
  if (has(entries->literal, kWildcard, AclPermission::deny)) return false;
  const auto denied_by_prefix = [&](std::string_view name) {
    return std::any_of(entries->prefix_sizes.begin(), entries->prefix_sizes.end(),
                       [&](std::size_t size) {
                         return size <= name.size() &&
                                has(entries->prefixed, name.substr(0, size), AclPermission::deny);
                       });
  };
  for (const auto& [name, rules] : entries->literal) {
    if (!has(entries->literal, name, AclPermission::allow)) continue;
    if (name == kWildcard) return true;
    if (!has(entries->literal, name, AclPermission::deny) && !denied_by_prefix(name)) return true;
  }
  return std::any_of(entries->prefixed.begin(), entries->prefixed.end(), [&](const auto& each) {
    return has(entries->prefixed, each.first, AclPermission::allow) &&
           !denied_by_prefix(each.first);
  });
}

std::int32_t Authorizer::allowed_operations(const Requester& requester, ResourceType type,
                                            std::string_view name) const {
  std::int32_t bits = 0;
  for (const AclOperation operation : protocol::supported_operations(type))
    if (allows(requester, operation, type, name)) bits |= 1 << static_cast<int>(operation);
  return bits;
}

}  // namespace drave::metadata
