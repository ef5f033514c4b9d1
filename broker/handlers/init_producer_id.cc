#include "protocol/messages/init_producer_id.h"

#include "broker/handlers/handlers.h"
#include "broker/handlers/partition_access.h"
#include "broker/node.h"
#include "broker/security/access.h"

namespace drave::broker {

using protocol::ErrorCode;

io::Task<void> handle_init_producer_id(Request request) {
  protocol::InitProducerIdRequest message;
  if (!request.read(message)) co_return;
  protocol::InitProducerIdResponse answer;
  answer.producer_id = -1;
  answer.producer_epoch = -1;
  if (message.transactional_id.has_value()) {
    // There is no transaction coordinator yet: see find_coordinator.cc.
    answer.error_code = code_of(message.transactional_id->empty()
                                    ? ErrorCode::invalid_request
                                    : ErrorCode::transactional_id_authorization_failed);
    request.response.send(answer);
    co_return;
  }
  const Access access(request);
  if (!access.may_cluster_quietly(protocol::AclOperation::idempotent_write) &&
      !access.may_some_topic(protocol::AclOperation::write)) {
    answer.error_code = code_of(ErrorCode::cluster_authorization_failed);
    request.response.send(answer);
    co_return;
  }
  Node* node = &request.shard.node();
  const Result<ProducerId> id =
      co_await io::call_on(request.shard.loop(), 0, [node] { return node->next_producer_id(); });
  if (id) {
    answer.producer_id = *id;
    answer.producer_epoch = 0;
  } else {
    answer.error_code = code_of(ErrorCode::coordinator_load_in_progress);
  }
  request.response.send(answer);
}

}  // namespace drave::broker
