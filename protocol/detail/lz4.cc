// LZ4 frames with independent blocks, which is all that Kafka's reader takes. Its block checksums
// are checked; the checksum of the whole content is skipped, as Kafka does.

#include <lz4.h>
#include <lz4hc.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>

#include "base/assert.h"
#include "protocol/detail/codecs.h"

namespace drave::protocol::detail {
namespace {

constexpr std::uint32_t kMagic = 0x184D2204;
constexpr std::uint32_t kStoredBlock = 0x80000000;
constexpr std::size_t kRatioMax = 255;  // no LZ4 block decodes to more per byte
constexpr int kFastLevel = 9;           // Kafka's default level, which means the fast compressor
constexpr std::size_t kWrittenBlockSize = 64 * 1024;
constexpr std::uint8_t kWrittenFlags = 0x60;       // version 1, independent blocks
constexpr std::uint8_t kWrittenDescriptor = 0x40;  // blocks of 64 KiB

std::uint32_t load_little32(const std::uint8_t* at) {
  return std::uint32_t{at[0]} | std::uint32_t{at[1]} << 8 | std::uint32_t{at[2]} << 16 |
         std::uint32_t{at[3]} << 24;
}

void append_little32(std::uint32_t value, std::vector<std::uint8_t>& out) {
  for (int shift = 0; shift < 32; shift += 8) {
    out.push_back(static_cast<std::uint8_t>(value >> shift));
  }
}

std::uint32_t checksum(ByteView bytes) {
  return XXH32(bytes.data(), bytes.size(), 0);
}

class Lz4Decoder final : public BodyDecoder {
 public:
  void start(ByteView input, const Decompressor::Options& options) override {
    left_ = input;
    slices_.set({});
    state_ = State::header;
    ignore_header_checksum_ = options.ignore_lz4_header_checksum;
  }

  Result<DecodedSlice> step(MutableByteView, std::size_t) override {
    if (slices_.empty() && state_ == State::header) {
      if (const char* fault = read_header()) return bad(fault);
      state_ = State::blocks;
    }
    if (slices_.empty() && state_ == State::blocks) {
      if (const char* fault = read_block()) return bad(fault);
    }
    if (!slices_.empty()) return slices_.next();
    return DecodedSlice{.end = state_ == State::ended};
  }

  void trim() override {
    if (block_.capacity() > kIdleDecoderBytesMax) block_ = {};
  }

 private:
  enum class State { header, blocks, ended };

  static std::unexpected<Error> bad(const char* fault) { return failure(Errc::corrupt, fault); }

  const char* read_header() {
    if (left_.size() < 7) return "an LZ4 frame that ends in its header";
    if (load_little32(left_.data()) != kMagic) return "not an LZ4 frame";
    const std::uint8_t flags = left_[4];
    const std::uint8_t descriptor = left_[5];
    if (flags >> 6 != 1 || (flags & 0x03) != 0) return "unknown LZ4 frame flags";
    if ((flags & 0x20) == 0) return "LZ4 blocks that depend on each other";
    const unsigned size_code = descriptor >> 4 & 7;
    if ((descriptor & 0x8F) != 0 || size_code < 4) return "unknown LZ4 block size";
    block_checksums_ = (flags & 0x10) != 0;
    content_checksum_ = (flags & 0x04) != 0;
    block_size_max_ = std::size_t{1} << (8 + 2 * size_code);
    const std::size_t end = (flags & 0x08) != 0 ? 14 : 6;
    if (left_.size() <= end) return "an LZ4 frame that ends in its header";
    const auto expected = static_cast<std::uint8_t>(checksum(left_.subspan(4, end - 4)) >> 8);
    if (!ignore_header_checksum_ && left_[end] != expected) return "wrong LZ4 header checksum";
    left_ = left_.subspan(end + 1);
    return nullptr;
  }

