// The small files of a log directory, the snapshots of the metadata log, and a node that starts on
// a directory of which one file is the input.
//
// The low five bits of the first byte choose the reader (`Choice`); bit 7 mends offsets and CRCs of
// what looks like batches.

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/assert.h"
#include "base/log.h"
#include "io/sim/world.h"
#include "metadata/image_records.h"
#include "metadata/loader.h"
#include "protocol/messages/create_topics.h"
#include "protocol/record_batch.h"
#include "raftlog/quorum_state.h"
#include "raftlog/snapshot.h"
#include "segments/journal_format.h"
#include "segments/leader_epoch_cache.h"
#include "segments/meta_properties.h"
#include "segments/offset_checkpoint.h"
#include "segments/partition_metadata.h"
#include "tests/broker/support/kafka_client.h"
#include "tools/sim/sim_node.h"

namespace drave {
namespace {

using Bytes = std::vector<std::uint8_t>;

// Choices from this on are files of a node's directory, in the order of kNodeFiles.
constexpr int kFirstNodeFile = 9;
enum Choice : std::uint8_t {
  kLeaderEpochs = 0,
  kOffsets = 1,
  kPartitionMetadata = 2,
  kMetaProperties = 3,
  kCleanShutdown = 4,
  kQuorumState = 5,
  kSnapshot = 6,
  kMetadataBatches = 7,
  kNames = 8,
};

constexpr const char* kNodeFiles[] = {
    "meta.properties",
    "bootstrap.checkpoint",
    "recovery-point-offset-checkpoint",
    "log-start-offset-checkpoint",
    "replication-offset-checkpoint",
    ".kafka_cleanshutdown",
    "topic-0/leader-epoch-checkpoint",
    "topic-0/partition.metadata",
    "__cluster_metadata-0/quorum-state",
    "__cluster_metadata-0/leader-epoch-checkpoint",
    "__cluster_metadata-0/partition.metadata",
    "__cluster_metadata-0/00000000000000000000.log",
    "__cluster_metadata-0/00000000000000000000-0000000000.checkpoint",
    "__cluster_metadata-0/00000000000000000010-0000000001.checkpoint",
};

void read_text(std::uint8_t choice, std::string_view text) {
  switch (choice) {
    case kLeaderEpochs:
      if (const auto epochs = segments::LeaderEpochCache::decode(text)) {
        ASSERT(segments::LeaderEpochCache::decode(epochs->encode())->entries() ==
               epochs->entries());
      }
      break;
    case kOffsets:
      if (const auto offsets = segments::decode_offset_checkpoint(text)) {
        ASSERT(*segments::decode_offset_checkpoint(segments::encode_offset_checkpoint(*offsets)) ==
               *offsets);
      }
      break;
    case kPartitionMetadata:
      if (const auto id = segments::decode_partition_metadata(text)) {
        ASSERT(*segments::decode_partition_metadata(segments::encode_partition_metadata(*id)) ==
               *id);
      }
      break;
    case kMetaProperties:
      if (const auto meta = segments::decode_meta_properties(text)) {
        const auto again =
            segments::decode_meta_properties(segments::encode_meta_properties(*meta, 0));
        ASSERT(again.has_value());
        ASSERT_EQUAL(again->node_id, meta->node_id);
        ASSERT(again->cluster_id == meta->cluster_id);
        ASSERT(again->directory_id == meta->directory_id);
      }
      break;
    case kCleanShutdown:
      if (const auto epoch = segments::decode_clean_shutdown(text)) {
        ASSERT(segments::decode_clean_shutdown(segments::encode_clean_shutdown(*epoch)) == epoch);
      }
      break;
    default:
      if (const auto state = raft::parse_quorum_state(text)) {
        ASSERT(*raft::parse_quorum_state(raft::print_quorum_state(*state, 1, {})) == *state);
      }
  }
}

void read_name(std::string_view name) {
  if (const auto id = raft::parse_snapshot_name(name)) ASSERT(raft::snapshot_name(*id) == name);
  if (const auto file = segments::parse_journal_file_name(name)) {
    const auto again = segments::parse_journal_file_name(segments::journal_file_name(*file));
    ASSERT(again == file);
  }
  const auto directory = segments::parse_partition_directory(name);
  if (directory.kind == segments::DirectoryKind::partition) {
    const auto again = segments::parse_partition_directory(
        segments::partition_directory_name(directory.topic, directory.partition));
    ASSERT(again.kind == directory.kind);
    ASSERT(again.topic == directory.topic);
    ASSERT_EQUAL(again.partition, directory.partition);
  }
}

// Makes what looks like batches begin where the one before ended, with the right CRC.
void mend(Bytes& bytes) {
  std::size_t at = 0;
  Offset next = 0;
  while (at < bytes.size()) {
    const auto peek = protocol::peek_batch(ByteView(bytes).subspan(at));
    if (peek.status != protocol::BatchPeek::Status::whole) return;
    const MutableByteView batch = MutableByteView(bytes).subspan(at, peek.size);
    if (peek.magic == protocol::kBatchMagic && peek.size >= protocol::kBatchHeaderSize) {
      protocol::BatchHeader header = protocol::BatchHeader::read(batch.data());
      header.base_offset = next;
      next += std::max(header.last_offset_delta, 0) + 1;
      header.write(batch.data());
      protocol::set_batch_crc(batch);
    }
    at += peek.size;
  }
}

Bytes snapshot_of(const metadata::ImagePtr& image) {
  raft::SnapshotBuilder builder(1, 0, 0, {}, 0);
  const metadata::RecordList records = metadata::image_records(*image);
  for (std::size_t i = 0; i < records.size(); ++i) builder.add(records[i]);
  return std::move(builder).finish();
}

// Whatever image came of bytes, a snapshot of it makes the same again.
void check_image(const metadata::ImagePtr& image) {
  const Bytes snapshot = snapshot_of(image);
  ASSERT(raft::check_snapshot(snapshot).has_value());
  metadata::Loader loader;
  const auto loaded = loader.load_snapshot(snapshot, {100, 1});
  ASSERT(loaded.has_value());
  ASSERT(snapshot_of(loader.image()) == snapshot);
}

void read_snapshot(ByteView bytes) {
  if (!raft::check_snapshot(bytes)) return;
  metadata::Loader loader;
  if (loader.load_snapshot(bytes, {100, 1})) check_image(loader.image());
}

void read_metadata_batches(ByteView bytes) {
  metadata::Loader loader;
  protocol::BatchIterator batches(bytes);
  while (const auto batch = batches.next()) {
    if (batch->is_legacy() || !batch->crc_matches()) continue;
    const metadata::ImagePtr before = loader.image();
    if (!loader.apply(*batch)) ASSERT(loader.image() == before);
  }
  check_image(loader.image());
}

// --- A node on a directory

io::Task<void> make_topic(io::Loop& loop, std::string host) {
  test::KafkaClient client(loop);
  ASSERT((co_await client.connect({host, 9092})).has_value());
  protocol::CreateTopicsRequest request;
  request.timeout_ms = 10'000;
  auto& topic = request.topics.emplace_back();
  topic.name = "topic";
  topic.num_partitions = 1;
  topic.replication_factor = 1;
  const auto answer = co_await client.call<protocol::CreateTopicsResponse>(request, 7);
  ASSERT(answer.has_value());
  ASSERT(answer->message.topics.at(0).error_code == 0);
  co_await client.close();
}

// Runs a node until it is ready or has given up, then stops it. What it said against the start.
std::string start_and_stop(io::sim::World& world, io::sim::Node& server, io::sim::Node* client) {
  simulation::SimNode node(server, simulation::config_for(server, {"num.partitions=1"}));
  node.start(1);
  ASSERT(world.run_until([&] { return node.is_ready() || !server.is_running(); }, seconds(600)));
  if (client != nullptr) {
    ASSERT(node.is_ready());
    client->start(
        [&](io::sim::Process& process) { return make_topic(process.loop(0), server.host()); }, 1);
    ASSERT(world.run_until([&] { return !client->is_running(); }, seconds(600)));
  }
  server.stop();
  ASSERT(world.run_until([&] { return !server.is_running(); }, seconds(600)));
  return node.problem();
}

using Files = std::map<std::string, Bytes>;

Files make_directory() {
  io::sim::World world(1);
  io::sim::Node& server = world.add_node();
  io::sim::Node& client = world.add_node();
  ASSERT(start_and_stop(world, server, &client).empty());
  Files files;
  for (const std::string& path : server.disk().files_below("/data"))
    files[path] = server.disk().content(path);
  return files;
}

void start_node(const std::string& name, ByteView bytes) {
  static const Files whole = make_directory();
  io::sim::World world(1);
  io::sim::Node& server = world.add_node();
  for (const auto& [path, content] : whole) server.disk().put(path, content);
  server.disk().put("/data/" + name, bytes);
  // Without the mark of a clean stop more of the files count.
  if (!bytes.empty() && (bytes.back() & 1) != 0 && name != ".kafka_cleanshutdown")
    server.disk().remove("/data/.kafka_cleanshutdown");
  const std::string problem = start_and_stop(world, server, nullptr);
  // What was opened and stopped is whole: it opens again.
  if (problem.empty()) ASSERT(start_and_stop(world, server, nullptr).empty());
}

void run(std::uint8_t flags, ByteView input) {
  Bytes bytes(input.begin(), input.end());
  const std::uint8_t choice = flags & 0x1f;
  if ((flags & 0x80) != 0) mend(bytes);
  if (choice < kSnapshot) {
    read_text(choice, as_text(bytes));
  } else if (choice == kSnapshot) {
    read_snapshot(bytes);
  } else if (choice == kMetadataBatches) {
    read_metadata_batches(bytes);
  } else if (choice == kNames) {
    read_name(as_text(bytes));
  } else if (choice - kFirstNodeFile < static_cast<int>(std::size(kNodeFiles))) {
    start_node(kNodeFiles[choice - kFirstNodeFile], bytes);
  }
}

}  // namespace
}  // namespace drave

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || size > (1U << 16)) return 0;
  static const bool quiet = drave::log::set_level("*", "off");
  (void)quiet;
  drave::run(data[0], {data + 1, size - 1});
  return 0;
}
