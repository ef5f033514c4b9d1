#include "tools/cli/node_config.h"

#include <fmt/format.h>

#include <fstream>
#include <iterator>

namespace drave::cli {

Outcome<broker::BrokerConfig> load_node_config(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) return fail(ExitCode::not_found, file + " cannot be read");
  const std::string text(std::istreambuf_iterator<char>(in), {});
  TRY(const auto properties, broker::parse_properties(text, file));
  broker::LoadedConfig loaded = broker::load_broker_config(properties, broker::Machine{});
  for (const std::string& warning : loaded.warnings) fmt::print(stderr, "warning: {}\n", warning);
  if (loaded.config) return std::move(*loaded.config);
  std::string errors;
  for (const std::string& error : loaded.errors) errors += (errors.empty() ? "" : "\n  ") + error;
  return fail(ExitCode::usage, errors);
}

}  // namespace drave::cli
