#include "io/sim/disk.h"

#include <algorithm>
#include <cerrno>

#include "base/assert.h"

namespace drave::io::sim {

Disk::Disk(DiskOptions options, std::uint64_t seed, WorldCounters& counters)
    : options_(options),
      random_(seed),
      counters_(counters),
      root_(std::make_shared<Inode>(0, true, usage_)) {}

namespace {

// Takes the first component off `path`; empty when there is none left.
std::string_view next_component(std::string_view& path) {
  while (true) {
    while (path.starts_with('/')) path.remove_prefix(1);
    const std::string_view component = path.substr(0, path.find('/'));
    path.remove_prefix(component.size());
    if (component != ".") return component;
  }
}

}  // namespace

InodePointer Disk::find(std::string_view path) const {
  InodePointer at = root_;
  for (auto name = next_component(path); !name.empty(); name = next_component(path)) {
    const auto entry = at->entries.find(name);
    if (entry == at->entries.end()) return nullptr;
    at = entry->second;
  }
  return at;
}

int Disk::find_place(std::string_view path, Place& place) const {
  InodePointer at = root_;
  std::string_view name = next_component(path);
  if (name.empty()) return -EINVAL;
  for (auto next = next_component(path); !next.empty(); next = next_component(path)) {
    const auto entry = at->entries.find(name);
    if (entry == at->entries.end()) return -ENOENT;
    if (!entry->second->is_directory) return -ENOTDIR;
    at = entry->second;
    name = next;
  }
  if (name == ".." || name.size() > 255) return name == ".." ? -EINVAL : -ENAMETOOLONG;
  place = {at, name};
  return 0;
}

void Disk::add_change(Change change) {
  change.number = change_number_++;
  changes_.push_back(std::move(change));
}

int Disk::open(std::string_view path, const OpenOptions& options, std::int64_t now_ms,
               InodePointer& opened) {
  if (options.direct && !options_.direct_supported) return -EINVAL;
  opened = find(path);
  if (opened != nullptr) {
    if (options.create && options.exclusive) return -EEXIST;
    if (opened->is_directory && (options.write || options.create)) return -EISDIR;
    if (!opened->is_directory && options.directory) return -ENOTDIR;
    if (options.truncate) account(*opened, [&] { opened->data.truncate(0); });
    return 0;
  }
  Place place;
  if (const int error = find_place(path, place); error != 0) return error;
  if (!options.create) return -ENOENT;
  if (!has_room(1)) return -ENOSPC;
  opened = std::make_shared<Inode>(++inode_count_, false, usage_);
  opened->modified_ms = now_ms;
  place.directory->entries.emplace(place.name, opened);
  add_change({0, ChangeKind::link, opened, place.directory, std::string(place.name), nullptr, {}});
  return 0;
}

int Disk::rename(std::string_view path, std::string_view path_to) {
  Place from, to;
  if (const int error = find_place(path, from); error != 0) return error;
  if (const int error = find_place(path_to, to); error != 0) return error;
  const auto entry = from.directory->entries.find(from.name);
  if (entry == from.directory->entries.end()) return -ENOENT;
  const InodePointer moved = entry->second;
  if (const auto there = to.directory->entries.find(to.name);
      there != to.directory->entries.end()) {
    if (there->second == moved) return 0;
    if (there->second->is_directory && !moved->is_directory) return -EISDIR;
    if (!there->second->is_directory && moved->is_directory) return -ENOTDIR;
    if (!there->second->entries.empty()) return -ENOTEMPTY;
    there->second->unlinked();
    there->second = moved;
  } else {
    to.directory->entries.emplace(to.name, moved);
  }
  from.directory->entries.erase(from.directory->entries.find(from.name));
  add_change({0, ChangeKind::rename, moved, from.directory, std::string(from.name), to.directory,
              std::string(to.name)});
  return 0;
}

int Disk::unlink(std::string_view path) {
  Place place;
  if (const int error = find_place(path, place); error != 0) return error;
  const auto entry = place.directory->entries.find(place.name);
  if (entry == place.directory->entries.end()) return -ENOENT;
  if (entry->second->is_directory) return -EISDIR;
  add_change({0,
              ChangeKind::unlink,
              entry->second,
              place.directory,
              std::string(place.name),
              nullptr,
              {}});
  entry->second->unlinked();
  place.directory->entries.erase(entry);
  return 0;
}

int Disk::make_directory(std::string_view path) {
  Place place;
  if (const int error = find_place(path, place); error != 0) return error;
  if (place.directory->entries.contains(place.name)) return -EEXIST;
  auto made = std::make_shared<Inode>(++inode_count_, true, usage_);
  place.directory->entries.emplace(place.name, made);
  add_change({0,
              ChangeKind::link,
              std::move(made),
              place.directory,
              std::string(place.name),
              nullptr,
              {}});
  return 0;
}

int Disk::remove_directory(std::string_view path) {
  Place place;
  if (const int error = find_place(path, place); error != 0) return error;
  const auto entry = place.directory->entries.find(place.name);
  if (entry == place.directory->entries.end()) return -ENOENT;
  if (!entry->second->is_directory) return -ENOTDIR;
  if (!entry->second->entries.empty()) return -ENOTEMPTY;
  add_change({0,
              ChangeKind::unlink,
              entry->second,
              place.directory,
              std::string(place.name),
              nullptr,
              {}});
  entry->second->unlinked();
  place.directory->entries.erase(entry);
  return 0;
}

int Disk::list(std::string_view path, std::vector<DirectoryEntry>& entries) {
  const InodePointer directory = find(path);
  if (directory == nullptr) return -ENOENT;
  if (!directory->is_directory) return -ENOTDIR;
  for (const auto& [name, inode] : directory->entries) {
    entries.push_back({name, inode->is_directory});
  }
  // No file system promises an order.
  for (std::size_t i = entries.size(); i > 1; --i) {
    std::swap(entries[i - 1], entries[random_.below(i)]);
  }
  return 0;
}

int Disk::status(std::string_view path, FileStatus& status) {
  const InodePointer inode = find(path);
  if (inode == nullptr) return -ENOENT;
  status = {inode->data.size(), inode->is_directory, inode->modified_ms};
  return 0;
}

Space Disk::free_space() const {
  const std::uint64_t used = usage_->pages * kPageBytes;
  return {options_.capacity_bytes,
          used >= options_.capacity_bytes ? 0 : options_.capacity_bytes - used};
}

bool Disk::has_room(std::uint64_t pages) const {
  return pages == 0 || (usage_->pages + pages) * kPageBytes <= options_.capacity_bytes;
}

std::int64_t Disk::write(Inode& inode, std::uint64_t position, ByteView bytes, bool durable) {
  while (!has_room(inode.data.pages_missing(position, bytes.size()))) {
    ++counters_.no_space;
    const std::uint64_t end = position + bytes.size();
    const std::uint64_t page_start = (end - 1) / kPageBytes * kPageBytes;
    if (page_start <= position) return -ENOSPC;
    bytes = bytes.first(page_start - position);
  }
  account(inode, [&] { inode.data.write(position, bytes, durable); });
  return static_cast<std::int64_t>(bytes.size());
}

int Disk::truncate(Inode& inode, std::uint64_t size) {
  account(inode, [&] { inode.data.truncate(size); });
  return 0;
}

int Disk::allocate(Inode& inode, std::uint64_t position, std::uint64_t size) {
  if (!has_room(inode.data.pages_missing(position, size))) {
    ++counters_.no_space;
    return -ENOSPC;
  }
  account(inode, [&] { inode.data.allocate(position, size); });
  return 0;
}

// `later` makes no sense on a disk where `earlier` did not happen.
bool Disk::depends(const Change& later, const Change& earlier) {
  if (later.inode == earlier.inode) return true;
  const auto touches = [&](const InodePointer& directory, const std::string& name) {
    if (directory == nullptr) return false;
    return (earlier.directory == directory && earlier.name == name) ||
           (earlier.directory_to == directory && earlier.name_to == name);
  };
  return touches(later.directory, later.name) || touches(later.directory_to, later.name_to);
}

void Disk::apply(const Change& change) {
  switch (change.kind) {
    case ChangeKind::link: change.directory->durable_entries[change.name] = change.inode; break;
    case ChangeKind::unlink: change.directory->durable_entries.erase(change.name); break;
    case ChangeKind::rename:
      change.directory->durable_entries.erase(change.name);
      change.directory_to->durable_entries[change.name_to] = change.inode;
      break;
  }
}

// The pending changes that a sync of `directory` writes: its own and what they need, also of what
// an earlier sync has failed to write.
std::vector<bool> Disk::covered_by_sync(const Inode& directory, std::uint64_t number) const {
  std::vector<bool> chosen(changes_.size(), false);
  for (std::size_t i = changes_.size(); i-- > 0;) {
    const Change& change = changes_[i];
    chosen[i] = change.number < number && !change.sync_failed &&
                (change.directory.get() == &directory || change.directory_to.get() == &directory);
    for (std::size_t later = i + 1; !chosen[i] && later < changes_.size(); ++later) {
      chosen[i] = chosen[later] && depends(changes_[later], change);
    }
  }
  return chosen;
}

void Disk::sync_directory(const Inode& directory, std::uint64_t number) {
  const std::vector<bool> chosen = covered_by_sync(directory, number);
  std::deque<Change> kept;
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    if (chosen[i]) {
      apply(changes_[i]);
    } else {
      kept.push_back(std::move(changes_[i]));
    }
  }
  changes_ = std::move(kept);
}

