#include "io/sim/file_data.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/assert.h"

namespace drave::io::sim {
namespace {

bool is_zero(ByteView bytes) {
  return bytes.empty() ||
         (bytes[0] == 0 && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

std::uint8_t sector_mask(std::size_t offset, std::size_t size) {
  const std::size_t first = offset / kSectorBytes;
  const std::size_t last = (offset + size - 1) / kSectorBytes;
  return static_cast<std::uint8_t>(((1u << (last - first + 1)) - 1) << first);
}

template <class Visit>
void for_each_sector(unsigned mask, Visit visit) {
  for (std::size_t sector = 0; sector < kSectorsPerPage; ++sector) {
    if ((mask >> sector & 1u) != 0) visit(sector);
  }
}

}  // namespace

std::uint64_t FileData::pages_missing(std::uint64_t position, std::uint64_t size) const {
  if (size == 0) return 0;
  std::uint64_t missing = 0;
  for (std::uint64_t i = position / kPageBytes; i <= (position + size - 1) / kPageBytes; ++i) {
    if (i >= reserved_.size() || !reserved_[i]) ++missing;
  }
  return missing;
}

void FileData::reserve_page(std::uint64_t index) {
  if (index >= reserved_.size()) reserved_.resize(index + 1, false);
  if (reserved_[index]) return;
  reserved_[index] = true;
  ++allocated_pages_;
}

FileData::Page& FileData::page_at(std::uint64_t index) {
  if (index >= pages_.size()) pages_.resize(index + 1);
  if (pages_[index] == nullptr) {
    pages_[index] = std::make_unique<Page>();
    pages_[index]->now.fill(0);
  }
  return *pages_[index];
}

std::size_t FileData::read(std::uint64_t position, MutableByteView into) const {
  if (position >= size_) return 0;
  const std::size_t total = std::min<std::uint64_t>(into.size(), size_ - position);
  for (std::size_t done = 0; done < total;) {
    const std::size_t offset = (position + done) % kPageBytes;
    const std::size_t piece = std::min(total - done, kPageBytes - offset);
    if (const Page* page = find_page((position + done) / kPageBytes); page != nullptr) {
      std::memcpy(into.data() + done, page->now.data() + offset, piece);
    } else {
      std::memset(into.data() + done, 0, piece);
    }
    done += piece;
  }
  return total;
}

// Keeps the platter's version, and the version that a sync in progress is writing.
void FileData::before_change(std::uint64_t index, Page& page) {
  if (page.durable == nullptr) page.durable = std::make_unique<Bytes>(page.now);
  if (page.syncing != 0 && page.staged == nullptr) page.staged = std::make_unique<Bytes>(page.now);
  if (!page.listed) {
    page.listed = true;
    dirty_pages_.push_back(static_cast<std::uint32_t>(index));
  }
}

void FileData::clean_if_possible(Page& page) {
  if (page.dirty == 0 && page.syncing == 0 && page.lost == 0) page.durable.reset();
}

void FileData::write_piece(std::uint64_t index, std::size_t offset, ByteView piece, bool durable) {
  reserve_page(index);
  if (find_page(index) == nullptr && is_zero(piece)) return;
  Page& page = page_at(index);
  const std::uint8_t mask = sector_mask(offset, piece.size());
  page.write_number = write_count_;
  if (!durable) {
    before_change(index, page);
    std::memcpy(page.now.data() + offset, piece.data(), piece.size());
    page.dirty |= mask;
    page.lost &= static_cast<std::uint8_t>(~mask);
    return;
  }
  std::memcpy(page.now.data() + offset, piece.data(), piece.size());
  if (page.staged != nullptr) {
    std::memcpy(page.staged->data() + offset, piece.data(), piece.size());
  }
  if (page.durable == nullptr) return;
  for_each_sector(mask, [&](std::size_t sector) {
    std::memcpy(page.durable->data() + sector * kSectorBytes,
                page.now.data() + sector * kSectorBytes, kSectorBytes);
  });
  page.dirty &= static_cast<std::uint8_t>(~mask);
  page.lost &= static_cast<std::uint8_t>(~mask);
  clean_if_possible(page);
}

void FileData::note_size() {
  metadata_dirty_ = true;
  if (sizes_.size() < 64) {
    sizes_.push_back(size_);
  } else {
    sizes_.back() = size_;
  }
}

void FileData::write(std::uint64_t position, ByteView bytes, bool durable) {
  if (bytes.empty()) return;
  ++write_count_;
  if (durable) commit_truncation();
  for (std::size_t done = 0; done < bytes.size();) {
    const std::size_t offset = (position + done) % kPageBytes;
    const std::size_t piece = std::min(bytes.size() - done, kPageBytes - offset);
    write_piece((position + done) / kPageBytes, offset, bytes.subspan(done, piece), durable);
    done += piece;
  }
  const std::uint64_t end = position + bytes.size();
  if (end > size_) {
    size_ = end;
    if (!durable) note_size();
  }
  if (durable) {
    durable_size_ = std::max(durable_size_, end);
    if (syncing_) staged_size_ = std::max(staged_size_, end);
  }
}

void FileData::allocate(std::uint64_t position, std::uint64_t size) {
  if (size == 0) return;
  for (std::uint64_t i = position / kPageBytes; i <= (position + size - 1) / kPageBytes; ++i) {
    reserve_page(i);
  }
  if (position + size > size_) {
    size_ = position + size;
    note_size();
  }
}

void FileData::zero_from(std::uint64_t position) {
  const std::uint64_t first = position / kPageBytes;
  for (std::uint64_t i = first; i < pages_.size(); ++i) {
    Page* page = pages_[i].get();
    if (page == nullptr) continue;
    const std::size_t from = i == first ? position % kPageBytes : 0;
    before_change(i, *page);
    std::memset(page->now.data() + from, 0, kPageBytes - from);
    page->dirty |= sector_mask(from, kPageBytes - from);
  }
}

void FileData::truncate(std::uint64_t size) {
  if (size == size_) return;
  if (size < size_) {
    ++write_count_;
    zero_from(size);
    cut_ = std::min(cut_, size);
    for (std::uint64_t i = (size + kPageBytes - 1) / kPageBytes; i < reserved_.size(); ++i) {
      if (reserved_[i]) --allocated_pages_;
      reserved_[i] = false;
    }
  }
  size_ = size;
  note_size();
}

void FileData::flip(std::uint64_t position, std::uint8_t mask) {
  Page& page = page_at(position / kPageBytes);
  const std::size_t offset = position % kPageBytes;
  page.now[offset] ^= mask;
  if (page.durable != nullptr) (*page.durable)[offset] ^= mask;
  if (page.staged != nullptr) (*page.staged)[offset] ^= mask;
}

// A truncation reaches the platter: the blocks beyond it are free, whatever was in them.
void FileData::commit_truncation() {
  const std::uint64_t cut = std::min(cut_, staged_cut_);
  if (cut == UINT64_MAX) return;
  for (const std::uint32_t index : dirty_pages_) {
    Page* page = find_page(index);
    const std::uint64_t start = std::uint64_t{index} * kPageBytes;
    if (page == nullptr || page->durable == nullptr || start + kPageBytes <= cut) continue;
    const std::size_t from = cut > start ? cut - start : 0;
    std::memset(page->durable->data() + from, 0, kPageBytes - from);
    // A sync in progress that began before the truncation must not bring back what it cut.
    if (page->staged != nullptr && cut_ < start + kPageBytes) {
      const std::size_t staged_from = cut_ > start ? cut_ - start : 0;
      std::memset(page->staged->data() + staged_from, 0, kPageBytes - staged_from);
    }
  }
  durable_size_ = std::min(durable_size_, cut);
  staged_size_ = std::min(staged_size_, cut_);
  cut_ = staged_cut_ = UINT64_MAX;
}

void FileData::forget_unlisted() {
  std::erase_if(dirty_pages_, [&](std::uint32_t index) {
    Page& page = *pages_[index];
    if (page.durable != nullptr) return false;
    page.listed = false;
    return true;
  });
}

bool FileData::begin_sync() {
  if (syncing_) return false;
  syncing_ = true;
  for (const std::uint32_t index : dirty_pages_) {
    Page& page = *pages_[index];
    page.syncing = page.dirty;
    page.dirty = 0;
  }
  staged_size_ = size_;
  staged_cut_ = std::exchange(cut_, UINT64_MAX);
  sizes_.clear();
  metadata_dirty_ = false;
  return true;
}

void FileData::end_sync() {
  ASSERT(syncing_);
  syncing_ = false;
  if (staged_cut_ != UINT64_MAX) durable_size_ = std::min(durable_size_, staged_cut_);
  staged_cut_ = UINT64_MAX;
  durable_size_ = cut_ == UINT64_MAX ? staged_size_ : std::max(staged_size_, durable_size_);
  for (const std::uint32_t index : dirty_pages_) {
    Page& page = *pages_[index];
    const Bytes& source = page.staged != nullptr ? *page.staged : page.now;
    for_each_sector(page.syncing, [&](std::size_t sector) {
      std::memcpy(page.durable->data() + sector * kSectorBytes,
                  source.data() + sector * kSectorBytes, kSectorBytes);
    });
    page.syncing = 0;
    page.staged.reset();
    clean_if_possible(page);
  }
  forget_unlisted();
}

void FileData::fail_sync() {
  ASSERT(syncing_);
  syncing_ = false;
  cut_ = std::min(cut_, std::exchange(staged_cut_, UINT64_MAX));
  for (const std::uint32_t index : dirty_pages_) {
    Page& page = *pages_[index];
    page.lost |= static_cast<std::uint8_t>(page.syncing & ~page.dirty);
    page.syncing = 0;
    page.staged.reset();
  }
}

void FileData::sync_now() {
  if (syncing_) fail_sync();
  begin_sync();
  for (const std::uint32_t index : dirty_pages_) {
    pages_[index]->syncing |= std::exchange(pages_[index]->lost, std::uint8_t{0});
  }
  end_sync();
}

// The draws of one file at one power cut.
struct FileData::PowerCut {
  Fate fate;
  Random& random;
  WorldCounters& counters;
  std::uint64_t landed_last = 0;  // the highest write number that landed
  std::uint64_t lost_first = UINT64_MAX;
  std::uint64_t last_number = 0;  // of the page before
  bool last_landed = false;

  bool draw_page() {
    switch (fate) {
      case Fate::all_lost: return false;
      case Fate::all_landed: return true;
      default: return random.one_in(2);
    }
  }
  void settle(Page& page, std::size_t valid_bytes) {
    bool page_lands = draw_page();
    bool any_landed = false;
    bool any_lost = false;
    for_each_sector(page.dirty | page.syncing | page.lost, [&](std::size_t sector) {
      const std::size_t at = sector * kSectorBytes;
      if (fate == Fate::by_sector) page_lands = random.one_in(2);
      const bool lands = page_lands && at < valid_bytes;
      const bool staged = page.staged != nullptr && (page.syncing >> sector & 1) != 0 &&
                          at < valid_bytes &&
                          (fate == Fate::all_lost ? random.one_in(2) : random.one_in(3));
      const Bytes* source = lands ? &page.now : nullptr;
      if (staged) source = page.staged.get();
      if (source == nullptr) {
        ++counters.lost_sectors;
        any_lost = true;
        return;
      }
      ++counters.landed_sectors;
      any_landed = true;
      std::memcpy(page.durable->data() + at, source->data() + at, kSectorBytes);
    });
    const bool torn_between_pages =
        page.write_number == last_number && (last_landed ? any_lost : any_landed);
    if ((any_landed && any_lost) || torn_between_pages) ++counters.torn_writes;
    last_number = page.write_number;
    last_landed = any_landed;
    if (any_landed) landed_last = std::max(landed_last, page.write_number);
    if (any_lost) lost_first = std::min(lost_first, page.write_number);
  }
};

void FileData::power_cut(Fate fate, Random& random, WorldCounters& counters) {
  PowerCut cut{fate, random, counters};
  // Which of the unsynced metadata survived: all of it, none, or growth up to some size.
  const std::uint64_t truncated_to = std::min(cut_, staged_cut_);
  const bool truncation_lost = truncated_to != UINT64_MAX && !cut.draw_page();
  std::uint64_t survivors_end = UINT64_MAX;  // bytes at or above it keep the platter's version
  if (truncation_lost) {
    survivors_end = truncated_to;
  } else {
    commit_truncation();
    std::uint64_t grown = durable_size_;
    if (syncing_) sizes_.push_back(staged_size_);
    if (fate == Fate::all_landed) {
      grown = size_;
    } else if (fate != Fate::all_lost && !sizes_.empty()) {
      const std::uint64_t drawn = sizes_[random.below(sizes_.size())];
      grown = random.one_in(3) ? size_ : std::max(durable_size_, std::min(drawn, size_));
    }
    durable_size_ = grown;
  }
  for (const std::uint32_t index : dirty_pages_) {
    Page& page = *pages_[index];
    page.listed = false;
    if (page.durable == nullptr) continue;
    const std::uint64_t start = std::uint64_t{index} * kPageBytes;
    const std::uint64_t valid_end = std::min(survivors_end, durable_size_);
    // Of the sector in which an undone truncation cut, nothing newer survives.
    std::uint64_t valid_bytes = valid_end > start ? valid_end - start : 0;
    if (truncation_lost && valid_end == survivors_end) {
      valid_bytes = valid_bytes / kSectorBytes * kSectorBytes;
    }
    cut.settle(page, valid_bytes);
    page.now = *page.durable;
    page.durable.reset();
    page.staged.reset();
    page.dirty = page.syncing = page.lost = 0;
  }
  if (cut.landed_last > cut.lost_first) ++counters.reordered_writes;
  dirty_pages_.clear();
  sizes_.clear();
  cut_ = staged_cut_ = UINT64_MAX;
  syncing_ = metadata_dirty_ = false;
  size_ = durable_size_;
  settle_allocation();
}

// After a crash: no page beyond the end, and what has content is allocated.
void FileData::settle_allocation() {
  const std::uint64_t page_count = (size_ + kPageBytes - 1) / kPageBytes;
  if (pages_.size() > page_count) pages_.resize(page_count);
  if (Page* tail = find_page(size_ / kPageBytes); tail != nullptr) {
    std::memset(tail->now.data() + size_ % kPageBytes, 0, kPageBytes - size_ % kPageBytes);
  }
  reserved_.resize(page_count, false);
  allocated_pages_ = 0;
  for (std::uint64_t i = 0; i < page_count; ++i) {
    if (find_page(i) != nullptr) reserved_[i] = true;
    if (reserved_[i]) ++allocated_pages_;
  }
}

}  // namespace drave::io::sim
