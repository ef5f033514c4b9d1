#pragma once
// What the cluster's metadata amounts to at one offset of `__cluster_metadata`: an immutable value.
//
// Every node builds it by applying committed records in order (delta.h); shards share it by pointer
// and swap it by message. An image never changes once it is published; a new one shares what did
// not change with the old one. Whoever holds an ImagePtr may read it on any thread.
//
// Parts that this version does not act on (quotas, SCRAM, tokens, ...) are kept as the
// records that make them, so that a snapshot loses nothing that Kafka wrote.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/ids.h"
#include "metadata/acls.h"
#include "metadata/config/config_def.h"
#include "metadata/shared_map.h"

namespace drave::metadata {

// A PartitionChangeRecord with this leader leaves the leader as it is.
inline constexpr NodeId kLeaderUnchanged = -2;
inline constexpr NodeId kNoLeader = -1;

// Where a replica is when it is in none of its broker's directories.
inline constexpr Uuid kDirectoryMigrating{0, 0};   // from before there were directory ids
inline constexpr Uuid kDirectoryUnassigned{0, 1};  // its broker has a choice and will say
inline constexpr Uuid kDirectoryLost{0, 2};        // in one that went offline

struct PartitionImage {
  std::vector<NodeId> replicas;
  std::vector<Uuid> directories;  // of the replicas, in their order; empty: all kDirectoryMigrating
  std::vector<NodeId> isr;
  std::vector<NodeId> removing_replicas;
  std::vector<NodeId> adding_replicas;
  std::vector<NodeId> eligible_leader_replicas;
  std::vector<NodeId> last_known_elr;
  NodeId leader = -1;
  std::int8_t leader_recovery_state = 0;
  LeaderEpoch leader_epoch = 0;
  std::int32_t partition_epoch = 0;

  bool operator==(const PartitionImage&) const = default;
};

struct TopicImage {
  std::string name;
  TopicId id;
  SharedMap<PartitionIndex, PartitionImage> partitions;  // 0, 1, 2 ... without gaps
};
using TopicPtr = std::shared_ptr<const TopicImage>;

class TopicsImage {
 public:
  // Null: no such topic.
  const TopicImage* find(std::string_view name) const;
  const TopicImage* find(const TopicId& id) const;
  const SharedMap<std::string, TopicPtr>& by_name() const { return by_name_; }
  // A topic whose name differs from this one, if at all, in having '.' for '_' or '_' for '.'; of
  // several the first by name. Null: there is none.
  const TopicImage* find_colliding(std::string_view name) const;

  void put(TopicPtr topic);
  void remove(const TopicId& id);

 private:
  SharedMap<std::string, TopicPtr> by_name_;
  SharedMap<TopicId, TopicPtr> by_id_;
  // Names with '.' or '_' in them, behind themselves with '_' for every '.' and a zero.
  SharedMap<std::string, std::string> colliding_;
};

// What brokers are to partitions, so that nobody looks through partitions for what is not there.
struct ReplicaCounts {
  std::int64_t leads = 0;   // of kNoLeader: partitions without a leader
  std::int64_t in_isr = 0;  // partitions that have it in their ISR
  std::int64_t in_elr = 0;  // among their eligible leader replicas
  bool operator==(const ReplicaCounts&) const = default;
};

// DescribeConfigs' numbers.
enum class ConfigResourceType : std::int8_t {
  unknown = 0,
  topic = 2,
  broker = 4,
  broker_logger = 8,
  client_metrics = 16,
  group = 32,
};

struct ConfigResource {
  ConfigResourceType type = ConfigResourceType::unknown;
  std::string name;  // topic name, node id, "" for the cluster default of brokers
  auto operator<=>(const ConfigResource&) const = default;
};

struct BrokerEndpoint {
  std::string name;
  std::string host;
  std::uint16_t port = 0;
  std::int16_t security_protocol = 0;
  bool operator==(const BrokerEndpoint&) const = default;
};

struct FeatureRange {
  std::int16_t min = 0;
  std::int16_t max = 0;
  bool operator==(const FeatureRange&) const = default;
};

// A registered broker or controller.
struct RegistrationImage {
  NodeId id = -1;
  std::int64_t epoch = -1;  // of a broker: the offset of its registration record
  Uuid incarnation_id;
  std::vector<BrokerEndpoint> endpoints;
  std::map<std::string, FeatureRange> features;
  std::optional<std::string> rack;
  bool fenced = true;
  bool in_controlled_shutdown = false;
  std::vector<Uuid> directories;
  std::optional<std::vector<Uuid>> cordoned_directories;  // nullopt: never said

