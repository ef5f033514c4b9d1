#include "metadata/controller/features_update.h"

#include <fmt/format.h>

#include <set>

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

// Every registered node must be able to hold the level.
Problem check_nodes(const Image& image, const Update& update) {
  auto lacks = [&update](const RegistrationImage& node) {
    const auto range = node.features.find(std::string(update.feature));
    return update.max_version_level > 0 &&
           (range == node.features.end() || update.max_version_level < range->second.min ||
            update.max_version_level > range->second.max);
  };
  for (const auto& [id, node] : image.brokers())
    if (lacks(node))
      return invalid(update, fmt::format("Broker {} does not support this feature level.", id));
  for (const auto& [id, node] : image.controllers())
    if (lacks(node))
      return invalid(update, fmt::format("Controller {} does not support this feature level.", id));
  return {};
}

Problem check_downgrade(const Update& update, UpgradeType type, std::int16_t present) {
  if (type == UpgradeType::upgrade) {
    return invalid(
        update,
        "Can't downgrade the version of this feature without setting the upgrade type to "
        "either safe or unsafe downgrade.");
  }
  if (update.feature != kMetadataVersion) return {};
  if (type == UpgradeType::unsafe_downgrade) {
    return {ErrorCode::invalid_update_version,
            fmt::format("Invalid metadata.version {}. Unsafe metadata downgrade is not supported "
                        "in this version.",
                        update.max_version_level)};
  }
  for (std::int16_t level = present; level > update.max_version_level; --level) {
    if (!changes_metadata(level)) continue;
    return {ErrorCode::invalid_update_version,
            fmt::format("Invalid metadata.version {}. Refusing to perform the requested downgrade "
                        "because it might "
                        "delete metadata information.",
                        update.max_version_level)};
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
  const SupportedFeature* feature = find_feature(update.feature);
  if (feature == nullptr)
    return invalid(
        update, fmt::format("Local controller {} does not support this feature.", context.node_id));
  if (update.max_version_level < 0)
    return invalid(update, "A feature version cannot be less than 0.");
  if (update.max_version_level < feature->min || update.max_version_level > feature->max) {
    return invalid(update, fmt::format("Local controller {} only supports versions {}-{}",
                                       context.node_id, feature->min, feature->max));
  }
  const std::int16_t present = context.image.feature(update.feature);
  if (update.feature == kKraftVersion && update.max_version_level != present)
    return invalid(update,
                   "A quorum's kraft.version is chosen when its directories are formatted.");
  if (Problem problem = check_nodes(context.image, update); problem.code != ErrorCode::none)
    return problem;
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

}  // namespace

protocol::OwnedMessage<protocol::UpdateFeaturesResponse> update_features(
    const ControllerContext& context, const protocol::UpdateFeaturesRequest& request,
    std::int16_t version, RecordList& records) {
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
  if (problem.code != ErrorCode::none) {
    answer.message.error_code = static_cast<std::int16_t>(problem.code);
    answer.message.error_message = answer.keep(fmt::format(
        "The update failed for all features since the following feature had an error: {}",
        problem.text));
    return answer;
  }
  for (const Update& update : request.feature_updates) {
    if (update.feature != kKraftVersion) {
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
