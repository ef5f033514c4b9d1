// drave acl list | create | delete.

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>

#include "protocol/messages/create_acls.h"
#include "protocol/messages/delete_acls.h"
#include "protocol/messages/describe_acls.h"
#include "protocol/resource.h"
#include "tools/cli/context.h"

namespace drave::cli {
namespace {

using protocol::AclOperation;
using protocol::AclPermission;
using protocol::ErrorCode;
using protocol::PatternType;
using protocol::ResourceType;

constexpr std::string_view kClusterName = "kafka-cluster";

// Kafka's names as words of a command line: "transactional-id".
template <class E>
std::string word(E value) {
  std::string text(protocol::name(value));
  std::ranges::transform(text, text.begin(), [](char c) {
    return c == '_' ? '-' : static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  });
  return text;
}

// The words of [first, last].
template <class E>
std::vector<std::string> words(E first, E last) {
  std::vector<std::string> all;
  for (int value = static_cast<int>(first); value <= static_cast<int>(last); ++value)
    all.push_back(word(static_cast<E>(value)));
  return all;
}

const std::vector<std::string> kKinds = words(ResourceType::topic, ResourceType::user);
const std::vector<std::string> kOperations =
    words(AclOperation::all, AclOperation::two_phase_commit);

// The value of a word, which CLI11 has checked; an empty one is "any".
template <class E>
std::int8_t value_of(const std::string& text, E last) {
  for (int value = 0; value <= static_cast<int>(last); ++value)
    if (word(static_cast<E>(value)) == text) return static_cast<std::int8_t>(value);
  return 1;
}

std::int8_t kind_of(const std::string& kind) {
  return value_of(kind, ResourceType::user);
}

std::int8_t operation_of(const std::string& operation) {
  return value_of(operation, AclOperation::two_phase_commit);
}

// Entries as rows; the same for what there is and for what was deleted.
class Rows {
 public:
  void add(std::int8_t type, std::string_view name, std::int8_t pattern, std::string_view principal,
           std::string_view host, std::int8_t operation, std::int8_t permission) {
    const std::vector<std::string> cells{word(static_cast<ResourceType>(type)),
                                         std::string(name),
                                         word(static_cast<PatternType>(pattern)),
                                         word(static_cast<AclPermission>(permission)),
                                         std::string(principal),
                                         std::string(host),
                                         word(static_cast<AclOperation>(operation))};
    rows_.push_back(cells);
  }
  bool empty() const { return rows_.empty(); }
  void print(const Context& context) {
    std::ranges::sort(rows_);
    Table table({"KIND", "NAME", "PATTERN", "PERMISSION", "PRINCIPAL", "HOST", "OPERATION"});
    Json all = Json::array();
    for (const std::vector<std::string>& row : rows_) {
      table.add(row);
      all.push_back({{"kind", row[0]},
                     {"name", row[1]},
                     {"pattern", row[2]},
                     {"permission", row[3]},
                     {"principal", row[4]},
                     {"host", row[5]},
                     {"operation", row[6]}});
    }
    if (context.json())
      print_json(all);
    else
      fmt::print("{}", table.to_string());
  }

 private:
  std::vector<std::vector<std::string>> rows_;
};

// Which entries `list` and `delete` mean; what is empty means any.
struct FilterOptions {
  std::string kind;
  std::string name;
  std::string pattern = "any";
  std::string principal;
  std::string host;
  std::string operation;
  std::string permission;

