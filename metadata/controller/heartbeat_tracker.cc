#include "metadata/controller/heartbeat_tracker.h"

#include <algorithm>

#include "base/assert.h"

namespace drave::metadata {

HeartbeatTracker::HeartbeatTracker(Duration session_timeout) : session_timeout_(session_timeout) {
  ASSERT(session_timeout.ns > 0);
}

void HeartbeatTracker::activate(const Image& image, NodeId self, const Uuid& incarnation,
                                Instant now) {
  brokers_.clear();
  checked_ = now;
  for (const auto& [id, broker] : image.brokers()) {
    Broker& known = brokers_[id];
    known.epoch = broker.epoch;
    const bool ended = id == self && broker.incarnation_id != incarnation;
    const bool serves = !broker.fenced || image.replica_counts(id).leads > 0;
    if (!serves) continue;
    known.contact = ended ? now - (session_timeout_ + nanoseconds(1)) : now;
  }
}

HeartbeatTracker::Broker* HeartbeatTracker::find(Session session) {
  const auto found = brokers_.find(session.broker);
  return found == brokers_.end() || found->second.epoch != session.epoch ? nullptr : &found->second;
}

const HeartbeatTracker::Broker* HeartbeatTracker::find(Session session) const {
  const auto found = brokers_.find(session.broker);
  return found == brokers_.end() || found->second.epoch != session.epoch ? nullptr : &found->second;
}

void HeartbeatTracker::heard(Session session, Instant now) {
  if (Broker* broker = find(session); broker != nullptr) broker->contact = now;
}

bool HeartbeatTracker::has_session(Session session, Instant now) const {
  const Broker* broker = find(session);
  return broker != nullptr && broker->contact.has_value() &&
         now <= *broker->contact + session_timeout_;
}

std::optional<HeartbeatTracker::Session> HeartbeatTracker::next_expired(Instant now) {
  const Duration since = now - checked_;
  checked_ = now;
  if (since > check_interval() + check_interval()) {
    for (auto& [id, broker] : brokers_)
      if (broker.contact.has_value()) broker.contact = std::min(now, *broker.contact + since);
  }
  for (auto& [id, broker] : brokers_) {
    if (!broker.contact.has_value() || now <= *broker.contact + session_timeout_) continue;
    broker.contact.reset();
    return Session{id, broker.epoch};
  }
  return std::nullopt;
}

void HeartbeatTracker::not_fenced(NodeId broker, Instant now) {
  const auto found = brokers_.find(broker);
  if (found == brokers_.end() || found->second.contact.has_value()) return;
  found->second.contact = now - session_timeout_ - nanoseconds(1);
}

Instant HeartbeatTracker::next_deadline() const {
  Instant next = Instant::never();
  for (const auto& [id, broker] : brokers_)
    if (broker.contact.has_value()) next = std::min(next, *broker.contact + session_timeout_);
  return next;
}

void HeartbeatTracker::reported(Session session, Offset metadata_offset, Instant now) {
  Broker& broker = brokers_[session.broker];
  if (broker.epoch != session.epoch) broker = Broker();
  broker.epoch = session.epoch;
  broker.contact = now;
  broker.metadata_offset = metadata_offset;
}

void HeartbeatTracker::begin_shutdown(Session session, Offset offset) {
  Broker* broker = find(session);
  ASSERT(broker != nullptr);
  if (broker->shutdown_offset < 0) broker->shutdown_offset = offset;
}

void HeartbeatTracker::end_shutdown(NodeId broker) {
  const auto found = brokers_.find(broker);
  if (found != brokers_.end()) found->second.shutdown_offset = -1;
}

bool HeartbeatTracker::is_shutting_down(Session session) const {
  const Broker* broker = find(session);
  return broker != nullptr && broker->shutdown_offset >= 0;
}

Offset HeartbeatTracker::lowest_active_offset(const Image& image) const {
  Offset lowest = INT64_MAX;
  for (const auto& [id, registration] : image.brokers()) {
    if (registration.fenced || is_shutting_down({id, registration.epoch})) continue;
    const Broker* broker = find({id, registration.epoch});
    lowest = std::min(lowest, broker == nullptr ? -1 : broker->metadata_offset);
  }
  return lowest;
}

bool HeartbeatTracker::shutdown_is_known(Session session, const Image& image) const {
  const Broker* broker = find(session);
  return broker != nullptr && broker->shutdown_offset >= 0 &&
         broker->shutdown_offset <= lowest_active_offset(image);
}

}  // namespace drave::metadata
