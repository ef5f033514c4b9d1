#pragma once
// What happened in a world. Tests and drave-sim put floors under these, so that a simulator that no
// longer injects a fault is a red build.

#include <cstdint>
#include <string>

namespace drave::io::sim {

struct WorldCounters {
  std::uint64_t events = 0;
  std::uint64_t passes = 0;
  std::uint64_t operations = 0;

  std::uint64_t power_cuts = 0;
  std::uint64_t kills = 0;
  std::uint64_t restarts = 0;   // starts after the first
  std::uint64_t abandoned = 0;  // dead processes that did not come down (sim/node.h)
  std::uint64_t pauses = 0;

  std::uint64_t lost_sectors = 0;    // unsynced, gone with the power
  std::uint64_t landed_sectors = 0;  // unsynced, there all the same
  std::uint64_t torn_writes = 0;     // some sectors of one page or write old, others new
  std::uint64_t garbage_sectors = 0;
  std::uint64_t reordered_writes = 0;  // a later write survived an earlier one that did not
  std::uint64_t lost_names = 0;        // unsynced creations, renames, unlinks undone
  std::uint64_t landed_names = 0;

  std::uint64_t read_errors = 0;
  std::uint64_t bad_reads = 0;
  std::uint64_t write_errors = 0;
  std::uint64_t failed_syncs = 0;
  std::uint64_t lying_syncs = 0;
  std::uint64_t no_space = 0;
  std::uint64_t name_errors = 0;  // of names and sizes: no space, or -EIO
  std::uint64_t short_transfers = 0;
  std::uint64_t stalls = 0;
  std::uint64_t flips = 0;
  std::uint64_t descriptors_exhausted = 0;

  std::uint64_t connections = 0;
  std::uint64_t refused_connects = 0;
  std::uint64_t cuts = 0;      // resets injected
  std::uint64_t silences = 0;  // peers that vanished without a word
  std::uint64_t zombies = 0;   // bytes delivered long after their sender closed
  std::uint64_t fragments = 0;
  std::uint64_t wall_jumps = 0;

  WorldCounters& operator+=(const WorldCounters& other);
  // "power_cuts=3 kills=1 ...": all of them, for one line of output.
  std::string text() const;
};

}  // namespace drave::io::sim
