#include "raftlog/quorum_state.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>

namespace drave::raft {

namespace {

// The value of a key of the one flat object that the file holds: up to the next ',' or '}'.
std::optional<std::string_view> value_of(std::string_view text, std::string_view key) {
  const std::string quoted = fmt::format("\"{}\"", key);
  std::size_t at = text.find(quoted);
  if (at == std::string_view::npos) return std::nullopt;
  at = text.find_first_not_of(" \t", at + quoted.size());
  if (at == std::string_view::npos || text[at] != ':') return std::nullopt;
  at = text.find_first_not_of(" \t", at + 1);
  if (at == std::string_view::npos) return std::nullopt;
  std::string_view value = text.substr(at, text.find_first_of(",}", at) - at);
  while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
  return value;
}

Result<std::int32_t> number_of(std::string_view text, std::string_view key) {
  const std::optional<std::string_view> value = value_of(text, key);
  std::int32_t number = 0;
  if (value.has_value()) {
    const auto [end, error] = std::from_chars(value->data(), value->data() + value->size(), number);
    if (error == std::errc() && end == value->data() + value->size()) return number;
  }
  return failure(Errc::corrupt, fmt::format("quorum-state: no number in {}", key));
}

}  // namespace

Result<ElectionState> parse_quorum_state(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  const std::size_t last = text.find_last_not_of(" \t\r\n");
  if (first == std::string_view::npos || text[first] != '{' || text[last] != '}')
    return failure(Errc::corrupt, "quorum-state: not an object of JSON");
  TRY(const std::int32_t version, number_of(text, "data_version"));
  if (version != 0 && version != 1)
    return failure(Errc::unsupported, fmt::format("quorum-state: data_version {}", version));
  ElectionState state;
  TRY(state.epoch, number_of(text, "leaderEpoch"));
  TRY(state.leader, number_of(text, "leaderId"));
  TRY(const std::int32_t voted, number_of(text, "votedId"));
  if (state.epoch < 0 || state.leader < -1 || voted < -1)
    return failure(Errc::corrupt, "quorum-state: a negative epoch or id");
  if (voted >= 0) {
    state.voted = ReplicaKey{voted, Uuid()};
    if (version == 1) {
      std::string_view quoted = value_of(text, "votedDirectoryId").value_or("");
      if (quoted.size() < 2 || quoted.front() != '"' || quoted.back() != '"')
        return failure(Errc::corrupt, "quorum-state: no votedDirectoryId");
      const auto directory = Uuid::parse(quoted.substr(1, quoted.size() - 2));
      if (!directory.has_value())
        return failure(Errc::corrupt, "quorum-state: votedDirectoryId is no id");
      state.voted->directory_id = *directory;
    }
  }
  return state;
}

std::string print_quorum_state(const ElectionState& state, std::int16_t kraft_version,
                               const std::vector<ReplicaKey>& voters) {
  const ReplicaKey voted = state.voted.value_or(ReplicaKey{});
  if (kraft_version >= 1) {
    return fmt::format(
        R"({{"leaderId":{},"leaderEpoch":{},"votedId":{},"votedDirectoryId":"{}","data_version":1}})",
        state.leader, state.epoch, voted.id, voted.directory_id.to_string());
  }
  std::string ids;
  for (const ReplicaKey& voter : voters)
    ids += fmt::format(R"({}{{"voterId":{}}})", ids.empty() ? "" : ",", voter.id);
  return fmt::format(
      R"({{"clusterId":"","leaderId":{},"leaderEpoch":{},"votedId":{},"appliedOffset":0,"currentVoters":[{}],"data_version":0}})",
      state.leader, state.epoch, voted.id, ids);
}

}  // namespace drave::raft
