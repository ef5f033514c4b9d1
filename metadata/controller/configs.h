#pragma once
// What the controller answers to IncrementalAlterConfigs and AlterConfigs (the older form, which
// replaces all configs of a resource), as Kafka's does. Each resource succeeds or fails by itself.
// Decided in pieces (begin_...) or at once.

#include <memory>
#include <string_view>

#include "metadata/controller/context.h"
#include "metadata/controller/decision.h"
#include "metadata/record_list.h"
#include "protocol/messages/alter_configs.h"
#include "protocol/messages/incremental_alter_configs.h"
#include "protocol/owned_message.h"

namespace drave::metadata {

// What goes before the level that turns eligible leader replicas on: with them the cluster's
// min.insync.replicas decides. It is set to `min_insync_replicas` unless there is one, and those of
// single nodes are removed, which nobody could do afterwards.
void add_elr_configs(const Image& image, std::string_view min_insync_replicas, RecordList& records);

std::unique_ptr<Decision<protocol::IncrementalAlterConfigsResponse>>
begin_incremental_alter_configs(const ControllerContext& context,
                                const protocol::IncrementalAlterConfigsRequest& request);
protocol::OwnedMessage<protocol::IncrementalAlterConfigsResponse> incremental_alter_configs(
    const ControllerContext& context, const protocol::IncrementalAlterConfigsRequest& request,
    RecordList& records);

std::unique_ptr<Decision<protocol::AlterConfigsResponse>> begin_alter_configs(
    const ControllerContext& context, const protocol::AlterConfigsRequest& request);
protocol::OwnedMessage<protocol::AlterConfigsResponse> alter_configs(
    const ControllerContext& context, const protocol::AlterConfigsRequest& request,
    RecordList& records);

}  // namespace drave::metadata
