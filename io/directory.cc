// The functions on names of io/file.h, and whole small files.

#include <algorithm>
#include <cerrno>
#include <span>

#include "io/descriptors.h"
#include "io/file.h"

namespace drave::io {
namespace {

Task<Result<void>> on_name(Loop& loop, OperationCode code, const char* what, std::string path,
                           std::string path_to = {}) {
  Operation operation;
  operation.code = code;
  operation.path = path.c_str();
  operation.path_to = path_to.c_str();
  std::int32_t result;
  do {
    result = co_await perform(loop, operation);
  } while (result == -EINTR);
  if (result < 0)
    co_return std::unexpected(error_from_errno(-result, std::string(what) + " " + path));
  co_return Result<void>{};
}

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

constexpr const char* kTemporarySuffix = ".tmp";

// Writes and syncs the file under its temporary name.
Task<Result<void>> write_new_file(Loop& loop, std::string path,
                                  const std::vector<std::uint8_t>& content) {
  const OpenOptions options{.read = false, .write = true, .create = true, .truncate = true};
  CO_TRY(File file, co_await File::open(loop, std::move(path), options));
  CO_TRY_VOID(co_await file.write(0, content));
  CO_TRY_VOID(co_await file.sync());
  co_return co_await file.close();
}

}  // namespace

Task<Result<std::vector<DirectoryEntry>>> list_directory(Loop& loop, std::string path) {
  std::vector<DirectoryEntry> entries;
  Operation operation;
  operation.code = OperationCode::list;
  operation.path = path.c_str();
  operation.entries = &entries;
  std::int32_t result;
  Duration pause;
  do {
    entries.clear();
    result = co_await perform(loop, operation);
  } while (is_exhausted(result) && co_await detail::wait_for_descriptor(loop, path, pause));
  if (is_exhausted(result)) co_return detail::no_descriptor(result, "list " + path);
  if (result < 0) co_return std::unexpected(error_from_errno(-result, "list " + path));
  if (pause.ns > 0) detail::note_descriptor_found(loop);
  std::ranges::sort(entries, {}, &DirectoryEntry::name);
  co_return entries;
}

Task<Result<FileStatus>> status(Loop& loop, std::string path) {
  FileStatus found;
  Operation operation;
  operation.code = OperationCode::status;
  operation.path = path.c_str();
  operation.file_status = &found;
  const std::int32_t result = co_await perform(loop, operation);
  if (result < 0) co_return std::unexpected(error_from_errno(-result, "status of " + path));
  co_return found;
}

Task<Result<void>> rename(Loop& loop, std::string path, std::string path_to) {
  return on_name(loop, OperationCode::rename, "rename", std::move(path), std::move(path_to));
}

Task<Result<void>> unlink(Loop& loop, std::string path) {
  return on_name(loop, OperationCode::unlink, "unlink", std::move(path));
}

Task<Result<void>> make_directories(Loop& loop, std::string path) {
  // From the top: "/a", "/a/b", ...
  for (std::size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    std::string prefix = path.substr(0, end);
    auto made =
        co_await on_name(loop, OperationCode::make_directory, "make directory", std::move(prefix));
    if (!made && made.error().code != Errc::already_exists) co_return made;
    if (made) CO_TRY_VOID(co_await sync_name(loop, path.substr(0, end)));
    if (end == std::string::npos) break;
  }
  CO_TRY(const FileStatus found, co_await status(loop, path));
  if (!found.is_directory)
    co_return failure(Errc::already_exists, "not a directory: " + path, ENOTDIR);
  co_return Result<void>{};
}

Task<Result<void>> remove_tree(Loop& loop, std::string path) {
  // Depth first with a list instead of recursion: a directory stands before what it holds.
  std::vector<std::string> directories{std::move(path)};
  for (std::size_t i = 0; i < directories.size(); ++i) {
    const std::string directory = directories[i];
    CO_TRY(const auto entries, co_await list_directory(loop, directory));
    for (const DirectoryEntry& entry : entries) {
      std::string inner = join_path(directory, entry.name);
      if (entry.is_directory) {
        directories.push_back(std::move(inner));
      } else {
        CO_TRY_VOID(co_await unlink(loop, std::move(inner)));
      }
    }
  }
  for (; !directories.empty(); directories.pop_back()) {
    CO_TRY_VOID(co_await on_name(loop, OperationCode::remove_directory, "remove directory",
                                 directories.back()));
  }
  co_return Result<void>{};
}

Task<Result<void>> sync_name(Loop& loop, std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  const std::size_t slash = path.rfind('/');
  std::string parent = slash == std::string::npos ? "." : path.substr(0, slash);
  co_return co_await sync_directory(loop, parent.empty() ? "/" : std::move(parent));
}

Task<Result<void>> sync_directory(Loop& loop, std::string path) {
  const OpenOptions options{.directory = true};
  CO_TRY(File directory, co_await File::open(loop, std::move(path), options));
  auto synced = co_await directory.sync();
  auto closed = co_await directory.close();
  co_return synced ? closed : synced;
}

Task<Result<Space>> free_space(Loop& loop, std::string path) {
  Space space;
  Operation operation;
  operation.code = OperationCode::free_space;
  operation.path = path.c_str();
  operation.space = &space;
  const std::int32_t result = co_await perform(loop, operation);
  if (result < 0) co_return std::unexpected(error_from_errno(-result, "free space of " + path));
  co_return space;
}

Task<Result<std::vector<std::uint8_t>>> read_file(Loop& loop, std::string path,
                                                  std::size_t size_max) {
  CO_TRY(const FileStatus found, co_await status(loop, path));
  if (found.size > size_max)
    co_return failure(Errc::too_large, path + " has " + std::to_string(found.size) + " bytes");
  CO_TRY(File file, co_await File::open(loop, std::move(path), OpenOptions{}));
  std::vector<std::uint8_t> content(found.size);
  CO_TRY(const std::size_t size, co_await file.read(0, content));
  content.resize(size);
  CO_TRY_VOID(co_await file.close());
  co_return content;
}

Task<Result<void>> replace_file(Loop& loop, std::string path, std::vector<std::uint8_t> content) {
  const std::string temporary = path + kTemporarySuffix;
  CO_TRY_VOID(co_await write_new_file(loop, temporary, content));
  CO_TRY_VOID(co_await rename(loop, temporary, path));
  co_return co_await sync_directory(loop, directory_of(path));
}

std::string join_path(std::string_view directory, std::string_view name) {
  std::string path{directory};
  if (!path.empty() && path.back() != '/') path += '/';
  path += name;
  return path;
}

}  // namespace drave::io
