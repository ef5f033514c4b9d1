#include "broker/api_table.h"

#include <algorithm>
#include <array>

#include "broker/handlers/handlers.h"
#include "protocol/error_code.h"
#include "protocol/messages/alter_configs.h"
#include "protocol/messages/api_versions.h"
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
#include "protocol/messages/fetch.h"
#include "protocol/messages/find_coordinator.h"
#include "protocol/messages/incremental_alter_configs.h"
#include "protocol/messages/init_producer_id.h"
#include "protocol/messages/list_offsets.h"
#include "protocol/messages/metadata.h"
#include "protocol/messages/offset_for_leader_epoch.h"
#include "protocol/messages/produce.h"
#include "protocol/messages/update_features.h"

namespace drave::broker {

namespace {

using protocol::kListenerBroker;
using protocol::kListenerController;

template <class M>
constexpr ApiEntry entry(Handler handler, std::uint8_t listeners = kListenerBroker,
                         std::int16_t version_max = M::kVersionMax) {
  return {static_cast<protocol::ApiKey>(M::kApiKey), M::kVersionMin, version_max, listeners,
          handler};
}

constexpr std::uint8_t kBoth = kListenerBroker | kListenerController;

// Versions that Kafka 4.3 marks as not final are not served: Fetch 18, ListOffsets 11,
// InitProducerId 6.
const auto kTable = std::to_array<ApiEntry>({
    entry<protocol::ProduceRequest>(handle_produce),
    entry<protocol::FetchRequest>(handle_fetch),
    entry<protocol::ListOffsetsRequest>(handle_list_offsets, kListenerBroker, 10),
    entry<protocol::MetadataRequest>(handle_metadata),
    entry<protocol::FindCoordinatorRequest>(handle_find_coordinator),
    entry<protocol::ApiVersionsRequest>(handle_api_versions, kBoth),
    entry<protocol::CreateTopicsRequest>(handle_create_topics, kBoth),
    entry<protocol::DeleteTopicsRequest>(handle_delete_topics, kBoth),
    entry<protocol::DeleteRecordsRequest>(handle_delete_records),
    entry<protocol::InitProducerIdRequest>(handle_init_producer_id, kListenerBroker, 5),
    entry<protocol::OffsetForLeaderEpochRequest>(handle_offset_for_leader_epoch),
    entry<protocol::DescribeAclsRequest>(handle_describe_acls, kBoth),
    entry<protocol::CreateAclsRequest>(handle_create_acls, kBoth),
    entry<protocol::DeleteAclsRequest>(handle_delete_acls, kBoth),
    entry<protocol::DescribeConfigsRequest>(handle_describe_configs, kBoth),
    entry<protocol::AlterConfigsRequest>(handle_alter_configs, kBoth),
    entry<protocol::DescribeLogDirsRequest>(handle_describe_log_dirs),
    entry<protocol::CreatePartitionsRequest>(handle_create_partitions, kBoth),
    entry<protocol::IncrementalAlterConfigsRequest>(handle_incremental_alter_configs, kBoth),
    entry<protocol::DescribeQuorumRequest>(handle_describe_quorum, kBoth),
    entry<protocol::UpdateFeaturesRequest>(handle_update_features, kBoth),
    entry<protocol::DescribeClusterRequest>(handle_describe_cluster, kBoth),
    entry<protocol::DescribeProducersRequest>(handle_describe_producers),
    entry<protocol::DescribeTopicPartitionsRequest>(handle_describe_topic_partitions),
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
