#include "io/uring/buffer_ring.h"

#include <sys/mman.h>

#include <bit>
#include <cerrno>

#include "base/assert.h"
#include "base/poison.h"

namespace drave::io {
namespace {

void* map_pages(std::size_t size) {
  void* at = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return at == MAP_FAILED ? nullptr : at;
}

}  // namespace

BufferRing::~BufferRing() {
  if (memory_ != nullptr) {
    const std::size_t bytes = std::size_t{count_} * size_;
    ASAN_UNPOISON_MEMORY_REGION(memory_, bytes);
    munmap(memory_, bytes);
  }
  if (ring_ != nullptr) munmap(ring_, ring_bytes_);
}

Result<void> BufferRing::open(io_uring& ring, std::uint32_t count, std::uint32_t size) {
  ASSERT(std::has_single_bit(count));
  ASSERT_AT_MOST(count, 32768u);
  count_ = count;
  size_ = size;
  ring_bytes_ = count * sizeof(io_uring_buf);
  ring_ = static_cast<io_uring_buf_ring*>(map_pages(ring_bytes_));
  memory_ = static_cast<std::uint8_t*>(map_pages(std::size_t{count} * size));
  if (ring_ == nullptr || memory_ == nullptr)
    return failure(Errc::io, "memory for receive buffers", ENOMEM);
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<std::uintptr_t>(ring_);
  registration.ring_entries = count;
  registration.bgid = kGroup;
  const int registered = io_uring_register_buf_ring(&ring, &registration, 0);
  if (registered < 0) return failure(Errc::io, "registering receive buffers", -registered);
  io_uring_buf_ring_init(ring_);
  for (std::uint32_t id = 0; id < count; ++id) publish(static_cast<std::uint16_t>(id));
  return {};
}

MutableByteView BufferRing::take(std::uint16_t id, std::size_t used) {
  ASSERT_LESS(id, count_);
  ASSERT_AT_MOST(used, size_);
  ++taken_;
  std::uint8_t* data = memory_ + std::size_t{id} * size_;
  ASAN_UNPOISON_MEMORY_REGION(data, used);
  return {data, used};
}

void BufferRing::give_back(const std::uint8_t* data) {
  ASSERT(data >= memory_);
  const std::size_t at = static_cast<std::size_t>(data - memory_);
  ASSERT_EQUAL(at % size_, 0u);
  ASSERT_LESS(at / size_, count_);
  ASSERT(taken_ > 0);
  --taken_;
  publish(static_cast<std::uint16_t>(at / size_));
}

void BufferRing::publish(std::uint16_t id) {
  std::uint8_t* data = memory_ + std::size_t{id} * size_;
  ASAN_POISON_MEMORY_REGION(data, size_);
  io_uring_buf_ring_add(ring_, data, size_, id, static_cast<int>(count_ - 1), 0);
  io_uring_buf_ring_advance(ring_, 1);
}

}  // namespace drave::io
