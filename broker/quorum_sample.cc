#include "broker/quorum_sample.h"

#include <algorithm>

#include "broker/config/broker_config.h"
#include "broker/controller/quorum_controller.h"
#include "broker/lifecycle/broker_lifecycle.h"

namespace drave::broker {

QuorumSample sample_quorum(QuorumController& controller, const BrokerLifecycle* lifecycle,
                           const BrokerConfig& config, TimestampMs now) {
  const raft::RaftLog& log = controller.raft();
  const metadata::Image& image = *controller.image();
  QuorumSample sample;
  sample.status = log.status();
  sample.elections = log.elections();
  sample.taken_ms = now;
  sample.log_end = log.end();
  sample.log_start = log.log_start();
  sample.is_voter = log.is_voter();
  sample.is_active = controller.is_active();
  sample.applied = controller.published_end() - 1;
  sample.applied_ms = image.last_contained_timestamp();
  for (const auto& [id, broker] : image.brokers())
    ++(broker.fenced ? sample.brokers_fenced : sample.brokers_active);
  sample.topics = image.topics().by_name().size();
  sample.has_broker_role = config.has_broker_role;
  sample.in_service = lifecycle != nullptr && lifecycle->is_in_service();
  sample.refusal = log.refusal();
  return sample;
}

Readiness readiness_of(const QuorumSample& sample) {
  const bool is_led = sample.status.leader >= 0;
  if (sample.has_broker_role) {
    if (!sample.in_service) return {false, "fenced: the active controller sends it no clients"};
    // What its partitions hold is served all the same.
    return {true, is_led ? "running" : "running, but no leader of the quorum is heard"};
  }
  if (!is_led) {
    return {false, "no leader of the quorum is heard" +
                       (sample.refusal.empty() ? "" : ": " + sample.refusal)};
  }
  if (!sample.is_voter) return {false, "no voter of the quorum: it only looks on"};
  return {true, "running"};
}

}  // namespace drave::broker