  // In service: may lead partitions and get new ones.
  bool is_active() const { return !fenced && !in_controlled_shutdown; }
  bool operator==(const RegistrationImage&) const = default;
};

// Whether a directory that a replica is said to be in is one that its broker has.
bool is_online(const RegistrationImage& broker, const Uuid& directory);
// The same of the broker's replica of a partition.
bool has_directory(const RegistrationImage& broker, const PartitionImage& partition);

// A voter of the quorum, from the control records of the log.
struct VoterImage {
  NodeId id = -1;
  Uuid directory_id;  // zero in a static quorum
  std::vector<BrokerEndpoint> endpoints;
  FeatureRange kraft_version;
  bool operator==(const VoterImage&) const = default;
};

// Records kept verbatim, by a key that a later record of the same thing replaces or removes.
using KeptRecords = SharedMap<std::string, std::vector<std::uint8_t>>;

class Image {
 public:
  // Offset of the last record applied.
  OffsetAndEpoch last_contained() const { return last_contained_; }
  TimestampMs last_contained_timestamp() const { return last_contained_timestamp_; }
  // Nothing was changed between the two: no more than the offset differs. Images of different
  // origins are never said to be the same.
  bool has_same_content(const Image& other) const { return content_ == other.content_; }

  const TopicsImage& topics() const { return content_->topics; }
  ReplicaCounts replica_counts(NodeId id) const;
  const RegistrationImage* broker(NodeId id) const;
  const std::map<NodeId, RegistrationImage>& brokers() const { return content_->brokers; }
  const std::map<NodeId, RegistrationImage>& controllers() const { return content_->controllers; }
  // Finalized levels of features, "metadata.version" and "kraft.version" included.
  const std::map<std::string, std::int16_t, std::less<>>& features() const {
    return content_->features;
  }
  std::int16_t feature(std::string_view name) const;  // 0: not finalized
  // The configs of a resource; empty if it has none.
  const ConfigMap& configs(const ConfigResource& resource) const;
  const SharedMap<ConfigResource, ConfigMap>& all_configs() const { return content_->configs; }
  const std::vector<VoterImage>& voters() const { return content_->voters; }
  std::int64_t next_producer_id() const { return content_->next_producer_id; }
  // Never null; the same object in images between which no ACL changed.
  const AclsPtr& acls() const { return content_->acls; }
  // Records that are only kept, encoded, in the order of a snapshot.
  const KeptRecords& kept() const { return content_->kept; }

 private:
  friend class Delta;
  // Everything but the offset.
  struct Content {
    TopicsImage topics;
    std::map<NodeId, ReplicaCounts> replica_counts;  // of those that are not all 0
    std::map<NodeId, RegistrationImage> brokers;
    std::map<NodeId, RegistrationImage> controllers;
    std::map<std::string, std::int16_t, std::less<>> features;
    SharedMap<ConfigResource, ConfigMap> configs;
    std::vector<VoterImage> voters;
    std::int64_t next_producer_id = 0;
    AclsPtr acls = std::make_shared<const AclMap>();
    KeptRecords kept;
  };

  OffsetAndEpoch last_contained_{-1, -1};
  TimestampMs last_contained_timestamp_ = -1;
  // Shared by images between which only the offset moved; never null.
  std::shared_ptr<const Content> content_ = std::make_shared<const Content>();
};
using ImagePtr = std::shared_ptr<const Image>;

}  // namespace drave::metadata
