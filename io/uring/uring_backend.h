#pragma once
// The backend over the Linux kernel's io_uring; what production runs on. Linux 6.1 or later.

#include <cstdint>
#include <memory>

#include "base/result.h"
#include "io/backend.h"

namespace drave::io {

struct UringOptions {
  // Submissions that one system call can carry; completions have room for eight times as many.
  std::uint32_t entries = 512;
  // Buffers for pooled receives: a power of two. Their pages cost memory once they have been used.
  std::uint32_t receive_buffers = 64;
  std::uint32_t receive_buffer_size = 32 * 1024;
  // Most kernel worker threads of this ring: for files and directories, and for all else.
  std::uint32_t workers_bounded_max = 4;
  std::uint32_t workers_unbounded_max = 16;
};

// To be called on the thread that will run the loop. The error is one line that names the cause
// (no io_uring in the kernel, kernel too old, seccomp, sysctl, memory limits) and the remedy.
Result<std::unique_ptr<Backend>> make_uring_backend(const UringOptions& options = {});

}  // namespace drave::io
