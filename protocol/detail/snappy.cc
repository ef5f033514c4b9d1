// snappy as one raw block, or in the framing of xerial's Java library: a header of 16 bytes, then
// chunks of a big-endian int32 length and a raw block. Up to three bytes behind the last chunk are
// ignored, and headers between chunks skipped, as that library does.

#include <snappy.h>

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "protocol/detail/codecs.h"

namespace drave::protocol::detail {
namespace {

constexpr std::uint8_t kMagic[8] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0};
constexpr std::size_t kHeaderSize = 16;  // magic, version int32, compatible version int32
constexpr std::int32_t kVersion = 1;
constexpr std::size_t kWrittenBlockSize = 32 * 1024;
// A copy of 64 bytes takes three: no valid block decodes to more per byte.
constexpr std::size_t kRatioMax = 22;
// Larger blocks are decoded in slices by our own loop, smaller ones in one go by the library.
constexpr std::size_t kWholeBlockMax = 2 * 1024 * 1024;

// Memory that keeps its contents undefined until written.
class Buffer {
 public:
  std::uint8_t* reserve(std::size_t size) {
    if (size > capacity_) {
      bytes_ = std::make_unique_for_overwrite<std::uint8_t[]>(size);
      capacity_ = size;
    }
    return bytes_.get();
  }
  void trim() {
    if (capacity_ <= kIdleDecoderBytesMax) return;
    bytes_.reset();
    capacity_ = 0;
  }

 private:
  std::unique_ptr<std::uint8_t[]> bytes_;
  std::size_t capacity_ = 0;
};

// Decodes the elements of one raw block (what follows its length) piece by piece.
class BlockDecoder {
 public:
  void start(ByteView elements, MutableByteView out) {
    at_ = elements.data();
    end_ = at_ + elements.size();
    out_begin_ = out_ = out.data();
    out_end_ = out_ + out.size();
    literal_left_ = 0;
  }

  // Decodes at least `size` bytes if so many are left; false: damaged.
  bool step(std::size_t size) {
    const std::uint8_t* const target = size < room() ? out_ + size : out_end_;
    while (out_ < target) {
      if (literal_left_ > 0) {
        copy_literal(target);
      } else if (!element()) {
        return false;
      }
    }
    return out_ < out_end_ || (literal_left_ == 0 && at_ == end_);
  }

  std::size_t produced() const { return static_cast<std::size_t>(out_ - out_begin_); }
  bool finished() const { return out_ == out_end_; }

 private:
  std::size_t room() const { return static_cast<std::size_t>(out_end_ - out_); }
  std::size_t input_left() const { return static_cast<std::size_t>(end_ - at_); }

  void copy_literal(const std::uint8_t* target) {
    const std::size_t size =
        std::min<std::size_t>(literal_left_, static_cast<std::size_t>(target - out_));
    std::memcpy(out_, at_, size);
    out_ += size;
    at_ += size;
    literal_left_ -= size;
  }

  bool element() {
    if (at_ == end_) return false;
    const unsigned tag = *at_++;
    std::size_t size = (tag >> 2) + 1;
    std::size_t extra = tag & 3;  // bytes of the offset
    if (extra == 0) {
      if (size > 60 && !read_little(size - 60, size)) return false;
      size += tag >> 2 >= 60 ? 1 : 0;
      literal_left_ = size;
      return size <= input_left() && size <= room();
    }
    std::size_t offset = 0;
    if (extra == 3) extra = 4;
    if (!read_little(extra, offset)) return false;
    if (extra == 1) {
      size = (tag >> 2 & 7) + 4;
      offset |= std::size_t{tag >> 5} << 8;
    }
    if (offset == 0 || offset > produced() || size > room()) return false;
    for (const std::uint8_t* from = out_ - offset; size > 0; --size) *out_++ = *from++;
    return true;
  }

  bool read_little(std::size_t count, std::size_t& value) {
    if (input_left() < count) return false;
    value = 0;
    for (std::size_t i = 0; i < count; ++i) value |= std::size_t{at_[i]} << (8 * i);
    at_ += count;
    return true;
  }

  const std::uint8_t* at_ = nullptr;
  const std::uint8_t* end_ = nullptr;
  std::uint8_t* out_begin_ = nullptr;
  std::uint8_t* out_ = nullptr;
  std::uint8_t* out_end_ = nullptr;
  std::size_t literal_left_ = 0;
};

class SnappyDecoder final : public BodyDecoder {
 public:
  void start(ByteView input, const Decompressor::Options&) override {
    left_ = input;
    state_ = State::begin;
    slices_.set({});
  }

  Result<DecodedSlice> step(MutableByteView, std::size_t budget) override {
    if (!slices_.empty()) return slices_.next();
    if (state_ == State::begin) {
      if (auto begun = begin(budget); !begun) return std::unexpected(std::move(begun).error());
    } else if (state_ == State::chunks) {
      if (auto read = read_chunk(budget); !read) return std::unexpected(std::move(read).error());
    }
    if (state_ == State::large_block) {
      if (auto decoded = continue_block(); !decoded) {
        return std::unexpected(std::move(decoded).error());
      }
    }
    if (!slices_.empty()) return slices_.next();
    return DecodedSlice{.end = state_ == State::ended};
  }

