#include "raftlog/core/peers.h"

#include <algorithm>

namespace drave::raft {

Peer& Peers::at(NodeId id) {
  for (Peer& peer : peers_) {
    if (peer.id == id) return peer;
  }
  return peers_.emplace_back(Peer{id, 0, {}, false, false});
}

std::uint64_t Peers::sent(NodeId id, Instant until) {
  Peer& peer = at(id);
  peer.request = next_++;
  peer.again = false;
  peer.until = until;
  return peer.request;
}

bool Peers::ended(NodeId id, std::uint64_t request, Instant not_before) {
  Peer& peer = at(id);
  if (request == 0 || peer.request != request) return false;
  peer.request = 0;
  peer.until = not_before;
  return true;
}

void Peers::expire(Instant now, Duration backoff) {
  for (Peer& peer : peers_) {
    if (peer.request == 0 || peer.until > now) continue;
    peer.request = 0;
    peer.until = now + backoff;
  }
}

Instant Peers::next_deadline(Instant now) const {
  Instant next = Instant::never();
  for (const Peer& peer : peers_) {
    if (peer.until > now) next = std::min(next, peer.until);
  }
  return next;
}

}  // namespace drave::raft
