#include "raftlog/fetch_wire.h"

#include <algorithm>
#include <utility>

#include "protocol/varint.h"

namespace drave::raft::wire {

namespace {

using protocol::Reader;
using protocol::Writer;

// Both sides of ours speak these; the names below are those of protocol/schema/01_fetch.kafka.
constexpr std::int16_t kVersionFirst = 17;
constexpr std::int16_t kVersionLast = 18;
constexpr std::int16_t kHighWatermarkVersion = 18;

// Counts and lengths are one more than they are; null is zero.
constexpr std::uint32_t kNone = 1;
constexpr std::uint32_t kOne = 2;
constexpr std::uint32_t kNull = 0;
constexpr std::uint32_t kNoTags = 0;

constexpr std::uint32_t kClusterIdTag = 0;
constexpr std::uint32_t kReplicaStateTag = 1;
constexpr std::uint32_t kDirectoryTag = 0;
constexpr std::uint32_t kHighWatermarkTag = 1;
constexpr std::uint32_t kCurrentLeaderTag = 1;
constexpr std::uint32_t kNodeEndpointsTag = 0;

constexpr std::size_t kTagHead = 2;  // number and size, below 128
constexpr std::uint32_t kUuidSize = 16;
constexpr std::uint32_t kReplicaStateSize = 4 + 8 + 1;
constexpr std::uint32_t kLeaderSize = 4 + 4 + 1;
constexpr std::size_t kTextMax = 100;  // of a text whose lengths are one byte

constexpr std::int64_t kUnknownWatermark = INT64_MAX;

bool is_spoken(std::int16_t version) {
  return version >= kVersionFirst && version <= kVersionLast;
}

bool is_plain(const FetchQuestion& question, std::int16_t version) {
  return is_spoken(version) && question.group.cluster_id.size() <= kTextMax &&
         question.request.replica.id >= 0;
}

std::uint32_t text_size(std::string_view text) {
  return 1 + static_cast<std::uint32_t>(text.size());
}

bool says_watermark(const FetchRequest& request, std::int16_t version) {
  return version >= kHighWatermarkVersion && request.high_watermark != kUnknownWatermark;
}

void put_tag(Writer& out, std::uint32_t tag, std::uint32_t size) {
  out.uvarint(tag);
  out.uvarint(size);
}

void put_text(Writer& out, std::string_view text) {
  out.uvarint(text_size(text));
  out.bytes(as_bytes(text));
}

// Counts, lengths and numbers of tags as we write them: in one byte.
std::uint32_t take_small(Reader& in) {
  return in.integer<std::uint8_t>();
}

// A tagged field with this number and size, if that is what comes next.
bool take_tag(Reader& in, std::uint32_t& left, std::uint32_t tag, std::uint32_t size) {
  if (left == 0) return false;
  Reader ahead = in;
  if (take_small(ahead) != tag || take_small(ahead) != size) return false;
  in = ahead;
  --left;
  return true;
}

// Of plain letters only: what else may be in a text is for others to judge.
std::string_view take_text(Reader& in) {
  const std::uint32_t size = take_small(in);
  if (size == kNull || size > kTextMax + 1) in.fail("not what is expected");
  const ByteView text = in.bytes(in.ok() ? size - 1 : 0);
  if (std::ranges::any_of(text, [](std::uint8_t byte) { return byte >= 0x80; }))
    in.fail("not what is expected");
  return as_text(text);
}

void expect(Reader& in, std::uint32_t value) {
  if (take_small(in) != value) in.fail("not what is expected");
}

std::size_t endpoint_size(const VoterEndpoint& leader) {
  return 1 + 4 + text_size(leader.host) + 4 + 1 + 1;
}

}  // namespace

// --- At the replica

std::size_t encoded_size(const FetchQuestion& question, std::int16_t version) {
  const auto& [group, request, bytes_max] = question;
  if (!is_plain(question, version))
    return encoded_size(request_of(group, request, bytes_max), version);
  constexpr std::size_t kHead = 4 + 4 + 4 + 1 + 4 + 4;
  constexpr std::size_t kPartition = 4 + 4 + 8 + 4 + 8 + 4 + 1;
  constexpr std::size_t kRest = 1 + 1 + 1 + 1;
  std::size_t size = kHead + 1 + kUuidSize + 1 + kPartition + kRest + kTagHead + kReplicaStateSize;
  if (!request.replica.directory_id.is_zero()) size += kTagHead + kUuidSize;
  if (says_watermark(request, version)) size += kTagHead + 8;
  if (!group.cluster_id.empty()) size += kTagHead + text_size(group.cluster_id);
  return size;
}

Result<void> encode(Writer& out, const FetchQuestion& question, std::int16_t version) {
  const auto& [group, request, bytes_max] = question;
  if (!is_plain(question, version))
    return encode(out, request_of(group, request, bytes_max), version);
  out.integer(static_cast<std::int32_t>(request.wait.ns / milliseconds(1).ns));
  out.integer(std::int32_t{0});  // min_bytes
  out.integer(bytes_max);
  out.integer(std::int8_t{0});    // isolation_level
  out.integer(std::int32_t{0});   // session_id
  out.integer(std::int32_t{-1});  // session_epoch
  out.uvarint(kOne);
  out.uuid(group.id.topic_id);
  out.uvarint(kOne);
  out.integer(group.id.partition);
  out.integer(request.epoch);
  out.integer(request.offset);
  out.integer(request.last_epoch);
  out.integer(std::int64_t{-1});  // log_start_offset
  out.integer(bytes_max);
  const bool has_directory = !request.replica.directory_id.is_zero();
  const bool has_watermark = says_watermark(request, version);
  out.uvarint((has_directory ? 1u : 0u) + (has_watermark ? 1u : 0u));
  if (has_directory) {
    put_tag(out, kDirectoryTag, kUuidSize);
    out.uuid(request.replica.directory_id);
  }
  if (has_watermark) {
    put_tag(out, kHighWatermarkTag, 8);
    out.integer(request.high_watermark);
  }
  out.uvarint(kNoTags);
  out.uvarint(kNone);  // forgotten_topics_data
  out.uvarint(kNone);  // rack_id
  const bool has_cluster = !group.cluster_id.empty();
  out.uvarint(has_cluster ? 2 : 1);
  if (has_cluster) {
    put_tag(out, kClusterIdTag, text_size(group.cluster_id));
    put_text(out, group.cluster_id);
  }
  put_tag(out, kReplicaStateTag, kReplicaStateSize);
  out.integer(request.replica.id);
  out.integer(std::int64_t{-1});  // replica_epoch
  out.uvarint(kNoTags);
  if (!out.ok()) return failure(Errc::invalid, out.error());
  return {};
}

namespace {

bool read_plain(Reader& in, FetchTold& told) {
  FetchReply& reply = told.reply;
  in.integer<std::int32_t>();                         // throttle_time_ms
  if (in.integer<std::int16_t>() != 0) return false;  // error_code
  in.integer<std::int32_t>();                         // session_id
  expect(in, kOne);
  told.about.topic_id = in.uuid();
  expect(in, kOne);
  told.about.partition = in.integer<std::int32_t>();
  if (in.integer<std::int16_t>() != 0) return false;  // error_code
  reply.high_watermark = in.integer<std::int64_t>();
  in.integer<std::int64_t>();  // last_stable_offset
  reply.log_start = in.integer<std::int64_t>();
  expect(in, kNone);           // aborted_transactions
  in.integer<std::int32_t>();  // preferred_read_replica
  const std::uint32_t size = in.uvarint();
  if (size == kNull) return false;
  told.records = in.bytes(size - 1);
  std::uint32_t tags = take_small(in);
  if (!take_tag(in, tags, kCurrentLeaderTag, kLeaderSize)) return false;
  reply.leader = in.integer<std::int32_t>();
  reply.epoch = in.integer<std::int32_t>();
  expect(in, kNoTags);
  if (tags != 0) return false;
  expect(in, kNoTags);
  tags = take_small(in);
  if (tags == 0) return in.ok() && in.remaining() == 0;
  if (tags != 1) return false;
  expect(in, kNodeEndpointsTag);
  const std::size_t size_told = take_small(in);
  const std::size_t end = in.position() + size_told;
  expect(in, kOne);
  told.leader = in.integer<std::int32_t>();
  told.host = take_text(in);
  told.port = in.integer<std::int32_t>();
  expect(in, kNull);  // rack
  expect(in, kNoTags);
  return in.ok() && in.remaining() == 0 && in.position() == end;
}

}  // namespace

Result<void> decode(Reader& in, FetchTold& told, std::int16_t version) {
  const ByteView body = in.rest();
  Reader plain(body);
  if (is_spoken(version) && read_plain(plain, told)) return {};
  told = {};
  told.other = std::make_unique<protocol::FetchResponse>();
  Reader any(body);
  return decode(any, *told.other, version);
}

Result<FetchReply> reply_of(const Group& group, FetchTold& told,
                            std::optional<LeaderAddress>& leader, ByteView& records) {
  if (told.other != nullptr) return reply_of(group, *told.other, leader, records);
  if (told.about != group.id) return failure(Errc::corrupt, "an answer about another partition");
  records = told.records;
  if (told.leader >= 0 && told.leader == told.reply.leader && !told.host.empty())
    leader = {told.leader, std::string(told.host), static_cast<std::uint16_t>(told.port)};
  return std::move(told.reply);
}

// --- At the leader

std::optional<FetchAsked> read_plain_fetch(ByteView body, std::int16_t version) {
  if (!is_spoken(version)) return std::nullopt;
  Reader in(body);
  FetchAsked asked;
  FetchRequest& request = asked.request;
  request.wait = milliseconds(in.integer<std::int32_t>());
  in.integer<std::int32_t>();  // min_bytes
  const auto bytes_max = in.integer<std::int32_t>();
  in.integer<std::int8_t>();   // isolation_level
  in.integer<std::int32_t>();  // session_id
  in.integer<std::int32_t>();  // session_epoch
  expect(in, kOne);
  asked.about.topic_id = in.uuid();
  expect(in, kOne);
  asked.about.partition = in.integer<std::int32_t>();
  request.epoch = in.integer<std::int32_t>();
  request.offset = in.integer<std::int64_t>();
  request.last_epoch = in.integer<std::int32_t>();
  in.integer<std::int64_t>();  // log_start_offset
  asked.bytes_max = std::min(bytes_max, in.integer<std::int32_t>());
  std::uint32_t tags = take_small(in);
  if (take_tag(in, tags, kDirectoryTag, kUuidSize)) request.replica.directory_id = in.uuid();
  if (version >= kHighWatermarkVersion && take_tag(in, tags, kHighWatermarkTag, 8))
    request.high_watermark = in.integer<std::int64_t>();
  if (tags != 0) return std::nullopt;
  expect(in, kNoTags);
  expect(in, kNone);  // forgotten_topics_data
  expect(in, kNone);  // rack_id
  tags = take_small(in);
  Reader ahead = in;
  if (tags > 0 && take_small(ahead) == kClusterIdTag) {
    const std::size_t size = take_small(ahead);
    const std::size_t end = ahead.position() + size;
    asked.cluster_id = take_text(ahead);
    if (ahead.position() != end) return std::nullopt;
    in = ahead;
    --tags;
  }
  if (!take_tag(in, tags, kReplicaStateTag, kReplicaStateSize)) return std::nullopt;
  request.replica.id = in.integer<std::int32_t>();
  in.integer<std::int64_t>();  // replica_epoch
  expect(in, kNoTags);
  const bool is_whole = in.ok() && in.remaining() == 0 && tags == 0;
  const bool is_sound = request.wait.ns >= 0 && request.last_epoch >= 0;
  if (!is_whole || !is_sound) return std::nullopt;
  return asked;
}

Asked<FetchRequest> asked(const Group& group, const FetchAsked& request) {
  const bool is_our_cluster = group.cluster_id.empty() || !request.cluster_id.has_value() ||
                              *request.cluster_id == group.cluster_id;
  if (!is_our_cluster) return std::unexpected(ErrorCode::inconsistent_cluster_id);
  if (request.about != group.id) return std::unexpected(ErrorCode::invalid_request);
  return request.request;
}

protocol::OwnedMessage<protocol::FetchResponse> answer_of(const Group& group, Fetched fetched,
                                                          std::int16_t version) {
  if (fetched.refused != ErrorCode::none) return refusal<protocol::FetchResponse>(fetched.refused);
  auto answer = answer_of(group, fetched.reply, fetched.leader, version);
  answer.message.responses.front().partitions.front().records = fetched.records;
  answer.bytes = std::move(fetched.bytes);
  return answer;
}

bool is_plain(const Fetched& fetched, std::int16_t version) {
  const FetchReply& reply = fetched.reply;
  return is_spoken(version) && fetched.refused == ErrorCode::none &&
         reply.error == ErrorCode::none && !reply.diverging.has_value() &&
         !reply.snapshot.has_value() && reply.leader >= 0 &&
         (fetched.leader == nullptr || fetched.leader->host.size() <= kTextMax);
}

std::size_t encoded_size(const FetchAnswer& answer, std::int16_t) {
  const Fetched& fetched = answer.fetched;
  constexpr std::size_t kHead = 4 + 2 + 4;
  constexpr std::size_t kPartition = 4 + 2 + 8 + 8 + 8 + 1 + 4;
  constexpr std::size_t kLeader = 1 + kTagHead + kLeaderSize;
  const std::size_t records = fetched.records.size();
  std::size_t size = kHead + 1 + kUuidSize + 1 + kPartition + kLeader + 1 + 1;
  size += protocol::unsigned_varint_size(static_cast<std::uint32_t>(records + 1)) + records;
  if (fetched.leader != nullptr) size += kTagHead + endpoint_size(*fetched.leader);
  return size;
}

Result<void> encode(Writer& out, const FetchAnswer& answer, std::int16_t) {
  const auto& [group, fetched] = answer;
  out.integer(std::int32_t{0});  // throttle_time_ms
  out.integer(std::int16_t{0});  // error_code
  out.integer(std::int32_t{0});  // session_id
  out.uvarint(kOne);
  out.uuid(group.id.topic_id);
  out.uvarint(kOne);
  out.integer(group.id.partition);
  out.integer(std::int16_t{0});  // error_code
  out.integer(fetched.reply.high_watermark);
  out.integer(std::int64_t{-1});  // last_stable_offset
  out.integer(fetched.reply.log_start);
  out.uvarint(kNone);             // aborted_transactions
  out.integer(std::int32_t{-1});  // preferred_read_replica
  out.uvarint(static_cast<std::uint32_t>(fetched.records.size() + 1));
  out.bytes(fetched.records);
  out.uvarint(1);
  put_tag(out, kCurrentLeaderTag, kLeaderSize);
  out.integer(fetched.reply.leader);
  out.integer(fetched.reply.epoch);
  out.uvarint(kNoTags);
  out.uvarint(kNoTags);
  const VoterEndpoint* leader = fetched.leader;
  out.uvarint(leader != nullptr ? 1 : 0);
  if (leader != nullptr) {
    put_tag(out, kNodeEndpointsTag, static_cast<std::uint32_t>(endpoint_size(*leader)));
    out.uvarint(kOne);
    out.integer(fetched.reply.leader);
    put_text(out, leader->host);
    out.integer(std::int32_t{leader->port});
    out.uvarint(kNull);  // rack
    out.uvarint(kNoTags);
  }
  if (!out.ok()) return failure(Errc::invalid, out.error());
  return {};
}

}  // namespace drave::raft::wire
