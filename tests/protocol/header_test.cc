#include "protocol/header.h"

#include <gtest/gtest.h>

#include "protocol/wire.h"
#include "tests/vectors/vectors.h"

namespace drave::protocol {
namespace {

constexpr std::int16_t kFetch = 1;
constexpr std::int16_t kApiVersions = 18;
constexpr std::int16_t kSaslHandshake = 17;

TEST(Header, versions_follow_from_the_message) {
  EXPECT_EQ(request_header_version(kFetch, 11), 1);
  EXPECT_EQ(request_header_version(kFetch, 12), 2);
  EXPECT_EQ(response_header_version(kFetch, 11), 0);
  EXPECT_EQ(response_header_version(kFetch, 12), 1);
  EXPECT_EQ(request_header_version(kSaslHandshake, 1), 1);
  EXPECT_EQ(response_header_version(kSaslHandshake, 1), 0);
}

TEST(Header, api_versions_is_answered_without_tags) {
  EXPECT_EQ(request_header_version(kApiVersions, 3), 2);
  EXPECT_EQ(request_header_version(kApiVersions, 99), 2);
  EXPECT_EQ(response_header_version(kApiVersions, 4), 0);
  EXPECT_EQ(response_header_version(kApiVersions, 99), 0);
}

TEST(Header, an_unknown_api_has_the_old_header) {
  EXPECT_EQ(request_header_version(999, 5), 1);
  EXPECT_EQ(request_header_version(-1, 5), 1);
  const auto bytes = vectors::from_hex("03e700050000000affff");
  Reader in(bytes);
  RequestHeader header;
  ASSERT_TRUE(decode_request_header(in, header).has_value());
  EXPECT_EQ(header.request_api_key, 999);
  EXPECT_EQ(header.correlation_id, 10);
  EXPECT_FALSE(header.client_id.has_value());
}

TEST(Header, the_client_id_keeps_its_old_length_in_version_2) {
  RequestHeader header;
  header.request_api_key = kFetch;
  header.request_api_version = 12;
  header.correlation_id = 7;
  header.client_id = "ab";
  Writer out;
  ASSERT_TRUE(encode_request_header(out, header).has_value());
  EXPECT_EQ(vectors::to_hex(out.own()),
            "0001000c0000000700026162"
            "00");
}

TEST(Header, a_response_header_is_written_and_measured_alike) {
  for (const std::int16_t version : std::initializer_list<std::int16_t>{11, 12}) {
    Writer out;
    encode_response_header(out, kFetch, version, 42);
    EXPECT_EQ(out.size(), response_header_size(kFetch, version));
    Reader in(out.own());
    ResponseHeader header;
    ASSERT_TRUE(decode_response_header(in, header, kFetch, version).has_value());
    EXPECT_EQ(header.correlation_id, 42);
    EXPECT_EQ(in.remaining(), 0u);
  }
}

TEST(Header, every_truncation_is_refused) {
  RequestHeader header;
  header.request_api_key = kFetch;
  header.request_api_version = 12;
  header.client_id = "client";
  Writer out;
  ASSERT_TRUE(encode_request_header(out, header).has_value());
  for (std::size_t size = 0; size < out.size(); ++size) {
    Reader in(out.own().first(size));
    RequestHeader read;
    EXPECT_FALSE(decode_request_header(in, read).has_value()) << size;
  }
}

}  // namespace
}  // namespace drave::protocol
