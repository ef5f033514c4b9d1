#include "raftlog/core/features.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace drave::raft {

namespace {

constexpr std::array<SupportedFeature, 7> kSupported{{
    {"group.version", 0, 1},
    {"kraft.version", 0, kNewestKraftVersion},
    {"metadata.version", metadata_level::kMin, metadata_level::kNewest},
    {"share.version", 0, 1},
    {"streams.version", 0, 1},
    {"transaction.version", 0, 2},
    {"eligible.leader.replicas.version", 0, 1},
}};

struct MetadataLevel {
  std::int16_t level;
  std::string_view name;
  bool changes_metadata;
};

constexpr std::array<MetadataLevel, 24> kLevels{{
    {7, "3.3-IV3", true},   {8, "3.4-IV0", true},   {9, "3.5-IV0", false},  {10, "3.5-IV1", false},
    {11, "3.5-IV2", true},  {12, "3.6-IV0", false}, {13, "3.6-IV1", true},  {14, "3.6-IV2", true},
    {15, "3.7-IV0", true},  {16, "3.7-IV1", false}, {17, "3.7-IV2", true},  {18, "3.7-IV3", false},
    {19, "3.7-IV4", false}, {20, "3.8-IV0", false}, {21, "3.9-IV0", false}, {22, "4.0-IV0", false},
    {23, "4.0-IV1", true},  {24, "4.0-IV2", false}, {25, "4.0-IV3", false}, {26, "4.1-IV0", false},
    {27, "4.1-IV1", false}, {28, "4.2-IV0", false}, {29, "4.2-IV1", false}, {30, "4.3-IV0", true},
}};

// From which metadata.version on a feature's level is what a new cluster begins with.
struct DefaultLevel {
  std::string_view feature;
  std::int16_t level;
  std::int16_t metadata_version;
};
constexpr std::array<DefaultLevel, 6> kDefaults{{
    {"kraft.version", 1, 21},
    {"group.version", 1, 22},
    {"transaction.version", 2, 24},
    {"eligible.leader.replicas.version", 1, 26},
    {"share.version", 1, 28},
    {"streams.version", 1, 29},
}};

}  // namespace

std::span<const SupportedFeature> supported_features() {
  return kSupported;
}

const SupportedFeature* find_feature(std::string_view name) {
  for (const SupportedFeature& feature : kSupported)
    if (feature.name == name) return &feature;
  return nullptr;
}

std::int16_t register_broker_version(std::int16_t metadata_version) {
  if (metadata_version >= metadata_level::kCordonedDirectories) return 4;
  if (metadata_version >= metadata_level::kDirectories) return 3;
  if (metadata_version >= metadata_level::kRegisterBrokerV2) return 2;
  return 1;
}

std::int16_t broker_change_version(std::int16_t metadata_version) {
  if (metadata_version >= metadata_level::kCordonedDirectories) return 3;
  if (metadata_version >= metadata_level::kDirectories) return 2;
  return 1;
}

std::int16_t partition_version(std::int16_t metadata_version) {
  if (metadata_version >= metadata_level::kElr) return 2;
  if (metadata_version >= metadata_level::kDirectories) return 1;
  return 0;
}

std::string_view metadata_version_name(std::int16_t level) {
  for (const MetadataLevel& known : kLevels)
    if (known.level == level) return known.name;
  return {};
}

std::optional<std::int16_t> metadata_version_level(std::string_view release) {
  std::optional<std::int16_t> newest;
  for (const MetadataLevel& known : kLevels) {
    if (known.name == release) return known.level;
    if (known.name.substr(0, known.name.find('-')) == release) newest = known.level;
  }
  return newest;
}

bool changes_metadata(std::int16_t level) {
  for (const MetadataLevel& known : kLevels)
    if (known.level == level) return known.changes_metadata;
  return true;
}

std::map<std::string, std::int16_t, std::less<>> default_levels(std::int16_t metadata_version) {
  std::map<std::string, std::int16_t, std::less<>> levels;
  levels.emplace(kMetadataVersion, metadata_version);
  for (const DefaultLevel& known : kDefaults)
    if (metadata_version >= known.metadata_version) levels.emplace(known.feature, known.level);
  return levels;
}

Result<void> check_levels(const std::map<std::string, std::int16_t, std::less<>>& levels) {
  const auto metadata_version = levels.find(kMetadataVersion);
  for (const auto& [name, level] : levels) {
    const SupportedFeature* feature = find_feature(name);
    if (feature == nullptr)
      return failure(Errc::invalid, fmt::format("Unsupported feature: {}.", name));
    if (level < feature->min || level > feature->max) {
      return failure(Errc::invalid,
                     fmt::format("No feature:{} with feature level {}", name, level));
    }
    if (name == kElrVersion && level >= 1 &&
        (metadata_version == levels.end() || metadata_version->second < metadata_level::kElr)) {
      return failure(Errc::invalid, fmt::format("{} could not be set to {} because it depends on "
                                                "metadata.version level {}",
                                                name, level, metadata_level::kElr));
    }
  }
  return {};
}

}  // namespace drave::raft
