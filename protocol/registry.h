#pragma once
// Every message by its name: for dumps, fuzzers and tests, which handle all of them alike.
// Library drave_protocol_print.

#include <span>
#include <string>
#include <vector>

#include "protocol/json_tree.h"
#include "protocol/message.h"
#include "protocol/wire.h"

namespace drave::protocol {

enum class MessageKind : std::uint8_t { request, response, header, metadata, key, value, data };

struct MessageType {
  std::string_view name;
  MessageKind kind;
  std::int16_t key;  // api key, id of a record, type of a key or value; -1 where there is none
  std::int16_t version_min;
  std::int16_t version_max;
  std::int16_t flexible_min;

  // Reads a message from `in` and appends its JSON to `out`.
  Result<void> (*to_json)(Reader& in, std::int16_t version, std::string& out);
  // Reads a message from `in` and appends it to `out`; `size` is what encoded_size() says.
  Result<void> (*recode)(Reader& in, std::int16_t version, Writer& out, std::size_t& size);
  // Writes the message that `tree` describes.
  Result<void> (*from_json)(JsonTree& tree, std::int16_t version, Writer& out);
};

struct MessageFile {
  const MessageType* types;
  std::size_t count;
};
std::span<const MessageFile> message_files();

// All messages, in no particular order.
std::vector<const MessageType*> message_types();
// By Kafka's name ("FetchRequest", "PartitionRecord"); null if there is none.
const MessageType* find_message_type(std::string_view name);
// The record of __cluster_metadata with this id; null if there is none.
const MessageType* find_metadata_type(std::int64_t id);
// The request or response of an API; null if there is none.
const MessageType* find_message_type(MessageKind kind, std::int16_t api_key);

}  // namespace drave::protocol
