#pragma once
// The open descriptors and loaded indexes of a shard's segments: least recently used ones are given
// up beyond a bound. What is pinned (being read or written, or written and not yet synced: an error
// of the disk is told to the descriptor that wrote) stays open and may exceed the bound; the
// flusher looks at pinned_count().

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "base/intrusive_list.h"
#include "base/result.h"
#include "io/file.h"
#include "io/loop.h"
#include "segments/chunk_pool.h"
#include "segments/log_limits.h"
#include "segments/read_cache.h"

namespace drave::segments {

class FileCache;

// A file that the cache may close and open again. Lives in its segment.
class CachedFile : public ListLink<> {
 public:
  CachedFile() = default;
  CachedFile(const CachedFile&) = delete;
  ~CachedFile() { close_now(); }

  // The open file, or null: ask FileCache::open.
  io::File* opened() { return file_.is_open() ? &file_ : nullptr; }
  // Closes it, its result unread. Not while pinned.
  void close_now();
  bool is_pinned() const { return pins_ > 0; }

 private:
  friend class FileCache;
  friend class FilePin;
  FileCache* cache_ = nullptr;
  io::File file_;
  int pins_ = 0;
};

// Keeps a file open as long as it lives.
class FilePin {
 public:
  FilePin() = default;
  explicit FilePin(CachedFile& file);
  FilePin(FilePin&& other) noexcept : file_(std::exchange(other.file_, nullptr)) {}
  FilePin& operator=(FilePin&& other) noexcept;
  ~FilePin() { reset(); }
  void reset();
  bool is_held() const { return file_ != nullptr; }
  io::File& file() const { return *file_->opened(); }

 private:
  CachedFile* file_ = nullptr;
};

// Something whose memory can be dropped and loaded again: the indexes of a complete segment.
class CachedIndexes : public ListLink<struct CachedIndexesTag> {
 public:
  virtual void drop_indexes() = 0;

 protected:
  ~CachedIndexes() = default;

 private:
  friend class FileCache;
  std::int64_t counted_bytes_ = 0;
};

class FileCache {
 public:
  FileCache(io::Loop& loop, std::int64_t files_max, std::int64_t index_bytes_max = kIndexBytesMax,
            std::size_t read_bytes_max = kReadCacheBytes)
      : loop_(&loop),
        files_max_(files_max),
        index_bytes_max_(index_bytes_max),
        read_pool_(ChunkPool::make(kIdleReadBytesMax, ChunkPool::kReusedSizeMax)),
        read_cache_(loop, read_pool_, read_bytes_max) {}
  FileCache(const FileCache&) = delete;
  ~FileCache();

  // Opens `file` at `path` unless it is open, pins it, and closes the least recently used ones
  // beyond the bound.
  io::Task<Result<FilePin>> open(CachedFile& file, std::string path, io::OpenOptions options);
  // Closes what is not pinned.
  void close_idle();
  // An open file was used.
  void touch(CachedFile& file);

  void note_indexes(CachedIndexes& indexes, std::int64_t bytes);
  void touch_indexes(CachedIndexes& indexes);
  void forget_indexes(CachedIndexes& indexes);

  // Memory for what is read from files.
  ChunkPool& read_pool() { return *read_pool_; }
  ReadCache& read_cache() { return read_cache_; }
  const ReadCache& read_cache() const { return read_cache_; }
  // Of reads past the page cache.
  ReadRate& read_rate() { return read_rate_; }
  // False once a file system has refused O_DIRECT.
  bool direct_works() const { return direct_works_; }
  void set_direct_fails() { direct_works_ = false; }

  std::int64_t open_count() const { return open_count_; }
  std::int64_t pinned_count() const { return pinned_count_; }
  std::int64_t files_max() const { return files_max_; }
  std::int64_t index_bytes() const { return index_bytes_; }

 private:
  friend class CachedFile;
  friend class FilePin;
  void close_excess();

  io::Loop* loop_;
  std::int64_t files_max_;
  std::int64_t index_bytes_max_;
  std::int64_t open_count_ = 0;
  std::int64_t pinned_count_ = 0;
  std::int64_t index_bytes_ = 0;
  std::shared_ptr<ChunkPool> read_pool_;
  ReadCache read_cache_;
  ReadRate read_rate_;
  bool direct_works_ = true;
  IntrusiveList<CachedFile> idle_;  // open and not pinned, least recently used first
  IntrusiveList<CachedIndexes, CachedIndexesTag> indexes_;
};

}  // namespace drave::segments
