// What replicas say, through Kafka's messages and back, in every version.

#include "raftlog/wire.h"
#include "raftlog/raft_limits.h"

#include <deque>

#include "gtest/gtest.h"
#include "protocol/batch_builder.h"
#include "protocol/control_record.h"
#include "protocol/messages/control_records.h"
#include "protocol/wire.h"

namespace drave::raft::wire {
namespace {

const Group kGroup{"cluster-1", "__cluster_metadata", {kMetadataTopicId, 0}};
const ReplicaKey kOne{1, Uuid{11, 12}};
const ReplicaKey kTwo{2, Uuid{21, 22}};
const VoterEndpoint kEndpoint{"CONTROLLER", "one.example", 9093};

// The message as the other side reads it; the bytes live as long as the test.
template <class Message>
Message sent(const Message& message, std::int16_t version) {
  static std::deque<std::vector<std::uint8_t>> kept;
  protocol::Writer out;
  const Result<void> encoded = encode(out, message, version);
  EXPECT_TRUE(encoded.has_value()) << Message::kName << " v" << version;
  const ByteView bytes = out.own();
  EXPECT_EQ(bytes.size(), encoded_size(message, version));
  kept.emplace_back(bytes.begin(), bytes.end());
  Message read;
  protocol::Reader in(kept.back());
  EXPECT_TRUE(decode(in, read, version).has_value()) << Message::kName << " v" << version;
  return read;
}

TEST(WireVote, asks_and_answers_in_all_versions) {
  for (std::int16_t version = 0; version <= 2; ++version) {
    VoteRequest request{7, kOne, kTwo, {120, 6}, version >= 2};
    const auto found = asked(kGroup, sent(request_of(kGroup, request), version));
    ASSERT_TRUE(found.has_value());
    EXPECT_EQ(found->epoch, 7);
    EXPECT_EQ(found->candidate.id, 1);
    EXPECT_EQ(found->voter.id, version >= 1 ? 2 : -1);
    EXPECT_EQ(found->candidate.directory_id, version >= 1 ? kOne.directory_id : Uuid());
    EXPECT_EQ(found->voter.directory_id, version >= 1 ? kTwo.directory_id : Uuid());
    EXPECT_EQ(found->last, (OffsetAndEpoch{120, 6}));
    EXPECT_EQ(found->pre_vote, version >= 2);

    std::optional<LeaderAddress> leader;
    const VoteReply reply{ErrorCode::none, 8, 1, true};
    const auto answer = answer_of(kGroup, reply, &kEndpoint, version);
    const auto back = reply_of(kGroup, sent(answer.message, version), leader);
    ASSERT_TRUE(back.has_value());
    EXPECT_EQ(back->epoch, 8);
    EXPECT_EQ(back->leader, 1);
    EXPECT_TRUE(back->granted);
    ASSERT_EQ(leader.has_value(), version >= 1);
    if (leader.has_value()) {
      EXPECT_EQ(leader->id, 1);
      EXPECT_EQ(leader->host, "one.example");
      EXPECT_EQ(leader->port, 9093);
    }
  }
}

TEST(WireEpoch, begins_and_ends_in_all_versions) {
  for (std::int16_t version = 0; version <= 1; ++version) {
    const auto begin = sent(request_of(kGroup, BeginEpochRequest{9, 1, kTwo}, kEndpoint), version);
    EXPECT_EQ(begin.leader_endpoints.size(), version >= 1 ? 1u : 0u);
    const auto begins = asked(kGroup, begin);
    ASSERT_TRUE(begins.has_value());
    EXPECT_EQ(begins->epoch, 9);
    EXPECT_EQ(begins->leader, 1);
    EXPECT_EQ(begins->voter.id, version >= 1 ? 2 : -1);

    const EndEpochRequest end{9, 1, {kTwo, {3, Uuid{31, 32}}}};
    const auto ends = asked(kGroup, sent(request_of(kGroup, end, kEndpoint), version));
    ASSERT_TRUE(ends.has_value());
    ASSERT_EQ(ends->successors.size(), 2u);
    EXPECT_EQ(ends->successors[0].id, 2);
    EXPECT_EQ(ends->successors[0].directory_id, version >= 1 ? kTwo.directory_id : Uuid());
    EXPECT_EQ(ends->successors[1].id, 3);

    std::optional<LeaderAddress> leader;
    const EpochReply reply{ErrorCode::fenced_leader_epoch, 10, 1};
    const auto began = reply_of(
        kGroup, sent(begin_answer_of(kGroup, reply, &kEndpoint, version).message, version), leader);
    ASSERT_TRUE(began.has_value());
    EXPECT_EQ(began->error, ErrorCode::fenced_leader_epoch);
    EXPECT_EQ(began->epoch, 10);
    EXPECT_EQ(leader.has_value(), version >= 1);
    const auto ended = reply_of(
        kGroup, sent(end_answer_of(kGroup, reply, nullptr, version).message, version), leader);
    ASSERT_TRUE(ended.has_value());
    EXPECT_EQ(ended->leader, 1);
  }
}

TEST(WireFetch, asks_in_the_versions_that_replicas_speak) {
  const FetchRequest request{5, kOne, 300, 4, 290, milliseconds(500)};
  for (std::int16_t version = 15; version <= 18; ++version) {
    const auto found = asked(kGroup, sent(request_of(kGroup, request, 1 << 20), version), version);
    ASSERT_TRUE(found.has_value()) << version;
    EXPECT_EQ(found->epoch, 5);
    EXPECT_EQ(found->replica.id, 1);
    EXPECT_EQ(found->replica.directory_id, version >= 17 ? kOne.directory_id : Uuid());
    EXPECT_EQ(found->offset, 300);
    EXPECT_EQ(found->last_epoch, 4);
    EXPECT_EQ(found->high_watermark, version >= 18 ? 290 : INT64_MAX);
    EXPECT_EQ(found->wait.ns, milliseconds(500).ns);
  }
}

TEST(WireFetch, an_old_replica_is_understood) {
  protocol::FetchRequest message;
  message.replica_id = 3;
  message.max_wait_ms = 10;
  auto& topic = message.topics.emplace_back();
  topic.topic = "__cluster_metadata";
  auto& partition = topic.partitions.emplace_back();
  partition.current_leader_epoch = 2;
  partition.fetch_offset = 1;
  partition.last_fetched_epoch = 1;
  const auto found = asked(kGroup, sent(message, 12), 12);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->replica.id, 3);
  partition.partition = 1;
  EXPECT_EQ(asked(kGroup, sent(message, 12), 12).error(), ErrorCode::invalid_request);
}

TEST(WireFetch, answers_in_all_versions) {
  FetchReply reply;
  reply.epoch = 5;
  reply.leader = 1;
  reply.high_watermark = 77;
  reply.log_start = 3;
  reply.diverging = OffsetAndEpoch{40, 4};
  reply.snapshot = OffsetAndEpoch{33, 2};
  for (std::int16_t version = 4; version <= 18; ++version) {
    const auto answer = answer_of(kGroup, reply, &kEndpoint, version);
    std::optional<LeaderAddress> leader;
    ByteView records;
    const auto back = reply_of(kGroup, sent(answer.message, version), leader, records);
    ASSERT_TRUE(back.has_value()) << version;
    EXPECT_EQ(back->high_watermark, 77);
    EXPECT_EQ(back->epoch, version >= 12 ? 5 : -1);
    EXPECT_EQ(back->diverging.has_value(), version >= 12);
    EXPECT_EQ(back->snapshot.has_value(), version >= 12);
    if (version >= 12) {
      EXPECT_EQ(*back->diverging, (OffsetAndEpoch{40, 4}));
      EXPECT_EQ(*back->snapshot, (OffsetAndEpoch{33, 2}));
    }
    EXPECT_EQ(leader.has_value(), version >= 16);
    EXPECT_TRUE(records.empty());
  }
}

TEST(WireSnapshot, asks_and_answers_in_all_versions) {
  for (std::int16_t version = 0; version <= 1; ++version) {
    const SnapshotRequest request{5, kOne, {33, 2}, 4096};
    const auto message = sent(request_of(kGroup, request, 1 << 20), version);
    const auto found = asked(kGroup, message);
    ASSERT_TRUE(found.has_value());
    EXPECT_EQ(found->epoch, 5);
    EXPECT_EQ(found->replica.directory_id, version >= 1 ? kOne.directory_id : Uuid());
    EXPECT_EQ(found->id, (OffsetAndEpoch{33, 2}));
    EXPECT_EQ(found->position, 4096);

    SnapshotReply reply;
    reply.epoch = 5;
    reply.leader = 1;
    reply.id = {33, 2};
    reply.position = 4096;
    reply.size = 9000;
    auto answer = answer_of(kGroup, reply, &kEndpoint, version);
    const std::string piece(100, 'p');
    answer.message.topics.front().partitions.front().unaligned_records = as_bytes(piece);
    std::optional<LeaderAddress> leader;
    ByteView bytes;
    const auto back = reply_of(kGroup, sent(answer.message, version), leader, bytes);
    ASSERT_TRUE(back.has_value());
    EXPECT_EQ(back->id, (OffsetAndEpoch{33, 2}));
    EXPECT_EQ(back->position, 4096);
    EXPECT_EQ(back->size, 9000);
    EXPECT_EQ(back->bytes, 100);
    EXPECT_EQ(as_text(bytes), piece);
    EXPECT_EQ(leader.has_value(), version >= 1);
  }
}

TEST(WireRefusal, another_cluster_and_another_partition_are_told_so) {
  const Group other_cluster{"cluster-2", kGroup.topic, kGroup.id};
  const Group other_topic{"cluster-1", "other", {Uuid{5, 5}, 0}};
  const VoteRequest vote{7, kOne, kTwo, {120, 6}, false};
  const auto vote_message = request_of(kGroup, vote);
  EXPECT_EQ(asked(other_cluster, vote_message).error(), ErrorCode::inconsistent_cluster_id);
  EXPECT_EQ(asked(other_topic, vote_message).error(), ErrorCode::invalid_request);
  const auto begin = request_of(kGroup, BeginEpochRequest{9, 1, kTwo}, kEndpoint);
  EXPECT_EQ(asked(other_cluster, begin).error(), ErrorCode::inconsistent_cluster_id);
  const auto end = request_of(kGroup, EndEpochRequest{9, 1, {}}, kEndpoint);
  EXPECT_EQ(asked(other_cluster, end).error(), ErrorCode::inconsistent_cluster_id);
  const auto fetch = request_of(kGroup, FetchRequest{5, kOne, 300, 4, 290, {}}, 100);
  EXPECT_EQ(asked(other_cluster, fetch, 17).error(), ErrorCode::inconsistent_cluster_id);
  EXPECT_EQ(asked(other_topic, fetch, 17).error(), ErrorCode::invalid_request);
  const auto snapshot = request_of(kGroup, SnapshotRequest{5, kOne, {33, 2}, 0}, 100);
  EXPECT_EQ(asked(other_cluster, snapshot).error(), ErrorCode::inconsistent_cluster_id);
  EXPECT_EQ(asked(other_topic, snapshot).error(), ErrorCode::unknown_topic_or_partition);
  // Who names no cluster is served.
  const Group unnamed{"", kGroup.topic, kGroup.id};
  EXPECT_TRUE(asked(kGroup, request_of(unnamed, vote)).has_value());
  // An answer about something else is none.
  std::optional<LeaderAddress> leader;
  const auto answer = answer_of(other_topic, VoteReply{ErrorCode::none, 8, 1, true}, nullptr, 1);
  EXPECT_FALSE(reply_of(kGroup, answer.message, leader).has_value());
  const auto refused = refusal<protocol::VoteResponse>(ErrorCode::inconsistent_cluster_id);
  EXPECT_EQ(reply_of(kGroup, refused.message, leader)->error, ErrorCode::inconsistent_cluster_id);
}

TEST(WireVoters, a_voter_needs_a_directory_and_an_endpoint) {
  protocol::AddRaftVoterRequest request;
  request.cluster_id = "cluster-1";
  request.voter_id = 4;
  EXPECT_EQ(asked(kGroup, request).error(), ErrorCode::invalid_request);
  request.voter_directory_id = Uuid{41, 42};
  EXPECT_EQ(asked(kGroup, request).error(), ErrorCode::invalid_request);
  request.listeners.push_back({"CONTROLLER", "four.example", 9093});
  const auto voter = asked(kGroup, request);
  ASSERT_TRUE(voter.has_value());
  EXPECT_EQ(voter->endpoints, (std::vector<VoterEndpoint>{{"CONTROLLER", "four.example", 9093}}));
  const std::string long_name(kHostBytesMax + 1, 'x');
  request.listeners[0].host = long_name;
  EXPECT_EQ(asked(kGroup, request).error(), ErrorCode::invalid_request);
  request.listeners[0] = {long_name, "four.example", 9093};
  EXPECT_EQ(asked(kGroup, request).error(), ErrorCode::invalid_request);
  request.listeners.assign(kListenersMax, {"CONTROLLER", "four.example", 9093});
  EXPECT_TRUE(asked(kGroup, request).has_value());
  request.listeners.push_back({"CONTROLLER", "four.example", 9093});
  EXPECT_EQ(asked(kGroup, request).error(), ErrorCode::invalid_request);
  request.cluster_id = "cluster-2";
  EXPECT_EQ(asked(kGroup, request).error(), ErrorCode::inconsistent_cluster_id);
}

std::vector<std::uint8_t> control_batch(Offset base, const std::vector<Voter>& voters) {
  protocol::BatchOptions options;
  options.control = true;
  options.base_offset = base;
  options.leader_epoch = 3;
  protocol::BatchBuilder batch(options);
  protocol::Writer out;
  EXPECT_TRUE(protocol::encode(out, voters_record(voters), std::int16_t{0}).has_value());
  protocol::append_control_record(batch, protocol::ControlType::kraft_voters, 0, out.own());
  return std::move(batch).finish();
}

TEST(WireBatches, are_read_as_far_as_they_are_sound) {
  Voter voter;
  voter.id = 1;
  voter.directory_id = kOne.directory_id;
  voter.endpoints = {kEndpoint};
  std::vector<std::uint8_t> bytes = control_batch(10, {voter});
  const std::size_t first_size = bytes.size();
  protocol::BatchOptions options;
  options.base_offset = 11;
  options.leader_epoch = 4;
  protocol::BatchBuilder data(options);
  data.append(0, std::nullopt, as_bytes("x"));
  data.append(0, std::nullopt, as_bytes("y"));
  const std::vector<std::uint8_t> second = std::move(data).finish();
  bytes.insert(bytes.end(), second.begin(), second.end());
  bytes.push_back(0);  // the beginning of a third

  std::vector<Control> controls;
  std::string why;
  const std::vector<Batch> batches = read_batches(bytes, controls, why);
  ASSERT_EQ(batches.size(), 2u);
  EXPECT_EQ(batches[0].base, 10);
  EXPECT_EQ(batches[0].voters, (VoterSet{kOne}));
  EXPECT_EQ(batches[1].end, 13);
  EXPECT_EQ(batches[1].epoch, 4);
  ASSERT_EQ(controls.size(), 1u);
  EXPECT_EQ(controls[0].voters->front().endpoints.front(), kEndpoint);

  bytes[first_size + 70] ^= 1;  // in the second
  controls.clear();
  EXPECT_EQ(read_batches(bytes, controls, why).size(), 1u);
  bytes[30] ^= 1;
  EXPECT_TRUE(read_batches(bytes, controls, why).empty());
  EXPECT_EQ(why, "");
}

// A batch with one control record; `version` takes the place of its value's first field.
template <class Message>
std::vector<std::uint8_t> batch_with(protocol::ControlType type, const Message& message,
                                     std::int16_t version, std::string_view more = {}) {
  protocol::BatchOptions options;
  options.control = true;
  protocol::BatchBuilder batch(options);
  protocol::Writer out;
  EXPECT_TRUE(protocol::encode(out, message, 0).has_value());
  std::vector<std::uint8_t> value(out.own().begin(), out.own().end());
  value[0] = static_cast<std::uint8_t>(version >> 8);
  value[1] = static_cast<std::uint8_t>(version);
  value.insert(value.end(), more.begin(), more.end());
  protocol::append_control_record(batch, type, 0, value);
  return std::move(batch).finish();
}

// What a newer release wrote is read as Kafka reads it, or it is said what it is.
TEST(WireBatches, voters_of_a_newer_version_are_read_as_far_as_they_are_known) {
  Voter voter;
  voter.id = 4;
  voter.directory_id = {5, 6};
  voter.endpoints = {kEndpoint};
  const std::vector<Voter> voters{voter};
  const auto control_in = [](const std::vector<std::uint8_t>& bytes) {
    protocol::BatchIterator batches(bytes);
    return control_of(*batches.next());
  };
  using protocol::ControlType;
  const auto newer = batch_with(ControlType::kraft_voters, voters_record(voters), 3);
  const Result<Control> known = control_in(newer);
  ASSERT_TRUE(known.has_value());
  EXPECT_EQ(known->voters, voters);
  const auto longer = batch_with(ControlType::kraft_voters, voters_record(voters), 3, "more");
  const Result<Control> unknown = control_in(longer);
  ASSERT_FALSE(unknown.has_value());
  EXPECT_EQ(unknown.error().context,
            "a control record of version 3, and versions to 0 are known here: a newer release "
            "wrote it, and can read it");
  protocol::KRaftVersionRecord level;
  level.kraft_version = 2;
  const Result<Control> later = control_in(batch_with(ControlType::kraft_version, level, 0));
  ASSERT_FALSE(later.has_value());
  EXPECT_EQ(later.error().context,
            "the quorum's kraft.version is 2, and levels to 1 are known here: start a newer "
            "release");
}

}  // namespace
}  // namespace drave::raft::wire
