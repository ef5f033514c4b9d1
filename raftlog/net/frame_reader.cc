#include "raftlog/net/frame_reader.h"

#include <algorithm>
#include <string>
#include <utility>

#include "raftlog/net/limits.h"

namespace drave::raft {

io::Task<Result<void>> FrameReader::receive() {
  CO_TRY(const io::ReceivedBytes received, co_await socket_.receive());
  if (received.is_end()) co_return failure(Errc::closed, "the peer has finished");
  if (first_ > 0) {
    arrived_.erase(arrived_.begin(), arrived_.begin() + static_cast<std::ptrdiff_t>(first_));
    first_ = 0;
  }
  arrived_.insert(arrived_.end(), received.bytes().begin(), received.bytes().end());
  co_return Result<void>{};
}

std::optional<std::vector<std::uint8_t>> FrameReader::take_arrived() {
  if (waiting().size() < sizeof(std::int32_t)) return std::nullopt;
  const auto announced = load_big<std::int32_t>(waiting().data());
  const std::size_t arrived = waiting().size() - sizeof(announced);
  if (announced < 0 || static_cast<std::size_t>(announced) > std::min(arrived, frame_bytes_max_))
    return std::nullopt;
  const ByteView frame = waiting().subspan(sizeof(announced), static_cast<std::size_t>(announced));
  first_ += sizeof(announced) + frame.size();
  return std::vector<std::uint8_t>(frame.begin(), frame.end());
}

io::Task<Result<std::vector<std::uint8_t>>> FrameReader::next() {
  while (waiting().size() < sizeof(std::int32_t)) CO_TRY_VOID(co_await receive());
  const auto announced = load_big<std::int32_t>(waiting().data());
  if (announced < 0 || static_cast<std::size_t>(announced) > frame_bytes_max_)
    co_return failure(Errc::corrupt, "a frame announces " + std::to_string(announced) + " bytes");
  first_ += sizeof(announced);
  const auto size = static_cast<std::size_t>(announced);
  std::size_t filled = std::min(size, waiting().size());
  std::vector<std::uint8_t> frame(waiting().begin(),
                                  waiting().begin() + static_cast<std::ptrdiff_t>(filled));
  first_ += filled;
  while (filled < size) {
    // A peer must send half of what it makes us hold.
    if (filled == frame.size())
      frame.resize(std::min(size, std::max(2 * filled, kRpcFrameBytesFirst)));
    CO_TRY(const std::size_t more,
           co_await socket_.receive_some(MutableByteView(frame).subspan(filled)));
    if (more == 0) co_return failure(Errc::closed, "the peer has finished within a frame");
    filled += more;
  }
  ASSERT_EQUAL(frame.size(), size);
  co_return frame;
}

}  // namespace drave::raft
