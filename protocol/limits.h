#pragma once
// Bounds of what one message may make this process hold.

#include <cstddef>
#include <cstdint>

namespace drave::protocol {

// Decoding a message of n bytes allocates at most
//   min(kDecodedBytesMax, kDecodedBytesFloor + n * kDecodedBytesPerWireByte)
// for its arrays, whatever counts it announces.
inline constexpr std::size_t kDecodedBytesFloor = std::size_t{256} << 10;
inline constexpr std::size_t kDecodedBytesPerWireByte = 16;
inline constexpr std::size_t kDecodedBytesMax = std::size_t{64} << 20;

// Kafka's own limit for every string, in bytes.
inline constexpr std::size_t kStringBytesMax = 0x7fff;

// Lengths are int32: no message, no field is longer.
inline constexpr std::size_t kMessageBytesMax = 0x7fffffff;

// A gathering Writer copies shorter pieces of bytes: a cut costs an entry of the kernel's vector.
inline constexpr std::size_t kGatherBytesMin = 1024;

}  // namespace drave::protocol
