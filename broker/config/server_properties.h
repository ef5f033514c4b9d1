#pragma once
// The syntax of server.properties: that of Java's property files, in UTF-8.
//
// A line is `key=value`, `key: value` or `key value`; lines that begin with # or ! are comments; a
// line that ends in an odd number of backslashes goes on in the next, whose leading blanks are
// dropped;
// \t \n \r \f \uXXXX and \<any other character> are escapes. Java reads bytes above 127 as Latin-1;
// here a file is UTF-8, and a setting that is not is an error (a comment may hold anything). Pure:
// text in, settings out.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace drave::broker {

inline constexpr std::size_t kPropertiesBytesMax = 1024 * 1024;

struct Property {
  std::string key;
  std::string value;  // blanks before it are gone, blanks after it are not (Java's rule)
  std::string where;  // "FILE:LINE" (first line of the setting), or "--override"
};

// The settings in the order of the file, doubles included. Errc::invalid names file and line;
// Errc::too_large: more than kPropertiesBytesMax.
Result<std::vector<Property>> parse_properties(std::string_view text, std::string_view file_name);

// "key=value" as on the command line: no escapes, blanks around both cut off. An empty value is a
// value.
Result<Property> parse_override(std::string_view argument);

}  // namespace drave::broker
