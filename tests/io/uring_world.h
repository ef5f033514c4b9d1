#pragma once
// The world over io_uring: the kernel's files, in a temporary directory, and its loopback.

#include "tests/io/world.h"

namespace drave::io::test {

std::unique_ptr<World> make_uring_world(std::uint32_t loop_count);

}  // namespace drave::io::test
