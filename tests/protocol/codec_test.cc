#include "protocol/codec.h"

#include <gtest/gtest.h>

#include "protocol/messages/api_versions.h"
#include "protocol/messages/fetch.h"
#include "protocol/messages/metadata.h"
#include "protocol/messages/produce.h"
#include "tests/vectors/vectors.h"

namespace drave::protocol {
namespace {

FetchRequest sample_fetch() {
  FetchRequest request;
  request.max_wait_ms = 500;
  request.topics.resize(2);
  for (std::size_t i = 0; i < 2; ++i) {
    request.topics[i].topic_id = {1, i};
    request.topics[i].partitions.resize(3);
    request.topics[i].partitions[1].fetch_offset = 99;
  }
  return request;
}

TEST(Codec, defaults_are_kafkas) {
  const FetchRequest request;
  EXPECT_EQ(request.replica_id, -1);
  EXPECT_EQ(request.max_bytes, 0x7fffffff);
  EXPECT_FALSE(request.cluster_id.has_value());
  const FetchResponse::PartitionData partition;
  EXPECT_TRUE(partition.records.has_value());
  EXPECT_EQ(partition.preferred_read_replica, -1);
}

TEST(Codec, an_unknown_version_is_unsupported) {
  FetchRequest request;
  Writer out;
  for (const std::int16_t version : std::initializer_list<std::int16_t>{-1, 3, 19, 32767}) {
    Reader in(out.own());
    EXPECT_EQ(decode(in, request, version).error().code, Errc::unsupported);
    EXPECT_EQ(encode(out, request, version).error().code, Errc::unsupported);
  }
}

TEST(Codec, decode_overwrites_what_was_there_and_reuses_arrays) {
  Writer out;
  ASSERT_TRUE(encode(out, sample_fetch(), 17).has_value());
  FetchRequest scratch;
  scratch.cluster_id = "old";
  scratch.replica_id = 7;
  scratch.rack_id = "old";
  scratch.forgotten_topics_data.resize(4);
  scratch.topics.resize(5);
  scratch.topics[0].topic = "old";
  scratch.topics[0].partitions.resize(9);
  const auto* place = scratch.topics.data();
  Reader in(out.own());
  ASSERT_TRUE(decode(in, scratch, 17).has_value());
  EXPECT_EQ(scratch.topics.data(), place);
  EXPECT_FALSE(scratch.cluster_id.has_value());
  EXPECT_EQ(scratch.replica_id, -1);
  EXPECT_EQ(scratch.rack_id, "");
  EXPECT_TRUE(scratch.forgotten_topics_data.empty());
  ASSERT_EQ(scratch.topics.size(), 2u);
  EXPECT_EQ(scratch.topics[0].topic, "");
  EXPECT_EQ(scratch.topics[0].partitions.size(), 3u);
  Writer again;
  ASSERT_TRUE(encode(again, scratch, 17).has_value());
  EXPECT_EQ(vectors::to_hex(again.own()), vectors::to_hex(out.own()));
}

TEST(Codec, a_value_that_the_version_lacks_is_an_error_unless_ignorable) {
  FetchRequest request;
  request.max_bytes = 1;     // v3+, ignorable
  request.rack_id = "rack";  // v11+, ignorable
  Writer out;
  EXPECT_TRUE(encode(out, request, 4).has_value());
  request.replica_state.replica_id = 3;  // v15+, not ignorable
  Writer refused;
  const auto result = encode(refused, request, 14);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, Errc::invalid);
  EXPECT_EQ(result.error().context,
            "FetchRequest v14: replicaState: a value in a field that this version lacks");
  Writer taken;
  EXPECT_TRUE(encode(taken, request, 15).has_value());
}

TEST(Codec, null_that_the_version_lacks_is_an_error) {
  MetadataRequest request;
  request.topics.reset();
  Writer out;
  EXPECT_EQ(encode(out, request, 0).error().code, Errc::invalid);
  Writer newer;
  EXPECT_TRUE(encode(newer, request, 1).has_value());
}

TEST(Codec, unknown_tagged_fields_are_skipped) {
  Writer out;
  ApiVersionsRequest request;
  request.client_software_name = "n";
  request.client_software_version = "1";
  ASSERT_TRUE(encode(out, request, 3).has_value());
  auto bytes = std::vector<std::uint8_t>(out.own().begin(), out.own().end());
  bytes.back() = 1;
  for (const int byte : {200, 1, 3, 1, 2, 3}) bytes.push_back(static_cast<std::uint8_t>(byte));
  Reader in(bytes);
  ApiVersionsRequest read;
  ASSERT_TRUE(decode(in, read, 3).has_value());
  EXPECT_EQ(in.remaining(), 0u);
  EXPECT_EQ(read.client_software_name, "n");
  bytes.pop_back();
  Reader cut(bytes);
  EXPECT_EQ(decode(cut, read, 3).error().code, Errc::invalid);
}

TEST(Codec, errors_name_message_field_and_place) {
  const auto bytes = vectors::from_hex("ffffffff00000000000000007fffffff0000000001ffff");
  Reader in(bytes);
  FetchRequest request;
  const auto result = decode(in, request, 4);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().context,
            "FetchRequest v4: topic: null in a field that cannot be null, at byte 23");
}

