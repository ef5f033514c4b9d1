#pragma once
// The program's log: one line a message, "key=value" pairs, on standard error unless main() sets
// other targets. spdlog does the work; this header is the only way to it.
//
// Levels mean (LogCabin's words): error, a contract is broken; warn, odd but recovered; info, an
// operator wants to see it; debug, a developer does. Nothing is logged per record. Targets ("io",
// "segments", "raft", "broker", ...) have levels of their own.

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <string_view>

namespace drave::log {

// The logger of a target, made at the first call and kept for ever. Thread-safe.
spdlog::logger& target(std::string_view name);

// Sets the level ("trace", "debug", "info", "warn", "error", "off") of one target, or of all with
// "*". False: no such level.
bool set_level(std::string_view target_name, std::string_view level);

}  // namespace drave::log

#define DRAVE_LOG(target_name, level, ...)                                     \
  do {                                                                         \
    static ::spdlog::logger& logger_here_ = ::drave::log::target(target_name); \
    if (logger_here_.should_log(level)) logger_here_.log(level, __VA_ARGS__);  \
  } while (false)

#define LOG_ERROR(target_name, ...) DRAVE_LOG(target_name, ::spdlog::level::err, __VA_ARGS__)
#define LOG_WARN(target_name, ...) DRAVE_LOG(target_name, ::spdlog::level::warn, __VA_ARGS__)
#define LOG_INFO(target_name, ...) DRAVE_LOG(target_name, ::spdlog::level::info, __VA_ARGS__)
#define LOG_DEBUG(target_name, ...) DRAVE_LOG(target_name, ::spdlog::level::debug, __VA_ARGS__)
