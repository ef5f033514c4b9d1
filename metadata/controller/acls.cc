#include "metadata/controller/acls.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "metadata/acls.h"
#include "protocol/error_code.h"

namespace drave::metadata {

using protocol::AclOperation;
using protocol::AclPermission;
using protocol::ErrorCode;
using protocol::PatternType;
using protocol::ResourceType;

namespace {

struct ByValue {
  bool operator()(const Acl* a, const Acl* b) const { return *a < *b; }
};

// Empty: the entry may be; else why not, for INVALID_REQUEST.
std::string problem_of(const Acl& acl) {
  const std::string_view type = protocol::name(acl.resource_type);
  if (type == "UNKNOWN" || acl.resource_type == ResourceType::any)
    return fmt::format("Invalid resourceType {}", type);
  if (acl.pattern_type != PatternType::literal && acl.pattern_type != PatternType::prefixed)
    return fmt::format("Invalid patternType {}", protocol::name(acl.pattern_type));
  const std::string_view operation = protocol::name(acl.operation);
  if (operation == "UNKNOWN" || acl.operation == AclOperation::any)
    return fmt::format("Invalid operation {}", operation);
  if (acl.permission != AclPermission::deny && acl.permission != AclPermission::allow)
    return fmt::format("Invalid permissionType {}", protocol::name(acl.permission));
  if (acl.resource_type == ResourceType::cluster && acl.resource_name != kClusterName)
    return fmt::format("The only valid name for the CLUSTER resource is {}", kClusterName);
  if (acl.resource_name.empty()) return "Invalid empty resource name";
  // Such an entry could never apply to anybody.
  if (acl.principal.find(':') == std::string::npos) {
    return fmt::format(
        "Could not parse principal from `{}` (no colon is present separating the principal type "
        "from the principal name)",
        acl.principal);
  }
  if (std::max({acl.resource_name.size(), acl.principal.size(), acl.host.size()}) > kTextLengthMax)
    return "A name is too long.";
  return {};
}

Acl acl_of(const protocol::CreateAclsRequest::AclCreation& asked) {
  return {static_cast<ResourceType>(asked.resource_type),
          std::string(asked.resource_name),
          static_cast<PatternType>(asked.resource_pattern_type),
          std::string(asked.principal),
          std::string(asked.host),
          static_cast<AclOperation>(asked.operation),
          static_cast<AclPermission>(asked.permission_type)};
}

Uuid free_id(const ControllerContext& context) {
  while (true) {
    const Uuid id = draw_id(context.random);
    if (!context.image.acls()->contains(id)) return id;
  }
}

}  // namespace

protocol::OwnedMessage<protocol::CreateAclsResponse> create_acls(
    const ControllerContext& context, const protocol::CreateAclsRequest& request,
    RecordList& records) {
  protocol::OwnedMessage<protocol::CreateAclsResponse> answer;
  std::set<const Acl*, ByValue> present;
  for (const auto& [id, acl] : *context.image.acls()) present.insert(acl.get());
  std::vector<Acl> added;  // of this request; reserved, for `present` points into it
  added.reserve(request.creations.size());
  for (const auto& asked : request.creations) {
    auto& result = answer.message.results.emplace_back();
    Acl acl = acl_of(asked);
    std::string problem = problem_of(acl);
    ErrorCode error = ErrorCode::invalid_request;
    const bool fresh = problem.empty() && !present.contains(&acl);
    if (fresh && records.size() >= kRecordsPerRequestMax) {
      error = ErrorCode::policy_violation;
      problem = "Too many ACLs in one request.";
    }
    if (!problem.empty()) {
      result.error_code = static_cast<std::int16_t>(error);
      result.error_message = answer.keep(std::move(problem));
      continue;
    }
    if (!fresh) continue;
    records.add(record_of(free_id(context), acl));
    present.insert(&added.emplace_back(std::move(acl)));
  }
  return answer;
}

namespace {

void add_match(protocol::OwnedMessage<protocol::DeleteAclsResponse>& answer,
               protocol::DeleteAclsResponse::DeleteAclsFilterResult& result, const Acl& acl) {
  auto& out = result.matching_acls.emplace_back();
  out.resource_type = static_cast<std::int8_t>(acl.resource_type);
  out.resource_name = answer.keep(acl.resource_name);
  out.pattern_type = static_cast<std::int8_t>(acl.pattern_type);
  out.principal = answer.keep(acl.principal);
  out.host = answer.keep(acl.host);
  out.operation = static_cast<std::int8_t>(acl.operation);
  out.permission_type = static_cast<std::int8_t>(acl.permission);
}

}  // namespace

protocol::OwnedMessage<protocol::DeleteAclsResponse> delete_acls(
    const ControllerContext& context, const protocol::DeleteAclsRequest& request,
    RecordList& records) {
  protocol::OwnedMessage<protocol::DeleteAclsResponse> answer;
  std::set<Uuid> removed;
  std::size_t answered = 0;
  for (const auto& asked : request.filters) {
    auto& result = answer.message.filter_results.emplace_back();
    auto refuse = [&result](ErrorCode code, std::string_view why) {
      result.error_code = static_cast<std::int16_t>(code);
      result.error_message = why;
    };
    const AclFilter filter = filter_of(asked);
    if (const std::string_view problem = filter.problem(); !problem.empty()) {
      refuse(ErrorCode::invalid_request, problem);
      continue;
    }
    if (answer.message.filter_results.size() > kAclFiltersMax) {
      refuse(ErrorCode::policy_violation, "Too many filters in one request.");
      continue;
    }
    std::vector<Uuid> matching;
    for (const auto& [id, acl] : *context.image.acls())
      if (filter.matches(*acl)) matching.push_back(id);
    if (answered + matching.size() > kRecordsPerRequestMax) {
      refuse(ErrorCode::policy_violation, "Too many ACLs match; delete them in smaller portions.");
      continue;
    }
    answered += matching.size();
    for (const Uuid& id : matching) {
      add_match(answer, result, *context.image.acls()->at(id));
      if (!removed.insert(id).second) continue;
      protocol::RemoveAccessControlEntryRecord record;
      record.id = id;
      records.add(record);
    }
  }
  return answer;
}

}  // namespace drave::metadata
