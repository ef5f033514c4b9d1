// drave topic create | list | alter | delete; `describe` is in topic_describe.cc.

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>

#include "protocol/messages/create_partitions.h"
#include "protocol/messages/create_topics.h"
#include "protocol/messages/delete_topics.h"
#include "tools/cli/settings.h"
#include "tools/cli/topic_describe.h"
#include "tools/cli/topic_names.h"

namespace drave::cli {
namespace {

using protocol::ErrorCode;

// Prints what happened to each topic, and remembers the first failure.
class Report {
 public:
  explicit Report(const Context& context) : context_(context) {}

  void done(std::string_view name, std::string_view status, Json more = Json::object()) {
    if (context_.json()) {
      Json row{{"topic", name}, {"status", status}};
      row.update(more);
      rows_.push_back(std::move(row));
    } else {
      fmt::print("{}: {}\n", name, status);
    }
  }
  void failed(std::string_view name, ErrorCode code, Failure failure) {
    if (context_.json()) {
      rows_.push_back({{"topic", name},
                       {"status", "failed"},
                       {"error", protocol::name(code)},
                       {"message", failure.what}});
    }
    if (!first_) {
      first_ = std::move(failure);
    } else {
      print_failure(failure);
    }
  }
  Outcome<> finish() {
    if (context_.json()) print_json(rows_);
    if (first_) return std::unexpected(std::move(*first_));
    return {};
  }

