#include <algorithm>
#include <map>

#include "broker/fetch/fetch_operation.h"
#include "broker/handlers/handlers.h"
#include "broker/handlers/leader_hint.h"
#include "broker/node.h"
#include "broker/security/access.h"
#include "protocol/limits.h"

namespace drave::broker {

namespace {

using protocol::ErrorCode;

FetchNews news_of(const FetchOutcome& outcome) {
  FetchNews news;
  news.high_watermark = outcome.high_watermark;
  news.log_start = outcome.log_start;
  news.has_records = outcome.data.size > 0;
  news.has_error = outcome.error != ErrorCode::none;
  news.always_send = outcome.diverging.epoch >= 0 || outcome.diverging.end_offset >= 0;
  return news;
}

// What was read, as one field: several pieces are sent one behind the other (net/connection.cc),
// and put together only where the writer copies them anyway.
ByteView records_of(std::vector<segments::LogPiece> pieces, Response& response) {
  if (pieces.empty()) return {};
  std::size_t size = 0;
  for (const segments::LogPiece& piece : pieces) size += piece.bytes().size();
  if (pieces.size() > 1 && size < protocol::kGatherBytesMin) {
    auto together = std::make_shared<std::vector<std::uint8_t>>();
    for (const segments::LogPiece& piece : pieces)
      together->insert(together->end(), piece.bytes().begin(), piece.bytes().end());
    const ByteView bytes(*together);
    response.keep(segments::LogPiece(std::move(together), bytes));
    return bytes;
  }
  const ByteView whole(pieces.front().bytes().data(), size);
  if (pieces.size() > 1) response.keep(segments::LogPiece());
  for (segments::LogPiece& piece : pieces) response.keep(std::move(piece));
  if (pieces.size() > 1) response.keep(segments::LogPiece());
  return whole;
}

void add_partition(protocol::FetchResponse::FetchableTopicResponse& topic, const FetchItem& item,
                   FetchOutcome& outcome, ByteView records, const FetchOperation::Limits& limits) {
  auto& partition = topic.partitions.emplace_back();
  partition.partition_index = item.id.partition;
  partition.error_code = static_cast<std::int16_t>(outcome.error);
  partition.high_watermark = outcome.high_watermark;
  partition.last_stable_offset = outcome.last_stable_offset;
  partition.log_start_offset = outcome.log_start;
  partition.diverging_epoch = {outcome.diverging.epoch, outcome.diverging.end_offset};
  partition.records = records;
  partition.aborted_transactions.reset();
  if (limits.read_committed) {
    partition.aborted_transactions.emplace();
    for (const segments::AbortedTransaction& aborted : outcome.aborted)
      partition.aborted_transactions->push_back({aborted.producer_id, aborted.first_offset});
  }
}

void answer(FetchOperation& operation, const FetchOperation::Limits& limits,
            const std::vector<bool>& include, Response& response) {
  protocol::FetchResponse message;
  const FetchPlan& plan = operation.plan();
  message.session_id = plan.session_id;
  std::map<std::pair<std::string_view, Uuid>, std::size_t> topics;
  for (std::size_t i = 0; i < plan.items.size(); ++i) {
    if (!include[i]) continue;
    const FetchItem& item = plan.items[i];
    FetchOutcome& outcome = operation.outcomes()[i];
    const auto [place, fresh] =
        topics.try_emplace({item.topic, item.id.topic_id}, message.responses.size());
    if (fresh) {
      auto& topic = message.responses.emplace_back();
      topic.topic = item.topic;
      topic.topic_id = item.id.topic_id;
    }
    add_partition(message.responses[place->second], item, outcome,
                  records_of(std::move(outcome.data.pieces), response), limits);
    if (limits.version >= 16 && (outcome.error == ErrorCode::not_leader_or_follower ||
                                 outcome.error == ErrorCode::fenced_leader_epoch)) {
      Connection& connection = response.connection();
      hint_leader(connection.shard().image(), item.id, connection.listener().name,
                  message.responses[place->second].partitions.back().current_leader,
                  message.node_endpoints);
    }
  }
  response.send(message);
}

io::Task<void> serve(Shard& shard, Connection& connection, Response& response, FetchPlan plan,
                     FetchOperation::Limits limits) {
  const std::int32_t session_id = plan.session_id;
  const Instant arrived = shard.loop().now();
  if (!co_await connection.turn_of(response)) {
    response.send_nothing();
  } else {
    limits.deadline = limits.deadline + (shard.loop().now() - arrived);
    FetchOperation operation(shard, connection, std::move(plan), limits);
    co_await operation.run();
    response.charge(take_reserved(operation, response));
    std::vector<FetchNews> news;
    for (const FetchOutcome& outcome : operation.outcomes()) news.push_back(news_of(outcome));
    std::vector<bool> include(news.size(), true);
    if (session_id != 0) {
      const std::uint32_t owner = FetchSessions::shard_of_session(session_id);
      const FetchPlan* planned = &operation.plan();
      const std::vector<FetchNews>* found = &news;
      Node* node = &shard.node();
      include = co_await io::call_on(shard.loop(), owner, [=] {
        return node->shard(owner).fetch_sessions().note_answer(*planned, *found);
      });
    }
    answer(operation, limits, include, response);
  }
  connection.operation_ended();
}

// The session is where its id says; a new one is made here.
io::Task<FetchPlan> plan_of(Shard& shard, const protocol::FetchRequest& message,
                            std::int16_t version, const Access& access) {
  std::uint32_t owner = shard.number();
  if (message.session_id != 0 && message.session_epoch > 0) {
    owner = FetchSessions::shard_of_session(message.session_id);
    if (owner >= shard.count()) owner = shard.number();
  }
  const protocol::FetchRequest* request = &message;
  const Access* sender = &access;
  Node* node = &shard.node();
  co_return co_await io::call_on(shard.loop(), owner, [=] {
    return node->shard(owner).fetch_sessions().plan(*request, version, *sender);
  });
}

}  // namespace

io::Task<void> handle_fetch(Request request) {
  protocol::FetchRequest message;
  if (!request.read(message)) co_return;
  const Access access(request);
  FetchPlan plan = co_await plan_of(request.shard, message, request.version, access);
  if (plan.error != ErrorCode::none) {
    protocol::FetchResponse response;
    response.error_code = static_cast<std::int16_t>(plan.error);
    request.response.send(response);
    co_return;
  }
  FetchOperation::Limits limits;
  limits.bytes_max = std::clamp<std::int64_t>(
      message.max_bytes, 0,
      std::min<std::int64_t>(request.shard.config().fetch_bytes_max, kFetchBytesMax));
  // A client cannot wait for more than it takes.
  limits.bytes_min = std::min<std::int64_t>(std::max(message.min_bytes, 0), limits.bytes_max);
  limits.deadline = request.shard.loop().now() + milliseconds(std::max(message.max_wait_ms, 0));
  limits.read_committed = message.isolation_level == 1;
  limits.version = request.version;
  request.frame.reset();  // the plan owns what it needs; a parked fetch keeps no frame
  request.connection.operation_begun();
  request.connection.stand_in_line();
  request.shard.scope().spawn(
      serve(request.shard, request.connection, request.response, std::move(plan), limits));
}

}  // namespace drave::broker
