#include "tools/sim/command_line.h"

#include <algorithm>
#include <charconv>

namespace drave::simulation {
namespace {

std::optional<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool parse_seeds(std::string_view text, Command& command) {
  const std::size_t dots = text.find("..");
  if (dots == std::string_view::npos) return false;
  const auto first = parse_number(text.substr(0, dots));
  const auto last = parse_number(text.substr(dots + 2));
  if (!first || !last || *first > *last) return false;
  command.first_seed = *first;
  command.last_seed = *last;
  return true;
}

}  // namespace

Result<Command> parse_command_line(const std::vector<std::string_view>& arguments) {
  Command command;
  if (std::find(arguments.begin(), arguments.end(), "--help") != arguments.end()) {
    command.is_help = true;
    return command;
  }
  if (arguments.size() == 1 && arguments[0] == "list") {
    command.is_list = true;
    return command;
  }
  if (arguments.empty() || arguments[0] != "run") {
    return failure(Errc::invalid, std::string(kUsage));
  }
  bool has_seeds = false;
  for (std::size_t i = 1; i < arguments.size(); ++i) {
    const std::string_view name = arguments[i];
    if (name == "--quiet") {
      command.quiet = true;
      continue;
    }
    if (name == "--log") {
      command.log = true;
      continue;
    }
    if (i + 1 == arguments.size()) {
      return failure(Errc::invalid, std::string(name) + " is unknown or lacks its value");
    }
    const std::string_view value = arguments[++i];
    if (has_seeds && name.starts_with("--seed"))
      return failure(Errc::invalid, "either --seed or --seeds, once");
    if (name == "--scenario") {
      command.scenario = value;
    } else if (name == "--canary") {
      command.canary = value;
    } else if (name == "--seed") {
      const auto seed = parse_number(value);
      if (!seed) return failure(Errc::invalid, "--seed wants a number");
      command.first_seed = command.last_seed = *seed;
      has_seeds = true;
    } else if (name == "--seeds") {
      if (!parse_seeds(value, command)) return failure(Errc::invalid, "--seeds wants A..B, A <= B");
      has_seeds = true;
    } else {
      return failure(Errc::invalid, std::string(name) + " is unknown");
    }
  }
  if (command.scenario.empty() && command.canary.empty()) {
    return failure(Errc::invalid, "--scenario is missing");
  }
  if (!has_seeds && command.canary.empty()) {
    return failure(Errc::invalid, "--seed or --seeds is missing");
  }
  if (!has_seeds) command.last_seed = kCanarySeeds;
  return command;
}

}  // namespace drave::simulation
