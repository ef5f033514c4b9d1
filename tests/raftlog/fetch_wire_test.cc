// The short way of a Fetch says what the long one says, byte for byte, and understands what it
// says.

#include "raftlog/fetch_wire.h"

#include <algorithm>
#include <vector>

#include "base/random.h"
#include "gtest/gtest.h"

namespace drave::raft::wire {
namespace {

using Bytes = std::vector<std::uint8_t>;

const Group kGroup{"ZHJhdmUtcmFmdGxvZy0wMQ", "raftlog", {Uuid{31, 32}, 5}};
const VoterEndpoint kEndpoint{"CONTROLLER", "one.example", 9093};
constexpr std::int32_t kBytesMax = 1 << 20;

template <class Message>
Bytes bytes_of(const Message& message, std::int16_t version) {
  Bytes bytes(encoded_size(message, version));
  protocol::Writer out{MutableByteView(bytes)};
  EXPECT_TRUE(encode(out, message, version).has_value());
  EXPECT_EQ(out.size(), bytes.size());
  return bytes;
}

FetchRequest random_request(Random& random) {
  FetchRequest request;
  request.epoch = static_cast<LeaderEpoch>(random.between(0, 1000));
  request.replica.id = static_cast<NodeId>(random.between(0, 5));
  if (random.between(0, 1) == 1) request.replica.directory_id = Uuid{random.next(), random.next()};
  request.offset = random.between(0, INT64_MAX / 2);
  request.last_epoch = static_cast<LeaderEpoch>(random.between(0, 1000));
  if (random.between(0, 1) == 1) request.high_watermark = random.between(-1, 1 << 30);
  request.wait = milliseconds(random.between(0, 1000));
  return request;
}

Group random_group(Random& random) {
  Group group = kGroup;
  if (random.between(0, 2) == 0) group.cluster_id.clear();
  return group;
}

void expect_same(const FetchRequest& one, const FetchRequest& other) {
  EXPECT_EQ(one.epoch, other.epoch);
  EXPECT_EQ(one.replica, other.replica);
  EXPECT_EQ(one.offset, other.offset);
  EXPECT_EQ(one.last_epoch, other.last_epoch);
  EXPECT_EQ(one.high_watermark, other.high_watermark);
  EXPECT_EQ(one.wait.ns, other.wait.ns);
}

TEST(FetchWire, asks_in_the_same_bytes) {
  Random random(1);
  for (int i = 0; i < 300; ++i) {
    const Group group = random_group(random);
    const FetchRequest request = random_request(random);
    for (std::int16_t version = 15; version <= 18; ++version) {
      const Bytes bytes = bytes_of(FetchQuestion{group, request, kBytesMax}, version);
      const auto message = request_of(group, request, kBytesMax);
      ASSERT_EQ(bytes, bytes_of(message, version)) << version;
      const std::optional<FetchAsked> read = read_plain_fetch(bytes, version);
      ASSERT_EQ(read.has_value(), version >= 17);
      if (!read.has_value()) continue;
      protocol::FetchRequest back;
      protocol::Reader in(bytes);
      ASSERT_TRUE(decode(in, back, version).has_value());
      const auto expected = asked(group, back, version);
      const auto found = asked(group, *read);
      ASSERT_TRUE(expected.has_value() && found.has_value());
      expect_same(*found, *expected);
      EXPECT_EQ(read->bytes_max, kBytesMax);
    }
  }
}

TEST(FetchWire, refuses_what_is_about_another_group) {
  const FetchRequest request{5, {1, Uuid{11, 12}}, 300, 4, 290, milliseconds(500)};
  const Bytes bytes = bytes_of(FetchQuestion{kGroup, request, 100}, 18);
  const auto read = read_plain_fetch(bytes, 18);
  ASSERT_TRUE(read.has_value());
  Group other = kGroup;
  other.id.partition = 6;
  EXPECT_EQ(asked(other, *read).error(), ErrorCode::invalid_request);
  other = kGroup;
  other.cluster_id = "another";
  EXPECT_EQ(asked(other, *read).error(), ErrorCode::inconsistent_cluster_id);
}

Fetched random_fetched(Random& random, const Bytes& records) {
  Fetched fetched;
  fetched.reply.epoch = static_cast<LeaderEpoch>(random.between(0, 1000));
  fetched.reply.leader = static_cast<NodeId>(random.between(0, 5));
  fetched.reply.high_watermark = random.between(-1, 1 << 30);
  fetched.reply.log_start = random.between(0, 100);
  if (random.between(0, 3) > 0) fetched.leader = &kEndpoint;
  fetched.records = ByteView(records).first(
      static_cast<std::size_t>(random.between(0, static_cast<std::int64_t>(records.size()))));
  return fetched;
}

TEST(FetchWire, answers_in_the_same_bytes) {
  Random random(2);
  Bytes records(40'000);
  for (std::uint8_t& byte : records) byte = static_cast<std::uint8_t>(random.next());
  for (int i = 0; i < 300; ++i) {
    const Fetched fetched = random_fetched(random, records);
    for (std::int16_t version = 17; version <= 18; ++version) {
      ASSERT_TRUE(is_plain(fetched, version));
      const Bytes bytes = bytes_of(FetchAnswer{kGroup, fetched}, version);
      ASSERT_EQ(bytes, bytes_of(answer_of(kGroup, fetched, version).message, version));
      FetchTold told;
      protocol::Reader in(bytes);
      ASSERT_TRUE(decode(in, told, version).has_value());
      EXPECT_EQ(told.other, nullptr);
      std::optional<LeaderAddress> leader;
      ByteView read;
      const auto reply = reply_of(kGroup, told, leader, read);
      ASSERT_TRUE(reply.has_value());
      EXPECT_EQ(reply->epoch, fetched.reply.epoch);
      EXPECT_EQ(reply->leader, fetched.reply.leader);
      EXPECT_EQ(reply->high_watermark, fetched.reply.high_watermark);
      EXPECT_EQ(reply->log_start, fetched.reply.log_start);
      EXPECT_TRUE(std::ranges::equal(read, fetched.records));
      ASSERT_EQ(leader.has_value(), fetched.leader != nullptr);
      if (leader.has_value()) EXPECT_EQ(leader->host, "one.example");
      if (leader.has_value()) EXPECT_EQ(leader->port, 9093);
    }
  }
}

TEST(FetchWire, what_is_not_plain_goes_the_long_way) {
  Fetched fetched;
  fetched.reply = {ErrorCode::none, 8, 1, 300, 0, OffsetAndEpoch{100, 3}, {}, -1, {}};
  EXPECT_FALSE(is_plain(fetched, 18));
  const Bytes bytes = bytes_of(answer_of(kGroup, fetched, 18).message, 18);
  FetchTold told;
  protocol::Reader in(bytes);
  ASSERT_TRUE(decode(in, told, 18).has_value());
  EXPECT_NE(told.other, nullptr);
  std::optional<LeaderAddress> leader;
  ByteView records;
  const auto reply = reply_of(kGroup, told, leader, records);
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->diverging, (OffsetAndEpoch{100, 3}));
  fetched.reply.diverging.reset();
  EXPECT_TRUE(is_plain(fetched, 18));
  EXPECT_FALSE(is_plain(fetched, 16));
  fetched.reply.error = ErrorCode::fenced_leader_epoch;
  EXPECT_FALSE(is_plain(fetched, 18));
}

// With one bit turned, or one byte said in two as a varint may be.
Bytes changed_at(const Bytes& whole, std::size_t at, Random& random) {
  Bytes changed = whole;
  if (whole[at] < 0x80 && random.between(0, 2) == 0) {
    changed[at] |= 0x80;
    changed.insert(changed.begin() + static_cast<std::ptrdiff_t>(at) + 1, 0);
  } else {
    changed[at] = static_cast<std::uint8_t>(changed[at] ^ (1u << random.between(0, 7)));
  }
  return changed;
}

// Cut anywhere, or with any byte changed: whatever the short way takes, the long way takes as well,
// and understands in the same way.
TEST(FetchWire, understands_nothing_else) {
  Random random(3);
  for (int i = 0; i < 40; ++i) {
    const Bytes whole = bytes_of(FetchQuestion{kGroup, random_request(random), kBytesMax}, 18);
    for (std::size_t at = 0; at < whole.size(); ++at) {
      EXPECT_FALSE(read_plain_fetch(ByteView(whole).first(at), 18).has_value());
      const Bytes changed = changed_at(whole, at, random);
      const auto read = read_plain_fetch(changed, 18);
      if (!read.has_value()) continue;
      protocol::FetchRequest message;
      protocol::Reader in(changed);
      ASSERT_TRUE(decode(in, message, 18).has_value()) << at;
      const auto found = asked(kGroup, *read);
      const auto expected = asked(kGroup, message, 18);
      ASSERT_EQ(found.has_value(), expected.has_value()) << at;
      if (found.has_value()) expect_same(*found, *expected);
      if (!found.has_value()) EXPECT_EQ(found.error(), expected.error());
    }
  }
}

TEST(FetchWire, understands_no_other_answer) {
  Random random(4);
  const Bytes records(20, 7);
  for (int i = 0; i < 40; ++i) {
    const Fetched fetched = random_fetched(random, records);
    const Bytes whole = bytes_of(FetchAnswer{kGroup, fetched}, 18);
    for (std::size_t at = 0; at < whole.size(); ++at) {
      const Bytes changed = changed_at(whole, at, random);
      FetchTold told;
      protocol::Reader in(changed);
      const bool is_read = decode(in, told, 18).has_value();
      protocol::FetchResponse message;
      protocol::Reader again(changed);
      ASSERT_EQ(is_read, decode(again, message, 18).has_value()) << at;
      if (!is_read) continue;
      std::optional<LeaderAddress> leader;
      std::optional<LeaderAddress> other_leader;
      ByteView bytes;
      ByteView other_bytes;
      const auto found = reply_of(kGroup, told, leader, bytes);
      const auto expected = reply_of(kGroup, message, other_leader, other_bytes);
      ASSERT_EQ(found.has_value(), expected.has_value()) << at;
      if (!found.has_value()) continue;
      EXPECT_EQ(found->error, expected->error);
      EXPECT_EQ(found->epoch, expected->epoch);
      EXPECT_EQ(found->leader, expected->leader);
      EXPECT_EQ(found->high_watermark, expected->high_watermark);
      EXPECT_TRUE(std::ranges::equal(bytes, other_bytes));
      EXPECT_EQ(leader.has_value(), other_leader.has_value());
    }
  }
}

}  // namespace
}  // namespace drave::raft::wire
