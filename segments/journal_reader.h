#pragma once
// Reads a journal file from front to back through a window, so that a file of any size takes little
// memory, and decides what stands at a position.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "io/file.h"
#include "segments/journal_format.h"

namespace drave::segments {

// The bytes are wrong; any other error says that they could not be read.
inline bool is_damage(const Error& error) {
  return error.code == Errc::corrupt || error.code == Errc::torn;
}

class JournalReader {
 public:
  static io::Task<Result<std::unique_ptr<JournalReader>>> open(io::Loop& loop, std::string path,
                                                               JournalFileName name);
  std::uint64_t size() const { return size_; }
  // After it what was read survives a power cut: a kill leaves groups in the page cache only.
  io::Task<Result<void>> sync() { return file_.sync_data(); }
  io::Task<Result<void>> close() { return file_.close(); }

  // The bytes [position, position + length), fewer at the end of the file. Valid until the next
  // call.
  io::Task<Result<ByteView>> bytes(std::uint64_t position, std::size_t length);

  struct Group {
    GroupHeader header;
    ByteView bytes;  // whole, with header and padding; valid until the next call
  };
  // The group at `position`. Errc::corrupt (or torn): none of this file's generation that is whole.
  io::Task<Result<Group>> group(std::uint64_t position);
  // Only its header, where that can be believed.
  io::Task<Result<GroupHeader>> header(std::uint64_t position);
  // The first position from [position, ...) at which a valid group with at least `number` stands;
  // size() if there is none.
  io::Task<Result<std::uint64_t>> find_group(std::uint64_t position, std::uint64_t number);

 private:
  static constexpr std::size_t kWindow = 1024 * 1024;
  JournalReader(io::Loop& loop, JournalFileName name) : loop_(loop), name_(std::move(name)) {}

  io::Loop& loop_;
  JournalFileName name_;
  io::File file_;
  std::uint64_t size_ = 0;
  std::vector<std::uint8_t> window_;
  std::uint64_t window_position_ = 0;
  std::size_t window_size_ = 0;
};

}  // namespace drave::segments
