#pragma once
// What the sender of a request for the controller may not do, taken out of the request before it is
// decided, and answered by itself. Done by the node that a client asks, and by the active
// controller for what comes in an Envelope: a node of Apache Kafka that forwards a request leaves
// the question to the controller.
//
// For each pair of such messages
//   bool withhold(access, image, asked, refused)
//     takes what is not allowed out of `asked`, with an answer in `refused`; false: the whole
//     request is refused, and `refused` is the answer. `refused` borrows from `asked` and `image`.
//   void complete(access, answer, refused)
//     adds the refusals to what the controller answered; empties them.

#include "broker/security/access.h"
#include "broker/serving_image.h"
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

bool withhold(const Access& access, const ServingImage& image, protocol::CreateTopicsRequest& asked,
              protocol::CreateTopicsResponse& refused);
bool withhold(const Access& access, const ServingImage& image, protocol::DeleteTopicsRequest& asked,
              protocol::DeleteTopicsResponse& refused);
bool withhold(const Access& access, const ServingImage& image,
              protocol::CreatePartitionsRequest& asked,
              protocol::CreatePartitionsResponse& refused);
bool withhold(const Access& access, const ServingImage& image, protocol::AlterConfigsRequest& asked,
              protocol::AlterConfigsResponse& refused);
bool withhold(const Access& access, const ServingImage& image,
              protocol::IncrementalAlterConfigsRequest& asked,
              protocol::IncrementalAlterConfigsResponse& refused);
bool withhold(const Access& access, const ServingImage& image, protocol::ElectLeadersRequest& asked,
              protocol::ElectLeadersResponse& refused);
bool withhold(const Access& access, const ServingImage& image, protocol::CreateAclsRequest& asked,
              protocol::CreateAclsResponse& refused);
bool withhold(const Access& access, const ServingImage& image, protocol::DeleteAclsRequest& asked,
              protocol::DeleteAclsResponse& refused);
bool withhold(const Access& access, const ServingImage& image,
              protocol::DescribeQuorumRequest& asked, protocol::DescribeQuorumResponse& refused);
bool withhold(const Access& access, const ServingImage& image,
              protocol::UpdateFeaturesRequest& asked, protocol::UpdateFeaturesResponse& refused);
bool withhold(const Access& access, const ServingImage& image,
              protocol::UnregisterBrokerRequest& asked,
              protocol::UnregisterBrokerResponse& refused);
bool withhold(const Access& access, const ServingImage& image, protocol::AddRaftVoterRequest& asked,
              protocol::AddRaftVoterResponse& refused);
bool withhold(const Access& access, const ServingImage& image,
              protocol::RemoveRaftVoterRequest& asked, protocol::RemoveRaftVoterResponse& refused);

void complete(const Access& access, protocol::CreateTopicsResponse& answer,
              protocol::CreateTopicsResponse& refused);
void complete(const Access& access, protocol::CreatePartitionsResponse& answer,
              protocol::CreatePartitionsResponse& refused);
void complete(const Access& access, protocol::DeleteTopicsResponse& answer,
              protocol::DeleteTopicsResponse& refused);
void complete(const Access& access, protocol::AlterConfigsResponse& answer,
              protocol::AlterConfigsResponse& refused);
void complete(const Access& access, protocol::IncrementalAlterConfigsResponse& answer,
              protocol::IncrementalAlterConfigsResponse& refused);
// All others are refused as a whole or not at all.
template <class ResponseMessage>
void complete(const Access&, ResponseMessage&, ResponseMessage&) {}

}  // namespace drave::broker
