#pragma once
// The features of a cluster: what levels this node can hold, and what a release begins with.
//
// A level says which records and requests the cluster may use. Where this version does not act on a
// feature yet (groups, transactions, ...) it remembers the level and changes nothing else.

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace drave::raft {

struct SupportedFeature {
  std::string_view name;
  std::int16_t min = 0;
  std::int16_t max = 0;
};

// In Kafka's order of registration.
std::span<const SupportedFeature> supported_features();
// Null: no such feature.
const SupportedFeature* find_feature(std::string_view name);

inline constexpr std::string_view kMetadataVersion = "metadata.version";
inline constexpr std::string_view kKraftVersion = "kraft.version";
inline constexpr std::int16_t kNewestKraftVersion = 1;
inline constexpr std::string_view kElrVersion = "eligible.leader.replicas.version";

// Levels of metadata.version from which on records exist, or grow.
namespace metadata_level {
inline constexpr std::int16_t kMin = 7;                      // 3.3-IV3
inline constexpr std::int16_t kRegisterBrokerV2 = 8;         // 3.4-IV0
inline constexpr std::int16_t kScram = 11;                   // 3.5-IV2
inline constexpr std::int16_t kNoEpochOfShrink = 12;         // 3.6-IV0
inline constexpr std::int16_t kTransactions = 13;            // 3.6-IV1
inline constexpr std::int16_t kControllerRegistration = 15;  // 3.7-IV0
inline constexpr std::int16_t kDirectories = 17;             // 3.7-IV2
inline constexpr std::int16_t kKraftVersion1 = 21;           // 3.9-IV0
inline constexpr std::int16_t kElr = 23;                     // 4.0-IV1
inline constexpr std::int16_t kCordonedDirectories = 30;     // 4.3-IV0
inline constexpr std::int16_t kNewest = 30;  // newest that Kafka 4.3 uses in production
}  // namespace metadata_level

// Versions of records that a cluster of this metadata.version writes.
std::int16_t register_broker_version(std::int16_t metadata_version);
std::int16_t broker_change_version(std::int16_t metadata_version);
std::int16_t partition_version(std::int16_t metadata_version);  // of PartitionChange, too

// "4.3-IV0" of 30; empty if there is no such level.
std::string_view metadata_version_name(std::int16_t level);
// Of "4.3", "4.3-IV0" or "3.9": the level; a release stands for its newest level.
std::optional<std::int16_t> metadata_version_level(std::string_view release);
// Whether the records of `level` differ from those of the level before it.
bool changes_metadata(std::int16_t level);

// The levels that a cluster of this metadata.version begins with; levels of 0 are left out.
// metadata.version is among them, kraft.version is too.
std::map<std::string, std::int16_t, std::less<>> default_levels(std::int16_t metadata_version);

// Whether a set of levels can stand: known features, known levels, and what they depend on.
Result<void> check_levels(const std::map<std::string, std::int16_t, std::less<>>& levels);

}  // namespace drave::raft
