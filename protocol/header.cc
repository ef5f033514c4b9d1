#include "protocol/header.h"

#include "protocol/wire.h"

namespace drave::protocol {
namespace {

bool is_flexible(std::int16_t key, std::int16_t api_version) {
  const ApiInfo* api = find_api(key);
  return api != nullptr && api->flexible(api_version);
}

}  // namespace

std::int16_t request_header_version(std::int16_t key, std::int16_t api_version) {
  return is_flexible(key, api_version) ? 2 : 1;
}

std::int16_t response_header_version(std::int16_t key, std::int16_t api_version) {
  if (key == static_cast<std::int16_t>(ApiKey::api_versions)) return 0;
  return is_flexible(key, api_version) ? 1 : 0;
}

Result<void> decode_request_header(Reader& in, RequestHeader& header) {
  Reader ahead = in;
  const auto key = ahead.integer<std::int16_t>();
  const auto version = ahead.integer<std::int16_t>();
  return decode(in, header, request_header_version(key, version));
}

Result<void> encode_request_header(Writer& out, const RequestHeader& header) {
  return encode(out, header,
                request_header_version(header.request_api_key, header.request_api_version));
}

void encode_response_header(Writer& out, std::int16_t key, std::int16_t api_version,
                            std::int32_t correlation_id) {
  out.integer(correlation_id);
  if (response_header_version(key, api_version) >= ResponseHeader::kFlexibleMin) out.uvarint(0);
}

std::size_t response_header_size(std::int16_t key, std::int16_t api_version) {
  return response_header_version(key, api_version) >= ResponseHeader::kFlexibleMin ? 5 : 4;
}

Result<void> decode_response_header(Reader& in, ResponseHeader& header, std::int16_t key,
                                    std::int16_t api_version) {
  return decode(in, header, response_header_version(key, api_version));
}

}  // namespace drave::protocol
