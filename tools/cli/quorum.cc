// drave quorum status | add-voter | remove-voter | transfer: the quorum of the metadata log.

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iterator>

#include "protocol/messages/add_raft_voter.h"
#include "protocol/messages/describe_quorum.h"
#include "protocol/messages/end_quorum_epoch.h"
#include "protocol/messages/remove_raft_voter.h"
#include "segments/meta_properties.h"
#include "tools/cli/context.h"
#include "tools/cli/node_config.h"

namespace drave::cli {
namespace {

using protocol::ErrorCode;
using Quorum = protocol::DescribeQuorumResponse;

constexpr int kPollMs = 20;
// Of one look while leadership moves: who is asked may wait for a leader for longer than that.
constexpr int kLookMs = 500;

struct NoOptions {};

// A voter's endpoint: where controllers reach it.
struct ControllerEndpoint {
  std::string listener;
  client::Endpoint at;
};

// What a leader said, and the connection over which it did.
struct Seen {
  client::Client client;
  client::Answer<Quorum> answer;

  const Quorum::PartitionData& partition() const {
    return answer.message.topics.front().partitions.front();
  }
  std::optional<ControllerEndpoint> endpoint_of(NodeId id) const {
    for (const auto& node : answer.message.nodes) {
      if (node.node_id != id || node.listeners.empty()) continue;
      const auto& listener = node.listeners.front();
      return ControllerEndpoint{std::string(listener.name),
                                {std::string(listener.host), listener.port}};
    }
    return std::nullopt;
  }
  const Quorum::ReplicaState* voter(NodeId id) const {
    for (const auto& voter : partition().current_voters)
      if (voter.replica_id == id) return &voter;
    return nullptr;
  }
};

// Asks one node; it knows if it is a broker, which asks the leader, or the leader itself.
Outcome<Seen> ask(client::Endpoint endpoint, int timeout_ms) {
  TRY(auto client,
      client::Client::connect({std::move(endpoint)}, client::Milliseconds(timeout_ms)));
  protocol::DescribeQuorumRequest request;
  request.topics.emplace_back().topic_name = segments::kMetadataTopic;
  request.topics.back().partitions.emplace_back();
  TRY(auto answer, client.call<Quorum>(request));
  auto code = static_cast<ErrorCode>(answer.message.error_code);
  std::string_view text = answer.message.error_message.value_or("");
  if (code == ErrorCode::none) {
    const auto& topics = answer.message.topics;
    if (topics.size() != 1 || topics.front().partitions.size() != 1)
      return fail(ExitCode::failed, "the answer is about another log");
    code = static_cast<ErrorCode>(topics.front().partitions.front().error_code);
    text = topics.front().partitions.front().error_message.value_or("");
  }
  if (code != ErrorCode::none) return std::unexpected(kafka_failure(code, "the quorum", text));
  return Seen{std::move(client), std::move(answer)};
}

// Any of the nodes that were named may be the one that knows. Each has so long to answer.
Outcome<Seen> look(const Context& context, int timeout_ms) {
  TRY(const auto endpoints, client::parse_endpoints(context.bootstrap));
  Outcome<Seen> seen = fail(ExitCode::unreachable, "nobody was asked");
  for (const client::Endpoint& endpoint : endpoints) {
    seen = ask(endpoint, timeout_ms);
    if (seen) break;
  }
  return seen;
}

Outcome<Seen> look(const Context& context) {
  return look(context, context.timeout_ms);
}

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

Outcome<> run_status(Context& context, const NoOptions&) {
  TRY(const Seen seen, look(context));
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
    const auto endpoint = seen.endpoint_of(replica.replica_id);
    const std::string where =
        endpoint ? fmt::format("{}://{}", endpoint->listener, endpoint->at.to_string()) : "-";
    const std::string directory =
        replica.replica_directory_id.is_zero() ? "-" : replica.replica_directory_id.to_string();
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
    print_json({{"leader", partition.leader_id},
                {"epoch", partition.leader_epoch},
                {"highWatermark", partition.high_watermark},
                {"replicas", replicas}});
  } else {
    fmt::print("leader {}, epoch {}, high watermark {}\n\n{}", partition.leader_id,
               partition.leader_epoch, partition.high_watermark, table.to_string());
  }
  return {};
}

// --- Changes

// The request goes to whoever was asked if that serves it, else to the leader's own listener.
template <class Response, class Request>
Outcome<client::Answer<Response>> call_leader(const Context& context, Seen& seen,
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

Outcome<> run_add(Context& context, const AddOptions& options) {
  AddOptions voter = options;
  if (!voter.file.empty()) TRY_VOID(read_node(voter.file, voter));
  if (voter.id < 0 || voter.directory.empty() || voter.endpoint.empty()) {
    return fail(ExitCode::usage, "which controller?",
                "Give its server.properties with -c, or its ID, --directory and --endpoint.");
  }
  const auto directory = Uuid::parse(voter.directory);
  if (!directory)
    return fail(ExitCode::usage, fmt::format("\"{}\" is no directory id", voter.directory));
  TRY(const ControllerEndpoint endpoint, parse_controller_endpoint(voter.endpoint));
  TRY(Seen seen, look(context));
  protocol::AddRaftVoterRequest request;
  request.cluster_id = std::nullopt;
  request.timeout_ms = context.timeout_ms;
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
  TRY(Seen seen, look(context));
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
Outcome<> ask_to_hand_over(const Context& context, const Seen& seen,
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
  TRY(const Seen seen, look(context));
  const Quorum::ReplicaState* to = seen.voter(options.to);
  if (to == nullptr) {
    return fail(ExitCode::not_found, fmt::format("{} is no voter", options.to),
                "`drave quorum status` shows them.");
  }
  if (seen.partition().leader_id == options.to) return report(context, options.to, "leads");
  TRY_VOID(ask_to_hand_over(context, seen, *to));
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + std::chrono::milliseconds(context.timeout_ms);
  while (Clock::now() < deadline) {
    // While nobody leads, nobody answers.
    const auto now = look(context, std::min(context.timeout_ms, kLookMs));
    if (now && now->partition().leader_epoch > seen.partition().leader_epoch) {
      if (now->partition().leader_id == options.to) return report(context, options.to, "leads");
      return fail(ExitCode::failed, fmt::format("{} leads now", now->partition().leader_id),
                  "It was faster: try again.");
    }
    ::poll(nullptr, 0, kPollMs);
  }
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
      quorum, context, "remove-voter", "Take a voter out of the quorum", run_remove,
      [](CLI::App& verb, RemoveOptions& options) {
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
