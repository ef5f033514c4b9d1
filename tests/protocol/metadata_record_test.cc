#include "protocol/metadata_record.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <variant>

#include "protocol/messages/control_records.h"
#include "protocol/messages/group_records.h"
#include "protocol/record_frame.h"
#include "protocol/registry.h"
#include "tests/vectors/vectors.h"

namespace drave::protocol {
namespace {

std::vector<std::uint8_t> sample(std::int16_t version = 2) {
  PartitionRecord record;
  record.partition_id = 3;
  record.replicas = {1, 2, 3};
  Writer out;
  EXPECT_TRUE(encode_metadata_record(out, record, version).has_value());
  return {out.own().begin(), out.own().end()};
}

TEST(MetadataRecord, frame_then_record) {
  const auto bytes = sample();
  EXPECT_EQ(vectors::to_hex(ByteView(bytes).first(3)), "010302");
  const auto read = decode_metadata_record(bytes);
  ASSERT_TRUE(read.has_value()) << read.error().message();
  EXPECT_EQ(read->version, 2);
  EXPECT_EQ(name(read->record), "PartitionRecord");
  EXPECT_EQ(version_max(read->record), 2);
  const auto* record = std::get_if<PartitionRecord>(&read->record);
  ASSERT_NE(record, nullptr);
  EXPECT_EQ(record->replicas, (std::vector<std::int32_t>{1, 2, 3}));
  EXPECT_EQ(metadata_record_size(read->record, 2), bytes.size());
}

TEST(MetadataRecord, what_it_does_not_know_it_refuses) {
  auto bytes = sample();
  bytes[0] = 2;
  EXPECT_EQ(decode_metadata_record(bytes).error().code, Errc::unsupported);
  bytes = sample();
  bytes[1] = 6;  // never given out
  EXPECT_EQ(decode_metadata_record(bytes).error().code, Errc::unsupported);
  bytes = sample();
  bytes[2] = 3;
  EXPECT_EQ(decode_metadata_record(bytes).error().code, Errc::unsupported);
  bytes = sample();
  bytes.push_back(0);
  EXPECT_EQ(decode_metadata_record(bytes).error().code, Errc::invalid);
}

TEST(MetadataRecord, every_truncation_is_refused) {
  const auto bytes = sample();
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(decode_metadata_record(ByteView(bytes).first(size)).has_value()) << size;
}

// Frame and dispatch, for every row of the vectors' metadata records.
TEST(MetadataRecordVector, every_record_is_found_by_its_frame) {
  std::size_t rows = 0;
  for (const std::string& path : vectors::list("records/metadata")) {
    vectors::for_each_line(path, [&](std::string_view text, std::size_t) {
      const auto line = nlohmann::json::parse(text);
      if (line.at("mode") != "both") return;
      SCOPED_TRACE(line.at("id").get<std::string>());
      const std::string hex =
          line.at("frame").get<std::string>() + line.at("hex").get<std::string>();
      const auto bytes = vectors::from_hex(hex);
      const auto read = decode_metadata_record(bytes);
      ASSERT_TRUE(read.has_value()) << read.error().message();
      EXPECT_EQ(name(read->record), line.at("name").get<std::string>());
      Writer out;
      ASSERT_TRUE(encode_metadata_record(out, read->record, read->version).has_value());
      EXPECT_EQ(vectors::to_hex(out.own()), hex);
      EXPECT_EQ(metadata_record_size(read->record, read->version), bytes.size());
      ++rows;
    });
  }
  EXPECT_GE(rows, 200u);
}

TEST(RecordFrame, keys_carry_their_type_and_values_their_version) {
  Writer key;
  OffsetCommitKey committed;
  committed.group = "g";
  ASSERT_TRUE(encode_typed_key(key, committed).has_value());
  Reader in(key.own());
  EXPECT_EQ(decode_key_type(in), OffsetCommitKey::kApiKey);
  OffsetCommitKey read_key;
  ASSERT_TRUE(decode(in, read_key, 0).has_value());
  EXPECT_EQ(read_key.group, "g");

  Writer value;
  OffsetCommitValue stored;
  stored.offset = 12;
  ASSERT_TRUE(encode_versioned(value, stored, 3).has_value());
  Reader value_in(value.own());
  OffsetCommitValue read_value;
  std::int16_t version = -1;
  ASSERT_TRUE(decode_versioned(value_in, read_value, version).has_value());
  EXPECT_EQ(version, 3);
  EXPECT_EQ(read_value.offset, 12);
}

TEST(RecordFrame, a_control_value_tells_its_own_version) {
  LeaderChangeMessage change;
  change.version = 1;
  change.leader_id = 4;
  change.voters.resize(1);
  change.voters[0].voter_directory_id = {5, 6};
  Writer out;
  ASSERT_TRUE(encode(out, change, 1).has_value());
  LeaderChangeMessage read;
  ASSERT_TRUE(decode_control_value(out.own(), read).has_value());
  EXPECT_EQ(read.voters.at(0).voter_directory_id, (Uuid{5, 6}));
  std::vector<std::uint8_t> newer(out.own().begin(), out.own().end());
  newer[1] = 2;
  LeaderChangeMessage also_read;
  ASSERT_TRUE(decode_control_value(newer, also_read).has_value());
  EXPECT_EQ(also_read.voters.at(0).voter_directory_id, (Uuid{5, 6}));
  newer.push_back(7);  // a field that is no tagged one
  const Result<void> unknown = decode_control_value(newer, also_read);
  ASSERT_FALSE(unknown.has_value());
  EXPECT_EQ(unknown.error().code, Errc::unsupported);
  EXPECT_NE(unknown.error().context.find("a newer release wrote it"), std::string::npos);
}

}  // namespace
}  // namespace drave::protocol
