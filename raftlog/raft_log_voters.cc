// Changes of voters: asked for by others of the leader, and by this node for itself.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/log.h"
#include "protocol/messages/api_versions.h"
#include "raftlog/core/features.h"
#include "raftlog/raft_log_impl.h"

namespace drave::raft {

using protocol::OwnedMessage;

namespace {

// A voter is asked for its versions within this, whatever the request allows.
constexpr Duration kAskVersionsMax = seconds(10);
constexpr Duration kMisplacedTold = seconds(30);
constexpr Duration kUpkeepTold = seconds(30);
// So many nodes are asked at a time, each over a connection of its own; beyond, it is to be tried
// again (REQUEST_TIMED_OUT).
constexpr std::size_t kAskedAtOnceMax = 4;
constexpr std::string_view kStaticQuorum =
    "The quorum's kraft.version is 0, with which its voters cannot be changed. `kafka-features "
    "upgrade --feature kraft.version=1` makes it one whose voters can.";

// What a controller serves that may vote and be led.
constexpr auto kVoterApis = std::to_array<protocol::ApiKey>(
    {protocol::ApiKey::vote, protocol::ApiKey::begin_quorum_epoch, protocol::ApiKey::fetch});

bool serves(const protocol::ApiVersionsResponse& answer, protocol::ApiKey key) {
  return std::any_of(answer.api_keys.begin(), answer.api_keys.end(), [key](const auto& api) {
    return api.api_key == static_cast<std::int16_t>(key);
  });
}

template <class Response>
OwnedMessage<Response> outcome(ErrorCode error, std::string_view detail = {}) {
  OwnedMessage<Response> answer = wire::refusal<Response>(error);
  if (error != ErrorCode::none) {
    answer.message.error_message =
        detail.empty() ? protocol::message(error) : answer.keep(std::string(detail));
  }
  return answer;
}

// What a leader has against it.
template <class Response>
std::string why(const Response& answer) {
  std::string text(protocol::name(static_cast<ErrorCode>(answer.error_code)));
  if constexpr (requires { answer.error_message; }) {
    if (!answer.error_message.value_or("").empty())
      text += fmt::format(": {}", *answer.error_message);
  }
  return text;
}

}  // namespace

const Voter* RaftLogImpl::find_voter(const ReplicaKey& key) const {
  for (const Voter& voter : history_.voters()) {
    if (ReplicaKey{voter.id, voter.directory_id} == key) return &voter;
  }
  return nullptr;
}

// Whether the set says of this node what is not so.
bool RaftLogImpl::is_stale(const Voter& voter) const {
  if (options_.endpoint.host.empty()) return false;
  const SupportedFeature* range = find_feature(kKraftVersion);
  return voter.endpoints != std::vector{options_.endpoint} ||
         voter.kraft_version_min != range->min || voter.kraft_version_max != range->max;
}

// --- As the leader

// Where replicas reach each other; of what else a voter listens to they have no use.
bool RaftLogImpl::names_controllers_listener(const Voter& voter) const {
  return options_.endpoint.name.empty() ||
         std::any_of(
             voter.endpoints.begin(), voter.endpoints.end(),
             [this](const VoterEndpoint& each) { return each.name == options_.endpoint.name; });
}

io::Task<ChangeVoterReply> RaftLogImpl::change_voter(ChangeVoterRequest request, Voter voter) {
  const ErrorCode error =
      !started_ || stopping_ ? ErrorCode::broker_not_available : core_->may_change(request);
  if (error != ErrorCode::none) co_return ChangeVoterReply{error, epoch(), core_->leader()};
  changing_ = std::move(voter);
  co_return reply_as<ChangeVoterReply>(co_await Asking(*this, std::move(request)));
}

// Why a change of voters is refused, where the code alone does not tell; empty: it does.
std::string RaftLogImpl::why_refused(const ChangeVoterRequest& change, ErrorCode error) const {
  using Kind = ChangeVoterRequest::Kind;
  if (error == ErrorCode::unsupported_version && kraft_version() < 1)
    return std::string(kStaticQuorum);
  if (error == ErrorCode::voter_not_found && change.kind == Kind::remove &&
      find_voter(change.voter) != nullptr)
    return fmt::format("Node {} is the only voter: without it there is no quorum.",
                       change.voter.id);
  if (error != ErrorCode::request_timed_out) return {};
  if (change.kind == Kind::add && !core_->has_caught_up(change.voter)) {
    return fmt::format(
        "Node {} with the directory {} does not follow this leader, or has not caught up with it "
        "yet. Start it, wait until it is among the observers of the quorum, and try again.",
        change.voter.id, change.voter.directory_id.to_string());
  }
  return "The voters are being changed, or the leader has only begun: try again.";
}

// Which levels of kraft.version the node speaks, by its own word. Errors: those of RpcClient;
// invalid (it is no controller: it could neither be asked for its vote nor be fetched from).
io::Task<Result<void>> RaftLogImpl::ask_kraft_versions(Voter& voter, Instant deadline) {
  const VoterEndpoint* endpoint = wire::endpoint_of(voter, options_.endpoint.name);
  RpcClientOptions options;
  options.connect_timeout = options.request_timeout = deadline - loop_.now();
  RpcClient client(loop_, {endpoint->host, endpoint->port}, options);
  protocol::ApiVersionsRequest request;
  request.client_software_name = "drave";
  request.client_software_version = "1";
  asked_.push_back(&client);
  const auto answer = co_await client.call<protocol::ApiVersionsResponse>(request);
  std::erase(asked_, &client);
  co_await client.close();
  if (!answer) co_return std::unexpected(answer.error());
  for (const protocol::ApiKey key : kVoterApis) {
    if (serves(answer->message, key)) continue;
    co_return failure(Errc::invalid,
                      fmt::format("{}:{} is no controller's listener: it does not serve {}",
                                  endpoint->host, endpoint->port, protocol::api_info(key).name));
  }
  voter.kraft_version_min = voter.kraft_version_max = 0;
  for (const auto& feature : answer->message.supported_features) {
    if (feature.name != kKraftVersion) continue;
    voter.kraft_version_min = feature.min_version;
    voter.kraft_version_max = feature.max_version;
  }
  co_return Result<void>{};
}

io::Task<OwnedMessage<protocol::AddRaftVoterResponse>> RaftLogImpl::add_raft_voter(
    const protocol::AddRaftVoterRequest& request, std::int16_t) {
  using Response = protocol::AddRaftVoterResponse;
  const Serving serving(*this);
  auto asked = wire::asked(group_, request);
  if (!asked) co_return outcome<Response>(asked.error());
  Voter voter = std::move(*asked);
  if (!names_controllers_listener(voter)) {
    co_return outcome<Response>(
        ErrorCode::invalid_request,
        fmt::format("the request does not say where node {} has the controllers' listener, {}",
                    voter.id, options_.endpoint.name));
  }
  ChangeVoterRequest change;
  change.kind = ChangeVoterRequest::Kind::add;
  change.voter = {voter.id, voter.directory_id};
  change.ack_when_committed = request.ack_when_committed;
  change.timeout = milliseconds(std::max(request.timeout_ms, 0));
  if (!started_ || stopping_) co_return outcome<Response>(ErrorCode::broker_not_available);
  if (const ErrorCode error = core_->may_change(change); error != ErrorCode::none)
    co_return outcome<Response>(error, why_refused(change, error));
  if (asked_.size() >= kAskedAtOnceMax) {
    co_return outcome<Response>(ErrorCode::request_timed_out,
                                "Other nodes that are to be voters are being asked for their "
                                "versions: try again.");
  }
  const Duration wait = std::min(change.timeout, kAskVersionsMax);
  if (const Result<void> known = co_await ask_kraft_versions(voter, loop_.now() + wait); !known) {
    if (known.error().code == Errc::invalid)
      co_return outcome<Response>(ErrorCode::invalid_request, known.error().context);
    co_return outcome<Response>(ErrorCode::request_timed_out,
                                fmt::format("node {} does not say which versions it speaks: {}",
                                            voter.id, known.error().message()));
  }
  if (kraft_version() < voter.kraft_version_min || kraft_version() > voter.kraft_version_max) {
    co_return outcome<Response>(
        ErrorCode::invalid_request,
        fmt::format("node {} speaks kraft.version {} to {}; the quorum's is {}", voter.id,
                    voter.kraft_version_min, voter.kraft_version_max, kraft_version()));
  }
  const ChangeVoterReply reply = co_await change_voter(change, std::move(voter));
  co_return outcome<Response>(reply.error);
}

io::Task<OwnedMessage<protocol::RemoveRaftVoterResponse>> RaftLogImpl::remove_raft_voter(
    const protocol::RemoveRaftVoterRequest& request, std::int16_t) {
  using Response = protocol::RemoveRaftVoterResponse;
  const Serving serving(*this);
  const auto asked = wire::asked(group_, request);
  if (!asked) {
    // The voters of a static quorum have no directories, as far as anybody is told.
    const bool is_static = asked.error() == ErrorCode::invalid_request && kraft_version() < 1;
    co_return outcome<Response>(asked.error(), is_static ? kStaticQuorum : std::string_view());
  }
  ChangeVoterRequest change;
  change.kind = ChangeVoterRequest::Kind::remove;
  change.voter = *asked;
  change.timeout = options_.timers.request_timeout;
  if (started_ && !stopping_) {
    if (const ErrorCode error = core_->may_change(change); error != ErrorCode::none)
      co_return outcome<Response>(error, why_refused(change, error));
  }
  const ChangeVoterReply reply = co_await change_voter(change, Voter{});
  co_return outcome<Response>(reply.error);
}

// In a static quorum there is nothing to be written yet: the leader remembers it.
ErrorCode RaftLogImpl::introduce(const ChangeVoterRequest& request, Voter voter) {
  if (!started_ || stopping_) return ErrorCode::broker_not_available;
  if (voter.id == self_.id) return ErrorCode::invalid_request;  // this leader knows itself
  // All else is well if the set is only not one that can be changed.
  const ErrorCode error = core_->may_change(request);
  if (error != ErrorCode::unsupported_version) return error;
  const bool is_voter = std::any_of(history_.voters().begin(), history_.voters().end(),
                                    [&voter](const Voter& each) { return each.id == voter.id; });
  if (!is_voter) return ErrorCode::voter_not_found;
  std::erase_if(static_voters_, [&voter](const Voter& each) { return each.id == voter.id; });
  static_voters_.push_back(std::move(voter));
  return ErrorCode::none;
}

io::Task<OwnedMessage<protocol::UpdateRaftVoterResponse>> RaftLogImpl::update_raft_voter(
    const protocol::UpdateRaftVoterRequest& request, std::int16_t) {
  const Serving serving(*this);
  OwnedMessage<protocol::UpdateRaftVoterResponse> answer;
  auto asked = wire::asked(group_, request);
  ChangeVoterReply reply{ErrorCode::none, epoch(), core_->leader()};
  if (!asked) {
    reply.error = asked.error();
  } else if (kraft_version() < asked->kraft_version_min ||
             kraft_version() > asked->kraft_version_max || !names_controllers_listener(*asked)) {
    reply.error = ErrorCode::invalid_request;
  } else {
    ChangeVoterRequest change;
    change.kind = ChangeVoterRequest::Kind::update;
    change.voter = {asked->id, asked->directory_id};
    change.epoch = request.current_leader_epoch;
    change.timeout = options_.timers.request_timeout;
    if (kraft_version() < 1)
      reply.error = introduce(change, std::move(*asked));
    else
      reply = co_await change_voter(change, std::move(*asked));
  }
  answer.message.error_code = static_cast<std::int16_t>(reply.error);
  auto& leader = answer.message.current_leader;
  leader.leader_id = reply.leader;
  leader.leader_epoch = reply.epoch;
  if (const VoterEndpoint* endpoint = leader_endpoint(reply.leader)) {
    leader.host = answer.keep(endpoint->host);
    leader.port = endpoint->port;
  }
  co_return answer;
}

// --- From a static quorum to one whose voters can be changed

// The present voters with the directories that they have told; zero: not yet.
ChangeVoterRequest RaftLogImpl::upgrade_request() const {
  ChangeVoterRequest request;
  request.kind = ChangeVoterRequest::Kind::upgrade;
  request.timeout = options_.timers.request_timeout;
  for (const Voter& voter : history_.voters()) {
    ReplicaKey& key = request.voters.emplace_back(ReplicaKey{voter.id, Uuid()});
    for (const Voter& told : static_voters_) {
      if (told.id == voter.id) key.directory_id = told.directory_id;
    }
    if (voter.id == self_.id) key = self_;
  }
  return request;
}

Result<void> RaftLogImpl::may_upgrade_kraft_version(std::int16_t level) const {
  if (!leading_) return std::unexpected(gone());
  const std::int16_t present = kraft_version();
  if (level == present) return {};
  if (level < present || level > kNewestKraftVersion) {
    return failure(Errc::invalid, fmt::format("Invalid upgrade of kraft.version from version "
                                              "KRAFT_VERSION_{} to KRAFT_VERSION_{}",
                                              present, level));
  }
  const ChangeVoterRequest request = upgrade_request();
  for (const ReplicaKey& key : request.voters) {
    const bool supports =
        key == self_ ||
        std::any_of(static_voters_.begin(), static_voters_.end(), [&](const Voter& told) {
          return told.id == key.id && told.kraft_version_min <= level &&
                 told.kraft_version_max >= level;
        });
    if (supports && !key.directory_id.is_zero()) continue;
    LOG_INFO("raft", "no upgrade: a voter has not said that it speaks it id={} level={}", key.id,
             level);
    return failure(Errc::invalid,
                   fmt::format("Invalid upgrade of kraft.version to KRAFT_VERSION_{} "
                               "because not all of the voters support it: node {} {}",
                               level, key.id,
                               key.directory_id.is_zero()
                                   ? "has not told this leader yet that it does. Voters tell a new "
                                     "leader within seconds: try again"
                                   : "does not"));
  }
  switch (core_->may_change(request)) {
    case ErrorCode::none: return {};
    case ErrorCode::not_leader_or_follower: return std::unexpected(gone());
    default: return failure(Errc::timed_out, "The voters are being changed.");
  }
}

io::Task<Result<Offset>> RaftLogImpl::upgrade_kraft_version(std::int16_t level) {
  const Serving serving(*this);
  CO_TRY_VOID(may_upgrade_kraft_version(level));
  if (kraft_version() != level) {
    const ChangeVoterReply reply = co_await change_voter(upgrade_request(), Voter{});
    if (reply.error == ErrorCode::request_timed_out)
      co_return failure(Errc::timed_out, "The upgrade was not committed in time.");
    if (reply.error != ErrorCode::none) co_return std::unexpected(gone());
    LOG_INFO("raft", "kraft.version upgraded node={} topic={} level={}", self_.id, options_.topic,
             level);
  }
  CO_TRY_VOID(co_await committed(history_.version_offset() + 1));
  co_return core_->high_watermark();
}

// --- As a replica, for itself

// Now and then it looks at what the voter set says of it, and asks the leader to set that right.
// The set of a static quorum says nothing: each leader is told once.
io::Task<void> RaftLogImpl::run_voter_upkeep() {
  connect_voters();
  while (!co_await scope_.stopping().wait_until(loop_.now() + options_.timers.fetch_timeout)) {
    if (failed_.has_value()) break;
    note_leaderless();
    note_lost_log();
    connect_voters();
    if (!options_.voter_role && core_->is_voter() && loop_.now() >= refusal_told_until_) {
      refusal_told_until_ = loop_.now() + kMisplacedTold;
      LOG_WARN("raft",
               "node={} topic={} is a voter, but no controller by its process.roles: it counts for "
               "a majority and never leads. Remove it from the voters",
               self_.id, options_.topic);
    }
    const Voter* own = find_voter(self_);
    has_joined_ |= own != nullptr && history_.voters_offset() < core_->high_watermark();
    const NodeId leader = core_->leader();
    if (!options_.voter_role || core_->role() != Role::follower) continue;
    const std::optional<io::SocketAddress> address = address_of(leader);
    if (!address.has_value() || options_.endpoint.host.empty()) continue;
    if (kraft_version() < 1) {
      if (core_->is_voter() && introduced_in_ != epoch())
        co_await update_own_voter(leader, *address);
      continue;
    }
    if (own != nullptr && is_stale(*own))
      co_await update_own_voter(leader, *address);
    else if (own == nullptr && options_.auto_join && !has_joined_)
      co_await join_voters(leader, *address);
    else if (own == nullptr && options_.auto_join)
      note_removed();
  }
}

// Somebody wanted that: it stays what it is until it is started again.
void RaftLogImpl::note_removed() {
  if (std::exchange(removal_told_, true)) return;
  LOG_INFO("raft", "node={} topic={} was removed from the voters and joins them at its next start",
           self_.id, options_.topic);
}

// An election finds its connections made.
void RaftLogImpl::connect_voters() {
  if (stopping_ || !core_->is_voter()) return;
  for (const Voter& voter : history_.voters()) {
    const std::optional<io::SocketAddress> address = address_of(voter.id);
    if (voter.id == self_.id || !address.has_value()) continue;
    RpcClient& client = links_.to(voter.id, *address, Lane::other);
    if (!client.is_connected() && client.call_count() == 0) scope_.spawn(connect(client));
  }
}

io::Task<void> RaftLogImpl::connect(RpcClient& client) {
  // Who is not there now is asked again later.
  [[maybe_unused]] const auto spoken = co_await client.version_of(protocol::ApiKey::vote);
}

io::Task<void> RaftLogImpl::update_own_voter(NodeId leader, io::SocketAddress address) {
  protocol::UpdateRaftVoterRequest request;
  request.cluster_id = std::nullopt;
  if (!group_.cluster_id.empty()) request.cluster_id = group_.cluster_id;
  request.current_leader_epoch = epoch();
  request.voter_id = self_.id;
  request.voter_directory_id = self_.directory_id;
  request.listeners.push_back(
      {options_.endpoint.name, options_.endpoint.host, options_.endpoint.port});
  const SupportedFeature* range = find_feature(kKraftVersion);
  request.kraft_version_feature = {range->min, range->max};
  const auto answer = co_await links_.to(leader, address, Lane::other)
                          .call<protocol::UpdateRaftVoterResponse>(request);
  // A leader that cannot upgrade (Kafka before 4.1) need not know.
  constexpr auto kUnsupported = static_cast<std::int16_t>(ErrorCode::unsupported_version);
  const bool is_known =
      answer && (answer->message.error_code == 0 || answer->message.error_code == kUnsupported);
  if (is_known && kraft_version() < 1) introduced_in_ = request.current_leader_epoch;
  if (!answer)
    tell_upkeep("the voter set was not brought up to date", leader, answer.error().message());
  else if (answer->message.error_code != 0)
    tell_upkeep("the voter set was not brought up to date", leader, why(answer->message));
}

// It is tried again and again.
void RaftLogImpl::tell_upkeep(std::string_view what, NodeId leader, std::string why) {
  if (loop_.now() < upkeep_told_until_ && why == upkeep_told_) return;
  upkeep_told_until_ = loop_.now() + kUpkeepTold;
  LOG_INFO("raft", "node={} topic={} {} leader={} error={}", self_.id, options_.topic, what, leader,
           why);
  upkeep_told_ = std::move(why);
}

// A voter of this id with another directory is this node before its disk was replaced: it goes
// first.
io::Task<void> RaftLogImpl::join_voters(NodeId leader, io::SocketAddress address) {
  std::optional<std::string_view> cluster_id;
  if (!group_.cluster_id.empty()) cluster_id = group_.cluster_id;
  for (const Voter& voter : history_.voters()) {
    if (voter.id != self_.id) continue;
    protocol::RemoveRaftVoterRequest removal;
    removal.cluster_id = cluster_id;
    removal.voter_id = voter.id;
    removal.voter_directory_id = voter.directory_id;
    const auto answer = co_await links_.to(leader, address, Lane::other)
                            .call<protocol::RemoveRaftVoterResponse>(removal);
    if (!answer)
      tell_upkeep("the old voter was not removed", leader, answer.error().message());
    else if (answer->message.error_code != 0)
      tell_upkeep("the old voter was not removed", leader, why(answer->message));
    co_return;  // it is added when the set without it has come
  }
  protocol::AddRaftVoterRequest request;
  request.cluster_id = cluster_id;
  request.timeout_ms =
      static_cast<std::int32_t>(options_.timers.request_timeout.ns / milliseconds(1).ns);
  request.voter_id = self_.id;
  request.voter_directory_id = self_.directory_id;
  request.listeners.push_back(
      {options_.endpoint.name, options_.endpoint.host, options_.endpoint.port});
  request.ack_when_committed = false;
  const auto answer = co_await links_.to(leader, address, Lane::other)
                          .call<protocol::AddRaftVoterResponse>(request);
  if (!answer)
    tell_upkeep("not yet a voter", leader, answer.error().message());
  else if (answer->message.error_code != 0)
    tell_upkeep("not yet a voter", leader, why(answer->message));
}

}  // namespace drave::raft
