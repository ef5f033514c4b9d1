#include "tools/cli/settings.h"

#include <fmt/format.h>

#include <algorithm>

#include "protocol/messages/describe_configs.h"
#include "protocol/messages/incremental_alter_configs.h"

namespace drave::cli {
namespace {

using protocol::ErrorCode;

enum Operation : std::int8_t { kSet = 0, kDelete = 1, kAppend = 2, kSubtract = 3 };

std::string source_name(std::int8_t source) {
  switch (source) {
    case 1: return "topic";
    case 2: return "broker";
    case 3: return "broker-default";
    case 4: return "static";
    case 5: return "default";
    case 6: return "broker-logger";
    case 7: return "client-metrics";
    case 8: return "group";
    default: return "unknown";
  }
}

constexpr NodeId kAny = -1;

// Which broker answers for the resource: for one broker's configs that broker itself, if it is in
// service.
Outcome<NodeId> node_for(client::Client& client, protocol::ConfigResourceType type,
                         const std::string& name) {
  if (type != protocol::ConfigResourceType::broker || name.empty()) return kAny;
  if (name.find_first_not_of("0123456789") != std::string::npos || name.size() > 9)
    return fail(ExitCode::usage, fmt::format("broker \"{}\": expected its id, a number", name));
  TRY(auto metadata, client.metadata({}));
  return static_cast<NodeId>(std::stol(name));
}

template <class Response, class Request>
Outcome<client::Answer<Response>> ask(client::Client& client, NodeId node, const Request& request) {
  if (node < 0) {
    TRY(auto answer, client.call<Response>(request));
    return answer;
  }
  TRY(auto answer, client.call_node<Response>(node, request));
  return answer;
}

}  // namespace

Outcome<Setting> parse_setting(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0)
    return fail(ExitCode::usage, fmt::format("\"{}\": expected key=value", text));
  return Setting{text.substr(0, equals), text.substr(equals + 1)};
}

Outcome<std::vector<Setting>> parse_settings(const std::vector<std::string>& texts) {
  std::vector<Setting> settings;
  for (const std::string& text : texts) {
    TRY(Setting setting, parse_setting(text));
    settings.push_back(std::move(setting));
  }
  return settings;
}

void ConfigChanges::declare(CLI::App& verb) {
  verb.add_option("-s,--set", set, "key=value; may be repeated")->allow_extra_args(false);
  verb.add_option("-u,--unset", unset, "key, back to its default; may be repeated")
      ->allow_extra_args(false);
  verb.add_option("--append", append, "key=value, to a list")->allow_extra_args(false);
  verb.add_option("--subtract", subtract, "key=value, from a list")->allow_extra_args(false);
}

Outcome<> alter_configs(client::Client& client, protocol::ConfigResourceType type,
                        const std::string& name, const std::string& what,
                        const ConfigChanges& changes, bool validate_only) {
  protocol::IncrementalAlterConfigsRequest request;
  request.validate_only = validate_only;
  auto& resource = request.resources.emplace_back();
  resource.resource_type = static_cast<std::int8_t>(type);
  resource.resource_name = name;
  std::vector<std::pair<Operation, std::vector<Setting>>> parsed;
  for (const auto& [operation, texts] : {std::pair{kSet, &changes.set},
                                         {kAppend, &changes.append},
                                         {kSubtract, &changes.subtract}}) {
    TRY(std::vector<Setting> settings, parse_settings(*texts));
    parsed.emplace_back(operation, std::move(settings));
  }
  for (const auto& [operation, settings] : parsed) {
    for (const auto& [key, value] : settings)
      resource.configs.push_back({.name = key, .config_operation = operation, .value = value});
  }
  for (const std::string& key : changes.unset)
    resource.configs.push_back({.name = key, .config_operation = kDelete, .value = std::nullopt});
  TRY(NodeId node, node_for(client, type, name));
  // The controller decides, whoever is asked.
  if (node != kAny && !client.endpoint_of(node)) node = kAny;
  TRY(auto answer, ask<protocol::IncrementalAlterConfigsResponse>(client, node, request));
  for (const auto& one : answer.message.responses) {
    const auto code = static_cast<ErrorCode>(one.error_code);
    if (code != ErrorCode::none)
      return std::unexpected(kafka_failure(code, what, one.error_message.value_or("")));
  }
  return {};
}

Outcome<std::vector<ConfigEntry>> describe_configs(client::Client& client,
                                                   protocol::ConfigResourceType type,
                                                   const std::string& name,
                                                   const std::string& what) {
  protocol::DescribeConfigsRequest request;
  auto& resource = request.resources.emplace_back();
  resource.resource_type = static_cast<std::int8_t>(type);
  resource.resource_name = name;
  resource.configuration_keys.reset();
  TRY(const NodeId node, node_for(client, type, name));
  if (node != kAny && !client.endpoint_of(node)) {
    return fail(ExitCode::not_found,
                fmt::format("broker {} is not in service: it is fenced or not registered", node));
  }
  TRY(auto answer, ask<protocol::DescribeConfigsResponse>(client, node, request));
  std::vector<ConfigEntry> entries;
  for (const auto& result : answer.message.results) {
    const auto code = static_cast<ErrorCode>(result.error_code);
    if (code != ErrorCode::none)
      return std::unexpected(kafka_failure(code, what, result.error_message.value_or("")));
    for (const auto& config : result.configs) {
      entries.push_back(
          {.name = std::string(config.name),
           .value = config.value ? std::optional(std::string(*config.value)) : std::nullopt,
           .source = source_name(config.config_source),
           .read_only = config.read_only,
           .sensitive = config.is_sensitive});
    }
  }
  std::ranges::sort(entries, {}, &ConfigEntry::name);
  return entries;
}

}  // namespace drave::cli
