#include "segments/journal_replay.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/canary.h"
#include "base/log.h"
#include "base/units.h"
#include "io/file.h"
#include "segments/journal_reader.h"

namespace drave::segments {
namespace {

constexpr std::uint64_t kCopyBytes = 256 * kKiB;

// Takes note of what one journal's entries mean for their partitions.
void note_entry(ScannedJournals& scanned, const JournalEntry& entry, JournalSequence sequence) {
  ++scanned.entries;
  if (entry.type == JournalEntryType::remove && DRAVE_CANARY("deleted-topic-replayed")) return;
  ScannedPartition& partition = scanned.partitions[entry.partition];
  if (entry.type == JournalEntryType::remove) {
    partition.append_first.reset();
    partition.log_start = 0;
    partition.removed_at = sequence;
    partition.is_removed = true;
    return;
  }
  partition.is_removed = false;
  if (entry.type != JournalEntryType::append)
    partition.log_start = std::max(partition.log_start, entry.first_offset);
  if (entry.type == JournalEntryType::append)
    partition.append_first =
        std::min(partition.append_first.value_or(entry.first_offset), entry.first_offset);
}

// One pass over the entries of a group that is valid, or of one of which only the header is: `seen`
// is called with (entry, sequence, is_payload_valid).
template <class Seen>
void for_each_entry(const GroupHeader& header, ByteView group, Seen seen) {
  const std::size_t body =
      std::min<std::size_t>(header.body_length, group.size() - kGroupHeaderSize);
  EntryCursor cursor(group.subspan(kGroupHeaderSize, body));
  for (JournalSequence sequence = header.first_sequence; auto step = cursor.next(); ++sequence)
    seen(step->entry, sequence, step->is_payload_valid);
}

// The state of a scan that runs on from file to file of one journal.
struct Chain {
  JournalFileName journal;
  std::uint64_t last_number = 0;
  std::uint32_t last_crc = 0;
  std::string last_path;
  std::uint64_t last_end = 0;
  ScannedFile* without_groups = nullptr;  // before the first group that counts
};

class Scanner {
 public:
  Scanner(io::Loop& loop, ScannedJournals& into) : loop_(loop), scanned_(into) {}

  io::Task<Result<void>> scan(ScannedFile& file) {
    if (file.name.journal != chain_.journal.journal || file.name.id != chain_.journal.id)
      chain_ = {.journal = file.name};
    CO_TRY(auto reader, co_await JournalReader::open(loop_, file.path, file.name));
    file.size = reader->size();
    auto outcome = co_await scan_groups(file, *reader);
    // Replay acts on what was read, and the next start must find the same reasons.
    if (outcome && !file.extents.empty()) outcome = co_await reader->sync();
    if (file.extents.empty() && chain_.last_number == 0) chain_.without_groups = &file;
    auto closed = co_await reader->close();
    co_return outcome ? std::move(closed) : std::move(outcome);
  }

 private:
  io::Task<Result<void>> scan_groups(ScannedFile& file, JournalReader& reader) {
    std::uint64_t position = 0;
    while (position < reader.size()) {
      auto group = co_await reader.group(position);
      if (group) {
        take(file, position, *group);
        position += group->header.length();
        continue;
      }
      if (!is_damage(group.error())) co_return std::unexpected(std::move(group).error());
      CO_TRY(const std::uint64_t next,
             co_await reader.find_group(position, chain_.last_number + 1));
      if (next == reader.size()) {
        const auto torn = co_await reader.header(position);
        if (torn) scanned_.torn_bytes += static_cast<std::int64_t>(torn->length());
        break;
      }
      note_rot(file, position, group.error().context);
      file.extents.push_back({position, next - position, true});
      CO_TRY_VOID(co_await note_damaged(reader, position, next));
      chain_.last_number = 0;  // the hole has been told of
      position = next;
    }
    co_return Result<void>{};
  }

  void take(ScannedFile& file, std::uint64_t position, const JournalReader::Group& group) {
    const GroupHeader& header = group.header;
    if (chain_.last_number != 0 &&
        (header.number != chain_.last_number + 1 || header.previous_crc != chain_.last_crc)) {
      // The end of the file before was durable: this group says so.
      note_rot(file, position,
               fmt::format("groups after {} in {} at position {} are missing or changed",
                           chain_.last_number, chain_.last_path, chain_.last_end));
    }
    // A group moves on to the next file when its own has groups, but for the very first group.
    if (ScannedFile* const before = std::exchange(chain_.without_groups, nullptr);
        before != nullptr && header.number > 1) {
      note_rot(*before, 0, fmt::format("no group counts before group {}", header.number));
    }
    if (!file.extents.empty() && !file.extents.back().is_damaged) {
      file.extents.back().length += header.length();
    } else {
      file.extents.push_back({position, header.length(), false});
    }
    chain_.last_number = header.number;
    chain_.last_crc = header.header_crc;
    chain_.last_path = file.path;
    chain_.last_end = position + header.length();
    ++scanned_.groups;
    for_each_entry(header, group.bytes,
                   [this](const JournalEntry& entry, JournalSequence sequence, bool) {
                     note_entry(scanned_, entry, sequence);
                   });
  }

