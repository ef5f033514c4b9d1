#pragma once
// Assertions that stay on in production, and the way a process ends when it must.
//
// ASSERT states what the program itself guarantees; its failure is a bug of ours and ends the
// process at once, before a wrong byte can be written or sent. Never assert on bytes that came from
// a peer or from a disk: those are errors (base/result.h). DEBUG_ASSERT is for checks that cost
// O(n); release builds leave them out.

#include <source_location>
#include <string_view>

namespace drave {

// Writes the condition and where it stood to standard error and aborts. Does not allocate.
[[noreturn]] void assertion_failed(std::string_view condition, std::source_location where);

// As above, with the two values that were compared.
[[noreturn]] void assertion_failed(std::string_view condition, long long left, long long right,
                                   std::source_location where);

// Ends the process because its environment makes going on impossible or unsafe (a directory that is
// locked, a flush that failed). `reason` is a sentence for the operator that says what to do.
// `exit_code` is one of those documented in broker/README.md.
[[noreturn]] void fatal(std::string_view reason, int exit_code = 1);

}  // namespace drave

#define ASSERT(condition)                                                       \
  do {                                                                          \
    if (!(condition)) [[unlikely]]                                              \
      ::drave::assertion_failed(#condition, ::std::source_location::current()); \
  } while (false)

#define DRAVE_ASSERT_COMPARE(left, op, right)                                                   \
  do {                                                                                          \
    const auto assert_left_ = (left);                                                           \
    const auto assert_right_ = (right);                                                         \
    if (!(assert_left_ op assert_right_)) [[unlikely]]                                          \
      ::drave::assertion_failed(#left " " #op " " #right, static_cast<long long>(assert_left_), \
                                static_cast<long long>(assert_right_),                          \
                                ::std::source_location::current());                             \
  } while (false)

#define ASSERT_EQUAL(left, right) DRAVE_ASSERT_COMPARE(left, ==, right)
#define ASSERT_LESS(left, right) DRAVE_ASSERT_COMPARE(left, <, right)
#define ASSERT_AT_MOST(left, right) DRAVE_ASSERT_COMPARE(left, <=, right)

#ifdef NDEBUG
#define DEBUG_ASSERT(condition) \
  do {                          \
  } while (false && (condition))
#else
#define DEBUG_ASSERT(condition) ASSERT(condition)
#endif
