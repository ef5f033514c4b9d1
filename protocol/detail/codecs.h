#pragma once
// What compression.cc asks of each codec. Private to protocol/.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "protocol/compression.h"

namespace drave::protocol::detail {

class BodyDecoder {
 public:
  virtual ~BodyDecoder() = default;
  virtual void start(ByteView input, const Decompressor::Options& options) = 0;
  // As Decompressor::step. `scratch` has kDecodedSliceMax bytes; `budget` is how many bytes may
  // still be decoded. A decoder must not hold more than that in memory, and reports an error only
  // after what it decoded before.
  virtual Result<DecodedSlice> step(MutableByteView scratch, std::size_t budget) = 0;
  virtual void trim() = 0;
};

class BodyEncoder {
 public:
  virtual ~BodyEncoder() = default;
  virtual void write(ByteView bytes, std::vector<std::uint8_t>& out) = 0;
  virtual void finish(std::vector<std::uint8_t>& out) = 0;
};

std::unique_ptr<BodyDecoder> make_plain_decoder();
std::unique_ptr<BodyDecoder> make_gzip_decoder();
std::unique_ptr<BodyDecoder> make_snappy_decoder();
std::unique_ptr<BodyDecoder> make_lz4_decoder();
std::unique_ptr<BodyDecoder> make_zstd_decoder();

std::unique_ptr<BodyEncoder> make_plain_encoder();
std::unique_ptr<BodyEncoder> make_gzip_encoder(std::optional<int> level);
std::unique_ptr<BodyEncoder> make_snappy_encoder();
std::unique_ptr<BodyEncoder> make_lz4_encoder(std::optional<int> level);
std::unique_ptr<BodyEncoder> make_zstd_encoder(std::optional<int> level);

// Hands out a decoded block in slices.
class BlockSlices {
 public:
  void set(ByteView block) { rest_ = block; }
  bool empty() const { return rest_.empty(); }
  DecodedSlice next() {
    const std::size_t size = rest_.size() < kDecodedSliceMax ? rest_.size() : kDecodedSliceMax;
    const ByteView slice = rest_.first(size);
    rest_ = rest_.subspan(size);
    return {slice, false};
  }

 private:
  ByteView rest_;
};

// Cuts what is written into blocks of one size.
class BlockCollector {
 public:
  explicit BlockCollector(std::size_t block_size) : block_size_(block_size) {}

  template <class F>
  void write(ByteView bytes, F&& with_block) {
    while (!bytes.empty()) {
      const std::size_t room = block_size_ - block_.size();
      const std::size_t size = bytes.size() < room ? bytes.size() : room;
      block_.insert(block_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
      bytes = bytes.subspan(size);
      if (block_.size() == block_size_) finish(with_block);
    }
  }
  template <class F>
  void finish(F&& with_block) {
    if (!block_.empty()) with_block(ByteView(block_));
    block_.clear();
  }

 private:
  std::size_t block_size_;
  std::vector<std::uint8_t> block_;
};

}  // namespace drave::protocol::detail
