#pragma once
// CRC-32C (Castagnoli), the checksum of Kafka's record batches, producer snapshots and of our
// journal. Three implementations that agree bit for bit: ISA-L for long inputs, SSE4.2 instructions
// for short ones, a table where the CPU has neither. Chosen once, at the first call.

#include <cstdint>

#include "base/bytes.h"

namespace drave {

// The CRC of `bytes`, continuing `crc` (0 to begin). crc32c(b, crc32c(a)) is the CRC of a then b.
std::uint32_t crc32c(ByteView bytes, std::uint32_t crc = 0);

// One particular implementation, for the tests that compare them.
std::uint32_t crc32c_table(ByteView bytes, std::uint32_t crc = 0);
std::uint32_t crc32c_sse42(ByteView bytes,
                           std::uint32_t crc = 0);  // the table where there is no SSE4.2

}  // namespace drave
