#pragma once
// The four codecs of record batches, always as streams: what they decode is handed on slice by
// slice, so that a pass of a loop stays short and a bomb meets its budget before it meets memory.
//
// Accepted is what Kafka's reader accepts: gzip with several members and ignored garbage behind the
// last; snappy as one raw block or in xerial's framing (chunks of 32 KiB, as the Java client
// writes); LZ4 frames of independent blocks, with or without checksums and content size; zstd with
// several frames. Written is what the Java client writes.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "protocol/record_batch.h"

namespace drave::protocol {

namespace detail {
class BodyDecoder;
class BodyEncoder;
}  // namespace detail

// A slice of decoded bytes never exceeds this.
inline constexpr std::size_t kDecodedSliceMax = 64 * 1024;
// Input that one step may consume (gzip and zstd can eat input without yielding output).
inline constexpr std::size_t kDecoderInputPerStepMax = 256 * 1024;
// What one batch may decode to, unless the caller says otherwise. Kafka has no such limit.
inline constexpr std::size_t kBatchDecodedBytesMax = 128UL * 1024 * 1024;
// A zstd frame whose window exceeds this (levels 21 and 22) may decode to no more than this,
// because the window in memory grows with what is decoded. A window above 2^27 is refused, as by
// Kafka.
inline constexpr std::size_t kZstdWindowMemoryMax = 32UL * 1024 * 1024;
// A decoder that is kept for reuse holds no more than about this.
inline constexpr std::size_t kIdleDecoderBytesMax = 1024UL * 1024;

struct DecodedSlice {
  ByteView bytes;    // may be empty although more follows; dies at the next call
  bool end = false;  // all input is decoded; `bytes` is empty
};

// Decodes one body at a time; start() makes it ready for the next one and keeps its buffers.
// Never allocates by what the input announces: buffers grow with what was really decoded, or are
// bounded by the input's length and the codec's largest ratio. (zstd reserves address space, which
// the kernel backs as it is written.)
class Decompressor {
 public:
  Decompressor();
  ~Decompressor();
  Decompressor(Decompressor&&) noexcept;
  Decompressor& operator=(Decompressor&&) noexcept;

  struct Options {
    std::size_t decoded_bytes_max = kBatchDecodedBytesMax;
    bool ignore_lz4_header_checksum = false;  // magic 0 and 1: old clients computed it wrongly
  };

  // `input` must live until the last step. Codec::none hands on the input itself.
  void start(Codec codec, ByteView input, Options options);
  void start(Codec codec, ByteView input) { start(codec, input, Options{}); }

  // The next bytes. Work per call is bounded (about 1 ms). After an error or the end: start()
  // again. Errors: corrupt (the codec cannot decode it; all bytes decoded before were handed out),
  // too_large (beyond the budget).
  Result<DecodedSlice> step();

  std::size_t decoded_bytes() const { return decoded_bytes_; }  // handed out so far

  // Frees what exceeds kIdleDecoderBytesMax.
  void trim();

 private:
  std::array<std::unique_ptr<detail::BodyDecoder>, kCodecCount> decoders_;
  detail::BodyDecoder* current_ = nullptr;
  std::unique_ptr<std::uint8_t[]> scratch_;
  Options options_;
  std::size_t decoded_bytes_ = 0;
};

// A shard's idle decompressors. Not thread-safe; outlives what was taken from it.
class DecompressorPool {
 public:
  static constexpr std::size_t kIdleMax = 4;

  std::unique_ptr<Decompressor> take();
  void give_back(std::unique_ptr<Decompressor> decompressor);

 private:
  std::vector<std::unique_ptr<Decompressor>> idle_;
};

// All of `input` at once, appended to `out`. For tools, tests and small bodies; errors as of
// step().
Result<void> decompress(Codec codec, ByteView input, std::vector<std::uint8_t>& out,
                        std::size_t decoded_bytes_max = kBatchDecodedBytesMax);

// Encodes one body. Level: nullopt is Kafka's default (gzip -1, lz4 9, zstd 3); others are gzip 1
// to 9, lz4 1 to 17, zstd as the library has them (-131072 to 22); none and snappy have no levels.
class Compressor {
 public:
  explicit Compressor(Codec codec, std::optional<int> level = std::nullopt);
  ~Compressor();
  Compressor(Compressor&&) noexcept;
  Compressor& operator=(Compressor&&) noexcept;

  // Appends to `out` what is ready. The work is in proportion to `bytes`.
  void write(ByteView bytes, std::vector<std::uint8_t>& out);
  // Appends the rest. Once, as the last call.
  void finish(std::vector<std::uint8_t>& out);

 private:
  std::unique_ptr<detail::BodyEncoder> encoder_;
};

// Whether Kafka takes `level` for `codec` (topic configuration compression.<codec>.level).
bool is_compression_level(Codec codec, int level);

// All of `input` at once, appended to `out`.
void compress(Codec codec, std::optional<int> level, ByteView input,
              std::vector<std::uint8_t>& out);

}  // namespace drave::protocol