TEST(Codec, a_message_of_tiny_elements_is_bounded_in_memory) {
  // A Metadata request of 8 MiB whose topics take two bytes each would need 40 bytes for each.
  constexpr std::size_t kTopics = std::size_t{4} << 20;
  Writer out;
  out.integer(static_cast<std::int32_t>(kTopics));
  for (std::size_t i = 0; i < kTopics; ++i) out.integer(std::int16_t{0});
  out.integer(std::int8_t{1});
  Reader in(out.own());
  MetadataRequest request;
  const auto result = decode(in, request, 4);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, Errc::too_large);
}

TEST(Codec, records_are_gathered_and_the_size_counts_them) {
  const std::vector<std::uint8_t> records(5000, 9);
  FetchResponse response;
  response.responses.resize(1);
  response.responses[0].partitions.resize(2);
  response.responses[0].partitions[0].records = ByteView(records);
  Writer copied;
  Writer gathered;
  gathered.gather();
  ASSERT_TRUE(encode(copied, response, 16).has_value());
  ASSERT_TRUE(encode(gathered, response, 16).has_value());
  EXPECT_EQ(encoded_size(response, 16), copied.size());
  EXPECT_EQ(gathered.size(), copied.size());
  ASSERT_EQ(gathered.cuts().size(), 1u);
  EXPECT_EQ(gathered.cuts()[0].bytes.data(), records.data());
  std::vector<std::uint8_t> joined;
  gathered.pieces([&](ByteView piece) { joined.insert(joined.end(), piece.begin(), piece.end()); });
  EXPECT_EQ(vectors::to_hex(joined), vectors::to_hex(copied.own()));
}

TEST(Codec, decoded_views_point_into_the_request) {
  ProduceRequest request;
  const std::vector<std::uint8_t> records(100, 1);
  request.topic_data.resize(1);
  request.topic_data[0].name = "topic";
  request.topic_data[0].partition_data.resize(1);
  request.topic_data[0].partition_data[0].records = ByteView(records);
  Writer out;
  ASSERT_TRUE(encode(out, request, 9).has_value());
  Reader in(out.own());
  ProduceRequest read;
  ASSERT_TRUE(decode(in, read, 9).has_value());
  const auto inside = [&](const void* at) {
    return at >= out.own().data() && at < out.own().data() + out.own().size();
  };
  EXPECT_TRUE(inside(read.topic_data[0].name.data()));
  EXPECT_TRUE(inside(read.topic_data[0].partition_data[0].records->data()));
}

}  // namespace
}  // namespace drave::protocol
