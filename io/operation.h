#pragma once
// One request to the kernel, or to the simulator that stands in for it.
//
// An Operation is a plain struct that lives where its result is awaited (in the awaiter, thus in
// the coroutine's frame) and must stay at its address until `complete` has been called. Memory that
// it names (buffer, vectors, paths) belongs to the backend from submit to completion and must not
// be touched. Exactly one completion follows each submit, also after a cancel: the completion tells
// the truth.

#include <sys/uio.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/intrusive_list.h"

namespace drave::io {

// A file, directory or socket of one backend. On Linux a file descriptor; in the simulator a
// number. Valid on every shard of a process (the kernel's table is the process's, the simulator's
// the node's).
struct Handle {
  std::int32_t value = -1;
  bool is_valid() const { return value >= 0; }
  auto operator<=>(const Handle&) const = default;
};

enum class OperationCode : std::uint8_t {
  // Files. `position` and sizes in bytes; result: bytes moved, which may be fewer than asked.
  open,       // path, open -> handle value
  close,      // handle
  read,       // handle, position, vectors
  write,      // handle, position, vectors, write_through (O_DSYNC for this write)
  sync_data,  // handle: data and what is needed to read it back (fdatasync)
  sync,       // handle: data and all metadata (fsync); of a directory: its entries
  truncate,   // handle, size
  allocate,   // handle, position, size: reserves blocks and extends the file (fallocate)
  // Names. All paths are absolute or relative to the process's directory.
  rename,            // path -> path_to, replaces
  unlink,            // path
  make_directory,    // path
  remove_directory,  // path (must be empty)
  list,              // path -> *entries
  status,            // path -> *file_status
  lock,              // handle: exclusive, without waiting; -EWOULDBLOCK if another holds it
  free_space,        // path -> *space
  // Sockets. result of receive: bytes, 0 when the peer has finished; of send: bytes taken.
  listen,    // address, backlog, buffers -> handle value; address.port: the one that was bound
  accept,    // handle -> handle value of the connection; *peer if not null
  connect,   // address -> handle value
  receive,   // handle, vectors; or, with `pooled`, a buffer of the backend's choice (see `pooled`)
  send,      // handle, vectors; may take fewer bytes than offered
  shutdown,  // handle, shutdown_write_only
};

struct OpenOptions {
  bool read = true;
  bool write = false;
  bool create = false;
  bool exclusive = false;  // with create: fail if it exists
  bool truncate = false;
  bool directory = false;
  bool direct = false;         // O_DIRECT: positions, sizes and addresses are multiples of
                               // kDirectAlignment; -EINVAL where the file system cannot
  bool write_through = false;  // O_DSYNC for all writes
};

// What O_DIRECT needs here: the larger of logical and physical block on every disk that we know.
inline constexpr std::size_t kDirectAlignment = 4096;

struct SocketAddress {
  std::string host;  // numeric IPv4 or IPv6 address, or a name that the backend resolves
  std::uint16_t port = 0;
  auto operator<=>(const SocketAddress&) const = default;
};

struct DirectoryEntry {
  std::string name;
  bool is_directory = false;
};

struct FileStatus {
  std::uint64_t size = 0;
  bool is_directory = false;
  std::int64_t modified_ms = 0;  // wall clock
};

struct Space {
  std::uint64_t total = 0;
  std::uint64_t available = 0;  // to this process
};

struct Operation : ListLink<> {
  OperationCode code = OperationCode::close;

  Handle handle;
  std::uint64_t position = 0;
  std::uint64_t size = 0;
  const iovec* vectors = nullptr;  // stays valid until completion
  std::uint32_t vector_count = 0;

  bool write_through = false;
  bool shutdown_write_only = false;
  // receive only: the backend picks one of its receive buffers when data is there, so that an idle
  // connection holds no memory. On success `pooled_buffer` is [data, data + result) and must be
  // handed back with Backend::return_buffer on the same backend, soon. With any other result,
  // 0 included, there is no buffer.
  bool pooled = false;
  // receive into vectors only: a hint that fewer bytes than asked are of no use, so that the kernel
  // may wait for them. The result may be fewer all the same.
  bool whole = false;
  OpenOptions open;
  const char* path = nullptr;
  const char* path_to = nullptr;
  SocketAddress address;
  std::int32_t backlog = 0;
  std::int32_t send_buffer_bytes = -1;  // of the sockets that a listener accepts; -1: the kernel's
  std::int32_t receive_buffer_bytes = -1;

  MutableByteView pooled_buffer;
  std::vector<DirectoryEntry>* entries = nullptr;
  FileStatus* file_status = nullptr;
  Space* space = nullptr;
  SocketAddress* peer = nullptr;

  // The submitter's own; the backend does not read it.
  void* owner = nullptr;

  // >= 0: as the code says; < 0: -errno. Valid in and after `complete`.
  std::int32_t result = 0;
  // Called by the loop, once, never from within submit or cancel. The operation may be destroyed in
  // it.
  void (*complete)(Operation&) = nullptr;

  bool in_flight = false;  // from submit until just before `complete`; maintained by the Loop

  // The backend's own: a slot, a deadline, a chain. Nobody else reads them.
  std::uint64_t backend_word[2] = {0, 0};

  Operation() = default;
  ~Operation() { ASSERT(!in_flight); }
};

}  // namespace drave::io
