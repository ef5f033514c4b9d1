#pragma once
// key=value pairs of the command line, and changing the configs of a resource.

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "protocol/resource.h"
#include "tools/cli/context.h"

namespace drave::cli {

using Setting = std::pair<std::string, std::string>;

// "key=value"; the value may be empty. A usage failure names the text.
Outcome<Setting> parse_setting(const std::string& text);
Outcome<std::vector<Setting>> parse_settings(const std::vector<std::string>& texts);

// What `alter` verbs take.
struct ConfigChanges {
  std::vector<std::string> set;
  std::vector<std::string> unset;
  std::vector<std::string> append;    // to a list
  std::vector<std::string> subtract;  // from a list

  bool empty() const { return set.empty() && unset.empty() && append.empty() && subtract.empty(); }
  void declare(CLI::App& verb);
};

// Alters some configs of the resource and leaves the others alone (IncrementalAlterConfigs).
// `what` names it for people.
Outcome<> alter_configs(client::Client& client, protocol::ConfigResourceType type,
                        const std::string& name, const std::string& what,
                        const ConfigChanges& changes, bool validate_only);

struct ConfigEntry {
  std::string name;
  std::optional<std::string> value;
  std::string source;  // "topic", "broker", "broker-default", "static", "default"
  bool read_only = false;
  bool sensitive = false;
};
// All configs of the resource, in the order of their names.
Outcome<std::vector<ConfigEntry>> describe_configs(client::Client& client,
                                                   protocol::ConfigResourceType type,
                                                   const std::string& name,
                                                   const std::string& what);

}  // namespace drave::cli
