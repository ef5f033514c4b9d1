#pragma once
// Reads the files of a log directory, Kafka's and ours, one item at a time: batches and records,
// index entries, producers, journal groups. Nothing is written, no node need run, and a running one
// is not disturbed. Pure: bytes in, items out.

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace drave::dump {

using Item = nlohmann::ordered_json;  // an object; its "kind" says what it is

// Kafka's name of a file and what its path tells about its content.
enum class FileKind : std::uint8_t {
  log,                 // .log, and those that are about to be deleted
  metadata_log,        // the same below __cluster_metadata-0, and .checkpoint
  offset_index,        // .index
  time_index,          // .timeindex
  transaction_index,   // .txnindex
  producer_snapshot,   // .snapshot
  journal,             // .journal, .journal-rotten
  leader_epochs,       // leader-epoch-checkpoint
  offset_checkpoint,   // recovery-point-, log-start-, replication-offset-checkpoint
  meta_properties,     // meta.properties
  partition_metadata,  // partition.metadata
  quorum_state,        // quorum-state
  clean_shutdown,      // .kafka_cleanshutdown
  unknown,
};
FileKind kind_of(std::string_view path);

struct Options {
  bool records = false;  // each record of each batch, not only the batches
  bool values = false;   // with their keys and values
  // Damage does not end the reading of a log; the next valid batch is looked for.
  bool go_on = true;
};

// What a file's bytes are read with: the path gives kind and base offset.
using Sink = std::function<void(Item item)>;

// Hands each item to `sink` in the order of the file. Damage is an item of kind "damage" with the
// position and the reason. An incomplete batch at the end of a log, as a crash or a node that is
// writing leaves it, is no damage but an item of kind "torn". Returns how many there were.
// Errc::unsupported: no such kind of file.
Result<std::uint64_t> dump_file(std::string_view path, ByteView bytes, const Options& options,
                                const Sink& sink);

// One line: `kind: name=value name=value`; nested values as JSON.
std::string to_line(const Item& item);

}  // namespace drave::dump
