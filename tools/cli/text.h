#pragma once
// Bytes as text that JSON can carry, and back.

#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace drave::cli {

bool is_utf8(ByteView bytes);

// Base64 of RFC 4648 with padding.
std::string to_base64(ByteView bytes);
std::optional<std::string> from_base64(std::string_view text);

std::string to_hex(ByteView bytes);

// Replaces \n \r \t \0 \\ and \xHH. Errc::invalid: something else follows a backslash.
Result<std::string> unescape(std::string_view text);

}  // namespace drave::cli
