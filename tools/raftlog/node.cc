#include "tools/raftlog/node.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "io/process.h"

namespace drave::raft {
namespace {

constexpr std::string_view kTopic = "raftlog";
constexpr Uuid kTopicId{0x6472617665000000, 0x726166746c6f6700};
constexpr std::string_view kClusterId = "ZHJhdmUtcmFmdGxvZy0wMQ";
// All groups share the connections to a peer.
std::size_t in_flight_max(const NodeOptions& options) {
  return kRpcInFlightMax + 2 * static_cast<std::size_t>(options.groups);
}

const std::vector<protocol::ApiKey> kApis{
    protocol::ApiKey::vote,
    protocol::ApiKey::begin_quorum_epoch,
    protocol::ApiKey::end_quorum_epoch,
    protocol::ApiKey::fetch,
    protocol::ApiKey::fetch_snapshot,
};

// The first partition that a request names; -1: none.
template <class Request>
int partition_of(const Request& request) {
  if (request.topics.empty() || request.topics[0].partitions.empty()) return -1;
  const auto& partition = request.topics[0].partitions[0];
  if constexpr (requires { partition.partition_index; })
    return partition.partition_index;
  else
    return partition.partition;
}

}  // namespace

Node::Node(io::Loop& loop, NodeOptions options)
    : loop_(loop),
      options_(std::move(options)),
      links_(loop, {.client_id = "raftlog",
                    .connect_timeout = options_.timers.request_timeout,
                    .request_timeout = options_.timers.request_timeout,
                    .in_flight_max = in_flight_max(options_)}),
      server_(loop, {.in_order = false, .apis = kApis, .in_flight_max = in_flight_max(options_)},
              *this) {}

Node::~Node() = default;

const VoterEndpoint& Node::endpoint() const {
  const auto self = std::ranges::find(options_.voters, options_.id, &Voter::id);
  ASSERT(self != options_.voters.end());
  return self->endpoints.front();
}

io::Task<Result<void>> Node::start() {
  const Instant begun = loop_.now_precise();
  CO_TRY_VOID(co_await open_directory());
  for (int number = 0; number < options_.groups; ++number) CO_TRY_VOID(co_await open_group(number));
  open_time_ = loop_.now_precise() - begun;
  CO_TRY_VOID(co_await server_.listen({endpoint().host, endpoint().port}));
  for (const auto& log : logs_) log->start();
  co_return Result<void>{};
}

io::Task<Result<void>> Node::open_directory() {
  segments::MetaProperties identity{.cluster_id = std::string(kClusterId), .node_id = options_.id};
  identity.directory_id = Uuid::from_random(loop_.backend().entropy(), loop_.backend().entropy());
  const Result<void> formatted =
      co_await segments::LogDirectory::format(loop_, options_.directory, std::move(identity));
  if (!formatted && formatted.error().code != Errc::already_exists)
    co_return std::unexpected(formatted.error());
  CO_TRY(directory_, co_await segments::LogDirectory::open(loop_, options_.directory, {}));
  CO_TRY(shard_, co_await directory_->start_shard(
                     loop_, [](const segments::PartitionToOpen&) { return true; },
                     [](const segments::PartitionToOpen&) { return segments::LogConfig{}; }));
  co_return Result<void>{};
}

io::Task<Result<void>> Node::open_group(int number) {
  auto group = std::make_unique<Group>(loop_, *measured_);
  RaftOptions options;
  options.cluster_id = kClusterId;
  options.node_id = options_.id;
  options.directory_id = directory_->meta().directory_id;
  options.static_voters = options_.voters;
  options.endpoint = endpoint();
  options.timers = options_.timers;
  options.links = &links_;
  options.topic = kTopic;
  options.id = {kTopicId, number};
  CO_TRY(auto log,
         co_await RaftLog::open(loop_, *shard_, options_.directory, std::move(options), *group));
  group->set_log(log.get());
  groups_.push_back(std::move(group));
  logs_.push_back(std::move(log));
  co_return Result<void>{};
}

void Node::begin_measuring() {
  measured_.emplace();
  measured_->is_on = true;
  measured_->begun = loop_.now_precise();
  measured_->cpu_begun = io::process_cpu_time();
}

io::Task<Result<void>> Node::stop() {
  Result<void> first;
  const auto note = [&first](Result<void> result) {
    if (!result && first) first = std::move(result);
  };
  // Side by side: each hands over, and waits for that.
  io::Scope stops(loop_);
  for (const auto& log : logs_) stops.spawn(stop_log(*log, first));
  co_await stops.join();
  co_await server_.close();
  for (const auto& group : groups_) group->set_log(nullptr);
  logs_.clear();
  if (shard_ != nullptr) note(co_await shard_->stop());
  shard_.reset();
  if (directory_ != nullptr) note(co_await directory_->close(loop_, -1, first.has_value()));
  co_return first;
}

io::Task<void> Node::stop_log(RaftLog& log, Result<void>& first) {
  Result<void> stopped = co_await log.stop();
  if (!stopped && first) first = std::move(stopped);
}

template <class Request, class Answer>
io::Task<void> Node::pass_on(
    RpcExchange& exchange,
    io::Task<protocol::OwnedMessage<Answer>> (RaftLog::*method)(const Request&, std::int16_t)) {
  Request request;
  if (!exchange.read(request)) co_return;
  const int number = partition_of(request);
  if (number < 0 || static_cast<std::size_t>(number) >= logs_.size()) co_return;
  RaftLog& log = *logs_[static_cast<std::size_t>(number)];
  const auto answer = co_await (log.*method)(request, exchange.version);
  if (const Result<void> answered = exchange.answer(answer.message); !answered)
    LOG_ERROR("raft", "an answer cannot be said: {}", answered.error().message());
}

io::Task<void> Node::serve(RpcExchange& exchange) {
  switch (exchange.key) {
    case protocol::ApiKey::vote: return pass_on(exchange, &RaftLog::vote);
    case protocol::ApiKey::begin_quorum_epoch:
      return pass_on(exchange, &RaftLog::begin_quorum_epoch);
    case protocol::ApiKey::end_quorum_epoch: return pass_on(exchange, &RaftLog::end_quorum_epoch);
    case protocol::ApiKey::fetch_snapshot: return pass_on(exchange, &RaftLog::fetch_snapshot);
    default: ASSERT(exchange.key == protocol::ApiKey::fetch);
  }
  return serve_fetch(exchange);
}

io::Task<void> Node::serve_fetch(RpcExchange& exchange) {
  const std::optional<wire::FetchAsked> asked =
      wire::read_plain_fetch(exchange.body(), exchange.version);
  if (!asked.has_value()) {
    co_await pass_on<protocol::FetchRequest, protocol::FetchResponse>(exchange, &RaftLog::fetch);
    co_return;
  }
  const int number = asked->about.partition;
  if (number < 0 || static_cast<std::size_t>(number) >= logs_.size()) co_return;
  RaftLog& log = *logs_[static_cast<std::size_t>(number)];
  wire::Fetched fetched = co_await log.fetch_plain(*asked);
  const Result<void> answered =
      wire::is_plain(fetched, exchange.version)
          ? exchange.answer(wire::FetchAnswer{log.group(), fetched})
          : exchange.answer(
                wire::answer_of(log.group(), std::move(fetched), exchange.version).message);
  if (!answered) LOG_ERROR("raft", "an answer cannot be said: {}", answered.error().message());
}

}  // namespace drave::raft
