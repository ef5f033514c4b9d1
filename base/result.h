#pragma once
// Operating errors as values.
//
// Four kinds of failure are never mixed (ARCHITECTURE.md, "Failure is a path"): operating errors
// and corruption are values of this type; what a Kafka peer is told is protocol/error_code.h,
// mapped once at the edge of a handler; bugs are ASSERTs.

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace drave {

// An Errc exists only where some caller reacts to just that one.
enum class Errc : std::uint8_t {
  io,              // the kernel or device refused; `system` holds errno
  not_found,       // no such file, partition, offset
  already_exists,  //
  no_space,        // the disk is full; deleting data may help
  corrupt,         // bytes on disk or wire fail their check; context names file and position
  torn,            // an incomplete write at the end of a file, above the durable end
  invalid,         // the caller's or peer's argument makes no sense; context says what would
  unsupported,     // this machine, kernel or version cannot do that
  too_large,       // beyond a named limit
  out_of_range,    // an offset below the log's start or above its end
  closed,          // the file, connection, log or loop is closed or closing
  canceled,        // the operation was canceled before it took effect
  timed_out,       //
  locked,          // another process holds the directory
  busy,            // a bounded resource is used up; try again later
  fenced,          // a directory failed and takes no more writes
};

std::string_view to_string(Errc code);

struct [[nodiscard]] Error {
  Errc code = Errc::io;
  int system = 0;       // errno where the kernel gave one, else 0
  std::string context;  // for people: what was tried on what, and the remedy if there is one

  // "corrupt: /d/t-0/0.log position 812: crc mismatch" and the like.
  std::string message() const;
};

template <class T>
using Result = std::expected<T, Error>;

// std::unexpected with an Error built in place: `return failure(Errc::invalid, "...")`.
inline std::unexpected<Error> failure(Errc code, std::string context, int system = 0) {
  return std::unexpected<Error>(Error{code, system, std::move(context)});
}

// An Error from an errno (positive). ENOSPC and EDQUOT become no_space, ENOENT not_found,
// EEXIST already_exists, ECANCELED canceled, ETIME and ETIMEDOUT timed_out, EINVAL invalid, EBADF
// closed, connection resets and broken pipes closed; all others io.
Error error_from_errno(int system, std::string context);

}  // namespace drave

#define DRAVE_CONCAT_INNER(a, b) a##b
#define DRAVE_CONCAT(a, b) DRAVE_CONCAT_INNER(a, b)

// TRY(auto value, expression): declares `value` from the Result, or returns its error.
// TRY_VOID(expression): the same for Result<void>. The CO_ forms are for coroutines.
#define DRAVE_TRY(ret, temporary, declaration, ...)                  \
  auto temporary = (__VA_ARGS__);                                    \
  if (!temporary) ret std::unexpected(std::move(temporary).error()); \
  declaration = std::move(*temporary)
#define DRAVE_TRY_VOID(ret, temporary, ...) \
  if (auto temporary = (__VA_ARGS__); !temporary) ret std::unexpected(std::move(temporary).error())

#define TRY(declaration, ...) \
  DRAVE_TRY(return, DRAVE_CONCAT(try_, __LINE__), declaration, __VA_ARGS__)
#define TRY_VOID(...) DRAVE_TRY_VOID(return, DRAVE_CONCAT(try_, __LINE__), __VA_ARGS__)
#define CO_TRY(declaration, ...) \
  DRAVE_TRY(co_return, DRAVE_CONCAT(try_, __LINE__), declaration, __VA_ARGS__)
#define CO_TRY_VOID(...) DRAVE_TRY_VOID(co_return, DRAVE_CONCAT(try_, __LINE__), __VA_ARGS__)
