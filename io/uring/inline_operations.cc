// Operations that are done on the loop's thread, because no ring of Linux 6.1 has them or because
// it would hand them to a worker for less than the hand-over costs. They complete through the queue
// all the same.

#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

#include "io/uring/backend.h"

namespace drave::io {
namespace {

std::int32_t list_entries(const char* path, std::vector<DirectoryEntry>& entries) {
  entries.clear();
  DIR* directory = opendir(path);
  if (directory == nullptr) return -errno;
  errno = 0;
  while (const dirent* entry = readdir(directory)) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    bool is_directory = entry->d_type == DT_DIR;
    if (entry->d_type == DT_UNKNOWN) {
      struct stat found{};
      is_directory = fstatat(dirfd(directory), entry->d_name, &found, AT_SYMLINK_NOFOLLOW) == 0 &&
                     S_ISDIR(found.st_mode);
    }
    entries.push_back({std::string(name), is_directory});
    errno = 0;
  }
  const int failed = errno;
  closedir(directory);
  return -failed;
}

// A lock of the open file description: it excludes the POSIX locks that Kafka takes on the same
// file and, unlike them, a second opener in this process.
std::int32_t lock_file(int fd) {
  struct flock lock{};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  if (fcntl(fd, F_OFD_SETLK, &lock) == 0) return 0;
  return errno == EACCES ? -EWOULDBLOCK : -errno;
}

std::int32_t read_space(const char* path, Space& space) {
  struct statvfs found{};
  if (statvfs(path, &found) != 0) return -errno;
  space.total = static_cast<std::uint64_t>(found.f_blocks) * found.f_frsize;
  space.available = static_cast<std::uint64_t>(found.f_bavail) * found.f_frsize;
  return 0;
}

}  // namespace

bool UringBackend::try_inline(Operation& operation) {
  const int fd = operation.handle.value;
  std::int32_t result = 0;
  switch (operation.code) {
    case OperationCode::list: result = list_entries(operation.path, *operation.entries); break;
    case OperationCode::lock: result = lock_file(fd); break;
    case OperationCode::free_space: result = read_space(operation.path, *operation.space); break;
    case OperationCode::listen: result = listeners_.open(operation); break;
    case OperationCode::shutdown:
      result = shutdown(fd, operation.shutdown_write_only ? SHUT_WR : SHUT_RDWR) == 0 ? 0 : -errno;
      break;
    case OperationCode::truncate:
      if (ring_.has_truncate()) return false;
      result = ftruncate(fd, static_cast<off_t>(operation.size)) == 0 ? 0 : -errno;
      break;
    default: return false;
  }
  finish(operation, result);
  return true;
}

}  // namespace drave::io
