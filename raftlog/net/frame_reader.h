#pragma once
// The frames of a connection, one after the other: a length of four bytes and so many bytes.
//
// Belongs to whoever reads the socket, which outlives it. While it waits for a frame to begin it
// holds no memory but what came behind the last one; a frame's memory grows with what has arrived,
// never with what was announced.

#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "io/socket.h"
#include "io/task.h"

namespace drave::raft {

class FrameReader {
 public:
  FrameReader(io::Socket& socket, std::size_t frame_bytes_max)
      : socket_(socket), frame_bytes_max_(frame_bytes_max) {}

  // The next whole frame, without its length; one call at a time. Errors: closed (the peer has
  // finished, between frames or within one), corrupt (a length that is negative or exceeds the
  // maximum), what the socket says. After an error there is no next frame.
  io::Task<Result<std::vector<std::uint8_t>>> next();
  // The same if all of it has arrived, without a task: frames come in bunches. Nothing: ask next().
  std::optional<std::vector<std::uint8_t>> take_arrived();

 private:
  ByteView waiting() const { return ByteView(arrived_).subspan(first_); }
  io::Task<Result<void>> receive();

  io::Socket& socket_;
  std::size_t frame_bytes_max_;
  std::vector<std::uint8_t> arrived_;  // [first_, end) belongs to the frames to come
  std::size_t first_ = 0;
};

}  // namespace drave::raft
