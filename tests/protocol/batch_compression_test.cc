#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/random.h"
#include "protocol/batch_builder.h"
#include "protocol/compression.h"
#include "protocol/recompress.h"
#include "protocol/record.h"

namespace drave::protocol {
namespace {

using Bytes = std::vector<std::uint8_t>;
constexpr Codec kCodecs[] = {Codec::none, Codec::gzip, Codec::snappy, Codec::lz4, Codec::zstd};
constexpr Codec kRealCodecs[] = {Codec::gzip, Codec::snappy, Codec::lz4, Codec::zstd};

// Text-like and random stretches mixed: compressible, but not trivially.
Bytes sample(Random& random, std::size_t size) {
  Bytes bytes;
  bytes.reserve(size);
  while (bytes.size() < size) {
    const std::size_t run = 1 + random.below(200);
    const bool noise = random.one_in(4);
    const auto letter = static_cast<std::uint8_t>('a' + random.below(4));
    for (std::size_t i = 0; i < run && bytes.size() < size; ++i) {
      bytes.push_back(noise ? static_cast<std::uint8_t>(random.next()) : letter);
    }
  }
  return bytes;
}

struct Decoded {
  Bytes bytes;
  bool ok = false;
  Errc error = Errc::io;
  std::size_t steps = 0;
};

// Decodes step by step and checks what every step promises.
Decoded decode(Codec codec, ByteView input, std::size_t budget = kBatchDecodedBytesMax) {
  Decoded result;
  Decompressor decompressor;
  decompressor.start(codec, input, {.decoded_bytes_max = budget});
  while (true) {
    const auto slice = decompressor.step();
    ++result.steps;
    if (!slice) {
      result.error = slice.error().code;
      return result;
    }
    EXPECT_LE(slice->bytes.size(), kDecodedSliceMax);
    result.bytes.insert(result.bytes.end(), slice->bytes.begin(), slice->bytes.end());
    EXPECT_LE(result.bytes.size(), budget);
    if (slice->end) break;
    if (result.steps > 1'000'000) {
      ADD_FAILURE() << "no end";
      return result;
    }
  }
  EXPECT_EQ(decompressor.decoded_bytes(), result.bytes.size());
  result.ok = true;
  return result;
}

Bytes encode(Codec codec, ByteView input, std::optional<int> level = std::nullopt) {
  Bytes out;
  compress(codec, level, input, out);
  return out;
}

TEST(BatchCompression, every_codec_gives_back_what_it_got) {
  Random random(1);
  for (const Codec codec : kCodecs) {
    for (const std::size_t size :
         {0UL, 1UL, 100UL, 32767UL, 32768UL, 65536UL, 65537UL, 3000000UL}) {
      const Bytes bytes = sample(random, size);
      const Decoded decoded = decode(codec, encode(codec, bytes));
      ASSERT_TRUE(decoded.ok) << to_string(codec) << " " << size;
      ASSERT_EQ(decoded.bytes, bytes) << to_string(codec) << " " << size;
    }
  }
}

TEST(BatchCompression, every_level_gives_back_what_it_got) {
  Random random(2);
  const Bytes bytes = sample(random, 200'000);
  for (const Codec codec : kRealCodecs) {
    for (int level = -7; level <= 22; ++level) {
      if (!is_compression_level(codec, level)) continue;
      ASSERT_EQ(decode(codec, encode(codec, bytes, level)).bytes, bytes)
          << to_string(codec) << " " << level;
    }
  }
}

TEST(BatchCompression, writing_in_pieces_gives_one_body) {
  Random random(3);
  const Bytes bytes = sample(random, 300'000);
  for (const Codec codec : kCodecs) {
    Compressor compressor(codec);
    Bytes body;
    for (std::size_t at = 0; at < bytes.size();) {
      const std::size_t size = std::min<std::size_t>(random.below(50'000), bytes.size() - at);
      compressor.write(ByteView(bytes).subspan(at, size), body);
      at += size;
    }
    compressor.finish(body);
    ASSERT_EQ(decode(codec, body).bytes, bytes) << to_string(codec);
  }
}

TEST(BatchCompression, a_decompressor_is_used_again_after_anything) {
  Random random(4);
  const Bytes bytes = sample(random, 200'000);
  Decompressor decompressor;
  for (int round = 0; round < 40; ++round) {
    const Codec codec = kCodecs[random.below(std::size(kCodecs))];
    Bytes body = encode(codec, bytes);
    const bool damaged = random.one_in(2) && codec != Codec::none;
    if (damaged) body.resize(body.size() / 2);
    const bool abandoned = random.one_in(3);
    decompressor.start(codec, body);
    Bytes out;
    bool failed = false;
    while (!abandoned || out.empty()) {
      const auto slice = decompressor.step();
      failed = !slice;
      if (failed || slice->end) break;
      out.insert(out.end(), slice->bytes.begin(), slice->bytes.end());
    }
    if (!abandoned) {
      EXPECT_EQ(failed, damaged) << to_string(codec);
      if (!damaged) EXPECT_EQ(out, bytes) << to_string(codec);
    }
    if (random.one_in(5)) decompressor.trim();
  }
}

TEST(BatchCompression, cut_bodies_are_refused) {
  Random random(5);
  const Bytes bytes = sample(random, 20'000);
  for (const Codec codec : kRealCodecs) {
    const Bytes body = encode(codec, bytes);
    for (std::size_t size = 1; size < body.size(); size += 1 + size / 7) {
      const Decoded decoded = decode(codec, ByteView(body).first(size));
      // A snappy body may end behind any chunk, with up to three bytes that nobody looks at.
      if (decoded.ok && codec == Codec::snappy) {
        ASSERT_LT(decoded.bytes.size(), bytes.size());
        continue;
      }
      ASSERT_FALSE(decoded.ok) << to_string(codec) << " " << size;
      ASSERT_EQ(decoded.error, Errc::corrupt);
    }
  }
}

TEST(BatchCompression, damaged_bodies_never_exceed_the_budget) {
  Random random(6);
  constexpr std::size_t kBudget = 300'000;
  for (const Codec codec : kRealCodecs) {
    for (int round = 0; round < 400; ++round) {
      const Bytes bytes = sample(random, 1 + random.below(40'000));
      Bytes body = encode(codec, bytes);
      const std::uint64_t flips = 1 + random.below(4);
      for (std::uint64_t i = 0; i < flips; ++i) {
        // Headers are where announced sizes stand: hit them more often.
        const std::size_t span =
            random.one_in(2) ? std::min<std::size_t>(body.size(), 24) : body.size();
        body[random.below(span)] ^= static_cast<std::uint8_t>(1U << random.below(8));
      }
      decode(codec, body, kBudget);
    }
  }
}

TEST(BatchCompression, random_bytes_are_survived) {
  Random random(7);
  for (const Codec codec : kRealCodecs) {
    const Bytes start = encode(codec, {});
    for (int round = 0; round < 500; ++round) {
      Bytes body = sample(random, random.below(400));
      if (random.one_in(2)) {  // behind a good beginning
        const auto kept = static_cast<std::ptrdiff_t>(random.below(start.size() + 1));
        body.insert(body.begin(), start.begin(), start.begin() + kept);
      }
      decode(codec, body, 100'000);
    }
  }
}

TEST(BatchCompression, bombs_meet_their_budget) {
  constexpr std::size_t kBombSize = 64UL << 20;
  constexpr std::size_t kBudget = 1UL << 20;
  const Bytes zeroes(kBombSize);
  for (const Codec codec : kRealCodecs) {
    const Bytes body = encode(codec, zeroes);
    const Decoded decoded = decode(codec, body, kBudget);
    EXPECT_FALSE(decoded.ok) << to_string(codec);
    EXPECT_EQ(decoded.error, Errc::too_large) << to_string(codec);
    EXPECT_EQ(decode(codec, body).bytes.size(), kBombSize) << to_string(codec);
  }
}

TEST(BatchCompression, announced_lengths_are_not_believed) {
  // A raw snappy block that announces 4 GiB, and a chunk that announces 2 GiB.
  const Bytes raw = {0xff, 0xff, 0xff, 0xff, 0x0f, 0x00, 'a'};
  EXPECT_EQ(decode(Codec::snappy, raw).error, Errc::corrupt);
  Bytes framed = encode(Codec::snappy, as_bytes("hello"));
  framed[16] = 0x7f;
  EXPECT_EQ(decode(Codec::snappy, framed).error, Errc::corrupt);
  // A zstd frame of one segment that announces 2^40 bytes.
  const Bytes zstd = {0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0};
  EXPECT_EQ(decode(Codec::zstd, zstd).error, Errc::corrupt);
}

TEST(BatchCompression, a_huge_zstd_window_does_not_get_huge_memory) {
  const Bytes zeroes(48UL << 20);
  const Bytes body = encode(Codec::zstd, zeroes, 22);  // announces a window of 128 MiB
  const Decoded decoded = decode(Codec::zstd, body);
  EXPECT_EQ(decoded.error, Errc::too_large);
  EXPECT_LE(decoded.bytes.size(), kZstdWindowMemoryMax);
}

TEST(BatchCompression, large_raw_snappy_blocks_are_decoded_in_slices) {
  Random random(8);
  const Bytes bytes = sample(random, 9'000'000);
  // Raw: what librdkafka and Go clients send. The framed form with one chunk holds it behind 20
  // bytes.
  Bytes body;
  for (std::size_t size = bytes.size();; size >>= 7) {
    body.push_back(static_cast<std::uint8_t>(size < 128 ? size : (size | 128)));
    if (size < 128) break;
  }
  for (std::size_t at = 0; at < bytes.size();) {  // literals of 60000, copies of what stands before
    const std::size_t literal = std::min<std::size_t>(60'000, bytes.size() - at);
    body.push_back(61 << 2);
    body.push_back(static_cast<std::uint8_t>(literal - 1));
    body.push_back(static_cast<std::uint8_t>((literal - 1) >> 8));
    body.insert(body.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at),
                bytes.begin() + static_cast<std::ptrdiff_t>(at + literal));
    at += literal;
  }
  const Decoded decoded = decode(Codec::snappy, body);
  ASSERT_TRUE(decoded.ok);
  EXPECT_TRUE(decoded.bytes == bytes);
  EXPECT_GE(decoded.steps, bytes.size() / kDecodedSliceMax);
  body.pop_back();
  EXPECT_FALSE(decode(Codec::snappy, body).ok);
}

TEST(BatchCompression, copies_in_large_snappy_blocks_reach_back) {
  // "abcd", then copies of all three kinds until 5 MiB are there.
  const std::size_t total = 5UL << 20;
  Bytes body;
  for (std::size_t size = total;; size >>= 7) {
    body.push_back(static_cast<std::uint8_t>(size < 128 ? size : (size | 128)));
    if (size < 128) break;
  }
  body.insert(body.end(), {3 << 2, 'a', 'b', 'c', 'd'});
  std::size_t at = 4;
  while (at < total) {
    const std::size_t size = std::min<std::size_t>(64, total - at);
    if (at % 3 == 0 && size >= 11) {
      body.insert(body.end(), {(7 << 2) | 1, 4});  // 11 bytes from 4 back
      at += 11;
    } else if (at % 2 == 0) {
      body.insert(body.end(), {static_cast<std::uint8_t>((size - 1) << 2 | 2), 4, 0});
      at += size;
    } else {
      body.insert(body.end(), {static_cast<std::uint8_t>((size - 1) << 2 | 3), 4, 0, 0, 0});
      at += size;
    }
  }
  const Decoded decoded = decode(Codec::snappy, body);
  ASSERT_TRUE(decoded.ok);
  ASSERT_EQ(decoded.bytes.size(), total);
  for (std::size_t i = 0; i < total; ++i) ASSERT_EQ(decoded.bytes[i], "abcd"[i % 4]) << i;
}

TEST(BatchCompression, recompression_keeps_the_records) {
  Random random(9);
  for (const Codec from : kCodecs) {
    BatchBuilder builder(
        {.codec = from, .producer_id = 4, .producer_epoch = 1, .base_sequence = 7});
    for (int i = 0; i < 1000; ++i) builder.append(i, as_bytes("key"), sample(random, 100));
    const Bytes batch = std::move(builder).finish();
    Bytes records;
    ASSERT_TRUE(decompress(from, parse_batch(batch)->records(), records));
    for (const Codec to : kCodecs) {
      DecompressorPool pool;
      Recompression recompression(*parse_batch(batch), {.codec = to}, &pool);
      while (true) {
        const auto done = recompression.step();
        ASSERT_TRUE(done);
        if (*done) break;
      }
      const auto result = parse_batch(recompression.result());
      ASSERT_TRUE(result);
      EXPECT_TRUE(result->crc_matches());
      EXPECT_EQ(result->codec(), to);
      EXPECT_EQ(result->producer_id(), 4);
      EXPECT_EQ(result->record_count(), 1000);
      Bytes again;
      ASSERT_TRUE(decompress(to, result->records(), again));
      EXPECT_TRUE(again == records) << to_string(from) << " to " << to_string(to);
    }
    Recompression too_small(*parse_batch(batch), {.codec = Codec::none, .batch_bytes_max = 1000});
    auto step = too_small.step();
    while (step && !*step) step = too_small.step();
    ASSERT_FALSE(step);
    EXPECT_EQ(step.error().code, Errc::too_large);
  }
}

}  // namespace
}  // namespace drave::protocol
