// Access control without an authorizer, which is all there is yet: what Kafka answers when
// authorizer.class.name is empty. An answer beats an unknown API: tools say what is the matter.

#include "broker/handlers/handlers.h"
#include "broker/handlers/partition_access.h"
#include "protocol/error_code.h"
#include "protocol/messages/create_acls.h"
#include "protocol/messages/delete_acls.h"
#include "protocol/messages/describe_acls.h"

namespace drave::broker {

using protocol::ErrorCode;

namespace {
constexpr std::string_view kWhy = "No Authorizer is configured.";
}  // namespace

io::Task<void> handle_describe_acls(Request request) {
  protocol::DescribeAclsRequest message;
  if (!request.read(message)) co_return;
  protocol::DescribeAclsResponse answer;
  answer.error_code = code_of(ErrorCode::security_disabled);
  answer.error_message = kWhy;
  request.response.send(answer);
}

io::Task<void> handle_create_acls(Request request) {
  protocol::CreateAclsRequest message;
  if (!request.read(message)) co_return;
  protocol::CreateAclsResponse answer;
  for (std::size_t i = 0; i < message.creations.size(); ++i) {
    auto& result = answer.results.emplace_back();
    result.error_code = code_of(ErrorCode::security_disabled);
    result.error_message = kWhy;
  }
  request.response.send(answer);
}

io::Task<void> handle_delete_acls(Request request) {
  protocol::DeleteAclsRequest message;
  if (!request.read(message)) co_return;
  protocol::DeleteAclsResponse answer;
  for (std::size_t i = 0; i < message.filters.size(); ++i) {
    auto& result = answer.filter_results.emplace_back();
    result.error_code = code_of(ErrorCode::security_disabled);
    result.error_message = kWhy;
  }
  request.response.send(answer);
}

}  // namespace drave::broker
