#include "tests/protocol/json_document.h"

namespace drave::protocol {
namespace {

const nlohmann::json& at(JsonTree::Node node) {
  return *static_cast<const nlohmann::json*>(node);
}

int base64_digit(char letter) {
  if (letter >= 'A' && letter <= 'Z') return letter - 'A';
  if (letter >= 'a' && letter <= 'z') return letter - 'a' + 26;
  if (letter >= '0' && letter <= '9') return letter - '0' + 52;
  return letter == '+' ? 62 : letter == '/' ? 63 : -1;
}

}  // namespace

JsonTree::Node JsonDocument::member(Node object, const char* name) {
  if (!at(object).is_object()) {
    trouble_ = std::string("no object around ") + name;
    return nullptr;
  }
  const auto found = at(object).find(name);
  return found == at(object).end() ? nullptr : &*found;
}

bool JsonDocument::is_null(Node node) {
  return at(node).is_null();
}

bool JsonDocument::boolean(Node node) {
  if (!at(node).is_boolean()) trouble_ = "not a boolean: " + at(node).dump();
  return at(node).is_boolean() && at(node).get<bool>();
}

std::int64_t JsonDocument::integer(Node node) {
  if (!at(node).is_number_integer()) trouble_ = "not an integer: " + at(node).dump();
  return at(node).is_number_integer() ? at(node).get<std::int64_t>() : 0;
}

double JsonDocument::number(Node node) {
  if (!at(node).is_number()) trouble_ = "not a number: " + at(node).dump();
  return at(node).is_number() ? at(node).get<double>() : 0;
}

std::string_view JsonDocument::text(Node node) {
  if (!at(node).is_string()) {
    trouble_ = "not a string: " + at(node).dump();
    return {};
  }
  return at(node).get_ref<const std::string&>();
}

ByteView JsonDocument::bytes(Node node) {
  std::vector<std::uint8_t>& out = bytes_.emplace_back();
  unsigned bits = 0;
  int count = 0;
  for (const char letter : text(node)) {
    if (letter == '=') break;
    const int digit = base64_digit(letter);
    if (digit < 0) trouble_ = "not base64: " + at(node).dump();
    bits = bits << 6 | static_cast<unsigned>(digit);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out.push_back(static_cast<std::uint8_t>(bits >> count));
  }
  return out;
}

Uuid JsonDocument::uuid(Node node) {
  const auto id = Uuid::parse(text(node));
  if (!id) trouble_ = "not an id: " + at(node).dump();
  return id.value_or(Uuid{});
}

std::size_t JsonDocument::size(Node array) {
  if (!at(array).is_array()) trouble_ = "not an array: " + at(array).dump();
  return at(array).is_array() ? at(array).size() : 0;
}

JsonTree::Node JsonDocument::element(Node array, std::size_t index) {
  return &at(array)[index];
}

}  // namespace drave::protocol
