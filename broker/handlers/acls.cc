// DescribeAcls, CreateAcls and DeleteAcls. Without an authorizer they are refused, as in Kafka.

#include <map>
#include <tuple>

#include "broker/handlers/handlers.h"
#include "broker/handlers/partition_access.h"
#include "broker/net/connection.h"
#include "broker/node.h"
#include "broker/security/access.h"
#include "broker/security/withhold.h"
#include "protocol/messages/create_acls.h"
#include "protocol/messages/delete_acls.h"
#include "protocol/messages/describe_acls.h"

namespace drave::broker {

using protocol::AclOperation;
using protocol::ErrorCode;

namespace {

struct Refusal {
  ErrorCode error = ErrorCode::none;
  std::string_view why;
};

// Why DescribeAcls is not served at all, if so.
Refusal refusal_of(const Request& request) {
  if (!request.shard.config().has_authorizer)
    return {ErrorCode::security_disabled, "No Authorizer is configured."};
  if (!Access(request).may_cluster(AclOperation::describe))
    return {ErrorCode::cluster_authorization_failed,
            protocol::message(ErrorCode::cluster_authorization_failed)};
  return {};
}

void describe(const metadata::AclMap& acls, const metadata::AclFilter& filter,
              protocol::DescribeAclsResponse& answer) {
  using Resource = std::tuple<protocol::ResourceType, protocol::PatternType, std::string_view>;
  std::map<Resource, std::vector<const metadata::Acl*>> found;
  for (const auto& [id, acl] : acls)
    if (filter.matches(*acl))
      found[{acl->resource_type, acl->pattern_type, acl->resource_name}].push_back(acl.get());
  for (const auto& [resource, entries] : found) {
    auto& out = answer.resources.emplace_back();
    out.resource_type = static_cast<std::int8_t>(std::get<0>(resource));
    out.pattern_type = static_cast<std::int8_t>(std::get<1>(resource));
    out.resource_name = std::get<2>(resource);
    for (const metadata::Acl* acl : entries) {
      out.acls.push_back({acl->principal, acl->host, static_cast<std::int8_t>(acl->operation),
                          static_cast<std::int8_t>(acl->permission)});
    }
  }
}

}  // namespace

io::Task<void> handle_describe_acls(Request request) {
  protocol::DescribeAclsRequest message;
  if (!request.read(message)) co_return;
  protocol::DescribeAclsResponse answer;
  answer.error_message.reset();
  const metadata::AclsPtr acls = request.shard.image().metadata().acls();
  const metadata::AclFilter filter = metadata::filter_of(message);
  Refusal refusal = refusal_of(request);
  if (refusal.error == ErrorCode::none && !filter.problem().empty())
    refusal = {ErrorCode::invalid_request, filter.problem()};
  if (refusal.error == ErrorCode::none) {
    describe(*acls, filter, answer);
  } else {
    answer.error_code = code_of(refusal.error);
    answer.error_message = refusal.why;
  }
  request.response.send(answer);
}

io::Task<void> handle_create_acls(Request request) {
  protocol::CreateAclsRequest message;
  if (!request.read(message)) co_return;
  protocol::CreateAclsResponse refused;
  if (!withhold(Access(request), *request.shard.image_ptr(), message, refused))
    co_return request.response.send(refused);
  Node* node = &request.shard.node();
  const protocol::CreateAclsRequest* asked = &message;
  const std::int16_t version = request.version;
  const Caller caller{.address = request.connection.peer().host};
  const auto reply = co_await io::call_on(request.shard.loop(), 0, [node, asked, version, caller] {
    return node->forwarder().ask<protocol::CreateAclsResponse>(*asked, version, caller);
  });
  if (!reply) co_return request.refuse(reply.error());
  request.response.send(reply->message);
}

io::Task<void> handle_delete_acls(Request request) {
  protocol::DeleteAclsRequest message;
  if (!request.read(message)) co_return;
  protocol::DeleteAclsResponse refused;
  if (!withhold(Access(request), *request.shard.image_ptr(), message, refused))
    co_return request.response.send(refused);
  Node* node = &request.shard.node();
  const protocol::DeleteAclsRequest* asked = &message;
  const std::int16_t version = request.version;
  const Caller caller{.address = request.connection.peer().host};
  const auto reply = co_await io::call_on(request.shard.loop(), 0, [node, asked, version, caller] {
    return node->forwarder().ask<protocol::DeleteAclsResponse>(*asked, version, caller);
  });
  if (!reply) co_return request.refuse(reply.error());
  request.response.send(reply->message);
}

}  // namespace drave::broker
