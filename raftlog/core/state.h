#pragma once
// Who votes, for whom, and what a node is in its epoch. Words are Kafka's: epoch (Raft's term),
// high watermark (commit index, exclusive), resigned.

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/ids.h"

namespace drave::raft {

// A replica's identity: a disk that was formatted again is another replica, unless it was given its
// old directory id, which makes others believe that it has what it has lost. In a static quorum the
// directory is zero and only the id counts.
struct ReplicaKey {
  NodeId id = -1;
  Uuid directory_id;
  bool operator==(const ReplicaKey&) const = default;
  // The same replica, as far as the voter set knows directories.
  bool matches(const ReplicaKey& other) const {
    return id == other.id && (directory_id.is_zero() || other.directory_id.is_zero() ||
                              directory_id == other.directory_id);
  }
};

using VoterSet = std::vector<ReplicaKey>;  // ids differ; at most kVotersMax

inline bool contains(const VoterSet& voters, const ReplicaKey& key) {
  for (const ReplicaKey& voter : voters) {
    if (voter.matches(key)) return true;
  }
  return false;
}

// What is durable of elections: the content of `quorum-state`.
struct ElectionState {
  LeaderEpoch epoch = 0;
  NodeId leader = -1;               // -1: not known
  std::optional<ReplicaKey> voted;  // for whom in `epoch`
  bool operator==(const ElectionState&) const = default;
};

enum class Role : std::uint8_t {
  unattached,   // knows no leader and has not voted in its epoch
  voted,        // the same, and has voted
  prospective,  // asks whether it would be elected, in the epoch that it is in (pre-vote)
  candidate,    // has voted for itself in a new epoch, and asks for votes
  leader,       //
  follower,     // knows the leader and fetches from it
  resigned,     // led this epoch, does not any more, and keeps quiet in it
};

constexpr std::string_view to_string(Role role) {
  switch (role) {
    case Role::unattached: return "unattached";
    case Role::voted: return "voted";
    case Role::prospective: return "prospective";
    case Role::candidate: return "candidate";
    case Role::leader: return "leader";
    case Role::follower: return "follower";
    case Role::resigned: return "resigned";
  }
  return "";
}

}  // namespace drave::raft
