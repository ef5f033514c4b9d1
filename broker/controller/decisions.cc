// What the controller is asked: each request with the function of metadata/ that decides it, and
// what its answer looks like when the quorum did not take the decision.

#include <fmt/format.h>

#include "base/log.h"
#include "broker/controller/controller_impl.h"
#include "metadata/controller/acls.h"
#include "metadata/controller/brokers.h"
#include "metadata/controller/configs.h"
#include "metadata/controller/features_update.h"
#include "metadata/controller/leadership.h"
#include "metadata/controller/topics.h"

namespace drave::broker {

using metadata::ControllerContext;
using metadata::RecordList;
using protocol::OwnedMessage;

namespace {

// Whether a refusal is told although the decision was not taken. What was judged by a state that
// may have been lost, or by a node that does not lead, is not.
bool stays(std::int16_t refusal, const Error& error) {
  return refusal != 0 && error.code == Errc::too_large;
}

}  // namespace

// --- Topics

QuorumController::Answer<protocol::CreateTopicsResponse> Controller::create_topics(
    const protocol::CreateTopicsRequest& request, std::int16_t version) {
  using A = OwnedMessage<protocol::CreateTopicsResponse>;
  return change_in_pieces<A>(
      {.what = "CreateTopics", .validate_only = request.validate_only},
      [&request, version](const ControllerContext& context) {
        return metadata::begin_create_topics(context, request, version);
      },
      [](A& answer, const Error& error) {
        for (auto& topic : answer.message.topics) {
          if (stays(topic.error_code, error)) continue;
          const std::string_view name = topic.name;
          topic = {};
          topic.name = name;
          topic.error_code = refusal_of(error);
          topic.error_message = answer.keep(error.context);
        }
      });
}

QuorumController::Answer<protocol::DeleteTopicsResponse> Controller::delete_topics(
    const protocol::DeleteTopicsRequest& request, std::int16_t version) {
  using A = OwnedMessage<protocol::DeleteTopicsResponse>;
  return change_in_pieces<A>(
      {.what = "DeleteTopics"},
      [&request, version](const ControllerContext& context) {
        return metadata::begin_delete_topics(context, request, version);
      },
      [](A& answer, const Error& error) {
        for (auto& topic : answer.message.responses) {
          if (stays(topic.error_code, error)) continue;
          topic.error_code = refusal_of(error);
          topic.error_message = answer.keep(error.context);
        }
      });
}

QuorumController::Answer<protocol::CreatePartitionsResponse> Controller::create_partitions(
    const protocol::CreatePartitionsRequest& request, std::int16_t) {
  using A = OwnedMessage<protocol::CreatePartitionsResponse>;
  return change_in_pieces<A>(
      {.what = "CreatePartitions", .validate_only = request.validate_only},
      [&request](const ControllerContext& context) {
        return metadata::begin_create_partitions(context, request);
      },
      [](A& answer, const Error& error) {
        for (auto& topic : answer.message.results) {
          if (stays(topic.error_code, error)) continue;
          topic.error_code = refusal_of(error);
          topic.error_message = answer.keep(error.context);
        }
      });
}

QuorumController::Answer<protocol::ElectLeadersResponse> Controller::elect_leaders(
    const protocol::ElectLeadersRequest& request, std::int16_t) {
  using A = OwnedMessage<protocol::ElectLeadersResponse>;
  return change_in_pieces<A>(
      {.what = "ElectLeaders"},
      [&request](const ControllerContext& context) {
        return metadata::begin_elect_leaders(context, request);
      },
      [&request](A& answer, const Error& error) {
        if (stays(answer.message.error_code, error)) return;
        metadata::refuse_election(request, refusal_of(error), answer.message);
      });
}

// --- Configs and features

namespace {

template <class A>
void fail_resources(A& answer, const Error& error) {
  for (auto& resource : answer.message.responses) {
    if (stays(resource.error_code, error)) continue;
    resource.error_code = refusal_of(error);
    resource.error_message = answer.keep(error.context);
  }
}

}  // namespace

QuorumController::Answer<protocol::IncrementalAlterConfigsResponse>
Controller::incremental_alter_configs(const protocol::IncrementalAlterConfigsRequest& request,
                                      std::int16_t) {
  using A = OwnedMessage<protocol::IncrementalAlterConfigsResponse>;
  return change_in_pieces<A>(
      {.what = "IncrementalAlterConfigs", .validate_only = request.validate_only},
      [&request](const ControllerContext& context) {
        return metadata::begin_incremental_alter_configs(context, request);
      },
      fail_resources<A>);
}

QuorumController::Answer<protocol::AlterConfigsResponse> Controller::alter_configs(
    const protocol::AlterConfigsRequest& request, std::int16_t) {
  using A = OwnedMessage<protocol::AlterConfigsResponse>;
  return change_in_pieces<A>(
      {.what = "AlterConfigs", .validate_only = request.validate_only},
      [&request](const ControllerContext& context) {
        return metadata::begin_alter_configs(context, request);
      },
      fail_resources<A>);
}

namespace {

OwnedMessage<protocol::UpdateFeaturesResponse> refused_by_quorum(const Error& error) {
  return metadata::refuse_features(error.code == Errc::invalid
                                       ? protocol::ErrorCode::invalid_update_version
                                       : protocol::ErrorCode::request_timed_out,
                                   error.context);
}

// The other features of the request are updated already.
OwnedMessage<protocol::UpdateFeaturesResponse> refused_at_the_end(const Error& error) {
  auto answer = refused_by_quorum(error);
  answer.message.error_message = answer.keep(
      fmt::format("The other features were updated, kraft.version was not: {}", error.context));
  return answer;
}

}  // namespace

QuorumController::Answer<protocol::UpdateFeaturesResponse> Controller::update_features(
    const protocol::UpdateFeaturesRequest& request, std::int16_t version) {
  using A = OwnedMessage<protocol::UpdateFeaturesResponse>;
  const auto fail = [](A& answer, const Error& error) {
    if (stays(answer.message.error_code, error)) return;
    answer.message.error_code = refusal_of(error);
    answer.message.error_message = answer.keep(error.context);
    answer.message.results.clear();
  };
  std::optional<std::int16_t> kraft_version;
  bool has_others = false;
  co_await sweeping_.acquire();  // a broker that registers was found to go with the features
  A answer = co_await change<A>(
      {.what = "UpdateFeatures", .validate_only = request.validate_only, .is_of_sweepers = true},
      [&](const ControllerContext& context, RecordList& records) {
        A decided = metadata::update_features(context, request, version, records, kraft_version);
        if (!kraft_version.has_value()) return decided;
        has_others = !records.empty();
        const Result<void> may = raft_->may_upgrade_kraft_version(*kraft_version);
        if (may || may.error().code == Errc::closed) return decided;
        records.cut(0);
        return refused_by_quorum(may.error());
      },
      fail);
  if (answer.message.error_code != 0 || !kraft_version.has_value() || request.validate_only)
    co_return answer;
  // Of all features the last: it is the quorum's own.
  const Result<Offset> end = co_await raft_->upgrade_kraft_version(*kraft_version);
  Result<void> done;
  if (end)
    done = co_await visible(*end);
  else if (end.error().code != Errc::closed && end.error().code != Errc::fenced)
    co_return has_others ? refused_at_the_end(end.error()) : refused_by_quorum(end.error());
  else
    done = std::unexpected(end.error());
  if (!done) fail(answer, done.error());
  co_return answer;
}

// --- Access control

QuorumController::Answer<protocol::CreateAclsResponse> Controller::create_acls(
    const protocol::CreateAclsRequest& request, std::int16_t) {
  using A = OwnedMessage<protocol::CreateAclsResponse>;
  return change<A>(
      {.what = "CreateAcls", .publication_wait = kAclsWaitMax},
      [&request](const ControllerContext& context, RecordList& records) {
        return metadata::create_acls(context, request, records);
      },
      [](A& answer, const Error& error) {
        for (auto& result : answer.message.results) {
          if (stays(result.error_code, error)) continue;
          result.error_code = refusal_of(error);
          result.error_message = answer.keep(error.context);
        }
      });
}

QuorumController::Answer<protocol::DeleteAclsResponse> Controller::delete_acls(
    const protocol::DeleteAclsRequest& request, std::int16_t) {
  using A = OwnedMessage<protocol::DeleteAclsResponse>;
  return change<A>(
      {.what = "DeleteAcls", .publication_wait = kAclsWaitMax},
      [&request](const ControllerContext& context, RecordList& records) {
        return metadata::delete_acls(context, request, records);
      },
      [](A& answer, const Error& error) {
        for (auto& result : answer.message.filter_results) {
          if (stays(result.error_code, error)) continue;
          result = {};
          result.error_code = refusal_of(error);
          result.error_message = answer.keep(error.context);
        }
      });
}

// --- Brokers and controllers

template <class Response, class Decide>
QuorumController::Answer<Response> Controller::broker_change(std::string_view what, Decide decide,
                                                             bool is_of_node) {
  using A = OwnedMessage<Response>;
  return change<A>(
      {.what = what, .atomicity = metadata::Atomicity::each, .is_of_node = is_of_node},
      [this, decide](const ControllerContext& context, RecordList& records) -> A {
        return active_ ? decide(context, records) : A{};
      },
      [](A& answer, const Error& error) {
        if (stays(answer.message.error_code, error)) return;
        answer.message = {};
        answer.message.error_code = refusal_of(error);
      });
}

template <class Response, class Plan, class Decide>
QuorumController::Answer<Response> Controller::planned_change(std::string_view what, Plan plan,
                                                              Decide decide) {
  OwnedMessage<Response> answer;
  co_await sweeping_.acquire();
  co_await deciding_.acquire();
  Result<void> done = failure(Errc::closed, "this node is not the active controller");
  if (active_) {
    const auto planned = plan(context());
    done = {};
    if (planned.sweep.has_value()) done = co_await sweep(*planned.sweep, what);
    RecordList records;
    if (done) answer = decide(context(), planned, records);
    if (done && !records.empty())
      done = co_await append_own(std::move(records), what, planned.sweep.has_value());
  }
  const Offset end = ahead_end_;
  deciding_.release();
  sweeping_.release();
  if (done) done = co_await committed(end);
  if (!done && !stays(answer.message.error_code, done.error())) {
    answer.message = {};
    answer.message.error_code = refusal_of(done.error());
  }
  co_return answer;
}

namespace {

struct Planned {
  std::optional<metadata::PartitionSweep> sweep;
  Instant now;  // of the plan
};

}  // namespace

void Controller::note_refused(NodeId broker, std::int16_t error, std::string_view reason) {
  if (refusals_told_.size() >= kRefusalsToldMax && !refusals_told_.contains(broker))
    refusals_told_.clear();
  const auto [told, is_new] = refusals_told_.try_emplace(broker);
  if (!is_new && told->second.error == error && loop_.now() < told->second.until) return;
  told->second = {error, loop_.now() + kRefusalTold};
  LOG_WARN("controller", "broker refused id={} error={} reason={}", broker, error, reason);
}

QuorumController::Answer<protocol::BrokerRegistrationResponse> Controller::broker_registration(
    const protocol::BrokerRegistrationRequest& request, std::int16_t version) {
  return planned_change<protocol::BrokerRegistrationResponse>(
      "BrokerRegistration",
      [this, &request, version](const ControllerContext& context) {
        const Instant now = loop_.now();
        return Planned{metadata::plan_registration(context, request, version, tracker_, now), now};
      },
      [this, &request, version](const ControllerContext& context, const Planned& planned,
                                RecordList& records) {
        auto answer =
            metadata::register_broker_request(context, request, version, tracker_, planned.now,
                                              raft_->end(), records, planned.sweep.has_value());
        if (answer.message.error_code == 0)
          LOG_INFO("controller", "broker registers id={} epoch={}", request.broker_id,
                   answer.message.broker_epoch);
        else
          note_refused(request.broker_id, answer.message.error_code,
                       answer.texts.empty() ? "" : answer.texts.front());
        return answer;
      });
}

QuorumController::Answer<protocol::BrokerHeartbeatResponse> Controller::broker_heartbeat(
    const protocol::BrokerHeartbeatRequest& request, std::int16_t) {
  // It counts from its arrival, however long it waits for its decision.
  if (active_) tracker_.heard({request.broker_id, request.broker_epoch}, loop_.now());
  return planned_change<protocol::BrokerHeartbeatResponse>(
      "BrokerHeartbeat",
      [this, &request](const ControllerContext& context) {
        return metadata::plan_heartbeat(context, request, tracker_, loop_.now());
      },
      [this, &request](const ControllerContext& context, const metadata::HeartbeatPlan& plan,
                       RecordList& records) {
        return metadata::broker_heartbeat(context, request, plan, tracker_, raft_->end(), records);
      });
}

QuorumController::Answer<protocol::UnregisterBrokerResponse> Controller::unregister_broker(
    const protocol::UnregisterBrokerRequest& request, std::int16_t) {
  return planned_change<protocol::UnregisterBrokerResponse>(
      "UnregisterBroker",
      [this, &request](const ControllerContext& context) {
        return Planned{metadata::plan_unregistration(context, request), loop_.now()};
      },
      [&request](const ControllerContext& context, const Planned& planned, RecordList& records) {
        return metadata::unregister_broker(context, request, records, planned.sweep.has_value());
      });
}

QuorumController::Answer<protocol::ControllerRegistrationResponse>
Controller::controller_registration(const protocol::ControllerRegistrationRequest& request,
                                    std::int16_t) {
  return broker_change<protocol::ControllerRegistrationResponse>(
      "ControllerRegistration",
      [&request](const ControllerContext& context, RecordList& records) {
        return metadata::register_controller_request(context, request, records);
      },
      false);  // who asks looks for it in the image, or asks again
}

QuorumController::Answer<protocol::AllocateProducerIdsResponse> Controller::allocate_producer_ids(
    const protocol::AllocateProducerIdsRequest& request, std::int16_t) {
  return broker_change<protocol::AllocateProducerIdsResponse>(
      "AllocateProducerIds", [&request](const ControllerContext& context, RecordList& records) {
        return metadata::allocate_producer_ids(context, request, records);
      });
}

QuorumController::Answer<protocol::AssignReplicasToDirsResponse>
Controller::assign_replicas_to_dirs(const protocol::AssignReplicasToDirsRequest& request,
                                    std::int16_t) {
  return broker_change<protocol::AssignReplicasToDirsResponse>(
      "AssignReplicasToDirs", [&request](const ControllerContext& context, RecordList& records) {
        return metadata::assign_replicas_to_dirs(context, request, records);
      });
}

}  // namespace drave::broker
