// drave quorum status | add-voter | remove-voter | transfer: the quorum of the metadata log.

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iterator>

#include "protocol/messages/add_raft_voter.h"
#include "protocol/messages/describe_cluster.h"
#include "protocol/messages/describe_quorum.h"
#include "protocol/messages/end_quorum_epoch.h"
#include "protocol/messages/remove_raft_voter.h"
#include "segments/meta_properties.h"
#include "tools/cli/context.h"
#include "tools/cli/node_config.h"
#include "tools/cli/quorum_view.h"

namespace drave::cli {
namespace {

using protocol::ErrorCode;
using Quorum = protocol::DescribeQuorumResponse;

constexpr int kPollMs = 20;
// Of one look while leadership moves. A broker says within a second that it knows of no leader.
constexpr int kLookMs = 1500;
// A leader would be there by then.
constexpr std::chrono::seconds kHopeless{3};
constexpr std::int8_t kBrokers = 1;
constexpr std::int8_t kControllers = 2;

struct NoOptions {};

// --- status

// How long before the leader's own clock; -1: unknown.
std::int64_t age_ms(std::int64_t now_ms, std::int64_t then_ms) {
  return now_ms < 0 || then_ms < 0 ? -1 : std::max<std::int64_t>(0, now_ms - then_ms);
}

std::string or_none(std::int64_t value) {
  return value < 0 ? "-" : std::to_string(value);
}

struct Row {
  const Quorum::ReplicaState& replica;
  const char* role;
};

std::vector<Row> rows_of(const Quorum::PartitionData& partition) {
  std::vector<Row> rows;
  for (const auto& voter : partition.current_voters)
    rows.push_back({voter, voter.replica_id == partition.leader_id ? "leader" : "voter"});
  for (const auto& observer : partition.observers) rows.push_back({observer, "observer"});
  return rows;
}

// Empty: it is not told.
std::string cluster_id_of(QuorumView& view) {
  if (!view.client.version_of(protocol::ApiKey::describe_cluster).has_value()) return {};
  const bool is_broker = view.client.version_of(protocol::ApiKey::metadata).has_value();
  protocol::DescribeClusterRequest request;
  request.endpoint_type = is_broker ? kBrokers : kControllers;
  const auto answer =
      view.client.call<protocol::DescribeClusterResponse>(request, is_broker ? 0 : 1);
  return answer && answer->message.error_code == 0 ? std::string(answer->message.cluster_id) : "";
}

std::string printable(const std::optional<ControllerEndpoint>& endpoint) {
  return endpoint ? fmt::format("{}://{}", endpoint->listener, endpoint->at.to_string()) : "-";
}

std::string printable(const Uuid& directory) {
  return directory.is_zero() ? "-" : directory.to_string();
}

// Nobody leads: what each voter says of that.
Outcome<> show_leaderless(const Context& context, QuorumView& view) {
  const std::string cluster_id = cluster_id_of(view);
  const LeaderEpoch epoch = view.partition().leader_epoch;
  Table table({"ID", "ANSWERS", "EPOCH", "ITS LEADER", "DIRECTORY", "ENDPOINT"});
  Json voters = Json::array();
  for (const VoterAnswer& voter : view.voters) {
    table.add({std::to_string(voter.id), voter.is_reached ? "yes" : "no", or_none(voter.epoch),
               or_none(voter.leader), printable(voter.directory), printable(voter.endpoint)});
    voters.push_back({{"id", voter.id},
                      {"answers", voter.is_reached},
                      {"epoch", voter.epoch},
                      {"leader", voter.leader},
                      {"directoryId", printable(voter.directory)},
                      {"endpoint", printable(voter.endpoint)}});
  }
  if (context.json()) {
    print_json({{"clusterId", cluster_id}, {"leader", -1}, {"epoch", epoch}, {"voters", voters}});
  } else {
    fmt::print("cluster {}, no leader, epoch {}\n\n{}", cluster_id.empty() ? "-" : cluster_id,
               epoch, table.to_string());
  }
  return std::unexpected(no_leader(view));
}

Outcome<> run_status(Context& context, const NoOptions&) {
  TRY(QuorumView seen, view_quorum(context.bootstrap, context.timeout_ms));
  if (!seen.is_led) return show_leaderless(context, seen);
  const std::string cluster_id = cluster_id_of(seen);
  const Quorum::PartitionData& partition = seen.partition();
  const Quorum::ReplicaState* leader = seen.voter(partition.leader_id);
  const std::int64_t now_ms = leader == nullptr ? -1 : leader->last_caught_up_timestamp;
  const std::int64_t end = leader == nullptr ? -1 : leader->log_end_offset;
  Table table(
      {"ID", "ROLE", "END", "LAG", "FETCHED MS AGO", "CAUGHT UP MS AGO", "DIRECTORY", "ENDPOINT"});
  Json replicas = Json::array();
  for (const auto& [replica, role] : rows_of(partition)) {
    const std::int64_t lag =
        end < 0 || replica.log_end_offset < 0 ? -1 : end - replica.log_end_offset;
    const std::int64_t fetched = age_ms(now_ms, replica.last_fetch_timestamp);
    const std::int64_t caught_up = age_ms(now_ms, replica.last_caught_up_timestamp);
    // Of observers nothing is told, and the disk that a voter had before is not where it is now.
    const bool votes = seen.voter(replica.replica_id) == &replica;
    const std::string where = votes ? printable(seen.endpoint_of(replica.replica_id)) : "-";
    const std::string directory = printable(replica.replica_directory_id);
    table.add({std::to_string(replica.replica_id), role, or_none(replica.log_end_offset),
               or_none(lag), or_none(fetched), or_none(caught_up), directory, where});
    replicas.push_back({{"id", replica.replica_id},
                        {"role", role},
                        {"logEndOffset", replica.log_end_offset},
                        {"lag", lag},
                        {"fetchedMsAgo", fetched},
                        {"caughtUpMsAgo", caught_up},
                        {"directoryId", directory},
                        {"endpoint", where}});
  }
  if (context.json()) {
    print_json({{"clusterId", cluster_id},
                {"leader", partition.leader_id},
                {"epoch", partition.leader_epoch},
                {"highWatermark", partition.high_watermark},
                {"replicas", replicas}});
  } else {
    fmt::print("cluster {}, leader {}, epoch {}, high watermark {}\n\n{}",
               cluster_id.empty() ? "-" : cluster_id, partition.leader_id, partition.leader_epoch,
               partition.high_watermark, table.to_string());
  }
  return {};
}

// --- Changes

// The request goes to whoever was asked if that serves it, else to the leader's own listener.
template <class Response, class Request>
Outcome<client::Answer<Response>> call_leader(const Context& context, QuorumView& seen,
                                              const Request& request) {
  if (seen.client.version_of(static_cast<protocol::ApiKey>(Request::kApiKey)).has_value()) {
    TRY(auto answer, seen.client.call<Response>(request));
    return answer;
  }
  const auto leader = seen.endpoint_of(seen.partition().leader_id);
  if (!leader) {
    return fail(ExitCode::failed, "nobody says where the leader is",
                "-b names one of the controllers.");
  }
  TRY(auto client, client::Client::connect({leader->at}, client::Milliseconds(context.timeout_ms)));
  TRY(auto answer, client.call<Response>(request));
  return answer;
}

Outcome<> report(const Context& context, NodeId id, const std::string& status) {
  if (context.json())
    print_json({{"id", id}, {"status", status}});
  else
    fmt::print("{}: {}\n", id, status);
  return {};
}

struct AddOptions {
  NodeId id = -1;
  std::string directory;
  std::string endpoint;
  std::string file;
};

// What the new controller's own files say of it.
Outcome<> read_node(const std::string& file, AddOptions& voter) {
  TRY(const broker::BrokerConfig config, load_node_config(file));
  const std::string path =
      config.metadata_log_dir + "/" + std::string(segments::kMetaPropertiesName);
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    return fail(ExitCode::not_found, path + " cannot be read",
                "Run this on the new controller, after `drave format`.");
  }
  const std::string text(std::istreambuf_iterator<char>(in), {});
  TRY(const auto meta, segments::decode_meta_properties(text));
  voter.id = config.node_id;
  voter.directory = meta.directory_id.to_string();
  voter.endpoint = fmt::format("{}://{}:{}", config.controller_listener_name,
                               config.advertised_controller_listener.host,
                               config.advertised_controller_listener.port);
  return {};
}

// "CONTROLLER://host:port".
Outcome<ControllerEndpoint> parse_controller_endpoint(const std::string& text) {
  const std::size_t slashes = text.find("://");
  const auto wrong = [&text] {
    return fail(ExitCode::usage, fmt::format("\"{}\": expected LISTENER://HOST:PORT", text));
  };
  if (slashes == 0 || slashes == std::string::npos) return wrong();
  TRY(const auto endpoints, client::parse_endpoints(text.substr(slashes + 3)));
  if (endpoints.size() != 1) return wrong();
  return ControllerEndpoint{text.substr(0, slashes), endpoints.front()};
}

// What is given beside the file must be what the file says.
Outcome<> check_beside(const AddOptions& given, const AddOptions& read) {
  const auto differs = [&read](std::string_view what, std::string_view one,
                               std::string_view other) {
    return fail(ExitCode::usage,
                fmt::format("{} says that the {} is {}, not {}", read.file, what, other, one));
  };
  if (given.id >= 0 && given.id != read.id)
    return differs("node.id", std::to_string(given.id), std::to_string(read.id));
  if (!given.directory.empty() && given.directory != read.directory)
    return differs("directory's id", given.directory, read.directory);
  if (!given.endpoint.empty() && given.endpoint != read.endpoint)
    return differs("endpoint", given.endpoint, read.endpoint);
  return {};
}

Outcome<> run_add(Context& context, const AddOptions& options) {
  AddOptions voter = options;
  if (!voter.file.empty()) {
    TRY_VOID(read_node(voter.file, voter));
    TRY_VOID(check_beside(options, voter));
  }
  if (voter.id < 0 || voter.directory.empty() || voter.endpoint.empty()) {
    return fail(ExitCode::usage, "which controller?",
                "Give its server.properties with -c, or its ID, --directory and --endpoint.");
  }
  const auto directory = Uuid::parse(voter.directory);
  if (!directory)
    return fail(ExitCode::usage, fmt::format("\"{}\" is no directory id", voter.directory));
  TRY(const ControllerEndpoint endpoint, parse_controller_endpoint(voter.endpoint));
  TRY(QuorumView seen, find_leader(context));
  protocol::AddRaftVoterRequest request;
  request.cluster_id = std::nullopt;
  request.timeout_ms = context.broker_timeout_ms();
  request.voter_id = voter.id;
  request.voter_directory_id = *directory;
  request.listeners.push_back({endpoint.listener, endpoint.at.host, endpoint.at.port});
  TRY(const auto answer, call_leader<protocol::AddRaftVoterResponse>(context, seen, request));
  if (const auto code = static_cast<ErrorCode>(answer.message.error_code);
      code != ErrorCode::none) {
    return std::unexpected(kafka_failure(code, fmt::format("voter {}", voter.id),
                                         answer.message.error_message.value_or("")));
  }
  return report(context, voter.id, "added");
}

struct RemoveOptions {
  NodeId id = -1;
  std::string directory;
};

Outcome<> run_remove(Context& context, const RemoveOptions& options) {
  TRY(QuorumView seen, find_leader(context));
  const Quorum::ReplicaState* voter = seen.voter(options.id);
  std::optional<Uuid> directory;
  if (!options.directory.empty())
    directory = Uuid::parse(options.directory);
  else if (voter != nullptr)
    directory = voter->replica_directory_id;
  else
    return fail(ExitCode::not_found, fmt::format("{} is no voter", options.id),
                "`drave quorum status` shows them.");
  if (!directory)
    return fail(ExitCode::usage, fmt::format("\"{}\" is no directory id", options.directory));
  protocol::RemoveRaftVoterRequest request;
  request.cluster_id = std::nullopt;
  request.voter_id = options.id;
  request.voter_directory_id = *directory;
  TRY(const auto answer, call_leader<protocol::RemoveRaftVoterResponse>(context, seen, request));
  if (const auto code = static_cast<ErrorCode>(answer.message.error_code);
      code != ErrorCode::none) {
    return std::unexpected(kafka_failure(code, fmt::format("voter {}", options.id),
                                         answer.message.error_message.value_or("")));
  }
  return report(context, options.id, "removed");
}

// --- transfer

struct TransferOptions {
  NodeId to = -1;
};

// Kafka has no request for this. A leader that is told that its own epoch ends, and who is to
// follow, hands over; Kafka's ignores it.
Outcome<> ask_to_hand_over(const Context& context, const QuorumView& seen,
                           const Quorum::ReplicaState& to) {
  const Quorum::PartitionData& partition = seen.partition();
  const auto leader = seen.endpoint_of(partition.leader_id);
  if (!leader) return fail(ExitCode::failed, "nobody says where the leader is");
  TRY(auto client, client::Client::connect({leader->at}, client::Milliseconds(context.timeout_ms)));
  protocol::EndQuorumEpochRequest request;
  request.cluster_id = std::nullopt;
  auto& topic = request.topics.emplace_back();
  topic.topic_name = segments::kMetadataTopic;
  auto& ended = topic.partitions.emplace_back();
  ended.leader_id = partition.leader_id;
  ended.leader_epoch = partition.leader_epoch;
  ended.preferred_candidates.push_back({to.replica_id, to.replica_directory_id});
  request.leader_endpoints.push_back({leader->listener, leader->at.host, leader->at.port});
  TRY(const auto answer, client.call<protocol::EndQuorumEpochResponse>(request, 1));
  auto code = static_cast<ErrorCode>(answer.message.error_code);
  if (code == ErrorCode::none && answer.message.topics.size() == 1 &&
      answer.message.topics.front().partitions.size() == 1)
    code = static_cast<ErrorCode>(answer.message.topics.front().partitions.front().error_code);
  if (code != ErrorCode::none)
    return std::unexpected(kafka_failure(code, fmt::format("transfer to {}", to.replica_id)));
  return {};
}

Outcome<> run_transfer(Context& context, const TransferOptions& options) {
  TRY(const QuorumView seen, find_leader(context));
  const Quorum::ReplicaState* to = seen.voter(options.to);
  if (to == nullptr) {
    return fail(ExitCode::not_found, fmt::format("{} is no voter", options.to),
                "`drave quorum status` shows them.");
  }
  if (seen.partition().leader_id == options.to) return report(context, options.to, "leads");
  TRY_VOID(ask_to_hand_over(context, seen, *to));
  using Clock = std::chrono::steady_clock;
  const auto begun = Clock::now();
  const auto deadline = begun + std::chrono::milliseconds(context.timeout_ms);
  Outcome<QuorumView> now = fail(ExitCode::unreachable, "nobody was asked");
  while (Clock::now() < deadline) {
    now = view_quorum(context.bootstrap, std::min(context.timeout_ms, kLookMs));
    if (now && now->is_led && now->partition().leader_epoch > seen.partition().leader_epoch) {
      if (now->partition().leader_id == options.to) return report(context, options.to, "leads");
      return fail(ExitCode::failed, fmt::format("{} leads now", now->partition().leader_id),
                  "It was faster: try again.");
    }
    // In favour of one that was gone: nobody follows.
    if (now && lacks_majority(*now) && Clock::now() > begun + kHopeless) break;
    ::poll(nullptr, 0, kPollMs);
  }
  if (now && !now->is_led) return std::unexpected(no_leader(*now));
  return fail(ExitCode::timed_out, fmt::format("{} still leads", seen.partition().leader_id),
              "Is the new one in touch and caught up? `drave quorum status` tells.");
}

}  // namespace

