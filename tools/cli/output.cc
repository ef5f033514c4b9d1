#include "tools/cli/output.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>

namespace drave::cli {
namespace {

constexpr std::size_t kGap = 2;

bool is_number(const std::string& cell) {
  return !cell.empty() && cell.find_first_not_of("0123456789.-") == std::string::npos;
}

}  // namespace

std::string Table::to_string() const {
  std::vector<std::size_t> widths(headings_.size());
  std::vector<bool> numeric(headings_.size(), !rows_.empty());
  for (std::size_t i = 0; i < headings_.size(); ++i) {
    widths[i] = headings_[i].size();
    for (const auto& row : rows_) {
      widths[i] = std::max(widths[i], row[i].size());
      if (!is_number(row[i])) numeric[i] = false;
    }
  }
  std::string text;
  const auto line = [&](const std::vector<std::string>& row) {
    std::string out;
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (i > 0) out.append(kGap, ' ');
      const std::size_t padding = widths[i] - row[i].size();
      if (numeric[i]) out.append(padding, ' ');
      out += row[i];
      if (!numeric[i]) out.append(padding, ' ');
    }
    out.erase(out.find_last_not_of(' ') + 1);
    text += out + '\n';
  };
  line(headings_);
  for (const auto& row : rows_) line(row);
  return text;
}

void print_json(const Json& document) {
  fmt::print("{}\n", document.dump(2, ' ', false, Json::error_handler_t::replace));
}

std::string json_line(const Json& document) {
  return document.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n';
}

std::string joined(const std::vector<std::int32_t>& numbers) {
  return fmt::format("{}", fmt::join(numbers, ","));
}

}  // namespace drave::cli
