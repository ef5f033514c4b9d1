// server.properties: any bytes as a file, and what the settings in it do as configs of a topic, a
// group and a node.

#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "broker/config/broker_config.h"
#include "metadata/config/describe.h"
#include "metadata/config/validate.h"

namespace drave::broker {
namespace {

using metadata::ConfigMap;
using metadata::ConfigScope;

// What load_broker_config() promises of a configuration, and that its `given` makes the same again.
void check_config(const BrokerConfig& config, const Machine& machine) {
  ASSERT(config.node_id >= 0);
  ASSERT(!config.listeners.empty());
  ASSERT(!config.advertised_listeners.empty());
  for (const Endpoint& endpoint : config.advertised_listeners) ASSERT(!endpoint.host.empty());
  ASSERT(!config.advertised_controller_listener.host.empty());
  ASSERT(!config.log_dirs.empty());
  ASSERT(!config.metadata_log_dir.empty());
  ASSERT(config.request_memory_bytes > 0);
  ASSERT(config.journal_bytes >= 4 * config.journal_file_bytes);
  std::vector<Property> again;
  for (const auto& [key, value] : config.given) again.push_back({key, value, "again"});
  const LoadedConfig reloaded = load_broker_config(again, machine);
  ASSERT(reloaded.config.has_value());
  ASSERT(reloaded.config->given == config.given);
  ASSERT(reloaded.config->listeners == config.listeners);
  ASSERT(reloaded.config->topic_defaults == config.topic_defaults);
}

// A valid set stays valid, and stays the same, in canonical form.
void check_topic(const ConfigMap& wanted) {
  const ConfigMap none;
  if (!metadata::validate_topic_configs({wanted, none, none, none})) return;
  const ConfigMap canonical = metadata::canonical_configs(ConfigScope::topic, wanted);
  ASSERT(metadata::validate_topic_configs({canonical, none, none, none}).has_value());
  ASSERT(metadata::canonical_configs(ConfigScope::topic, canonical) == canonical);
  std::vector<std::string> problems;
  ASSERT(metadata::resolve_topic_config({wanted, none, none, none}, &problems) ==
         metadata::resolve_topic_config({canonical, none, none, none}));
  ASSERT(problems.empty());
}

void run(std::string_view text) {
  const Machine machine{"my.host"};
  const auto properties = parse_properties(text, "file");
  if (!properties) return;
  const LoadedConfig loaded = load_broker_config(*properties, machine);
  ASSERT(loaded.config.has_value() == loaded.errors.empty());
  if (loaded.config) check_config(*loaded.config, machine);

  ConfigMap map;
  for (const Property& property : *properties) map[property.key] = property.value;
  check_topic(map);
  std::vector<std::string> problems;
  const ConfigMap none;
  static const BrokerConfig started = *load_broker_config({}, machine).config;
  const BrokerConfig changed = with_dynamic_configs(started, map, map, &problems);
  ASSERT(changed.request_memory_bytes > 0);
  ASSERT(!metadata::describe_topic_configs({map, map, map, changed.given}).empty());
  ASSERT(!metadata::describe_broker_configs({none, map, none, changed.given}).empty());
  ASSERT(metadata::describe_default_broker_configs(map).size() == map.size());
  if (!metadata::validate_group_configs(map)) problems.clear();
  if (!metadata::validate_broker_configs(map, metadata::BrokerResource::node)) problems.clear();
}

}  // namespace
}  // namespace drave::broker

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  drave::broker::run({reinterpret_cast<const char*>(data), size});
  return 0;
}
