#pragma once
// The file `quorum-state`: one line of JSON, Kafka's. Version 0 belongs to static quorums
// (kraft.version 0), version 1 knows directory ids.

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "raftlog/core/core.h"

namespace drave::raft {

inline constexpr std::string_view kQuorumStateFile = "quorum-state";

// Errors: corrupt.
Result<ElectionState> parse_quorum_state(std::string_view text);
std::string print_quorum_state(const ElectionState& state, std::int16_t kraft_version,
                               const std::vector<ReplicaKey>& voters);

}  // namespace drave::raft
