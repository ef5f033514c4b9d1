// The syntax of values: types, rules, units.

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <set>

#include "metadata/config/config_def.h"

namespace drave::metadata {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

bool all_digits(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// Java's Integer.parseInt and kin: an optional sign, then digits only.
std::optional<std::int64_t> parse_integer(std::string_view text) {
  std::string_view digits = text;
  if (digits.starts_with('+') || digits.starts_with('-')) digits.remove_prefix(1);
  if (!all_digits(digits)) return std::nullopt;
  if (text.starts_with('+')) text.remove_prefix(1);
  std::int64_t value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  if (read.ec != std::errc()) return std::nullopt;
  return value;
}

// Java's Double.parseDouble without its hexadecimal form and without what is no number.
std::optional<double> parse_double(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  if (text.size() > 1 && std::string_view("dDfF").find(text.back()) != std::string_view::npos) {
    text.remove_suffix(1);
  }
  double value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  if (read.ec != std::errc() || read.ptr != text.data() + text.size()) return std::nullopt;
  if (!std::isfinite(value)) return std::nullopt;
  return value;
}

// Java's Double.toString: the shortest digits; an exponent below 10^-3 and from 10^7 on.
std::string print_double(double value) {
  if (value == 0) return std::signbit(value) ? "-0.0" : "0.0";
  char shortest[32];
  const auto end =
      std::to_chars(shortest, shortest + sizeof shortest, value, std::chars_format::scientific);
  const std::string_view scientific(shortest, end.ptr);
  const std::size_t e = scientific.find('e');
  std::string digits(scientific.substr(0, e));
  int exponent = 0;
  const std::string_view power = scientific.substr(e + (scientific[e + 1] == '+' ? 2 : 1));
  std::from_chars(power.data(), power.data() + power.size(), exponent);
  const bool negative = digits.starts_with('-');
  if (negative) digits.erase(0, 1);
  std::erase(digits, '.');
  std::string out;
  if (exponent < -3 || exponent >= 7) {
    out = fmt::format("{}.{}E{}", digits[0], digits.size() > 1 ? digits.substr(1) : "0", exponent);
  } else if (exponent < 0) {
    out = "0." + std::string(static_cast<std::size_t>(-exponent - 1), '0') + digits;
  } else {
    const std::size_t whole = static_cast<std::size_t>(exponent) + 1;
    if (digits.size() < whole + 1) digits.append(whole + 1 - digits.size(), '0');
    out = digits.substr(0, whole) + "." + digits.substr(whole);
  }
  return negative ? "-" + out : out;
}

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> items;
  text = trim(text);
  if (text.empty()) return items;
  while (true) {
    const std::size_t comma = text.find(',');
    items.emplace_back(trim(text.substr(0, comma)));
    if (comma == std::string_view::npos) return items;
    text.remove_prefix(comma + 1);
  }
}

std::string readable(std::string_view options) {
  std::string out;
  for (const char c : options) {
    out.push_back(c);
    if (c == ',') out.push_back(' ');
  }
  return out;
}

bool is_option(std::string_view options, std::string_view value) {
  for (const std::string& option : split_list(options)) {
    if (option == value) return true;
  }
  return false;
}

struct Range {
  std::string_view lowest;
  std::string_view highest;  // empty: none
  bool or_minus_one = false;
};

Range parse_range(std::string_view rule) {
  Range range;
  if (rule.ends_with("|-1")) {
    range.or_minus_one = true;
    rule.remove_suffix(3);
  }
  const std::size_t dots = rule.find("..");
  range.lowest = rule.substr(0, dots);
  range.highest = rule.substr(dots + 2);
  return range;
}

template <class Number, class Parse>
Result<void> check_range(const ConfigDef& def, Number value, std::string_view shown, Parse parse) {
  if (def.rule.empty()) return {};
  const Range range = parse_range(def.rule);
  const bool below = value < parse(range.lowest);
  const bool above = !range.highest.empty() && value > parse(range.highest);
  if (range.or_minus_one) {
    if ((below || above) && value != Number(-1)) {
      return std::unexpected(
          invalid_value(def, shown,
                        fmt::format("Value must be between {} and {} or equal to -1", range.lowest,
                                    range.highest)));
    }
    return {};
  }
  if (below) {
    return std::unexpected(
        invalid_value(def, shown, fmt::format("Value must be at least {}", range.lowest)));
  }
  if (above) {
    return std::unexpected(
        invalid_value(def, shown, fmt::format("Value must be no more than {}", range.highest)));
  }
  return {};
}

Result<std::string> canonical_integer(const ConfigDef& def, std::string_view text,
                                      std::int64_t least, std::int64_t most) {
  const auto value = parse_integer(trim(text));
  if (!value || *value < least || *value > most) {
    return std::unexpected(
        invalid_value(def, text, fmt::format("Not a number of type {}", to_string(def.type))));
  }
  std::string shown = fmt::format("{}", *value);
  TRY_VOID(check_range(def, *value, shown, integer_of));
  return shown;
}

Result<std::string> canonical_double(const ConfigDef& def, std::string_view text) {
  const auto value = parse_double(trim(text));
  if (!value) return std::unexpected(invalid_value(def, text, "Not a number of type DOUBLE"));
  std::string shown = print_double(*value);
  TRY_VOID(check_range(def, *value, shown, double_of));
  return shown;
}

Result<std::string> canonical_boolean(const ConfigDef& def, std::string_view text) {
  std::string value = lower(trim(text));
  if (value == "true" || value == "false") return value;
  return std::unexpected(invalid_value(def, text, "Expected value to be either true or false"));
}

// ISO 8601 as far as java.time.Duration takes it, not negative: P[nD][T[nH][nM][n[.n]S]].
bool is_duration(std::string_view text) {
  if (!text.starts_with('P')) return false;
  text.remove_prefix(1);
  std::string_view order = "DTHMS";
  bool any = false;
  while (!text.empty()) {
    if (text.front() == 'T') {
      if (order.find('T') == std::string_view::npos || text.size() == 1) return false;
      order = "HMS";
      text.remove_prefix(1);
      continue;
    }
    std::size_t end = 0;
    while (end < text.size() && ((text[end] >= '0' && text[end] <= '9') || text[end] == '.')) ++end;
    if (end == 0 || end == text.size()) return false;
    const std::string_view number = text.substr(0, end);
    const char unit = text[end];
    const std::size_t at = order.find(unit);
    if (at == std::string_view::npos || (order.front() == 'D' && unit != 'D')) return false;
    const std::size_t dot = number.find('.');
    if (!all_digits(number.substr(0, dot))) return false;
    if (dot != std::string_view::npos && (unit != 'S' || !all_digits(number.substr(dot + 1)))) {
      return false;
    }
    order.remove_prefix(at + 1);
    text.remove_prefix(end + 1);
    any = true;
  }
  return any;
}

Result<std::string> canonical_text(const ConfigDef& def, std::string_view text) {
  std::string value(trim(text));
  if (def.rule == "not_empty" && value.empty()) {
    return std::unexpected(invalid_value(def, value, "String must be non-empty"));
  }
  if (def.rule.starts_with("in:") && !is_option(def.rule.substr(3), value)) {
    return std::unexpected(invalid_value(
        def, value, fmt::format("String must be one of: {}", readable(def.rule.substr(3)))));
  }
  if (def.rule.starts_with("in_ci:") && !is_option(lower(def.rule.substr(6)), lower(value))) {
    return std::unexpected(invalid_value(
        def, value,
        fmt::format("String must be one of (case insensitive): {}", readable(def.rule.substr(6)))));
  }
  if (def.rule == "offset_reset" && value != "earliest" && value != "latest" &&
      !(value.starts_with("by_duration:") && is_duration(value.substr(12)))) {
    return std::unexpected(invalid_value(
        def, value,
        fmt::format("Invalid value `{}` for configuration {}. The value must be either 'earliest', "
                    "'latest' or of the format 'by_duration:<PnDTnHnMn.nS>'.",
                    value, def.name)));
  }
  return value;
}

bool is_throttle(std::string_view item) {
  const std::size_t colon = item.find(':');
  return colon != std::string_view::npos && all_digits(item.substr(0, colon)) &&
         all_digits(item.substr(colon + 1));
}

// "host:port", the port after the last colon.
bool is_address(std::string_view item) {
  const std::size_t colon = item.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  const auto port =
      all_digits(item.substr(colon + 1)) ? parse_integer(item.substr(colon + 1)) : std::nullopt;
  return port && *port <= 65535;
}

Result<void> check_addresses(const ConfigDef& def, const std::vector<std::string>& items) {
  for (std::string_view item : items) {
    if (def.rule == "voters") {
      const std::size_t at = item.find('@');
      const bool has_id = at != std::string_view::npos && all_digits(item.substr(0, at));
      if (!has_id || !is_address(item.substr(at + 1))) {
        return failure(Errc::invalid,
                       fmt::format("Invalid configuration value for {}. Each entry "
                                   "should be in the form `{{id}}@{{host}}:{{port}}`.",
                                   def.name));
      }
    } else if (!is_address(item)) {
      return failure(Errc::invalid,
                     fmt::format("Failed to parse host name from {} for the configuration {}. Each "
                                 "entry should be in the form \"{{host}}:{{port}}\"",
                                 item, def.name));
    }
  }
  return {};
}

Result<std::string> canonical_list(const ConfigDef& def, std::string_view text) {
  std::vector<std::string> items = split_list(text);
  if (def.rule == "throttles") {
    const bool all = items.size() == 1 && items[0] == "*";
    if (!all && !std::all_of(items.begin(), items.end(), is_throttle)) {
      return std::unexpected(invalid_value(
          def, fmt::format("[{}]", fmt::join(items, ", ")),
          fmt::format("{} must be the literal '*' or a list of replicas in the following format: "
                      "[partitionId]:[brokerId],[partitionId]:[brokerId],...",
                      def.name)));
    }
    return fmt::format("{}", fmt::join(items, ","));
  }
  if (def.rule == "voters" || def.rule == "servers") {
    TRY_VOID(check_addresses(def, items));
    return fmt::format("{}", fmt::join(items, ","));
  }
  const std::size_t colon = def.rule.find(':');
  const std::string_view options =
      colon == std::string_view::npos ? std::string_view() : def.rule.substr(colon + 1);
  if (items.empty() && def.rule.starts_with("list+")) {
    return failure(
        Errc::invalid,
        fmt::format("Configuration '{}' must not be empty. Valid values include: {}", def.name,
                    options.empty() ? "any non-empty value" : "[" + readable(options) + "]"));
  }
  std::vector<std::string> distinct;
  std::set<std::string_view> seen;
  for (const std::string& item : items) {
    if (item.empty()) {
      return failure(Errc::invalid,
                     fmt::format("Configuration '{}' values must not be empty.", def.name));
    }
    if (!options.empty() && !is_option(options, item)) {
      return std::unexpected(
          invalid_value(def, item, fmt::format("String must be one of: {}", readable(options))));
    }
    if (seen.insert(item).second) distinct.push_back(item);
  }
  return fmt::format("{}", fmt::join(distinct, ","));
}

struct UnitWord {
  std::string_view word;
  Unit of;  // bytes, or ms for every word of time
  std::int64_t factor;
};

constexpr std::int64_t kSecondMs = 1000;
constexpr std::int64_t kMinuteMs = 60 * kSecondMs;
constexpr std::int64_t kHourMs = 60 * kMinuteMs;
constexpr std::int64_t kDayMs = 24 * kHourMs;

constexpr UnitWord kUnitWords[] = {
    {"B", Unit::bytes, 1},
    {"KiB", Unit::bytes, 1LL << 10},
    {"MiB", Unit::bytes, 1LL << 20},
    {"GiB", Unit::bytes, 1LL << 30},
    {"TiB", Unit::bytes, 1LL << 40},
    {"kB", Unit::bytes, 1'000},
    {"KB", Unit::bytes, 1'000},
    {"MB", Unit::bytes, 1'000'000},
    {"GB", Unit::bytes, 1'000'000'000},
    {"TB", Unit::bytes, 1'000'000'000'000},
    {"ms", Unit::ms, 1},
    {"s", Unit::ms, kSecondMs},
    {"m", Unit::ms, kMinuteMs},
    {"min", Unit::ms, kMinuteMs},
    {"h", Unit::ms, kHourMs},
    {"d", Unit::ms, kDayMs},
    {"w", Unit::ms, 7 * kDayMs},
};

// What one of the key's own unit is in the words' base (bytes or ms).
std::int64_t base_of(Unit unit) {
  switch (unit) {
    case Unit::seconds: return kSecondMs;
    case Unit::minutes: return kMinuteMs;
    case Unit::hours: return kHourMs;
    default: return 1;
  }
}

}  // namespace

Result<std::string> canonical_value(const ConfigDef& def, std::string_view text) {
  switch (def.type) {
    case ConfigType::boolean: return canonical_boolean(def, text);
    case ConfigType::int16: return canonical_integer(def, text, INT16_MIN, INT16_MAX);
    case ConfigType::int32: return canonical_integer(def, text, INT32_MIN, INT32_MAX);
    case ConfigType::int64: return canonical_integer(def, text, INT64_MIN, INT64_MAX);
    case ConfigType::float64: return canonical_double(def, text);
    case ConfigType::list: return canonical_list(def, text);
    case ConfigType::text:
    case ConfigType::class_name:
    case ConfigType::password: return canonical_text(def, text);
  }
  return failure(Errc::invalid, "unknown type");
}

Result<std::string> expand_units(const ConfigDef& def, std::string_view text) {
  const std::string_view value = trim(text);
  const std::size_t digits = std::min(value.find_first_not_of("0123456789"), value.size());
  const std::string_view word = trim(value.substr(digits));
  if (def.unit == Unit::none || digits == 0 || word.empty()) return std::string(text);
  const auto* unit = std::find_if(std::begin(kUnitWords), std::end(kUnitWords),
                                  [word](const UnitWord& known) { return known.word == word; });
  const Unit wanted = def.unit == Unit::bytes ? Unit::bytes : Unit::ms;
  if (unit == std::end(kUnitWords) || unit->of != wanted) {
    return std::unexpected(invalid_value(
        def, value,
        wanted == Unit::bytes ? "a size ends in B, KiB, MiB, GiB, TiB, kB, MB, GB, TB or nothing"
                              : "a time ends in ms, s, min, m, h, d, w or nothing"));
  }
  const auto count = parse_integer(value.substr(0, digits));
  if (!count || *count > std::numeric_limits<std::int64_t>::max() / unit->factor) {
    return std::unexpected(invalid_value(def, value, "too large"));
  }
  const std::int64_t amount = *count * unit->factor;
  const std::int64_t base = base_of(def.unit);
  if (amount % base != 0) {
    return std::unexpected(invalid_value(
        def, value,
        fmt::format("not a whole number of {}", def.unit == Unit::hours     ? "hours"
                                                : def.unit == Unit::minutes ? "minutes"
                                                                            : "seconds")));
  }
  return fmt::format("{}", amount / base);
}

}  // namespace drave::metadata
