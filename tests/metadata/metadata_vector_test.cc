// The metadata log that Kafka 4.3.1 wrote: replayed from its begin it is what Kafka's own snapshots
// of it say, and our snapshots of it say the same again.

#include <algorithm>
#include <map>
#include <set>

#include "metadata/features.h"
#include "metadata/loader.h"
#include "nlohmann/json.hpp"
#include "protocol/record_batch.h"
#include "raftlog/snapshot.h"
#include "tests/metadata/image_support.h"
#include "tests/vectors/table.h"

namespace drave::metadata::testing {
namespace {

const std::string kLog = "disk/run/__cluster_metadata-0/00000000000000000000.log";

ImagePtr replay_below(Offset end) {
  Loader loader;
  protocol::BatchIterator batches(as_bytes(vectors::read(kLog)));
  while (const auto batch = batches.next()) {
    if (batch->last_offset() >= end) break;
    const Result<void> applied = loader.apply(*batch);
    EXPECT_TRUE(applied.has_value()) << applied.error().message();
  }
  return loader.image();
}

void expect_same(const Image& a, const Image& b) {
  EXPECT_EQ(a.features(), b.features());
  EXPECT_EQ(a.brokers(), b.brokers());
  EXPECT_EQ(a.controllers(), b.controllers());
  EXPECT_EQ(a.voters(), b.voters());
  EXPECT_EQ(a.all_configs(), b.all_configs());
  EXPECT_EQ(a.kept(), b.kept());
  ASSERT_EQ(a.acls()->size(), b.acls()->size());
  for (const auto& [id, acl] : *a.acls()) {
    ASSERT_TRUE(b.acls()->contains(id));
    EXPECT_EQ(*acl, *b.acls()->at(id));
  }
  EXPECT_EQ(a.next_producer_id(), b.next_producer_id());
  ASSERT_EQ(a.topics().by_name().size(), b.topics().by_name().size());
  for (const auto& [name, topic] : a.topics().by_name()) {
    const TopicImage* other = b.topics().find(name);
    ASSERT_NE(other, nullptr) << name;
    EXPECT_EQ(topic->id, other->id);
    EXPECT_EQ(topic->partitions, other->partitions) << name;
  }
}

std::vector<std::uint8_t> snapshot_of(const Image& image) {
  std::vector<raft::Voter> voters;
  for (const VoterImage& voter : image.voters()) {
    raft::Voter& added = voters.emplace_back();
    added.id = voter.id;
    added.directory_id = voter.directory_id;
    for (const BrokerEndpoint& endpoint : voter.endpoints)
      added.endpoints.push_back({endpoint.name, endpoint.host, endpoint.port});
  }
  raft::SnapshotBuilder builder(image.last_contained().epoch, image.last_contained_timestamp(),
                                image.feature("kraft.version"), voters, 1);
  const RecordList records = image_records(image);
  for (std::size_t index = 0; index < records.size(); ++index) builder.add(records[index]);
  return std::move(builder).finish();
}

class KafkaSnapshotVector : public ::testing::TestWithParam<Offset> {};

TEST_P(KafkaSnapshotVector, the_log_and_the_snapshot_say_the_same) {
  const ImagePtr replayed = replay_below(GetParam());
  const std::string name = "disk/run/__cluster_metadata-0/" + raft::snapshot_name({GetParam(), 1});
  Loader loader;
  const Result<void> loaded = loader.load_snapshot(as_bytes(vectors::read(name)), {GetParam(), 1});
  ASSERT_TRUE(loaded.has_value()) << loaded.error().message();
  expect_same(*replayed, *loader.image());
  EXPECT_EQ(replayed->last_contained(), loader.image()->last_contained());
  EXPECT_EQ(replayed->last_contained_timestamp(), loader.image()->last_contained_timestamp());

  const std::vector<std::uint8_t> ours = snapshot_of(*replayed);
  EXPECT_TRUE(raft::check_snapshot(ours).has_value());
  EXPECT_EQ(ours.size(), vectors::read(name).size());
  Loader again;
  ASSERT_TRUE(again.load_snapshot(ours, {GetParam(), 1}).has_value());
  expect_same(*replayed, *again.image());
}

INSTANTIATE_TEST_SUITE_P(Vector, KafkaSnapshotVector, ::testing::Values(Offset{110}, Offset{220}));

TEST(MetadataVersionsVector, levels_are_kafkas) {
  const std::set<std::string> known = {"name",
                                       "featureLevel",
                                       "version",
                                       "shortVersion",
                                       "production",
                                       "didMetadataChange",
                                       "registerBrokerRecordVersion",
                                       "fetchRequestVersion",
                                       "listOffsetsRequestVersion",
                                       "partitionRecordVersion",
                                       "partitionChangeRecordVersion",
                                       "registerControllerRecordVersion",
                                       "scram",
                                       "metadataTransactions",
                                       "delegationTokens",
                                       "directoryAssignment",
                                       "elr",
                                       "controllerRegistration",
                                       "leaderEpochBumpOnIsrShrink",
                                       "cordonedLogDirs",
                                       "latestProduction",
                                       "defaultFeatureLevels"};
  int count = 0;
  vectors::each_row("metadata-versions", known, [&count](const nlohmann::json& row) {
    const auto level = row.at("featureLevel").get<std::int16_t>();
    if (!row.at("production").get<bool>()) {
      EXPECT_GT(level, metadata_level::kNewest);
      return;
    }
    ++count;
    const auto told = [&row](const char* field) { return row.at(field).get<bool>(); };
    const auto version = [&row](const char* field) { return row.at(field).get<std::int16_t>(); };
    const std::string name = row.at("version");
    EXPECT_EQ(metadata_version_name(level), name);
    EXPECT_EQ(metadata_version_level(name), level);
    EXPECT_EQ(level == metadata_level::kNewest, told("latestProduction"));
    EXPECT_TRUE(name.starts_with(row.at("shortVersion").get<std::string>() + "-"));
    EXPECT_EQ(changes_metadata(level), told("didMetadataChange"));
    EXPECT_EQ(register_broker_version(level), version("registerBrokerRecordVersion"));
    EXPECT_EQ(partition_version(level), version("partitionRecordVersion"));
    EXPECT_EQ(partition_version(level), version("partitionChangeRecordVersion"));
    EXPECT_EQ(level >= metadata_level::kScram, told("scram"));
    EXPECT_EQ(level >= metadata_level::kTransactions, told("metadataTransactions"));
    EXPECT_EQ(level >= metadata_level::kDirectories, told("directoryAssignment"));
    EXPECT_EQ(level >= metadata_level::kElr, told("elr"));
    EXPECT_EQ(level >= metadata_level::kControllerRegistration, told("controllerRegistration"));
    EXPECT_EQ(level >= metadata_level::kControllerRegistration,
              version("registerControllerRecordVersion") >= 0);
    EXPECT_EQ(level >= metadata_level::kCordonedDirectories, told("cordonedLogDirs"));
    const auto levels = default_levels(level);
    for (const auto& [feature, value] : row.at("defaultFeatureLevels").items()) {
      if (feature.starts_with("test.")) continue;
      const auto at = levels.find(feature);
      EXPECT_EQ(at == levels.end() ? 0 : at->second, value.get<std::int16_t>()) << feature;
    }
  });
  EXPECT_EQ(count, 24);
}

// Each level of the table is ours, comes with its metadata version, and needs what it needs.
TEST(FeaturesVector, levels_and_what_they_depend_on_are_kafkas) {
  const std::set<std::string> known = {
      "feature",           "level",       "bootstrapMetadataVersion", "latestProduction",
      "minimumProduction", "dependencies"};
  std::map<std::string, std::int16_t> highest;
  std::map<std::string, std::int16_t> production;
  vectors::each_row("features", known, [&](const nlohmann::json& row) {
    const std::string name = row.at("feature");
    if (name.starts_with("test.") || name.starts_with("unit.test.")) return;
    const SupportedFeature* ours = find_feature(name);
    ASSERT_NE(ours, nullptr) << name;
    const auto level = row.at("level").get<std::int16_t>();
    highest[name] = std::max(highest[name], level);
    EXPECT_EQ(ours->min == level, row.at("minimumProduction").get<bool>());
    if (row.at("latestProduction").get<bool>()) production[name] = level;
    const auto begins =
        metadata_version_level(row.at("bootstrapMetadataVersion").get<std::string>());
    ASSERT_TRUE(begins.has_value());
    const auto defaults = default_levels(*begins);
    const auto at = defaults.find(name);
    EXPECT_GE(at == defaults.end() ? 0 : at->second, level);
    const auto& dependencies = row.at("dependencies");
    const bool needs = dependencies.contains("metadata.version");
    EXPECT_EQ(dependencies.size(), needs ? 1u : 0u);
    const auto least =
        needs ? dependencies.at("metadata.version").get<std::int16_t>() : metadata_level::kMin;
    using Levels = std::map<std::string, std::int16_t, std::less<>>;
    EXPECT_TRUE(check_levels(Levels{{"metadata.version", least}, {name, level}}).has_value());
    if (!needs) return;
    const auto below = static_cast<std::int16_t>(least - 1);
    EXPECT_FALSE(check_levels(Levels{{"metadata.version", below}, {name, level}}).has_value());
  });
  EXPECT_EQ(highest.size() + 1, supported_features().size());  // metadata.version has its own table
  for (const auto& [name, level] : production) EXPECT_EQ(find_feature(name)->max, level) << name;
  EXPECT_EQ(production.size(), highest.size());
}

TEST(FeaturesVector, what_we_support_is_what_a_kafka_broker_tells) {
  const nlohmann::json told = nlohmann::json::parse(vectors::read("node/features-broker.json"));
  ASSERT_EQ(told.at("supportedFeatures").size(), supported_features().size());
  for (const auto& row : told.at("supportedFeatures")) {
    const SupportedFeature* ours = find_feature(row.at("name").get<std::string>());
    ASSERT_NE(ours, nullptr);
    EXPECT_EQ(ours->min, row.at("minVersion").get<std::int16_t>());
    EXPECT_EQ(ours->max, row.at("maxVersion").get<std::int16_t>());
  }
}

}  // namespace
}  // namespace drave::metadata::testing
