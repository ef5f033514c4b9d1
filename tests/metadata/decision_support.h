#pragma once
// What tests of the controller's decisions begin with: a cluster, and a way to accept what was
// decided.

#include "metadata/controller/brokers.h"
#include "metadata/controller/topics.h"
#include "metadata/features.h"
#include "protocol/error_code.h"
#include "tests/metadata/image_support.h"

namespace drave::metadata::testing {

constexpr Duration kSessionTimeout = seconds(9);

inline Instant at_ms(std::int64_t ms) {
  return Instant() + milliseconds(ms);
}

inline int code(protocol::ErrorCode of) {
  return static_cast<int>(of);
}

// Brokers 1 to 3 are in service, with the epochs 11 to 13 and the directories {7, id}.
struct BrokerDecisions : ::testing::Test {
  Image image = cluster(3);
  ConfigMap fixed;
  Random random{7};
  RecordList records;
  HeartbeatTracker tracker{kSessionTimeout};
  Offset next_offset = 100;

  BrokerDecisions() { tracker.activate(image, 1, Uuid(), at_ms(0)); }

  ControllerContext context() { return {image, fixed, 1, 2, 1, true, random, "the-cluster"}; }
  void accept() {
    next_offset += static_cast<Offset>(records.size());
    image = apply_all(image, records);
    records = RecordList();
  }
  void enable_elr() {
    protocol::FeatureLevelRecord level;
    level.name = kElrVersion;
    level.feature_level = 1;
    records.add(level);
    accept();
  }
  // Partition i of the topic has the replicas assignments[i].
  TopicId create(std::string_view name, const std::vector<std::vector<NodeId>>& assignments) {
    protocol::TopicRecord topic;
    topic.name = name;
    topic.topic_id = draw_id(random);
    records.add(topic);
    for (std::size_t index = 0; index < assignments.size(); ++index) {
      PartitionImage partition;
      partition.replicas = partition.isr = assignments[index];
      partition.leader = assignments[index].front();
      for (const NodeId id : assignments[index])
        partition.directories.push_back({7, static_cast<std::uint64_t>(id)});
      add_partition_record(records, topic.topic_id, static_cast<PartitionIndex>(index), partition,
                           image.feature(kMetadataVersion));
    }
    accept();
    return topic.topic_id;
  }
  const PartitionImage& partition(std::string_view topic, PartitionIndex index) {
    return image.topics().find(topic)->partitions.at(index);
  }

  // What broker `id` sends when it is started; another incarnation for another `process`.
  protocol::BrokerRegistrationRequest registration(NodeId id, std::uint64_t process = 1) {
    protocol::BrokerRegistrationRequest request;
    request.broker_id = id;
    request.cluster_id = "the-cluster";
    request.incarnation_id = {static_cast<std::uint64_t>(id) + 1000, process};
    request.listeners.push_back({"PLAINTEXT", "host", 9092, 0});
    for (const SupportedFeature& feature : supported_features())
      request.features.push_back({feature.name, feature.min, feature.max});
    request.rack = std::nullopt;
    request.log_dirs = {Uuid{7, static_cast<std::uint64_t>(id)}};
    return request;
  }
  protocol::BrokerRegistrationResponse enroll(const protocol::BrokerRegistrationRequest& request,
                                              Instant now = at_ms(0), std::int16_t version = 4) {
    auto answer =
        register_broker_request(context(), request, version, tracker, now, next_offset, records);
    accept();
    return answer.message;
  }
  protocol::BrokerHeartbeatRequest heartbeat(NodeId id, Offset metadata_offset) {
    protocol::BrokerHeartbeatRequest request;
    request.broker_id = id;
    request.broker_epoch = image.broker(id) == nullptr ? -1 : image.broker(id)->epoch;
    request.current_metadata_offset = metadata_offset;
    return request;
  }
  // Carries a plan out, if there is one, as a controller does.
  void sweep(std::optional<PartitionSweep>& planned) {
    for (bool more = planned.has_value(); more; accept()) more = planned->next(context(), records);
  }
  protocol::BrokerHeartbeatResponse beat(const protocol::BrokerHeartbeatRequest& request,
                                         Instant now = at_ms(0)) {
    HeartbeatPlan plan = plan_heartbeat(context(), request, tracker, now);
    sweep(plan.sweep);
    auto answer = broker_heartbeat(context(), request, plan, tracker, next_offset, records);
    accept();
    return answer.message;
  }
  // Fences one broker whose session has ended, if there is one.
  std::optional<NodeId> expire(Instant now) {
    const std::optional<NodeId> silent = next_to_fence(context(), tracker, now);
    if (!silent.has_value()) return silent;
    auto planned = plan_fencing(context(), *silent);
    sweep(planned);
    fence_broker(context(), *silent, records, planned.has_value());
    accept();
    return silent;
  }
};

}  // namespace drave::metadata::testing
