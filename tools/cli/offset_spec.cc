#include "tools/cli/offset_spec.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>

namespace drave::cli {
namespace {

using Kind = OffsetPoint::Kind;

std::optional<std::int64_t> parse_number(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < 0 || text[0] == '-')
    return std::nullopt;
  return value;
}

std::optional<OffsetPoint> parse_point(std::string_view text) {
  if (text == "start") return OffsetPoint{Kind::start, 0};
  if (text == "end") return OffsetPoint{Kind::end, 0};
  if (text.empty()) return std::nullopt;
  const std::string_view rest = text.substr(1);
  if (text[0] == '@') {
    if (const auto ms = parse_number(rest)) return OffsetPoint{Kind::timestamp, *ms};
    if (const auto ms = parse_rfc3339(rest)) return OffsetPoint{Kind::timestamp, *ms};
    return std::nullopt;
  }
  if (text[0] == '+') {
    const auto count = parse_number(rest);
    return count ? std::optional(OffsetPoint{Kind::after_start, *count}) : std::nullopt;
  }
  if (text[0] == '-') {
    if (const auto count = parse_number(rest)) return OffsetPoint{Kind::before_end, *count};
    const auto span = parse_span_ms(rest);
    return span ? std::optional(OffsetPoint{Kind::ago, *span}) : std::nullopt;
  }
  const auto offset = parse_number(text);
  return offset ? std::optional(OffsetPoint{Kind::absolute, *offset}) : std::nullopt;
}

// Takes exactly `digits` digits.
std::optional<int> take_digits(std::string_view& text, std::size_t digits) {
  if (text.size() < digits) return std::nullopt;
  const auto value = parse_number(text.substr(0, digits));
  if (!value || text[0] == '+') return std::nullopt;
  text.remove_prefix(digits);
  return static_cast<int>(*value);
}

bool take(std::string_view& text, std::string_view any_of) {
  if (text.empty() || any_of.find(text[0]) == std::string_view::npos) return false;
  text.remove_prefix(1);
  return true;
}

// Minutes that the text's clock is ahead of UTC.
std::optional<int> take_zone(std::string_view& text) {
  if (take(text, "Zz")) return 0;
  const bool west = text.starts_with('-');
  if (!take(text, "+-")) return std::nullopt;
  const auto hours = take_digits(text, 2);
  if (!hours || !take(text, ":")) return std::nullopt;
  const auto minutes = take_digits(text, 2);
  if (!minutes || *minutes > 59) return std::nullopt;
  const int total = *hours * 60 + *minutes;
  return west ? -total : total;
}

}  // namespace

std::optional<std::int64_t> parse_span_ms(std::string_view text) {
  const std::size_t unit_at = text.find_first_not_of("0123456789");
  const auto number = parse_number(text.substr(0, unit_at));
  if (!number) return std::nullopt;
  const std::string_view unit = unit_at == std::string_view::npos ? "ms" : text.substr(unit_at);
  std::int64_t factor = 0;
  if (unit == "ms") factor = 1;
  if (unit == "s") factor = 1000;
  if (unit == "m") factor = 60'000;
  if (unit == "h") factor = 3'600'000;
  if (unit == "d") factor = 86'400'000;
  if (factor == 0 || *number > INT64_MAX / factor) return std::nullopt;
  return *number * factor;
}

std::optional<TimestampMs> parse_rfc3339(std::string_view text) {
  const auto year = take_digits(text, 4);
  if (!year || !take(text, "-")) return std::nullopt;
  const auto month = take_digits(text, 2);
  if (!month || !take(text, "-")) return std::nullopt;
  const auto day = take_digits(text, 2);
  if (!day || !take(text, "Tt ")) return std::nullopt;
  const auto hour = take_digits(text, 2);
  if (!hour || !take(text, ":")) return std::nullopt;
  const auto minute = take_digits(text, 2);
  if (!minute || !take(text, ":")) return std::nullopt;
  const auto second = take_digits(text, 2);
  if (!second) return std::nullopt;
  int milliseconds = 0;
  if (take(text, ".")) {
    int scale = 100;
    const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
    if (digits == 0) return std::nullopt;
    for (std::size_t i = 0; i < digits; ++i, scale /= 10) milliseconds += (text[i] - '0') * scale;
    text.remove_prefix(digits);
  }
  const auto zone = take_zone(text);
  if (!zone || !text.empty()) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(*year),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok() || *hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
  const std::int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  const std::int64_t seconds = ((days * 24 + *hour) * 60 + *minute - *zone) * 60 + *second;
  return seconds * 1000 + milliseconds;
}

Result<OffsetRange> parse_offset_range(std::string_view text) {
  if (const auto point = parse_point(text)) return OffsetRange{*point, std::nullopt};
  // A time has colons, too: the one between two points is the first that leaves points on both
  // sides.
  for (std::size_t at = text.find(':'); at != std::string_view::npos; at = text.find(':', at + 1)) {
    const std::string_view before = text.substr(0, at);
    const std::string_view behind = text.substr(at + 1);
    const auto first =
        before.empty() ? std::optional(OffsetPoint{Kind::start, 0}) : parse_point(before);
    const auto last =
        behind.empty() ? std::optional(OffsetPoint{Kind::end, 0}) : parse_point(behind);
    if (first && last) return OffsetRange{*first, *last};
  }
  return failure(Errc::invalid,
                 fmt::format("\"{}\" is no offset: expected start, end, N, +N, -N, @MILLISECONDS, "
                             "@2026-01-31T00:00:00Z, -1h, or two of them as A:B",
                             text));
}

Offset resolve(const OffsetPoint& point, const PartitionBounds& bounds) {
  const auto within = [&](Offset offset) { return std::clamp(offset, bounds.start, bounds.end); };
  const Offset length = bounds.end - bounds.start;
  switch (point.kind) {
    case Kind::start: return bounds.start;
    case Kind::end: return bounds.end;
    case Kind::absolute: return within(point.value);
    case Kind::after_start: return bounds.start + std::min(point.value, length);
    case Kind::before_end: return bounds.end - std::min(point.value, length);
    case Kind::timestamp:
    case Kind::ago: return bounds.at_time < 0 ? bounds.end : within(bounds.at_time);
  }
  return bounds.start;
}

}  // namespace drave::cli
