#pragma once
// Incremental fetch sessions (KIP-227): the client names its partitions once, then only what
// changed; the answer names only partitions with news.
//
// A session belongs to the shard on which it was made; its id tells which (shard_of_session), since
// the client may come back on a connection of another shard. Bounded by
// max.incremental.fetch.session.cache.slots for the node, split among the shards: when full, a
// session idle for kEvictIdle is evicted, else the client is answered without a session.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/units.h"
#include "protocol/error_code.h"
#include "protocol/messages/fetch.h"

namespace drave::broker {

class Access;
class Shard;

// One partition that a fetch asks for; owns its text.
struct FetchItem {
  std::string topic;    // as the client named it; empty with topic ids
  TopicIdPartition id;  // topic id zero: unknown topic
  LeaderEpoch current_leader_epoch = -1;
  Offset fetch_offset = 0;
  LeaderEpoch last_fetched_epoch = -1;
  std::int32_t bytes_max = 0;
  protocol::ErrorCode error = protocol::ErrorCode::none;  // known before any log is asked

  // What the last answer of the session said of it.
  Offset sent_high_watermark = -1;
  Offset sent_log_start = -1;
  bool sent_error = false;
};

// What a fetch amounts to once its session is known.
struct FetchPlan {
  protocol::ErrorCode error =
      protocol::ErrorCode::none;  // of the session: answer with nothing else
  std::int32_t session_id = 0;    // in the answer
  bool incremental = false;       // leave out partitions without news
  std::vector<FetchItem> items;   // in the order in which they are served
};

// What was answered, per item of the plan.
struct FetchNews {
  Offset high_watermark = -1;
  Offset log_start = -1;
  bool has_records = false;
  bool has_error = false;
  bool always_send = false;  // diverging epoch, snapshot id and the like
};

class FetchSessions {
 public:
  static constexpr Duration kEvictIdle = seconds(120);
  static constexpr std::uint32_t kShardBits = 8;
  // Partitions of all sessions of a node: beyond, fetches are answered without one.
  static constexpr std::size_t kItemsMax = 400'000;

  explicit FetchSessions(Shard& shard) : shard_(shard) {}

  static std::uint32_t shard_of_session(std::int32_t session_id) {
    return static_cast<std::uint32_t>(session_id) & ((1u << kShardBits) - 1);
  }

  // Applies the request to its session, or makes one. Topics are resolved by the shard's image, and
  // what the sender may not read has an error.
  FetchPlan plan(const protocol::FetchRequest& request, std::int16_t version, const Access& access);
  // Which items go into the answer, given what was found; remembers it. `items` as planned.
  std::vector<bool> note_answer(const FetchPlan& plan, const std::vector<FetchNews>& news);

  std::size_t count() const { return sessions_.size(); }
  std::uint64_t evicted_count() const { return evicted_; }

 private:
  struct Session {
    std::int32_t next_epoch = 1;
    Instant last_used;
    std::vector<FetchItem> items;  // those answered with data go to the end, so that none starves
  };

  // What the sender may do: a replica all or nothing, a consumer by topic.
  struct Reading {
    const Access& access;
    bool is_replica = false;
    bool may_replicate = false;
    bool may(std::string_view topic) const;
  };
  // Not resolved.
  static std::vector<FetchItem> items_of(const protocol::FetchRequest& request);
  void update(Session& session, const protocol::FetchRequest& request, std::int16_t version);
  void resolve(FetchItem& item, std::int16_t version, const Reading& reading);
  bool make_room(std::size_t items);
  bool has_room_for(std::size_t items) const;
  std::int32_t new_id();

  Shard& shard_;
  std::map<std::int32_t, Session> sessions_;
  std::uint64_t evicted_ = 0;
};

}  // namespace drave::broker
