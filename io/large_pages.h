#pragma once
// Memory for large buffers, carved out of 2 MiB regions that the kernel is asked to back with huge
// pages: a buffer then costs one page fault instead of hundreds, and pinning it for a direct write
// costs a tenth. Where huge pages are off (or fragmented) it is ordinary memory.
//
// For pools, which keep what they use often: taking and giving back search a short list. Pages are
// untouched when a region is new. Not thread-safe.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace drave::io {

class LargePages {
 public:
  static constexpr std::size_t kRegionSize = std::size_t{2} << 20;
  // Smaller buffers would hold a region's neighbours too long.
  static constexpr std::size_t kSizeMin = kRegionSize / 4;

  LargePages() = default;
  LargePages(const LargePages&) = delete;
  ~LargePages();  // all must have come back

  // `size` is a power of two >= kSizeMin; aligned to its size, at most to a region's. Ends the
  // process when the system has no memory.
  std::uint8_t* take(std::size_t size);
  void give_back(std::uint8_t* data, std::size_t size);

 private:
  // A region cut into pieces of one size, some of them taken.
  struct Region {
    std::uint8_t* base;
    std::size_t piece_size;
    std::uint32_t free;  // bit i: piece i
  };
  static std::uint32_t all_free(std::size_t piece_size) {
    return (1u << (kRegionSize / piece_size)) - 1;
  }

  std::vector<Region> regions_;
};

}  // namespace drave::io
