#pragma once
// Texts of a log directory's small files, and the names of what stands in it. Pure: no I/O.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/result.h"
#include "segments/log_directory.h"

namespace drave::segments {

inline constexpr std::string_view kMetaPropertiesName = "meta.properties";
inline constexpr std::string_view kLockName = ".lock";
inline constexpr std::string_view kCleanShutdownName = ".kafka_cleanshutdown";
// A folder whose name is no partition's: what Kafka's broker stumbles over.
inline constexpr std::string_view kJournalDirtyName = "drave.journal.dirty";
// In the metadata log's folder while the directory is dirty, a file whose name is no offset:
// Kafka's controller, which starts before its broker and would lead and append, ends when it lists
// that folder.
inline constexpr std::string_view kMetadataLogDirtyName = "drave-journal-dirty.cleaned";
inline constexpr std::string_view kRecoveryPointName = "recovery-point-offset-checkpoint";
inline constexpr std::string_view kLogStartName = "log-start-offset-checkpoint";
inline constexpr std::string_view kHighWatermarkName = "replication-offset-checkpoint";
inline constexpr std::string_view kMetadataTopic = "__cluster_metadata";

// `meta.properties` (a Java properties file). Errc::corrupt; Errc::unsupported for another version
// than 1.
Result<MetaProperties> decode_meta_properties(std::string_view text);
std::string encode_meta_properties(const MetaProperties& properties, TimestampMs now_ms);

// `.kafka_cleanshutdown`: {"version":0,"brokerEpoch":N}. nullopt: not readable, thus not clean.
std::optional<std::int64_t> decode_clean_shutdown(std::string_view text);
std::string encode_clean_shutdown(std::int64_t broker_epoch);

enum class DirectoryKind : std::uint8_t {
  partition,  // <topic>-<partition>
  deleted,    // ...-delete: to be removed
  future,     // ...-future: kept
  stray,      // ...-stray: kept
  other,      // not ours
};
struct PartitionDirectoryName {
  DirectoryKind kind = DirectoryKind::other;
  std::string topic;  // of a partition
  PartitionIndex partition = -1;
};
PartitionDirectoryName parse_partition_directory(std::string_view name);
std::string partition_directory_name(std::string_view topic, PartitionIndex partition);
// `<topic>-<partition>.<32 hex digits>-<suffix>`, the topic cut where the name would exceed 255
// characters; `suffix` is "delete" or "stray".
std::string renamed_directory_name(std::string_view topic, PartitionIndex partition, Uuid unique,
                                   std::string_view suffix);

}  // namespace drave::segments
