#include "metadata/controller/configs.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <set>
#include <type_traits>

#include "metadata/config/describe.h"
#include "metadata/config/validate.h"
#include "metadata/features.h"
#include "protocol/error_code.h"
#include "protocol/resource.h"

namespace drave::metadata {

namespace {

using protocol::ErrorCode;

constexpr std::string_view kMinInsyncReplicas = "min.insync.replicas";

enum class ConfigOperation : std::int8_t { set = 0, remove = 1, append = 2, subtract = 3 };

struct Problem {
  ErrorCode code = ErrorCode::none;
  std::string text;
};

// One change of one key.
struct Change {
  std::string_view name;
  ConfigOperation operation = ConfigOperation::set;
  std::optional<std::string_view> value;
};

std::optional<ConfigScope> scope_of(ConfigResourceType type) {
  switch (type) {
    case ConfigResourceType::topic: return ConfigScope::topic;
    case ConfigResourceType::broker: return ConfigScope::broker;
    case ConfigResourceType::client_metrics: return ConfigScope::client_metrics;
    case ConfigResourceType::group: return ConfigScope::group;
    default: return std::nullopt;
  }
}

// A broker or a controller that registered, or a voter of the quorum.
bool is_node(const Image& image, NodeId id) {
  return image.broker(id) != nullptr || image.controllers().contains(id) ||
         std::ranges::find(image.voters(), id, &VoterImage::id) != image.voters().end();
}

Problem check_resource(const ControllerContext& context, const ConfigResource& resource) {
  if (resource.name.size() > kTextLengthMax)
    return {ErrorCode::invalid_request, "The resource name is too long."};
  switch (resource.type) {
    case ConfigResourceType::topic:
      if (context.image.topics().find(std::string_view(resource.name)) == nullptr) {
        return {ErrorCode::unknown_topic_or_partition,
                fmt::format("The topic '{}' does not exist.", resource.name)};
      }
      return {};
    case ConfigResourceType::broker: {
      if (resource.name.empty()) return {};
      NodeId id = -1;
      const char* end = resource.name.data() + resource.name.size();
      const auto parsed = std::from_chars(resource.name.data(), end, id);
      if (parsed.ec != std::errc() || parsed.ptr != end) {
        return {ErrorCode::invalid_request,
                fmt::format("Node id must be an integer, but it is: {}", resource.name)};
      }
      if (!is_node(context.image, id))
        return {ErrorCode::broker_id_not_registered, fmt::format("No node with id {} found.", id)};
      return {};
    }
    case ConfigResourceType::client_metrics:
    case ConfigResourceType::group:
      if (resource.name.empty())
        return {ErrorCode::invalid_request, "Default configs are not supported for this resource."};
      return {};
    case ConfigResourceType::broker_logger:
      return {ErrorCode::invalid_request, std::string(kWhereLogLevelsAre)};
    case ConfigResourceType::unknown: break;
  }
  return {ErrorCode::invalid_request,
          fmt::format("Unexpected resource type {}.", static_cast<int>(resource.type))};
}

Problem validate(const ControllerContext& context, const ConfigResource& resource,
                 const ConfigMap& wanted) {
  Result<void> valid;
  ErrorCode code = ErrorCode::invalid_config;
  switch (resource.type) {
    case ConfigResourceType::topic: valid = validate_topic_configs(context.layers(wanted)); break;
    case ConfigResourceType::group: valid = validate_group_configs(wanted); break;
    case ConfigResourceType::client_metrics: valid = validate_client_metrics_configs(wanted); break;
    default:
      valid = validate_broker_configs(
          wanted, resource.name.empty() ? BrokerResource::cluster_default : BrokerResource::node);
      code = ErrorCode::invalid_request;
  }
  if (!valid) return {code, valid.error().context};
  return {};
}

// What APPEND and SUBTRACT start from: the resource's own value, else what holds without one.
std::vector<std::string> list_before(const ControllerContext& context,
                                     const ConfigResource& resource, const ConfigDef& def,
                                     const ConfigMap& configs) {
  if (const auto own = configs.find(def.name); own != configs.end()) return list_of(own->second);
  static const ConfigMap kNone;
  if (resource.type == ConfigResourceType::topic) {
    if (auto resolved = resolve_config(def, context.layers(kNone))) return list_of(resolved->value);
  }
  return list_of(def.default_text.value_or(""));
}

Problem change_list(const ControllerContext& context, const ConfigResource& resource,
                    ConfigScope scope, const Change& change, ConfigMap& configs) {
  const bool append = change.operation == ConfigOperation::append;
  const ConfigDef* def = find_config(scope, change.name);
  if (def == nullptr || !is_list_config(scope, change.name)) {
    return {ErrorCode::invalid_config,
            fmt::format("Can't {} to key {} because its type is not LIST.",
                        append ? "APPEND" : "SUBTRACT", change.name)};
  }
  std::vector<std::string> items = list_before(context, resource, *def, configs);
  for (std::string& item : list_of(*change.value)) {
    const auto at = std::find(items.begin(), items.end(), item);
    if (append && at == items.end())
      items.push_back(std::move(item));
    else if (!append && at != items.end())
      items.erase(at);
  }
  configs[std::string(change.name)] = fmt::format("{}", fmt::join(items, ","));
  return {};
}

Problem apply_changes(const ControllerContext& context, const ConfigResource& resource,
                      const std::vector<Change>& changes, ConfigMap& configs) {
  const ConfigScope scope = *scope_of(resource.type);
  std::set<std::string_view> seen;
  std::vector<std::string_view> nulls;
  for (const Change& change : changes) {
    if (!seen.insert(change.name).second)
      return {ErrorCode::invalid_request, "Error due to duplicate config keys"};
    if (change.operation != ConfigOperation::remove && !change.value.has_value())
      nulls.push_back(change.name);
    if (change.name.size() > kTextLengthMax)
      return {ErrorCode::invalid_config, "The name of a configuration is too long."};
    if (change.value.value_or("").size() > kTextLengthMax)
      return {ErrorCode::invalid_config, std::string(kValueTooLong)};
  }
  if (!nulls.empty())
    return {ErrorCode::invalid_request,
            fmt::format("Null value not supported for : {}", fmt::join(nulls, ","))};
  for (const Change& change : changes) {
    switch (change.operation) {
      case ConfigOperation::set: configs[std::string(change.name)] = *change.value; break;
      case ConfigOperation::remove:
        if (const auto at = configs.find(change.name); at != configs.end()) configs.erase(at);
        break;
      case ConfigOperation::append:
      case ConfigOperation::subtract:
        if (Problem problem = change_list(context, resource, scope, change, configs);
            problem.code != ErrorCode::none)
          return problem;
        break;
      default:
        return {ErrorCode::invalid_request, fmt::format("Unknown config operation type id {}",
                                                        static_cast<int>(change.operation))};
    }
  }
  return {};
}

// With eligible leader replicas the cluster's min.insync.replicas is what decides, and must be
// there.
Problem check_min_insync(const ControllerContext& context, const ConfigResource& resource,
                         const ConfigMap& before, const ConfigMap& after) {
  if (context.image.feature(kElrVersion) < 1 || resource.type != ConfigResourceType::broker)
    return {};
  const bool had = before.contains(kMinInsyncReplicas);
  const bool has = after.contains(kMinInsyncReplicas);
  if (resource.name.empty()) {
    if (had && !has) {
      return {ErrorCode::invalid_config,
              "Cluster-level min.insync.replicas cannot be removed while ELR is enabled."};
    }
  } else if (has && (!had || before.find(kMinInsyncReplicas)->second !=
                                 after.find(kMinInsyncReplicas)->second)) {
    return {ErrorCode::invalid_config,
            "Broker-level min.insync.replicas cannot be altered while ELR is enabled."};
  }
  return {};
}

void add_config(RecordList& records, const ConfigResource& resource, std::string_view name,
                std::optional<std::string_view> value) {
  protocol::ConfigRecord record;
  record.resource_type = static_cast<std::int8_t>(resource.type);
  record.resource_name = resource.name;
  record.name = name;
  record.value = value;
  records.add(record);
}

void add_records(const ControllerContext& context, const ConfigResource& resource,
                 const std::vector<Change>& changes, const ConfigMap& before,
                 const ConfigMap& after, RecordList& records) {
  // A node's own records are written even if nothing changes: that makes it read them again.
  const bool always = resource.type == ConfigResourceType::broker;
  std::set<std::string_view> asked;
  if (always)
    for (const Change& change : changes) asked.insert(change.name);
  bool min_insync = false;
  for (const auto& [name, value] : after) {
    const auto old = before.find(name);
    const bool differs = old == before.end() || old->second != value;
    if (!differs && !asked.contains(name)) continue;
    add_config(records, resource, name, value);
    min_insync |= differs && name == kMinInsyncReplicas;
  }
  for (const auto& [name, value] : before) {
    if (after.contains(name)) continue;
    add_config(records, resource, name, std::nullopt);
    min_insync |= name == kMinInsyncReplicas;
  }
  // Who may lead was worked out with another minimum.
  const bool is_topic = resource.type == ConfigResourceType::topic;
  if (min_insync && context.image.feature(kElrVersion) >= 1 &&
      (is_topic || resource.name.empty())) {
    protocol::ClearElrRecord record;
    record.topic_name = is_topic ? std::string_view(resource.name) : std::string_view();
    records.add(record);
  }
}

Problem alter(const ControllerContext& context, const ConfigResource& resource,
              const std::vector<Change>& changes, bool replace_all, RecordList& records) {
  if (Problem problem = check_resource(context, resource); problem.code != ErrorCode::none)
    return problem;
  const ConfigMap& before = context.image.configs(resource);
  ConfigMap after = replace_all ? ConfigMap() : before;
  if (Problem problem = apply_changes(context, resource, changes, after);
      problem.code != ErrorCode::none)
    return problem;
  if (Problem problem = validate(context, resource, after); problem.code != ErrorCode::none)
    return problem;
  if (Problem problem = check_min_insync(context, resource, before, after);
      problem.code != ErrorCode::none)
    return problem;
  after = canonical_configs(*scope_of(resource.type), after);
  const std::size_t size_before = records.size();
  add_records(context, resource, changes, before, after, records);
  if (records.size() > kRecordsPerRequestMax) {
    records.cut(size_before);
    return {ErrorCode::policy_violation, "Too many configs in one request."};
  }
  return {};
}

std::vector<Change> changes_of(
    const protocol::IncrementalAlterConfigsRequest::AlterConfigsResource& asked) {
  std::vector<Change> changes;
  for (const auto& config : asked.configs) {
    changes.push_back(
        {config.name, static_cast<ConfigOperation>(config.config_operation), config.value});
  }
  return changes;
}

std::vector<Change> changes_of(const protocol::AlterConfigsRequest::AlterConfigsResource& asked) {
  std::vector<Change> changes;
  for (const auto& config : asked.configs)
    changes.push_back({config.name, ConfigOperation::set, config.value});
  return changes;
}

template <class Response, class Request>
class Alteration final : public Decision<Response> {
 public:
  Alteration(const ControllerContext& context, const Request& request)
      : context_(context), request_(request) {
    for (const auto& asked : request.resources) ++counts_[key_of(asked)];
  }

