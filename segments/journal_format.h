#pragma once
// The bytes of a journal file: groups, each a header and entries, padded to 4 KiB. Pure: no I/O.
// segments/FORMAT.md describes them with a worked example. All integers are big-endian.
//
// Every entry header has a checksum of its own and holds its payload's, so that a rotten payload
// damages one entry only. The group's `entries_crc` runs over the entry headers' checksums, the
// group header's over everything else in it: one pass over the payload makes all of it safe.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/ids.h"
#include "segments/journal.h"

namespace drave::segments {

inline constexpr std::uint64_t kJournalMagic = 0x4452'4156'4A52'4E31ULL;  // "DRAVJRN1"
inline constexpr std::size_t kJournalBlock = 4096;  // groups begin at multiples of it
inline constexpr std::size_t kGroupHeaderSize = 64;
inline constexpr std::size_t kEntryHeaderSize = 56;
// What a reader believes of a group's length before its checksum is known to be right.
inline constexpr std::size_t kGroupLengthMax = std::size_t{1} << 31;

struct GroupHeader {
  std::uint64_t journal_id = 0;        // as in the file's name; drawn when the journal was made
  std::uint64_t generation = 0;        // as in the file's name; another one is old content
  std::uint64_t number = 0;            // 1, 2, 3 ... over all files of the journal
  JournalSequence first_sequence = 0;  // of the first entry; the others follow without gap
  std::uint32_t entry_count = 0;
  std::uint32_t body_length = 0;   // bytes of all entries, without padding
  std::uint32_t entries_crc = 0;   // over the header_crc fields of all entries
  std::uint32_t previous_crc = 0;  // header_crc of the group with the previous number; 0: none
  std::uint32_t header_crc = 0;    // over the 60 bytes before it

  // With padding.
  std::uint64_t length() const { return group_length(body_length); }
  static std::uint64_t group_length(std::uint64_t body_length) {
    return (kGroupHeaderSize + body_length + kJournalBlock - 1) / kJournalBlock * kJournalBlock;
  }
};

// Writes the header, with its header_crc computed, and returns that.
std::uint32_t encode_group_header(const GroupHeader& header, std::uint8_t* at);
// Errc::torn if there are too few bytes, Errc::corrupt if magic, checksum or a length is wrong.
Result<GroupHeader> decode_group_header(ByteView bytes);

struct EntryHeader {
  std::uint32_t header_crc = 0;   // over the 52 bytes after it
  std::uint32_t payload_crc = 0;  // of the payload
  std::uint32_t payload_length = 0;
  JournalEntryType type = JournalEntryType::append;
  TopicIdPartition partition;
  Offset first_offset = 0;
  Offset end_offset = 0;
};

// Writes the header of `entry` and returns its header_crc.
std::uint32_t encode_entry_header(const JournalEntry& entry, std::uint8_t* at);

// Walks the entries of one group. A header that fails its checksum ends the walk, for the lengths
// after it cannot be believed; a payload that fails its own is told, and the walk goes on.
class EntryCursor {
 public:
  explicit EntryCursor(ByteView body) : rest_(body) {}

  struct Step {
    JournalEntry entry;  // the payload points into the body
    std::uint32_t header_crc = 0;
    bool is_payload_valid = true;
  };
  // nullopt: at the end, or broken.
  std::optional<Step> next();
  bool is_at_end() const { return rest_.empty(); }
  bool is_broken() const { return broken_; }

 private:
  ByteView rest_;
  bool broken_ = false;
};

// Whether `group` (whole, with its header) holds what `header` says. Errc::corrupt with the reason.
Result<void> check_group_body(const GroupHeader& header, ByteView group);

// --- Names: `<journal>-<id, 16 hex digits>.<generation, 20 digits>.journal`; `.journal-rotten` in
// place of `.journal` after rot was found in it; `<journal>.<number>.preparing` while a file is
// being zeroed or, as number 0, copied by a start. The id in the name keeps bytes that a client
// chose from ever passing for a group.
inline constexpr std::string_view kJournalSuffix = ".journal";
inline constexpr std::string_view kRottenSuffix = ".journal-rotten";
inline constexpr std::string_view kPreparingSuffix = ".preparing";

struct JournalFileName {
  std::string journal;
  std::uint64_t id = 0;
  std::uint64_t generation = 0;
  auto operator<=>(const JournalFileName&) const = default;  // journals together, oldest file first
};
std::string journal_file_name(const JournalFileName& name);
// nullopt: not a journal file.
std::optional<JournalFileName> parse_journal_file_name(std::string_view name);
std::string preparing_file_name(std::string_view journal, std::uint64_t number);
bool is_preparing_file_name(std::string_view name);

}  // namespace drave::segments
