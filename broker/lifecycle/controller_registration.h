#pragma once
// Makes this controller known to the cluster (ControllerRegistration): its endpoints and the levels
// of features that it can hold. Tells the active controller when the image does not say so.
//
// Each time is a record. What the active controller took is waited for; when another process then
// registers under the same id (a copy of this node's disk, or its old one), this one does so again
// after ever longer pauses, and says so in the log: two cannot both be right.
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
  // Whether the active controller took it.
  io::Task<bool> register_once();
  void note_rival();

  const BrokerConfig& config_;
  QuorumController& controller_;
  ControllerChannel& channel_;
  Uuid incarnation_id_;
  Uuid before_;          // the incarnation that was registered before this process was
  bool taken_ = false;   // once
  Backoff retries_;      // while nobody takes it
  Backoff repetitions_;  // of what was taken
  Instant not_before_;   // the next try
  io::Loop& loop_;
  io::Scope scope_;
};

}  // namespace drave::broker
