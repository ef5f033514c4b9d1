#include "metadata/controller/features_update.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "metadata/controller/configs.h"
#include "metadata/features.h"
#include "protocol/error_code.h"

namespace drave::metadata {

namespace {

using protocol::ErrorCode;
using Update = protocol::UpdateFeaturesRequest::FeatureUpdateKey;

enum class UpgradeType : std::int8_t { upgrade = 1, safe_downgrade = 2, unsafe_downgrade = 3 };

struct Problem {
  ErrorCode code = ErrorCode::none;
  std::string text;
};

Problem invalid(const Update& update, std::string_view why) {
  return {ErrorCode::invalid_update_version,
          fmt::format("Invalid update version {} for feature {}. {}", update.max_version_level,
                      update.feature, why)};
}

// Why a node that has `range` of the feature cannot hold the level; empty if it can.
std::string lacking(std::string_view node, const Update& update, FeatureRange range) {
  if (range.min <= update.max_version_level && update.max_version_level <= range.max) return {};
  if (range.max == 0) return fmt::format("{} does not support this feature.", node);
  if (range.min == range.max) return fmt::format("{} only supports versions {}", node, range.min);
  return fmt::format("{} only supports versions {}-{}", node, range.min, range.max);
}

FeatureRange range_of(const RegistrationImage& node, std::string_view feature) {
  const auto found = node.features.find(std::string(feature));
  return found == node.features.end() ? FeatureRange() : found->second;
}

// This node, every registered broker and controller must be able to hold the level, and every voter
// must have registered (as controllers do since 3.7-IV0).
std::string not_supported(const ControllerContext& context, const Update& update) {
  const SupportedFeature* local = find_feature(update.feature);
  std::string why =
      lacking(fmt::format("Local controller {}", context.node_id), update,
              local == nullptr ? FeatureRange() : FeatureRange{local->min, local->max});
  if (!why.empty()) return why;
  for (const auto& [id, broker] : context.image.brokers()) {
    why = lacking(fmt::format("Broker {}", id), update, range_of(broker, update.feature));
    if (!why.empty()) return why;
  }
  if (context.image.feature(kMetadataVersion) < metadata_level::kControllerRegistration) return {};
  for (const auto& [id, controller] : context.image.controllers()) {
    if (id == context.node_id) continue;
    why = lacking(fmt::format("Controller {}", id), update, range_of(controller, update.feature));
    if (!why.empty()) return why;
  }
  auto has_registered = [&context](NodeId id) {
    return id == context.node_id || context.image.controllers().contains(id);
  };
  for (const VoterImage& voter : context.image.voters()) {
    if (has_registered(voter.id)) continue;
    return fmt::format("controller {} has not registered, and may not support this feature",
                       voter.id);
  }
  return {};
}

Problem check_downgrade(const Update& update, UpgradeType type, std::int16_t present) {
  if (type == UpgradeType::upgrade) {
    return invalid(
        update,
        "Can't downgrade the version of this feature without setting the upgrade type to "
        "either safe or unsafe downgrade.");
  }
  if (update.feature == kKraftVersion)
    return invalid(update, "Can't downgrade the version of this feature.");
  if (update.feature != kMetadataVersion) return {};
  for (std::int16_t level = present; level > update.max_version_level; --level) {
    if (!changes_metadata(level)) continue;
    return {ErrorCode::invalid_update_version,
            fmt::format("Unsupported metadata.version downgrade from {} to {}. {}", present,
                        update.max_version_level,
                        type == UpgradeType::unsafe_downgrade
                            ? "Unsafe metadata downgrade is not supported in this version."
                            : "Refusing to perform the requested downgrade because it might delete "
                              "metadata information.")};
  }
  return {};
}

Problem decide(const ControllerContext& context, const Update& update, std::int16_t version,
               std::map<std::string, std::int16_t, std::less<>>& levels) {
  auto type = static_cast<UpgradeType>(update.upgrade_type);
  if (version == 0)
    type = update.allow_downgrade ? UpgradeType::safe_downgrade : UpgradeType::upgrade;
  if (type != UpgradeType::upgrade && type != UpgradeType::safe_downgrade &&
      type != UpgradeType::unsafe_downgrade)
    return invalid(update, "The controller does not support the given upgrade type.");
  if (update.max_version_level < 0)
    return invalid(update, "A feature version cannot be less than 0.");
  if (const std::string why = not_supported(context, update); !why.empty())
    return invalid(update, why);
  if (find_feature(update.feature) == nullptr)
    return invalid(update, fmt::format("Feature {} not found.", update.feature));
  const std::int16_t present = context.image.feature(update.feature);
  if (update.max_version_level < present) {
    if (Problem problem = check_downgrade(update, type, present); problem.code != ErrorCode::none)
      return problem;
  } else if (update.max_version_level > present && type != UpgradeType::upgrade) {
    return invalid(update, "Can't downgrade to a newer version.");
  }
  levels[std::string(update.feature)] = update.max_version_level;
  if (update.max_version_level == 0) levels.erase(std::string(update.feature));
  return {};
}

bool turns_elr_on(const protocol::UpdateFeaturesRequest& request) {
  return std::ranges::any_of(request.feature_updates, [](const Update& update) {
    return update.feature == kElrVersion && update.max_version_level > 0;
  });
}

// What holds for topics by this node's file alone.
std::string min_insync_of_file(const ControllerContext& context) {
  static const ConfigMap kNone;
  const auto value = resolve_config(*find_config(ConfigScope::topic, "min.insync.replicas"),
                                    {kNone, kNone, kNone, context.fixed});
  return value.has_value() ? value->value : "1";
}

}  // namespace

protocol::OwnedMessage<protocol::UpdateFeaturesResponse> refuse_features(ErrorCode error,
                                                                         std::string_view why) {
  protocol::OwnedMessage<protocol::UpdateFeaturesResponse> answer;
  answer.message.error_code = static_cast<std::int16_t>(error);
  answer.message.error_message = answer.keep(fmt::format(
      "The update failed for all features since the following feature had an error: {}", why));
  return answer;
}

protocol::OwnedMessage<protocol::UpdateFeaturesResponse> update_features(
    const ControllerContext& context, const protocol::UpdateFeaturesRequest& request,
    std::int16_t version, RecordList& records, std::optional<std::int16_t>& kraft_version) {
  protocol::OwnedMessage<protocol::UpdateFeaturesResponse> answer;
  answer.message.error_message = std::nullopt;
  auto levels = context.image.features();
  std::set<std::string_view> seen;
  Problem problem;
  for (const Update& update : request.feature_updates) {
    if (update.feature.size() > kTextLengthMax || !seen.insert(update.feature).second)
      problem = {ErrorCode::invalid_request, "Each feature must appear at most once."};
    else
      problem = decide(context, update, version, levels);
    if (problem.code != ErrorCode::none) break;
  }
  if (problem.code == ErrorCode::none) {
    if (const Result<void> valid = check_levels(levels); !valid)
      problem = {ErrorCode::invalid_update_version, valid.error().context};
  }
  if (problem.code != ErrorCode::none) return refuse_features(problem.code, problem.text);
  if (turns_elr_on(request)) add_elr_configs(context.image, min_insync_of_file(context), records);
  for (const Update& update : request.feature_updates) {
    if (update.feature == kKraftVersion) {
      if (update.max_version_level > context.image.feature(kKraftVersion))
        kraft_version = update.max_version_level;
    } else {
      protocol::FeatureLevelRecord record;
      record.name = update.feature;
      record.feature_level = update.max_version_level;
      records.add(record);
    }
    if (version >= 2) continue;
    auto& result = answer.message.results.emplace_back();
    result.feature = update.feature;
    result.error_message = std::nullopt;
  }
  return answer;
}

}  // namespace drave::metadata
