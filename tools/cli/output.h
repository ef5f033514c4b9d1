#pragma once
// What verbs write to stdout: a table for people, or JSON.

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace drave::cli {

using Json = nlohmann::ordered_json;

enum class OutputFormat { table, json };

// Rows under headings; columns in which all cells are numbers stand to the right.
class Table {
 public:
  explicit Table(std::vector<std::string> headings) : headings_(std::move(headings)) {}
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  std::string to_string() const;

 private:
  std::vector<std::string> headings_;
  std::vector<std::vector<std::string>> rows_;
};

// Several lines for one document; text that is not UTF-8 gets U+FFFD.
void print_json(const Json& document);
// One line: of a stream of documents.
std::string json_line(const Json& document);

// "1,2,3".
std::string joined(const std::vector<std::int32_t>& numbers);

}  // namespace drave::cli
