#pragma once
// Copies that go past the processor's caches: for bytes that nobody looks at soon, into memory that
// is not in a cache. The destination is not read before it is overwritten, and nothing is pushed
// out of the caches for it.

#include <cstddef>
#include <cstdint>

#include "base/bytes.h"

namespace drave {

// Below this, a copy is an ordinary one: it pays by the line.
inline constexpr std::size_t kStreamCopyMin = 32 * 1024;

// As std::memcpy(to, bytes.data(), bytes.size()); other threads and devices see it as they would
// see that.
void stream_copy(std::uint8_t* to, ByteView bytes);

}  // namespace drave
