#pragma once
// Makes a row of the registry from a message's type. Only generated sources include this.

#include "protocol/printer.h"
#include "protocol/registry.h"

namespace drave::protocol {

template <class M>
Result<void> message_to_json(Reader& in, std::int16_t version, std::string& out) {
  M message;
  TRY_VOID(decode(in, message, version));
  print(out, message, version);
  return {};
}

template <class M>
Result<void> recode_message(Reader& in, std::int16_t version, Writer& out, std::size_t& size) {
  M message;
  TRY_VOID(decode(in, message, version));
  size = encoded_size(message, version);
  return encode(out, message, version);
}

template <class M>
Result<void> message_from_json(JsonTree& tree, std::int16_t version, Writer& out) {
  M message;
  Scanner scanner(tree, tree.root(), version, version >= M::kFlexibleMin);
  Fields<M>::visit(scanner, message);
  return encode(out, message, version);
}

template <class M>
constexpr MessageType message_type(MessageKind kind) {
  std::int16_t key = -1;
  if constexpr (requires { M::kApiKey; }) key = M::kApiKey;
  return {M::kName,
          kind,
          key,
          M::kVersionMin,
          M::kVersionMax,
          M::kFlexibleMin,
          &message_to_json<M>,
          &recode_message<M>,
          &message_from_json<M>};
}

}  // namespace drave::protocol
