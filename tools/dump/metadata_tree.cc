#include "tools/dump/metadata_tree.h"

#include <algorithm>
#include <variant>

#include "metadata/image_records.h"
#include "metadata/loader.h"
#include "protocol/record_batch.h"
#include "segments/journal_format.h"
#include "tools/dump/reader.h"

namespace drave::dump {

// --- Files

void MetadataFiles::add_snapshot(OffsetAndEpoch id, std::vector<std::uint8_t> bytes) {
  if (id < snapshot_id_) return;
  snapshot_id_ = id;
  snapshot_ = std::move(bytes);
}

void MetadataFiles::add_batches(ByteView bytes) {
  protocol::BatchIterator batches(bytes);
  while (const auto batch = batches.next()) {
    if (!batch->crc_matches()) return;
    const ByteView whole =
        bytes.subspan(batches.position() - batch->size_bytes(), batch->size_bytes());
    batches_[batch->base_offset()].assign(whole.begin(), whole.end());
  }
}

void MetadataFiles::add_segment(ByteView bytes) {
  add_batches(bytes);
}

void MetadataFiles::add_journal(std::string_view file_name, ByteView bytes) {
  using segments::JournalEntryType;
  const auto name = segments::parse_journal_file_name(file_name);
  if (!name) return;
  for (std::size_t at = 0; at + segments::kGroupHeaderSize <= bytes.size();) {
    const auto header = segments::decode_group_header(bytes.subspan(at));
    if (!header || header->generation != name->generation || header->journal_id != name->id ||
        header->length() > bytes.size() - at) {
      at += segments::kJournalBlock;
      continue;
    }
    const ByteView group = bytes.subspan(at, header->length());
    segments::EntryCursor entries(group.subspan(segments::kGroupHeaderSize, header->body_length));
    while (const auto step = entries.next()) {
      const segments::JournalEntry& entry = step->entry;
      if (entry.partition != TopicIdPartition{kMetadataTopicId, 0} || !step->is_payload_valid)
        continue;
      // What comes later stands in place of what was there. A truncated log ends where the entry
      // ends; it begins where the entry begins.
      if (entry.type == JournalEntryType::append)
        batches_.erase(batches_.lower_bound(entry.first_offset), batches_.end());
      if (entry.type == JournalEntryType::truncate)
        batches_.erase(batches_.lower_bound(entry.end_offset), batches_.end());
      if (entry.type == JournalEntryType::append) add_batches(entry.payload);
    }
    at += header->length();
  }
}

Result<metadata::ImagePtr> MetadataFiles::load() const {
  if (snapshot_.empty() && batches_.empty())
    return failure(Errc::not_found, "neither a snapshot nor a log of metadata is there");
  metadata::Loader loader;
  Offset next = batches_.empty() ? 0 : batches_.begin()->first;
  if (!snapshot_.empty()) {
    TRY_VOID(loader.load_snapshot(snapshot_, snapshot_id_));
    next = snapshot_id_.offset;
  }
  for (const auto& [base, bytes] : batches_) {
    const auto batch = protocol::parse_batch(bytes);
    if (!batch || batch->last_offset() < next) continue;
    if (base > next)
      return failure(Errc::corrupt, fmt::format("offsets {} to {} are missing", next, base - 1));
    TRY_VOID(loader.apply(*batch));
    next = batch->last_offset() + 1;
  }
  return loader.image();
}

// --- Tree

namespace {

using protocol::MetadataRecord;

// A record's own fields, as JSON.
Item fields_of(ByteView value) {
  Item item = metadata_value(value);
  return item.contains("data") ? std::move(item["data"]) : std::move(item);
}

class Builder {
 public:
  explicit Builder(Item& tree) : tree_(tree) {}

  void add(const MetadataRecord& record, ByteView value) {
    std::visit([this, value](const auto& each) { on(each, fields_of(value)); }, record);
  }

