#pragma once
// Has requests of clients decided by the active controller, wherever it is: here, or on another
// node to which they go in an Envelope (KIP-590). While there is none, or it was deposed before it
// answered, tries again until the client's time is up. Then the client is told so, and waits no
// more; what was asked is still waited for, by the node: requests of others are on the same
// connection behind it, and it would end with them.
//
// A request may be decided twice: by a leader that lost the quorum after it had committed, and by
// the next one. The second then says that the topic exists already, and the like.
//
// Lives on shard 0.

#include <cstdint>
#include <memory>
#include <vector>

#include "base/assert.h"
#include "broker/controller/controller_channel.h"
#include "broker/controller/controller_requests.h"
#include "broker/controller/refusals.h"
#include "io/scope.h"
#include "protocol/header.h"
#include "protocol/wire.h"

namespace drave::protocol {
struct EnvelopeRequest;
}

namespace drave::broker {

class Shard;

struct ForwardRequest {
  const ControllerRequest* api = nullptr;
  std::int16_t version = 0;
  std::vector<std::uint8_t> whole;  // header and body, as the client would send them
  std::size_t body_position = 0;
  Caller caller;

  ByteView body() const { return ByteView(whole).subspan(body_position); }
};

// What became of it.
struct Forwarded {
  std::vector<std::uint8_t> body;  // of the answer
  // Instead: why there is none. REQUEST_TIMED_OUT: it may be decided yet.
  protocol::ErrorCode refusal = protocol::ErrorCode::none;
};

class Forwarder {
 public:
  Forwarder(io::Loop& loop, QuorumController& controller, ControllerChannel& channel);
  ~Forwarder();

  // For as long as the client waits, or a little longer. Errors: the request cannot be read.
  io::Task<Result<Forwarded>> forward(ForwardRequest request, ClientWait wait);

  // The same for a request that was read. An answer that cannot be read is an error. The answer
  // borrows from `request` if it is a refusal. What the quorum is asked about itself this node
  // answers where nobody else does.
  template <class Response, class Request>
  io::Task<Result<ControllerReply<Response>>> ask(const Request& request, std::int16_t version,
                                                  Caller caller);

  // Decides here whatever comes of it: on a controller's own listener.
  template <class Response, class Request>
  io::Task<Result<ControllerReply<Response>>> ask_here(const Request& request, std::int16_t version,
                                                       Caller caller);

  // The other end: what a request out of an Envelope is answered with. Error codes are the
  // Envelope's own.
  struct Unwrapped {
    protocol::ErrorCode error = protocol::ErrorCode::none;
    std::vector<std::uint8_t> response;  // header and body
  };
  // What the client named there may not do is refused. `shard` is shard 0; `envelope` outlives the
  // task.
  io::Task<Unwrapped> unwrap(Shard& shard, const protocol::EnvelopeRequest& envelope);

  // Waits for what is still asked; the channel and the controller have stopped.
  io::Task<void> stop();

 private:
  struct Try;
  // Nothing: nobody took it.
  using Outcome = Result<std::optional<Forwarded>>;

  io::Task<void> run(std::shared_ptr<Try> one);
  io::Task<Outcome> decide(const ForwardRequest& request);
  io::Task<void> catch_up(Duration most);
  io::Task<Outcome> send(const ForwardRequest& request);
  bool hears_leader() const;
  bool may_leave(const Try& one) const;
  void note_refusal(protocol::ErrorCode error);

  io::Loop& loop_;
  QuorumController& controller_;
  ControllerChannel& channel_;
  Instant refusal_told_until_;
  std::size_t left_count_ = 0;  // tries whose client waits no more
  std::size_t left_bytes_ = 0;
  io::Scope scope_;
};

// Header and body of a request as a client would send it; where the body begins.
template <class Request>
std::vector<std::uint8_t> encode_whole(const Request& request, std::int16_t version,
                                       std::size_t& body_position) {
  protocol::RequestHeader header;
  header.request_api_key = Request::kApiKey;
  header.request_api_version = version;
  protocol::Writer out;
  const Result<void> head = encode_request_header(out, header);
  body_position = out.size();
  const Result<void> body = encode(out, request, version);
  ASSERT(head.has_value() && body.has_value());  // it was read in that version, or is our own
  return {out.own().begin(), out.own().end()};
}

template <class Response, class Request>
io::Task<Result<ControllerReply<Response>>> Forwarder::ask(const Request& request,
                                                           std::int16_t version, Caller caller) {
  ForwardRequest forwarded;
  forwarded.api = find_controller_request(protocol::ApiKey{Request::kApiKey});
  forwarded.version = version;
  forwarded.whole = encode_whole(request, version, forwarded.body_position);
  forwarded.caller = std::move(caller);
  CO_TRY(Forwarded answer, co_await forward(std::move(forwarded), client_wait(request)));
  ControllerReply<Response> reply;
  if (answer.refusal != protocol::ErrorCode::none) {
    if constexpr (std::is_same_v<Response, protocol::DescribeQuorumResponse>) {
      auto own = co_await ask_here<Response>(request, version, {});
      if (own) co_return own;
    }
    refuse(request, answer.refusal, reply.message);
    if constexpr (std::is_same_v<Response, protocol::ElectLeadersResponse>)
      if (version == 0) reply.message.error_code = 0;  // each partition says it
    co_return reply;
  }
  reply.bytes.frame = std::move(answer.body);
  protocol::Reader in(reply.bytes.body());
  CO_TRY_VOID(decode(in, reply.message, version));
  co_return reply;
}

template <class Response, class Request>
io::Task<Result<ControllerReply<Response>>> Forwarder::ask_here(const Request& request,
                                                                std::int16_t version, Caller) {
  std::size_t body_position = 0;
  const std::vector<std::uint8_t> whole = encode_whole(request, version, body_position);
  const ControllerRequest* api = find_controller_request(protocol::ApiKey{Request::kApiKey});
  CO_TRY(
      Decision decision,
      co_await api->decide(controller_, ByteView(whole).subspan(body_position), version, nullptr));
  ControllerReply<Response> reply;
  reply.bytes.frame = std::move(decision.body);
  protocol::Reader in(reply.bytes.body());
  CO_TRY_VOID(decode(in, reply.message, version));
  co_return reply;
}

// A principal as Kafka's nodes send it to each other.
std::vector<std::uint8_t> encode_principal(const Caller& caller);
Result<Caller> decode_principal(ByteView bytes);
// The four or sixteen bytes of a numeric address.
std::vector<std::uint8_t> encode_address(const std::string& address);
Result<std::string> decode_address(ByteView bytes);

}  // namespace drave::broker
