// drave features describe | upgrade | downgrade: the levels that the cluster's nodes have agreed
// on.

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>

#include "protocol/messages/api_versions.h"
#include "protocol/messages/update_features.h"
#include "raftlog/core/features.h"
#include "tools/cli/context.h"
#include "tools/cli/settings.h"

namespace drave::cli {
namespace {

using protocol::ErrorCode;

// From this version on a request can ask for validation only, and says what kind of update it is.
constexpr std::int16_t kUpdateVersionMin = 1;

enum class Direction : std::int8_t { upgrade = 1, safe_downgrade = 2, unsafe_downgrade = 3 };

using Levels = std::map<std::string, std::int16_t>;

struct NoOptions {};

Outcome<client::Answer<protocol::ApiVersionsResponse>> ask(client::Client& client) {
  protocol::ApiVersionsRequest request;
  request.client_software_name = "drave";
  request.client_software_version = DRAVE_VERSION;
  TRY(auto answer, client.call<protocol::ApiVersionsResponse>(request));
  const auto code = static_cast<ErrorCode>(answer.message.error_code);
  if (code != ErrorCode::none) return std::unexpected(kafka_failure(code, "features"));
  return answer;
}

Levels finalized(const protocol::ApiVersionsResponse& answer) {
  Levels levels;
  for (const auto& feature : answer.finalized_features)
    levels[std::string(feature.name)] = feature.max_version_level;
  return levels;
}

// "30 (4.3-IV0)" of metadata.version.
std::string shown(std::string_view feature, std::int16_t level) {
  const std::string_view name =
      feature == raft::kMetadataVersion ? raft::metadata_version_name(level) : "";
  return name.empty() ? std::to_string(level) : fmt::format("{} ({})", level, name);
}

Outcome<> run_describe(Context& context, const NoOptions&) {
  TRY(auto client, context.connect());
  TRY(const auto answer, ask(client));
  Levels levels = finalized(answer.message);
  auto supported = answer.message.supported_features;
  std::ranges::sort(supported, {}, [](const auto& feature) { return feature.name; });
  Table table({"FEATURE", "SUPPORTED", "LEVEL"});
  Json all = Json::array();
  for (const auto& feature : supported) {
    const std::int16_t level = levels[std::string(feature.name)];
    table.add({std::string(feature.name),
               fmt::format("{} to {}", shown(feature.name, feature.min_version),
                           shown(feature.name, feature.max_version)),
               shown(feature.name, level)});
    all.push_back({{"feature", feature.name},
                   {"supportedMin", feature.min_version},
                   {"supportedMax", feature.max_version},
                   {"level", level}});
  }
  const std::int64_t epoch = answer.message.finalized_features_epoch;
  if (context.json())
    print_json({{"epoch", epoch}, {"features", all}});
  else
    fmt::print("as of offset {}\n\n{}", epoch, table.to_string());
  return {};
}

// --- Updates

struct UpdateOptions {
  std::vector<std::string> features;
  std::string release;
  bool dry_run = false;
  bool unsafe = false;
};

// NAME=LEVEL; of metadata.version also the name of a level or of a release.
Outcome<> add_wanted(const std::string& text, Levels& wanted) {
  TRY(const Setting setting, parse_setting(text));
  std::int16_t level = -1;
  const char* end = setting.second.data() + setting.second.size();
  const auto parsed = std::from_chars(setting.second.data(), end, level);
  if (parsed.ec != std::errc() || parsed.ptr != end || setting.second.empty() || level < 0) {
    const auto named = setting.first == raft::kMetadataVersion
                           ? raft::metadata_version_level(setting.second)
                           : std::nullopt;
    if (!named)
      return fail(ExitCode::usage,
                  fmt::format("{}: \"{}\" is no level", setting.first, setting.second),
                  "`drave features describe` shows levels.");
    level = *named;
  }
  if (!wanted.emplace(setting.first, level).second)
    return fail(ExitCode::usage, fmt::format("{} is named twice", setting.first));
  return {};
}

// What a cluster of this release begins with, of what has to move in this direction. kraft.version
// is the controllers' own affair: it is changed by its name, and never goes back.
Outcome<> add_release(const std::string& release, bool upgrade, Levels present, Levels& wanted) {
  const auto metadata_version = raft::metadata_version_level(release);
  if (!metadata_version) {
    return fail(ExitCode::usage, fmt::format("\"{}\" is no release", release),
                "As in \"4.3\" or \"4.3-IV0\".");
  }
  const auto levels = raft::default_levels(*metadata_version);
  for (const raft::SupportedFeature& feature : raft::supported_features()) {
    if (feature.name == raft::kKraftVersion) continue;
    const auto found = levels.find(feature.name);
    const std::int16_t level = found == levels.end() ? std::int16_t{0} : found->second;
    const std::int16_t now = present[std::string(feature.name)];
    if (upgrade ? level > now : level < now) wanted.emplace(feature.name, level);
  }
  return {};
}

// What was asked for by name, before what a release stands for.
Outcome<Levels> wanted_of(const UpdateOptions& options, bool upgrade, client::Client& client) {
  Levels wanted;
  for (const std::string& text : options.features) TRY_VOID(add_wanted(text, wanted));
  if (options.release.empty()) return wanted;
  TRY(const auto answer, ask(client));
  TRY_VOID(add_release(options.release, upgrade, finalized(answer.message), wanted));
  return wanted;
}

Outcome<> update(client::Client& client, const Levels& wanted, Direction direction, bool dry_run) {
  protocol::UpdateFeaturesRequest request;
  request.validate_only = dry_run;
  for (const auto& [name, level] : wanted) {
    auto& feature = request.feature_updates.emplace_back();
    feature.feature = name;
    feature.max_version_level = level;
    feature.upgrade_type = static_cast<std::int8_t>(direction);
  }
  TRY(const auto answer, client.call<protocol::UpdateFeaturesResponse>(request, kUpdateVersionMin));
  auto code = static_cast<ErrorCode>(answer.message.error_code);
  if (code != ErrorCode::none)
    return std::unexpected(
        kafka_failure(code, "features", answer.message.error_message.value_or("")));
  for (const auto& result : answer.message.results) {
    code = static_cast<ErrorCode>(result.error_code);
    if (code != ErrorCode::none) {
      return std::unexpected(
          kafka_failure(code, std::string(result.feature), result.error_message.value_or("")));
    }
  }
  return {};
}

Outcome<> run_update(Context& context, const UpdateOptions& options, Direction direction) {
  const bool upgrade = direction == Direction::upgrade;
  if (options.features.empty() && options.release.empty())
    return fail(ExitCode::usage, "no feature is named", "Give --feature or --release-version.");
  TRY(auto client, context.connect());
  TRY(const Levels wanted, wanted_of(options, upgrade, client));
  if (!wanted.empty()) TRY_VOID(update(client, wanted, direction, options.dry_run));
  const std::string done = upgrade ? "upgraded" : "downgraded";
  const std::string status = options.dry_run ? "can be " + done : done;
  Json all = Json::array();
  for (const auto& [name, level] : wanted) {
    all.push_back({{"feature", name}, {"level", level}, {"status", status}});
    if (!context.json()) fmt::print("{}: {} to {}\n", name, status, shown(name, level));
  }
  if (context.json())
    print_json(all);
  else if (wanted.empty())
    fmt::print("nothing to do\n");
  return {};
}

Outcome<> run_upgrade(Context& context, const UpdateOptions& options) {
  return run_update(context, options, Direction::upgrade);
}

Outcome<> run_downgrade(Context& context, const UpdateOptions& options) {
  return run_update(context, options,
                    options.unsafe ? Direction::unsafe_downgrade : Direction::safe_downgrade);
}

void declare_update(CLI::App& verb, UpdateOptions& options) {
  verb.add_option("-f,--feature", options.features,
                  "NAME=LEVEL, \"kraft.version=1\", \"metadata.version=4.3-IV0\"; may be repeated")
      ->allow_extra_args(false);
  verb.add_option("-r,--release-version", options.release,
                  "All levels that a cluster of this release begins with, but for kraft.version");
  verb.add_flag("--dry-run", options.dry_run, "Only ask whether it can be done");
}

}  // namespace

void add_features(CLI::App& app, Context& context) {
  CLI::App& features =
      *add_noun(app, "features", "The levels that all nodes of the cluster can hold");
  add_verb<NoOptions>(features, context, "describe", "Show what is supported, and what holds",
                      run_describe, [](CLI::App&, NoOptions&) {});
  add_verb<UpdateOptions>(features, context, "upgrade", "Raise levels", run_upgrade,
                          declare_update);
  add_verb<UpdateOptions>(features, context, "downgrade", "Lower levels; 0 turns a feature off",
                          run_downgrade, [](CLI::App& verb, UpdateOptions& options) {
                            declare_update(verb, options);
                            verb.add_flag("--unsafe", options.unsafe,
                                          "Also where that may lose metadata");
                          });
}

}  // namespace drave::cli
