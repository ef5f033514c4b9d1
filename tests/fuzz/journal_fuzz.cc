// A journal as a start finds it: scanned, replayed, removed.
//
// Input: a flag byte. Bit 0 clear: the groups that the rest tells of are written as a journal does,
// then bytes of them are changed; what comes back is compared with what was written.
//   changes: a count (modulo 4), and for each a byte of the file, three of the position, a mask
//   then one byte for each step: its low three bits say what, the others of which partition
//     0-2 an append (a byte: its size in sixteens), 3 truncate, 4 log start, 5 remove,
//     6 the group ends, 7 the file ends
// Bit 0 set: bytes as they are, cut into files at "\xffFILE\xff"; each group, which is told without
// its padding, gets the padding; with bit 1 its ids and checksums are made right.
// Bit 2: the first group has number 1000 instead of 1. Bit 3: behind the groups of a file stands
// old content.

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "io/sim/world.h"
#include "segments/journal_format.h"
#include "segments/journal_replay.h"

namespace drave::segments {
namespace {

using Bytes = std::vector<std::uint8_t>;
constexpr std::uint64_t kId = 0x0123'4567'89AB'CDEF;
constexpr std::uint64_t kFirstGeneration = 7;
constexpr const char* kFolder = "/data";

// An entry as it was written, or as it came back; its first offset is its sequence, so that none is
// like another.
struct Written {
  JournalEntryType type = JournalEntryType::append;
  TopicIdPartition partition;
  Offset first_offset = 0;
  Offset end_offset = 0;
  Bytes payload;
  std::size_t group = 0;
  bool operator==(const Written& other) const {
    return type == other.type && partition == other.partition &&
           first_offset == other.first_offset && end_offset == other.end_offset &&
           payload == other.payload;
  }
};

struct WrittenGroup {
  std::size_t file = 0;
  std::size_t position = 0;
  std::size_t size = 0;  // without padding
  bool is_damaged = false;
};

struct Story {
  std::vector<Bytes> files;
  std::vector<WrittenGroup> groups;
  std::vector<Written> entries;
};

void pad(Bytes& bytes) {
  bytes.resize((bytes.size() + kJournalBlock - 1) / kJournalBlock * kJournalBlock);
}

// Writes groups one behind the other.
class Writer {
 public:
  Writer(std::uint8_t flags, Story& story)
      : story_(story), has_old_content_((flags & 8) != 0), number_((flags & 4) != 0 ? 1000 : 1) {
    story_.files.emplace_back();
  }

  void add(Written written) {
    written.first_offset = static_cast<Offset>(sequence_++);
    written.group = story_.groups.size();
    JournalEntry entry{written.type, written.partition, written.first_offset, written.end_offset,
                       written.payload};
    std::uint8_t header[kEntryHeaderSize];
    std::uint8_t crc[4];
    store_big(crc, encode_entry_header(entry, header));
    entries_crc_ = crc32c(crc, entries_crc_);
    body_.insert(body_.end(), header, header + kEntryHeaderSize);
    body_.insert(body_.end(), written.payload.begin(), written.payload.end());
    ++count_;
    story_.entries.push_back(std::move(written));
  }

  void end_group() {
    if (count_ == 0) return;
    GroupHeader header;
    header.journal_id = kId;
    header.generation = kFirstGeneration + story_.files.size() - 1;
    header.number = number_++;
    header.first_sequence = sequence_ - count_;
    header.entry_count = count_;
    header.body_length = static_cast<std::uint32_t>(body_.size());
    header.entries_crc = entries_crc_;
    header.previous_crc = previous_crc_;
    Bytes& file = story_.files.back();
    story_.groups.push_back(
        {story_.files.size() - 1, file.size(), kGroupHeaderSize + body_.size(), false});
    file.resize(file.size() + kGroupHeaderSize);
    previous_crc_ = encode_group_header(header, file.data() + file.size() - kGroupHeaderSize);
    file.insert(file.end(), body_.begin(), body_.end());
    pad(file);
    body_.clear();
    count_ = 0;
    entries_crc_ = 0;
  }

