#pragma once
// A node that serves and one that calls, for the tests of raftlog/net.

#include <gtest/gtest.h>

#include <functional>
#include <utility>
#include <vector>

#include "io/scope.h"
#include "io/sim/world.h"
#include "io/sync.h"
#include "protocol/header.h"
#include "protocol/messages/api_versions.h"
#include "protocol/messages/fetch.h"
#include "protocol/messages/vote.h"
#include "raftlog/net/frame_reader.h"
#include "raftlog/net/rpc_client.h"
#include "raftlog/net/rpc_server.h"

namespace drave::raft::test {

using protocol::ApiKey;

inline protocol::VoteRequest vote_in(LeaderEpoch epoch) {
  protocol::VoteRequest request;
  auto& topic = request.topics.emplace_back();
  topic.topic_name = "__cluster_metadata";
  topic.partitions.emplace_back().replica_epoch = epoch;
  return request;
}

inline LeaderEpoch epoch_of(const protocol::VoteResponse& response) {
  if (response.topics.size() != 1 || response.topics[0].partitions.size() != 1) return -1;
  return response.topics[0].partitions[0].leader_epoch;
}

// Answers a Vote with its epoch, and a Fetch after max_wait_ms with its max_bytes bytes.
class EchoHandler final : public RpcHandler {
 public:
  explicit EchoHandler(io::Loop& loop) : loop_(loop) {}

  io::Task<void> serve(RpcExchange& exchange) override {
    ++serving;
    serving_max = std::max(serving_max, serving);
    versions.push_back(exchange.version);
    while (is_holding) co_await io::sleep_for(loop_, milliseconds(1));
    if (exchange.key == ApiKey::vote)
      answer_vote(exchange);
    else
      co_await answer_fetch(exchange);
    --serving;
  }

  // Set from anywhere: nobody answers meanwhile.
  bool is_holding = false;
  std::size_t serving = 0;
  std::size_t serving_max = 0;
  std::vector<std::int16_t> versions;

 private:
  static void answer_vote(RpcExchange& exchange) {
    protocol::VoteRequest request;
    if (!exchange.read(request) || request.topics.empty()) return;
    protocol::VoteResponse response;
    auto& topic = response.topics.emplace_back();
    topic.topic_name = request.topics[0].topic_name;
    topic.partitions.emplace_back().leader_epoch = request.topics[0].partitions[0].replica_epoch;
    EXPECT_TRUE(exchange.answer(response).has_value());
  }
  io::Task<void> answer_fetch(RpcExchange& exchange) {
    protocol::FetchRequest request;
    if (!exchange.read(request)) co_return;
    co_await io::sleep_for(loop_, milliseconds(request.max_wait_ms));
    const std::vector<std::uint8_t> records(static_cast<std::size_t>(request.max_bytes), 7);
    protocol::FetchResponse response;
    response.responses.emplace_back().partitions.emplace_back().records = ByteView(records);
    EXPECT_TRUE(exchange.answer(response).has_value());
  }

  io::Loop& loop_;
};

inline const std::vector<ApiKey> kServed{ApiKey::vote, ApiKey::fetch};

// A frame that answers in `version`.
template <class Message>
std::vector<std::uint8_t> answer_frame(const Message& message, std::int16_t version,
                                       std::int32_t correlation_id) {
  protocol::Writer out;
  out.integer<std::int32_t>(0);
  protocol::encode_response_header(out, Message::kApiKey, version, correlation_id);
  EXPECT_TRUE(encode(out, message, version).has_value());
  out.patch(0, static_cast<std::int32_t>(out.size() - sizeof(std::int32_t)));
  return {out.own().begin(), out.own().end()};
}

// What a peer that follows a script sends back; nothing: it ends the connection's output.
using Script = std::function<std::vector<std::uint8_t>(protocol::RequestHeader header)>;

// Names Vote in [min, max] when it is asked for its versions.
inline std::vector<std::uint8_t> name_versions(const protocol::RequestHeader& header,
                                               std::int16_t min, std::int16_t max) {
  protocol::ApiVersionsResponse response;
  response.api_keys.push_back({static_cast<std::int16_t>(ApiKey::vote), min, max});
  return answer_frame(response, header.request_api_version, header.correlation_id);
}

inline io::Task<void> follow_script(io::Loop& loop, io::Handle handle, const Script& script) {
  io::Socket socket(loop, handle);
  FrameReader frames(socket, kRpcFrameBytesMax);
  while (true) {
    Result<std::vector<std::uint8_t>> frame = co_await frames.next();
    if (!frame) break;
    protocol::Reader in(*frame);
    protocol::RequestHeader header;
    EXPECT_TRUE(decode_request_header(in, header).has_value());
    std::vector<std::uint8_t> bytes = script(header);
    if (bytes.empty())
      co_await socket.shutdown_write();
    else if (!co_await socket.send_all({{bytes.data(), bytes.size()}}))
      break;
  }
  co_await socket.close();
}

}  // namespace drave::raft::test
