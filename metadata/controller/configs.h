#pragma once
// What the controller answers to IncrementalAlterConfigs and AlterConfigs (the older form, which
// replaces all configs of a resource), as Kafka's does. Each resource succeeds or fails by itself.

#include "metadata/controller/context.h"
#include "metadata/record_list.h"
#include "protocol/messages/alter_configs.h"
#include "protocol/messages/incremental_alter_configs.h"
#include "protocol/owned_message.h"

namespace drave::metadata {

protocol::OwnedMessage<protocol::IncrementalAlterConfigsResponse> incremental_alter_configs(
    const ControllerContext& context, const protocol::IncrementalAlterConfigsRequest& request,
    RecordList& records);

protocol::OwnedMessage<protocol::AlterConfigsResponse> alter_configs(
    const ControllerContext& context, const protocol::AlterConfigsRequest& request,
    RecordList& records);

}  // namespace drave::metadata
