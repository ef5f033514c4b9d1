// What a genuine node advertised and answered.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <set>

#include "protocol/error_code.h"
#include "protocol/header.h"
#include "protocol/messages/api_versions.h"
#include "protocol/registry.h"
#include "tests/protocol/json_document.h"
#include "tests/vectors/vectors.h"

namespace drave::protocol {
namespace {

using nlohmann::json;

void expect_body(const MessageType* type, ByteView body, std::int16_t version,
                 const json& expected) {
  ASSERT_NE(type, nullptr);
  Reader in(body);
  std::string text;
  const auto read = type->to_json(in, version, text);
  ASSERT_TRUE(read.has_value()) << read.error().message();
  EXPECT_EQ(in.remaining(), 0u);
  EXPECT_EQ(json::parse(text), expected);
  JsonDocument document(expected);
  Writer out;
  const auto written = type->from_json(document, version, out);
  ASSERT_TRUE(written.has_value()) << written.error().message();
  EXPECT_EQ(document.trouble(), "");
  EXPECT_EQ(vectors::to_hex(out.own()), vectors::to_hex(body));
}

void check_exchange(const json& line) {
  const auto request = vectors::from_hex(line.at("request").get<std::string>());
  const auto response = vectors::from_hex(line.at("response").get<std::string>());
  Reader in(request);
  RequestHeader header;
  ASSERT_TRUE(decode_request_header(in, header).has_value());
  Writer again;
  ASSERT_TRUE(encode_request_header(again, header).has_value());
  EXPECT_EQ(again.size(), in.position());
  EXPECT_TRUE(std::equal(again.own().begin(), again.own().end(), request.begin()));

  Reader answer(response);
  if (!line.contains("api")) {
    // An ApiVersions request that the node answers in version 0, whatever it asked for.
    EXPECT_EQ(header.request_api_key, ApiVersionsRequest::kApiKey);
    ResponseHeader response_header;
    ASSERT_TRUE(
        decode_response_header(answer, response_header, header.request_api_key, 0).has_value());
    EXPECT_EQ(response_header.correlation_id, header.correlation_id);
    ApiVersionsResponse versions;
    ASSERT_TRUE(decode(answer, versions, 0).has_value());
    EXPECT_EQ(answer.remaining(), 0u);
    return;
  }
  EXPECT_EQ(header.request_api_key, line.at("key"));
  EXPECT_EQ(header.request_api_version, line.at("version"));
  EXPECT_EQ(to_string(static_cast<ApiKey>(header.request_api_key)),
            line.at("api").get<std::string>());
  expect_body(find_message_type(MessageKind::request, header.request_api_key), in.rest(),
              header.request_api_version, line.at("requestJson"));
  // An answer in another version than the request: UNSUPPORTED_VERSION to ApiVersions.
  ResponseHeader response_header;
  ASSERT_TRUE(decode_response_header(answer, response_header, header.request_api_key,
                                     header.request_api_version)
                  .has_value());
  EXPECT_EQ(response_header.correlation_id, header.correlation_id);
  EXPECT_EQ(answer.position(),
            response_header_size(header.request_api_key, header.request_api_version));
  expect_body(find_message_type(MessageKind::response, header.request_api_key), answer.rest(),
              header.request_api_version, line.at("responseJson"));
}

TEST(NodeVector, transcripts) {
  const std::set<std::string> known = {"note",     "api",          "key",
                                       "version",  "request",      "requestJson",
                                       "response", "responseJson", "closed"};
  std::size_t exchanges = 0;
  vectors::for_each_line("node/transcripts.jsonl", [&](std::string_view text, std::size_t number) {
    const json line = json::parse(text);
    SCOPED_TRACE(fmt::format("line {}: {}", number, line.at("note").get<std::string>()));
    for (const auto& [key, unused] : line.items()) EXPECT_TRUE(known.contains(key)) << key;
    ASSERT_NE(line.contains("closed"), line.contains("response"));
    if (line.contains("closed")) return;
    check_exchange(line);
    ++exchanges;
  });
  EXPECT_GE(exchanges, 100u);
}

// Kafka lists Produce from version 0 on for the sake of old clients, though 0 to 2 are gone.
std::int16_t advertised_min(const ApiInfo& api) {
  return api.key == ApiKey::produce ? std::int16_t{0} : api.min;
}

TEST(NodeVector, advertised_versions_are_those_of_the_schemas) {
  const std::set<std::string> known = {
      "key", "name", "broker", "controller", "latestVersionUnstable", "declaredListeners"};
  vectors::for_each_line("node/api-versions.jsonl", [&](std::string_view text, std::size_t number) {
    const json line = json::parse(text);
    SCOPED_TRACE(fmt::format("line {}", number));
    for (const auto& [key, unused] : line.items()) EXPECT_TRUE(known.contains(key)) << key;
    const ApiInfo* api = find_api(line.at("key"));
    ASSERT_NE(api, nullptr);
    EXPECT_EQ(api->name, line.at("name").get<std::string>());
    EXPECT_EQ(api->unstable_latest, line.at("latestVersionUnstable").get<bool>());
    std::uint8_t listeners = 0;
    for (const std::string listener : line.at("declaredListeners"))
      listeners |= listener == "broker" ? kListenerBroker : kListenerController;
    EXPECT_EQ(api->listeners, listeners);
    for (const char* listener : {"broker", "controller"}) {
      if (!line.contains(listener)) continue;
      EXPECT_EQ(line.at(listener).at("min"), advertised_min(*api));
      EXPECT_EQ(line.at(listener).at("max"), api->max_stable());
    }
  });
}

TEST(NodeVector, features_are_an_answer_to_api_versions) {
  for (const std::string listener : {"broker", "controller"}) {
    const json expected = json::parse(vectors::read("node/features-" + listener + ".json"));
    JsonDocument document(expected);
    const MessageType* type = find_message_type("ApiVersionsResponse");
    Writer out;
    ASSERT_TRUE(type->from_json(document, 4, out).has_value());
    Reader in(out.own());
    std::string text;
    ASSERT_TRUE(type->to_json(in, 4, text).has_value());
    json ours = json::parse(text);
    ours.erase("apiKeys");
    EXPECT_EQ(ours, expected);
  }
}

TEST(NodeVector, every_file_has_a_reader) {
  const std::set<std::string> known = {"node/api-versions.jsonl", "node/features-broker.json",
                                       "node/features-controller.json", "node/transcripts.jsonl"};
  for (const std::string& path : vectors::list("node")) EXPECT_TRUE(known.contains(path)) << path;
}

}  // namespace
}  // namespace drave::protocol
