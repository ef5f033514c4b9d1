#pragma once
// What this node knows of the quorum, of the active controller and of its own standing, at one
// moment: for /metrics and /health/ready, which run on a thread of their own. Taken on shard 0 once
// in kGaugePeriod; immutable then.

#include <cstdint>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/units.h"
#include "raftlog/raft_log.h"

namespace drave::broker {

class BrokerLifecycle;
class QuorumController;
struct BrokerConfig;

struct QuorumSample {
  raft::QuorumStatus status;
  raft::ElectionCounters elections;
  TimestampMs taken_ms = 0;
  Offset log_end = 0;
  Offset log_start = 0;
  bool is_voter = false;
  bool is_active = false;       // the active controller
  Offset applied = -1;          // the last record that the node's image has
  TimestampMs applied_ms = -1;  // its timestamp
  std::size_t brokers_active = 0;
  std::size_t brokers_fenced = 0;
  std::size_t topics = 0;
  bool has_broker_role = false;
  bool in_service = false;  // as a broker: the active controller said so last
  std::string refusal;      // RaftLog::refusal()
};

QuorumSample sample_quorum(QuorumController& controller, const BrokerLifecycle* lifecycle,
                           const BrokerConfig& config, TimestampMs now);

// Whether to send this node what it is there for; README.md says what that means.
struct Readiness {
  bool is_ready = false;
  std::string text;  // one line, for an operator
};
// Of a node that is running.
Readiness readiness_of(const QuorumSample& sample);

}  // namespace drave::broker
