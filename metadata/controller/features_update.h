#pragma once
// What the controller answers to UpdateFeatures, as Kafka's does: all changes or none.

#include "metadata/controller/context.h"
#include "metadata/record_list.h"
#include "protocol/messages/update_features.h"
#include "protocol/owned_message.h"

namespace drave::metadata {

protocol::OwnedMessage<protocol::UpdateFeaturesResponse> update_features(
    const ControllerContext& context, const protocol::UpdateFeaturesRequest& request,
    std::int16_t version, RecordList& records);

}  // namespace drave::metadata
