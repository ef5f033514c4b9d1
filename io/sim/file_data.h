#pragma once
// The bytes of one simulated file: what its readers see (the page cache) and what is on the
// platter.
//
// Everything is kept by sectors of 512 bytes in pages of 4 KiB. A write changes what readers see at
// once. A sector whose platter differs from the cache is dirty until a sync covers it; a sync
// covers the writes that had completed when it began, never later ones. A write-through write puts
// its sectors and the size that it needs on the platter as it completes. Pages of zeros cost no
// memory.
//
// Power cut: for each dirty sector a draw says old or new (or the version that a sync in flight was
// writing). Sizes: sync makes the size durable; unsynced growth survives up to any of the sizes
// that the file had; an unsynced truncation survives or does not, and if not, nothing that was
// written later into the cut part survives either.
//
// A failed sync does what Linux does: what it covered stays visible, is not on the platter, and no
// later sync will write it.

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/bytes.h"
#include "base/random.h"
#include "io/sim/counters.h"

namespace drave::io::sim {

inline constexpr std::size_t kPageBytes = 4096;
inline constexpr std::size_t kSectorBytes = 512;
inline constexpr std::size_t kSectorsPerPage = kPageBytes / kSectorBytes;

// How the unsynced part of one crash is decided.
enum class Fate : std::uint8_t { all_lost, all_landed, by_page, by_sector };

class FileData {
 public:
  std::uint64_t size() const { return size_; }
  std::uint64_t durable_size() const { return durable_size_; }
  std::uint64_t allocated_pages() const { return allocated_pages_; }
  // Pages that writing or reserving [position, position + size) would allocate.
  std::uint64_t pages_missing(std::uint64_t position, std::uint64_t size) const;

  // Bytes read, 0 at the end.
  std::size_t read(std::uint64_t position, MutableByteView into) const;
  void write(std::uint64_t position, ByteView bytes, bool durable);
  // As fallocate(): reserves and extends.
  void allocate(std::uint64_t position, std::uint64_t size);
  void truncate(std::uint64_t size);
  // Changes what readers see and what is on the platter.
  void flip(std::uint64_t position, std::uint8_t mask);

  // One sync at a time; begin_sync() while one is in progress is refused (false).
  bool begin_sync();
  void end_sync();
  void fail_sync();
  bool is_syncing() const { return syncing_; }
  // Everything visible becomes durable.
  void sync_now();
  // Whether a power cut would change anything.
  bool is_dirty() const {
    return !dirty_pages_.empty() || metadata_dirty_ || syncing_ || size_ != durable_size_;
  }

  // The crash: readers see what the platter holds. `fate` and `random` decide the unsynced part.
  void power_cut(Fate fate, Random& random, WorldCounters& counters);

 private:
  using Bytes = std::array<std::uint8_t, kPageBytes>;
  struct Page {
    Bytes now;
    std::unique_ptr<Bytes> durable;  // null: as now
    std::unique_ptr<Bytes> staged;   // what the sync in progress writes, if it changed since
    std::uint64_t write_number = 0;  // of the last write, for telling reordering
    std::uint8_t dirty = 0;          // bit per sector: written since the last begin_sync
    std::uint8_t syncing = 0;        // covered by the sync in progress
    std::uint8_t lost = 0;           // its sync failed
    bool listed = false;             // in dirty_pages_
  };
  struct PowerCut;

  Page& page_at(std::uint64_t index);
  Page* find_page(std::uint64_t index) const {
    return index < pages_.size() ? pages_[index].get() : nullptr;
  }
  void reserve_page(std::uint64_t index);
  void before_change(std::uint64_t index, Page& page);
  void clean_if_possible(Page& page);
  void write_piece(std::uint64_t index, std::size_t offset, ByteView piece, bool durable);
  void zero_from(std::uint64_t position);
  void note_size();
  void commit_truncation();
  void forget_unlisted();
  void settle_allocation();

  std::vector<std::unique_ptr<Page>> pages_;
  std::vector<bool> reserved_;
  std::vector<std::uint32_t> dirty_pages_;
  std::vector<std::uint64_t> sizes_;  // since the last durable one
  std::uint64_t size_ = 0;
  std::uint64_t durable_size_ = 0;
  std::uint64_t staged_size_ = 0;
  std::uint64_t cut_ = UINT64_MAX;  // the lowest unsynced truncation
  std::uint64_t staged_cut_ = UINT64_MAX;
  std::uint64_t allocated_pages_ = 0;
  std::uint64_t write_count_ = 0;
  bool syncing_ = false;
  bool metadata_dirty_ = false;
};

}  // namespace drave::io::sim