void Disk::fail_sync(const Inode& directory, std::uint64_t number) {
  const std::vector<bool> chosen = covered_by_sync(directory, number);
  for (std::size_t i = 0; i < chosen.size(); ++i) changes_[i].sync_failed |= chosen[i];
}

void Disk::forget_failed_syncs() {
  for (Change& change : changes_) change.sync_failed = false;
}

void Disk::interrupt_write(Inode& inode, std::uint64_t position, ByteView bytes, bool power) {
  const auto fate = static_cast<Fate>(random_.below(4));
  if (fate == Fate::all_lost) return;
  const std::size_t step = fate == Fate::by_page ? kPageBytes : kSectorBytes;
  std::vector<std::uint8_t> garbage(kSectorBytes);
  bool any_landed = false;
  bool any_lost = false;
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t piece = std::min(bytes.size() - at, step - (position + at) % step);
    ByteView content = bytes.subspan(at, piece);
    const bool lands = fate == Fate::all_landed || random_.one_in(2);
    if (power && lands && piece == kSectorBytes && options_.garbage_sector_one_in != 0 &&
        random_.one_in(options_.garbage_sector_one_in)) {
      for (std::size_t i = 0; i < garbage.size(); i += 8) {
        const std::uint64_t noise = random_.next();
        std::memcpy(garbage.data() + i, &noise, 8);
      }
      content = garbage;
      ++counters_.garbage_sectors;
    }
    if (lands && has_room(inode.data.pages_missing(position + at, piece))) {
      account(inode, [&] { inode.data.write(position + at, content, false); });
    }
    (lands ? any_landed : any_lost) = true;
    at += piece;
  }
  if (any_landed && any_lost) ++counters_.torn_writes;
}

