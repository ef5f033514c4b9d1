#pragma once
// The one include of <liburing.h>, and what kernels newer than Debian's liburing 2.3 added: numbers
// of the kernel's interface, which never change. Whether the running kernel has them is for the
// probe (probe.h) to say.

#include <liburing.h>

#include <cstdint>

namespace drave::io::abi {

// Kernel 6.15: a sleeping ring does not count as waiting for I/O.
inline constexpr unsigned kEnterNoIowait = 1u << 7;
inline constexpr unsigned kFeatureNoIowait = 1u << 17;
// Kernel 6.9.
inline constexpr std::uint8_t kOperationTruncate = 55;

static_assert(sizeof(io_uring_sqe) == 64);
static_assert(sizeof(io_uring_cqe) == 16);
static_assert(sizeof(io_uring_buf) == 16);
static_assert(sizeof(io_uring_getevents_arg) == 24);

}  // namespace drave::io::abi
