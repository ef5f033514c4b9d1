#pragma once
// Walks the batches of a segment file from the disk, one after another, checking each CRC: what
// recovery and the rebuilding of indexes do.
//
//   while (true) {
//     CO_TRY(const SegmentReader::Step step, co_await reader.fill());
//     if (step != SegmentReader::Step::batches) break;
//     while (auto batch = reader.next()) ...      // no suspension in here
//   }

#include <cstdint>
#include <memory>
#include <optional>

#include "base/bytes.h"
#include "base/result.h"
#include "io/file.h"
#include "protocol/record_batch.h"
#include "segments/chunk_pool.h"
#include "segments/lost_range.h"

namespace drave::segments {

class SegmentReader {
 public:
  enum class Step : std::uint8_t {
    batches,  // next() has at least one
    end,      // [.., end) was read
    partial,  // an incomplete batch stands before the end
    corrupt,  // what stands at position() is no batch, or fails its CRC
  };

  // Reads [position, end). `file` is open until the reader is destroyed.
  SegmentReader(io::File& file, ChunkPool& pool, std::uint64_t position, std::uint64_t end)
      : file_(&file), pool_(&pool), position_(position), end_(end) {}

  io::Task<Result<Step>> fill();
  // A batch of magic 2 or older whose CRC is right and whose offsets make sense. Nothing: call
  // fill().
  std::optional<protocol::BatchView> next();
  // Behind the last batch that was returned.
  std::uint64_t position() const { return position_; }
  // The last batch that was returned, of that size, is not to be believed: it is damage.
  void go_back(std::size_t size_bytes) { position_ -= size_bytes; }

  // After Step::corrupt or partial: true if fill() is to ask the disk anew, for it may be the
  // memory that is bad, or this one reading. False when what stands there has been read often
  // enough.
  bool try_again();
  // After Step::corrupt: what the damage says of itself, and going on behind that.
  std::optional<LostRange> lost_range() const { return decode_lost_range(window()); }
  void pass_lost_range() { position_ += kLostRangeBytes; }

  // After Step::corrupt or partial: the next place at which a valid batch with a base offset of at
  // least `offset_min` stands; reading goes on there. Nothing: there is none before the end.
  io::Task<Result<std::optional<std::uint64_t>>> skip_to_valid(Offset offset_min);

 private:
  io::Task<Result<void>> load(std::uint64_t position, std::size_t bytes);
  ByteView window() const;
  std::optional<protocol::BatchView> whole_batch(ByteView bytes);
  io::Task<Result<bool>> is_valid_at(std::uint64_t position, Offset offset_min);

  io::File* file_;
  ChunkPool* pool_;
  std::uint64_t position_;
  std::uint64_t end_;
  std::shared_ptr<std::uint8_t> buffer_;
  std::uint64_t buffer_at_ = 0;
  std::size_t buffer_size_ = 0;
  bool corrupt_ = false;
  std::uint64_t bad_at_ = UINT64_MAX;
  int bad_reads_ = 0;
};

}  // namespace drave::segments
