#pragma once
// TCP sockets, in coroutines.
//
// Closing: shutdown_both() makes operations in flight end; after they have completed, close(). The
// owner (broker/connection) counts its operations; a Socket destroyed open with none in flight is
// closed through the loop.

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "io/loop.h"
#include "io/operation.h"
#include "io/task.h"

namespace drave::io {

// Bytes that arrived, in a buffer of the backend's pool. Handed back when this dies: decode or copy
// promptly, never keep it across a suspension that may last.
class ReceivedBytes {
 public:
  ReceivedBytes() = default;
  ReceivedBytes(Loop& loop, MutableByteView bytes) : loop_(&loop), bytes_(bytes) {}
  ReceivedBytes(ReceivedBytes&& other) noexcept
      : loop_(std::exchange(other.loop_, nullptr)), bytes_(std::exchange(other.bytes_, {})) {}
  ReceivedBytes& operator=(ReceivedBytes&& other) noexcept;
  ~ReceivedBytes() { release(); }
  MutableByteView bytes() const { return bytes_; }
  // Empty: the peer has finished sending.
  bool is_end() const { return bytes_.empty(); }
  void release();

 private:
  Loop* loop_ = nullptr;
  MutableByteView bytes_;
};

class Socket {
 public:
  Socket() = default;
  Socket(Loop& loop, Handle handle) : loop_(&loop), handle_(handle) {}
  Socket(Socket&& other) noexcept;
  Socket& operator=(Socket&& other) noexcept;
  ~Socket();

  static Task<Result<Socket>> connect(Loop& loop, SocketAddress address);

  bool is_open() const { return handle_.is_valid(); }
  Handle handle() const { return handle_; }
  Loop& loop() { return *loop_; }

  // Waits for bytes; takes a pooled buffer only when there are some. Errc::closed, Errc::canceled.
  Task<Result<ReceivedBytes>> receive();
  // Receives at least one byte into `into`, at most its size; 0: the peer has finished.
  Task<Result<std::size_t>> receive_some(MutableByteView into);
  // Fills `into`, however long it takes; the bytes received, fewer only if the peer has finished.
  // Straight into its final place: for the rest of a large frame.
  Task<Result<std::size_t>> receive_exactly(MutableByteView into);
  // A receive in flight, of which there is one at a time, ends with Errc::canceled, or with what
  // came first. The peer notices nothing; the next receive gets what it sends meanwhile.
  void cancel_receive();
  // Sends all of the pieces, in order. One send of a socket is in flight at a time.
  // `pieces` is consumed as scratch space; what it names stays valid until the task completes.
  Task<Result<void>> send_all(std::vector<iovec> pieces);

  // Both directions; operations in flight end with what they have, 0, or an error.
  Task<void> shutdown_both();
  Task<void> shutdown_write();
  Task<void> close();
  // Gives the handle away (to another shard's Socket).
  Handle release() { return std::exchange(handle_, Handle{}); }

 private:
  Loop* loop_ = nullptr;
  Handle handle_;
  Operation* receiving_ = nullptr;  // in the frame of the receive in flight
};

struct ListenOptions {
  std::int32_t backlog = 1024;
  // SO_SNDBUF and SO_RCVBUF of what is accepted; -1: the kernel's own tuning.
  std::int32_t send_buffer_bytes = -1;
  std::int32_t receive_buffer_bytes = -1;
};

// A listening socket. Several shards may listen on one address (SO_REUSEPORT); the kernel spreads
// connections among them.
class Listener {
 public:
  struct Accepted {
    Handle handle;
    SocketAddress peer;
  };
  static Task<Result<Listener>> open(Loop& loop, SocketAddress address, ListenOptions options = {});

  // Errc::canceled after close(); Errc::busy when file descriptors ran out (wait before trying
  // again).
  Task<Result<Accepted>> accept();
  // The port that was bound (for port 0).
  std::uint16_t port() const { return port_; }
  Handle handle() const { return handle_; }
  // Ends an accept() in flight, then closes.
  Task<void> close();

  Listener() = default;
  Listener(Listener&&) noexcept;
  Listener& operator=(Listener&&) noexcept;
  ~Listener();

 private:
  Loop* loop_ = nullptr;
  Handle handle_;
  std::uint16_t port_ = 0;
  bool closing_ = false;
  Operation* accepting_ = nullptr;  // in the frame of the accept() in flight
};

}  // namespace drave::io
