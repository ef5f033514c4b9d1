// The hashes that choose partitions, and those of group records, beside Java's.

#include <map>
#include <set>

#include "base/uuid.h"
#include "protocol/hashes.h"
#include "tests/vectors/table.h"

namespace drave::protocol {
namespace {

using nlohmann::json;
using vectors::each_row;

TEST(HashVector, murmur2) {
  const std::size_t lines =
      each_row("murmur2", {"key", "murmur2", "partition"}, [](const json& row) {
        const auto key = vectors::from_hex(row.at("key").get<std::string>());
        EXPECT_EQ(murmur2(key), row.at("murmur2").get<std::int32_t>());
        for (const auto& [count, partition] : row.at("partition").items())
          EXPECT_EQ(partition_of_key(key, std::stoi(count)), partition.get<std::int32_t>())
              << count;
      });
  EXPECT_GE(lines, 65u);
}

TEST(HashVector, coordinator_partition) {
  const std::size_t lines =
      each_row("coordinator-partition", {"group", "hashCode", "partition"}, [](const json& row) {
        const std::string group = row.at("group");
        EXPECT_EQ(java_hash_code(group), row.at("hashCode").get<std::int32_t>());
        for (const auto& [count, partition] : row.at("partition").items())
          EXPECT_EQ(coordinator_partition(group, std::stoi(count)), partition.get<std::int32_t>());
      });
  EXPECT_GE(lines, 55u);
}

TEST(HashVector, share_coordinator_partition) {
  const std::set<std::string> known = {"group",          "topicId",  "partition",
                                       "coordinatorKey", "hashCode", "statePartitionOf50"};
  const std::size_t lines = each_row("share-coordinator-partition", known, [](const json& row) {
    const auto topic = Uuid::parse(row.at("topicId").get<std::string>());
    ASSERT_TRUE(topic.has_value());
    const std::string key = share_coordinator_key(row.at("group").get<std::string>(), *topic,
                                                  row.at("partition").get<std::int32_t>());
    EXPECT_EQ(key, row.at("coordinatorKey").get<std::string>());
    EXPECT_EQ(java_hash_code(key), row.at("hashCode").get<std::int32_t>());
    EXPECT_EQ(coordinator_partition(key, 50), row.at("statePartitionOf50").get<std::int32_t>());
  });
  EXPECT_GE(lines, 20u);
}

TEST(HashVector, topic_metadata_hash) {
  const std::set<std::string> known = {"topic", "topicId", "partitionRacks", "topicHash"};
  const std::size_t lines = each_row("topic-metadata-hash", known, [](const json& row) {
    const auto topic = Uuid::parse(row.at("topicId").get<std::string>());
    ASSERT_TRUE(topic.has_value());
    const auto racks = row.at("partitionRacks").get<std::vector<std::vector<std::string>>>();
    EXPECT_EQ(topic_metadata_hash(*topic, row.at("topic").get<std::string>(), racks),
              row.at("topicHash").get<std::int64_t>());
  });
  EXPECT_GE(lines, 8u);
}

TEST(HashVector, group_metadata_hash) {
  const std::size_t lines =
      each_row("group-metadata-hash", {"topicHashes", "groupHash"}, [](const json& row) {
        const auto topics = row.at("topicHashes").get<std::map<std::string, std::int64_t>>();
        EXPECT_EQ(group_metadata_hash(topics), row.at("groupHash").get<std::int64_t>());
      });
  EXPECT_GE(lines, 12u);
}

TEST(Hashes, text_beyond_the_table_is_hashed_as_java_hashes_it) {
  EXPECT_EQ(java_hash_code("\xF0\x9F\x98\x80"), 0xD83D * 31 + 0xDE00);  // a surrogate pair
  EXPECT_EQ(java_hash_code("\xFF"), 0xFFFD);
  EXPECT_EQ(java_hash_code("\xE2\x82"), 0xFFFD * 31 + 0xFFFD);  // cut off
  EXPECT_EQ(java_hash_code("polygenelubricants"), INT32_MIN);
  EXPECT_EQ(coordinator_partition("polygenelubricants", 50), 0);
}

}  // namespace
}  // namespace drave::protocol
