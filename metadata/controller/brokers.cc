#include "metadata/controller/brokers.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "metadata/features.h"
#include "protocol/error_code.h"

namespace drave::metadata {

namespace {

using protocol::BrokerRegistrationRequest;
using protocol::ErrorCode;

constexpr std::int32_t kProducerIdBlock = 1000;

std::int16_t code_of(ErrorCode code) {
  return static_cast<std::int16_t>(code);
}

struct Problem {
  ErrorCode code = ErrorCode::none;
  std::string text;
};

template <class Answer>
void refuse(Answer& answer, Problem problem) {
  answer.message.error_code = code_of(problem.code);
  answer.keep(std::move(problem.text));
}

template <class Range>
bool contains(const Range& range, const Uuid& id) {
  return std::find(range.begin(), range.end(), id) != range.end();
}

// What comes from the peer and goes into a record must be expressible there.
template <class Request>
bool has_long_text(const Request& request) {
  auto is_long = [](std::string_view text) { return text.size() > kTextLengthMax; };
  for (const auto& listener : request.listeners)
    if (is_long(listener.name) || is_long(listener.host)) return true;
  for (const auto& feature : request.features)
    if (is_long(feature.name)) return true;
  return false;
}

template <class Request, class Record>
void fill(const Request& request, Record& record) {
  for (const auto& listener : request.listeners)
    record.end_points.push_back(
        {listener.name, listener.host, listener.port, listener.security_protocol});
  for (const auto& feature : request.features)
    record.features.push_back(
        {feature.name, feature.min_supported_version, feature.max_supported_version});
}

// --- Registration

// The process behind the registration has ended, and the request is of its successor.
bool is_successor(const RegistrationImage& existing, const BrokerRegistrationRequest& request) {
  if (request.previous_broker_epoch != existing.epoch) return false;
  return std::any_of(request.log_dirs.begin(), request.log_dirs.end(),
                     [&existing](const Uuid& id) { return contains(existing.directories, id); });
}

Problem check_directories(const Image& image, const BrokerRegistrationRequest& request) {
  if (image.feature(kMetadataVersion) < metadata_level::kDirectories) return {};
  if (request.log_dirs.empty())
    return {ErrorCode::invalid_registration, "No directories specified in request"};
  std::set<Uuid> seen;
  for (const Uuid& id : request.log_dirs) {
    if (id.is_reserved())
      return {ErrorCode::invalid_registration, "Reserved directory ID in request"};
    if (!seen.insert(id).second)
      return {ErrorCode::invalid_registration, "Duplicate directory ID in request"};
  }
  for (const auto& [other, broker] : image.brokers()) {
    if (other == request.broker_id) continue;
    for (const Uuid& id : broker.directories) {
      if (!seen.contains(id)) continue;
      return {
          ErrorCode::invalid_registration,
          fmt::format("Broker {} is already registered with directory {}", other, id.to_string())};
    }
  }
  return {};
}

Problem check_feature(std::string_view name, std::int16_t finalized, FeatureRange range) {
  if (range.min <= finalized && finalized <= range.max) return {};
  return {ErrorCode::unsupported_version,
          fmt::format("Unable to register because the broker does not support finalized version {} "
                      "of {}. The broker wants a version between {} and {}, inclusive.",
                      finalized, name, range.min, range.max)};
}

Problem check_features(const Image& image, const BrokerRegistrationRequest& request) {
  std::set<std::string_view> named;
  for (const auto& feature : request.features) {
    named.insert(feature.name);
    Problem problem = check_feature(feature.name, image.feature(feature.name),
                                    {feature.min_supported_version, feature.max_supported_version});
    if (problem.code != ErrorCode::none) return problem;
  }
  if (!named.contains(kMetadataVersion)) {
    return {ErrorCode::invalid_registration,
            fmt::format("Request features do not contain '{}'", kMetadataVersion)};
  }
  for (const auto& [name, level] : image.features()) {
    if (level == 0 || named.contains(name)) continue;
    if (Problem problem = check_feature(name, level, {}); problem.code != ErrorCode::none)
      return problem;
  }
  return {};
}

Problem check_registration(const ControllerContext& context,
                           const BrokerRegistrationRequest& request, bool taken) {
  if (request.cluster_id != context.cluster_id) {
    return {ErrorCode::inconsistent_cluster_id,
            fmt::format("Expected cluster ID {}, but got cluster ID {}", context.cluster_id,
                        request.cluster_id)};
  }
  if (request.broker_id < 0 || has_long_text(request) ||
      request.rack.value_or("").size() > kTextLengthMax)
    return {ErrorCode::invalid_request, "A broker id or a text that cannot be"};
  if (taken) {
    return {ErrorCode::duplicate_broker_registration,
            "Another broker is registered with that broker id. If the broker was recently "
            "restarted this should self-resolve once the heartbeat manager expires the broker's "
            "session."};
  }
  if (request.is_migrating_zk_broker) {
    return {ErrorCode::broker_id_not_registered,
            "Controller does not support registering ZK brokers."};
  }
  if (Problem problem = check_directories(context.image, request); problem.code != ErrorCode::none)
    return problem;
  return check_features(context.image, request);
}

// What a registration is to the one before it under the same id.
struct Predecessor {
  const RegistrationImage* registration = nullptr;  // null: there is none
  bool is_amended = false;                          // the same incarnation speaks again
  bool is_in_the_way = false;                       // it has a session of its own
  bool is_clean = false;                            // it lost nothing that it had acknowledged
};

Predecessor predecessor_of(const ControllerContext& context,
                           const BrokerRegistrationRequest& request, std::int16_t version,
                           const HeartbeatTracker& tracker, Instant now) {
  Predecessor found;
  const RegistrationImage* existing = context.image.broker(request.broker_id);
  if (existing == nullptr) return found;
  found.registration = existing;
  found.is_amended = existing->incarnation_id == request.incarnation_id;
  found.is_in_the_way = !found.is_amended &&
                        tracker.has_session({existing->id, existing->epoch}, now) &&
                        !is_successor(*existing, request);
  found.is_clean = version >= 3 && existing->epoch == request.previous_broker_epoch;
  return found;
}

// Whether the partitions that an earlier incarnation left behind may lack what it acknowledged.
bool is_unclean(const ControllerContext& context, const Predecessor& before) {
  return context.image.feature(kElrVersion) > 0 && !before.is_clean;
}

}  // namespace

std::optional<PartitionSweep> plan_registration(const ControllerContext& context,
                                                const BrokerRegistrationRequest& request,
                                                std::int16_t version,
                                                const HeartbeatTracker& tracker, Instant now) {
  const Predecessor before = predecessor_of(context, request, version, tracker, now);
  if (before.is_amended ||
      check_registration(context, request, before.is_in_the_way).code != ErrorCode::none)
    return std::nullopt;
  std::vector<SweepStep> steps{SweepStep::out_of_isrs};
  if (is_unclean(context, before))
    steps = {SweepStep::unclean_out_of_isrs, SweepStep::unclean_out_of_elrs};
  return PartitionSweep::plan(context.image, request.broker_id, std::move(steps));
}

protocol::OwnedMessage<protocol::BrokerRegistrationResponse> register_broker_request(
    const ControllerContext& context, const BrokerRegistrationRequest& request,
    std::int16_t version, const HeartbeatTracker& tracker, Instant now, Offset next_offset,
    RecordList& records, bool is_swept) {
  protocol::OwnedMessage<protocol::BrokerRegistrationResponse> answer;
  Predecessor before = predecessor_of(context, request, version, tracker, now);
  // The plan has judged that, and the partitions are taken away: it may have been heard since.
  if (is_swept) before.is_in_the_way = false;
  const RegistrationImage* existing = before.registration;
  const bool amends = before.is_amended;
  if (Problem problem = check_registration(context, request, before.is_in_the_way);
      problem.code != ErrorCode::none) {
    refuse(answer, std::move(problem));
    return answer;
  }
  protocol::RegisterBrokerRecord record;
  record.broker_id = request.broker_id;
  record.incarnation_id = request.incarnation_id;
  fill(request, record);
  record.rack = request.rack;
  if (amends) {
    record.broker_epoch = existing->epoch;
    record.fenced = existing->fenced;
    record.in_controlled_shutdown = existing->in_controlled_shutdown;
  } else {
    if (!is_swept && is_unclean(context, before))
      remove_unclean(context, request.broker_id, records);
    else if (!is_swept)
      remove_from_isrs(context, request.broker_id, records);
    record.broker_epoch = next_offset + static_cast<Offset>(records.size());
    record.fenced = true;
  }
  const std::int16_t record_version =
      register_broker_version(context.image.feature(kMetadataVersion));
  if (record_version >= 3) record.log_dirs = request.log_dirs;
  if (record_version >= 4 && amends) record.cordoned_log_dirs = existing->cordoned_directories;
  records.add(record, record_version);
  answer.message.broker_epoch = record.broker_epoch;
  return answer;
}

// --- Heartbeats

namespace {

void add_registration_change(const RegistrationImage& broker, std::int8_t fenced,
                             RecordList& records) {
  protocol::BrokerRegistrationChangeRecord record;
  record.broker_id = broker.id;
  record.broker_epoch = broker.epoch;
  record.fenced = fenced;
  records.add(record, std::int16_t{0});
}

// The state of a registered broker after this heartbeat.
BrokerState next_state(const ControllerContext& context, const RegistrationImage& broker,
                       const protocol::BrokerHeartbeatRequest& request,
                       const HeartbeatTracker& tracker) {
  if (broker.fenced) {
    if (request.want_shut_down) return BrokerState::shutdown_now;
    const bool wants = !request.want_fence && request.current_metadata_offset >= broker.epoch;
    return wants ? BrokerState::unfenced : BrokerState::fenced;
  }
  const HeartbeatTracker::Session session{broker.id, broker.epoch};
  if (tracker.is_shutting_down(session)) {
    const bool done =
        !leads_any(context.image, broker.id) && tracker.shutdown_is_known(session, context.image);
    return done ? BrokerState::shutdown_now : BrokerState::controlled_shutdown;
  }
  if (request.want_fence)
    return request.want_shut_down ? BrokerState::shutdown_now : BrokerState::fenced;
  if (!request.want_shut_down) return BrokerState::unfenced;
  return can_hand_over(context, broker.id) ? BrokerState::controlled_shutdown
                                           : BrokerState::shutdown_now;
}

bool is_serving(BrokerState state) {
  return state != BrokerState::fenced && state != BrokerState::shutdown_now;
}

// Whether the state is one to be entered.
bool is_entered(const RegistrationImage& broker, BrokerState state) {
  return is_serving(state) == broker.fenced || state == BrokerState::controlled_shutdown;
}

void enter(const ControllerContext& context, const RegistrationImage& broker,
           const HeartbeatPlan& plan, HeartbeatTracker& tracker, Offset next_offset,
           RecordList& records) {
  const std::size_t before = records.size();
  const bool is_swept = plan.sweep.has_value();
  switch (plan.state) {
    case BrokerState::fenced:
    case BrokerState::shutdown_now:
      tracker.end_shutdown(broker.id);
      return fence_broker(context, broker.id, records, is_swept);
    case BrokerState::unfenced: return unfence_broker(context, broker.id, records, is_swept);
    case BrokerState::controlled_shutdown:
      if (!broker.in_controlled_shutdown) {
        protocol::BrokerRegistrationChangeRecord record;
        record.broker_id = broker.id;
        record.broker_epoch = broker.epoch;
        record.in_controlled_shutdown = 1;
        records.add(record, std::int16_t{1});
      }
      if (!is_swept) remove_from_isrs(context, broker.id, records);
      const auto added = static_cast<Offset>(records.size() - before);
      return tracker.begin_shutdown({broker.id, broker.epoch}, next_offset + added - 1);
  }
}

void take_offline(const ControllerContext& context, const RegistrationImage& broker,
                  const std::vector<Uuid>& offline, const HeartbeatPlan& plan,
                  RecordList& records) {
  if (context.image.feature(kMetadataVersion) < metadata_level::kDirectories) return;
  std::vector<Uuid> online;
  for (const Uuid& directory : broker.directories) {
    if (!contains(offline, directory))
      online.push_back(directory);
    else if (is_serving(plan.state) && directory != plan.swept_directory)
      remove_directory(context, broker.id, directory, records);
  }
  if (online.size() == broker.directories.size()) return;
  protocol::BrokerRegistrationChangeRecord record;
  record.broker_id = broker.id;
  record.broker_epoch = broker.epoch;
  record.log_dirs = std::move(online);
  records.add(record, std::int16_t{2});
}

void take_cordoned(const ControllerContext& context, const RegistrationImage& broker,
                   const std::optional<std::vector<Uuid>>& cordoned, RecordList& records) {
  if (!cordoned.has_value() ||
      context.image.feature(kMetadataVersion) < metadata_level::kCordonedDirectories)
    return;
  if (broker.cordoned_directories.has_value() &&
      std::set<Uuid>(cordoned->begin(), cordoned->end()) ==
          std::set<Uuid>(broker.cordoned_directories->begin(), broker.cordoned_directories->end()))
    return;
  protocol::BrokerRegistrationChangeRecord record;
  record.broker_id = broker.id;
  record.broker_epoch = broker.epoch;
  record.cordoned_log_dirs = cordoned;
  records.add(record, std::int16_t{3});
}

Problem check_epoch(const Image& image, NodeId id, std::int64_t epoch) {
  const RegistrationImage* broker = image.broker(id);
  if (broker == nullptr) {
    return {ErrorCode::stale_broker_epoch,
            fmt::format("No broker registration found for broker id {}", id)};
  }
  if (broker->epoch != epoch) {
    return {ErrorCode::stale_broker_epoch,
            fmt::format("Expected broker epoch {}, but got broker epoch {}", broker->epoch, epoch)};
  }
  return {};
}

}  // namespace

namespace {

// One that is gone; several at once are rare, and the others are dealt with at once.
void plan_directory(const ControllerContext& context, const RegistrationImage& broker,
                    const std::vector<Uuid>& offline, HeartbeatPlan& plan) {
  const auto gone =
      std::find_if(broker.directories.begin(), broker.directories.end(),
                   [&offline](const Uuid& directory) { return contains(offline, directory); });
  if (gone == broker.directories.end()) return;
  plan.sweep = PartitionSweep::plan(context.image, broker.id, {SweepStep::out_of_directory}, *gone);
  if (plan.sweep.has_value()) plan.swept_directory = *gone;
}

}  // namespace

HeartbeatPlan plan_heartbeat(const ControllerContext& context,
                             const protocol::BrokerHeartbeatRequest& request,
                             HeartbeatTracker& tracker, Instant now) {
  HeartbeatPlan plan;
  if (check_epoch(context.image, request.broker_id, request.broker_epoch).code != ErrorCode::none)
    return plan;
  const RegistrationImage& broker = *context.image.broker(request.broker_id);
  tracker.reported({broker.id, broker.epoch}, request.current_metadata_offset, now);
  // What was decided and not appended, because leadership was about to go, has not begun.
  if (!broker.in_controlled_shutdown) tracker.end_shutdown(broker.id);
  plan.state = next_state(context, broker, request, tracker);
  if (is_entered(broker, plan.state)) {
    const SweepStep step =
        plan.state == BrokerState::unfenced ? SweepStep::lead_again : SweepStep::out_of_isrs;
    plan.sweep = PartitionSweep::plan(context.image, broker.id, {step});
  } else if (is_serving(plan.state) &&
             context.image.feature(kMetadataVersion) >= metadata_level::kDirectories) {
    plan_directory(context, broker, request.offline_log_dirs, plan);
  }
  return plan;
}

protocol::OwnedMessage<protocol::BrokerHeartbeatResponse> broker_heartbeat(
    const ControllerContext& context, const protocol::BrokerHeartbeatRequest& request,
    const HeartbeatPlan& plan, HeartbeatTracker& tracker, Offset next_offset, RecordList& records) {
  protocol::OwnedMessage<protocol::BrokerHeartbeatResponse> answer;
  if (Problem problem = check_epoch(context.image, request.broker_id, request.broker_epoch);
      problem.code != ErrorCode::none) {
    refuse(answer, std::move(problem));
    return answer;
  }
  const RegistrationImage& broker = *context.image.broker(request.broker_id);
  const BrokerState state = plan.state;
  const bool serves = is_serving(state);
  if (is_entered(broker, state)) enter(context, broker, plan, tracker, next_offset, records);
  take_offline(context, broker, request.offline_log_dirs, plan, records);
  take_cordoned(context, broker, request.cordoned_log_dirs, records);
  answer.message.is_caught_up = request.current_metadata_offset >= broker.epoch;
  answer.message.is_fenced = !serves;
  answer.message.should_shut_down = state == BrokerState::shutdown_now;
  return answer;
}

std::optional<NodeId> next_to_fence(const ControllerContext& context, HeartbeatTracker& tracker,
                                    Instant now) {
  while (const auto expired = tracker.next_expired(now)) {
    const RegistrationImage* broker = context.image.broker(expired->broker);
    if (broker == nullptr || broker->epoch != expired->epoch) continue;
    if (broker->fenced && !leads_any(context.image, broker->id)) continue;
    tracker.end_shutdown(broker->id);
    return broker->id;
  }
  return std::nullopt;
}

std::optional<PartitionSweep> plan_fencing(const ControllerContext& context, NodeId broker) {
  return PartitionSweep::plan(context.image, broker, {SweepStep::out_of_isrs});
}

void fence_broker(const ControllerContext& context, NodeId broker, RecordList& records,
                  bool is_swept) {
  const RegistrationImage* registered = context.image.broker(broker);
  if (registered == nullptr) return;
  if (!is_swept) remove_from_isrs(context, broker, records);
  if (!registered->fenced) add_registration_change(*registered, 1, records);
}

void unfence_broker(const ControllerContext& context, NodeId broker, RecordList& records,
                    bool is_swept) {
  const RegistrationImage* registered = context.image.broker(broker);
  if (registered == nullptr) return;
  if (registered->fenced) add_registration_change(*registered, -1, records);
  if (!is_swept) lead_again(context, broker, records);
}

// --- Others

std::optional<PartitionSweep> plan_unregistration(
    const ControllerContext& context, const protocol::UnregisterBrokerRequest& request) {
  return PartitionSweep::plan(context.image, request.broker_id,
                              {SweepStep::out_of_isrs, SweepStep::out_of_elrs});
}

protocol::OwnedMessage<protocol::UnregisterBrokerResponse> unregister_broker(
    const ControllerContext& context, const protocol::UnregisterBrokerRequest& request,
    RecordList& records, bool is_swept) {
  protocol::OwnedMessage<protocol::UnregisterBrokerResponse> answer;
  answer.message.error_message = std::nullopt;
  const RegistrationImage* broker = context.image.broker(request.broker_id);
  if (broker == nullptr) {
    answer.message.error_code = code_of(ErrorCode::broker_id_not_registered);
    answer.message.error_message =
        answer.keep(fmt::format("Broker ID {} is not currently registered", request.broker_id));
    return answer;
  }
  if (!is_swept) {
    remove_from_isrs(context, broker->id, records);
    remove_from_elrs(context, broker->id, records);
  }
  protocol::UnregisterBrokerRecord record;
  record.broker_id = broker->id;
  record.broker_epoch = broker->epoch;
  records.add(record);
  return answer;
}

protocol::OwnedMessage<protocol::ControllerRegistrationResponse> register_controller_request(
    const ControllerContext& context, const protocol::ControllerRegistrationRequest& request,
    RecordList& records) {
  protocol::OwnedMessage<protocol::ControllerRegistrationResponse> answer;
  answer.message.error_message = std::nullopt;
  auto fail = [&answer](ErrorCode code, std::string text) {
    answer.message.error_code = code_of(code);
    answer.message.error_message = answer.keep(std::move(text));
  };
  if (context.image.feature(kMetadataVersion) < metadata_level::kControllerRegistration) {
    fail(ErrorCode::unsupported_version,
         "The current MetadataVersion is too old to support controller registrations.");
  } else if (request.controller_id < 0 || has_long_text(request)) {
    fail(ErrorCode::invalid_request, "A controller id or a text that cannot be");
  } else {
    protocol::RegisterControllerRecord record;
    record.controller_id = request.controller_id;
    record.incarnation_id = request.incarnation_id;
    fill(request, record);
    records.add(record);
  }
  return answer;
}

protocol::OwnedMessage<protocol::AllocateProducerIdsResponse> allocate_producer_ids(
    const ControllerContext& context, const protocol::AllocateProducerIdsRequest& request,
    RecordList& records) {
  protocol::OwnedMessage<protocol::AllocateProducerIdsResponse> answer;
  Problem problem = check_epoch(context.image, request.broker_id, request.broker_epoch);
  const std::int64_t first = context.image.next_producer_id();
  if (problem.code == ErrorCode::none && first > INT64_MAX - kProducerIdBlock)
    problem = {ErrorCode::unknown_server_error, "There are no producer ids left"};
  if (problem.code != ErrorCode::none) {
    refuse(answer, std::move(problem));
    return answer;
  }
  protocol::ProducerIdsRecord record;
  record.broker_id = request.broker_id;
  record.broker_epoch = request.broker_epoch;
  record.next_producer_id = first + kProducerIdBlock;
  records.add(record);
  answer.message.producer_id_start = first;
  answer.message.producer_id_len = kProducerIdBlock;
  return answer;
}

}  // namespace drave::metadata
