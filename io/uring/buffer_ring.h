#pragma once
// The buffers from which the kernel takes one when a pooled receive finds data: one group, shared
// with the kernel through a ring of its own. Memory comes from one mapping whose pages cost nothing
// until the kernel writes to them.

#include <cstdint>

#include "base/bytes.h"
#include "base/result.h"
#include "io/uring/uring_abi.h"

namespace drave::io {

class BufferRing {
 public:
  static constexpr std::uint16_t kGroup = 0;

  BufferRing() = default;
  BufferRing(const BufferRing&) = delete;
  BufferRing& operator=(const BufferRing&) = delete;
  // The ring that it was registered with has been closed before.
  ~BufferRing();

  // `count` is a power of two. On error a positive errno.
  Result<void> open(io_uring& ring, std::uint32_t count, std::uint32_t size);

  // The buffer that a completion names.
  MutableByteView take(std::uint16_t id, std::size_t used);
  void give_back(const std::uint8_t* data);

  // Buffers that are not in the kernel's hands.
  std::uint32_t taken() const { return taken_; }
  std::uint32_t count() const { return count_; }

 private:
  void publish(std::uint16_t id);

  io_uring_buf_ring* ring_ = nullptr;
  std::uint8_t* memory_ = nullptr;
  std::size_t ring_bytes_ = 0;
  std::uint32_t count_ = 0;
  std::uint32_t size_ = 0;
  std::uint32_t taken_ = 0;
};

}  // namespace drave::io
