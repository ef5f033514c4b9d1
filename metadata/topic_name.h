#pragma once
// What names topics may have, as Kafka has it.

#include <optional>
#include <string>
#include <string_view>

namespace drave::metadata {

inline constexpr std::size_t kTopicNameLengthMax = 249;
inline constexpr std::string_view kMetadataTopicName = "__cluster_metadata";

bool is_valid_topic_name(std::string_view name);
// Kafka's sentence about a name that is not valid; nothing if it is.
std::optional<std::string> topic_name_problem(std::string_view name);

// Metric names hold '_' for '.': two topics whose names differ in nothing else collide.
bool has_collision_chars(std::string_view name);
std::string unify_collision_chars(std::string_view name);

}  // namespace drave::metadata
