#pragma once
// Files and directories, in coroutines. Thin: each call is one Operation (several where the kernel
// moved fewer bytes than asked). Errors carry the path.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "io/loop.h"
#include "io/operation.h"
#include "io/task.h"

namespace drave::io {

// An open file. Move-only. close() it before it is destroyed; a File that is destroyed open is
// closed through the loop, its result unread. The loop that opened it is the one that uses it, but
// handle() may be used by Operations on any shard of the node.
class File {
 public:
  File() = default;
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;
  ~File();

  static Task<Result<File>> open(Loop& loop, std::string path, OpenOptions options);

  bool is_open() const { return handle_.is_valid(); }
  Handle handle() const { return handle_; }
  const std::string& path() const { return path_; }

  // Fills `into` from [position, ...) and returns the bytes read: fewer only at the end of the
  // file.
  Task<Result<std::size_t>> read(std::uint64_t position, MutableByteView into);
  // Like read(), but only what needs no disk: Errc::busy otherwise. Does not suspend.
  Result<std::size_t> read_cached(std::uint64_t position, MutableByteView into);

  // Writes all of `bytes` at `position`, resubmitting what was left. Durable when the task
  // completes only with write_through (here or at open). Errc::no_space: nothing is known of the
  // range.
  Task<Result<void>> write(std::uint64_t position, ByteView bytes, bool write_through = false);
  // The same from several pieces, in one operation where the kernel takes them. `pieces` and what
  // they name stay valid until the task completes; pieces is used as scratch space.
  Task<Result<void>> write_vectors(std::uint64_t position, std::vector<iovec> pieces,
                                   bool write_through = false);

  // Durable on return. An error is final: the file's unsynced bytes are unknown and a second sync
  // proves nothing (DESIGN section 8); the caller fences the directory.
  Task<Result<void>> sync_data();
  Task<Result<void>> sync();

  Task<Result<void>> truncate(std::uint64_t size);
  Task<Result<void>> allocate(std::uint64_t position, std::uint64_t size);
  // Takes the exclusive lock of the file; Errc::locked if another process has it.
  Task<Result<void>> lock();
  Task<Result<void>> close();

 private:
  Task<Result<void>> simple(OperationCode code, const char* what, std::uint64_t position,
                            std::uint64_t size);

  Loop* loop_ = nullptr;
  Handle handle_;
  std::string path_;
  bool is_direct_ = false;
};

// --- Names. A name is durable only after sync_directory() of the directory that holds it.
Task<Result<std::vector<DirectoryEntry>>> list_directory(Loop& loop, std::string path);  // sorted
Task<Result<FileStatus>> status(Loop& loop, std::string path);  // Errc::not_found
Task<Result<void>> rename(Loop& loop, std::string path, std::string path_to);
Task<Result<void>> unlink(Loop& loop, std::string path);
// Makes the directory and its missing parents, each durable on return with its name; no error if it
// exists. What existed before is not made durable.
Task<Result<void>> make_directories(Loop& loop, std::string path);
// Unlinks a directory with everything in it.
Task<Result<void>> remove_tree(Loop& loop, std::string path);
Task<Result<void>> sync_directory(Loop& loop, std::string path);
// Of the directory that holds `path`, whoever made that, also an attempt whose sync failed.
Task<Result<void>> sync_name(Loop& loop, std::string path);
Task<Result<Space>> free_space(Loop& loop, std::string path);

// Whole small files (checkpoints, properties).
Task<Result<std::vector<std::uint8_t>>> read_file(Loop& loop, std::string path,
                                                  std::size_t size_max = 64 << 20);
// Replaces the file so that a crash leaves the old or the new content, never a mixture: temporary
// file, sync, rename, sync of the directory. Durable on return.
Task<Result<void>> replace_file(Loop& loop, std::string path, std::vector<std::uint8_t> content);

// "a" + "b" -> "a/b".
std::string join_path(std::string_view directory, std::string_view name);

}  // namespace drave::io
