#pragma once
// What the controller answers to UpdateFeatures, as Kafka's does: all changes or none.

#include <cstdint>
#include <optional>
#include <string_view>

#include "metadata/controller/context.h"
#include "metadata/record_list.h"
#include "protocol/error_code.h"
#include "protocol/messages/update_features.h"
#include "protocol/owned_message.h"

namespace drave::metadata {

// kraft.version is no record of the controller's: the level to which it is to be raised is left in
// `kraft_version`, for the quorum to decide about (raftlog/raft_log.h).
protocol::OwnedMessage<protocol::UpdateFeaturesResponse> update_features(
    const ControllerContext& context, const protocol::UpdateFeaturesRequest& request,
    std::int16_t version, RecordList& records, std::optional<std::int16_t>& kraft_version);

protocol::OwnedMessage<protocol::UpdateFeaturesResponse> refuse_features(protocol::ErrorCode error,
                                                                         std::string_view why);

}  // namespace drave::metadata
