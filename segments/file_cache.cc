#include "segments/file_cache.h"

#include <utility>

#include "base/assert.h"

namespace drave::segments {

void CachedFile::close_now() {
  ASSERT(pins_ == 0);
  if (!file_.is_open()) return;
  unlink();
  --cache_->open_count_;
  file_ = io::File();
}

FilePin::FilePin(CachedFile& file) : file_(&file) {
  ASSERT(file.opened() != nullptr);
  if (file.pins_++ == 0) {
    file.unlink();
    ++file.cache_->pinned_count_;
  }
}

FilePin& FilePin::operator=(FilePin&& other) noexcept {
  if (this != &other) {
    reset();
    file_ = std::exchange(other.file_, nullptr);
  }
  return *this;
}

void FilePin::reset() {
  CachedFile* file = std::exchange(file_, nullptr);
  if (file == nullptr || --file->pins_ > 0) return;
  --file->cache_->pinned_count_;
  file->cache_->idle_.push_back(*file);
  file->cache_->close_excess();
}

FileCache::~FileCache() {
  ASSERT_EQUAL(open_count_, 0);
  ASSERT(indexes_.empty());
}

io::Task<Result<FilePin>> FileCache::open(CachedFile& file, std::string path,
                                          io::OpenOptions options) {
  if (file.opened() == nullptr) {
    CO_TRY(io::File opened, co_await io::File::open(*loop_, std::move(path), options));
    // Somebody else may have opened it meanwhile; then this descriptor is closed again.
    if (file.opened() == nullptr) {
      file.file_ = std::move(opened);
      file.cache_ = this;
      ++open_count_;
      idle_.push_back(file);
    }
  }
  FilePin pin(file);
  close_excess();
  co_return std::move(pin);
}

void FileCache::touch(CachedFile& file) {
  if (!file.is_linked()) return;
  file.unlink();
  idle_.push_back(file);
}

void FileCache::close_idle() {
  while (!idle_.empty()) idle_.front().close_now();
}

void FileCache::close_excess() {
  while (open_count_ > files_max_ && !idle_.empty()) idle_.front().close_now();
}

void FileCache::note_indexes(CachedIndexes& indexes, std::int64_t bytes) {
  forget_indexes(indexes);
  indexes.counted_bytes_ = bytes;
  index_bytes_ += bytes;
  indexes_.push_back(indexes);
  while (index_bytes_ > index_bytes_max_ && &indexes_.front() != &indexes) {
    CachedIndexes& oldest = indexes_.front();
    forget_indexes(oldest);
    oldest.drop_indexes();
  }
}

void FileCache::touch_indexes(CachedIndexes& indexes) {
  if (!indexes.is_linked()) return;
  indexes.unlink();
  indexes_.push_back(indexes);
}

void FileCache::forget_indexes(CachedIndexes& indexes) {
  if (!indexes.is_linked()) return;
  indexes.unlink();
  index_bytes_ -= std::exchange(indexes.counted_bytes_, 0);
}

}  // namespace drave::segments
