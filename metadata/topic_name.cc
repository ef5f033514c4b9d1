#include "metadata/topic_name.h"

#include <fmt/format.h>

#include <algorithm>

namespace drave::metadata {

namespace {

bool is_legal(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

}  // namespace

bool is_valid_topic_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.size() <= kTopicNameLengthMax &&
         std::all_of(name.begin(), name.end(), is_legal);
}

std::optional<std::string> topic_name_problem(std::string_view name) {
  if (is_valid_topic_name(name)) return std::nullopt;
  if (name.empty()) return "Topic name is invalid: the empty string is not allowed";
  if (name == "." || name == "..")
    return fmt::format("Topic name is invalid: '{}' is not allowed", name);
  if (name.size() > kTopicNameLengthMax) {
    return fmt::format(
        "Topic name is invalid: the length of '{}' is longer than the max allowed length {}", name,
        kTopicNameLengthMax);
  }
  return fmt::format(
      "Topic name is invalid: '{}' contains one or more characters other than ASCII alphanumerics, "
      "'.', '_' and '-'",
      name);
}

bool has_collision_chars(std::string_view name) {
  return name.find_first_of("._") != std::string_view::npos;
}

std::string unify_collision_chars(std::string_view name) {
  std::string unified(name);
  std::replace(unified.begin(), unified.end(), '.', '_');
  return unified;
}

}  // namespace drave::metadata