 private:
  const Context& context_;
  Json rows_ = Json::array();
  std::optional<Failure> first_;
};

struct CreateOptions {
  std::vector<std::string> topics;
  std::int32_t partitions = -1;
  std::int16_t replication_factor = -1;
  std::vector<std::string> configs;
  bool if_not_exists = false;
  bool validate_only = false;
};

Outcome<> run_create(Context& context, const CreateOptions& options) {
  TRY(const auto settings, parse_settings(options.configs));
  TRY(auto client, context.connect());
  protocol::CreateTopicsRequest request;
  request.timeout_ms = context.broker_timeout_ms();
  request.validate_only = options.validate_only;
  for (const std::string& name : options.topics) {
    auto& topic = request.topics.emplace_back();
    topic.name = name;
    topic.num_partitions = options.partitions;
    topic.replication_factor = options.replication_factor;
    for (const auto& [key, value] : settings)
      topic.configs.push_back({.name = key, .value = value});
  }
  // Version 4 is the first with the broker's defaults (-1).
  constexpr std::int16_t kWithDefaults = 4;
  TRY(auto answer, client.call<protocol::CreateTopicsResponse>(request, kWithDefaults));
  Report report(context);
  for (const auto& topic : answer.message.topics) {
    const auto code = static_cast<ErrorCode>(topic.error_code);
    if (code == ErrorCode::none) {
      report.done(topic.name, options.validate_only ? "valid" : "created",
                  {{"topicId", topic.topic_id.to_string()},
                   {"partitions", topic.num_partitions},
                   {"replicationFactor", topic.replication_factor}});
    } else if (code == ErrorCode::topic_already_exists && options.if_not_exists) {
      report.done(topic.name, "exists");
    } else {
      report.failed(topic.name, code,
                    kafka_failure(code, fmt::format("topic {}", topic.name),
                                  topic.error_message.value_or("")));
    }
  }
  return report.finish();
}

struct ListOptions {
  bool internal = false;
  bool names = false;
};

Outcome<> run_list(Context& context, const ListOptions& options) {
  TRY(auto client, context.connect());
  TRY(auto answer, client.metadata({}));
  std::erase_if(answer.message.topics,
                [&](const auto& topic) { return topic.is_internal && !options.internal; });
  std::ranges::sort(answer.message.topics, {}, [](const auto& t) { return t.name.value_or(""); });
  Table table({"TOPIC", "PARTITIONS", "REPLICAS", "TOPIC-ID"});
  Json rows = Json::array();
  for (const auto& topic : answer.message.topics) {
    const std::string name(topic.name.value_or(""));
    std::size_t replicas = 0;
    for (const auto& partition : topic.partitions)
      replicas = std::max(replicas, partition.replica_nodes.size());
    if (options.names && !context.json()) fmt::print("{}\n", name);
    table.add({name, std::to_string(topic.partitions.size()), std::to_string(replicas),
               topic.topic_id.to_string()});
    rows.push_back({{"topic", name},
                    {"topicId", topic.topic_id.to_string()},
                    {"internal", topic.is_internal},
                    {"partitions", topic.partitions.size()},
                    {"replicationFactor", replicas}});
  }
  if (context.json()) {
    print_json(rows);
  } else if (!options.names) {
    fmt::print("{}", table.to_string());
  }
  return {};
}

struct AlterOptions {
  std::string topic;
  std::int32_t partitions = 0;  // 0: as they are
  ConfigChanges changes;
  bool validate_only = false;
};

Outcome<> alter_partitions(Context& context, client::Client& client, const AlterOptions& options) {
  protocol::CreatePartitionsRequest request;
  request.timeout_ms = context.broker_timeout_ms();
  request.validate_only = options.validate_only;
  auto& topic = request.topics.emplace_back();
  topic.name = options.topic;
  topic.count = options.partitions;
  topic.assignments.reset();
  TRY(auto answer, client.call<protocol::CreatePartitionsResponse>(request));
  for (const auto& result : answer.message.results) {
    const auto code = static_cast<ErrorCode>(result.error_code);
    if (code != ErrorCode::none) {
      return std::unexpected(
          kafka_failure(code, "topic " + options.topic, result.error_message.value_or("")));
    }
  }
  return {};
}

Outcome<> run_alter(Context& context, const AlterOptions& options) {
  if (options.partitions == 0 && options.changes.empty()) {
    return fail(ExitCode::usage, "nothing to alter",
                "Give --partitions, --set, --unset, --append or --subtract.");
  }
  TRY(auto client, context.connect());
  if (!options.changes.empty()) {
    TRY_VOID(alter_configs(client, protocol::ConfigResourceType::topic, options.topic,
                           "topic " + options.topic, options.changes, options.validate_only));
  }
  if (options.partitions != 0) TRY_VOID(alter_partitions(context, client, options));
  Report report(context);
  report.done(options.topic, options.validate_only ? "valid" : "altered");
  return report.finish();
}

struct DeleteOptions {
  std::vector<std::string> topics;
  bool if_exists = false;
  bool yes = false;
};

// People are asked; scripts said what they want.
bool confirmed(const DeleteOptions& options) {
  if (options.yes || ::isatty(STDIN_FILENO) == 0) return true;
  fmt::print(stderr, "Delete {} and all records in {}? [y/N] ", fmt::join(options.topics, ", "),
             options.topics.size() == 1 ? "it" : "them");
  std::string line;
  std::getline(std::cin, line);
  return line == "y" || line == "Y" || line == "yes";
}

Outcome<> run_delete(Context& context, const DeleteOptions& options) {
  if (!confirmed(options)) return fail(ExitCode::failed, "nothing was deleted");
  TRY(auto client, context.connect());
  protocol::DeleteTopicsRequest request;
  request.timeout_ms = context.broker_timeout_ms();
  constexpr std::int16_t kWithTopics = 6;
  const bool by_state =
      client.version_of(protocol::ApiKey::delete_topics).value_or(0) >= kWithTopics;
  for (const std::string& name : options.topics) {
    if (by_state) {
      request.topics.push_back({.name = name});
    } else {
      request.topic_names.push_back(name);
    }
  }
  TRY(auto answer, client.call<protocol::DeleteTopicsResponse>(request));
  Report report(context);
  for (const auto& topic : answer.message.responses) {
    const auto code = static_cast<ErrorCode>(topic.error_code);
    const std::string name(topic.name.value_or(""));
    if (code == ErrorCode::none) {
      report.done(name, "deleted");
    } else if (code == ErrorCode::unknown_topic_or_partition && options.if_exists) {
      report.done(name, "absent");
    } else {
      report.failed(name, code,
                    kafka_failure(code, "topic " + name, topic.error_message.value_or("")));
    }
  }
  return report.finish();
}

void declare_create(CLI::App& verb, CreateOptions& options) {
  verb.add_option("TOPIC", options.topics, "Names")->required();
  verb.add_option("-p,--partitions", options.partitions, "How many; else the broker's default")
      ->check(CLI::PositiveNumber);
  verb.add_option("-r,--replication-factor", options.replication_factor,
                  "Copies of each; else the broker's default")
      ->check(CLI::PositiveNumber);
  verb.add_option("-c,--config", options.configs, "key=value; may be repeated")
      ->allow_extra_args(false);
  verb.add_flag("--if-not-exists", options.if_not_exists, "A topic that exists is no failure");
  verb.add_flag("--validate-only", options.validate_only, "Only say whether it would work");
}

}  // namespace

void add_topic(CLI::App& app, Context& context) {
  CLI::App& topic = *add_noun(app, "topic", "Topics: create, list, describe, alter, delete");
  add_verb<CreateOptions>(topic, context, "create", "Create topics", run_create, declare_create);
  add_verb<ListOptions>(topic, context, "list", "List topics", run_list,
                        [](CLI::App& verb, ListOptions& options) {
                          verb.add_flag("--internal", options.internal, "Internal ones, too");
                          verb.add_flag("--names", options.names, "Only names, one per line");
                        });
  add_verb<DescribeOptions>(topic, context, "describe", "Show partitions, offsets and configs",
                            run_describe, [](CLI::App& verb, DescribeOptions& options) {
                              verb.add_option("TOPIC", options.topics, "Names")->required();
                            });
  add_verb<AlterOptions>(
      topic, context, "alter", "Add partitions, change configs", run_alter,
      [](CLI::App& verb, AlterOptions& options) {
        verb.add_option("TOPIC", options.topic, "Name")->required();
        verb.add_option("-p,--partitions", options.partitions, "The new total, never less")
            ->check(CLI::PositiveNumber);
        options.changes.declare(verb);
        verb.add_flag("--validate-only", options.validate_only, "Only say whether it would work");
      });
  add_verb<DeleteOptions>(topic, context, "delete", "Delete topics with their records", run_delete,
                          [](CLI::App& verb, DeleteOptions& options) {
                            verb.add_option("TOPIC", options.topics, "Names")->required();
                            verb.add_flag("--if-exists", options.if_exists,
                                          "A topic that does not exist is no failure");
                            verb.add_flag("-y,--yes", options.yes, "Do not ask");
                          });
}

}  // namespace drave::cli
