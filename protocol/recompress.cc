#include "protocol/recompress.h"

#include <fmt/format.h>

#include <utility>

#include "base/assert.h"

namespace drave::protocol {

Recompression::Recompression(BatchView batch, const Options& options, DecompressorPool* pool)
    : header_(batch.header()),
      options_(options),
      pool_(pool),
      decompressor_(pool != nullptr ? pool->take() : std::make_unique<Decompressor>()),
      compressor_(options.codec, options.level),
      out_(kBatchHeaderSize) {
  const auto codec = batch.codec();
  ASSERT(codec.has_value());
  decompressor_->start(*codec, batch.records(),
                       {.decoded_bytes_max = *codec == Codec::none ? batch.size_bytes()
                                                                   : options_.decoded_bytes_max});
}

Recompression::~Recompression() {
  if (pool_ != nullptr) pool_->give_back(std::move(decompressor_));
}

Result<bool> Recompression::step() {
  TRY(const DecodedSlice slice, decompressor_->step());
  if (slice.end) {
    compressor_.finish(out_);
  } else {
    compressor_.write(slice.bytes, out_);
  }
  if (out_.size() > options_.batch_bytes_max) {
    return failure(Errc::too_large,
                   fmt::format("the batch takes more than {} bytes with codec {}",
                               options_.batch_bytes_max, to_string(options_.codec)));
  }
  if (slice.end) finish();
  return slice.end;
}

void Recompression::finish() {
  header_.size = static_cast<std::int32_t>(out_.size() - kBatchSizeFieldEnd);
  header_.attributes = static_cast<std::int16_t>(
      (header_.attributes & batch_attribute::kUsed & ~batch_attribute::kCodecMask) |
      static_cast<int>(options_.codec));
  header_.write(out_.data());
  set_batch_crc(out_);
}

}  // namespace drave::protocol
