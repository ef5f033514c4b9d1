#pragma once
// Kafka's `<offset>.snapshot`: what ProducerStates knew of [.., offset). Big-endian: version int16
// (1), CRC-32C uint32 of all that follows it, a count int32, then 46 bytes for each producer: id
// int64, epoch int16, last sequence int32, last offset int64, offset delta int32, timestamp int64,
// coordinator epoch int32, first offset of the open transaction int64 (-1). Of the five batches
// that we remember a snapshot keeps the last one.

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "segments/producer_state.h"

namespace drave::segments {

// Errc::corrupt (size, CRC), Errc::unsupported (version).
Result<std::vector<ProducerEntry>> decode_producer_snapshot(ByteView bytes);
std::vector<std::uint8_t> encode_producer_snapshot(const ProducerStates& states);

}  // namespace drave::segments
