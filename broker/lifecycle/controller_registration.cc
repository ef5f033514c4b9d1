#include "broker/lifecycle/controller_registration.h"

#include "base/log.h"
#include "metadata/features.h"

namespace drave::broker {

ControllerRegistration::ControllerRegistration(io::Loop& loop, const BrokerConfig& config,
                                               QuorumController& controller,
                                               ControllerChannel& channel,
                                               const Uuid& incarnation_id)
    : config_(config),
      controller_(controller),
      channel_(channel),
      incarnation_id_(incarnation_id),
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
    if (is_needed()) co_await register_once();
    if (scope_.is_stopping()) break;
    if (is_needed())
      co_await channel_.back_off();
    else
      co_await controller_.changed().wait();
  }
}

io::Task<void> ControllerRegistration::register_once() {
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
}

io::Task<void> ControllerRegistration::stop() {
  scope_.request_stop();
  controller_.changed().wake_all();
  co_await scope_.join();
}

}  // namespace drave::broker
