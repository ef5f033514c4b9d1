#include "protocol/messages/find_coordinator.h"

#include "broker/handlers/handlers.h"
#include "broker/handlers/partition_access.h"

namespace drave::broker {

using protocol::ErrorCode;

namespace {
constexpr std::int8_t kKeyTypeMax = 2;  // group, transaction, share
constexpr std::string_view kWhy = "This broker does not coordinate groups or transactions yet.";
}  // namespace

io::Task<void> handle_find_coordinator(Request request) {
  protocol::FindCoordinatorRequest message;
  if (!request.read(message)) co_return;
  protocol::FindCoordinatorResponse answer;
  const ErrorCode error = message.key_type < 0 || message.key_type > kKeyTypeMax
                              ? ErrorCode::invalid_request
                              : ErrorCode::coordinator_not_available;
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