 private:
  void on(const protocol::FeatureLevelRecord& record, Item) {
    tree_["features"][std::string(record.name)] = record.feature_level;
  }
  void on(const protocol::RegisterBrokerRecord& record, Item fields) {
    tree_["cluster"]["brokers"][std::to_string(record.broker_id)] = std::move(fields);
  }
  void on(const protocol::RegisterControllerRecord& record, Item fields) {
    tree_["cluster"]["controllers"][std::to_string(record.controller_id)] = std::move(fields);
  }
  void on(const protocol::TopicRecord& record, Item) {
    topic_ = std::string(record.name);
    const std::string id = record.topic_id.to_string();
    tree_["topics"]["byName"][topic_] = {{"id", id}, {"name", topic_}};
    tree_["topics"]["byId"][id] = {{"id", id}, {"name", topic_}};
  }
  // Records of partitions follow that of their topic.
  void on(const protocol::PartitionRecord& record, Item fields) {
    const std::string index = std::to_string(record.partition_id);
    tree_["topics"]["byName"][topic_][index] = fields;
    tree_["topics"]["byId"][record.topic_id.to_string()][index] = std::move(fields);
  }
  void on(const protocol::ConfigRecord& record, Item) {
    const std::string resource =
        fmt::format("{}:{}", type_name(record.resource_type), record.resource_name);
    tree_["configs"][resource][std::string(record.name)] = record.value.value_or("");
  }
  void on(const protocol::ClientQuotaRecord& record, Item fields) {
    std::string entity;
    for (const auto& part : record.entity) {
      entity += fmt::format("{}{}({})", entity.empty() ? "" : ",", part.entity_type,
                            part.entity_name.value_or("<default>"));
    }
    tree_["clientQuotas"][entity][std::string(record.key)] = fields.value("value", Item());
  }
  void on(const protocol::ProducerIdsRecord& record, Item) {
    tree_["producerIds"]["nextProducerId"] = record.next_producer_id;
  }
  void on(const protocol::AccessControlEntryRecord& record, Item fields) {
    tree_["acls"]["byId"][record.id.to_string()] = std::move(fields);
  }
  void on(const protocol::UserScramCredentialRecord& record, Item fields) {
    const std::string mechanism = record.mechanism == 1 ? "SCRAM-SHA-256" : "SCRAM-SHA-512";
    for (const char* secret : {"salt", "storedKey", "serverKey"})
      if (fields.contains(secret)) fields[secret] = "(hidden)";
    tree_["scram"][mechanism][std::string(record.name)] = std::move(fields);
  }
  void on(const protocol::DelegationTokenRecord& record, Item fields) {
    tree_["delegationToken"][std::string(record.token_id)] = std::move(fields);
  }
  // Changes and marks: an image's records have none.
  template <class Record>
  void on(const Record&, Item) {}

  static std::string type_name(std::int8_t type) {
    switch (static_cast<metadata::ConfigResourceType>(type)) {
      case metadata::ConfigResourceType::topic: return "TOPIC";
      case metadata::ConfigResourceType::broker: return "BROKER";
      case metadata::ConfigResourceType::broker_logger: return "BROKER_LOGGER";
      case metadata::ConfigResourceType::client_metrics: return "CLIENT_METRICS";
      case metadata::ConfigResourceType::group: return "GROUP";
      case metadata::ConfigResourceType::unknown: break;
    }
    return "UNKNOWN";
  }

  Item& tree_;
  std::string topic_;
};

void add_voters(const metadata::Image& image, Item& tree) {
  for (const metadata::VoterImage& voter : image.voters()) {
    Item endpoints = Item::array();
    for (const metadata::BrokerEndpoint& endpoint : voter.endpoints)
      endpoints.push_back(fmt::format("{}://{}:{}", endpoint.name, endpoint.host, endpoint.port));
    tree["voters"][std::to_string(voter.id)] = {{"directoryId", voter.directory_id.to_string()},
                                                {"endpoints", endpoints},
                                                {"kraftVersionMin", voter.kraft_version.min},
                                                {"kraftVersionMax", voter.kraft_version.max}};
  }
}

}  // namespace

Item metadata_tree(const metadata::Image& image) {
  Item tree = Item::object();
  for (const char* folder : {"acls", "clientQuotas", "cluster", "configs", "delegationToken",
                             "features", "log", "producerIds", "scram", "topics", "voters"})
    tree[folder] = Item::object();
  Builder builder(tree);
  const metadata::RecordList records = metadata::image_records(image);
  for (std::size_t index = 0; index < records.size(); ++index) {
    const auto decoded = protocol::decode_metadata_record(records[index]);
    if (decoded) builder.add(decoded->record, records[index]);
  }
  if (const std::int16_t version = image.feature("kraft.version"); version > 0)
    tree["features"]["kraft.version"] = version;
  add_voters(image, tree);
  tree["log"] = {{"endOffset", image.last_contained().offset + 1},
                 {"epoch", image.last_contained().epoch},
                 {"timestamp", image.last_contained_timestamp()}};
  return tree;
}

std::string path_part(std::string_view name) {
  std::string part;
  for (const char letter : name) {
    if (letter == '/')
      part += "%2F";
    else
      part += letter;
  }
  return part;
}

const Item* find_node(const Item& tree, std::string_view path) {
  const Item* node = &tree;
  while (!path.empty()) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    const std::string_view part = path.substr(0, slash);
    path.remove_prefix(std::min(slash + 1, path.size()));
    if (part.empty() || part == ".") continue;
    if (!node->is_object()) return nullptr;
    const Item* below = nullptr;
    for (const auto& [name, value] : node->items())
      if (path_part(name) == part) below = &value;
    if (below == nullptr) return nullptr;
    node = below;
  }
  return node;
}

}  // namespace drave::dump
