#pragma once
// How a verb ends, and the exit codes of `drave` (tools/README.md).

#include <expected>
#include <string>

#include "base/result.h"
#include "protocol/error_code.h"

namespace drave::cli {

enum class ExitCode : int {
  ok = 0,
  failed = 1,       // the broker refused, or something else went wrong
  usage = 2,        // the command line makes no sense
  unreachable = 3,  // no broker could be reached, or it hung up
  not_found = 4,    // no such topic, partition, file
  timed_out = 5,    //
  damaged = 6,      // `log dump` found bytes that are wrong
};

struct [[nodiscard]] Failure {
  ExitCode code = ExitCode::failed;
  std::string what;    // a sentence: what went wrong with what
  std::string remedy;  // what to do about it; empty where nobody knows

  Failure(ExitCode its_code, std::string its_what, std::string its_remedy = "")
      : code(its_code), what(std::move(its_what)), remedy(std::move(its_remedy)) {}
  Failure(const Error& error);  // NOLINT: what the folders below return becomes a Failure
};

template <class T = void>
using Outcome = std::expected<T, Failure>;

inline std::unexpected<Failure> fail(ExitCode code, std::string what, std::string remedy = "") {
  return std::unexpected(Failure(code, std::move(what), std::move(remedy)));
}

// A Kafka error about `what` ("topic orders"); `detail` is the broker's own sentence, if it gave
// one.
Failure kafka_failure(protocol::ErrorCode code, const std::string& what,
                      std::string_view detail = {});

// "drave: ..." to stderr, the remedy on a line of its own.
void print_failure(const Failure& failure);

}  // namespace drave::cli
