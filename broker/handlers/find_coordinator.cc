#include "protocol/messages/find_coordinator.h"

#include "broker/handlers/handlers.h"
#include "broker/handlers/partition_access.h"

namespace drave::broker {

using protocol::ErrorCode;

namespace {
constexpr std::int8_t kTransaction = 1;
constexpr std::int8_t kKeyTypeMax = 2;  // group, transaction, share
constexpr std::string_view kWhy = "This broker does not coordinate groups or transactions yet.";

// Consumers that only assign partitions to themselves look for their group's coordinator, too, and
// go on without one as long as they may hope. A transactional producer cannot go on: it is told so
// with the one error that all clients take as the last word, instead of trying until it times out.
ErrorCode refusal_of(std::int8_t key_type) {
  if (key_type < 0 || key_type > kKeyTypeMax) return ErrorCode::invalid_request;
  return key_type == kTransaction ? ErrorCode::transactional_id_authorization_failed
                                  : ErrorCode::coordinator_not_available;
}
}  // namespace

io::Task<void> handle_find_coordinator(Request request) {
  protocol::FindCoordinatorRequest message;
  if (!request.read(message)) co_return;
  protocol::FindCoordinatorResponse answer;
  const ErrorCode error = refusal_of(message.key_type);
  if (request.version >= 4) {
    for (const std::string_view key : message.coordinator_keys) {
      auto& out = answer.coordinators.emplace_back();
      out.key = key;
      out.node_id = -1;
      out.port = -1;
      out.error_code = code_of(error);
      out.error_message = kWhy;
    }
  } else {
    answer.node_id = -1;
    answer.port = -1;
    answer.error_code = code_of(error);
    answer.error_message = kWhy;
  }
  request.response.send(answer);
  co_return;
}

}  // namespace drave::broker
