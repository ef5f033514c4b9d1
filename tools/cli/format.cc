// drave format | random-uuid: what kafka-storage does.

#include "raftlog/format.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <random>

#include "io/loop.h"
#include "io/uring/uring_backend.h"
#include "tools/cli/context.h"
#include "tools/cli/node_config.h"
#include "tools/cli/settings.h"
#include "tools/client/endpoint.h"

namespace drave::cli {
namespace {

struct FormatVerbOptions {
  std::string cluster_id;
  std::string file;
  bool standalone = false;
  bool no_initial_controllers = false;
  std::string initial_controllers;
  std::string release_version;
  std::vector<std::string> features;
  std::vector<std::string> scram;
  bool ignore_formatted = false;
};

struct NoOptions {};

// "id@host:port:directory-id".
Outcome<raft::InitialController> parse_controller(std::string_view text) {
  const auto wrong = [&] {
    return fail(ExitCode::usage, fmt::format("\"{}\": expected ID@HOST:PORT:DIRECTORY-ID", text),
                "`drave random-uuid` makes directory ids.");
  };
  raft::InitialController controller;
  const std::size_t at = text.find('@');
  const std::size_t colon = text.rfind(':');
  if (at == std::string_view::npos || colon == std::string_view::npos || colon < at) return wrong();
  const auto [end, error] = std::from_chars(text.data(), text.data() + at, controller.id);
  if (error != std::errc{} || end != text.data() + at || controller.id < 0) return wrong();
  TRY(const auto endpoints, client::parse_endpoints(text.substr(at + 1, colon - at - 1)));
  const auto directory = Uuid::parse(text.substr(colon + 1));
  if (endpoints.size() != 1 || !directory) return wrong();
  controller.host = endpoints.front().host;
  controller.port = endpoints.front().port;
  controller.directory_id = *directory;
  return controller;
}

Outcome<std::vector<raft::InitialController>> parse_controllers(std::string_view text) {
  std::vector<raft::InitialController> controllers;
  while (true) {
    const std::size_t comma = text.find(',');
    TRY(auto controller, parse_controller(text.substr(0, comma)));
    controllers.push_back(std::move(controller));
    if (comma == std::string_view::npos) return controllers;
    text.remove_prefix(comma + 1);
  }
}

Outcome<raft::FormatMode> mode_of(const FormatVerbOptions& options,
                                  const broker::BrokerConfig& config) {
  const bool is_static = !config.quorum_voters.empty();
  const bool given =
      options.standalone || options.no_initial_controllers || !options.initial_controllers.empty();
  if (is_static && given) {
    return fail(
        ExitCode::usage,
        "controller.quorum.voters is set: the quorum is static, and -s, -I and -N do not fit",
        "Remove controller.quorum.voters for a quorum that can change.");
  }
  if (!config.has_controller_role && given && !options.no_initial_controllers) {
    return fail(ExitCode::usage,
                fmt::format("{} is for controllers, and process.roles says that this is none",
                            options.standalone ? "-s" : "-I"),
                "A broker is formatted with the id of its cluster alone.");
  }
  if (is_static) return raft::FormatMode::static_voters;
  if (!config.has_controller_role) return raft::FormatMode::no_initial_controllers;
  if (options.standalone) return raft::FormatMode::standalone;
  if (options.no_initial_controllers) return raft::FormatMode::no_initial_controllers;
  if (!options.initial_controllers.empty()) return raft::FormatMode::initial_controllers;
  return fail(ExitCode::usage, "who is in the quorum?",
              "Give -s (this node alone), -I (these controllers) or -N (joins later).");
}

Outcome<raft::FormatOptions> plan(const FormatVerbOptions& options) {
  if (!options.scram.empty()) {
    return fail(ExitCode::usage, "-S: authentication is not served yet, nobody would read it",
                "Format without; the users can be added when it is.");
  }
  TRY(const auto config, load_node_config(options.file));
  raft::FormatOptions format;
  TRY(format.mode, mode_of(options, config));
  if (!options.initial_controllers.empty()) {
    TRY(format.initial_controllers, parse_controllers(options.initial_controllers));
  }
  TRY(const auto features, parse_settings(options.features));
  for (const auto& [name, text] : features) {
    std::int16_t level = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), level);
    if (error != std::errc{} || end != text.data() + text.size())
      return fail(ExitCode::usage, fmt::format("{}={}: the level must be a number", name, text));
    format.features[name] = level;
  }
  format.cluster_id = options.cluster_id;
  format.node_id = config.node_id;
  format.directories = config.log_dirs;
  format.metadata_directory = config.metadata_log_dir;
  if (std::ranges::find(format.directories, format.metadata_directory) == format.directories.end())
    format.directories.push_back(format.metadata_directory);
  format.controller_listener = config.controller_listener_name;
  format.controller_host = config.advertised_controller_listener.host;
  format.controller_port = config.advertised_controller_listener.port;
  if (!options.release_version.empty()) format.release_version = options.release_version;
  format.ignore_formatted = options.ignore_formatted;
  return format;
}

