#include "broker/controller/forwarder.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>

#include "base/assert.h"
#include "base/log.h"
#include "broker/shard.h"
#include "protocol/header.h"
#include "protocol/messages/envelope.h"
#include "protocol/messages/principal.h"

namespace drave::broker {

using protocol::ErrorCode;

namespace {
// What a node that is asked takes to answer, at least.
constexpr Duration kTryMin = milliseconds(500);
constexpr Duration kRefusalTold = seconds(30);
}  // namespace

Forwarder::Forwarder(io::Loop& loop, QuorumController& controller, ControllerChannel& channel)
    : loop_(loop), controller_(controller), channel_(channel) {}

io::Task<Result<std::vector<std::uint8_t>>> Forwarder::forward(ForwardRequest request) {
  CO_TRY(const Duration timeout, request.api->timeout(request.body, request.version));
  const Instant deadline = loop_.now() + timeout;
  for (bool tried = false;; tried = true) {
    // The last try is here: it says why nothing was decided. There is one before it, however short
    // the time.
    const bool last = (tried && loop_.now() >= deadline) || channel_.is_stopping();
    const std::shared_ptr<raft::RpcClient> asked = channel_.peer();
    if (controller_.is_active() || last) {
      CO_TRY(Decision decision,
             co_await request.api->decide(controller_, request.body, request.version, nullptr));
      if (!decision.not_controller || last) co_return std::move(decision.body);
    } else if (auto answer = co_await send(request, std::max(deadline - loop_.now(), kTryMin));
               answer.has_value()) {
      co_return std::move(*answer);
    }
    // Somebody else leads since then: that one is asked at once.
    const std::shared_ptr<raft::RpcClient> next = channel_.peer();
    const bool is_new = next != asked && (next != nullptr || controller_.is_active());
    if (!channel_.is_stopping() && !is_new) co_await channel_.back_off();
  }
}

io::Task<std::optional<std::vector<std::uint8_t>>> Forwarder::send(const ForwardRequest& request,
                                                                   Duration timeout) {
  const std::shared_ptr<raft::RpcClient> peer = channel_.peer();
  if (peer == nullptr) co_return std::nullopt;
  const std::vector<std::uint8_t> principal = encode_principal(request.caller);
  const std::vector<std::uint8_t> address = encode_address(request.caller.address);
  protocol::EnvelopeRequest envelope;
  envelope.request_data = request.whole;
  envelope.request_principal = ByteView(principal);
  envelope.client_host_address = address;
  auto reply = co_await peer->call<protocol::EnvelopeResponse>(envelope, timeout);
  if (!reply) {
    LOG_DEBUG("controller", "forwarding failed error={}", reply.error().message());
    co_return std::nullopt;
  }
  const auto error = static_cast<ErrorCode>(reply->message.error_code);
  if (error != ErrorCode::none || !reply->message.response_data.has_value()) {
    note_refusal(error);
    LOG_DEBUG("controller", "forwarded request refused error={}", reply->message.error_code);
    co_return std::nullopt;
  }
  protocol::Reader in(*reply->message.response_data);
  protocol::ResponseHeader header;
  const Result<void> read = decode_response_header(
      in, header, static_cast<std::int16_t>(request.api->key), request.version);
  if (!read) co_return std::nullopt;
  const ByteView body = in.rest();
  co_return std::vector<std::uint8_t>(body.begin(), body.end());
}

void Forwarder::note_refusal(ErrorCode error) {
  if (error != ErrorCode::cluster_authorization_failed || loop_.now() < refusal_told_until_) return;
  refusal_told_until_ = loop_.now() + kRefusalTold;
  LOG_WARN("controller",
           "the controller does not let this node act for clients: it needs the right to "
           "ClusterAction, or to be one of super.users there");
}

namespace {

// Of a request that is in no list of ours. Kafka's controllers decide some that we do not serve:
// their nodes tell the client so.
ErrorCode refusal_of(std::int16_t key) {
  const protocol::ApiInfo* api = protocol::find_api(key);
  const bool is_for_controllers =
      api != nullptr && (api->listeners & protocol::kListenerController) != 0;
  return is_for_controllers ? ErrorCode::unsupported_version : ErrorCode::invalid_request;
}

}  // namespace

io::Task<Forwarder::Unwrapped> Forwarder::unwrap(Shard& shard,
                                                 const protocol::EnvelopeRequest& envelope) {
  protocol::Reader in(envelope.request_data);
  protocol::RequestHeader header;
  if (!decode_request_header(in, header)) co_return Unwrapped{ErrorCode::invalid_request, {}};
  const auto key = protocol::ApiKey{header.request_api_key};
  const std::int16_t version = header.request_api_version;
  const ControllerRequest* api = find_controller_request(key);
  if (api == nullptr) co_return Unwrapped{refusal_of(header.request_api_key), {}};
  const Result<std::string> address = decode_address(envelope.client_host_address);
  if (!address) co_return Unwrapped{ErrorCode::invalid_request, {}};
  const Result<Caller> caller =
      envelope.request_principal.has_value()
          ? decode_principal(*envelope.request_principal)
          : Result<Caller>(failure(Errc::invalid, "there is no principal"));
  if (!caller) co_return Unwrapped{ErrorCode::principal_deserialization_failure, {}};
  if (!controller_.is_active()) co_return Unwrapped{ErrorCode::not_controller, {}};
  const CallerRights rights{Access(shard, caller->principal_type + ":" + caller->principal_name,
                                   *address, header.request_api_key),
                            shard.image_ptr()};
  const Result<Decision> decision = co_await api->decide(controller_, in.rest(), version, &rights);
  if (!decision) {
    const bool unknown = decision.error().code == Errc::unsupported;
    co_return Unwrapped{unknown ? ErrorCode::unsupported_version : ErrorCode::invalid_request, {}};
  }
  if (decision->not_controller) co_return Unwrapped{ErrorCode::not_controller, {}};
  protocol::Writer out;
  encode_response_header(out, header.request_api_key, version, header.correlation_id);
  out.bytes(decision->body);
  co_return Unwrapped{ErrorCode::none, {out.own().begin(), out.own().end()}};
}

std::vector<std::uint8_t> encode_principal(const Caller& caller) {
  protocol::DefaultPrincipalData data;
  data.type = caller.principal_type;
  data.name = caller.principal_name;
  data.token_authenticated = caller.token_authenticated;
  protocol::Writer out;
  out.integer(std::int16_t{0});  // the version
  const Result<void> encoded = encode(out, data, std::int16_t{0});
  ASSERT(encoded.has_value());
  return {out.own().begin(), out.own().end()};
}

Result<Caller> decode_principal(ByteView bytes) {
  protocol::Reader in(bytes);
  const auto version = in.integer<std::int16_t>();
  if (version < 0 || version > protocol::DefaultPrincipalData::kVersionMax)
    return failure(Errc::unsupported, "a principal of a version that does not exist");
  protocol::DefaultPrincipalData data;
  TRY_VOID(decode(in, data, version));
  Caller caller;
  caller.principal_type = data.type;
  caller.principal_name = data.name;
  caller.token_authenticated = data.token_authenticated;
  return caller;
}

std::vector<std::uint8_t> encode_address(const std::string& address) {
  std::array<std::uint8_t, sizeof(in6_addr)> bytes{};
  if (inet_pton(AF_INET6, address.c_str(), bytes.data()) == 1) return {bytes.begin(), bytes.end()};
  // What is no number is a peer of a world without numbers; it has no address to be judged by.
  if (inet_pton(AF_INET, address.c_str(), bytes.data()) != 1) bytes.fill(0);
  return {bytes.begin(), bytes.begin() + sizeof(in_addr)};
}

Result<std::string> decode_address(ByteView bytes) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const bool four = bytes.size() == sizeof(in_addr);
  if (!four && bytes.size() != sizeof(in6_addr))
    return failure(Errc::invalid, "an address of neither four nor sixteen bytes");
  inet_ntop(four ? AF_INET : AF_INET6, bytes.data(), text.data(), text.size());
  return std::string(text.data());
}

}  // namespace drave::broker
