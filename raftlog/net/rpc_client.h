#pragma once
// Calls to one other node, in Kafka's protocol: one connection to one address.
//
// Connects when it is first called, looks the name up anew each time, asks for ApiVersions first.
// Calls are pipelined; answers are matched by correlation id. A peer answers in order: what may
// wait for long (a Fetch) and what must not wait behind it (a Vote) belong on two clients.
//
// What a connection's end means is the same for all calls in flight on it: they end with its error.
// A call that is not answered in time ends its connection, too, since what is behind it would not
// be answered either. The next call connects again, at once: back-off is the caller's.
//
// Errors of a call:
//   closed       the connection could not be made or has ended: a hint that the peer is gone. The
//                call may have had its effect
//   timed_out    so has it here; the peer hangs, or the network does
//   unsupported  no version of this API is spoken by both
//   corrupt      what came is no answer
//   invalid      the message cannot be said in that version (it was not sent)
//   canceled     close() was called
//   io           all else, as the kernel says
//
// Lives on one loop, which outlives it. close() before it is destroyed.

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/intrusive_list.h"
#include "base/result.h"
#include "io/scope.h"
#include "io/socket.h"
#include "io/sync.h"
#include "io/task.h"
#include "protocol/api_key.h"
#include "protocol/wire.h"
#include "raftlog/net/limits.h"

namespace drave::raft {

struct RpcClientOptions {
  std::string client_id = "drave";
  Duration connect_timeout = seconds(2);  // until ApiVersions is answered
  Duration request_timeout = seconds(2);  // of a call that names none
  std::size_t frame_bytes_max = kRpcFrameBytesMax;
  std::size_t in_flight_max = kRpcInFlightMax;
};

// An answer as it came.
struct RpcAnswer {
  std::vector<std::uint8_t> frame;
  std::size_t body_position = 0;  // behind the header
  std::int16_t version = 0;
  ByteView body() const { return ByteView(frame).subspan(body_position); }
};

// An answer that was read; its views point into `bytes`, also after a move.
template <class Message>
struct RpcReply {
  RpcAnswer bytes;
  Message message;
  std::int16_t version() const { return bytes.version; }
};

class RpcClient {
 public:
  RpcClient(io::Loop& loop, io::SocketAddress address, RpcClientOptions options = {});
  ~RpcClient();
  RpcClient(const RpcClient&) = delete;

  // Sends `request` in the newest version that both sides speak, not above `version_max`, and reads
  // the answer:
  //   auto reply = co_await client.call<protocol::VoteResponse>(request);
  // Awaited in the same full expression, since it keeps a reference until it has connected.
  // `timeout` counts from here, connecting included; {0}: the options'.
  template <class Answer, class Request>
  io::Task<Result<RpcReply<Answer>>> call(const Request& request, Duration timeout = {},
                                          std::int16_t version_max = INT16_MAX);
  // The same for a body that is encoded already; `version` must be one that the peer speaks.
  io::Task<Result<RpcAnswer>> call_raw(protocol::ApiKey key, std::int16_t version,
                                       std::vector<std::uint8_t> body, Duration timeout = {});
  // The newest version of an API, not above `version_max`, that the peer speaks, too; connects.
  io::Task<Result<std::int16_t>> version_of(protocol::ApiKey key,
                                            std::int16_t version_max = INT16_MAX,
                                            Duration timeout = {});

  // Ends all calls with Errc::canceled, now and from now on.
  void cancel();
  // The same, and returns when nothing refers to this any more.
  io::Task<void> close();

  const io::SocketAddress& address() const { return address_; }
  bool is_connected() const;
  // Connections that were tried, and calls that have not ended.
  std::uint64_t connect_count() const { return connect_count_; }
  std::size_t call_count() const { return calls_; }

