#pragma once
// How `consume` writes records: format strings as kcat's, or JSON lines that `produce` reads. Pure.
//
//   %t topic  %p partition  %o offset  %T timestamp (ms)  %k key  %s value  %h headers (a=1,b=2)
//   %K %S bytes of key and value (-1: null)  %R value's bytes as a big-endian int32  %% a percent
//   \n \r \t \0 \\ \xHH

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"

namespace drave::cli {

// A record as it was consumed, or is to be produced. Views into what it was read from.
struct RecordRow {
  std::string_view topic;
  PartitionIndex partition = -1;
  Offset offset = -1;
  TimestampMs timestamp = -1;
  std::optional<ByteView> key;
  std::optional<ByteView> value;
  std::vector<std::pair<std::string_view, std::optional<ByteView>>> headers;
};

class RecordFormat {
 public:
  // Errc::invalid: what follows a % or a backslash is not known.
  static Result<RecordFormat> parse(std::string_view text);
  void append(std::string& out, const RecordRow& record) const;

 private:
  struct Piece {
    char field = 0;  // 0: the text
    std::string text;
  };
  std::vector<Piece> pieces_;
};

// One line. What is not UTF-8 stands in base64 under keyBase64, valueBase64.
void append_json(std::string& out, const RecordRow& record);

}  // namespace drave::cli