  void end_file() {
    end_group();
    Bytes& file = story_.files.back();
    if (has_old_content_) {
      GroupHeader old;
      old.journal_id = kId;
      old.generation = 1;
      old.number = 3;
      file.resize(file.size() + kGroupHeaderSize);
      encode_group_header(old, file.data() + file.size() - kGroupHeaderSize);
    }
    file.resize(file.size() + 1);  // room that was not used
    pad(file);
  }
  void begin_file() {
    end_group();
    // A file without a group is the newest one, or the very first, too small for the first group.
    const bool has_group =
        !story_.groups.empty() && story_.groups.back().file + 1 == story_.files.size();
    if (!has_group && (number_ != 1 || story_.files.size() != 1)) return;
    end_file();
    story_.files.emplace_back();
  }

 private:
  Story& story_;
  bool has_old_content_;
  std::uint64_t number_;
  JournalSequence sequence_ = 1;
  Bytes body_;
  std::uint32_t count_ = 0;
  std::uint32_t entries_crc_ = 0;
  std::uint32_t previous_crc_ = 0;
};

std::uint8_t take(ByteView& input) {
  if (input.empty()) return 0;
  const std::uint8_t value = input.front();
  input = input.subspan(1);
  return value;
}

void change_bytes(Story& story, ByteView changes) {
  const std::vector<Bytes> before = story.files;
  while (changes.size() >= 5) {
    Bytes& file = story.files[changes[0] % story.files.size()];
    const std::size_t position =
        (std::size_t{changes[1]} << 16 | std::size_t{changes[2]} << 8 | changes[3]) % file.size();
    file[position] ^= changes[4];
    changes = changes.subspan(5);
  }
  for (WrittenGroup& group : story.groups) {
    const auto begin = static_cast<std::ptrdiff_t>(group.position);
    const auto end = begin + static_cast<std::ptrdiff_t>(group.size);
    group.is_damaged =
        !std::equal(before[group.file].begin() + begin, before[group.file].begin() + end,
                    story.files[group.file].begin() + begin);
  }
}

Story write_story(std::uint8_t flags, ByteView input) {
  Story story;
  const std::size_t change_count = take(input) % 4;
  const ByteView changes = input.first(std::min(input.size(), change_count * 5));
  input = input.subspan(changes.size());
  Writer writer(flags, story);
  while (!input.empty()) {
    const std::uint8_t step = take(input);
    const int what = step & 7;
    Written entry;
    entry.partition = {{7, std::uint64_t{1} + (step >> 5)}, (step >> 3) & 3};
    if (what < 3) {
      entry.payload.assign(std::size_t{take(input)} * 16, static_cast<std::uint8_t>(step));
    } else if (what < 6) {
      entry.type = static_cast<JournalEntryType>(what - 1);
    }
    if (what < 6) writer.add(std::move(entry));
    if (what == 6) writer.end_group();
    if (what == 7 && story.files.size() < 8) writer.begin_file();
  }
  writer.end_file();
  change_bytes(story, changes);
  return story;
}

// The groups of a file that is told without padding.
Bytes read_raw(std::uint8_t flags, ByteView input, std::uint64_t generation, std::uint64_t number) {
  Bytes file;
  while (input.size() >= kGroupHeaderSize) {
    const std::size_t body = std::min<std::size_t>(load_big<std::uint32_t>(input.data() + 44),
                                                   input.size() - kGroupHeaderSize);
    Bytes group(input.begin(),
                input.begin() + static_cast<std::ptrdiff_t>(kGroupHeaderSize + body));
    input = input.subspan(group.size());
    if ((flags & 2) != 0) {
      GroupHeader header;
      header.journal_id = kId;
      header.generation = generation;
      header.number = number++;
      header.first_sequence = load_big<std::uint64_t>(group.data() + 32);
      header.body_length = static_cast<std::uint32_t>(body);
      std::size_t at = kGroupHeaderSize;
      while (group.size() - at >= kEntryHeaderSize) {
        std::uint8_t* entry = group.data() + at;
        const std::size_t size = std::min<std::size_t>(load_big<std::uint32_t>(entry + 8),
                                                       group.size() - at - kEntryHeaderSize);
        store_big(entry + 4, crc32c({entry + kEntryHeaderSize, size}));
        store_big(entry + 8, static_cast<std::uint32_t>(size));
        store_big(entry, crc32c({entry + 4, kEntryHeaderSize - 4}));
        header.entries_crc = crc32c({entry, 4}, header.entries_crc);
        ++header.entry_count;
        at += kEntryHeaderSize + size;
      }
      encode_group_header(header, group.data());
    }
    pad(group);
    file.insert(file.end(), group.begin(), group.end());
  }
  file.insert(file.end(), input.begin(), input.end());
  return file;
}

Story read_story(std::uint8_t flags, ByteView input) {
  constexpr std::string_view kSeparator =
      "\xff"
      "FILE\xff";
  Story story;
  while (story.files.size() < 8) {
    const std::size_t cut = std::min(as_text(input).find(kSeparator), input.size());
    story.files.push_back(read_raw(flags, input.first(cut), kFirstGeneration + story.files.size(),
                                   1 + story.files.size() * 16));
    if (cut == input.size()) break;
    input = input.subspan(cut + kSeparator.size());
  }
  return story;
}

struct Target final : ReplayTarget {
  io::Task<Result<void>> replay(JournalEntry entry) override {
    replayed.push_back(written_of(entry));
    co_return Result<void>{};
  }
  io::Task<Result<void>> replay_lost(JournalEntry entry) override {
    lost.push_back(written_of(entry));
    co_return Result<void>{};
  }
  static Written written_of(const JournalEntry& entry) {
    return {entry.type,
            entry.partition,
            entry.first_offset,
            entry.end_offset,
            Bytes(entry.payload.begin(), entry.payload.end()),
            0};
  }
  std::vector<Written> replayed;
  std::vector<Written> lost;
};

struct Outcome {
  ScannedJournals scanned;
  Target target;
  bool ended = false;
};

io::Task<void> start(io::sim::Process& process, Outcome& outcome) {
  auto scanned = co_await scan_journals(process.loop(), kFolder);
  ASSERT(scanned.has_value());
  const auto replayed = co_await replay_journals(process.loop(), *scanned, outcome.target);
  ASSERT(replayed.has_value());
  // A start that ended here would do the same again.
  const auto again = co_await scan_journals(process.loop(), kFolder);
  ASSERT(again.has_value());
  ASSERT_EQUAL(again->entries, scanned->entries);
  Target second;
  ASSERT((co_await replay_journals(process.loop(), *again, second)).has_value());
  ASSERT(second.replayed == outcome.target.replayed);
  ASSERT(second.lost == outcome.target.lost);
  ASSERT((co_await remove_journals(process.loop(), kFolder, *scanned)).has_value());
  const auto after = co_await scan_journals(process.loop(), kFolder);
  ASSERT(after.has_value());
  ASSERT(after->files.empty());
  outcome.scanned = std::move(*scanned);
  outcome.ended = true;
}

void check_any(const Outcome& outcome) {
  const std::size_t told = outcome.target.replayed.size() + outcome.target.lost.size();
  ASSERT_AT_MOST(told, static_cast<std::size_t>(outcome.scanned.entries));
  for (const ScannedFile& file : outcome.scanned.files) {
    std::uint64_t end = 0;
    for (const JournalExtent& extent : file.extents) {
      ASSERT_AT_MOST(end, extent.position);
      ASSERT(extent.length > 0);
      end = extent.position + extent.length;
    }
    ASSERT_AT_MOST(end, file.size);
  }
  for (const Written& entry : outcome.target.replayed)
    ASSERT(entry.type != JournalEntryType::remove);
}

// Which entries of `story` are void because their partition was removed after them, as far as
// `counts` says that the group of the removal is to be believed.
template <class Counts>
std::set<Offset> removed_entries(const Story& story, Counts counts) {
  std::set<TopicIdPartition> removed;
  std::set<Offset> entries;
  for (auto entry = story.entries.rbegin(); entry != story.entries.rend(); ++entry) {
    if (removed.contains(entry->partition)) entries.insert(entry->first_offset);
    if (entry->type == JournalEntryType::remove && counts(story.groups[entry->group]))
      removed.insert(entry->partition);
  }
  return entries;
}

void check_story(const Story& story, const Outcome& outcome) {
  std::size_t valid_end = 0;  // behind the last group that counts
  for (std::size_t i = 0; i < story.groups.size(); ++i)
    if (!story.groups[i].is_damaged) valid_end = i + 1;
  const auto damaged = [](const WrittenGroup& group) { return group.is_damaged; };
  const auto last = story.groups.begin() + static_cast<std::ptrdiff_t>(valid_end);
  const bool is_rotten = std::any_of(story.groups.begin(), last, damaged);
  ASSERT_EQUAL(outcome.scanned.rotten.empty(), !is_rotten);

  // What comes back was written, in the same order; of what was not damaged all comes back.
  const auto void_surely =
      removed_entries(story, [](const auto& group) { return !group.is_damaged; });
  const auto void_perhaps = removed_entries(story, [](const auto&) { return true; });
  std::set<Offset> seen;
  Offset before = 0;
  for (const Written& entry : outcome.target.replayed) {
    ASSERT(entry.first_offset > before);
    before = entry.first_offset;
    ASSERT_AT_MOST(static_cast<std::size_t>(before), story.entries.size());
    const Written& original = story.entries[static_cast<std::size_t>(before - 1)];
    ASSERT(entry == original);
    ASSERT(original.group < valid_end);
    ASSERT(!void_surely.contains(before));
    seen.insert(before);
  }
  for (const Written& entry : outcome.target.lost) {
    ASSERT_AT_MOST(static_cast<std::size_t>(entry.first_offset), story.entries.size());
    const Written& original = story.entries[static_cast<std::size_t>(entry.first_offset - 1)];
    ASSERT(story.groups[original.group].is_damaged);
    ASSERT(entry.partition == original.partition);
    ASSERT(seen.insert(entry.first_offset).second);
  }
  for (const Written& original : story.entries) {
    if (story.groups[original.group].is_damaged || original.type == JournalEntryType::remove)
      continue;
    ASSERT(seen.contains(original.first_offset) || void_perhaps.contains(original.first_offset));
  }
}

void run(std::uint8_t flags, ByteView input) {
  const bool raw = (flags & 1) != 0;
  const Story story = raw ? read_story(flags, input) : write_story(flags, input);
  io::sim::World world(1);
  io::sim::Node& node = world.add_node();
  node.disk().make_directory(kFolder);
  for (std::size_t i = 0; i < story.files.size(); ++i) {
    const JournalFileName name{"journal-0", kId, kFirstGeneration + i};
    node.disk().put(io::join_path(kFolder, journal_file_name(name)), story.files[i]);
  }
  Outcome outcome;
  node.start([&](io::sim::Process& process) { return start(process, outcome); });
  world.run_until([&] { return outcome.ended; }, seconds(3600));
  ASSERT(outcome.ended);
  check_any(outcome);
  if (!raw) check_story(story, outcome);
}

}  // namespace
}  // namespace drave::segments

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || size > (1U << 16)) return 0;
  static const bool quiet = drave::log::set_level("*", "off");
  (void)quiet;
  drave::segments::run(data[0], {data + 1, size - 1});
  return 0;
}
