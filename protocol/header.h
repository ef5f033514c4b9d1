#pragma once
// The headers that stand before every request and response.
//
// Request: api key, api version, correlation id, client id; from header version 2 on tagged
// fields. Response: correlation id; from header version 1 on tagged fields. Which header version
// goes with a message follows from the message's: flexible ones have the newer. ApiVersions
// responses always have header version 0, since the client does not know yet what we understand.

#include "protocol/api_key.h"
#include "protocol/messages/headers.h"

namespace drave::protocol {

// The header version before a request of `key` in `api_version`, known or not: a version above ours
// is flexible if ours are. An unknown key has 1.
std::int16_t request_header_version(std::int16_t key, std::int16_t api_version);
std::int16_t response_header_version(std::int16_t key, std::int16_t api_version);

// Reads a request's header, whatever its API and version; `in` then stands at the body.
// An api key that does not exist is not an error here.
[[nodiscard]] Result<void> decode_request_header(Reader& in, RequestHeader& header);

// Appends `header` in the header version that its api key and version ask for.
[[nodiscard]] Result<void> encode_request_header(Writer& out, const RequestHeader& header);

// Appends the header of a response to a request of `key` in `api_version`; cannot fail but for the
// Writer's own sticky error.
void encode_response_header(Writer& out, std::int16_t key, std::int16_t api_version,
                            std::int32_t correlation_id);
std::size_t response_header_size(std::int16_t key, std::int16_t api_version);
[[nodiscard]] Result<void> decode_response_header(Reader& in, ResponseHeader& header,
                                                  std::int16_t key, std::int16_t api_version);

}  // namespace drave::protocol
