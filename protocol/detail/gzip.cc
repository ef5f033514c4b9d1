// gzip through zlib. Several members in a row are one stream; what follows the last member and is
// not a member's header is ignored, as Java's GZIPInputStream does.

#include <zlib.h>

#include <algorithm>

#include "base/assert.h"
#include "protocol/detail/codecs.h"

namespace drave::protocol::detail {
namespace {

constexpr int kGzipWindowBits = 15 + 16;  // the largest window, gzip framing
constexpr int kMembersPerStepMax = 64;

class GzipDecoder final : public BodyDecoder {
 public:
  GzipDecoder() { ASSERT(inflateInit2(&stream_, kGzipWindowBits) == Z_OK); }
  ~GzipDecoder() override { inflateEnd(&stream_); }

  void start(ByteView input, const Decompressor::Options&) override {
    left_ = input;
    state_ = State::decoding;
    first_member_ = true;
    begin_member();
  }

  Result<DecodedSlice> step(MutableByteView scratch, std::size_t) override {
    if (state_ == State::decoding) decode(scratch);
    const std::size_t size = produced_;
    produced_ = 0;
    if (size > 0) return DecodedSlice{.bytes = scratch.first(size)};
    if (state_ == State::bad)
      return failure(Errc::corrupt, "not a gzip stream, or an incomplete one");
    return DecodedSlice{.end = state_ == State::ended};
  }

  void trim() override {}

 private:
  enum class State { decoding, ended, bad };

  void begin_member() {
    ASSERT(inflateReset(&stream_) == Z_OK);
    ASSERT(inflateGetHeader(&stream_, &header_) == Z_OK);
  }

  // A fault inside a later member's header is the end; anywhere else it is damage.
  void stop() { state_ = !first_member_ && header_.done != 1 ? State::ended : State::bad; }

  void decode(MutableByteView scratch) {
    const std::size_t given = std::min(left_.size(), kDecoderInputPerStepMax);
    stream_.next_in = const_cast<Bytef*>(left_.data());
    stream_.avail_in = static_cast<uInt>(given);
    stream_.next_out = scratch.data();
    stream_.avail_out = static_cast<uInt>(scratch.size());
    for (int members = 0; members < kMembersPerStepMax;) {
      const int result = inflate(&stream_, Z_NO_FLUSH);
      if (result == Z_STREAM_END) {
        ++members;
        if (stream_.avail_in == 0 && given == left_.size()) {
          state_ = State::ended;
          break;
        }
        first_member_ = false;
        begin_member();
        if (stream_.avail_in == 0) break;
      } else if (result != Z_OK && result != Z_BUF_ERROR) {
        stop();
        break;
      } else if (stream_.avail_out == 0) {
        break;
      } else if (stream_.avail_in == 0) {
        if (given == left_.size()) stop();
        break;
      }
    }
    left_ = left_.subspan(given - stream_.avail_in);
    produced_ = scratch.size() - stream_.avail_out;
  }

  z_stream stream_ = {};
  gz_header header_ = {};
  ByteView left_;
  State state_ = State::ended;
  bool first_member_ = true;
  std::size_t produced_ = 0;
};

class GzipEncoder final : public BodyEncoder {
 public:
  explicit GzipEncoder(int level) {
    ASSERT(deflateInit2(&stream_, level, Z_DEFLATED, kGzipWindowBits, 8, Z_DEFAULT_STRATEGY) ==
           Z_OK);
  }
  ~GzipEncoder() override { deflateEnd(&stream_); }

  void write(ByteView bytes, std::vector<std::uint8_t>& out) override {
    while (!bytes.empty()) {
      const std::size_t size = std::min<std::size_t>(bytes.size(), 1UL << 30);
      stream_.next_in = const_cast<Bytef*>(bytes.data());
      stream_.avail_in = static_cast<uInt>(size);
      run(Z_NO_FLUSH, out);
      bytes = bytes.subspan(size);
    }
  }
  void finish(std::vector<std::uint8_t>& out) override { run(Z_FINISH, out); }

 private:
  void run(int flush, std::vector<std::uint8_t>& out) {
    constexpr std::size_t kPiece = 16 * 1024;
    do {
      const std::size_t size = out.size();
      out.resize(size + kPiece);
      stream_.next_out = out.data() + size;
      stream_.avail_out = kPiece;
      const int result = deflate(&stream_, flush);
      ASSERT(result != Z_STREAM_ERROR);
      out.resize(size + kPiece - stream_.avail_out);
    } while (stream_.avail_out == 0);
  }

  z_stream stream_ = {};
};

}  // namespace

std::unique_ptr<BodyDecoder> make_gzip_decoder() {
  return std::make_unique<GzipDecoder>();
}
std::unique_ptr<BodyEncoder> make_gzip_encoder(std::optional<int> level) {
  return std::make_unique<GzipEncoder>(level.value_or(Z_DEFAULT_COMPRESSION));
}

}  // namespace drave::protocol::detail
