#include "raftlog/net/rpc_server.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "protocol/error_code.h"
#include "protocol/header.h"
#include "protocol/messages/api_versions.h"
#include "raftlog/core/features.h"
#include "raftlog/net/frame_reader.h"

namespace drave::raft {
namespace {

// From which version of ApiVersions on a level of 0 can be told.
constexpr std::int16_t kVersionsWithFeatures = 4;

io::Task<void> shut_down(io::Socket& socket) {
  co_await socket.shutdown_both();
}

}  // namespace

struct RpcServer::Connection : ListLink<> {
  Connection(io::Loop& loop, io::Handle handle, std::size_t frame_bytes_max)
      : socket(loop, handle), frames(socket, frame_bytes_max), scope(loop), progress(loop) {}
  bool may_read(std::size_t in_flight_max) const {
    return exchange_count < in_flight_max && unsent_bytes < kRpcUnsentBytesMax;
  }

  io::Socket socket;
  FrameReader frames;
  io::Scope scope;                       // handlers, the writer, a shutdown
  io::WaitQueue progress;                // an exchange was served or sent, or this is ending
  IntrusiveList<RpcExchange> exchanges;  // owned, in the order of the requests
  IntrusiveList<RpcExchange> served;     // owned, not in order
  std::size_t exchange_count = 0;
  std::size_t unsent_bytes = 0;
  bool is_read = false;    // the peer sends nothing more, or is not listened to
  bool is_broken = false;  // nothing can be sent any more
};

Result<std::vector<std::uint8_t>> RpcExchange::begin_answer(std::size_t body_size,
                                                            std::size_t& position) const {
  ASSERT(answer_.empty());
  const auto api_key = static_cast<std::int16_t>(key);
  const std::size_t size = protocol::response_header_size(api_key, version) + body_size;
  if (size > protocol::kMessageBytesMax)
    return failure(Errc::too_large, "an answer of " + std::to_string(size) + " bytes");
  std::vector<std::uint8_t> bytes(sizeof(std::int32_t) + size);
  store_big(bytes.data(), static_cast<std::int32_t>(size));
  protocol::Writer out(MutableByteView(bytes).subspan(sizeof(std::int32_t)));
  encode_response_header(out, api_key, version, correlation_id_);
  position = sizeof(std::int32_t) + out.size();
  return bytes;
}

RpcServer::RpcServer(io::Loop& loop, RpcServerOptions options, RpcHandler& handler)
    : loop_(loop), options_(std::move(options)), handler_(handler), scope_(loop) {}

RpcServer::~RpcServer() {
  ASSERT(connections_.empty());
}

io::Task<Result<void>> RpcServer::listen(io::SocketAddress address) {
  CO_TRY(listener_, co_await io::Listener::open(loop_, std::move(address)));
  scope_.spawn(accept_loop());
  co_return Result<void>{};
}

io::Task<void> RpcServer::close() {
  scope_.request_stop();
  co_await listener_.close();
  connections_.for_each([&](Connection& one) { end_connection(one); });
  co_await scope_.join();
}

io::Task<void> RpcServer::accept_loop() {
  while (!scope_.is_stopping()) {
    Result<io::Listener::Accepted> accepted = co_await listener_.accept();
    if (!accepted && accepted.error().code == Errc::busy) {
      co_await scope_.stopping().wait_until(loop_.now() + kRpcAcceptPause);
      continue;
    }
    if (!accepted) co_return;
    io::Socket socket(loop_, accepted->handle);
    if (scope_.is_stopping() || connection_count_ >= options_.connections_max) {
      co_await socket.close();
      continue;
    }
    auto connection =
        std::make_unique<Connection>(loop_, socket.release(), options_.frame_bytes_max);
    connections_.push_back(*connection);
    ++connection_count_;
    scope_.spawn(serve_connection(std::move(connection)));
  }
}

io::Task<void> RpcServer::serve_connection(std::unique_ptr<Connection> owned) {
  Connection& connection = *owned;
  connection.scope.spawn(write_loop(connection));
  co_await read_loop(connection);
  connection.is_read = true;
  connection.progress.wake_all();
  co_await connection.scope.join();
  ASSERT_EQUAL(connection.exchange_count, 0u);
  connection.unlink();  // close() does not meet it any more
  co_await connection.socket.close();
  --connection_count_;
}

io::Task<void> RpcServer::read_loop(Connection& connection) {
  while (!connection.is_read) {
    while (!connection.may_read(options_.in_flight_max) && !connection.is_broken)
      co_await connection.progress.wait();
    if (connection.is_broken) co_return;
    std::optional<std::vector<std::uint8_t>> frame = connection.frames.take_arrived();
    if (!frame.has_value()) {
      Result<std::vector<std::uint8_t>> next = co_await connection.frames.next();
      if (!next && next.error().code == Errc::closed) co_return;  // what was asked is answered
      if (!next) co_return end_connection(connection);
      // It ended meanwhile: whoever writes answers may have gone already.
      if (connection.is_broken) co_return;
      frame = std::move(*next);
    }
    Result<std::unique_ptr<RpcExchange>> exchange = open_frame(std::move(*frame));
    if (!exchange) {
      LOG_WARN("raft", "connection=refused reason={}", exchange.error().message());
      co_return end_connection(connection);
    }
    connection.exchanges.push_back(**exchange);
    ++connection.exchange_count;
    connection.scope.spawn(serve(connection, *exchange->release()));
  }
}

Result<std::unique_ptr<RpcExchange>> RpcServer::open_frame(std::vector<std::uint8_t> frame) const {
  protocol::Reader in(frame);
  protocol::RequestHeader header;
  TRY_VOID(decode_request_header(in, header));
  const protocol::ApiInfo* api = protocol::find_api(header.request_api_key);
  const bool is_served = api != nullptr && (api->key == protocol::ApiKey::api_versions ||
                                            std::ranges::count(options_.apis, api->key) > 0);
  if (!is_served)
    return failure(Errc::invalid, "a request of API " + std::to_string(header.request_api_key));
  const bool is_spoken =
      api->key == protocol::ApiKey::api_versions || api->supports(header.request_api_version);
  if (!is_spoken)
    return failure(Errc::invalid, "a request of " + std::string(api->name) + " in version " +
                                      std::to_string(header.request_api_version));
  const std::size_t body_position = in.position();
  // The header's text stays where it is when the frame is moved.
  auto exchange =
      std::make_unique<RpcExchange>(std::move(frame), body_position, header.correlation_id);
  exchange->key = api->key;
  exchange->version = header.request_api_version;
  exchange->client_id = header.client_id.value_or("");
  return exchange;
}

io::Task<void> RpcServer::serve(Connection& connection, RpcExchange& exchange) {
  if (exchange.key == protocol::ApiKey::api_versions)
    answer_versions(exchange);
  else
    co_await handler_.serve(exchange);
  exchange.is_served_ = true;
  if (!options_.in_order) {
    exchange.unlink();
    connection.served.push_back(exchange);
  }
  connection.unsent_bytes += exchange.answer_.size();
  connection.progress.wake_all();
}

void RpcServer::answer_versions(RpcExchange& exchange) const {
  protocol::ApiVersionsResponse answer;
  const protocol::ApiInfo& own = protocol::api_info(protocol::ApiKey::api_versions);
  if (!own.supports(exchange.version)) {
    answer.error_code = static_cast<std::int16_t>(protocol::ErrorCode::unsupported_version);
    exchange.version = 0;
  }
  const auto add = [&](const protocol::ApiInfo& api) {
    answer.api_keys.push_back({static_cast<std::int16_t>(api.key), api.min, api.max_stable()});
  };
  add(own);
  for (const protocol::ApiKey key : options_.apis) add(protocol::api_info(key));
  for (const auto& [key, version] : options_.versions_max) {
    for (auto& told : answer.api_keys) {
      if (told.api_key == static_cast<std::int16_t>(key)) told.max_version = version;
    }
  }
  if (options_.names_kraft_version && exchange.version >= kVersionsWithFeatures) {
    const SupportedFeature* range = find_feature(kKraftVersion);
    answer.supported_features.push_back({range->name, range->min, range->max});
  }
  ASSERT(exchange.answer(answer).has_value());
}

// Takes what may be sent now; a request that was not answered alone.
void RpcServer::collect_served(Connection& connection,
                               std::vector<std::unique_ptr<RpcExchange>>& sending) const {
  IntrusiveList<RpcExchange>& from = options_.in_order ? connection.exchanges : connection.served;
  while (!from.empty()) {
    RpcExchange& first = from.front();
    const bool is_unanswered = first.answer_.empty();
    if (!first.is_served_ || (is_unanswered && !sending.empty())) return;
    first.unlink();
    sending.emplace_back(&first);
    if (is_unanswered) return;
  }
}

io::Task<void> RpcServer::write_loop(Connection& connection) {
  std::vector<std::unique_ptr<RpcExchange>> sending;
  while (true) {
    collect_served(connection, sending);
    if (sending.empty()) {
      if (connection.is_read && connection.exchange_count == 0) co_return;
      co_await connection.progress.wait();
      continue;
    }
    std::vector<iovec> pieces;
    std::size_t bytes = 0;
    for (const auto& one : sending) {
      bytes += one->answer_.size();
      pieces.push_back({one->answer_.data(), one->answer_.size()});
    }
    // Without an answer it stands alone, and ends the connection.
    const bool is_sent = bytes > 0 && !connection.is_broken &&
                         co_await connection.socket.send_all(std::move(pieces));
    if (!is_sent) end_connection(connection);
    connection.unsent_bytes -= bytes;
    connection.exchange_count -= sending.size();
    sending.clear();
    connection.progress.wake_all();
  }
}

void RpcServer::end_connection(Connection& connection) {
  if (std::exchange(connection.is_broken, true)) return;
  connection.is_read = true;
  connection.scope.spawn(shut_down(connection.socket));
  connection.progress.wake_all();
}

}  // namespace drave::raft
