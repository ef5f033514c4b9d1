#include "protocol/compression.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "protocol/detail/codecs.h"

namespace drave::protocol {
namespace detail {
namespace {

class PlainDecoder final : public BodyDecoder {
 public:
  void start(ByteView input, const Decompressor::Options&) override { slices_.set(input); }
  Result<DecodedSlice> step(MutableByteView, std::size_t) override {
    if (slices_.empty()) return DecodedSlice{.end = true};
    return slices_.next();
  }
  void trim() override {}

 private:
  BlockSlices slices_;
};

class PlainEncoder final : public BodyEncoder {
 public:
  void write(ByteView bytes, std::vector<std::uint8_t>& out) override {
    out.insert(out.end(), bytes.begin(), bytes.end());
  }
  void finish(std::vector<std::uint8_t>&) override {}
};

}  // namespace

std::unique_ptr<BodyDecoder> make_plain_decoder() {
  return std::make_unique<PlainDecoder>();
}
std::unique_ptr<BodyEncoder> make_plain_encoder() {
  return std::make_unique<PlainEncoder>();
}

}  // namespace detail

namespace {

std::unique_ptr<detail::BodyDecoder> make_decoder(Codec codec) {
  switch (codec) {
    case Codec::gzip: return detail::make_gzip_decoder();
    case Codec::snappy: return detail::make_snappy_decoder();
    case Codec::lz4: return detail::make_lz4_decoder();
    case Codec::zstd: return detail::make_zstd_decoder();
    case Codec::none: break;
  }
  return detail::make_plain_decoder();
}

std::unique_ptr<detail::BodyEncoder> make_encoder(Codec codec, std::optional<int> level) {
  switch (codec) {
    case Codec::gzip: return detail::make_gzip_encoder(level);
    case Codec::snappy: return detail::make_snappy_encoder();
    case Codec::lz4: return detail::make_lz4_encoder(level);
    case Codec::zstd: return detail::make_zstd_encoder(level);
    case Codec::none: break;
  }
  return detail::make_plain_encoder();
}

}  // namespace

Decompressor::Decompressor() = default;
Decompressor::~Decompressor() = default;
Decompressor::Decompressor(Decompressor&&) noexcept = default;
Decompressor& Decompressor::operator=(Decompressor&&) noexcept = default;

void Decompressor::start(Codec codec, ByteView input, Options options) {
  auto& decoder = decoders_[static_cast<std::size_t>(codec)];
  if (!decoder) decoder = make_decoder(codec);
  if (!scratch_ && codec != Codec::none) {
    scratch_ = std::make_unique_for_overwrite<std::uint8_t[]>(kDecodedSliceMax);
  }
  options_ = options;
  decoded_bytes_ = 0;
  current_ = decoder.get();
  current_->start(input, options_);
}

Result<DecodedSlice> Decompressor::step() {
  ASSERT(current_ != nullptr);
  const std::size_t budget = options_.decoded_bytes_max - decoded_bytes_;
  auto slice = current_->step({scratch_.get(), scratch_ ? kDecodedSliceMax : 0}, budget);
  if (!slice) return slice;
  if (slice->bytes.size() > budget) {
    return failure(Errc::too_large,
                   fmt::format("decodes to more than {} bytes", options_.decoded_bytes_max));
  }
  decoded_bytes_ += slice->bytes.size();
  return slice;
}

void Decompressor::trim() {
  current_ = nullptr;
  for (const auto& decoder : decoders_) {
    if (decoder) decoder->trim();
  }
}

std::unique_ptr<Decompressor> DecompressorPool::take() {
  if (idle_.empty()) return std::make_unique<Decompressor>();
  auto decompressor = std::move(idle_.back());
  idle_.pop_back();
  return decompressor;
}

void DecompressorPool::give_back(std::unique_ptr<Decompressor> decompressor) {
  if (!decompressor || idle_.size() >= kIdleMax) return;
  decompressor->trim();
  idle_.push_back(std::move(decompressor));
}

Result<void> decompress(Codec codec, ByteView input, std::vector<std::uint8_t>& out,
                        std::size_t decoded_bytes_max) {
  Decompressor decompressor;
  decompressor.start(codec, input, {.decoded_bytes_max = decoded_bytes_max});
  while (true) {
    TRY(const DecodedSlice slice, decompressor.step());
    if (slice.end) return {};
    out.insert(out.end(), slice.bytes.begin(), slice.bytes.end());
  }
}

Compressor::Compressor(Codec codec, std::optional<int> level)
    : encoder_(make_encoder(codec, level)) {
  ASSERT(!level || is_compression_level(codec, *level));
}
Compressor::~Compressor() = default;
Compressor::Compressor(Compressor&&) noexcept = default;
Compressor& Compressor::operator=(Compressor&&) noexcept = default;

void Compressor::write(ByteView bytes, std::vector<std::uint8_t>& out) {
  encoder_->write(bytes, out);
}

void Compressor::finish(std::vector<std::uint8_t>& out) {
  encoder_->finish(out);
}

bool is_compression_level(Codec codec, int level) {
  switch (codec) {
    case Codec::gzip: return level == -1 || (level >= 1 && level <= 9);
    case Codec::lz4: return level >= 1 && level <= 17;
    case Codec::zstd: return level >= -131072 && level <= 22;
    case Codec::none:
    case Codec::snappy: break;
  }
  return false;
}

void compress(Codec codec, std::optional<int> level, ByteView input,
              std::vector<std::uint8_t>& out) {
  Compressor compressor(codec, level);
  compressor.write(input, out);
  compressor.finish(out);
}

}  // namespace drave::protocol
