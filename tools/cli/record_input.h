#pragma once
// What `produce` reads: records with a delimiter behind each, or the JSON lines that `consume -o
// json` writes. Pure.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/cli/outcome.h"
#include "tools/cli/record_format.h"

namespace drave::cli {

// Cuts a stream into records. The last one needs no delimiter.
class RecordSplitter {
 public:
  // `delimiter` is not empty.
  explicit RecordSplitter(std::string delimiter) : delimiter_(std::move(delimiter)) {}
  void feed(std::string_view bytes) { buffer_.append(bytes); }
  // The next whole record; valid until feed(). After finish() what is left, too.
  std::optional<std::string_view> next();
  void finish() { finished_ = true; }
  // Forgets what next() has returned.
  void compact();

 private:
  std::string delimiter_;
  std::string buffer_;
  std::size_t at_ = 0;
  bool finished_ = false;
};

// A record that owns its bytes; `row` points to them. Not to be moved.
class InputRecord {
 public:
  InputRecord() = default;
  InputRecord(const InputRecord&) = delete;
  InputRecord& operator=(const InputRecord&) = delete;

  RecordRow row;

  // A line: its key stands before the first `key_delimiter`, if that is not empty and there is one.
  void read_line(std::string_view line, std::string_view key_delimiter, bool empty_is_null);
  // A JSON object: key, value, headers, partition, timestamp; others are left alone.
  Outcome<> read_json(std::string_view line);

 private:
  std::vector<std::string> texts_;
};

}  // namespace drave::cli