void Disk::settle_tree(Inode& directory) {
  directory.entries = directory.durable_entries;
  for (auto& [name, inode] : directory.entries) {
    inode->lock_holder = 0;
    inode->open_count = 0;
    inode->is_unlinked = false;
    if (inode->is_directory) {
      settle_tree(*inode);
      continue;
    }
    if (inode->data.is_dirty()) {
      inode->data.power_cut(static_cast<Fate>(random_.below(4)), random_, counters_);
    }
    inode->count_again();
  }
}

void Disk::power_cut() {
  const std::uint64_t mode = random_.below(4);  // none, all, a prefix, any subset
  std::size_t prefix = mode == 1 ? changes_.size() : 0;
  if (mode == 2 && !changes_.empty()) prefix = random_.below(changes_.size() + 1);
  std::vector<bool> lost(changes_.size(), false);
  for (std::size_t i = 0; i < changes_.size(); ++i) {
    lost[i] = mode == 3 ? random_.one_in(2) : i >= prefix;
    for (std::size_t earlier = 0; !lost[i] && earlier < i; ++earlier) {
      lost[i] = lost[earlier] && depends(changes_[i], changes_[earlier]);
    }
    if (!lost[i]) apply(changes_[i]);
    ++(lost[i] ? counters_.lost_names : counters_.landed_names);
  }
  changes_.clear();
  ++usage_->epoch;
  usage_->pages = 0;
  settle_tree(*root_);
}

