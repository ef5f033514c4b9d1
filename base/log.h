#pragma once
// The program's log: one line a message, "key=value" pairs, on standard error unless main() sets
// other targets. spdlog does the work; this header is the only way to it.
//
// Levels mean (LogCabin's words): error, a contract is broken; warn, odd but recovered; info, an
// operator wants to see it; debug, a developer does. Nothing is logged per record. Targets ("io",
// "segments", "raft", "broker", ...) have levels of their own.

#include <fmt/format.h>

#include <cstdint>
#include <string_view>
#include <utility>

namespace spdlog {
class logger;
}

namespace drave::log {

enum class Level : std::uint8_t { debug, info, warn, error };

// The logger of a target, made at the first call and kept for ever. Thread-safe.
spdlog::logger& target(std::string_view name);

// Sets the level ("trace", "debug", "info", "warn", "error", "off") of one target, or of all with
// "*". False: no such level.
bool set_level(std::string_view target_name, std::string_view level);

namespace detail {

bool wanted(const spdlog::logger& to, Level level);
void write(spdlog::logger& to, Level level, fmt::string_view format, fmt::format_args arguments);

// Checks the format when it is compiled, and no more: formatting itself is compiled in log.cc only,
// which saves seconds in each file that logs.
template <typename... Arguments>
void write_checked(spdlog::logger& to, Level level, fmt::format_string<Arguments...> format,
                   Arguments&&... arguments) {
  write(to, level, format, fmt::make_format_args(arguments...));
}

}  // namespace detail
}  // namespace drave::log

#define DRAVE_LOG(target_name, level, ...)                                     \
  do {                                                                         \
    static ::spdlog::logger& logger_here_ = ::drave::log::target(target_name); \
    if (::drave::log::detail::wanted(logger_here_, level))                     \
      ::drave::log::detail::write_checked(logger_here_, level, __VA_ARGS__);   \
  } while (false)

#define LOG_ERROR(target_name, ...) DRAVE_LOG(target_name, ::drave::log::Level::error, __VA_ARGS__)
#define LOG_WARN(target_name, ...) DRAVE_LOG(target_name, ::drave::log::Level::warn, __VA_ARGS__)
#define LOG_INFO(target_name, ...) DRAVE_LOG(target_name, ::drave::log::Level::info, __VA_ARGS__)
#define LOG_DEBUG(target_name, ...) DRAVE_LOG(target_name, ::drave::log::Level::debug, __VA_ARGS__)