  void declare(CLI::App& verb) {
    verb.add_option("--pattern", pattern,
                    "literal, prefixed, or match: all that apply to the resource NAME")
        ->check(CLI::IsMember({"any", "match", "literal", "prefixed"}))
        ->option_text("PATTERN");
    verb.add_option("--principal", principal, "Only about this one, \"User:alice\"");
    verb.add_option("--host", host, "Only with this host");
    verb.add_option("--operation", operation, "Only about this operation")
        ->check(CLI::IsMember(kOperations))
        ->option_text("OPERATION");
    verb.add_option("--permission", permission, "allow or deny")
        ->check(CLI::IsMember({"allow", "deny"}))
        ->option_text("PERMISSION");
  }
  template <class Filter>
  void fill(Filter& filter) const {
    const auto given = [](const std::string& text) {
      return text.empty() ? std::nullopt : std::optional<std::string_view>(text);
    };
    filter.resource_type_filter = kind_of(kind);
    filter.resource_name_filter = given(name);
    filter.pattern_type_filter = value_of(pattern, PatternType::prefixed);
    filter.principal_filter = given(principal);
    filter.host_filter = given(host);
    filter.operation = operation_of(operation);
    filter.permission_type = value_of(permission, AclPermission::allow);
  }
};

Outcome<> run_list(Context& context, const FilterOptions& options) {
  TRY(auto client, context.connect());
  protocol::DescribeAclsRequest request;
  options.fill(request);
  TRY(auto answer, client.call<protocol::DescribeAclsResponse>(request));
  const auto code = static_cast<ErrorCode>(answer.message.error_code);
  if (code != ErrorCode::none)
    return std::unexpected(kafka_failure(code, "ACLs", answer.message.error_message.value_or("")));
  Rows rows;
  for (const auto& resource : answer.message.resources) {
    for (const auto& acl : resource.acls) {
      rows.add(resource.resource_type, resource.resource_name, resource.pattern_type, acl.principal,
               acl.host, acl.operation, acl.permission_type);
    }
  }
  rows.print(context);
  return {};
}

struct CreateOptions {
  std::string kind;
  std::string name;
  std::vector<std::string> allowed;
  std::vector<std::string> denied;
  std::vector<std::string> hosts;
  std::vector<std::string> operations;
  bool prefixed = false;
};

void add_creations(protocol::CreateAclsRequest& request, const CreateOptions& options,
                   const std::vector<std::string>& principals, AclPermission permission) {
  static const std::vector<std::string> kEveryHost{"*"};
  for (const std::string& principal : principals) {
    for (const std::string& host : options.hosts.empty() ? kEveryHost : options.hosts) {
      for (const std::string& operation : options.operations) {
        auto& acl = request.creations.emplace_back();
        acl.resource_type = kind_of(options.kind);
        acl.resource_name = options.name.empty() ? kClusterName : std::string_view(options.name);
        acl.resource_pattern_type = static_cast<std::int8_t>(
            options.prefixed ? PatternType::prefixed : PatternType::literal);
        acl.principal = principal;
        acl.host = host;
        acl.operation = operation_of(operation);
        acl.permission_type = static_cast<std::int8_t>(permission);
      }
    }
  }
}

Outcome<> run_create(Context& context, const CreateOptions& options) {
  if (options.allowed.empty() && options.denied.empty())
    return fail(ExitCode::usage, "nobody is named", "Give --allow or --deny and a principal.");
  if (options.name.empty() && options.kind != "cluster")
    return fail(ExitCode::usage, "no name is given", "Only the cluster needs none.");
  TRY(auto client, context.connect());
  protocol::CreateAclsRequest request;
  add_creations(request, options, options.allowed, AclPermission::allow);
  add_creations(request, options, options.denied, AclPermission::deny);
  TRY(auto answer, client.call<protocol::CreateAclsResponse>(request));
  for (const auto& result : answer.message.results) {
    const auto code = static_cast<ErrorCode>(result.error_code);
    if (code != ErrorCode::none) {
      return std::unexpected(kafka_failure(code, fmt::format("{} {}", options.kind, options.name),
                                           result.error_message.value_or("")));
    }
  }
  Rows rows;
  for (const auto& acl : request.creations) {
    rows.add(acl.resource_type, acl.resource_name, acl.resource_pattern_type, acl.principal,
             acl.host, acl.operation, acl.permission_type);
  }
  rows.print(context);
  return {};
}

struct DeleteOptions {
  FilterOptions filter;
  bool yes = false;
};

bool confirmed(const DeleteOptions& options) {
  if (options.yes || ::isatty(STDIN_FILENO) == 0) return true;
  fmt::print(stderr, "Delete the ACLs of {} {}? [y/N] ", options.filter.kind, options.filter.name);
  std::string line;
  std::getline(std::cin, line);
  return line == "y" || line == "Y" || line == "yes";
}

Outcome<> run_delete(Context& context, const DeleteOptions& options) {
  if (!confirmed(options)) return fail(ExitCode::failed, "nothing was deleted");
  TRY(auto client, context.connect());
  protocol::DeleteAclsRequest request;
  options.filter.fill(request.filters.emplace_back());
  TRY(auto answer, client.call<protocol::DeleteAclsResponse>(request));
  Rows rows;
  for (const auto& result : answer.message.filter_results) {
    const auto code = static_cast<ErrorCode>(result.error_code);
    if (code != ErrorCode::none)
      return std::unexpected(kafka_failure(code, "ACLs", result.error_message.value_or("")));
    for (const auto& acl : result.matching_acls) {
      rows.add(acl.resource_type, acl.resource_name, acl.pattern_type, acl.principal, acl.host,
               acl.operation, acl.permission_type);
    }
  }
  if (rows.empty())
    return fail(ExitCode::not_found, "no such ACL", "`drave acl list` shows what there is.");
  rows.print(context);
  return {};
}

void declare_create(CLI::App& verb, CreateOptions& options) {
  verb.add_option("KIND", options.kind, "topic, group, cluster, transactional-id ...")
      ->required()
      ->check(CLI::IsMember(kKinds))
      ->option_text("KIND");
  verb.add_option("NAME", options.name, "Its name; * for all; the cluster needs none");
  verb.add_option("--allow", options.allowed, "A principal, \"User:alice\"; may be repeated")
      ->allow_extra_args(false);
  verb.add_option("--deny", options.denied, "The same; a denial wins over what is allowed")
      ->allow_extra_args(false);
  verb.add_option("--host", options.hosts, "Only from this address; may be repeated")
      ->allow_extra_args(false);
  verb.add_option("--operation", options.operations, "read, write, all ...; may be repeated")
      ->allow_extra_args(false)
      ->required()
      ->check(CLI::IsMember(kOperations))
      ->option_text("OPERATION");
  verb.add_flag("--prefixed", options.prefixed, "All names that begin with NAME");
}

}  // namespace

void add_acl(CLI::App& app, Context& context) {
  CLI::App& acl = *add_noun(app, "acl", "Who may do what: list, create, delete");
  add_verb<FilterOptions>(
      acl, context, "list", "Show entries", run_list, [](CLI::App& verb, FilterOptions& options) {
        verb.add_option("KIND", options.kind, "topic, group, cluster, transactional-id ...")
            ->check(CLI::IsMember(kKinds))
            ->option_text("KIND");
        verb.add_option("NAME", options.name, "Its name");
        options.declare(verb);
      });
  add_verb<CreateOptions>(acl, context, "create", "Allow or deny something", run_create,
                          declare_create);
  add_verb<DeleteOptions>(acl, context, "delete", "Delete the entries that match", run_delete,
                          [](CLI::App& verb, DeleteOptions& options) {
                            verb.add_option("KIND", options.filter.kind,
                                            "topic, group, cluster, transactional-id ...")
                                ->required()
                                ->check(CLI::IsMember(kKinds))
                                ->option_text("KIND");
                            verb.add_option("NAME", options.filter.name, "Its name")->required();
                            options.filter.declare(verb);
                            verb.add_flag("-y,--yes", options.yes, "Do not ask");
                          });
}

}  // namespace drave::cli