std::vector<std::uint8_t> Disk::content(std::string_view path) const {
  const InodePointer inode = find(path);
  ASSERT(inode != nullptr && !inode->is_directory);
  std::vector<std::uint8_t> bytes(inode->data.size());
  inode->data.read(0, bytes);
  return bytes;
}

void Disk::collect(const Inode& directory, const std::string& prefix,
                   std::vector<std::string>& paths) const {
  for (const auto& [name, inode] : directory.entries) {
    const std::string path = prefix + "/" + name;
    if (inode->is_directory) {
      collect(*inode, path, paths);
    } else {
      paths.push_back(path);
    }
  }
}

std::vector<std::string> Disk::files_below(std::string_view path) const {
  std::vector<std::string> paths;
  const InodePointer top = find(path);
  std::string prefix(path);
  while (prefix.ends_with('/')) prefix.pop_back();
  if (top != nullptr) collect(*top, prefix, paths);
  return paths;
}

void Disk::flip(std::string_view path, std::uint64_t position, std::uint8_t mask) {
  const InodePointer inode = find(path);
  ASSERT(inode != nullptr && position < inode->data.size());
  inode->data.flip(position, mask);
  ++counters_.flips;
}

void Disk::rot(std::string_view path, std::uint64_t position, Random& random) {
  const InodePointer inode = find(path);
  ASSERT(inode != nullptr && position < inode->data.size());
  const std::uint64_t end = std::min(position + kSectorBytes, inode->data.size());
  for (; position < end; ++position) {
    inode->data.flip(position, static_cast<std::uint8_t>(random.between(1, 255)));
  }
  ++counters_.flips;
}

void Disk::put(std::string_view path, ByteView bytes) {
  for (std::size_t at = path.find('/', 1); at != std::string_view::npos;
       at = path.find('/', at + 1)) {
    make_directory(path.substr(0, at));
  }
  InodePointer inode;
  const int error = open(path, {.write = true, .create = true, .truncate = true}, 0, inode);
  ASSERT_EQUAL(error, 0);
  account(*inode, [&] { inode->data.write(0, bytes, true); });
  sync_all();
}

void Disk::remove(std::string_view path) {
  Place place;
  const int error = find_place(path, place);
  ASSERT_EQUAL(error, 0);
  const auto entry = place.directory->entries.find(place.name);
  ASSERT(entry != place.directory->entries.end());
  add_change({0,
              ChangeKind::unlink,
              entry->second,
              place.directory,
              std::string(place.name),
              nullptr,
              {}});
  entry->second->unlinked();
  place.directory->entries.erase(entry);
  sync_all();
}

void Disk::sync_all() {
  for (const Change& change : changes_) apply(change);
  changes_.clear();
  for (const std::string& path : files_below("")) find(path)->data.sync_now();
}

}  // namespace drave::io::sim
