#pragma once
// What stands before the messages that records carry, other than those of __cluster_metadata:
//
//   keys of __consumer_offsets, __transaction_state, __share_group_state   int16 type, key version
//   0 their values; the consumer protocol's subscription and assignment;     int16 version
//     principals; end markers of transactions; the producer snapshot
//   values of raft control records         nothing; their first field, an int16, is the version
// (Keys of control records: control_record.h.)

#include <string>

#include "protocol/message.h"
#include "protocol/wire.h"

namespace drave::protocol {

// A key of an internal topic: its type, then the message in version 0.
template <class M>
[[nodiscard]] Result<void> encode_typed_key(Writer& out, const M& key) {
  out.integer(M::kApiKey);
  return encode(out, key, std::int16_t{0});
}
// The type of a key, to choose the message by; `in` then stands at the message, of version 0.
inline std::int16_t decode_key_type(Reader& in) {
  return in.integer<std::int16_t>();
}

// A version as int16, then the message in it.
template <class M>
[[nodiscard]] Result<void> encode_versioned(Writer& out, const M& message, std::int16_t version) {
  out.integer(version);
  return encode(out, message, version);
}
// `version` tells in which one the message stood.
template <class M>
[[nodiscard]] Result<void> decode_versioned(Reader& in, M& message, std::int16_t& version) {
  version = in.integer<std::int16_t>();
  return decode(in, message, version);
}

// The value of a raft control record (LeaderChangeMessage, SnapshotHeaderRecord, ...), whose own
// first field tells the version. One of a newer version is read as of the newest that is known,
// as Kafka does: what is new stands in tagged fields. Errors: unsupported (it does not), those of
// decode().
template <class M>
[[nodiscard]] Result<void> decode_control_value(ByteView value, M& message) {
  Reader ahead(value);
  const auto version = ahead.integer<std::int16_t>();
  const bool is_newer = version > M::kVersionMax;
  Reader in(value);
  Result<void> read = decode(in, message, is_newer ? M::kVersionMax : version);
  if (!is_newer || (read && in.remaining() == 0)) return read;
  return failure(Errc::unsupported,
                 "a control record of version " + std::to_string(version) + ", and versions to " +
                     std::to_string(M::kVersionMax) +
                     " are known here: a newer release wrote it, and can read it");
}

}  // namespace drave::protocol
