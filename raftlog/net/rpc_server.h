#pragma once
// The other end of rpc_client.h, for programs that are not a broker: accepts connections, reads
// frames, has each request served by a handler, and answers in the order of the requests (unless
// it is told otherwise).
//
// Requests of one connection are served at the same time, as many as in_flight_max; then its socket
// is not read. ApiVersions is answered here. A request that cannot be read, or of an API
// that is not served, ends its connection, as Kafka does.
//
// Lives on one loop, which outlives it, and so does the handler. close() before it is destroyed.

#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "base/intrusive_list.h"
#include "base/result.h"
#include "io/scope.h"
#include "io/socket.h"
#include "io/task.h"
#include "protocol/api_key.h"
#include "protocol/wire.h"
#include "raftlog/net/limits.h"

namespace drave::raft {

// A request and the place for its answer; lives until the answer is sent.
class RpcExchange : public ListLink<> {
 public:
  RpcExchange(std::vector<std::uint8_t> frame, std::size_t body_position, std::int32_t correlation)
      : frame_(std::move(frame)), body_position_(body_position), correlation_id_(correlation) {}

  protocol::ApiKey key = {};
  std::int16_t version = 0;
  std::string_view client_id;

  ByteView body() const { return ByteView(frame_).subspan(body_position_); }
  // What was read has views into this.
  template <class Message>
  Result<void> read(Message& message) const {
    protocol::Reader in(body());
    return decode(in, message, version);
  }
  // Encodes the answer, records included: nothing of `message` is needed afterwards. Once; a
  // request that is not answered when its handler ends, because it could not be read or because the
  // message cannot be said, ends the connection.
  template <class Message>
  Result<void> answer(const Message& message) {
    std::size_t position = 0;
    TRY(auto bytes, begin_answer(encoded_size(message, version), position));
    protocol::Writer out(MutableByteView(bytes).subspan(position));
    TRY_VOID(encode(out, message, version));
    answer_ = std::move(bytes);
    return {};
  }

 private:
  friend class RpcServer;
  Result<std::vector<std::uint8_t>> begin_answer(std::size_t body_size,
                                                 std::size_t& position) const;

  std::vector<std::uint8_t> frame_;
  std::size_t body_position_;
  std::int32_t correlation_id_;
  std::vector<std::uint8_t> answer_;  // empty: none yet
  bool is_served_ = false;
};

class RpcHandler {
 public:
  // Returns when it has called exchange.answer(), or to end the connection without.
  virtual io::Task<void> serve(RpcExchange& exchange) = 0;

 protected:
  ~RpcHandler() = default;
};

struct RpcServerOptions {
  // Kafka's clients rely on it. An RpcClient does not: an answer then leaves when it is there, and
  // a fetch that waits holds up nothing that was asked behind it.
  bool in_order = true;
  std::vector<protocol::ApiKey> apis;  // that the handler serves
  bool names_kraft_version = false;    // ApiVersions tells which levels of it this node speaks
  // Newest versions of APIs that are told, where they are not the newest that there are.
  std::vector<std::pair<protocol::ApiKey, std::int16_t>> versions_max;
  std::size_t frame_bytes_max = kRpcFrameBytesMax;
  std::size_t connections_max = kRpcConnectionsMax;
  std::size_t in_flight_max = kRpcInFlightMax;  // of a connection
};

class RpcServer {
 public:
  RpcServer(io::Loop& loop, RpcServerOptions options, RpcHandler& handler);
  ~RpcServer();
  RpcServer(const RpcServer&) = delete;

  // Accepts connections from now on; port 0: one is chosen. Once.
  io::Task<Result<void>> listen(io::SocketAddress address);
  std::uint16_t port() const { return listener_.port(); }
  std::size_t connection_count() const { return connection_count_; }

  // Ends all connections and returns when the handlers of their requests have ended; whoever makes
  // them wait has let go of them.
  io::Task<void> close();

 private:
  struct Connection;

  io::Task<void> accept_loop();
  io::Task<void> serve_connection(std::unique_ptr<Connection> owned);
  io::Task<void> read_loop(Connection& connection);
  io::Task<void> write_loop(Connection& connection);
  io::Task<void> serve(Connection& connection, RpcExchange& exchange);
  Result<std::unique_ptr<RpcExchange>> open_frame(std::vector<std::uint8_t> frame) const;
  void answer_versions(RpcExchange& exchange) const;
  void collect_served(Connection& connection,
                      std::vector<std::unique_ptr<RpcExchange>>& sending) const;
  void end_connection(Connection& connection);

  io::Loop& loop_;
  RpcServerOptions options_;
  RpcHandler& handler_;
  io::Listener listener_;
  io::Scope scope_;
  IntrusiveList<Connection> connections_;
  std::size_t connection_count_ = 0;
};

}  // namespace drave::raft
