#include "broker/net/frame.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/assert.h"
#include "broker/limits.h"

namespace drave::broker {

std::size_t FrameAssembly::proven_size(ByteView bytes) const {
  if (bytes.size() < 4) return 0;
  const std::int64_t size = std::int64_t{load_big<std::int32_t>(bytes.data())} + 4;
  return size > 4 && size <= static_cast<std::int64_t>(proven_) ? static_cast<std::size_t>(size)
                                                                : 0;
}

void FrameAssembly::begin(ByteView bytes, std::size_t capacity) {
  ASSERT(!active_);
  ASSERT(!bytes.empty());
  active_ = true;
  buffer_ = pool_.take(std::max({bytes.size(), capacity, std::size_t{io::BufferPool::kSizeMin}}));
  std::memcpy(buffer_.data(), bytes.data(), bytes.size());
  filled_ = bytes.size();
}

std::int64_t FrameAssembly::announced() const {
  if (filled_ < 4) return -1;
  return std::max<std::int64_t>(load_big<std::int32_t>(buffer_.data()), 0);
}

bool FrameAssembly::is_length_negative() const {
  return filled_ >= 4 && load_big<std::int32_t>(buffer_.data()) < 0;
}

std::size_t FrameAssembly::target_capacity() const {
  // Doubles what has arrived: a peer must send half of what it makes us hold.
  const std::size_t doubled = std::max(filled_ * 2, kFrameBytesFirst);
  const std::int64_t size = announced();
  if (size < 0) return std::max<std::size_t>(buffer_.capacity(), 4);
  return std::min(std::max(doubled, proven_), static_cast<std::size_t>(size) + 4);
}

std::int64_t FrameAssembly::growth() const {
  if (filled_ < buffer_.capacity()) return 0;
  return static_cast<std::int64_t>(target_capacity()) - capacity();
}

MutableByteView FrameAssembly::room() {
  ASSERT(active_);
  if (filled_ >= buffer_.capacity()) {
    io::PooledBuffer larger = pool_.take(target_capacity());
    std::memcpy(larger.data(), buffer_.data(), filled_);
    buffer_ = std::move(larger);
  }
  // Nothing beyond the frame: what follows it arrives in pooled buffers again.
  std::size_t end = buffer_.capacity();
  if (announced() >= 0)
    end = std::min(end, wanted() + 4);
  else
    end = 4;
  ASSERT(end > filled_);
  return buffer_.bytes().subspan(filled_, end - filled_);
}

std::pair<MutableByteView, FrameRef> FrameAssembly::take(FrameKeeper* keeper,
                                                         std::int64_t charged) {
  ASSERT(is_complete());
  proven_ = std::min(std::bit_ceil(filled_), kFrameBytesProvenMax);
  auto* owner = new FrameBuffer;
  owner->keeper = keeper;
  owner->charged = charged;
  owner->owned = std::move(buffer_);
  const MutableByteView bytes = owner->owned.bytes().subspan(4, filled_ - 4);
  filled_ = 0;
  active_ = false;
  return {bytes, FrameRef(owner)};
}

void FrameAssembly::abandon() {
  buffer_.reset();
  filled_ = 0;
  active_ = false;
}

}  // namespace drave::broker
