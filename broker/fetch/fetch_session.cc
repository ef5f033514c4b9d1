#include "broker/fetch/fetch_session.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "broker/security/access.h"
#include "broker/shard.h"

namespace drave::broker {

using protocol::ErrorCode;

namespace {

constexpr std::int32_t kInitialEpoch = 0;
constexpr std::int32_t kFinalEpoch = -1;
constexpr std::int16_t kTopicIdVersion = 13;

// A partition as the client names it. By name where it speaks in names: a topic that was made again
// is still that topic to it.
using Name = std::tuple<PartitionIndex, std::string_view, TopicId>;

Name name_of(const FetchItem& item) {
  return {item.id.partition, item.topic, item.topic.empty() ? item.id.topic_id : TopicId()};
}

// Finds items of a session, as many times as `look_ups` says: one after the other while that is
// little work, else by an index.
class Places {
 public:
  Places(const std::vector<FetchItem>& items, std::size_t look_ups) : items_(items) {
    constexpr std::size_t kComparedMax = 10'000;
    if (items.size() * look_ups <= kComparedMax) return;
    for (std::size_t at = 0; at < items.size(); ++at) add(at);
    is_indexed_ = true;
  }
  // items.size(): it is not there.
  std::size_t find(const FetchItem& wanted) const {
    if (is_indexed_) {
      const auto found = index_.find(owned(name_of(wanted)));
      return found == index_.end() ? items_.size() : found->second;
    }
    std::size_t at = 0;
    while (at < items_.size() && name_of(items_[at]) != name_of(wanted)) ++at;
    return at;
  }
  void added() {
    if (is_indexed_) add(items_.size() - 1);
  }

 private:
  using Key = std::tuple<PartitionIndex, std::string, TopicId>;
  static Key owned(const Name& name) { return Key(name); }
  void add(std::size_t at) { index_.emplace(owned(name_of(items_[at])), at); }

  const std::vector<FetchItem>& items_;
  bool is_indexed_ = false;
  std::map<Key, std::size_t> index_;
};

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
  std::vector<FetchItem> changes = items_of(request);
  Places places(session.items, changes.size());
  for (FetchItem& changed : changes) {
    const std::size_t at = places.find(changed);
    if (at == session.items.size()) {
      session.items.push_back(std::move(changed));
      places.added();
    } else {
      const FetchItem& known = session.items[at];
      changed.sent_high_watermark = known.sent_high_watermark;
      changed.sent_log_start = known.sent_log_start;
      changed.sent_error = known.sent_error;
      session.items[at] = std::move(changed);
    }
  }
  if (request.forgotten_topics_data.empty()) return;
  const bool by_id = version >= kTopicIdVersion;
  std::set<Name> forgotten;
  for (const auto& topic : request.forgotten_topics_data)
    for (const PartitionIndex partition : topic.partitions)
      forgotten.emplace(partition, by_id ? "" : topic.topic, by_id ? topic.topic_id : TopicId());
  std::erase_if(session.items, [&](const FetchItem& item) {
    return forgotten.contains(by_id ? Name(item.id.partition, "", item.id.topic_id)
                                    : Name(item.id.partition, item.topic, TopicId()));
  });
}

bool FetchSessions::has_room_for(std::size_t items) const {
  for (const auto& [id, session] : sessions_) items += session.items.size();
  return items <= kItemsMax / shard_.count();
}

bool FetchSessions::make_room(std::size_t items) {
  const auto slots = static_cast<std::size_t>(
      std::max(shard_.config().fetch_sessions_max / static_cast<std::int32_t>(shard_.count()), 1));
  if (shard_.config().fetch_sessions_max <= 0) return false;
  if (!has_room_for(items)) return false;
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
        make_room(plan.items.size())) {
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
  const std::size_t items_before = session.items.size();
  update(session, request, version);
  if (session.items.size() > items_before && !has_room_for(0)) {
    sessions_.erase(found);  // the client goes on with full requests
    plan.error = ErrorCode::fetch_session_id_not_found;
    return plan;
  }
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
