#include "base/assert.h"

#include <cstdio>
#include <cstdlib>

namespace drave {

void assertion_failed(std::string_view condition, std::source_location where) {
  std::fprintf(stderr, "ASSERT failed: %.*s at %s:%u in %s\n", static_cast<int>(condition.size()),
               condition.data(), where.file_name(), where.line(), where.function_name());
  std::abort();
}

void assertion_failed(std::string_view condition, long long left, long long right,
                      std::source_location where) {
  std::fprintf(stderr, "ASSERT failed: %.*s (left=%lld right=%lld) at %s:%u in %s\n",
               static_cast<int>(condition.size()), condition.data(), left, right, where.file_name(),
               where.line(), where.function_name());
  std::abort();
}

void fatal(std::string_view reason, int exit_code) {
  std::fprintf(stderr, "fatal: %.*s\n", static_cast<int>(reason.size()), reason.data());
  std::fflush(stderr);
  std::_Exit(exit_code);
}

}  // namespace drave
