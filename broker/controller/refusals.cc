#include "broker/controller/refusals.h"

#include "metadata/controller/leadership.h"

namespace drave::broker {

using protocol::ErrorCode;

namespace {

// Whatever has a code and a text.
template <class Item>
void set_error(Item& item, ErrorCode error) {
  item.error_code = static_cast<std::int16_t>(error);
  item.error_message = protocol::message(error);
}

template <class Request, class Response>
void refuse_resources(const Request& request, ErrorCode error, Response& answer) {
  for (const auto& resource : request.resources) {
    auto& out = answer.responses.emplace_back();
    out.resource_type = resource.resource_type;
    out.resource_name = resource.resource_name;
    set_error(out, error);
  }
}

template <class Response>
void refuse_by_quorum(ErrorCode error, Response& answer) {
  set_error(answer, error == ErrorCode::not_controller ? ErrorCode::not_leader_or_follower : error);
}

}  // namespace

void refuse(const protocol::CreateTopicsRequest& request, ErrorCode error,
            protocol::CreateTopicsResponse& answer) {
  for (const auto& topic : request.topics) {
    auto& out = answer.topics.emplace_back();
    out.name = topic.name;
    set_error(out, error);
  }
}

void refuse(const protocol::DeleteTopicsRequest& request, ErrorCode error,
            protocol::DeleteTopicsResponse& answer) {
  for (const std::string_view name : request.topic_names) {
    auto& out = answer.responses.emplace_back();
    out.name = name;
    set_error(out, error);
  }
  for (const auto& topic : request.topics) {
    auto& out = answer.responses.emplace_back();
    out.name = topic.name;
    out.topic_id = topic.topic_id;
    set_error(out, error);
  }
}

void refuse(const protocol::CreatePartitionsRequest& request, ErrorCode error,
            protocol::CreatePartitionsResponse& answer) {
  for (const auto& topic : request.topics) {
    auto& out = answer.results.emplace_back();
    out.name = topic.name;
    set_error(out, error);
  }
}

void refuse(const protocol::AlterConfigsRequest& request, ErrorCode error,
            protocol::AlterConfigsResponse& answer) {
  refuse_resources(request, error, answer);
}

void refuse(const protocol::IncrementalAlterConfigsRequest& request, ErrorCode error,
            protocol::IncrementalAlterConfigsResponse& answer) {
  refuse_resources(request, error, answer);
}

void refuse(const protocol::CreateAclsRequest& request, ErrorCode error,
            protocol::CreateAclsResponse& answer) {
  answer.results.resize(request.creations.size());
  for (auto& result : answer.results) set_error(result, error);
}

void refuse(const protocol::DeleteAclsRequest& request, ErrorCode error,
            protocol::DeleteAclsResponse& answer) {
  answer.filter_results.resize(request.filters.size());
  for (auto& result : answer.filter_results) set_error(result, error);
}

void refuse(const protocol::ElectLeadersRequest& request, ErrorCode error,
            protocol::ElectLeadersResponse& answer) {
  metadata::refuse_election(request, static_cast<std::int16_t>(error), answer);
}

void refuse(const protocol::UpdateFeaturesRequest&, ErrorCode error,
            protocol::UpdateFeaturesResponse& answer) {
  set_error(answer, error);
}

void refuse(const protocol::UnregisterBrokerRequest&, ErrorCode error,
            protocol::UnregisterBrokerResponse& answer) {
  set_error(answer, error);
}

void refuse(const protocol::DescribeQuorumRequest&, ErrorCode error,
            protocol::DescribeQuorumResponse& answer) {
  refuse_by_quorum(error, answer);
}

void refuse(const protocol::AddRaftVoterRequest&, ErrorCode error,
            protocol::AddRaftVoterResponse& answer) {
  refuse_by_quorum(error, answer);
}

void refuse(const protocol::RemoveRaftVoterRequest&, ErrorCode error,
            protocol::RemoveRaftVoterResponse& answer) {
  refuse_by_quorum(error, answer);
}

}  // namespace drave::broker
