// zstd: any number of frames and skippable frames, nothing behind them. No input is no error: that
// it yields no records is for others to say.

#include <zstd.h>

#include <algorithm>

#include "base/assert.h"
#include "protocol/detail/codecs.h"

namespace drave::protocol::detail {
namespace {

constexpr int kWindowLogMax = 27;  // what Kafka's reader takes
constexpr int kFramesPerStepMax = 64;
constexpr std::uint32_t kFrameMagic = 0xFD2FB528;
constexpr std::uint32_t kSkippableMagic = 0x184D2A50;  // to ...5F
constexpr std::size_t kMagicSize = 4;

std::uint64_t load_little(ByteView bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) value |= std::uint64_t{bytes[i]} << (8 * i);
  return value;
}

// Facts about a frame from its first bytes. The library also decodes formats older than 1.0;
// Kafka's clients never wrote them, so they are refused.
struct FrameStart {
  bool known = false;  // false: no frame, or too few bytes to be one
  std::uint64_t window_size = 0;
};

FrameStart frame_start(ByteView bytes) {
  if (bytes.size() < kMagicSize) return {};
  const std::uint64_t magic = load_little(bytes.first(kMagicSize));
  if ((magic & ~0xFULL) == kSkippableMagic) return {.known = true};
  if (magic != kFrameMagic || bytes.size() < kMagicSize + 2) return {};
  const std::uint8_t descriptor = bytes[kMagicSize];
  if ((descriptor & 0x20) == 0) {  // a window descriptor follows
    const std::uint8_t window = bytes[kMagicSize + 1];
    const std::uint64_t base = 1ULL << (10 + (window >> 3));
    return {.known = true, .window_size = base + base / 8 * (window & 7)};
  }
  constexpr std::size_t kDictionaryIdSizes[] = {0, 1, 2, 4};
  constexpr std::size_t kContentSizeSizes[] = {1, 2, 4, 8};
  const std::size_t at = kMagicSize + 1 + kDictionaryIdSizes[descriptor & 3];
  const std::size_t size = kContentSizeSizes[descriptor >> 6];
  if (bytes.size() < at + size) return {};
  return {.known = true,
          .window_size = load_little(bytes.subspan(at, size)) + (size == 2 ? 256 : 0)};
}

class ZstdDecoder final : public BodyDecoder {
 public:
  ~ZstdDecoder() override { ZSTD_freeDCtx(context_); }

  void start(ByteView input, const Decompressor::Options&) override {
    if (context_ == nullptr) {
      context_ = ZSTD_createDCtx();
      ASSERT(context_ != nullptr);
      ZSTD_DCtx_setParameter(context_, ZSTD_d_windowLogMax, kWindowLogMax);
    }
    ZSTD_DCtx_reset(context_, ZSTD_reset_session_only);
    left_ = input;
    state_ = State::between_frames;
    window_memory_ = 0;
  }

  Result<DecodedSlice> step(MutableByteView scratch, std::size_t) override {
    std::size_t produced = 0;
    const std::size_t input_end = left_.size() - std::min(left_.size(), kDecoderInputPerStepMax);
    for (int frames = 0; frames < kFramesPerStepMax && produced == 0;) {
      if (state_ == State::between_frames && !begin_frame()) break;
      if (state_ != State::in_frame) break;
      produced = decode(scratch, input_end);
      if (state_ == State::between_frames) {
        ++frames;
      } else if (produced == 0 && left_.size() == input_end) {
        if (left_.empty()) state_ = State::bad;
        break;
      }
    }
    if (produced > 0) {
      if (big_window_ && (window_memory_ += produced) > kZstdWindowMemoryMax) {
        return failure(Errc::too_large, "too many bytes for so large a zstd window");
      }
      return DecodedSlice{.bytes = scratch.first(produced)};
    }
    if (state_ == State::bad)
      return failure(Errc::corrupt, "not a zstd frame, or an incomplete one");
    return DecodedSlice{.end = state_ == State::ended};
  }

  void trim() override {
    if (largest_window_ <= kIdleDecoderBytesMax) return;
    ZSTD_freeDCtx(context_);
    context_ = nullptr;
    largest_window_ = 0;
  }

 private:
  enum class State { between_frames, in_frame, ended, bad };

  bool begin_frame() {
    if (left_.empty()) {
      state_ = State::ended;
      return false;
    }
    const FrameStart frame = frame_start(left_);
    state_ = frame.known ? State::in_frame : State::bad;
    big_window_ = frame.window_size > kZstdWindowMemoryMax;
    largest_window_ = std::max(largest_window_, frame.window_size);
    return frame.known;
  }

  // Decodes on until something came out, the frame ended, or the step's input is used up.
  std::size_t decode(MutableByteView scratch, std::size_t input_end) {
    ZSTD_inBuffer in = {left_.data(), left_.size() - input_end, 0};
    ZSTD_outBuffer out = {scratch.data(), scratch.size(), 0};
    const std::size_t result = ZSTD_decompressStream(context_, &out, &in);
    left_ = left_.subspan(in.pos);
    if (ZSTD_isError(result)) {
      state_ = State::bad;
    } else if (result == 0) {
      state_ = State::between_frames;
    }
    return out.pos;
  }

  ZSTD_DCtx* context_ = nullptr;
  ByteView left_;
  State state_ = State::ended;
  bool big_window_ = false;
  std::uint64_t largest_window_ = 0;  // since the context was made
  std::size_t window_memory_ = 0;
};

class ZstdEncoder final : public BodyEncoder {
 public:
  explicit ZstdEncoder(int level) : context_(ZSTD_createCCtx()) {
    ASSERT(context_ != nullptr);
    ZSTD_CCtx_setParameter(context_, ZSTD_c_compressionLevel, level);
  }
  ~ZstdEncoder() override { ZSTD_freeCCtx(context_); }

  void write(ByteView bytes, std::vector<std::uint8_t>& out) override {
    run(bytes, ZSTD_e_continue, out);
  }
  void finish(std::vector<std::uint8_t>& out) override { run({}, ZSTD_e_end, out); }

 private:
  void run(ByteView bytes, ZSTD_EndDirective directive, std::vector<std::uint8_t>& out) {
    ZSTD_inBuffer in = {bytes.data(), bytes.size(), 0};
    const std::size_t piece = ZSTD_CStreamOutSize();
    while (true) {
      const std::size_t size = out.size();
      out.resize(size + piece);
      ZSTD_outBuffer buffer = {out.data() + size, piece, 0};
      const std::size_t left = ZSTD_compressStream2(context_, &buffer, &in, directive);
      ASSERT(!ZSTD_isError(left));
      out.resize(size + buffer.pos);
      if (directive == ZSTD_e_end ? left == 0 : in.pos == in.size) return;
    }
  }

  ZSTD_CCtx* context_;
};

}  // namespace

std::unique_ptr<BodyDecoder> make_zstd_decoder() {
  return std::make_unique<ZstdDecoder>();
}
std::unique_ptr<BodyEncoder> make_zstd_encoder(std::optional<int> level) {
  return std::make_unique<ZstdEncoder>(level.value_or(ZSTD_CLEVEL_DEFAULT));
}

}  // namespace drave::protocol::detail
