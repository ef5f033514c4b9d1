#include "protocol/codec.h"

#include <fmt/format.h>

namespace drave::protocol {
namespace {

std::string describe(std::string_view message, std::int16_t version, const char* field,
                     const char* reason) {
  return field == nullptr ? fmt::format("{} v{}: {}", message, version, reason)
                          : fmt::format("{} v{}: {}: {}", message, version, field, reason);
}

}  // namespace

Error decode_error(const Reader& in, std::string_view message, std::int16_t version) {
  return {in.over_budget() ? Errc::too_large : Errc::invalid, 0,
          fmt::format("{}, at byte {}", describe(message, version, in.error_field(), in.error()),
                      in.error_position())};
}

Error encode_error(const Writer& out, std::string_view message, std::int16_t version) {
  return {Errc::invalid, 0, describe(message, version, out.error_field(), out.error())};
}

Error version_error(std::string_view message, std::int16_t version) {
  return {Errc::unsupported, 0, fmt::format("{} has no version {}", message, version)};
}

}  // namespace drave::protocol
