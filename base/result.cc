#include "base/result.h"

#include <cerrno>
#include <cstring>

namespace drave {

std::string_view to_string(Errc code) {
  switch (code) {
    case Errc::io: return "io";
    case Errc::not_found: return "not found";
    case Errc::already_exists: return "already exists";
    case Errc::no_space: return "no space";
    case Errc::corrupt: return "corrupt";
    case Errc::torn: return "torn";
    case Errc::invalid: return "invalid";
    case Errc::unsupported: return "unsupported";
    case Errc::too_large: return "too large";
    case Errc::out_of_range: return "out of range";
    case Errc::closed: return "closed";
    case Errc::canceled: return "canceled";
    case Errc::timed_out: return "timed out";
    case Errc::locked: return "locked";
    case Errc::busy: return "busy";
    case Errc::fenced: return "fenced";
  }
  return "unknown";
}

std::string Error::message() const {
  std::string text{to_string(code)};
  if (!context.empty()) text += ": " + context;
  if (system != 0) text += std::string(" (") + std::strerror(system) + ")";
  return text;
}

Error error_from_errno(int system, std::string context) {
  Errc code = Errc::io;
  switch (system) {
    case ENOSPC:
    case EDQUOT: code = Errc::no_space; break;
    case ENOENT: code = Errc::not_found; break;
    case EEXIST: code = Errc::already_exists; break;
    case ECANCELED: code = Errc::canceled; break;
    case ETIME:
    case ETIMEDOUT: code = Errc::timed_out; break;
    case EINVAL: code = Errc::invalid; break;
    case EBADF:
    case ECONNRESET:
    case EPIPE:
    case ENOTCONN: code = Errc::closed; break;
    case EWOULDBLOCK: code = Errc::locked; break;
    default: break;
  }
  return Error{code, system, std::move(context)};
}

}  // namespace drave
