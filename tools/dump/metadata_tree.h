#pragma once
// The metadata log as a tree of what it amounts to, as kafka-metadata-shell shows it. Pure: bytes
// in, a tree out.

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "metadata/image.h"
#include "tools/dump/dump.h"

namespace drave::dump {

// The journal that has the metadata log's records, as its files' names begin.
inline constexpr std::string_view kMetadataJournal = "journal-metadata-";

// The files of a metadata log, put together. What a log holds may not be committed yet.
class MetadataFiles {
 public:
  // A `.checkpoint` file, `id` from its name; the newest one counts.
  void add_snapshot(OffsetAndEpoch id, std::vector<std::uint8_t> bytes);
  // A `.log` file. What is torn or damaged, and all behind it, counts as not there.
  void add_segment(ByteView bytes);
  // A file of that journal; in the order of their names, after the segments.
  void add_journal(std::string_view file_name, ByteView bytes);

  // Errors: not_found, there is nothing; corrupt, offsets that are missing, or what the image
  // refuses.
  Result<metadata::ImagePtr> load() const;

 private:
  void add_batches(ByteView bytes);

  OffsetAndEpoch snapshot_id_{-1, -1};
  std::vector<std::uint8_t> snapshot_;
  std::map<Offset, std::vector<std::uint8_t>> batches_;  // by their base offset
};

// Objects are folders, everything else is content: features, cluster, topics (by name and by id),
// configs, clientQuotas, producerIds, acls, scram, delegationToken, voters, log.
Item metadata_tree(const metadata::Image& image);

// The node at a path as "/topics/byName/orders/0"; a '/' within a name is written %2F. Null: there
// is none.
const Item* find_node(const Item& tree, std::string_view path);
// A name as it stands in a path.
std::string path_part(std::string_view name);

}  // namespace drave::dump