using Formatted = Result<std::vector<std::string>>;

io::Task<void> format_and_stop(io::Loop& loop, raft::FormatOptions options, Formatted& result) {
  result = co_await raft::format(loop, std::move(options));
  loop.stop();
}

Outcome<> run_format(Context& context, const FormatVerbOptions& options) {
  TRY(const raft::FormatOptions format, plan(options));
  TRY(const auto backend, io::make_uring_backend());
  Formatted result;
  {
    io::Loop loop(*backend, 0);
    loop.start(format_and_stop(loop, format, result));
    loop.run();
  }
  if (!result) {
    Failure failed(result.error());
    if (result.error().code == Errc::already_exists)
      failed.remedy = "-g leaves directories alone that are formatted.";
    return std::unexpected(failed);
  }
  if (context.json()) {
    print_json({{"clusterId", format.cluster_id},
                {"nodeId", format.node_id},
                {"directories", format.directories},
                {"formatted", *result},
                {"metadataDirectory", format.metadata_directory}});
    return {};
  }
  for (const std::string& directory : format.directories) {
    const bool is_new = std::ranges::find(*result, directory) != result->end();
    fmt::print("{}: {} for cluster {}, node {}\n", directory,
               is_new ? "formatted" : "was formatted before", format.cluster_id, format.node_id);
  }
  return {};
}

Outcome<> run_random_uuid(Context& context, const NoOptions&) {
  std::random_device device;
  const auto draw = [&device] { return std::uint64_t{device()} << 32 | device(); };
  Uuid id = Uuid::from_random(draw(), draw());
  while (id.is_reserved() || id.to_string().starts_with('-'))
    id = Uuid::from_random(draw(), draw());
  if (context.json()) {
    print_json({{"uuid", id.to_string()}});
  } else {
    fmt::print("{}\n", id.to_string());
  }
  return {};
}

}  // namespace

void add_format(CLI::App& app, Context& context) {
  add_verb<FormatVerbOptions>(
      app, context, "format", "Give empty log directories their identity (kafka-storage format)",
      run_format, [](CLI::App& verb, FormatVerbOptions& options) {
        verb.add_option("-t,--cluster-id", options.cluster_id, "As random-uuid makes it")
            ->required();
        verb.add_option("-c,--config", options.file, "server.properties")->required();
        auto* alone = verb.add_flag("-s,--standalone", options.standalone,
                                    "A quorum of this controller alone");
        auto* none = verb.add_flag("-N,--no-initial-controllers", options.no_initial_controllers,
                                   "Joins a quorum later");
        auto* these =
            verb.add_option("-I,--initial-controllers", options.initial_controllers,
                            "ID@HOST:PORT:DIRECTORY-ID[,...]; once in a node's life: for a disk "
                            "in place of a lost one -N");
        alone->excludes(none)->excludes(these);
        none->excludes(these);
        verb.add_option("-r,--release-version", options.release_version,
                        "Features as of this release, as 4.2");
        verb.add_option("-f,--feature", options.features, "name=level; may be repeated")
            ->allow_extra_args(false);
        verb.add_option("-S,--add-scram", options.scram, "A SCRAM user; not supported yet")
            ->allow_extra_args(false);
        verb.add_flag("-g,--ignore-formatted", options.ignore_formatted,
                      "Leave formatted directories alone");
      });
  add_verb<NoOptions>(app, context, "random-uuid", "Make an id for a cluster or a directory",
                      run_random_uuid, [](CLI::App&, NoOptions&) {});
}

}  // namespace drave::cli
