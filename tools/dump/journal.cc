// Journal files (segments/journal_format.h): groups at blocks of 4 KiB.

#include "segments/journal_format.h"
#include "tools/dump/reader.h"

namespace drave::dump {
namespace {

using segments::JournalEntryType;

std::string_view name_of(JournalEntryType type) {
  switch (type) {
    case JournalEntryType::append: return "append";
    case JournalEntryType::truncate: return "truncate";
    case JournalEntryType::log_start: return "log-start";
    case JournalEntryType::remove: return "remove";
  }
  return "unknown";
}

void dump_entries(const segments::GroupHeader& header, ByteView group, std::uint64_t position,
                  Out& out) {
  segments::EntryCursor entries(group.subspan(segments::kGroupHeaderSize, header.body_length));
  segments::JournalSequence sequence = header.first_sequence;
  while (const auto step = entries.next()) {
    const segments::JournalEntry& entry = step->entry;
    out.item({{"kind", "entry"},
              {"sequence", sequence++},
              {"type", name_of(entry.type)},
              {"topicId", entry.partition.topic_id.to_string()},
              {"partition", entry.partition.partition},
              {"firstOffset", entry.first_offset},
              {"endOffset", entry.end_offset},
              {"payloadSize", entry.payload.size()}});
    if (!step->is_payload_valid) {
      out.damage(position, "the checksum of the payload does not match");
    } else if (out.options.records && entry.type == JournalEntryType::append) {
      const auto at = static_cast<std::uint64_t>(entry.payload.data() - group.data());
      dump_batches(entry.payload, position + at, entry.partition.topic_id == kMetadataTopicId, out);
    }
  }
  if (entries.is_broken()) out.damage(position, "the header of an entry is damaged");
}

}  // namespace

void dump_journal(std::string_view file_name, ByteView bytes, Out& out) {
  const auto name = segments::parse_journal_file_name(file_name);
  if (!name) return out.damage(0, "the name is not that of a journal file");
  out.item({{"kind", "journalFile"},
            {"journal", name->journal},
            {"id", fmt::format("{:016x}", name->id)},
            {"generation", name->generation},
            {"size", bytes.size()}});
  // Behind the last group stands what an earlier generation or the zeroing left there.
  std::uint64_t hole = UINT64_MAX;
  for (std::uint64_t at = 0; at + segments::kGroupHeaderSize <= bytes.size();) {
    const auto header = segments::decode_group_header(bytes.subspan(at));
    const bool ours = header && header->generation == name->generation &&
                      header->journal_id == name->id && header->length() <= bytes.size() - at;
    const ByteView group = ours ? bytes.subspan(at, header->length()) : ByteView();
    const auto checked = ours ? segments::check_group_body(*header, group)
                              : Result<void>(failure(Errc::corrupt, "no group"));
    if (!ours) {
      if (hole == UINT64_MAX) hole = at;
      at += segments::kJournalBlock;
      continue;
    }
    if (hole != UINT64_MAX)
      out.damage(hole, "no valid group stands here, but one of this generation follows");
    hole = UINT64_MAX;
    out.item({{"kind", "group"},
              {"number", header->number},
              {"position", at},
              {"size", header->length()},
              {"firstSequence", header->first_sequence},
              {"entries", header->entry_count},
              {"bodyLength", header->body_length},
              {"valid", checked.has_value()}});
    dump_entries(*header, group, at, out);
    if (!checked) out.damage(at, checked.error().message());
    at += header->length();
  }
}

}  // namespace drave::dump
