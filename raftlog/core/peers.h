#pragma once
// Who has been asked what: at most one request to a peer is under way; after a failure the peer is
// left alone for a moment.

#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "base/units.h"

namespace drave::raft {

struct Peer {
  NodeId id = -1;
  std::uint64_t request = 0;  // under way; 0: none
  Instant until = {};         // of the request: given up then; of none: nothing is sent before
  bool done = false;          // asked in this role, and answered
  bool again = false;         // there is something new to say since the request under way left
};

// Of a role: a change of role forgets all, and late replies with it.
class Peers {
 public:
  // Requests are numbered from `first` on. Numbers of another life of the node differ, so that its
  // replies are not taken for this one's.
  explicit Peers(std::uint64_t first) : next_(first | 1) {}

  void forget_all() { peers_.clear(); }
  Peer& at(NodeId id);
  bool is_ready(NodeId id, Instant now) { return at(id).request == 0 && at(id).until <= now; }
  // Returns the request's number.
  std::uint64_t sent(NodeId id, Instant until);
  // The request ended. Returns false if it was not waited for.
  bool ended(NodeId id, std::uint64_t request, Instant not_before);
  // Gives up what took too long.
  void expire(Instant now, Duration backoff);
  // When something changes that nobody tells.
  Instant next_deadline(Instant now) const;
  const std::vector<Peer>& all() const { return peers_; }

 private:
  std::vector<Peer> peers_;  // voters and bootstrap servers, so few
  std::uint64_t next_;
};

}  // namespace drave::raft
