#include "protocol/api_key.h"

namespace drave::protocol {

const ApiInfo* find_api(std::int16_t key) {
  if (key < 0 || static_cast<std::size_t>(key) >= apis().size()) return nullptr;
  return &apis()[static_cast<std::size_t>(key)];
}

std::string_view to_string(ApiKey key) {
  const ApiInfo* found = find_api(static_cast<std::int16_t>(key));
  return found == nullptr ? "unknown" : found->name;
}

}  // namespace drave::protocol
