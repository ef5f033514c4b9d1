#include "io/process.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

namespace drave::io {

Result<std::uint64_t> raise_open_files_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
    return std::unexpected(error_from_errno(errno, "getrlimit open files"));
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
    return std::unexpected(error_from_errno(errno, "setrlimit open files"));
  return static_cast<std::uint64_t>(limit.rlim_cur);
}

Result<MemoryUse> memory_use() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t size_pages = 0;
  std::uint64_t resident_pages = 0;
  if (!(statm >> size_pages >> resident_pages))
    return failure(Errc::unsupported, "/proc/self/statm cannot be read; is /proc mounted?");
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  MemoryUse use;
  use.resident = resident_pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  use.resident_peak =
      std::max(use.resident, static_cast<std::uint64_t>(usage.ru_maxrss) * std::uint64_t{1024});
  return use;
}

std::uint64_t memory_limit() {
  struct sysinfo info{};
  sysinfo(&info);
  const std::uint64_t machine = static_cast<std::uint64_t>(info.totalram) * info.mem_unit;
  std::ifstream group("/sys/fs/cgroup/memory.max");
  std::uint64_t limit = 0;
  if (group >> limit && limit > 0) return std::min(machine, limit);  // "max" does not parse
  return machine;
}

std::vector<int> allowed_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> processors;
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return {0};
  for (int i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(i, &set)) processors.push_back(i);
  }
  return processors;
}

Duration process_cpu_time() {
  timespec spent{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
  return seconds(spent.tv_sec) + nanoseconds(spent.tv_nsec);
}

std::uint64_t thread_context_switches() {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  return static_cast<std::uint64_t>(usage.ru_nvcsw + usage.ru_nivcsw);
}

bool pin_thread(int processor) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(processor, &set);
  return pthread_setaffinity_np(pthread_self(), sizeof(set), &set) == 0;
}

void name_thread(const char* name) {
  char cut[16];
  std::snprintf(cut, sizeof(cut), "%s", name);
  pthread_setname_np(pthread_self(), cut);
}

}  // namespace drave::io