  void trim() override { block_.trim(); }

 private:
  enum class State { begin, chunks, large_block, ended };

  static bool is_header(ByteView bytes) {
    return bytes.size() >= kHeaderSize &&
           std::equal(std::begin(kMagic), std::end(kMagic), bytes.data());
  }

  Result<void> skip_header() {
    if (load_big<std::int32_t>(left_.data() + sizeof(kMagic)) < kVersion) {
      return failure(Errc::corrupt, "unknown version of the snappy framing");
    }
    left_ = left_.subspan(kHeaderSize);
    state_ = State::chunks;
    return {};
  }

  Result<void> begin(std::size_t budget) {
    if (left_.empty()) return failure(Errc::corrupt, "an empty snappy block");
    if (is_header(left_)) return skip_header();
    framed_ = false;
    const ByteView block = left_;
    left_ = {};
    return decode_block(block, budget);
  }

  Result<void> read_chunk(std::size_t budget) {
    framed_ = true;
    if (left_.size() < sizeof(std::int32_t)) {
      state_ = State::ended;
      return {};
    }
    if (std::equal(std::begin(kMagic), std::begin(kMagic) + 4, left_.data())) {
      if (left_.size() < kHeaderSize) return failure(Errc::corrupt, "an incomplete snappy header");
      if (is_header(left_)) return skip_header();
      state_ = State::ended;
      return {};
    }
    const auto size = load_big<std::uint32_t>(left_.data());
    left_ = left_.subspan(sizeof(size));
    if (size > left_.size()) return failure(Errc::corrupt, "a snappy chunk that ends early");
    const ByteView block = left_.first(size);
    left_ = left_.subspan(size);
    return decode_block(block, budget);
  }

  Result<void> decode_block(ByteView block, std::size_t budget) {
    const auto* source = reinterpret_cast<const char*>(block.data());
    std::size_t size = 0;
    if (!snappy::GetUncompressedLength(source, block.size(), &size) ||
        size > block.size() * kRatioMax) {
      return failure(Errc::corrupt, "not a snappy block");
    }
    if (size > budget) return failure(Errc::too_large, "a snappy block beyond the budget");
    std::uint8_t* out = block_.reserve(size);
    if (size > kWholeBlockMax) {
      std::size_t length_size = 1;
      while ((block[length_size - 1] & 0x80) != 0) ++length_size;
      decoder_.start(block.subspan(length_size), {out, size});
      state_ = State::large_block;
      return {};
    }
    if (!snappy::RawUncompress(source, block.size(), reinterpret_cast<char*>(out))) {
      return failure(Errc::corrupt, "a damaged snappy block");
    }
    slices_.set({out, size});
    state_ = framed_ ? State::chunks : State::ended;
    return {};
  }

  Result<void> continue_block() {
    const std::size_t before = decoder_.produced();
    if (!decoder_.step(kDecodedSliceMax)) return failure(Errc::corrupt, "a damaged snappy block");
    const std::size_t after = decoder_.produced();
    slices_.set({block_.reserve(0) + before, after - before});
    if (decoder_.finished()) state_ = framed_ ? State::chunks : State::ended;
    return {};
  }

  ByteView left_;
  State state_ = State::ended;
  bool framed_ = false;
  BlockDecoder decoder_;
  Buffer block_;
  BlockSlices slices_;
};

class SnappyEncoder final : public BodyEncoder {
 public:
  void write(ByteView bytes, std::vector<std::uint8_t>& out) override {
    write_header(out);
    collector_.write(bytes, [&](ByteView block) { write_block(block, out); });
  }
  void finish(std::vector<std::uint8_t>& out) override {
    write_header(out);
    collector_.finish([&](ByteView block) { write_block(block, out); });
  }

 private:
  void write_header(std::vector<std::uint8_t>& out) {
    if (has_header_) return;
    has_header_ = true;
    const std::size_t begin = out.size();
    out.resize(begin + kHeaderSize);
    std::copy(std::begin(kMagic), std::end(kMagic), out.data() + begin);
    store_big(out.data() + begin + sizeof(kMagic), kVersion);
    store_big(out.data() + begin + sizeof(kMagic) + sizeof(kVersion), kVersion);
  }

  static void write_block(ByteView block, std::vector<std::uint8_t>& out) {
    const std::size_t begin = out.size();
    out.resize(begin + sizeof(std::int32_t) + snappy::MaxCompressedLength(block.size()));
    std::size_t size = 0;
    snappy::RawCompress(reinterpret_cast<const char*>(block.data()), block.size(),
                        reinterpret_cast<char*>(out.data() + begin + sizeof(std::int32_t)), &size);
    store_big(out.data() + begin, static_cast<std::int32_t>(size));
    out.resize(begin + sizeof(std::int32_t) + size);
  }

  bool has_header_ = false;
  BlockCollector collector_{kWrittenBlockSize};
};

}  // namespace

std::unique_ptr<BodyDecoder> make_snappy_decoder() {
  return std::make_unique<SnappyDecoder>();
}
std::unique_ptr<BodyEncoder> make_snappy_encoder() {
  return std::make_unique<SnappyEncoder>();
}

}  // namespace drave::protocol::detail
