#pragma once
// Reading Kafka's small text files: a version line, a count line, that many lines. Views into the
// given text; strict, since these files are replaced whole.

#include <charconv>
#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace drave::segments {

// Takes the integer at the beginning of `line` with the one space behind it. False: none is there.
inline bool take_integer(std::string_view& line, std::int64_t& value) {
  const char* begin = line.data();
  const char* end = begin + line.size();
  const auto [at, error] = std::from_chars(begin, end, value);
  if (error != std::errc{} || at == begin) return false;
  line.remove_prefix(static_cast<std::size_t>(at - begin));
  if (line.empty()) return true;
  if (line.front() != ' ') return false;
  line.remove_prefix(1);
  return !line.empty();
}

class CountedLines {
 public:
  explicit CountedLines(std::string_view text) : text_(text) {}

  // Errc::unsupported: another version than 0. Errc::corrupt: no such header.
  Result<void> read_header() {
    std::string_view line;
    std::int64_t version = -1;
    if (!take_line(line) || !take_integer(line, version) || !line.empty()) {
      return failure(Errc::corrupt, "checkpoint: the first line is no version");
    }
    if (version != 0) return failure(Errc::unsupported, "checkpoint: unknown version");
    if (!take_line(line) || !take_integer(line, left_) || !line.empty() || left_ < 0) {
      return failure(Errc::corrupt, "checkpoint: the second line is no count");
    }
    return {};
  }

  bool next(std::string_view& line) {
    if (left_ <= 0 || !take_line(line)) return false;
    --left_;
    return true;
  }

  // Errc::corrupt: fewer or more lines than announced.
  Result<void> finish() const {
    if (left_ != 0) return failure(Errc::corrupt, "checkpoint: fewer lines than announced");
    if (!text_.empty()) return failure(Errc::corrupt, "checkpoint: more lines than announced");
    return {};
  }

 private:
  bool take_line(std::string_view& line) {
    if (text_.empty()) return false;
    const std::size_t end = text_.find('\n');
    line = text_.substr(0, end);
    text_.remove_prefix(end == std::string_view::npos ? text_.size() : end + 1);
    return true;
  }

  std::string_view text_;
  std::int64_t left_ = 0;
};

}  // namespace drave::segments
