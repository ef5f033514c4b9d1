#pragma once
// What a client is told of a request for the controller that nobody decided, or of which nobody has
// said so in time: `error` for each item, or for the whole where the answer has one code. The
// answer borrows from the request.

#include "protocol/error_code.h"
#include "protocol/messages/add_raft_voter.h"
#include "protocol/messages/alter_configs.h"
#include "protocol/messages/create_acls.h"
#include "protocol/messages/create_partitions.h"
#include "protocol/messages/create_topics.h"
#include "protocol/messages/delete_acls.h"
#include "protocol/messages/delete_topics.h"
#include "protocol/messages/describe_quorum.h"
#include "protocol/messages/elect_leaders.h"
#include "protocol/messages/incremental_alter_configs.h"
#include "protocol/messages/remove_raft_voter.h"
#include "protocol/messages/unregister_broker.h"
#include "protocol/messages/update_features.h"

namespace drave::broker {

void refuse(const protocol::CreateTopicsRequest& request, protocol::ErrorCode error,
            protocol::CreateTopicsResponse& answer);
void refuse(const protocol::DeleteTopicsRequest& request, protocol::ErrorCode error,
            protocol::DeleteTopicsResponse& answer);
void refuse(const protocol::CreatePartitionsRequest& request, protocol::ErrorCode error,
            protocol::CreatePartitionsResponse& answer);
void refuse(const protocol::AlterConfigsRequest& request, protocol::ErrorCode error,
            protocol::AlterConfigsResponse& answer);
void refuse(const protocol::IncrementalAlterConfigsRequest& request, protocol::ErrorCode error,
            protocol::IncrementalAlterConfigsResponse& answer);
void refuse(const protocol::CreateAclsRequest& request, protocol::ErrorCode error,
            protocol::CreateAclsResponse& answer);
void refuse(const protocol::DeleteAclsRequest& request, protocol::ErrorCode error,
            protocol::DeleteAclsResponse& answer);
void refuse(const protocol::ElectLeadersRequest& request, protocol::ErrorCode error,
            protocol::ElectLeadersResponse& answer);
void refuse(const protocol::UpdateFeaturesRequest& request, protocol::ErrorCode error,
            protocol::UpdateFeaturesResponse& answer);
void refuse(const protocol::UnregisterBrokerRequest& request, protocol::ErrorCode error,
            protocol::UnregisterBrokerResponse& answer);
// Of the quorum's own: for NOT_CONTROLLER they have NOT_LEADER_OR_FOLLOWER.
void refuse(const protocol::DescribeQuorumRequest& request, protocol::ErrorCode error,
            protocol::DescribeQuorumResponse& answer);
void refuse(const protocol::AddRaftVoterRequest& request, protocol::ErrorCode error,
            protocol::AddRaftVoterResponse& answer);
void refuse(const protocol::RemoveRaftVoterRequest& request, protocol::ErrorCode error,
            protocol::RemoveRaftVoterResponse& answer);

}  // namespace drave::broker
