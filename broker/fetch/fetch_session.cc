#include "broker/fetch/fetch_session.h"

#include <algorithm>

#include "broker/security/access.h"
#include "broker/shard.h"

namespace drave::broker {

using protocol::ErrorCode;

namespace {

constexpr std::int32_t kInitialEpoch = 0;
constexpr std::int32_t kFinalEpoch = -1;
constexpr std::int16_t kTopicIdVersion = 13;

bool same_partition(const FetchItem& a, const FetchItem& b) {
  // By name where the client speaks in names: a topic that was made again is still that topic to
  // it.
  if (a.id.partition != b.id.partition) return false;
  return a.topic.empty() ? a.id.topic_id == b.id.topic_id : a.topic == b.topic;
}

std::int32_t epoch_after(std::int32_t epoch) {
  return epoch == INT32_MAX ? 1 : epoch + 1;
}

}  // namespace

bool FetchSessions::Reading::may(std::string_view topic) const {
  return is_replica ? may_replicate : access.may_topic(protocol::AclOperation::read, topic);
}

void FetchSessions::resolve(FetchItem& item, std::int16_t version, const Reading& reading) {
  const bool by_id = version >= kTopicIdVersion;
  const ServedTopic* topic =
      by_id ? shard_.image().find(item.id.topic_id) : shard_.image().find(item.topic);
  item.error = ErrorCode::none;
  if (by_id && topic == nullptr) {
    item.error = ErrorCode::unknown_topic_id;
    return;
  }
  if (!reading.may(by_id ? topic->topic->name : item.topic)) {
    item.error = ErrorCode::topic_authorization_failed;
    return;
  }
  if (topic == nullptr) {
    item.error = ErrorCode::unknown_topic_or_partition;
    return;
  }
  item.id.topic_id = topic->topic->id;
  const auto partition = topic->topic->partitions.find(item.id.partition);
  if (partition == topic->topic->partitions.end()) {
    item.error = ErrorCode::unknown_topic_or_partition;
    return;
  }
  const metadata::PartitionImage& image = partition->second;
  if (image.leader != shard_.config().node_id) {
    item.error = ErrorCode::not_leader_or_follower;
  } else if (item.current_leader_epoch >= 0 && item.current_leader_epoch < image.leader_epoch) {
    item.error = ErrorCode::fenced_leader_epoch;
  } else if (item.current_leader_epoch > image.leader_epoch) {
    item.error = ErrorCode::unknown_leader_epoch;
  }
}

std::vector<FetchItem> FetchSessions::items_of(const protocol::FetchRequest& request) {
  std::vector<FetchItem> items;
  for (const auto& topic : request.topics) {
    for (const auto& partition : topic.partitions) {
      FetchItem& item = items.emplace_back();
      item.topic = std::string(topic.topic);
      item.id = {topic.topic_id, partition.partition};
      item.current_leader_epoch = partition.current_leader_epoch;
      item.fetch_offset = partition.fetch_offset;
      item.last_fetched_epoch = partition.last_fetched_epoch;
      item.bytes_max = partition.partition_max_bytes;
    }
  }
  return items;
}

void FetchSessions::update(Session& session, const protocol::FetchRequest& request,
                           std::int16_t version) {
  for (FetchItem& changed : items_of(request)) {
    const auto known = std::find_if(session.items.begin(), session.items.end(),
                                    [&](FetchItem& item) { return same_partition(item, changed); });
    if (known == session.items.end()) {
      session.items.push_back(std::move(changed));
    } else {
      changed.sent_high_watermark = known->sent_high_watermark;
      changed.sent_log_start = known->sent_log_start;
      changed.sent_error = known->sent_error;
      *known = std::move(changed);
    }
  }
  for (const auto& topic : request.forgotten_topics_data) {
    std::erase_if(session.items, [&](const FetchItem& item) {
      const bool same_topic = version >= kTopicIdVersion ? item.id.topic_id == topic.topic_id
                                                         : item.topic == topic.topic;
      return same_topic && std::find(topic.partitions.begin(), topic.partitions.end(),
                                     item.id.partition) != topic.partitions.end();
    });
  }
}

bool FetchSessions::make_room() {
  const auto slots = static_cast<std::size_t>(
      std::max(shard_.config().fetch_sessions_max / static_cast<std::int32_t>(shard_.count()), 1));
  if (shard_.config().fetch_sessions_max <= 0) return false;
  if (sessions_.size() < slots) return true;
  const auto oldest = std::min_element(
      sessions_.begin(), sessions_.end(),
      [](const auto& a, const auto& b) { return a.second.last_used < b.second.last_used; });
  if (shard_.loop().now() - oldest->second.last_used < kEvictIdle) return false;
  sessions_.erase(oldest);
  ++evicted_;
  return true;
}

std::int32_t FetchSessions::new_id() {
  for (;;) {
    const auto drawn = static_cast<std::uint32_t>(shard_.loop().backend().entropy() >> 33);
    const auto id =
        static_cast<std::int32_t>((drawn & ~((1u << kShardBits) - 1)) | shard_.number());
    if (id > static_cast<std::int32_t>(1u << kShardBits) && !sessions_.contains(id)) return id;
  }
}

FetchPlan FetchSessions::plan(const protocol::FetchRequest& request, std::int16_t version,
                              const Access& access) {
  FetchPlan plan;
  Reading reading{access};
  reading.is_replica = request.replica_id >= 0 || request.replica_state.replica_id >= 0;
  if (reading.is_replica)
    reading.may_replicate = access.may_cluster(protocol::AclOperation::cluster_action);
  const Instant now = shard_.loop().now();
  if (request.session_epoch == kInitialEpoch || request.session_epoch == kFinalEpoch) {
    // A full request; it ends the session that it names.
    if (request.session_id != 0) sessions_.erase(request.session_id);
    plan.items = items_of(request);
    for (FetchItem& item : plan.items) resolve(item, version, reading);
    if (request.session_epoch == kInitialEpoch && version >= 7 && !plan.items.empty() &&
        make_room()) {
      plan.session_id = new_id();
      Session& session = sessions_[plan.session_id];
      session.items = plan.items;
      session.last_used = now;
    }
    return plan;
  }
  const auto found = sessions_.find(request.session_id);
  if (found == sessions_.end()) {
    plan.error = ErrorCode::fetch_session_id_not_found;
    return plan;
  }
  Session& session = found->second;
  if (request.session_epoch != session.next_epoch) {
    plan.error = ErrorCode::invalid_fetch_session_epoch;
    return plan;
  }
  session.next_epoch = epoch_after(session.next_epoch);
  session.last_used = now;
  update(session, request, version);
  for (FetchItem& item : session.items) resolve(item, version, reading);
  plan.session_id = request.session_id;
  plan.incremental = true;
  plan.items = session.items;
  return plan;
}

std::vector<bool> FetchSessions::note_answer(const FetchPlan& plan,
                                             const std::vector<FetchNews>& news) {
  std::vector<bool> include(plan.items.size(), true);
  const auto found = sessions_.find(plan.session_id);
  if (plan.session_id == 0 || found == sessions_.end()) return include;
  Session& session = found->second;
  // The plan was made of the session's items, in their order, and one request of a session is
  // served at a time; a client that breaks this is answered in full.
  if (session.items.size() != plan.items.size()) return include;
  std::vector<FetchItem> quiet;
  std::vector<FetchItem> served;
  for (std::size_t i = 0; i < plan.items.size(); ++i) {
    FetchItem& item = session.items[i];
    const FetchNews& found_news = news[i];
    if (plan.incremental) {
      include[i] = found_news.has_records || found_news.always_send || found_news.has_error ||
                   item.sent_error || found_news.high_watermark != item.sent_high_watermark ||
                   found_news.log_start != item.sent_log_start;
    }
    item.sent_high_watermark = found_news.high_watermark;
    item.sent_log_start = found_news.log_start;
    item.sent_error = found_news.has_error;
    (found_news.has_records ? served : quiet).push_back(std::move(item));
  }
  session.items = std::move(quiet);
  std::move(served.begin(), served.end(), std::back_inserter(session.items));
  return include;
}

}  // namespace drave::broker
