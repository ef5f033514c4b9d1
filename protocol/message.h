#pragma once
// What every generated message header needs: the types of fields and the four functions.
//
// A message is a plain struct with Kafka's defaults. Text and bytes are views: after decode() they
// point into the bytes that were read, for encode() whatever they point to must outlive the call
// (and, if the Writer gathers, the sending). Whoever keeps a message longer copies its text.
// A nullable field is an optional; arrays are vectors. Fields carry a note of their versions; in
// other versions a decoded message holds the default.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/uuid.h"

namespace drave::protocol {

class Reader;
class Writer;

inline constexpr std::int16_t kNeverFlexible = 32767;

// The default of a nullable field that is not null by default: present and empty.
struct Present {
  template <class T>
  constexpr operator std::optional<T>() const {
    return std::optional<T>{std::in_place};
  }
};
inline constexpr Present kPresent;

}  // namespace drave::protocol

// decode: reads `message` in `version` from where `in` stands; trailing bytes stay unread. Every
//   field is overwritten; the messages of the hot path reuse the capacity of arrays. Errors:
//   unsupported (a version outside [kVersionMin, kVersionMax]), invalid (bytes that are not such a
//   message), too_large (its arrays exceed the Reader's budget). After an error the message's
//   content means nothing.
// encode: appends `message`. Errors: unsupported; invalid where a field that `version` lacks has a
//   value other than its default and is not ignorable, where null stands in a field that cannot be
//   null in `version`, or where a string exceeds 32,767 bytes. After an error discard the output.
// encoded_size: the bytes that encode() appends, gathered ones included.
// print: appends the message as JSON as Kafka's tools write it (library drave_protocol_print).
#define DRAVE_DECLARE_MESSAGE(T)                                                          \
  [[nodiscard]] Result<void> decode(Reader& in, T& message, std::int16_t version);        \
  [[nodiscard]] Result<void> encode(Writer& out, const T& message, std::int16_t version); \
  [[nodiscard]] std::size_t encoded_size(const T& message, std::int16_t version);         \
  void print(std::string& out, const T& message, std::int16_t version)
