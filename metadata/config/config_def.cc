#include "metadata/config/config_def.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/assert.h"

namespace drave::metadata {
namespace {

constexpr ConfigDef kConfigs[] = {
#include "metadata/config/table.inc"
};

struct RemovedConfig {
  std::string_view name;
  std::string_view note;
};

constexpr RemovedConfig kRemovedConfigs[] = {
#include "metadata/config/removed.inc"
};

// Longer names than this are not compared letter by letter.
constexpr std::size_t kNearestNameSizeMax = 128;

// Levenshtein's distance, or anything above `limit` once it is known to be above.
std::size_t edit_distance(std::string_view left, std::string_view right, std::size_t limit) {
  std::array<std::size_t, kNearestNameSizeMax + 1> row{};
  for (std::size_t i = 0; i <= right.size(); ++i) row[i] = i;
  for (std::size_t i = 1; i <= left.size(); ++i) {
    std::size_t diagonal = row[0];
    std::size_t least = row[0] = i;
    for (std::size_t j = 1; j <= right.size(); ++j) {
      const std::size_t replaced = diagonal + (left[i - 1] == right[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
      least = std::min(least, row[j]);
    }
    if (least > limit) return least;
  }
  return row[right.size()];
}

char folded(char c) {
  if (c == '_' || c == '-') return '.';
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// The same words in another order, or with '_' for '.', are near, too.
std::string sorted_words(std::string_view name) {
  std::vector<std::string> words(1);
  for (const char c : name) {
    if (folded(c) == '.') {
      words.emplace_back();
    } else {
      words.back().push_back(folded(c));
    }
  }
  std::sort(words.begin(), words.end());
  return fmt::format("{}", fmt::join(words, "."));
}

// Letters that one name has more of than the other: never above the distance, and quickly counted.
std::size_t letters_apart(std::string_view left, std::string_view right) {
  std::array<int, 256> surplus{};
  for (const char c : left) ++surplus[static_cast<unsigned char>(folded(c))];
  for (const char c : right) --surplus[static_cast<unsigned char>(folded(c))];
  std::size_t more = 0;
  std::size_t fewer = 0;
  for (const int count : surplus) {
    if (count > 0) more += static_cast<std::size_t>(count);
    if (count < 0) fewer += static_cast<std::size_t>(-count);
  }
  return std::max(more, fewer);
}

}  // namespace

std::span<const ConfigDef> all_configs(ConfigScope scope) {
  const auto before = [](const ConfigDef& def, ConfigScope wanted) { return def.scope < wanted; };
  const auto after = [](ConfigScope wanted, const ConfigDef& def) { return wanted < def.scope; };
  const auto* first = std::lower_bound(std::begin(kConfigs), std::end(kConfigs), scope, before);
  const auto* last = std::upper_bound(first, std::end(kConfigs), scope, after);
  return {first, last};
}

const ConfigDef* find_config(ConfigScope scope, std::string_view name) {
  const auto keys = all_configs(scope);
  const auto found = std::lower_bound(
      keys.begin(), keys.end(), name,
      [](const ConfigDef& def, std::string_view wanted) { return def.name < wanted; });
  return found != keys.end() && found->name == name ? &*found : nullptr;
}

std::string_view nearest_config(ConfigScope scope, std::string_view name) {
  if (name.empty() || name.size() > kNearestNameSizeMax) return {};
  const std::string words = sorted_words(name);
  std::size_t limit = std::max<std::size_t>(2, name.size() / 4);
  std::string_view nearest;
  for (const ConfigDef& def : all_configs(scope)) {
    if (def.internal || def.name.size() > kNearestNameSizeMax) continue;
    if (letters_apart(name, def.name) > limit) continue;
    const std::size_t distance = std::min(edit_distance(name, def.name, limit),
                                          edit_distance(words, sorted_words(def.name), limit));
    const bool better_tie = nearest.size() != name.size() && def.name.size() == name.size();
    if (distance > limit || (distance == limit && !nearest.empty() && !better_tie)) continue;
    limit = distance;
    nearest = def.name;
  }
  return nearest;
}

std::string_view removed_config_note(std::string_view name) {
  for (const RemovedConfig& removed : kRemovedConfigs) {
    if (removed.name == name) return removed.note;
  }
  return {};
}

Error invalid_value(const ConfigDef& def, std::string_view value, std::string_view why) {
  const std::string_view shown = def.sensitive() ? std::string_view("[hidden]") : value;
  return Error{Errc::invalid, 0,
               fmt::format("Invalid value {} for configuration {}: {}", shown, def.name, why)};
}

bool boolean_of(std::string_view canonical) {
  return canonical == "true";
}

std::int64_t integer_of(std::string_view canonical) {
  std::int64_t value = 0;
  const auto read = std::from_chars(canonical.data(), canonical.data() + canonical.size(), value);
  ASSERT(read.ec == std::errc());
  return value;
}

double double_of(std::string_view canonical) {
  double value = 0;
  const auto read = std::from_chars(canonical.data(), canonical.data() + canonical.size(), value);
  ASSERT(read.ec == std::errc());
  return value;
}

std::vector<std::string> list_of(std::string_view canonical) {
  std::vector<std::string> items;
  while (!canonical.empty()) {
    const std::size_t comma = canonical.find(',');
    items.emplace_back(canonical.substr(0, comma));
    if (comma == std::string_view::npos) break;
    canonical.remove_prefix(comma + 1);
  }
  return items;
}

std::string_view to_string(ConfigType type) {
  switch (type) {
    case ConfigType::boolean: return "BOOLEAN";
    case ConfigType::text: return "STRING";
    case ConfigType::int32: return "INT";
    case ConfigType::int16: return "SHORT";
    case ConfigType::int64: return "LONG";
    case ConfigType::float64: return "DOUBLE";
    case ConfigType::list: return "LIST";
    case ConfigType::class_name: return "CLASS";
    case ConfigType::password: return "PASSWORD";
  }
  return "?";
}

std::string_view trim(std::string_view text) {
  const auto blank = [](char c) { return static_cast<unsigned char>(c) <= ' '; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace drave::metadata
