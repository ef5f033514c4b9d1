// drave config describe | alter.

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "tools/cli/settings.h"

namespace drave::cli {
namespace {

using protocol::ConfigResourceType;

// A resource as users name it: "topic orders", "broker 1", "broker default".
struct ResourceOptions {
  std::string kind;
  std::string name;

  ConfigResourceType type() const {
    static const std::map<std::string, ConfigResourceType> kTypes{
        {"topic", ConfigResourceType::topic},
        {"broker", ConfigResourceType::broker},
        {"group", ConfigResourceType::group},
        {"client-metrics", ConfigResourceType::client_metrics}};
    return kTypes.at(kind);
  }
  // Kafka's name of the cluster-wide broker configs is empty.
  std::string wire_name() const { return kind == "broker" && name == "default" ? "" : name; }
  std::string to_string() const { return kind + " " + name; }

  void declare(CLI::App& verb) {
    verb.add_option("KIND", kind, "topic, broker, group or client-metrics")
        ->required()
        ->check(CLI::IsMember({"topic", "broker", "group", "client-metrics"}))
        ->option_text("KIND");
    verb.add_option("NAME", name, "The topic; the broker's id, or default for all brokers")
        ->required();
  }
};

struct DescribeConfigOptions {
  ResourceOptions resource;
  bool all = false;
  std::vector<std::string> keys;
};

Outcome<> run_describe_config(Context& context, const DescribeConfigOptions& options) {
  TRY(auto client, context.connect());
  TRY(auto entries, describe_configs(client, options.resource.type(), options.resource.wire_name(),
                                     options.resource.to_string()));
  const bool given = !options.keys.empty();
  std::erase_if(entries, [&](const ConfigEntry& one) {
    if (given) return std::ranges::find(options.keys, one.name) == options.keys.end();
    return !options.all && (one.source == "default" || one.source == "static");
  });
  Table table({"KEY", "VALUE", "SOURCE"});
  Json rows = Json::array();
  for (const ConfigEntry& one : entries) {
    table.add({one.name, one.sensitive ? "(hidden)" : one.value.value_or("(none)"), one.source});
    rows.push_back({{"key", one.name},
                    {"value", one.value ? Json(*one.value) : Json(nullptr)},
                    {"source", one.source},
                    {"readOnly", one.read_only},
                    {"sensitive", one.sensitive}});
  }
  if (context.json()) {
    print_json(rows);
  } else {
    fmt::print("{}", table.to_string());
  }
  if (given && entries.size() < options.keys.size())
    return fail(ExitCode::not_found, options.resource.to_string() + " has no such key",
                "`drave config describe --all` shows all keys.");
  return {};
}

struct AlterConfigOptions {
  ResourceOptions resource;
  ConfigChanges changes;
  bool validate_only = false;
};

Outcome<> run_alter_config(Context& context, const AlterConfigOptions& options) {
  if (options.changes.empty()) {
    return fail(ExitCode::usage, "nothing to alter",
                "Give --set, --unset, --append or --subtract.");
  }
  TRY(auto client, context.connect());
  TRY_VOID(alter_configs(client, options.resource.type(), options.resource.wire_name(),
                         options.resource.to_string(), options.changes, options.validate_only));
  const std::string status = options.validate_only ? "valid" : "altered";
  if (context.json()) {
    print_json(
        {{"kind", options.resource.kind}, {"name", options.resource.name}, {"status", status}});
  } else {
    fmt::print("{}: {}\n", options.resource.to_string(), status);
  }
  return {};
}

}  // namespace

void add_config(CLI::App& app, Context& context) {
  CLI::App& config = *add_noun(app, "config", "Configs of topics and brokers");
  add_verb<DescribeConfigOptions>(config, context, "describe", "Show the configs that were set",
                                  run_describe_config,
                                  [](CLI::App& verb, DescribeConfigOptions& options) {
                                    options.resource.declare(verb);
                                    verb.add_option("KEY", options.keys, "Only these keys");
                                    verb.add_flag("--all", options.all, "Defaults, too");
                                  });
  add_verb<AlterConfigOptions>(config, context, "alter", "Change configs, leave the others alone",
                               run_alter_config, [](CLI::App& verb, AlterConfigOptions& options) {
                                 options.resource.declare(verb);
                                 options.changes.declare(verb);
                                 verb.add_flag("--validate-only", options.validate_only,
                                               "Only say whether it would work");
                               });
}

}  // namespace drave::cli
