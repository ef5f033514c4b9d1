#pragma once
// Makes what a shard runs agree with what an image says: logs and replicas of partitions that came,
// configs and leader epochs of those that stayed, nothing of those that went.

#include "broker/serving_image.h"
#include "io/task.h"

namespace drave::broker {

class Shard;

// The directory in which the metadata has the node's replica; zero: it does not say.
Uuid assigned_directory(const metadata::PartitionImage& partition, NodeId node);

// Moves `shard` from the image that it has to `image`. `everything`: as if it had none (at start).
// New logs come first, then the image together with the leader epochs, then removals, so that
// nothing is asked of a log that is not there. When it returns the shard serves by `image`, and
// what is gone has been removed. A log that cannot be created or removed is logged and passed over:
// the others are served. One call at a time per shard.
io::Task<void> reconcile(Shard& shard, ServingImagePtr image, bool everything);

}  // namespace drave::broker
