#include "broker/lifecycle/broker_lifecycle.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "broker/lifecycle/registration_refusal.h"
#include "broker/limits.h"
#include "metadata/features.h"

namespace drave::broker {

using protocol::ErrorCode;

namespace {

// How often a broker that waits to be let into service or to leave asks again.
constexpr Duration kImpatience = milliseconds(10);
// How often a broker asks whose predecessor's session has not ended yet: that takes seconds, but
// where it could not say yet whose successor it is (previous_epoch()).
constexpr Duration kPredecessorPause = milliseconds(100);
constexpr int kPredecessorHastyTries = 5;
// Before a broker registers again whose registration does not count any more, or who was refused
// because another process has its place: that of a copy of its disk may last for long.
constexpr Duration kReplacedPause = milliseconds(100);
constexpr Duration kReplacedPauseMax = seconds(30);
// A registration that has stood for so long was not contested.
constexpr Duration kSettled = seconds(600);
// Replicas of one AssignReplicasToDirs, as in Kafka.
constexpr std::size_t kAssignmentsMax = 2'250;

}  // namespace

BrokerLifecycle::BrokerLifecycle(io::Loop& loop, const BrokerConfig& config,
                                 QuorumController& controller, ControllerChannel& channel,
                                 BrokerIdentity identity)
    : loop_(loop),
      config_(config),
      controller_(controller),
      channel_(channel),
      identity_(std::move(identity)),
      repetitions_(kReplacedPause, kReplacedPauseMax),
      wake_(loop),
      changed_(loop),
      scope_(loop) {}

BrokerLifecycle::~BrokerLifecycle() = default;

void BrokerLifecycle::start() {
  scope_.spawn(run());
}

// --- What the node waits for

// The image that is published here has this registration.
bool BrokerLifecycle::is_known_here() const {
  if (epoch_ < 0) return false;
  const metadata::RegistrationImage* self = controller_.image()->broker(config_.node_id);
  return self != nullptr && self->epoch == epoch_;
}

io::Task<Result<void>> BrokerLifecycle::caught_up() {
  const Instant deadline =
      loop_.now() + milliseconds(config_.initial_broker_registration_timeout_ms);
  while (!is_known_here()) {
    if (canceled_) co_return failure(Errc::canceled, "the node stops");
    if (!refused_.empty()) co_return failure(Errc::invalid, refused_);
    if (epoch_ < 0 && loop_.now() >= deadline && !not_yet_.empty())
      co_return failure(Errc::timed_out, not_yet_);
    if (epoch_ < 0 && loop_.now() >= deadline) {
      const std::string refusal = controller_.raft().refusal();
      co_return failure(
          Errc::timed_out,
          fmt::format(
              "no active controller registered this broker within "
              "initial.broker.registration.timeout.ms: {}",
              refusal.empty() ? "are the controllers running, and reachable from here?" : refusal));
    }
    if (epoch_ < 0)
      co_await changed_.wait_until(deadline);
    else
      co_await controller_.changed().wait_until(loop_.now() + seconds(1));
  }
  co_return Result<void>{};
}

void BrokerLifecycle::ready() {
  ready_ = true;
  wake_.wake_all();
}

io::Task<Result<void>> BrokerLifecycle::in_service() {
  while (!in_service_) {
    if (canceled_) co_return failure(Errc::canceled, "the node stops");
    co_await changed_.wait();
  }
  co_return Result<void>{};
}

void BrokerLifecycle::cancel() {
  canceled_ = true;
  changed_.wake_all();
  controller_.changed().wake_all();
}

// Nobody is there who could take over anything, or who would have to know.
bool BrokerLifecycle::must_leave_alone() const {
  return controller_.raft().voters().size() <= 1 && controller_.image()->brokers().size() <= 1;
}

io::Task<bool> BrokerLifecycle::leave() {
  if (!config_.controlled_shutdown_enable || epoch_ < 0 || must_leave_alone()) co_return true;
  leaving_ = true;
  wake_.wake_all();
  const Instant began = loop_.now();
  for (;;) {
    const Instant deadline =
        std::min(began + kControlledShutdownMax, std::max(began, answered_) + kControllerAbsentMax);
    if (may_leave_ || hurries_ || loop_.now() >= deadline) break;
    co_await changed_.wait_until(deadline);
  }
  if (!may_leave_) LOG_WARN("broker", "no controller agreed to the controlled shutdown in time");
  co_return may_leave_;
}

void BrokerLifecycle::hurry() {
  hurries_ = true;
  changed_.wake_all();
}

io::Task<void> BrokerLifecycle::stop() {
  scope_.request_stop();
  cancel();
  wake_.wake_all();
  co_await scope_.join();
}

void BrokerLifecycle::directory_failed(const Uuid& directory) {
  if (failed_directories_.insert(directory).second) wake_.wake_all();
}

void BrokerLifecycle::placed(const TopicIdPartition& replica, const Uuid& directory) {
  unassigned_[replica] = directory;
  wake_.wake_all();
}

// --- Talking to the controller

io::Task<void> BrokerLifecycle::run() {
  while (!scope_.is_stopping() && !may_leave_) {
    if (epoch_ < 0) {
      if (std::exchange(replaced_, false)) co_await pause_before_registering_again();
      if (scope_.is_stopping()) break;
      co_await register_once();
      if (epoch_ >= 0 || scope_.is_stopping()) continue;
      const bool is_duplicate = refusal_ == ErrorCode::duplicate_broker_registration;
      if (is_duplicate && is_taken())
        replaced_ = true;
      else if (is_duplicate && refusals_ > kPredecessorHastyTries)
        co_await wake_.wait_until(loop_.now() + kPredecessorPause);
      else
        co_await channel_.back_off();
      continue;
    }
    // A heartbeat before it is caught up would only say so.
    const bool may_serve = ready_ && is_known_here();
    if (may_serve || leaving_ || in_service_) co_await beat();
    if (!unassigned_.empty() && in_service_) co_await assign_directories();
    if (scope_.is_stopping() || may_leave_) break;
    const bool waits = (may_serve && !in_service_) || leaving_;
    const Duration pause = waits ? kImpatience : milliseconds(config_.broker_heartbeat_interval_ms);
    co_await wake_.wait_until(loop_.now() + pause);
  }
}

io::Task<void> BrokerLifecycle::pause_before_registering_again() {
  if (loop_.now() >= registered_ + kSettled) repetitions_.reset();
  const Instant end = loop_.now() + repetitions_.next();
  while (loop_.now() < end && !scope_.is_stopping()) co_await changed_.wait_until(end);
  const metadata::RegistrationImage* other = controller_.image()->broker(config_.node_id);
  if (other == nullptr || other->incarnation_id == identity_.incarnation_id) co_return;
  std::string where;
  for (const metadata::BrokerEndpoint& endpoint : other->endpoints)
    where += fmt::format(" at {}:{}", endpoint.host, endpoint.port);
  LOG_WARN("broker",
           "another process is registered as broker {}{}: a copy of this node's disk? Only one may "
           "run. own_incarnation={} other_incarnation={}",
           config_.node_id, where, identity_.incarnation_id.to_string(),
           other->incarnation_id.to_string());
}

void BrokerLifecycle::note_registered(std::int64_t epoch) {
  epoch_ = epoch;
  registered_ = loop_.now();
  refusal_ = ErrorCode::none;
  refusals_ = 0;
  was_registered_ = true;
  LOG_INFO("broker", "registered id={} epoch={}", config_.node_id, epoch);
  changed_.wake_all();
}

// A registration that came after one of this process is that of another one that runs, with a copy
// of the directories.
bool BrokerLifecycle::is_taken() const {
  const metadata::RegistrationImage* now = controller_.image()->broker(config_.node_id);
  return was_registered_ && now != nullptr && now->incarnation_id != identity_.incarnation_id;
}

// Of the registration before, if its directories are here still: what was acknowledged is on their
// disks, however the process ended.
std::int64_t BrokerLifecycle::previous_epoch() const {
  const metadata::RegistrationImage* before = controller_.image()->broker(config_.node_id);
  if (before == nullptr || is_taken()) return -1;
  const bool whole = std::all_of(
      before->directories.begin(), before->directories.end(), [this](const Uuid& directory) {
        return std::find(identity_.directories.begin(), identity_.directories.end(), directory) !=
               identity_.directories.end();
      });
  return whole ? before->epoch : -1;
}

io::Task<void> BrokerLifecycle::register_once() {
  protocol::BrokerRegistrationRequest request;
  request.broker_id = config_.node_id;
  request.cluster_id = identity_.cluster_id;
  request.incarnation_id = identity_.incarnation_id;
  for (const Endpoint& endpoint : identity_.listeners)
    request.listeners.push_back({endpoint.listener, endpoint.host, endpoint.port,
                                 static_cast<std::int16_t>(endpoint.protocol)});
  for (const metadata::SupportedFeature& feature : metadata::supported_features())
    request.features.push_back({feature.name, feature.min, feature.max});
  request.rack.reset();
  if (config_.rack.has_value()) request.rack = *config_.rack;
  request.log_dirs = identity_.directories;
  request.previous_broker_epoch = previous_epoch();
  const auto reply = co_await channel_.ask<protocol::BrokerRegistrationResponse>(
      request, &QuorumController::broker_registration);
  if (!reply) {
    LOG_DEBUG("broker", "registration failed error={}", reply.error().message());
    co_return;
  }
  const auto error = static_cast<ErrorCode>(reply->message.error_code);
  if (error == ErrorCode::none) co_return note_registered(reply->message.broker_epoch);
  if (error != ErrorCode::not_controller) note_refused(error);
}

void BrokerLifecycle::note_refused(ErrorCode error) {
  const RegistrationRefusal refusal = registration_refusal(error, config_.node_id);
  if (error != refusal_)
    LOG_WARN("broker", "the controller does not register this broker{} reason={}",
             refusal.is_final ? "" : " yet", refusal.why);
  refusals_ = error == refusal_ ? refusals_ + 1 : 1;
  refusal_ = error;
  not_yet_ =
      "the active controller did not register this broker within "
      "initial.broker.registration.timeout.ms: " +
      refusal.why;
  if (!refusal.is_final) return;
  refused_ = "the active controller refuses this broker: " + refusal.why;
  changed_.wake_all();
}

io::Task<void> BrokerLifecycle::beat() {
  protocol::BrokerHeartbeatRequest request;
  request.broker_id = config_.node_id;
  request.broker_epoch = epoch_;
  request.current_metadata_offset = controller_.published_end() - 1;
  request.want_fence = !ready_;
  request.want_shut_down = leaving_;
  request.offline_log_dirs = {failed_directories_.begin(), failed_directories_.end()};
  const auto reply = co_await channel_.ask<protocol::BrokerHeartbeatResponse>(
      request, &QuorumController::broker_heartbeat);
  if (!reply) {
    LOG_DEBUG("broker", "heartbeat failed error={}", reply.error().message());
    if (!scope_.is_stopping()) co_await channel_.back_off();
    co_return;
  }
  const auto error = static_cast<ErrorCode>(reply->message.error_code);
  if (error != ErrorCode::not_controller) answered_ = loop_.now();
  if (error == ErrorCode::none) {
    const bool in_service = !reply->message.is_fenced;
    if (in_service != in_service_)
      LOG_INFO("broker", "{} id={} epoch={}", in_service ? "in service" : "fenced", config_.node_id,
               epoch_);
    in_service_ = in_service;
    may_leave_ = leaving_ && reply->message.should_shut_down;
    changed_.wake_all();
  } else if (error == ErrorCode::stale_broker_epoch ||
             error == ErrorCode::broker_id_not_registered) {
    LOG_WARN("broker", "registers again error={}", protocol::message(error));
    replaced_ = true;
    epoch_ = -1;
    in_service_ = false;
  } else if (!scope_.is_stopping()) {
    co_await channel_.back_off();
  }
}

io::Task<void> BrokerLifecycle::assign_directories() {
  protocol::AssignReplicasToDirsRequest request;
  request.broker_id = config_.node_id;
  request.broker_epoch = epoch_;
  std::map<Uuid, std::map<Uuid, std::vector<PartitionIndex>>> by_directory;
  std::size_t count = 0;
  for (auto at = unassigned_.begin(); at != unassigned_.end() && count < kAssignmentsMax; ++at) {
    by_directory[at->second][at->first.topic_id].push_back(at->first.partition);
    ++count;
  }
  for (const auto& [directory, topics] : by_directory) {
    auto& of_directory = request.directories.emplace_back();
    of_directory.id = directory;
    for (const auto& [topic, partitions] : topics) {
      auto& of_topic = of_directory.topics.emplace_back();
      of_topic.topic_id = topic;
      for (const PartitionIndex partition : partitions) of_topic.partitions.push_back({partition});
    }
  }
  const auto reply = co_await channel_.ask<protocol::AssignReplicasToDirsResponse>(
      request, &QuorumController::assign_replicas_to_dirs);
  if (!reply || reply->message.error_code != 0) co_return;
  // What is refused (the topic is gone) is not told again either.
  for (const auto& of_directory : request.directories)
    for (const auto& of_topic : of_directory.topics)
      for (const auto& partition : of_topic.partitions)
        unassigned_.erase({of_topic.topic_id, partition.partition_index});
  wake_.wake_all();
}

}  // namespace drave::broker