  bool next(RecordList& records) override {
    Piece piece(records);
    for (; !piece.is_full(records) && next_ < request_.resources.size(); ++next_) {
      take(request_.resources[next_], records);
      piece.note_item();
    }
    return next_ < request_.resources.size();
  }

 private:
  // The older form says all that there is to be.
  static constexpr bool kReplacesAll = std::is_same_v<Request, protocol::AlterConfigsRequest>;

  template <class Asked>
  static ConfigResource key_of(const Asked& asked) {
    return {static_cast<ConfigResourceType>(asked.resource_type), std::string(asked.resource_name)};
  }

  template <class Asked>
  void take(const Asked& asked, RecordList& records) {
    const ConfigResource resource = key_of(asked);
    Problem problem;
    if (counts_[resource] > 1)
      problem = {ErrorCode::invalid_request, "Each resource must appear at most once."};
    else
      problem = alter(context_, resource, changes_of(asked), kReplacesAll, records);
    auto& result = this->answer.message.responses.emplace_back();
    result.error_code = static_cast<std::int16_t>(problem.code);
    result.error_message = std::nullopt;
    if (problem.code != ErrorCode::none)
      result.error_message = this->answer.keep(std::move(problem.text));
    result.resource_type = asked.resource_type;
    result.resource_name = asked.resource_name;
  }

