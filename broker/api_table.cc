#include "broker/api_table.h"

#include <algorithm>
#include <array>

#include "broker/handlers/handlers.h"
#include "protocol/error_code.h"
#include "protocol/messages/add_raft_voter.h"
#include "protocol/messages/allocate_producer_ids.h"
#include "protocol/messages/alter_configs.h"
#include "protocol/messages/api_versions.h"
#include "protocol/messages/assign_replicas_to_dirs.h"
#include "protocol/messages/begin_quorum_epoch.h"
#include "protocol/messages/broker_heartbeat.h"
#include "protocol/messages/broker_registration.h"
#include "protocol/messages/controller_registration.h"
#include "protocol/messages/create_acls.h"
#include "protocol/messages/create_partitions.h"
#include "protocol/messages/create_topics.h"
#include "protocol/messages/delete_acls.h"
#include "protocol/messages/delete_records.h"
#include "protocol/messages/delete_topics.h"
#include "protocol/messages/describe_acls.h"
#include "protocol/messages/describe_cluster.h"
#include "protocol/messages/describe_configs.h"
#include "protocol/messages/describe_log_dirs.h"
#include "protocol/messages/describe_producers.h"
#include "protocol/messages/describe_quorum.h"
#include "protocol/messages/describe_topic_partitions.h"
#include "protocol/messages/elect_leaders.h"
#include "protocol/messages/end_quorum_epoch.h"
#include "protocol/messages/envelope.h"
#include "protocol/messages/fetch.h"
#include "protocol/messages/fetch_snapshot.h"
#include "protocol/messages/find_coordinator.h"
#include "protocol/messages/incremental_alter_configs.h"
#include "protocol/messages/init_producer_id.h"
#include "protocol/messages/list_config_resources.h"
#include "protocol/messages/list_offsets.h"
#include "protocol/messages/metadata.h"
#include "protocol/messages/offset_for_leader_epoch.h"
#include "protocol/messages/produce.h"
#include "protocol/messages/remove_raft_voter.h"
#include "protocol/messages/unregister_broker.h"
#include "protocol/messages/update_features.h"
#include "protocol/messages/update_raft_voter.h"
#include "protocol/messages/vote.h"

namespace drave::broker {

namespace {

using protocol::kListenerBroker;
using protocol::kListenerController;

// In all versions that are finished: Kafka 4.3 has one that is not, InitProducerId 6.
template <class M>
ApiEntry entry(Handler handler, std::uint8_t listeners = kListenerBroker) {
  const auto key = static_cast<protocol::ApiKey>(M::kApiKey);
  return {key, M::kVersionMin, protocol::api_info(key).max_stable(), listeners, handler};
}

constexpr std::uint8_t kBoth = kListenerBroker | kListenerController;

const auto kTable = std::to_array<ApiEntry>({
    entry<protocol::ProduceRequest>(handle_produce),
    entry<protocol::FetchRequest>(handle_fetch),
    entry<protocol::FetchRequest>(handle_metadata_fetch, kListenerController),
    entry<protocol::ListOffsetsRequest>(handle_list_offsets),
    entry<protocol::MetadataRequest>(handle_metadata),
    entry<protocol::FindCoordinatorRequest>(handle_find_coordinator),
    entry<protocol::ApiVersionsRequest>(handle_api_versions, kBoth),
    entry<protocol::CreateTopicsRequest>(handle_create_topics, kBoth),
    entry<protocol::DeleteTopicsRequest>(handle_delete_topics, kBoth),
    entry<protocol::DeleteRecordsRequest>(handle_delete_records),
    entry<protocol::InitProducerIdRequest>(handle_init_producer_id),
    entry<protocol::OffsetForLeaderEpochRequest>(handle_offset_for_leader_epoch),
    entry<protocol::DescribeAclsRequest>(handle_describe_acls, kBoth),
    entry<protocol::CreateAclsRequest>(handle_create_acls, kBoth),
    entry<protocol::DeleteAclsRequest>(handle_delete_acls, kBoth),
    entry<protocol::DescribeConfigsRequest>(handle_describe_configs, kBoth),
    entry<protocol::ListConfigResourcesRequest>(handle_list_config_resources),
    entry<protocol::AlterConfigsRequest>(handle_alter_configs, kBoth),
    entry<protocol::DescribeLogDirsRequest>(handle_describe_log_dirs),
    entry<protocol::CreatePartitionsRequest>(handle_create_partitions, kBoth),
    entry<protocol::ElectLeadersRequest>(handle_elect_leaders, kBoth),
    entry<protocol::IncrementalAlterConfigsRequest>(handle_incremental_alter_configs, kBoth),
    entry<protocol::VoteRequest>(handle_vote, kListenerController),
    entry<protocol::BeginQuorumEpochRequest>(handle_begin_quorum_epoch, kListenerController),
    entry<protocol::EndQuorumEpochRequest>(handle_end_quorum_epoch, kListenerController),
    entry<protocol::DescribeQuorumRequest>(handle_describe_quorum, kBoth),
    entry<protocol::UpdateFeaturesRequest>(handle_update_features, kBoth),
    entry<protocol::EnvelopeRequest>(handle_envelope, kListenerController),
    entry<protocol::FetchSnapshotRequest>(handle_fetch_snapshot, kListenerController),
    entry<protocol::DescribeClusterRequest>(handle_describe_cluster, kBoth),
    entry<protocol::DescribeProducersRequest>(handle_describe_producers),
    entry<protocol::BrokerRegistrationRequest>(handle_broker_registration, kListenerController),
    entry<protocol::BrokerHeartbeatRequest>(handle_broker_heartbeat, kListenerController),
    entry<protocol::UnregisterBrokerRequest>(handle_unregister_broker, kBoth),
    entry<protocol::AllocateProducerIdsRequest>(handle_allocate_producer_ids, kListenerController),
    entry<protocol::ControllerRegistrationRequest>(handle_controller_registration,
                                                   kListenerController),
    entry<protocol::AssignReplicasToDirsRequest>(handle_assign_replicas_to_dirs,
                                                 kListenerController),
    entry<protocol::DescribeTopicPartitionsRequest>(handle_describe_topic_partitions),
    entry<protocol::AddRaftVoterRequest>(handle_add_raft_voter, kBoth),
    entry<protocol::RemoveRaftVoterRequest>(handle_remove_raft_voter, kBoth),
    entry<protocol::UpdateRaftVoterRequest>(handle_update_raft_voter, kListenerController),
});

}  // namespace

std::span<const ApiEntry> api_table() {
  return kTable;
}

const ApiEntry* find_api(std::int16_t key, bool controller_listener) {
  const std::uint8_t listener = controller_listener ? kListenerController : kListenerBroker;
  for (const ApiEntry& api : kTable)
    if (static_cast<std::int16_t>(api.key) == key && (api.listeners & listener) != 0) return &api;
  return nullptr;
}

void refuse_version(Response& response, const ApiEntry& api) {
  if (api.key != protocol::ApiKey::api_versions) return response.close_connection();
  protocol::ApiVersionsResponse answer;
  answer.error_code = static_cast<std::int16_t>(protocol::ErrorCode::unsupported_version);
  answer.api_keys.push_back({static_cast<std::int16_t>(api.key), api.version_min, api.version_max});
  response.send_in_version(answer, 0);
}

}  // namespace drave::broker