  const char* read_block() {
    if (left_.size() < 4) return "an LZ4 frame without its end mark";
    const std::uint32_t mark = load_little32(left_.data());
    left_ = left_.subspan(4);
    const std::size_t size = mark & ~kStoredBlock;
    if (size == 0) {
      state_ = State::ended;
      return content_checksum_ && left_.size() < 4 ? "an LZ4 frame without its checksum" : nullptr;
    }
    if (size > block_size_max_) return "an LZ4 block above its frame's limit";
    if (left_.size() < size) return "an LZ4 block that ends early";
    const ByteView source = left_.first(size);
    left_ = left_.subspan(size);
    if ((mark & kStoredBlock) != 0) {
      slices_.set(source);
    } else if (!decode_block(source)) {
      return "a damaged LZ4 block";
    }
    if (!block_checksums_) return nullptr;
    if (left_.size() < 4 || load_little32(left_.data()) != checksum(source)) {
      slices_.set({});
      return "wrong LZ4 block checksum";
    }
    left_ = left_.subspan(4);
    return nullptr;
  }

  bool decode_block(ByteView source) {
    const std::size_t room = std::min(block_size_max_, source.size() * kRatioMax);
    if (block_.size() < room) block_.resize(room);
    const int size = LZ4_decompress_safe(reinterpret_cast<const char*>(source.data()),
                                         reinterpret_cast<char*>(block_.data()),
                                         static_cast<int>(source.size()), static_cast<int>(room));
    if (size < 0) return false;
    slices_.set(ByteView(block_).first(static_cast<std::size_t>(size)));
    return true;
  }

  ByteView left_;
  State state_ = State::ended;
  bool ignore_header_checksum_ = false;
  bool block_checksums_ = false;
  bool content_checksum_ = false;
  std::size_t block_size_max_ = 0;
  std::vector<std::uint8_t> block_;
  BlockSlices slices_;
};

class Lz4Encoder final : public BodyEncoder {
 public:
  explicit Lz4Encoder(int level) : level_(level) {}

  void write(ByteView bytes, std::vector<std::uint8_t>& out) override {
    write_header(out);
    collector_.write(bytes, [&](ByteView block) { write_block(block, out); });
  }
  void finish(std::vector<std::uint8_t>& out) override {
    write_header(out);
    collector_.finish([&](ByteView block) { write_block(block, out); });
    append_little32(0, out);
  }

 private:
  void write_header(std::vector<std::uint8_t>& out) {
    if (has_header_) return;
    has_header_ = true;
    const std::uint8_t described[] = {kWrittenFlags, kWrittenDescriptor};
    append_little32(kMagic, out);
    out.insert(out.end(), std::begin(described), std::end(described));
    out.push_back(static_cast<std::uint8_t>(checksum(described) >> 8));
  }

  void write_block(ByteView block, std::vector<std::uint8_t>& out) {
    const int source_size = static_cast<int>(block.size());
    const auto* source = reinterpret_cast<const char*>(block.data());
    std::vector<char> packed(static_cast<std::size_t>(LZ4_compressBound(source_size)));
    const int room = static_cast<int>(packed.size());
    const int size = level_ == kFastLevel
                         ? LZ4_compress_default(source, packed.data(), source_size, room)
                         : LZ4_compress_HC(source, packed.data(), source_size, room, level_);
    ASSERT(size > 0);
    if (size >= source_size) {
      append_little32(static_cast<std::uint32_t>(source_size) | kStoredBlock, out);
      out.insert(out.end(), block.begin(), block.end());
      return;
    }
    append_little32(static_cast<std::uint32_t>(size), out);
    out.insert(out.end(), packed.begin(), packed.begin() + size);
  }

  int level_;
  bool has_header_ = false;
  BlockCollector collector_{kWrittenBlockSize};
};

}  // namespace

std::unique_ptr<BodyDecoder> make_lz4_decoder() {
  return std::make_unique<Lz4Decoder>();
}
std::unique_ptr<BodyEncoder> make_lz4_encoder(std::optional<int> level) {
  return std::make_unique<Lz4Encoder>(level.value_or(kFastLevel));
}

}  // namespace drave::protocol::detail
