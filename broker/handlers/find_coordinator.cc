#include "protocol/messages/find_coordinator.h"

#include "broker/handlers/handlers.h"
#include "broker/handlers/partition_access.h"
#include "broker/security/access.h"

namespace drave::broker {

using protocol::ErrorCode;

namespace {
constexpr std::int8_t kGroup = 0;
constexpr std::int8_t kTransaction = 1;
constexpr std::int8_t kShare = 2;
constexpr std::string_view kWhy = "This broker does not coordinate groups or transactions yet.";

// Consumers that only assign partitions to themselves look for their group's coordinator, too, and
// go on without one as long as they may hope. A transactional producer cannot go on: it is told so
// with the one error that all clients take as the last word, instead of trying until it times out.
ErrorCode refusal_of(const Access& access, std::int8_t key_type, std::string_view key) {
  using protocol::AclOperation;
  switch (key_type) {
    case kGroup:
      return access.may(AclOperation::describe, protocol::ResourceType::group, key)
                 ? ErrorCode::coordinator_not_available
                 : ErrorCode::group_authorization_failed;
    case kTransaction: return ErrorCode::transactional_id_authorization_failed;
    case kShare:
      return access.may_cluster(AclOperation::cluster_action)
                 ? ErrorCode::coordinator_not_available
                 : ErrorCode::cluster_authorization_failed;
    default: return ErrorCode::invalid_request;
  }
}
}  // namespace

io::Task<void> handle_find_coordinator(Request request) {
  protocol::FindCoordinatorRequest message;
  if (!request.read(message)) co_return;
  protocol::FindCoordinatorResponse answer;
  const Access access(request);
  if (request.version >= 4) {
    for (const std::string_view key : message.coordinator_keys) {
      auto& out = answer.coordinators.emplace_back();
      out.key = key;
      out.node_id = -1;
      out.port = -1;
      out.error_code = code_of(refusal_of(access, message.key_type, key));
      out.error_message = kWhy;
    }
  } else {
    answer.node_id = -1;
    answer.port = -1;
    answer.error_code = code_of(refusal_of(access, message.key_type, message.key));
    answer.error_message = kWhy;
  }
  request.response.send(answer);
  co_return;
}

}  // namespace drave::broker
