#pragma once
// Looks at the metadata of every node of a cluster after every event. M1 to M4 and R1 are those of
// the reliability reference:
//
//   images-differ        M1: two nodes have other images of the same offset
//   snapshot-differs     M2: an image that is written as a snapshot and loaded again is another
//   one.
//                        (That a snapshot and what comes behind it make what the whole log makes is
//                        seen by M1: nodes start from snapshots, and others do not.)
//   uncommitted-applied  M3: a node publishes what no leader had committed
//   log-without-snapshot M4: the log begins behind what the newest snapshot contains, so that what
//   a
//                        tombstone took away is gone without a snapshot that knows of it
//   two-leaders          R1: two nodes lead, are active, or are said to lead in the same epoch
//   went-back            a node publishes an older image than it had in the same life

#include <cstdint>
#include <map>
#include <vector>

#include "tools/sim/cluster/member.h"
#include "tools/sim/cluster/promises.h"

namespace drave::simulation {

// Of everything in it but the offset.
std::uint64_t hash_of(const metadata::Image& image);

class MetadataWatch {
 public:
  MetadataWatch(std::size_t members, Promises& promises, Random random)
      : seen_(members), promises_(promises), random_(random) {}

  // After an event, with each member.
  void look(std::size_t index, Member& member);

  // The image with the greatest offset that any node published; an empty one at first.
  const metadata::ImagePtr& newest() const { return newest_; }

 private:
  struct Seen {
    std::uint64_t life = 0;
    Offset published_end = -1;
    LeaderEpoch epoch = -1;
    Offset snapshot = -1;
    metadata::ImagePtr image;
    std::uint64_t hash = 0;
  };
  struct Record {
    LeaderEpoch epoch;
    std::uint64_t hash;
    NodeId by;
  };

  bool led(NodeId node, LeaderEpoch epoch) const;
  void note_leader(Member& member, broker::QuorumController& controller);
  void note_committed(Seen& seen, Member& member, raft::RaftLog& log);
  void note_image(Seen& seen, Member& member, const metadata::ImagePtr& image);
  void note_newest(const metadata::ImagePtr& image, Offset end, raft::RaftLog& log);
  void reload(const metadata::ImagePtr& image, raft::RaftLog& log);

  std::vector<Seen> seen_;
  Promises& promises_;
  Random random_;
  std::map<LeaderEpoch, NodeId> leaders_;
  std::map<Offset, Record> images_;
  Offset committed_ = 0;  // as leaders say
  metadata::ImagePtr newest_ = std::make_shared<const metadata::Image>();
};

}  // namespace drave::simulation
