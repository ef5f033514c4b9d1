#pragma once
// A broker's standing with the active controller: registers, follows the metadata to its own
// registration, comes into service, sends heartbeats, and goes out of service before it stops.
//
//   starting     registers (again and again, until the controller takes it), catches up
//   recovering   is registered and caught up; opens its logs; fenced
//   in service   unfenced: clients are sent to it. A broker that was fenced because it was silent
//                comes back here with its next heartbeat
//   leaving      controlled shutdown: what it leads is handed over where somebody can take it
//
// Of two processes with one id and copies of one disk the one that came last has the registration.
// The other one is told DUPLICATE_BROKER_REGISTRATION and asks again, ever more rarely: when the
// last one is gone, and its session over, the first may come back. In Kafka the one that came last
// is refused while the first has a session; here it may be the first one's own successor, which
// nobody lets wait for that.
//
// Lives on shard 0, above the ControllerChannel, which outlives it.

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "broker/config/broker_config.h"
#include "broker/controller/controller_channel.h"
#include "io/scope.h"
#include "metadata/image.h"

namespace drave::broker {

// What is told of this broker.
struct BrokerIdentity {
  std::string cluster_id;
  Uuid incarnation_id;              // of this process
  std::vector<Endpoint> listeners;  // advertised, with the ports that were bound
  std::vector<Uuid> directories;    // of its logs
};

class BrokerLifecycle {
 public:
  BrokerLifecycle(io::Loop& loop, const BrokerConfig& config, QuorumController& controller,
                  ControllerChannel& channel, BrokerIdentity identity);
  ~BrokerLifecycle();

  void start();
  // Returns when the controller has registered this broker and the image that is published here
  // tells of it. Errors: timed_out (initial.broker.registration.timeout.ms), canceled (it stops),
  // invalid (the controller refuses it for good).
  io::Task<Result<void>> caught_up();
  // Its logs are open: it may serve.
  void ready();
  // Returns when the controller has taken it into service. Errors: canceled.
  io::Task<Result<void>> in_service();
  // Asks to be let go; returns when the controller agrees, or nothing is gained by waiting longer:
  // after kControlledShutdownMax, or when none has answered for kControllerAbsentMax. False: nobody
  // agreed.
  io::Task<bool> leave();
  void hurry();  // leave() returns
  io::Task<void> stop();
  // Ends what start() waits for.
  void cancel();

  std::int64_t epoch() const { return epoch_; }  // -1: not registered yet
  bool is_in_service() const { return in_service_; }
  void directory_failed(const Uuid& directory);
  // Where replicas were put, of which the image does not say so; told to the controller.
  void placed(const TopicIdPartition& replica, const Uuid& directory);

 private:
  io::Task<void> run();
  io::Task<void> register_once();
  io::Task<void> beat();
  io::Task<void> assign_directories();
  bool is_known_here() const;
  bool is_taken() const;
  std::int64_t previous_epoch() const;
  bool must_leave_alone() const;
  void note_registered(std::int64_t epoch);
  void note_refused(protocol::ErrorCode error);
  io::Task<void> pause_before_registering_again();

  io::Loop& loop_;
  const BrokerConfig& config_;
  QuorumController& controller_;
  ControllerChannel& channel_;
  BrokerIdentity identity_;
  std::int64_t epoch_ = -1;
  bool was_registered_ = false;  // this process, at some time
  bool ready_ = false;
  bool in_service_ = false;
  bool leaving_ = false;
  bool may_leave_ = false;
  bool canceled_ = false;
  bool hurries_ = false;
  Instant answered_;     // when the active controller last answered a heartbeat; {0}: never
  std::string refused_;  // why the controller will never take this broker
  std::string not_yet_;  // why it has not taken it so far
  protocol::ErrorCode refusal_ = protocol::ErrorCode::none;  // the same as it said it last
  int refusals_ = 0;                                         // so often, one after the other
  bool replaced_ = false;                                    // it was registered, and is so no more
  Instant registered_;
  Backoff repetitions_;  // of a registration that something replaced
  std::set<Uuid> failed_directories_;
  std::map<TopicIdPartition, Uuid> unassigned_;
  io::WaitQueue wake_;     // of run(): something is to be told at once
  io::WaitQueue changed_;  // epoch_, in_service_, may_leave_, refused_
  io::Scope scope_;
};

}  // namespace drave::broker
