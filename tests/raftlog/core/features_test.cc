#include "raftlog/core/features.h"

#include "gtest/gtest.h"

namespace drave::raft {
namespace {

TEST(RaftFeatures, releases_and_levels) {
  EXPECT_EQ(metadata_version_level("4.3"), 30);
  EXPECT_EQ(metadata_version_level("3.9"), 21);
  EXPECT_EQ(metadata_version_level("3.7-IV2"), 17);
  EXPECT_FALSE(metadata_version_level("2.8").has_value());
  EXPECT_EQ(default_levels(21).size(), 2u);
  EXPECT_EQ(default_levels(30).size(), 7u);
  EXPECT_FALSE(check_levels({{"metadata.version", 22}, {"eligible.leader.replicas.version", 1}}));
  EXPECT_FALSE(check_levels({{"metadata.version", 31}}));
  EXPECT_FALSE(check_levels({{"no.such", 1}}));
}

}  // namespace
}  // namespace drave::raft
