#pragma once
// The lines of one of the tables, as JSON.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "tests/vectors/vectors.h"

namespace drave::vectors {

// Calls f(line) for each line of tables/<table>.jsonl; returns how many there were. A field other
// than `known` fails.
template <class F>
std::size_t each_row(const std::string& table, const std::set<std::string>& known, F&& f) {
  std::size_t lines = 0;
  for_each_line("tables/" + table + ".jsonl", [&](std::string_view text, std::size_t number) {
    SCOPED_TRACE(fmt::format("{}:{}", table, number));
    const nlohmann::json line = nlohmann::json::parse(text);
    for (const auto& [key, unused] : line.items())
      EXPECT_TRUE(known.contains(key)) << "unknown field " << key;
    f(line);
    ++lines;
  });
  return lines;
}

}  // namespace drave::vectors
