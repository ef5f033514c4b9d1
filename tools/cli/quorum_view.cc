#include "tools/cli/quorum_view.h"

#include <fmt/format.h>

#include <algorithm>

#include "protocol/messages/describe_cluster.h"
#include "protocol/messages/describe_quorum.h"
#include "segments/meta_properties.h"

namespace drave::cli {
namespace {

using protocol::ErrorCode;
using Quorum = protocol::DescribeQuorumResponse;

// Of each voter that is asked because somebody else did not know the leader: one that is stopped or
// cut off answers nothing at all.
constexpr int kVoterAnswerMs = 1000;
constexpr std::int8_t kControllers = 2;

// Asks one node. A broker asks the leader; a controller that does not lead says so.
Outcome<QuorumView> ask(client::Endpoint endpoint, int timeout_ms) {
  TRY(auto client,
      client::Client::connect({std::move(endpoint)}, client::Milliseconds(timeout_ms)));
  protocol::DescribeQuorumRequest request;
  request.topics.emplace_back().topic_name = segments::kMetadataTopic;
  request.topics.back().partitions.emplace_back();
  TRY(auto answer, client.call<Quorum>(request));
  const auto whole = static_cast<ErrorCode>(answer.message.error_code);
  if (whole != ErrorCode::none) {
    return std::unexpected(
        kafka_failure(whole, "the quorum", answer.message.error_message.value_or("")));
  }
  const auto& topics = answer.message.topics;
  if (topics.size() != 1 || topics.front().partitions.size() != 1)
    return fail(ExitCode::failed, "the answer is about another log");
  const Quorum::PartitionData& partition = topics.front().partitions.front();
  const auto code = static_cast<ErrorCode>(partition.error_code);
  const std::string text(partition.error_message.value_or(protocol::message(code)));
  if (code != ErrorCode::none && code != ErrorCode::not_leader_or_follower)
    return std::unexpected(kafka_failure(code, "the quorum", text));
  return QuorumView{std::move(client), std::move(answer), code == ErrorCode::none, text, {}};
}

// Where a node says that the leader is which does not lead itself. Kafka's controllers say it when
// they are asked for the cluster.
std::optional<client::Endpoint> hinted_leader(QuorumView& view) {
  if (const auto named = view.endpoint_of(view.partition().leader_id)) return named->at;
  if (!view.client.version_of(protocol::ApiKey::describe_cluster).has_value()) return std::nullopt;
  protocol::DescribeClusterRequest request;
  request.endpoint_type = kControllers;
  const auto answer = view.client.call<protocol::DescribeClusterResponse>(request, 1);
  if (!answer || answer->message.error_code != 0) return std::nullopt;
  for (const auto& node : answer->message.brokers) {
    if (node.broker_id == answer->message.controller_id)
      return client::Endpoint{std::string(node.host), static_cast<std::uint16_t>(node.port)};
  }
  return std::nullopt;
}

std::size_t reached_count(const QuorumView& view) {
  return static_cast<std::size_t>(std::count_if(
      view.voters.begin(), view.voters.end(), [](const auto& voter) { return voter.is_reached; }));
}

// Asks all voters that `view` names, one by one. The leader's own view, if one of them is it.
std::optional<QuorumView> ask_voters(QuorumView& view, int timeout_ms) {
  for (const Quorum::ReplicaState& voter : view.partition().current_voters) {
    VoterAnswer told{voter.replica_id, voter.replica_directory_id,
                     view.endpoint_of(voter.replica_id)};
    if (told.endpoint.has_value()) {
      Outcome<QuorumView> own = ask(told.endpoint->at, std::min(timeout_ms, kVoterAnswerMs));
      if (own && own->is_led) return std::move(*own);
      if (own) {
        told.is_reached = true;
        told.epoch = own->partition().leader_epoch;
        told.leader = own->partition().leader_id;
      }
    }
    view.voters.push_back(std::move(told));
  }
  return std::nullopt;
}

// From a node that does not lead to the one that does; what it said, if there is none.
QuorumView follow(QuorumView view, int timeout_ms) {
  if (const auto hint = hinted_leader(view)) {
    Outcome<QuorumView> led = ask(*hint, std::min(timeout_ms, kVoterAnswerMs));
    if (led && led->is_led) return std::move(*led);
  }
  if (std::optional<QuorumView> led = ask_voters(view, timeout_ms)) return std::move(*led);
  return view;
}

}  // namespace

std::optional<ControllerEndpoint> QuorumView::endpoint_of(NodeId id) const {
  for (const auto& node : answer.message.nodes) {
    if (node.node_id != id || node.listeners.empty()) continue;
    const auto& listener = node.listeners.front();
    return ControllerEndpoint{std::string(listener.name),
                              {std::string(listener.host), listener.port}};
  }
  return std::nullopt;
}

const Quorum::ReplicaState* QuorumView::voter(NodeId id) const {
  for (const auto& voter : partition().current_voters)
    if (voter.replica_id == id) return &voter;
  return nullptr;
}

Outcome<QuorumView> view_quorum(const std::string& bootstrap, int timeout_ms) {
  TRY(const auto endpoints, client::parse_endpoints(bootstrap));
  Outcome<QuorumView> seen = fail(ExitCode::unreachable, "nobody was asked");
  for (const client::Endpoint& endpoint : endpoints) {
    Outcome<QuorumView> next = ask(endpoint, timeout_ms);
    if (next && !next->is_led) next = follow(std::move(*next), timeout_ms);
    if (next && next->is_led) return next;
    if (!seen) seen = std::move(next);  // the first that can say something
  }
  return seen;
}

Outcome<QuorumView> find_leader(const Context& context) {
  TRY(QuorumView view, view_quorum(context.bootstrap, context.timeout_ms));
  if (!view.is_led) return std::unexpected(no_leader(view));
  return view;
}

bool lacks_majority(const QuorumView& view) {
  return !view.voters.empty() && reached_count(view) <= view.voters.size() / 2;
}

Failure no_leader(const QuorumView& view) {
  const std::size_t count = view.voters.size();
  const std::size_t reached = reached_count(view);
  if (count == 0)
    return {ExitCode::failed, "the quorum has no leader: " + view.why_not,
            "Try again in a moment."};
  const std::size_t needed = count / 2 + 1;
  std::string missing;
  for (const VoterAnswer& voter : view.voters) {
    if (voter.is_reached) continue;
    missing += fmt::format("{}{}", missing.empty() ? "" : ", ", voter.id);
    if (voter.endpoint.has_value()) missing += " at " + voter.endpoint->at.to_string();
  }
  std::string what =
      fmt::format("the quorum has no leader: {} of {} voters answer{}, {} needed", reached, count,
                  reached == 1 ? "s" : "", needed == 1 ? "1 is" : fmt::format("{} are", needed));
  if (!missing.empty()) what += fmt::format("; no answer from {}", missing);
  return {ExitCode::failed, std::move(what),
          lacks_majority(view)
              ? "Start the others. What partitions hold is served meanwhile; topics "
                "cannot be changed."
              : "They may be electing one: try again in a moment."};
}

}  // namespace drave::cli
