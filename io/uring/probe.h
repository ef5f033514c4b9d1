#pragma once
// Why io_uring is not to be had, in words for the operator.

#include <cstdint>
#include <string>

#include "base/result.h"

namespace drave::io {

// What decides the wording; gathered by read_surroundings(), given by tests.
struct UringSurroundings {
  int disabled_sysctl = 0;        // kernel.io_uring_disabled; -1: this kernel has no such key
  bool has_seccomp = false;       // a filter is installed on this process
  std::uint64_t memlock_max = 0;  // RLIMIT_MEMLOCK, bytes
  std::string kernel;             // "6.1.0-18-amd64"
};
UringSurroundings read_surroundings();

// The one line for a refused io_uring_setup. `system` is a positive errno.
Error explain_setup_failure(int system, const UringSurroundings& surroundings);

// The one line for a kernel that has io_uring but lacks `what`.
Error explain_missing(const std::string& what, const UringSurroundings& surroundings);

}  // namespace drave::io
