#include "tools/sim/cluster/client.h"

#include <fmt/format.h>

#include <array>

#include "base/log.h"
#include "metadata/features.h"
#include "protocol/error_code.h"
#include "protocol/messages/create_acls.h"
#include "protocol/messages/create_partitions.h"
#include "protocol/messages/create_topics.h"
#include "protocol/messages/delete_acls.h"
#include "protocol/messages/delete_topics.h"
#include "protocol/messages/incremental_alter_configs.h"
#include "protocol/messages/init_producer_id.h"
#include "protocol/messages/update_features.h"
#include "protocol/resource.h"

namespace drave::simulation {

using io::Task;
using protocol::ErrorCode;

namespace {

constexpr std::size_t kTopicsMax = 4;  // of one client
constexpr std::size_t kAclsMax = 5;
// A batch of 1 KiB, which half of the clusters have, holds nine.
constexpr std::int32_t kPartitionsAtOnce = 25;
constexpr std::int32_t kPartitionsMax = 28;
constexpr std::uint64_t kSharedNames = 2;
constexpr std::array<std::string_view, 4> kKeys{"retention.ms", "retention.bytes", "segment.ms",
                                                "file.delete.delay.ms"};

bool is(std::optional<std::int16_t> outcome, ErrorCode error) {
  return outcome == static_cast<std::int16_t>(error);
}

}  // namespace

void ClusterClient::begin(io::sim::Process& process) {
  process_ = &process;
  ends_ = false;
  process.on_stop([this] { ends_ = true; });
  raft::RpcClientOptions options;
  options.client_id = fmt::format("client-{}", number_);
  for (const io::SocketAddress& broker : brokers_)
    links_.push_back(std::make_unique<raft::RpcClient>(process.loop(0), broker, options));
}

Task<void> ClusterClient::close() {
  for (const auto& link : links_) co_await link->close();
  links_.clear();
}

Duration ClusterClient::patience() {
  return milliseconds(random_.between(500, 6000));
}

Task<void> ClusterClient::work(io::sim::Process& process) {
  begin(process);
  while (!ends_ && !is_dead()) {
    co_await act();
    co_await io::sleep_for(process.loop(0), microseconds(random_.between(0, 150'000)));
  }
  co_await close();
}

Task<void> ClusterClient::create_through_each(io::sim::Process& process) {
  begin(process);
  for (const auto& link : links_) {
    bool done = false;
    while (!done && !ends_ && !is_dead()) {
      done = co_await create(*link, fmt::format("last-{}-{}", number_, ++count_), false);
      if (!done) co_await io::sleep_for(process.loop(0), milliseconds(100));
    }
  }
  const bool upgrades = is_static() && random_.one_in(2);
  while (upgrades && is_static() && !ends_ && !is_dead()) {
    co_await upgrade();
    co_await io::sleep_for(process.loop(0), milliseconds(100));
  }
  co_await close();
}

ClusterClient::Outcome ClusterClient::noted(Outcome outcome) {
  if (!outcome.has_value()) ++promises_.tally()["unanswered"];
  // What nobody decided in time, as far as the node that was asked knows: REQUEST_TIMED_OUT is also
  // told of what was decided, and not answered in time.
  if (is(outcome, ErrorCode::not_controller) || is(outcome, ErrorCode::request_timed_out))
    ++promises_.tally()["undecided"];
  return outcome;
}

std::optional<std::size_t> ClusterClient::own_topic() {
  if (topics_.empty()) return std::nullopt;
  const std::size_t index = random_.below(topics_.size());
  if (!topics_[index].is_own || topics_[index].is_leaving) return std::nullopt;
  return index;
}

Task<void> ClusterClient::act() {
  const std::uint64_t draw = random_.below(16);
  const std::optional<std::size_t> own = own_topic();
  if (draw < 4 && topics_.size() < kTopicsMax) {
    co_await create(any_broker(), fmt::format("own-{}-{}", number_, ++count_), true);
  } else if (draw < 5) {
    co_await create(any_broker(), fmt::format("shared-{}", random_.below(kSharedNames)), false);
  } else if (draw < 8) {
    if (!topics_.empty()) co_await remove(random_.below(topics_.size()));
  } else if (draw < 9) {
    if (own.has_value() && topics_[*own].partitions < kPartitionsMax) co_await add_partition(*own);
  } else if (draw < 11) {
    if (own.has_value() && topics_[*own].configs < kKeys.size()) co_await set_config(*own);
  } else if (draw < 13) {
    if (acls_.size() < kAclsMax)
      co_await create_acl();
    else
      co_await remove_acl(random_.below(acls_.size()));
  } else if (draw < 14 && is_static()) {
    co_await upgrade();
  } else {
    co_await take_producer_id();
  }
}

Task<bool> ClusterClient::create(raft::RpcClient& broker, std::string name, bool is_own) {
  protocol::CreateTopicsRequest request;
  request.timeout_ms = static_cast<std::int32_t>(random_.between(500, 4000));
  auto& topic = request.topics.emplace_back();
  topic.name = name;
  // Of a name always the same.
  topic.num_partitions = is_own && count_ % 4 == 0 ? kPartitionsAtOnce : 1;
  topic.replication_factor = 1;
  promises_.topic_asked(name, topic.num_partitions);
  const auto reply = co_await broker.call<protocol::CreateTopicsResponse>(request, patience());
  if (is_dead()) co_return false;
  const Outcome outcome =
      noted(reply ? Outcome(reply->message.topics.at(0).error_code) : std::nullopt);
  if (!is(outcome, ErrorCode::none)) co_return false;
  const TopicId id = reply->message.topics.at(0).topic_id;
  const std::int32_t partitions = topic.num_partitions;
  promises_.topic_created(name, id, partitions);
  topics_.push_back(
      {.name = std::move(name), .id = id, .is_own = is_own, .partitions = partitions});
  co_return true;
}

Task<void> ClusterClient::remove(std::size_t index) {
  topics_[index].is_leaving = true;
  const TopicId id = topics_[index].id;
  protocol::DeleteTopicsRequest request;
  request.timeout_ms = static_cast<std::int32_t>(random_.between(500, 4000));
  request.topics.push_back({std::nullopt, id});
  promises_.deletion_asked(id);
  const auto reply =
      co_await any_broker().call<protocol::DeleteTopicsResponse>(request, patience(), 6);
  if (is_dead()) co_return;
  const Outcome outcome =
      noted(reply ? Outcome(reply->message.responses.at(0).error_code) : std::nullopt);
  if (is(outcome, ErrorCode::none)) promises_.topic_deleted(id);
  // An earlier try may have had its effect; or this broker is behind.
  if (is(outcome, ErrorCode::none) || is(outcome, ErrorCode::unknown_topic_id))
    topics_.erase(topics_.begin() + static_cast<std::ptrdiff_t>(index));
}

Task<void> ClusterClient::add_partition(std::size_t index) {
  const TopicId id = topics_[index].id;
  const std::string name = topics_[index].name;
  const std::int32_t count = topics_[index].partitions + 1;
  protocol::CreatePartitionsRequest request;
  request.timeout_ms = static_cast<std::int32_t>(random_.between(500, 4000));
  auto& topic = request.topics.emplace_back();
  topic.name = name;
  topic.count = count;
  topic.assignments.reset();
  promises_.partitions_asked(id, count);
  const auto reply =
      co_await any_broker().call<protocol::CreatePartitionsResponse>(request, patience());
  if (is_dead()) co_return;
  const Outcome outcome =
      noted(reply ? Outcome(reply->message.results.at(0).error_code) : std::nullopt);
  if (is(outcome, ErrorCode::none)) promises_.partitions_created(id, count);
  if (is(outcome, ErrorCode::none) || is(outcome, ErrorCode::invalid_partitions))
    topics_[index].partitions = count;
}

Task<void> ClusterClient::set_config(std::size_t index) {
  const std::string name = topics_[index].name;
  const std::string key(kKeys[topics_[index].configs]);
  // The same for the same topic and key, each time.
  const std::string value =
      fmt::format("{}", 3'600'000 + (topics_[index].id.low % 100'000) * kKeys.size());
  protocol::IncrementalAlterConfigsRequest request;
  auto& resource = request.resources.emplace_back();
  resource.resource_type = static_cast<std::int8_t>(protocol::ConfigResourceType::topic);
  resource.resource_name = name;
  resource.configs.push_back({key, 0, value});
  const auto reply =
      co_await any_broker().call<protocol::IncrementalAlterConfigsResponse>(request, patience());
  if (is_dead()) co_return;
  const Outcome outcome =
      noted(reply ? Outcome(reply->message.responses.at(0).error_code) : std::nullopt);
  if (!is(outcome, ErrorCode::none)) co_return;
  promises_.config_set(topics_[index].id, key, value);
  ++topics_[index].configs;
}

Task<void> ClusterClient::create_acl() {
  // The last one again, if nobody knows what became of it.
  if (acls_.empty() || acls_.back().is_created)
    acls_.push_back({fmt::format("User:{}-{}", number_, ++count_)});
  const std::string principal = acls_.back().principal;
  protocol::CreateAclsRequest request;
  auto& acl = request.creations.emplace_back();
  acl.resource_type = static_cast<std::int8_t>(protocol::ResourceType::group);
  acl.resource_name = "group";
  acl.resource_pattern_type = static_cast<std::int8_t>(protocol::PatternType::literal);
  acl.principal = principal;
  acl.host = "*";
  acl.operation = static_cast<std::int8_t>(protocol::AclOperation::read);
  acl.permission_type = static_cast<std::int8_t>(protocol::AclPermission::allow);
  promises_.acl_asked(principal);
  const auto reply = co_await any_broker().call<protocol::CreateAclsResponse>(request, patience());
  if (is_dead()) co_return;
  const Outcome outcome =
      noted(reply ? Outcome(reply->message.results.at(0).error_code) : std::nullopt);
  if (!is(outcome, ErrorCode::none)) co_return;
  promises_.acl_created(principal);
  acls_.back().is_created = true;
}

Task<void> ClusterClient::remove_acl(std::size_t index) {
  const std::string principal = acls_[index].principal;
  if (!acls_[index].is_created) co_return;
  protocol::DeleteAclsRequest request;
  auto& filter = request.filters.emplace_back();
  filter.resource_type_filter = static_cast<std::int8_t>(protocol::ResourceType::any);
  filter.resource_name_filter.reset();
  filter.pattern_type_filter = static_cast<std::int8_t>(protocol::PatternType::any);
  filter.principal_filter = principal;
  filter.host_filter.reset();
  filter.operation = static_cast<std::int8_t>(protocol::AclOperation::any);
  filter.permission_type = static_cast<std::int8_t>(protocol::AclPermission::any);
  promises_.acl_deletion_asked(principal, *watch_.newest());
  const auto reply = co_await any_broker().call<protocol::DeleteAclsResponse>(request, patience());
  if (is_dead()) co_return;
  const Outcome outcome =
      noted(reply ? Outcome(reply->message.filter_results.at(0).error_code) : std::nullopt);
  if (!is(outcome, ErrorCode::none)) co_return;
  promises_.acl_deleted(principal);
  acls_.erase(acls_.begin() + static_cast<std::ptrdiff_t>(index));
}

Task<void> ClusterClient::take_producer_id() {
  protocol::InitProducerIdRequest request;
  request.transactional_id.reset();
  const auto reply =
      co_await any_broker().call<protocol::InitProducerIdResponse>(request, patience(), 4);
  if (is_dead()) co_return;
  const Outcome outcome = noted(reply ? Outcome(reply->message.error_code) : std::nullopt);
  if (is(outcome, ErrorCode::none)) promises_.producer_id_given(reply->message.producer_id);
}

bool ClusterClient::is_static() const {
  return watch_.newest()->feature(metadata::kKraftVersion) < 1;
}

Task<void> ClusterClient::upgrade() {
  protocol::UpdateFeaturesRequest request;
  request.timeout_ms = static_cast<std::int32_t>(random_.between(500, 4000));
  request.feature_updates.push_back({metadata::kKraftVersion, 1});
  const auto reply =
      co_await any_broker().call<protocol::UpdateFeaturesResponse>(request, patience(), 2);
  if (is_dead()) co_return;
  const Outcome outcome = noted(reply ? Outcome(reply->message.error_code) : std::nullopt);
  if (is(outcome, ErrorCode::none)) promises_.upgraded();
}

}  // namespace drave::simulation