  const ControllerContext context_;
  const Request& request_;
  std::map<ConfigResource, int> counts_;
  std::size_t next_ = 0;  // of the request's resources
};

}  // namespace

void add_elr_configs(const Image& image, std::string_view min_insync_replicas,
                     RecordList& records) {
  const ConfigResource cluster{ConfigResourceType::broker, ""};
  if (!image.configs(cluster).contains(kMinInsyncReplicas))
    add_config(records, cluster, kMinInsyncReplicas, min_insync_replicas);
  for (auto node = image.all_configs().lower_bound(cluster); node != image.all_configs().end();
       ++node) {
    const auto& [resource, configs] = *node;
    if (resource.type != ConfigResourceType::broker) break;
    if (!resource.name.empty() && configs.contains(kMinInsyncReplicas))
      add_config(records, resource, kMinInsyncReplicas, std::nullopt);
  }
}

std::unique_ptr<Decision<protocol::IncrementalAlterConfigsResponse>>
begin_incremental_alter_configs(const ControllerContext& context,
                                const protocol::IncrementalAlterConfigsRequest& request) {
  return std::make_unique<Alteration<protocol::IncrementalAlterConfigsResponse,
                                     protocol::IncrementalAlterConfigsRequest>>(context, request);
}

protocol::OwnedMessage<protocol::IncrementalAlterConfigsResponse> incremental_alter_configs(
    const ControllerContext& context, const protocol::IncrementalAlterConfigsRequest& request,
    RecordList& records) {
  return decide_at_once(begin_incremental_alter_configs(context, request), records);
}

std::unique_ptr<Decision<protocol::AlterConfigsResponse>> begin_alter_configs(
    const ControllerContext& context, const protocol::AlterConfigsRequest& request) {
  return std::make_unique<
      Alteration<protocol::AlterConfigsResponse, protocol::AlterConfigsRequest>>(context, request);
}

protocol::OwnedMessage<protocol::AlterConfigsResponse> alter_configs(
    const ControllerContext& context, const protocol::AlterConfigsRequest& request,
    RecordList& records) {
  return decide_at_once(begin_alter_configs(context, request), records);
}

}  // namespace drave::metadata
