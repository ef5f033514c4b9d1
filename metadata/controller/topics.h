#pragma once
// What the controller answers to CreateTopics, DeleteTopics and CreatePartitions, as Kafka's does:
// errors per topic with Kafka's codes and sentences; records for what is to be done.
//
// Each is decided in pieces (begin_...) or at once. Answers borrow text of the request. With
// `validate_only` records are made all the same; the caller drops them.

#include <memory>

#include "metadata/controller/context.h"
#include "metadata/controller/decision.h"
#include "metadata/record_list.h"
#include "protocol/messages/create_partitions.h"
#include "protocol/messages/create_topics.h"
#include "protocol/messages/delete_topics.h"
#include "protocol/owned_message.h"

namespace drave::metadata {

std::unique_ptr<Decision<protocol::CreateTopicsResponse>> begin_create_topics(
    const ControllerContext& context, const protocol::CreateTopicsRequest& request,
    std::int16_t version);
protocol::OwnedMessage<protocol::CreateTopicsResponse> create_topics(
    const ControllerContext& context, const protocol::CreateTopicsRequest& request,
    std::int16_t version, RecordList& records);

// Versions up to 5 name topics in `topic_names`; later ones by name or id in `topics`.
std::unique_ptr<Decision<protocol::DeleteTopicsResponse>> begin_delete_topics(
    const ControllerContext& context, const protocol::DeleteTopicsRequest& request,
    std::int16_t version);
protocol::OwnedMessage<protocol::DeleteTopicsResponse> delete_topics(
    const ControllerContext& context, const protocol::DeleteTopicsRequest& request,
    std::int16_t version, RecordList& records);

std::unique_ptr<Decision<protocol::CreatePartitionsResponse>> begin_create_partitions(
    const ControllerContext& context, const protocol::CreatePartitionsRequest& request);
protocol::OwnedMessage<protocol::CreatePartitionsResponse> create_partitions(
    const ControllerContext& context, const protocol::CreatePartitionsRequest& request,
    RecordList& records);

// Whether replicas that somebody wrote by hand can be: an empty text, or what is wrong, for
// INVALID_REPLICA_ASSIGNMENT. `replication_factor` is that of the partitions before, if any.
std::string assignment_problem(const Image& image, const std::vector<NodeId>& replicas,
                               std::optional<std::size_t> replication_factor);

}  // namespace drave::metadata
