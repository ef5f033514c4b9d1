#pragma once
// Metadata records on their way into the log, in order, each encoded with its frame as it is added:
// what their text pointed to may be gone right after.

#include <cstdint>
#include <vector>

#include "base/assert.h"
#include "base/bytes.h"
#include "protocol/metadata_record.h"

namespace drave::metadata {

// Records of one decision, as in Kafka: a request that would make more is refused.
inline constexpr std::size_t kRecordsPerRequestMax = 10'000;
// Text in a record, as in the protocol's strings.
inline constexpr std::size_t kTextLengthMax = 32'767;

class RecordList {
 public:
  // The record must be one that `version` can express, its texts within kTextLengthMax: asserted.
  template <class M>
  void add(const M& record, std::int16_t version = 0) {
    protocol::Writer out;
    const Result<void> encoded = protocol::encode_metadata_record(out, record, version);
    ASSERT(encoded.has_value());
    bytes_.insert(bytes_.end(), out.own().begin(), out.own().end());
    ends_.push_back(bytes_.size());
  }
  // A record that is encoded already.
  void add_encoded(ByteView value) {
    bytes_.insert(bytes_.end(), value.begin(), value.end());
    ends_.push_back(bytes_.size());
  }

  bool empty() const { return ends_.empty(); }
  std::size_t size() const { return ends_.size(); }
  std::size_t size_bytes() const { return bytes_.size(); }
  // Valid until the next change.
  ByteView operator[](std::size_t index) const {
    const std::size_t from = index == 0 ? 0 : ends_[index - 1];
    return ByteView(bytes_).subspan(from, ends_[index] - from);
  }

  // Takes back what was added since there were `size` records.
  void cut(std::size_t size) {
    ends_.resize(size);
    bytes_.resize(ends_.empty() ? 0 : ends_.back());
  }

 private:
  std::vector<std::uint8_t> bytes_;
  std::vector<std::size_t> ends_;
};

}  // namespace drave::metadata
