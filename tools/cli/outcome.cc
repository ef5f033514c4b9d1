#include "tools/cli/outcome.h"

#include <fmt/format.h>

#include <cstdio>

namespace drave::cli {
namespace {

using protocol::ErrorCode;

ExitCode exit_code_of(Errc code) {
  switch (code) {
    case Errc::invalid: return ExitCode::usage;
    case Errc::not_found: return ExitCode::not_found;
    case Errc::closed: return ExitCode::unreachable;
    case Errc::timed_out: return ExitCode::timed_out;
    case Errc::corrupt:
    case Errc::torn: return ExitCode::damaged;
    default: return ExitCode::failed;
  }
}

std::string remedy_of(Errc code) {
  switch (code) {
    case Errc::closed:
      return "Is a broker running there? -b HOST:PORT or DRAVE_BOOTSTRAP names another one.";
    case Errc::timed_out: return "--timeout gives it more time.";
    case Errc::no_space: return "Free some space on that disk and try again.";
    case Errc::locked: return "Another process uses the directory; stop it first.";
    default: return "";
  }
}

std::string remedy_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::unknown_topic_or_partition: return "`drave topic list` shows what there is.";
    case ErrorCode::topic_already_exists:
      return "--if-not-exists accepts that; `drave topic alter` changes it.";
    case ErrorCode::invalid_replication_factor: return "-r sets the number of replicas.";
    case ErrorCode::leader_not_available:
    case ErrorCode::not_leader_or_follower: return "Try again in a moment.";
    default: return protocol::retriable(code) ? "This may pass: try again." : "";
  }
}

}  // namespace

Failure::Failure(const Error& error)
    : code(exit_code_of(error.code)), what(error.message()), remedy(remedy_of(error.code)) {
  // The sentence says it without the kind of the error.
  const std::string prefix = std::string(to_string(error.code)) + ": ";
  if (what.starts_with(prefix)) what.erase(0, prefix.size());
  if (error.code == Errc::closed) what = "cannot reach " + what;
}

Failure kafka_failure(ErrorCode code, const std::string& what, std::string_view detail) {
  ExitCode exit = ExitCode::failed;
  if (code == ErrorCode::unknown_topic_or_partition || code == ErrorCode::unknown_topic_id)
    exit = ExitCode::not_found;
  if (code == ErrorCode::request_timed_out) exit = ExitCode::timed_out;
  return {exit,
          fmt::format("{}: {} ({})", what, detail.empty() ? protocol::message(code) : detail,
                      protocol::name(code)),
          remedy_of(code)};
}

void print_failure(const Failure& failure) {
  fmt::print(stderr, "drave: {}\n", failure.what);
  if (!failure.remedy.empty()) fmt::print(stderr, "  {}\n", failure.remedy);
}

}  // namespace drave::cli
