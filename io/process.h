#pragma once
// What the process has and uses: limits, memory, processors. Linux only, any thread, no loop
// needed.

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace drave::io {

// Raises the soft limit of open files to the hard limit; the limit that holds now.
Result<std::uint64_t> raise_open_files_limit();

struct MemoryUse {
  std::uint64_t resident = 0;       // bytes in RAM
  std::uint64_t resident_peak = 0;  // the most so far
};
Result<MemoryUse> memory_use();

// The smaller of the machine's memory and the limit of the control group (v2), in bytes.
std::uint64_t memory_limit();

// Processors on which this process may run, ascending, as its affinity mask says.
std::vector<int> allowed_processors();

// CPU time of the whole process, user and system.
Duration process_cpu_time();

// Context switches of the calling thread so far, voluntary and not.
std::uint64_t thread_context_switches();

// Pins the calling thread to one processor; false if the kernel refused.
bool pin_thread(int processor);

// The name of the calling thread in ps and gdb (at most 15 characters).
void name_thread(const char* name);

}  // namespace drave::io
