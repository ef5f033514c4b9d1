#pragma once
// Who was heard when: what the active controller knows about brokers and no log holds.
//
// Pure: moments are passed in. Owned by the controller, on its shard; it begins anew with
// activate() whenever the node becomes the active controller, and then every broker in service has
// a whole session before it can be fenced; so has one that is fenced and leads, which should not
// be, and is ended by that.
//
// A controller that slept (SIGSTOP, a paused VM) has heard nobody, which says nothing about the
// brokers: time in which next_expired() was not called does not count against anyone.

#include <cstdint>
#include <map>
#include <optional>

#include "base/ids.h"
#include "base/units.h"
#include "metadata/image.h"

namespace drave::metadata {

class HeartbeatTracker {
 public:
  // One registration of one broker.
  struct Session {
    NodeId broker = -1;
    std::int64_t epoch = -1;
    bool operator==(const Session&) const = default;
  };

  // broker.session.timeout.ms.
  explicit HeartbeatTracker(Duration session_timeout);

  // This node leads from now on. `self` and `incarnation` are its own: a registration under its id
  // with another incarnation is of a process that has ended: its session is over.
  void activate(const Image& image, NodeId self, const Uuid& incarnation, Instant now);

  // A heartbeat has come in; to be called before it waits for anything, so that a controller that
  // is behind fences nobody for it. Epochs that are not registered are ignored.
  void heard(Session session, Instant now);
  bool has_session(Session session, Instant now) const;

  // One registration that was not heard of for a session; it has none from now on, and whoever asks
  // fences its broker (brokers.h, next_to_fence). To be called every check_interval() at least.
  std::optional<Session> next_expired(Instant now);
  // Its broker could not be fenced: it is told of again, unless it was heard meanwhile.
  void not_fenced(NodeId broker, Instant now);
  Duration check_interval() const { return {session_timeout_.ns / 8}; }
  // When the next session ends if nobody is heard any more; never() if there is none.
  Instant next_deadline() const;

  // --- For the decisions in brokers.h

  // That a registration begins or ends is not said here, for its record may be refused: of a new
  // one nothing is known until it is reported(), and one that has ended is not in the image.

  // A heartbeat of a registration that the image has, with the last offset of the log that the
  // broker has applied.
  void reported(Session session, Offset metadata_offset, Instant now);
  // In controlled shutdown since a decision whose last record is at `offset`. A broker that is
  // fenced leaves that state, and one of which the image does not say that it is in it.
  void begin_shutdown(Session session, Offset offset);
  void end_shutdown(NodeId broker);
  bool is_shutting_down(Session session) const;
  // The offset up to which all brokers in service have followed: those that are neither fenced nor
  // on their way out. INT64_MAX if there is none.
  Offset lowest_active_offset(const Image& image) const;
  // Whether everybody in service has seen what moved when `session` began to shut down.
  bool shutdown_is_known(Session session, const Image& image) const;

 private:
  struct Broker {
    std::int64_t epoch = -1;
    std::optional<Instant> contact;
    Offset metadata_offset = -1;
    Offset shutdown_offset = -1;  // -1: not shutting down
  };

  Broker* find(Session session);
  const Broker* find(Session session) const;

  Duration session_timeout_;
  std::map<NodeId, Broker> brokers_;
  Instant checked_;  // when next_expired() was called last
};

}  // namespace drave::metadata
