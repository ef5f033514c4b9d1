#pragma once
// Makes this controller known to the cluster (ControllerRegistration): its endpoints and the levels
// of features that it can hold. Tells the active controller whenever the image does not say so.
//
// Lives on shard 0, above the ControllerChannel, which outlives it.

#include "broker/config/broker_config.h"
#include "broker/controller/controller_channel.h"
#include "io/scope.h"

namespace drave::broker {

class ControllerRegistration {
 public:
  ControllerRegistration(io::Loop& loop, const BrokerConfig& config, QuorumController& controller,
                         ControllerChannel& channel, const Uuid& incarnation_id);

  void start();
  io::Task<void> stop();

 private:
  bool is_needed() const;
  io::Task<void> run();
  io::Task<void> register_once();

  const BrokerConfig& config_;
  QuorumController& controller_;
  ControllerChannel& channel_;
  Uuid incarnation_id_;
  io::Scope scope_;
};

}  // namespace drave::broker
