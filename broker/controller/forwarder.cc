#include "broker/controller/forwarder.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>

#include "base/assert.h"
#include "base/log.h"
#include "broker/node.h"
#include "broker/shard.h"
#include "protocol/header.h"
#include "protocol/messages/envelope.h"
#include "protocol/messages/principal.h"

namespace drave::broker {

using protocol::ErrorCode;

namespace {

// Clients of this node find here what they are told, if that takes a moment only.
constexpr Duration kCatchUpMax = seconds(1);
// Who was told that somebody may do nothing any more relies on it: as long as the controller waits.
constexpr Duration kAclsCatchUpMax = seconds(10);
// What a node that is asked takes to answer, at least: no client is refused sooner.
constexpr Duration kWaitMin = milliseconds(500);
// A node that has not answered by then never will, nor what is behind it on its connection.
constexpr Duration kCallMax = seconds(40);
static_assert(kCallMax > kClientWaitMax);
// Of tries whose client waits no more; then clients wait on.
constexpr std::size_t kLeftCountMax = 256;
constexpr std::size_t kLeftBytesMax = 16 * kMiB;
constexpr Duration kRefusalTold = seconds(30);

}  // namespace

// May outlive who waits for it.
struct Forwarder::Try {
  Try(io::Loop& loop, ForwardRequest what) : request(std::move(what)), ended(loop) {}
  const ForwardRequest request;
  std::optional<Outcome> outcome;
  io::WaitQueue ended;
  bool is_left = false;
};

Forwarder::Forwarder(io::Loop& loop, QuorumController& controller, ControllerChannel& channel)
    : loop_(loop), controller_(controller), channel_(channel), scope_(loop) {}

Forwarder::~Forwarder() = default;

io::Task<void> Forwarder::stop() {
  scope_.request_stop();
  co_await scope_.join();
}

io::Task<Result<Forwarded>> Forwarder::forward(ForwardRequest request, ClientWait wait) {
  const Instant deadline = loop_.now() + std::max(wait.most, kWaitMin);
  const Instant leaderless_deadline = loop_.now() + std::max(wait.leaderless, kWaitMin);
  const auto one = std::make_shared<Try>(loop_, std::move(request));
  while (!scope_.is_stopping()) {
    const std::shared_ptr<raft::RpcClient> asked = channel_.peer();
    one->outcome.reset();
    scope_.spawn(run(one));
    while (!one->outcome.has_value()) {
      if (loop_.now() < deadline) {
        co_await one->ended.wait_until(deadline);
      } else if (!may_leave(*one)) {
        co_await one->ended.wait();
      } else {
        one->is_left = true;
        ++left_count_;
        left_bytes_ += one->request.whole.size();
        co_return Forwarded{{}, ErrorCode::request_timed_out};
      }
    }
    CO_TRY(std::optional<Forwarded> decided, std::move(*one->outcome));
    if (decided.has_value()) co_return std::move(*decided);
    if (loop_.now() >= deadline || channel_.is_stopping()) break;
    // Somebody else leads since then: that one is asked at once.
    const std::shared_ptr<raft::RpcClient> next = channel_.peer();
    const bool is_known = next != nullptr || controller_.is_active();
    if (loop_.now() >= leaderless_deadline && !hears_leader()) break;
    const bool is_new = next != asked && is_known;
    if (!is_new) co_await channel_.back_off();
  }
  co_return Forwarded{{}, ErrorCode::not_controller};
}

// A leader that is gone is known until there is another.
bool Forwarder::hears_leader() const {
  return !controller_.has_stopped() && controller_.raft().status().leader >= 0;
}

bool Forwarder::may_leave(const Try& one) const {
  return left_count_ < kLeftCountMax && left_bytes_ + one.request.whole.size() <= kLeftBytesMax;
}

io::Task<void> Forwarder::run(std::shared_ptr<Try> one) {
  Outcome outcome = co_await (controller_.is_active() ? decide(one->request) : send(one->request));
  one->outcome = std::move(outcome);
  one->ended.wake_all();
  if (!one->is_left) co_return;
  --left_count_;
  left_bytes_ -= one->request.whole.size();
}

io::Task<Forwarder::Outcome> Forwarder::decide(const ForwardRequest& request) {
  CO_TRY(Decision decision,
         co_await request.api->decide(controller_, request.body(), request.version, nullptr));
  if (decision.not_controller) co_return std::nullopt;
  const bool is_of_acls = request.api->key == protocol::ApiKey::create_acls ||
                          request.api->key == protocol::ApiKey::delete_acls;
  if (!controller_.is_active()) co_await catch_up(is_of_acls ? kAclsCatchUpMax : kCatchUpMax);
  co_return Forwarded{std::move(decision.body)};
}

// What a controller decided that has handed over meanwhile is not published here yet.
io::Task<void> Forwarder::catch_up(Duration most) {
  if (controller_.has_stopped()) co_return;
  const Offset end = controller_.raft().end();
  const Instant until = loop_.now() + most;
  while (controller_.published_end() < end && !controller_.has_stopped() && !scope_.is_stopping() &&
         loop_.now() < until)
    co_await controller_.changed().wait_until(until);
}

namespace {

// What could not be said to the controller, or not understood by it, never can.
bool is_for_ever(const Error& error) {
  return error.code == Errc::unsupported || error.code == Errc::invalid;
}

Forwarded refusal_for(bool unsupported) {
  return {{}, unsupported ? ErrorCode::unsupported_version : ErrorCode::unknown_server_error};
}

}  // namespace

io::Task<Forwarder::Outcome> Forwarder::send(const ForwardRequest& request) {
  const std::shared_ptr<raft::RpcClient> peer = channel_.peer();
  if (peer == nullptr) co_return std::nullopt;
  const std::vector<std::uint8_t> principal = encode_principal(request.caller);
  const std::vector<std::uint8_t> address = encode_address(request.caller.address);
  protocol::EnvelopeRequest envelope;
  envelope.request_data = request.whole;
  envelope.request_principal = ByteView(principal);
  envelope.client_host_address = address;
  auto reply = co_await peer->call<protocol::EnvelopeResponse>(envelope, kCallMax);
  if (!reply) {
    LOG_DEBUG("controller", "forwarding failed error={}", reply.error().message());
    if (!is_for_ever(reply.error())) co_return std::nullopt;
    co_return refusal_for(reply.error().code == Errc::unsupported);
  }
  const auto error = static_cast<ErrorCode>(reply->message.error_code);
  if (error == ErrorCode::not_controller) co_return std::nullopt;
  if (error != ErrorCode::none || !reply->message.response_data.has_value()) {
    note_refusal(error);
    co_return refusal_for(error == ErrorCode::unsupported_version);
  }
  protocol::Reader in(*reply->message.response_data);
  protocol::ResponseHeader header;
  const Result<void> read = decode_response_header(
      in, header, static_cast<std::int16_t>(request.api->key), request.version);
  if (!read) co_return refusal_for(false);
  const ByteView body = in.rest();
  co_return Forwarded{{body.begin(), body.end()}};
}

void Forwarder::note_refusal(ErrorCode error) {
  if (loop_.now() < refusal_told_until_) return;
  refusal_told_until_ = loop_.now() + kRefusalTold;
  LOG_WARN("controller", "the controller refuses what this node forwards error={}{}",
           protocol::message(error),
           error == ErrorCode::cluster_authorization_failed
               ? " This node needs the right to ClusterAction, or to be one of super.users there."
               : "");
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
  const ServingImagePtr image = shard.node().serving();
  const CallerRights rights{
      Access(shard, *image, caller->principal_type + ":" + caller->principal_name, *address,
             header.request_api_key),
      image};
  const Result<Decision> decision = co_await api->decide(controller_, in.rest(), version, &rights);
  if (!decision) {
    const Errc why = decision.error().code;
    if (why == Errc::closed) co_return Unwrapped{ErrorCode::not_controller, {}};
    co_return Unwrapped{
        why == Errc::unsupported ? ErrorCode::unsupported_version : ErrorCode::invalid_request, {}};
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
