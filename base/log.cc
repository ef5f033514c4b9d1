#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace drave::log {
namespace {

struct Registry {
  std::mutex mutex;
  std::shared_ptr<spdlog::sinks::sink> sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  std::map<std::string, std::unique_ptr<spdlog::logger>, std::less<>> loggers;
  spdlog::level::level_enum all = spdlog::level::info;
};

Registry& registry() {
  static Registry* const kept = new Registry;  // never destroyed: threads may log until exit
  return *kept;
}

spdlog::logger& find_or_make(Registry& from, std::string_view name) {
  auto found = from.loggers.find(name);
  if (found == from.loggers.end()) {
    auto made = std::make_unique<spdlog::logger>(std::string(name), from.sink);
    made->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %n %v", spdlog::pattern_time_type::utc);
    made->set_level(from.all);
    made->flush_on(spdlog::level::warn);
    found = from.loggers.emplace(std::string(name), std::move(made)).first;
  }
  return *found->second;
}

spdlog::level::level_enum of(Level level) {
  switch (level) {
    case Level::debug: return spdlog::level::debug;
    case Level::info: return spdlog::level::info;
    case Level::warn: return spdlog::level::warn;
    case Level::error: return spdlog::level::err;
  }
  return spdlog::level::err;
}

}  // namespace

bool detail::wanted(const spdlog::logger& to, Level level) {
  return to.should_log(of(level));
}

void detail::write(spdlog::logger& to, Level level, fmt::string_view format,
                   fmt::format_args arguments) {
  fmt::memory_buffer line;
  fmt::vformat_to(std::back_inserter(line), format, arguments);
  to.log(spdlog::source_loc{}, of(level), spdlog::string_view_t(line.data(), line.size()));
}

spdlog::logger& target(std::string_view name) {
  Registry& all = registry();
  const std::lock_guard hold(all.mutex);
  return find_or_make(all, name);
}

bool set_level(std::string_view target_name, std::string_view level) {
  const auto value = spdlog::level::from_str(std::string(level));
  if (value == spdlog::level::off && level != "off") return false;
  Registry& all = registry();
  const std::lock_guard hold(all.mutex);
  if (target_name == "*") {
    all.all = value;
    for (auto& [name, logger] : all.loggers) logger->set_level(value);
  } else {
    find_or_make(all, target_name).set_level(value);
  }
  return true;
}

}  // namespace drave::log