  void note_rot(ScannedFile& file, std::uint64_t position, const std::string& what) {
    file.is_kept = true;
    scanned_.rotten.push_back(
        Error{Errc::corrupt, 0, fmt::format("{} position {}: {}", file.path, position, what)});
  }

  io::Task<Result<void>> note_damaged(JournalReader& reader, std::uint64_t position,
                                      std::uint64_t end) {
    while (position < end) {
      auto header = co_await reader.header(position);
      if (!header) {
        position += kJournalBlock;
        continue;
      }
      const std::uint64_t length = std::min(header->length(), end - position);
      CO_TRY(const ByteView bytes, co_await reader.bytes(position, length));
      for_each_entry(*header, bytes,
                     [this](const JournalEntry& entry, JournalSequence sequence, bool) {
                       note_entry(scanned_, entry, sequence);
                     });
      position += length;
    }
    co_return Result<void>{};
  }

  io::Loop& loop_;
  ScannedJournals& scanned_;
  Chain chain_;
};

bool are_of_one_journal(const ScannedFile& a, const ScannedFile& b) {
  return a.name.journal == b.name.journal && a.name.id == b.name.id;
}

// Whether the group that was written last to a journal's file may stand in the page cache alone:
// after a sync that failed the cache shows it, and no later sync writes it.
io::Task<Result<bool>> is_cached(io::Loop& loop, const ScannedFile& file) {
  auto opened = co_await io::File::open(loop, file.path, {.direct = true});
  if (!opened && opened.error().system == EINVAL) co_return true;
  if (!opened) co_return std::unexpected(std::move(opened).error());
  CO_TRY_VOID(co_await opened->close());
  co_return false;
}

io::Task<Result<void>> copy(io::Loop& loop, const ScannedFile& file, std::string to) {
  CO_TRY(auto reader, co_await JournalReader::open(loop, file.path, file.name));
  const std::uint64_t end = file.extents.back().position + file.extents.back().length;
  CO_TRY(io::File copied,
         co_await io::File::open(loop, std::move(to),
                                 {.write = true, .create = true, .truncate = true}));
  for (std::uint64_t at = 0; at < end;) {
    CO_TRY(const ByteView bytes,
           co_await reader->bytes(at, std::min<std::uint64_t>(kCopyBytes, end - at)));
    CO_TRY_VOID(co_await copied.write(at, bytes));
    at += bytes.size();
  }
  CO_TRY_VOID(co_await copied.sync());
  CO_TRY_VOID(co_await copied.close());
  co_return co_await reader->close();
}

// What was read of the file is on the disk on return, by a copy that takes its place: writing in
// its own place would put at risk what is there.
io::Task<Result<void>> write_anew(io::Loop& loop, const std::string& directory,
                                  const ScannedFile& file, std::string path) {
  auto copied = co_await copy(loop, file, path);
  if (!copied) {
    [[maybe_unused]] auto ignored = co_await io::unlink(loop, path);
    if (copied.error().code != Errc::no_space) co_return copied;
    LOG_WARN("journal", "{}: no space to write it anew", file.path);
    co_return Result<void>{};
  }
  CO_TRY_VOID(co_await io::rename(loop, path, file.path));
  co_return co_await io::sync_directory(loop, directory);
}

// Hands the entries of one file to the target.
io::Task<Result<void>> replay_extent(JournalReader& reader, const JournalExtent& extent,
                                     const ScannedJournals& scanned, ReplayTarget& target) {
  std::uint64_t position = extent.position;
  const std::uint64_t end = extent.position + extent.length;
  while (position < end) {
    auto header = co_await reader.header(position);
    if (!header) {
      if (!extent.is_damaged) co_return std::unexpected(std::move(header).error());
      position += kJournalBlock;
      continue;
    }
    const std::uint64_t length = std::min(header->length(), end - position);
    CO_TRY(const ByteView bytes, co_await reader.bytes(position, length));
    // Entries point into the reader's window, which stays as it is until the next call to it.
    const std::size_t body =
        std::min<std::size_t>(header->body_length, bytes.size() - kGroupHeaderSize);
    EntryCursor cursor(bytes.subspan(kGroupHeaderSize, body));
    for (JournalSequence sequence = header->first_sequence; auto step = cursor.next(); ++sequence) {
      const auto partition = scanned.partitions.find(step->entry.partition);
      if (step->entry.type == JournalEntryType::remove) continue;
      if (partition != scanned.partitions.end() && sequence <= partition->second.removed_at)
        continue;
      if (step->entry.type == JournalEntryType::truncate &&
          DRAVE_CANARY("replay-resurrects-truncated"))
        continue;
      if (step->is_payload_valid || DRAVE_CANARY("torn-taken-for-valid")) {
        CO_TRY_VOID(co_await target.replay(step->entry));
      } else {
        CO_TRY_VOID(co_await target.replay_lost(step->entry));
      }
    }
    position += length;
  }
  co_return Result<void>{};
}

io::Task<Result<void>> replay_file(io::Loop& loop, const ScannedFile& file,
                                   const ScannedJournals& scanned, ReplayTarget& target) {
  CO_TRY(auto reader, co_await JournalReader::open(loop, file.path, file.name));
  Result<void> outcome;
  for (std::size_t i = 0; outcome && i < file.extents.size(); ++i)
    outcome = co_await replay_extent(*reader, file.extents[i], scanned, target);
  auto closed = co_await reader->close();
  co_return outcome ? std::move(closed) : std::move(outcome);
}

}  // namespace

io::Task<Result<ScannedJournals>> scan_journals(io::Loop& loop, std::string directory) {
  ScannedJournals scanned;
  CO_TRY(const auto entries, co_await io::list_directory(loop, directory));
  for (const io::DirectoryEntry& entry : entries) {
    if (entry.is_directory) continue;
    if (is_preparing_file_name(entry.name))
      scanned.leftovers.push_back(io::join_path(directory, entry.name));
    if (auto name = parse_journal_file_name(entry.name))
      scanned.files.push_back(
          {io::join_path(directory, entry.name), std::move(*name), 0, {}, false});
  }
  std::sort(scanned.files.begin(), scanned.files.end(),
            [](const ScannedFile& a, const ScannedFile& b) { return a.name < b.name; });
  Scanner scanner(loop, scanned);
  for (std::size_t i = 0; i < scanned.files.size(); ++i)
    CO_TRY_VOID(co_await scanner.scan(scanned.files[i]));
  const ScannedFile* newest = nullptr;
  for (std::size_t i = scanned.files.size(); i-- > 0;) {
    const ScannedFile& file = scanned.files[i];
    if (file.extents.empty() || (newest != nullptr && are_of_one_journal(*newest, file))) continue;
    newest = &file;
    CO_TRY(const bool cached, co_await is_cached(loop, file));
    if (!cached) continue;
    const std::string copy_path =
        io::join_path(directory, preparing_file_name(file.name.journal, 0));
    std::erase(scanned.leftovers, copy_path);
    CO_TRY_VOID(co_await write_anew(loop, directory, file, copy_path));
  }
  co_return scanned;
}

io::Task<Result<void>> replay_journals(io::Loop& loop, const ScannedJournals& scanned,
                                       ReplayTarget& target) {
  for (std::size_t i = 0; i < scanned.files.size(); ++i)
    if (!scanned.files[i].extents.empty())
      CO_TRY_VOID(co_await replay_file(loop, scanned.files[i], scanned, target));
  co_return Result<void>{};
}

io::Task<Result<void>> remove_journals(io::Loop& loop, const std::string& directory,
                                       const ScannedJournals& scanned) {
  // First what holds nothing: between files with groups it is told from lost groups by those before
  // it. Of the others each must be gone for good before a newer one goes.
  std::vector<std::string> empty = scanned.leftovers;
  for (const ScannedFile& file : scanned.files)
    if (file.extents.empty() && !file.is_kept) empty.push_back(file.path);
  for (std::size_t i = 0; i < empty.size(); ++i) CO_TRY_VOID(co_await io::unlink(loop, empty[i]));
  if (!empty.empty()) CO_TRY_VOID(co_await io::sync_directory(loop, directory));
  for (std::size_t i = 0; i < scanned.files.size(); ++i) {
    const ScannedFile& file = scanned.files[i];
    if (file.extents.empty() && !file.is_kept) continue;
    if (file.is_kept) {
      std::string kept = file.path.substr(0, file.path.size() - kJournalSuffix.size());
      kept += kRottenSuffix;
      LOG_ERROR("journal", "not all of it could be replayed; the file is kept as {}", kept);
      CO_TRY_VOID(co_await io::rename(loop, file.path, std::move(kept)));
    } else {
      CO_TRY_VOID(co_await io::unlink(loop, file.path));
    }
    CO_TRY_VOID(co_await io::sync_directory(loop, directory));
  }
  co_return Result<void>{};
}

}  // namespace drave::segments
