#include "broker/handlers/handlers.h"
#include "broker/net/connection.h"
#include "broker/produce/produce_operation.h"

namespace drave::broker {

io::Task<void> handle_produce(Request request) {
  protocol::ProduceRequest message;
  if (!request.read(message)) co_return;
  if (message.transactional_id.has_value()) {
    // Transactions are not served yet: nobody can have been given a transactional producer id.
    protocol::ProduceResponse response;
    for (const auto& topic : message.topic_data) {
      auto& out = response.responses.emplace_back();
      out.name = topic.name;
      out.topic_id = topic.topic_id;
      for (const auto& partition : topic.partition_data) {
        auto& answer = out.partition_responses.emplace_back();
        answer.index = partition.index;
        answer.error_code =
            static_cast<std::int16_t>(protocol::ErrorCode::transactional_id_authorization_failed);
        answer.base_offset = -1;
      }
    }
    if (message.acks == 0)
      request.response.close_connection();
    else
      request.response.send(response);
    co_return;
  }
  request.connection.operation_begun();
  co_await ProduceOperation::start(std::move(request), std::move(message));
}

}  // namespace drave::broker
