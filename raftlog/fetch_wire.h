#pragma once
// The Fetch that replicas of one log send each other all the time, in the versions that they speak:
// one partition, and records or a high watermark in the answer. The bytes are those of
// protocol::FetchRequest and FetchResponse (wire.h), read and written without making either: with
// many logs on one loop these were a third of what a commit cost.
//
// Whatever else a Fetch may say goes through those: other versions, errors, other partitions,
// snapshots, logs that diverge. Pure.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/result.h"
#include "protocol/messages/fetch.h"
#include "protocol/wire.h"
#include "raftlog/core/messages.h"
#include "raftlog/wire.h"

namespace drave::raft::wire {

// --- At the replica

// To be sent; refers to its group.
struct FetchQuestion {
  static constexpr std::int16_t kApiKey = protocol::FetchRequest::kApiKey;
  const Group& group;
  FetchRequest request;
  std::int32_t bytes_max = 0;
};
std::size_t encoded_size(const FetchQuestion& question, std::int16_t version);
Result<void> encode(protocol::Writer& out, const FetchQuestion& question, std::int16_t version);

// What came; views point into the bytes.
struct FetchTold {
  static constexpr std::int16_t kApiKey = protocol::FetchResponse::kApiKey;
  TopicIdPartition about;
  FetchReply reply;
  ByteView records;
  NodeId leader = -1;  // whose endpoint this is; -1: none was told
  std::string_view host;
  std::int32_t port = 0;
  std::unique_ptr<protocol::FetchResponse> other;  // set: it is not a plain one, and is all here
};
Result<void> decode(protocol::Reader& in, FetchTold& told, std::int16_t version);
// As of a FetchResponse (wire.h).
Result<FetchReply> reply_of(const Group& group, FetchTold& told,
                            std::optional<LeaderAddress>& leader, ByteView& records);

// --- At the leader

struct FetchAsked {
  std::optional<std::string_view> cluster_id;
  TopicIdPartition about;
  FetchRequest request;
  std::int32_t bytes_max = 0;
};
// Nothing: it is not a plain one, or not a request at all.
std::optional<FetchAsked> read_plain_fetch(ByteView body, std::int16_t version);
// What it asks of this group, or with which error it is refused as a whole.
Asked<FetchRequest> asked(const Group& group, const FetchAsked& request);

// What a log has found for a Fetch.
struct Fetched {
  ErrorCode refused = ErrorCode::none;  // of the request as a whole; nothing else counts then
  FetchReply reply;
  const VoterEndpoint* leader = nullptr;  // the log's; valid until the loop goes on
  ByteView records;
  std::shared_ptr<const void> bytes;  // what these are in
};
protocol::OwnedMessage<protocol::FetchResponse> answer_of(const Group& group, Fetched fetched,
                                                          std::int16_t version);

// To be answered with; refers to both.
struct FetchAnswer {
  const Group& group;
  const Fetched& fetched;
};
// Any that is not must be answered with a protocol::FetchResponse.
bool is_plain(const Fetched& fetched, std::int16_t version);
std::size_t encoded_size(const FetchAnswer& answer, std::int16_t version);
Result<void> encode(protocol::Writer& out, const FetchAnswer& answer, std::int16_t version);

}  // namespace drave::raft::wire
