#pragma once
// The fingerprint of a run: every event and every byte that a program writes goes in. Two runs of
// one seed have the same fingerprint, or the program (or the simulator) depends on something that
// is not the seed.

#include <cstdint>

#include "base/bytes.h"
#include "base/crc32c.h"

namespace drave::io::sim {

class Trace {
 public:
  void add(std::uint64_t value) {
    hash_ = (hash_ ^ value) * 0x9E3779B97F4A7C15ULL;
    hash_ ^= hash_ >> 29;
  }
  void add_bytes(ByteView bytes) { add(crc32c(bytes)); }
  std::uint64_t hash() const { return hash_; }

 private:
  std::uint64_t hash_ = 0xCBF29CE484222325ULL;
};

}  // namespace drave::io::sim
