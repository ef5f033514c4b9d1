#include "tools/dump/dump.h"

#include <algorithm>
#include <charconv>

#include "segments/journal_format.h"
#include "segments/meta_properties.h"
#include "segments/partition_metadata.h"
#include "tools/dump/reader.h"

namespace drave::dump {
namespace {

std::string_view file_name(std::string_view path) {
  return path.substr(path.rfind('/') + 1);
}

// The number with which the names of a partition's files begin; 0 if there is none.
Offset base_offset_of(std::string_view path) {
  const std::string_view name = file_name(path);
  Offset offset = 0;
  std::from_chars(name.data(), name.data() + name.size(), offset);
  return offset;
}

bool is_metadata(std::string_view path) {
  return path.find(std::string(segments::kMetadataTopic) + "-0") != std::string_view::npos;
}

}  // namespace

FileKind kind_of(std::string_view path) {
  std::string_view name = file_name(path);
  for (const std::string_view suffix : {".deleted", ".cleaned", ".swap"}) {
    if (name.ends_with(suffix)) name.remove_suffix(suffix.size());
  }
  if (name.ends_with(".log")) return is_metadata(path) ? FileKind::metadata_log : FileKind::log;
  if (name.ends_with(".checkpoint")) return FileKind::metadata_log;
  if (name.ends_with(".timeindex")) return FileKind::time_index;
  if (name.ends_with(".txnindex")) return FileKind::transaction_index;
  if (name.ends_with(".index")) return FileKind::offset_index;
  if (name.ends_with(".snapshot")) return FileKind::producer_snapshot;
  if (name.ends_with(segments::kJournalSuffix) || name.ends_with(segments::kRottenSuffix))
    return FileKind::journal;
  if (name == "leader-epoch-checkpoint") return FileKind::leader_epochs;
  if (name.ends_with("-offset-checkpoint")) return FileKind::offset_checkpoint;
  if (name == segments::kMetaPropertiesName) return FileKind::meta_properties;
  if (name == segments::kPartitionMetadataName) return FileKind::partition_metadata;
  if (name == "quorum-state") return FileKind::quorum_state;
  if (name == segments::kCleanShutdownName) return FileKind::clean_shutdown;
  return FileKind::unknown;
}

Result<std::uint64_t> dump_file(std::string_view path, ByteView bytes, const Options& options,
                                const Sink& sink) {
  Out out(options, sink);
  const Offset base_offset = base_offset_of(path);
  const std::string_view text = as_text(bytes);
  switch (kind_of(path)) {
    case FileKind::log: dump_batches(bytes, 0, false, out); break;
    case FileKind::metadata_log: dump_batches(bytes, 0, true, out); break;
    case FileKind::offset_index: dump_offset_index(base_offset, bytes, out); break;
    case FileKind::time_index: dump_time_index(base_offset, bytes, out); break;
    case FileKind::transaction_index: dump_transaction_index(base_offset, bytes, out); break;
    case FileKind::producer_snapshot: dump_producer_snapshot(bytes, out); break;
    case FileKind::journal: dump_journal(file_name(path), bytes, out); break;
    case FileKind::leader_epochs: dump_leader_epochs(text, out); break;
    case FileKind::offset_checkpoint: dump_offset_checkpoint(text, out); break;
    case FileKind::meta_properties: dump_meta_properties(text, out); break;
    case FileKind::partition_metadata: dump_partition_metadata(text, out); break;
    case FileKind::quorum_state: dump_quorum_state(text, out); break;
    case FileKind::clean_shutdown: dump_clean_shutdown(text, out); break;
    case FileKind::unknown:
      return failure(Errc::unsupported,
                     fmt::format("{}: no file of a log directory has such a name", path));
  }
  return out.damage_count();
}

std::string to_line(const Item& item) {
  const auto replace = Item::error_handler_t::replace;
  std::string line = item.value("kind", "") + ":";
  for (const auto& [name, value] : item.items()) {
    if (name == "kind") continue;
    line += ' ' + name + '=';
    line += value.is_string() ? value.get<std::string>() : value.dump(-1, ' ', false, replace);
  }
  return line;
}

}  // namespace drave::dump
