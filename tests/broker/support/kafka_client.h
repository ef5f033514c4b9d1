#pragma once
// A client for tests: one connection, one request at a time (or frames as raw bytes), on any
// backend.

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "io/loop.h"
#include "io/socket.h"
#include "protocol/header.h"
#include "protocol/wire.h"

namespace drave::test {

// An answer and the frame that its views point into.
template <class M>
struct Answer {
  M message;
  std::vector<std::uint8_t> frame;
};

class KafkaClient {
 public:
  explicit KafkaClient(io::Loop& loop) : loop_(loop) {}

  io::Task<Result<void>> connect(io::SocketAddress address) {
    CO_TRY(socket_, co_await io::Socket::connect(loop_, std::move(address)));
    co_return Result<void>{};
  }
  io::Task<void> close() {
    if (socket_.is_open()) co_await socket_.close();
  }
  io::Task<void> wait(Duration span) { co_await io::sleep_for(loop_, span); }
  io::Loop& loop() { return loop_; }
  bool is_open() const { return socket_.is_open(); }

  template <class Request>
  std::vector<std::uint8_t> frame_of(const Request& request, std::int16_t version) {
    protocol::Writer out;
    out.integer(std::int32_t{0});
    protocol::RequestHeader header;
    header.request_api_key = Request::kApiKey;
    header.request_api_version = version;
    header.correlation_id = ++correlation_id_;
    header.client_id = "test";
    ASSERT(encode_request_header(out, header).has_value());
    ASSERT(encode(out, request, version).has_value());
    out.patch(0, static_cast<std::int32_t>(out.size() - 4));
    return {out.own().begin(), out.own().end()};
  }

  io::Task<Result<void>> send_bytes(std::vector<std::uint8_t> bytes) {
    std::vector<iovec> pieces{{bytes.data(), bytes.size()}};
    co_return co_await socket_.send_all(std::move(pieces));
  }

  // The next frame, without its length. Errc::closed: the peer has closed.
  io::Task<Result<std::vector<std::uint8_t>>> receive_frame() {
    std::vector<std::uint8_t> length(4);
    CO_TRY_VOID(co_await fill(length));
    std::vector<std::uint8_t> frame(load_big<std::uint32_t>(length.data()));
    CO_TRY_VOID(co_await fill(frame));
    co_return frame;
  }

  template <class Response, class Request>
  io::Task<Result<Answer<Response>>> call(Request request, std::int16_t version) {
    CO_TRY_VOID(co_await send_bytes(frame_of(request, version)));
    co_return co_await answer_to<Response, Request>(version);
  }
  // Of what was sent last.
  template <class Response, class Request>
  io::Task<Result<Answer<Response>>> answer_to(std::int16_t version) {
    Answer<Response> answer;
    CO_TRY(answer.frame, co_await receive_frame());
    protocol::Reader in(answer.frame);
    protocol::ResponseHeader header;
    CO_TRY_VOID(decode_response_header(in, header, Request::kApiKey, version));
    if (header.correlation_id != correlation_id_)
      co_return failure(Errc::corrupt, "an answer with another correlation id");
    CO_TRY_VOID(decode(in, answer.message, version));
    if (in.remaining() != 0) co_return failure(Errc::corrupt, "bytes behind an answer");
    co_return answer;
  }

 private:
  io::Task<Result<void>> fill(MutableByteView into) {
    while (!into.empty()) {
      CO_TRY(const std::size_t size, co_await socket_.receive_some(into));
      if (size == 0) co_return failure(Errc::closed, "the broker closed the connection");
      into = into.subspan(size);
    }
    co_return Result<void>{};
  }

  io::Loop& loop_;
  io::Socket socket_;
  std::int32_t correlation_id_ = 0;
};

}  // namespace drave::test
