#pragma once
// What a simulated world is like: rates of faults and lengths of delays. All rates are "one in N
// operations", 0 for never. The defaults are a world without faults; WorldOptions::harsh() draws a
// hostile one from a seed.

#include <cstdint>

#include "base/random.h"
#include "base/units.h"

namespace drave::io::sim {

// A delay is drawn between `least` and `most`, and once in `tail_one_in` it is `tail` instead.
struct Delay {
  Duration least;
  Duration most;
  Duration tail = {};
  std::uint32_t tail_one_in = 0;
  Duration draw(Random& random) const;
};

struct DiskOptions {
  std::uint64_t capacity_bytes = std::uint64_t{4} << 30;
  bool direct_supported = true;  // false: opening with O_DIRECT is refused (-EINVAL)

  Delay name_delay{microseconds(2), microseconds(40)};
  Delay cached_delay{microseconds(1), microseconds(20)};  // buffered reads and writes
  Delay device_delay{microseconds(20), microseconds(200)};
  Delay sync_delay{microseconds(100), milliseconds(2)};

  std::uint32_t read_error_one_in = 0;   // -EIO
  std::uint32_t bad_read_one_in = 0;     // a byte arrives wrong, once; the disk has it right
  std::uint32_t write_error_one_in = 0;  // -EIO; any subset of the sectors has changed
  std::uint32_t sync_error_one_in = 0;   // -EIO; see FileData::fail_sync
  std::uint32_t no_space_one_in = 0;     // -ENOSPC although there is room
  // The same of what changes a name or a size: creating, renaming, removing, truncating, and the
  // sync of a directory.
  std::uint32_t name_error_one_in = 0;     // -EIO; nothing has happened, a sync has failed
  std::uint32_t name_no_space_one_in = 0;  // -ENOSPC; likewise
  std::uint32_t short_read_one_in = 0;
  std::uint32_t short_write_one_in = 0;
  std::uint32_t stall_one_in = 0;  // an operation takes stall_delay longer
  Delay stall_delay{milliseconds(10), seconds(2)};
  std::uint32_t uncached_one_in = 4;    // read_cached says -EAGAIN
  std::uint32_t lying_sync_one_in = 0;  // a sync or write-through says yes and has done nothing

  // A sector that was being written when the power went holds neither old nor new bytes.
  std::uint32_t garbage_sector_one_in = 16;

  // From now on no operation fails. Reads that arrive wrong and syncs that lie stay on.
  void stop_errors() {
    read_error_one_in = write_error_one_in = sync_error_one_in = no_space_one_in = 0;
    name_error_one_in = name_no_space_one_in = 0;
  }
};

struct NetworkOptions {
  Delay latency{microseconds(20), microseconds(300)};
  Delay loopback_latency{microseconds(2), microseconds(20)};
  std::uint32_t window_bytes = 64 * 1024;  // sent and not yet read by the peer
  std::uint32_t fragment_one_in = 3;       // a receive gets fewer bytes than there are
  std::uint32_t short_send_one_in = 8;     // a send takes fewer bytes than it could
  std::uint32_t cut_one_in = 0;            // a send resets its connection
  std::uint32_t zombie_one_in = 0;         // what a closed connection had sent arrives much later
  Delay zombie_delay{milliseconds(100), seconds(20)};
  Duration connect_timeout = seconds(60);
};

struct NodeOptions {
  std::uint32_t shards = 1;
  std::int32_t descriptors_max = 20000;  // -EMFILE beyond
  std::uint32_t receive_buffers = 64;    // of each shard
  std::uint32_t receive_buffer_bytes = 16 * 1024;
  std::int64_t clock_drift_ppm = 0;  // of the monotonic and the wall clock
  std::int64_t wall_start_ms = 1'760'000'000'000;
  Duration boot_offset = seconds(1000);  // what the monotonic clock says at the world's start
  DiskOptions disk;
};

struct WorldOptions {
  NetworkOptions network;
  NodeOptions node;  // of nodes that are added without options of their own
  Delay pass_cost{nanoseconds(300), microseconds(5)};
  // Write buffers are read when the write completes (true) or when it starts; drawn per world.
  bool draw_late_buffers = true;

  // Faults that a correct program survives without losing what it acknowledged: errors, stalls,
  // cuts, tears. The seed decides which are on and how frequent they are.
  static WorldOptions harsh(std::uint64_t seed);
};

}  // namespace drave::io::sim
