#include "io/file.h"

#include <cerrno>
#include <utility>

#include "io/descriptors.h"
#include "io/detail/advance.h"

namespace drave::io {
namespace {

// What a device may leave at the end of a short direct transfer.
constexpr std::size_t kSectorSize = 512;

std::unexpected<Error> file_error(int negative_errno, const char* what, const std::string& path) {
  return std::unexpected(error_from_errno(-negative_errno, std::string(what) + " " + path));
}

bool is_transient(std::int32_t result) {
  return result == -EINTR || result == -EAGAIN;
}

}  // namespace

File::File(File&& other) noexcept
    : loop_(std::exchange(other.loop_, nullptr)),
      handle_(std::exchange(other.handle_, Handle{})),
      path_(std::move(other.path_)),
      is_direct_(other.is_direct_) {}

File& File::operator=(File&& other) noexcept {
  if (this == &other) return *this;
  if (handle_.is_valid()) loop_->close_detached(handle_);
  loop_ = std::exchange(other.loop_, nullptr);
  handle_ = std::exchange(other.handle_, Handle{});
  path_ = std::move(other.path_);
  is_direct_ = other.is_direct_;
  return *this;
}

File::~File() {
  if (handle_.is_valid()) loop_->close_detached(handle_);
}

Task<Result<File>> File::open(Loop& loop, std::string path, OpenOptions options) {
  Operation operation;
  operation.code = OperationCode::open;
  operation.path = path.c_str();
  operation.open = options;
  std::int32_t result;
  Duration pause;
  do {
    result = co_await perform(loop, operation);
  } while (result == -EINTR ||
           (is_exhausted(result) && co_await detail::wait_for_descriptor(loop, path, pause)));
  if (is_exhausted(result)) co_return detail::no_descriptor(result, "open " + path);
  if (result < 0) co_return file_error(result, "open", path);
  if (pause.ns > 0) detail::note_descriptor_found(loop);
  File file;
  file.loop_ = &loop;
  file.handle_ = Handle{result};
  file.path_ = std::move(path);
  file.is_direct_ = options.direct;
  co_return file;
}

Task<Result<std::size_t>> File::read(std::uint64_t position, MutableByteView into) {
  ASSERT(is_open());
  std::size_t done = 0;
  Operation operation;
  operation.code = OperationCode::read;
  operation.handle = handle_;
  while (done < into.size()) {
    iovec rest{into.data() + done, into.size() - done};
    operation.position = position + done;
    operation.vectors = &rest;
    operation.vector_count = 1;
    const std::int32_t result = co_await perform(*loop_, operation);
    if (is_transient(result)) continue;
    if (result < 0) co_return file_error(result, "read", path_);
    if (result == 0) break;
    done += static_cast<std::size_t>(result);
    // A direct read that ends within a sector has met the end of the file.
    if (is_direct_ && done % kSectorSize != 0) break;
  }
  co_return done;
}

Result<std::size_t> File::read_cached(std::uint64_t position, MutableByteView into) {
  ASSERT(is_open());
  std::size_t done = 0;
  while (done < into.size()) {
    const std::int32_t result =
        loop_->backend().read_cached(handle_, position + done, into.subspan(done));
    // Also after a part has been read: what was returned short would look like the file's end.
    if (result == -EAGAIN) return failure(Errc::busy, "not in memory: " + path_, EAGAIN);
    if (result < 0) return file_error(result, "read", path_);
    if (result == 0) break;
    done += static_cast<std::size_t>(result);
  }
  return done;
}

Task<Result<void>> File::write(std::uint64_t position, ByteView bytes, bool write_through) {
  std::vector<iovec> pieces;
  pieces.push_back({const_cast<std::uint8_t*>(bytes.data()), bytes.size()});
  return write_vectors(position, std::move(pieces), write_through);
}

Task<Result<void>> File::write_vectors(std::uint64_t position, std::vector<iovec> pieces,
                                       bool write_through) {
  ASSERT(is_open());
  Operation operation;
  operation.code = OperationCode::write;
  operation.handle = handle_;
  operation.write_through = write_through;
  std::span<iovec> rest = detail::advance(pieces, 0);
  while (!rest.empty()) {
    operation.position = position;
    operation.vectors = rest.data();
    operation.vector_count = static_cast<std::uint32_t>(rest.size());
    const std::int32_t result = co_await perform(*loop_, operation);
    if (is_transient(result)) continue;
    if (result < 0) co_return file_error(result, "write", path_);
    const auto moved = static_cast<std::size_t>(result);
    rest = detail::advance(rest, moved);
    position += moved;
    const bool is_torn = is_direct_ && !rest.empty() && moved % kSectorSize != 0;
    if (moved == 0 || is_torn) co_return failure(Errc::io, "short write " + path_, EIO);
  }
  co_return Result<void>{};
}

Task<Result<void>> File::simple(OperationCode code, const char* what, std::uint64_t position,
                                std::uint64_t size) {
  ASSERT(is_open());
  Operation operation;
  operation.code = code;
  operation.handle = handle_;
  operation.position = position;
  operation.size = size;
  const std::int32_t result = co_await perform(*loop_, operation);
  if (result < 0) {
    auto error = file_error(result, what, path_);
    // What a failed sync was to write may be gone, and the next one says nothing of it: there is no
    // waiting for space.
    const bool is_sync = code == OperationCode::sync || code == OperationCode::sync_data;
    if (is_sync && error.error().code == Errc::no_space) error.error().code = Errc::io;
    co_return error;
  }
  co_return Result<void>{};
}

Task<Result<void>> File::sync_data() {
  return simple(OperationCode::sync_data, "sync", 0, 0);
}

Task<Result<void>> File::sync() {
  return simple(OperationCode::sync, "sync", 0, 0);
}

Task<Result<void>> File::truncate(std::uint64_t size) {
  return simple(OperationCode::truncate, "truncate", 0, size);
}

Task<Result<void>> File::allocate(std::uint64_t position, std::uint64_t size) {
  return simple(OperationCode::allocate, "allocate", position, size);
}

Task<Result<void>> File::lock() {
  return simple(OperationCode::lock, "lock", 0, 0);
}

Task<Result<void>> File::close() {
  ASSERT(is_open());
  Operation operation;
  operation.code = OperationCode::close;
  operation.handle = std::exchange(handle_, Handle{});
  const std::int32_t result = co_await perform(*loop_, operation);
  if (result < 0) co_return file_error(result, "close", path_);
  co_return Result<void>{};
}

}  // namespace drave::io
