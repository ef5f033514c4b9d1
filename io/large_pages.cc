#include "io/large_pages.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>

#include "base/assert.h"

namespace drave::io {
namespace {

std::uint8_t* map(std::size_t size) {
  void* at = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) fatal("out of memory: mmap of an I/O buffer was refused");
  return static_cast<std::uint8_t*>(at);
}

// mmap aligns to small pages: take more, give back the ends.
std::uint8_t* map_regions(std::size_t size) {
  constexpr std::size_t kAlignment = LargePages::kRegionSize;
  std::uint8_t* const all = map(size + kAlignment);
  const std::size_t before = -reinterpret_cast<std::uintptr_t>(all) & (kAlignment - 1);
  std::uint8_t* const base = all + before;
  if (before > 0) munmap(all, before);
  munmap(base + size, kAlignment - before);
  madvise(base, size, MADV_HUGEPAGE);  // refused: small pages then
  return base;
}

}  // namespace

LargePages::~LargePages() {
  ASSERT(regions_.empty());
}

std::uint8_t* LargePages::take(std::size_t size) {
  ASSERT(std::has_single_bit(size) && size >= kSizeMin);
  if (size >= kRegionSize) return map_regions(size);
  auto region = std::find_if(regions_.begin(), regions_.end(), [size](const Region& at) {
    return at.piece_size == size && at.free != 0;
  });
  if (region == regions_.end())
    region = regions_.insert(regions_.end(), {map_regions(kRegionSize), size, all_free(size)});
  const int piece = std::countr_zero(region->free);
  region->free &= ~(1u << piece);
  return region->base + static_cast<std::size_t>(piece) * size;
}

void LargePages::give_back(std::uint8_t* data, std::size_t size) {
  if (size >= kRegionSize) {
    munmap(data, size);
    return;
  }
  const auto region = std::find_if(regions_.begin(), regions_.end(), [data](const Region& at) {
    return data >= at.base && data < at.base + kRegionSize;
  });
  ASSERT(region != regions_.end() && region->piece_size == size);
  const auto piece = static_cast<std::size_t>(data - region->base) / size;
  ASSERT((region->free & (1u << piece)) == 0);
  region->free |= 1u << piece;
  if (region->free != all_free(size)) return;
  munmap(region->base, kRegionSize);
  *region = regions_.back();
  regions_.pop_back();
}

}  // namespace drave::io
