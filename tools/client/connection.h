#pragma once
// One blocking TCP connection that sends a request and waits for its answer. For one thread.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "protocol/header.h"
#include "protocol/wire.h"
#include "tools/client/endpoint.h"

namespace drave::client {

using Milliseconds = std::chrono::milliseconds;

// What an answer's length may announce; read as it comes, never allocated ahead.
inline constexpr std::int32_t kAnswerBytesMax = 256 * 1024 * 1024;

// A descriptor that closes itself.
class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Socket();
  int fd() const { return fd_; }

 private:
  int fd_ = -1;
};

// Connects with TCP_NODELAY set, non-blocking. Errors: closed (nobody listens, no such host),
// timed_out.
Result<Socket> dial(const Endpoint& endpoint, Milliseconds timeout);

// A request with its length and header, ready to be sent.
template <class Request>
Result<void> encode_frame(protocol::Writer& out, const Request& request, std::int16_t version,
                          std::int32_t correlation_id) {
  out.clear();
  out.integer(std::int32_t{0});
  const protocol::RequestHeader header{.request_api_key = Request::kApiKey,
                                       .request_api_version = version,
                                       .correlation_id = correlation_id,
                                       .client_id = "drave"};
  TRY_VOID(encode_request_header(out, header));
  TRY_VOID(encode(out, request, version));
  out.patch(0, static_cast<std::int32_t>(out.size() - 4));
  return {};
}

class Connection {
 public:
  // Errors: as of dial().
  static Result<std::unique_ptr<Connection>> open(const Endpoint& endpoint, Milliseconds timeout);

  // Sends the request and waits for its answer. `body` gets the answer's bytes, to which the views
  // in `response` point. Errors: closed, timed_out; invalid or unsupported where the answer is not
  // understood. After an error the connection is of no more use.
  template <class Request, class Response>
  Result<void> call(const Request& request, std::int16_t version, Response& response,
                    std::vector<std::uint8_t>& body) {
    static_assert(Request::kApiKey == Response::kApiKey);
    TRY_VOID(encode_frame(out_, request, version, ++correlation_id_));
    TRY_VOID(exchange(body));
    protocol::Reader in(body);
    protocol::ResponseHeader header;
    TRY_VOID(decode_response_header(in, header, Request::kApiKey, version));
    if (header.correlation_id != correlation_id_)
      return failure(Errc::invalid, "the answer is to another request");
    return decode(in, response, version);
  }

  const Endpoint& endpoint() const { return endpoint_; }
  // Of each following call.
  void set_timeout(Milliseconds timeout) { timeout_ = timeout; }
  // Of all following calls together, one that has no answer within `after` calls `told`, and then
  // waits on.
  void on_slow(Milliseconds after, std::function<void()> told) {
    slow_after_ = after;
    slow_ = std::move(told);
  }

 private:
  Connection(Endpoint endpoint, Socket socket, Milliseconds timeout)
      : endpoint_(std::move(endpoint)), socket_(std::move(socket)), timeout_(timeout) {}
  Result<void> exchange(std::vector<std::uint8_t>& body);
  Result<void> wait(short events, std::chrono::steady_clock::time_point end) const;
  Result<void> send_all(std::chrono::steady_clock::time_point end);
  Result<void> receive(std::uint8_t* at, std::size_t size,
                       std::chrono::steady_clock::time_point end) const;
  void wait_patiently(std::chrono::steady_clock::time_point end);

  Endpoint endpoint_;
  Socket socket_;
  Milliseconds timeout_;
  Milliseconds slow_after_{};
  std::function<void()> slow_;  // null: nobody wants to know, or knows
  protocol::Writer out_;
  std::int32_t correlation_id_ = 0;
};

}  // namespace drave::client
