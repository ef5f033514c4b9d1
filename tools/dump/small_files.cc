// Indexes, snapshots, checkpoints and the other small files.

#include <nlohmann/json.hpp>

#include "segments/leader_epoch_cache.h"
#include "segments/meta_properties.h"
#include "segments/offset_checkpoint.h"
#include "segments/offset_index.h"
#include "segments/partition_metadata.h"
#include "segments/producer_snapshot.h"
#include "segments/time_index.h"
#include "segments/transaction_index.h"
#include "tools/dump/reader.h"

namespace drave::dump {

Item show_bytes(const std::optional<ByteView>& bytes) {
  if (!bytes) return nullptr;
  Item text(as_text(*bytes));
  // What JSON cannot carry.
  if (text.dump(-1, ' ', false, Item::error_handler_t::replace).find("\xEF\xBF\xBD") ==
      std::string::npos) {
    return text;
  }
  std::string hex = "0x";
  for (const std::uint8_t byte : *bytes) fmt::format_to(std::back_inserter(hex), "{:02x}", byte);
  return hex;
}

void dump_offset_index(Offset base_offset, ByteView bytes, Out& out) {
  const auto index = segments::OffsetIndex::decode(base_offset, bytes, UINT32_MAX);
  if (!index) return out.damage(0, index.error().message());
  for (const auto& [offset, position] : index->entries())
    out.item({{"kind", "offsetIndexEntry"}, {"offset", offset}, {"position", position}});
}

void dump_time_index(Offset base_offset, ByteView bytes, Out& out) {
  const auto index = segments::TimeIndex::decode(base_offset, bytes);
  if (!index) return out.damage(0, index.error().message());
  for (const auto& [timestamp, offset] : index->entries())
    out.item({{"kind", "timeIndexEntry"}, {"timestamp", timestamp}, {"offset", offset}});
}

void dump_transaction_index(Offset base_offset, ByteView bytes, Out& out) {
  const auto index = segments::TransactionIndex::decode(base_offset, bytes);
  if (!index) return out.damage(0, index.error().message());
  for (const auto& entry : index->entries()) {
    out.item({{"kind", "abortedTransaction"},
              {"producerId", entry.producer_id},
              {"firstOffset", entry.first_offset},
              {"lastOffset", entry.last_offset},
              {"lastStableOffset", entry.last_stable_offset}});
  }
}

void dump_producer_snapshot(ByteView bytes, Out& out) {
  const auto entries = segments::decode_producer_snapshot(bytes);
  if (!entries) return out.damage(0, entries.error().message());
  for (const auto& entry : *entries) {
    Item item{{"kind", "producer"},
              {"producerId", entry.producer_id},
              {"producerEpoch", entry.epoch},
              {"coordinatorEpoch", entry.coordinator_epoch},
              {"transactionFirstOffset", entry.transaction_first_offset},
              {"lastTimestamp", entry.last_timestamp}};
    if (entry.batch_count > 0) {
      const auto& last = entry.batches[entry.batch_count - 1];
      item["lastSequence"] = last.last_sequence;
      item["lastOffset"] = last.last_offset;
      item["offsetDelta"] = last.offset_delta;
    }
    out.item(std::move(item));
  }
}

void dump_leader_epochs(std::string_view text, Out& out) {
  const auto epochs = segments::LeaderEpochCache::decode(text);
  if (!epochs) return out.damage(0, epochs.error().message());
  for (const auto& [epoch, start] : epochs->entries())
    out.item({{"kind", "leaderEpoch"}, {"epoch", epoch}, {"startOffset", start}});
}

void dump_offset_checkpoint(std::string_view text, Out& out) {
  const auto checkpoint = segments::decode_offset_checkpoint(text);
  if (!checkpoint) return out.damage(0, checkpoint.error().message());
  for (const auto& [name, offset] : *checkpoint) {
    out.item({{"kind", "checkpoint"},
              {"topic", name.topic},
              {"partition", name.partition},
              {"offset", offset}});
  }
}

void dump_meta_properties(std::string_view text, Out& out) {
  const auto properties = segments::decode_meta_properties(text);
  if (!properties) return out.damage(0, properties.error().message());
  out.item({{"kind", "metaProperties"},
            {"version", properties->version},
            {"clusterId", properties->cluster_id},
            {"nodeId", properties->node_id},
            {"directoryId", properties->directory_id.to_string()}});
}

void dump_partition_metadata(std::string_view text, Out& out) {
  const auto topic_id = segments::decode_partition_metadata(text);
  if (!topic_id) return out.damage(0, topic_id.error().message());
  out.item({{"kind", "partitionMetadata"}, {"topicId", topic_id->to_string()}});
}

void dump_quorum_state(std::string_view text, Out& out) {
  Item state = Item::parse(text, nullptr, false);
  if (!state.is_object() || !state.contains("leaderEpoch"))
    return out.damage(0, "this is no quorum state");
  Item item{{"kind", "quorumState"}};
  item.update(state);
  out.item(std::move(item));
}

void dump_clean_shutdown(std::string_view text, Out& out) {
  const auto epoch = segments::decode_clean_shutdown(text);
  if (!epoch) return out.damage(0, "not readable; the stop does not count as clean");
  out.item({{"kind", "cleanShutdown"}, {"brokerEpoch", *epoch}});
}

}  // namespace drave::dump
