#include "broker/lifecycle/controller_registration.h"

#include "base/log.h"
#include "metadata/features.h"

namespace drave::broker {

namespace {

// Before what was taken is told again: the log brings it, which takes as long as its slowest disk.
constexpr Duration kTakenWait = seconds(2);
constexpr Duration kTakenWaitMax = seconds(120);
constexpr Duration kRetryMax = seconds(1);
// A registration that has stood for so long was not contested.
constexpr Duration kSettled = seconds(600);

}  // namespace

ControllerRegistration::ControllerRegistration(io::Loop& loop, const BrokerConfig& config,
                                               QuorumController& controller,
                                               ControllerChannel& channel,
                                               const Uuid& incarnation_id)
    : config_(config),
      controller_(controller),
      channel_(channel),
      incarnation_id_(incarnation_id),
      retries_(milliseconds(config.quorum_retry_backoff_ms), kRetryMax),
      repetitions_(kTakenWait, kTakenWaitMax),
      loop_(loop),
      scope_(loop) {}

void ControllerRegistration::start() {
  scope_.spawn(run());
}

bool ControllerRegistration::is_needed() const {
  const metadata::Image& image = *controller_.image();
  if (image.feature(metadata::kMetadataVersion) < metadata::metadata_level::kControllerRegistration)
    return false;
  const auto self = image.controllers().find(config_.node_id);
  return self == image.controllers().end() || self->second.incarnation_id != incarnation_id_;
}

io::Task<void> ControllerRegistration::run() {
  while (!scope_.is_stopping()) {
    if (!is_needed()) {
      co_await controller_.changed().wait();
      continue;
    }
    if (loop_.now() < not_before_) {
      if (co_await channel_.back_off(not_before_ - loop_.now(), scope_) && !taken_) {
        retries_.reset();
        not_before_ = loop_.now();
      }
      continue;
    }
    note_rival();
    if (loop_.now() >= not_before_ + kSettled) repetitions_.reset();
    const bool taken = co_await register_once();
    if (taken) retries_.reset();
    taken_ = taken_ || taken;
    not_before_ = loop_.now() + (taken ? repetitions_.next() : retries_.next());
  }
}

void ControllerRegistration::note_rival() {
  const auto& controllers = controller_.image()->controllers();
  const auto self = controllers.find(config_.node_id);
  if (self == controllers.end()) return;
  if (!taken_) before_ = self->second.incarnation_id;
  if (!taken_ || self->second.incarnation_id == before_) return;
  std::string where;
  for (const metadata::BrokerEndpoint& endpoint : self->second.endpoints)
    where += fmt::format(" at {}:{}", endpoint.host, endpoint.port);
  LOG_WARN("controller",
           "another process is registered as controller {}{}: a copy of this node's disk, or its "
           "old one? Only one may run. own_incarnation={} other_incarnation={}",
           config_.node_id, where, incarnation_id_.to_string(),
           self->second.incarnation_id.to_string());
}

io::Task<bool> ControllerRegistration::register_once() {
  protocol::ControllerRegistrationRequest request;
  request.controller_id = config_.node_id;
  request.incarnation_id = incarnation_id_;
  const Endpoint& endpoint = config_.advertised_controller_listener;
  request.listeners.push_back({endpoint.listener, endpoint.host, endpoint.port,
                               static_cast<std::int16_t>(endpoint.protocol)});
  for (const metadata::SupportedFeature& feature : metadata::supported_features())
    request.features.push_back({feature.name, feature.min, feature.max});
  const auto reply = co_await channel_.ask<protocol::ControllerRegistrationResponse>(
      request, &QuorumController::controller_registration);
  if (!reply) {
    LOG_DEBUG("controller", "registration failed error={}", reply.error().message());
  } else if (reply->message.error_code != 0) {
    LOG_DEBUG("controller", "registration refused error={}", reply->message.error_code);
  }
  co_return reply && reply->message.error_code == 0;
}

io::Task<void> ControllerRegistration::stop() {
  scope_.request_stop();
  controller_.changed().wake_all();
  co_await scope_.join();
}

}  // namespace drave::broker
