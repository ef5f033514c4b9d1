#pragma once
// Frames: a length of four bytes and so many bytes of one request.
//
// Complete frames are decoded where they arrived, in a pooled receive buffer; the rest of an
// incomplete one is received into a buffer of its own, which grows with what arrives, never with
// what was announced; only up to the size of a frame that came whole before it is taken at once.

#include <cstdint>
#include <memory>
#include <utility>

#include "base/bytes.h"
#include "io/buffer_pool.h"
#include "io/socket.h"

namespace drave::broker {

// Who answers for the memory of frames; it outlives them.
class FrameKeeper {
 public:
  virtual void on_frame_released(std::int64_t charged) = 0;

 protected:
  ~FrameKeeper() = default;
};

// The memory behind one or more frames. Counted by the FrameRefs of one shard.
struct FrameBuffer {
  FrameBuffer() = default;
  FrameBuffer(const FrameBuffer&) = delete;
  ~FrameBuffer() {
    if (keeper != nullptr) keeper->on_frame_released(charged);
  }

  std::uint32_t references = 0;
  io::ReceivedBytes received;  // either
  io::PooledBuffer owned;      // or
  FrameKeeper* keeper = nullptr;
  std::int64_t charged = 0;
};

// Keeps a frame's bytes. A handler drops its own before it waits for anything slow.
class FrameRef {
 public:
  FrameRef() = default;
  explicit FrameRef(FrameBuffer* buffer) : buffer_(buffer) { ++buffer_->references; }
  FrameRef(const FrameRef& other) : buffer_(other.buffer_) {
    if (buffer_ != nullptr) ++buffer_->references;
  }
  FrameRef(FrameRef&& other) noexcept : buffer_(std::exchange(other.buffer_, nullptr)) {}
  FrameRef& operator=(FrameRef other) noexcept {
    std::swap(buffer_, other.buffer_);
    return *this;
  }
  ~FrameRef() { reset(); }
  void reset() {
    if (buffer_ != nullptr && --buffer_->references == 0) delete buffer_;
    buffer_ = nullptr;
  }

 private:
  FrameBuffer* buffer_ = nullptr;
};

// The frame that a connection is in the middle of.
class FrameAssembly {
 public:
  explicit FrameAssembly(io::BufferPool& pool) : pool_(pool) {}

  bool is_active() const { return active_; }
  // Begins with the bytes at the front of `bytes` (the length's own four included, perhaps not all
  // of them) and takes all of them. The buffer has `capacity` bytes at least.
  void begin(ByteView bytes, std::size_t capacity = 0);
  // The size of the frame that begins with `bytes` if the peer has sent one as large before; else
  // 0.
  std::size_t proven_size(ByteView bytes) const;
  // Where the next bytes are to be received; at least one byte. Grows the buffer if it is full and
  // its frame is not complete.
  MutableByteView room();
  void received(std::size_t size) { filled_ += size; }
  // What the length says, or -1 while it is not complete; 0 for a negative one.
  std::int64_t announced() const;
  bool is_length_negative() const;
  bool is_complete() const { return announced() >= 0 && filled_ >= 4 + wanted(); }
  // The frame's bytes without the length, and their owner; the assembly is inactive after it.
  // `keeper` hears when nobody needs them any more.
  std::pair<MutableByteView, FrameRef> take(FrameKeeper* keeper, std::int64_t charged);
  void abandon();
  std::int64_t capacity() const { return static_cast<std::int64_t>(buffer_.capacity()); }
  std::size_t filled() const { return filled_; }
  // What room() would have to add to the buffer now; 0: nothing.
  std::int64_t growth() const;

 private:
  std::size_t wanted() const { return static_cast<std::size_t>(announced()); }
  std::size_t target_capacity() const;

  io::BufferPool& pool_;
  io::PooledBuffer buffer_;
  std::size_t filled_ = 0;
  std::size_t proven_ = 0;  // of the last whole frame, rounded up, at most kFrameBytesProvenMax
  bool active_ = false;
};

}  // namespace drave::broker