void add_quorum(CLI::App& app, Context& context) {
  CLI::App& quorum = *add_noun(app, "quorum", "The controllers that keep the metadata log");
  add_verb<NoOptions>(quorum, context, "status", "Show leader, voters and observers", run_status,
                      [](CLI::App&, NoOptions&) {});
  add_verb<AddOptions>(quorum, context, "add-voter", "Make a controller that follows a voter",
                       run_add, [](CLI::App& verb, AddOptions& options) {
                         verb.add_option("ID", options.id, "The controller's node.id");
                         verb.add_option("-d,--directory", options.directory,
                                         "The id of its metadata directory (meta.properties)");
                         verb.add_option("-e,--endpoint", options.endpoint,
                                         "Where controllers reach it: LISTENER://HOST:PORT");
                         verb.add_option("-c,--config", options.file,
                                         "Its server.properties, which tells all three");
                       });
  add_verb<RemoveOptions>(
      quorum, context, "remove-voter",
      "Take a voter out of the quorum (one with controller.quorum.auto.join.enable comes back "
      "when it is started again)",
      run_remove, [](CLI::App& verb, RemoveOptions& options) {
        verb.add_option("ID", options.id, "The controller's node.id")->required();
        verb.add_option("-d,--directory", options.directory,
                        "The id of its directory; else the one it has now");
      });
  add_verb<TransferOptions>(
      quorum, context, "transfer", "Hand leadership to another voter", run_transfer,
      [](CLI::App& verb, TransferOptions& options) {
        verb.add_option("ID", options.to, "The voter that is to lead")->required();
      });
}

}  // namespace drave::cli
