#include "broker/controller/controller_requests.h"

#include <algorithm>
#include <array>

#include "broker/security/withhold.h"
#include "protocol/error_code.h"
#include "protocol/messages/describe_quorum.h"
#include "protocol/wire.h"

namespace drave::broker {

namespace {

using protocol::ApiKey;

constexpr auto kNotController = static_cast<std::int16_t>(protocol::ErrorCode::not_controller);

constexpr auto kNotLeader = static_cast<std::int16_t>(protocol::ErrorCode::not_leader_or_follower);

template <class Items>
bool any_refused(const Items& items) {
  return std::any_of(items.begin(), items.end(),
                     [](const auto& item) { return item.error_code == kNotController; });
}

template <class Response>
bool says_not_controller(const Response& answer) {
  if constexpr (requires { answer.error_code; })
    if (answer.error_code == kNotController) return true;
  if constexpr (requires { answer.topics.front().error_code; })
    if (any_refused(answer.topics)) return true;
  if constexpr (requires { answer.responses.front().error_code; })
    if (any_refused(answer.responses)) return true;
  if constexpr (requires { answer.results.front().error_code; })
    if (any_refused(answer.results)) return true;
  if constexpr (requires { answer.filter_results.front().error_code; })
    if (any_refused(answer.filter_results)) return true;
  return false;
}

template <class Message>
Result<Message> decoded(ByteView body, std::int16_t version) {
  protocol::Reader in(body);
  Message message;
  TRY_VOID(decode(in, message, version));
  return message;
}

template <class Response>
Result<Decision> encoded(Response& answer, std::int16_t version) {
  const bool not_controller = says_not_controller(answer);
  // Version 0 says what is wrong with the whole of each partition only.
  if constexpr (std::is_same_v<Response, protocol::ElectLeadersResponse>)
    if (version == 0) answer.error_code = 0;
  protocol::Writer out;
  TRY_VOID(encode(out, answer, version));
  return Decision{{out.own().begin(), out.own().end()}, not_controller};
}

// False: `refused` is the answer.
template <class Request, class Response>
bool withhold_from(const CallerRights* rights, Request& asked, Response& refused) {
  return rights == nullptr || withhold(rights->access, *rights->image, asked, refused);
}

template <class Response>
void complete_for(const CallerRights* rights, Response& answer, Response& refused) {
  if (rights != nullptr) complete(rights->access, answer, refused);
}

template <auto kMethod>
struct MethodOf;
template <class Request, class Response,
          QuorumController::Answer<Response> (QuorumController::*kMethod)(const Request&,
                                                                          std::int16_t)>
struct MethodOf<kMethod> {
  static io::Task<Result<Decision>> decide(QuorumController& controller, ByteView body,
                                           std::int16_t version, const CallerRights* rights) {
    CO_TRY(Request request, decoded<Request>(body, version));
    Response refused;
    if (!withhold_from(rights, request, refused)) co_return encoded(refused, version);
    auto answer = co_await (controller.*kMethod)(request, version);
    complete_for(rights, answer.message, refused);
    co_return encoded(answer.message, version);
  }
  static constexpr ControllerRequest entry() { return {ApiKey{Request::kApiKey}, decide}; }
};

// Changes of the quorum itself; what is asked of a node that does not lead it is not done.
template <auto kMethod>
struct OfQuorum;
template <class Request, class Response,
          io::Task<protocol::OwnedMessage<Response>> (raft::RaftLog::*kMethod)(const Request&,
                                                                               std::int16_t)>
struct OfQuorum<kMethod> {
  static io::Task<Result<Decision>> decide(QuorumController& controller, ByteView body,
                                           std::int16_t version, const CallerRights* rights) {
    CO_TRY(Request request, decoded<Request>(body, version));
    if (controller.has_stopped()) co_return failure(Errc::closed, "the controller has stopped");
    Response refused;
    if (!withhold_from(rights, request, refused)) co_return encoded(refused, version);
    auto answer = co_await (controller.raft().*kMethod)(request, version);
    CO_TRY(Decision decision, encoded(answer.message, version));
    decision.not_controller = answer.message.error_code == kNotLeader;
    co_return decision;
  }
  static constexpr ControllerRequest entry() { return {ApiKey{Request::kApiKey}, decide}; }
};

// What the quorum says of itself; only its leader knows.
struct DescribeQuorum {
  static io::Task<Result<Decision>> decide(QuorumController& controller, ByteView body,
                                           std::int16_t version, const CallerRights* rights) {
    CO_TRY(auto request, decoded<protocol::DescribeQuorumRequest>(body, version));
    if (controller.has_stopped()) co_return failure(Errc::closed, "the controller has stopped");
    protocol::DescribeQuorumResponse refused;
    if (!withhold_from(rights, request, refused)) co_return encoded(refused, version);
    auto answer = controller.raft().describe_quorum(request, version);
    CO_TRY(Decision decision, encoded(answer.message, version));
    decision.not_controller = !controller.raft().is_leader();
    co_return decision;
  }
};

constexpr auto kRequests = std::to_array<ControllerRequest>({
    MethodOf<&QuorumController::create_topics>::entry(),
    MethodOf<&QuorumController::delete_topics>::entry(),
    MethodOf<&QuorumController::create_acls>::entry(),
    MethodOf<&QuorumController::delete_acls>::entry(),
    MethodOf<&QuorumController::alter_configs>::entry(),
    MethodOf<&QuorumController::create_partitions>::entry(),
    MethodOf<&QuorumController::elect_leaders>::entry(),
    MethodOf<&QuorumController::incremental_alter_configs>::entry(),
    {ApiKey::describe_quorum, DescribeQuorum::decide},
    MethodOf<&QuorumController::update_features>::entry(),
    MethodOf<&QuorumController::unregister_broker>::entry(),
    OfQuorum<&raft::RaftLog::add_raft_voter>::entry(),
    OfQuorum<&raft::RaftLog::remove_raft_voter>::entry(),
});

}  // namespace

const ControllerRequest* find_controller_request(ApiKey key) {
  for (const ControllerRequest& request : kRequests)
    if (request.key == key) return &request;
  return nullptr;
}

}  // namespace drave::broker
