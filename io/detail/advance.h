#pragma once
// What remains of a gathered transfer after part of it has happened.

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/assert.h"

namespace drave::io::detail {

// Drops the first `moved` bytes of `pieces`, and pieces that are empty at the head of the rest.
// Changes the first remaining piece in place.
inline std::span<iovec> advance(std::span<iovec> pieces, std::size_t moved) {
  while (!pieces.empty() && moved >= pieces.front().iov_len) {
    moved -= pieces.front().iov_len;
    pieces = pieces.subspan(1);
  }
  if (pieces.empty()) {
    ASSERT_EQUAL(moved, 0u);
    return pieces;
  }
  pieces.front().iov_base = static_cast<std::uint8_t*>(pieces.front().iov_base) + moved;
  pieces.front().iov_len -= moved;
  return pieces;
}

}  // namespace drave::io::detail
