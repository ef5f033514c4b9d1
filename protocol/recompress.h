#pragma once
// Re-encoding of an accepted batch for topics whose compression.type is not "producer".

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "protocol/compression.h"
#include "protocol/record_batch.h"

namespace drave::protocol {

// Decodes the records of a batch and encodes them with another codec, byte for byte the same
// records, in steps of bounded work.
class Recompression {
 public:
  struct Options {
    Codec codec = Codec::none;
    std::optional<int> level;                // compression.<codec>.level; nullopt: the default
    std::size_t batch_bytes_max = SIZE_MAX;  // max.message.bytes
    std::size_t decoded_bytes_max = kBatchDecodedBytesMax;
  };

  // `batch` (accepted by batch_validator.h) and `pool` (may be null) outlive this object.
  Recompression(BatchView batch, const Options& options, DecompressorPool* pool = nullptr);
  ~Recompression();
  Recompression(const Recompression&) = delete;
  Recompression& operator=(const Recompression&) = delete;

  // Goes on for about a millisecond; true when result() is complete. Errors: too_large (the new
  // batch would exceed batch_bytes_max, Kafka's MESSAGE_TOO_LARGE, or the budget), corrupt.
  Result<bool> step();

  // The new batch: the old header with the new codec, size and CRC.
  std::vector<std::uint8_t>& result() { return out_; }

 private:
  void finish();

  BatchHeader header_;
  const Options options_;
  DecompressorPool* pool_;
  std::unique_ptr<Decompressor> decompressor_;
  Compressor compressor_;
  std::vector<std::uint8_t> out_;
};

}  // namespace drave::protocol
