#pragma once
// The log directories that a node has, and which of its replicas may be in them.
//
// The metadata names a replica's directory by its id. A directory that the node does not have is
// gone for good (another disk, a shorter log.dirs), unless one of log.dirs could not be opened:
// then it may be that one, which comes back with all that it has. What is said to be there is
// withheld until then: its logs are neither made nor served nor touched.

#include <algorithm>
#include <vector>

#include "metadata/image.h"

namespace drave::broker {

// Whether the metadata leaves it to the node where a replica is.
inline bool is_open_choice(const Uuid& assigned) {
  return assigned == metadata::kDirectoryUnassigned || assigned == metadata::kDirectoryMigrating;
}

// Immutable once they were opened; any shard.
struct OwnDirectories {
  std::vector<Uuid> ids;        // of those for logs that are open
  bool is_one_missing = false;  // one of log.dirs could not be opened

  bool may_have(const Uuid& assigned) const {
    return is_open_choice(assigned) || std::ranges::find(ids, assigned) != ids.end();
  }
  bool withholds(const Uuid& assigned) const { return is_one_missing && !may_have(assigned); }
};

}  // namespace drave::broker
