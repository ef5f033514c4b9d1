#include "protocol/messages/api_versions.h"

#include "broker/api_table.h"
#include "broker/handlers/handlers.h"
#include "broker/handlers/partition_access.h"
#include "broker/node.h"
#include "metadata/features.h"

namespace drave::broker {

namespace {

constexpr std::int16_t kFeaturesFromZero = 4;

// Java clients name themselves so; Kafka refuses anything else.
bool is_valid_software_name(std::string_view name) {
  if (name.empty()) return false;
  auto is_word = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  for (const char c : name)
    if (!is_word(c) && c != '-' && c != '.') return false;
  return is_word(name.front()) && is_word(name.back());
}

}  // namespace

io::Task<void> handle_api_versions(Request request) {
  protocol::ApiVersionsRequest message;
  if (!request.read(message)) co_return;
  protocol::ApiVersionsResponse answer;
  if (request.version >= 3 && (!is_valid_software_name(message.client_software_name) ||
                               !is_valid_software_name(message.client_software_version))) {
    answer.error_code = code_of(protocol::ErrorCode::invalid_request);
    request.response.send(answer);
    co_return;
  }
  const std::uint8_t listener =
      request.from_controller_listener ? protocol::kListenerController : protocol::kListenerBroker;
  for (const ApiEntry& api : api_table()) {
    if ((api.listeners & listener) == 0) continue;
    // Kafka advertises Produce from version 0, which it does not serve: librdkafka takes the lack
    // of it for a broker without record batches (KAFKA-18659).
    const std::int16_t min = api.key == protocol::ApiKey::produce ? 0 : api.version_min;
    answer.api_keys.push_back({static_cast<std::int16_t>(api.key), min, api.version_max});
  }
  const metadata::Image& image = request.shard.image().metadata();
  // Java clients from 2.7 to 3.8, who ask with version 3, do not survive a range that begins at 0
  // (KAFKA-17492): such features are not told to them.
  for (const auto& feature : metadata::supported_features())
    if (feature.min > 0 || request.version >= kFeaturesFromZero)
      answer.supported_features.push_back({feature.name, feature.min, feature.max});
  for (const auto& [name, level] : image.features())
    if (level > 0) answer.finalized_features.push_back({name, level, level});
  answer.finalized_features_epoch = image.last_contained().offset;
  request.response.send(answer);
}

}  // namespace drave::broker
