#pragma once
// What takes the place of offsets that are lost where the log goes on behind them: a truncation
// that ends inside of damage leaves it, and so does a journal entry that has rotted. It has the
// form of a batch without records that spans them, with the complement of its CRC: nobody takes it
// for a batch (nor does Kafka), and a walk tells it from damage of which nobody knows how far it
// goes.

#include <array>
#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "base/ids.h"
#include "protocol/record_batch.h"

namespace drave::segments {

struct LostRange {
  Offset first_offset = 0;
  Offset end_offset = 0;
};

inline constexpr std::size_t kLostRangeBytes = protocol::kBatchHeaderSize;

// Of offsets that one segment can have; not empty.
std::array<std::uint8_t, kLostRangeBytes> encode_lost_range(const LostRange& range);
// Nothing: something else begins there.
std::optional<LostRange> decode_lost_range(ByteView bytes);

}  // namespace drave::segments
