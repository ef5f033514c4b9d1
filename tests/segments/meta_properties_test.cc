#include "segments/meta_properties.h"

#include "gtest/gtest.h"

namespace drave::segments {
namespace {

TEST(MetaPropertiesFile, reads_what_kafka_writes) {
  const auto read = decode_meta_properties(
      "#\n#Sun Nov 22 16:17:01 UTC 2026\nnode.id=1\ndirectory.id=q4x9lwHTRwKFrQ69LT3_Sg\n"
      "version=1\ncluster.id=MkU3OEVBNTcwNTJENDM2Qg\n");
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->node_id, 1);
  EXPECT_EQ(read->cluster_id, "MkU3OEVBNTcwNTJENDM2Qg");
  EXPECT_EQ(read->directory_id.to_string(), "q4x9lwHTRwKFrQ69LT3_Sg");
}

TEST(MetaPropertiesFile, writes_the_same_lines_and_reads_them_back) {
  const MetaProperties properties{1, "a=b:c\\d", 7, {1, 2}};
  const std::string text = encode_meta_properties(properties, 1'795'364'252'000);
  EXPECT_TRUE(text.starts_with("#\n#Sun Nov 22 16:17:32 UTC 2026\nnode.id=7\n")) << text;
  const auto read = decode_meta_properties(text);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->cluster_id, properties.cluster_id);
}

TEST(MetaPropertiesFile, refuses_what_it_cannot_trust) {
  EXPECT_EQ(decode_meta_properties("").error().code, Errc::corrupt);
  EXPECT_EQ(decode_meta_properties("version=0\nbroker.id=1\n").error().code, Errc::unsupported);
  EXPECT_EQ(decode_meta_properties("version=1\nnode.id=x\ncluster.id=a\n").error().code,
            Errc::corrupt);
  EXPECT_EQ(decode_meta_properties("version=1\nnode.id=1\n").error().code, Errc::corrupt);
  EXPECT_EQ(
      decode_meta_properties("version=1\nnode.id=1\ncluster.id=a\ndirectory.id=?\n").error().code,
      Errc::corrupt);
}

TEST(CleanShutdownFile, is_kafkas_json) {
  EXPECT_EQ(encode_clean_shutdown(15), "{\"version\":0,\"brokerEpoch\":15}");
  EXPECT_EQ(decode_clean_shutdown("{\"version\":0,\"brokerEpoch\":15}"), 15);
  EXPECT_EQ(decode_clean_shutdown("{ \"brokerEpoch\" : -1 , \"version\" : 0 }"), -1);
  EXPECT_EQ(decode_clean_shutdown("{\"version\":1,\"brokerEpoch\":15}"), std::nullopt);
  EXPECT_EQ(decode_clean_shutdown(""), std::nullopt);
}

TEST(DirectoryNames, are_kafkas) {
  EXPECT_EQ(parse_partition_directory("a-b.c-12").topic, "a-b.c");
  EXPECT_EQ(parse_partition_directory("a-b.c-12").partition, 12);
  EXPECT_EQ(parse_partition_directory("a-0.00ff-delete").kind, DirectoryKind::deleted);
  EXPECT_EQ(parse_partition_directory("a-0.00ff-future").kind, DirectoryKind::future);
  EXPECT_EQ(parse_partition_directory("a-0.00ff-stray").kind, DirectoryKind::stray);
  for (const char* name :
       {"lost+found", "a-", "-1", "a-x", "a--1x", "drave.journal.dirty", "a-99999999999"})
    EXPECT_EQ(parse_partition_directory(name).kind, DirectoryKind::other) << name;
  const std::string renamed = renamed_directory_name(std::string(249, 'x'), 7, {1, 2}, "delete");
  EXPECT_EQ(renamed.size(), 255U);
  EXPECT_EQ(parse_partition_directory(renamed).kind, DirectoryKind::deleted);
  EXPECT_EQ(renamed_directory_name("t", 7, {1, 2}, "stray"),
            "t-7.00000000000000010000000000000002-stray");
}

}  // namespace
}  // namespace drave::segments