 private:
  struct Link;
  // A call whose request was handed to a connection; in the frame of the call.
  struct Pending : ListLink<struct PendingTag> {
    explicit Pending(io::Loop& loop) : ended(loop) {}
    Link* link = nullptr;  // valid while on its list
    std::int32_t correlation_id = 0;
    protocol::ApiKey key = {};
    std::int16_t version = 0;
    std::optional<Result<RpcAnswer>> result;
    io::WaitQueue ended;
  };
  // Counts a call, so that close() can wait for it.
  class CallMark {
   public:
    explicit CallMark(RpcClient& client) : client_(client) { ++client_.calls_; }
    CallMark(const CallMark&) = delete;
    ~CallMark();

   private:
    RpcClient& client_;
  };

  Instant deadline_of(Duration timeout) const;
  // The connection, if a call may be begun on it now.
  Link* usable() const;
  // Waits until there is one.
  io::Task<Result<Link*>> connected(Instant deadline);
  io::Task<Result<Link*>> made_usable(Instant deadline);
  Result<std::int16_t> common_version(const Link& link, protocol::ApiKey key,
                                      std::int16_t version_max) const;
  // Room for a frame of `body_size`, its header written; the body begins at `body_position`.
  Result<std::vector<std::uint8_t>> begin_frame(protocol::ApiKey key, std::int16_t version,
                                                std::size_t body_size,
                                                std::size_t& body_position) const;
  // Hands the request to the connection; `pending` has a result when that is answered or has ended.
  void begin_call(Link& link, Pending& pending, protocol::ApiKey key, std::int16_t version,
                  std::vector<std::uint8_t> frame);
  void give_up(Pending& pending);

  void begin_link();
  io::Task<void> run_link(std::unique_ptr<Link> owned);
  io::Task<Result<void>> connect(Link& link);
  io::Task<Result<void>> ask_versions(Link& link);
  io::Task<Result<std::vector<std::uint8_t>>> ask_versions_in(Link& link, std::int16_t version,
                                                              std::size_t& body_position);
  io::Task<void> write_loop(Link& link);
  io::Task<void> read_loop(Link& link);
  Result<void> deliver(Link& link, std::vector<std::uint8_t> frame);
  void end_link(Link& link, Error why);

  io::Loop& loop_;
  io::SocketAddress address_;
  RpcClientOptions options_;
  io::Scope scope_;        // run_link()
  io::WaitQueue changed_;  // a connection is up or has ended, or a call has
  Link* link_ = nullptr;   // that calls use; ended ones run to their end by themselves
  Error last_error_;       // of the last connection that ended
  std::uint64_t connect_count_ = 0;
  std::uint32_t correlation_id_ = 0;
  std::size_t calls_ = 0;
  bool closing_ = false;
};

template <class Answer, class Request>
io::Task<Result<RpcReply<Answer>>> RpcClient::call(const Request& request, Duration timeout,
                                                   std::int16_t version_max) {
  static_assert(Request::kApiKey == Answer::kApiKey);
  constexpr auto key = protocol::ApiKey{Request::kApiKey};
  const CallMark mark(*this);
  const Instant deadline = deadline_of(timeout);
  Link* link = usable();
  if (link == nullptr) {
    CO_TRY(link, co_await made_usable(deadline));
  }
  CO_TRY(const std::int16_t version, common_version(*link, key, version_max));
  std::size_t body_position = 0;
  CO_TRY(auto frame, begin_frame(key, version, encoded_size(request, version), body_position));
  protocol::Writer out(MutableByteView(frame).subspan(body_position));
  CO_TRY_VOID(encode(out, request, version));
  Pending pending(loop_);
  begin_call(*link, pending, key, version, std::move(frame));
  while (!pending.result.has_value()) {
    if (!co_await pending.ended.wait_until(deadline)) give_up(pending);
  }
  Result<RpcReply<Answer>> reply;
  CO_TRY(reply->bytes, std::move(*pending.result));
  protocol::Reader in(reply->bytes.body());
  if (const Result<void> read = decode(in, reply->message, version); !read)
    co_return failure(Errc::corrupt, read.error().context);
  co_return reply;
}

}  // namespace drave::raft
