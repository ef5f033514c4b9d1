// drave metadata ls | cat | find: what the metadata log of a data directory amounts to.

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include "raftlog/snapshot.h"
#include "segments/meta_properties.h"
#include "tools/cli/context.h"
#include "tools/dump/metadata_tree.h"

namespace drave::cli {
namespace {

namespace fs = std::filesystem;
using dump::Item;

struct LookOptions {
  std::string from;
  std::string path = "/";
  std::string name;
};

Outcome<std::vector<std::uint8_t>> read_bytes(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return fail(ExitCode::failed, fmt::format("{}: cannot be read", path.string()));
  return std::vector<std::uint8_t>(std::istreambuf_iterator<char>(in), {});
}

// Regular files of a folder by name; none if it is not there.
std::vector<fs::path> files_in(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    std::error_code ignored;
    if (at->is_regular_file(ignored)) files.push_back(at->path());
  }
  std::ranges::sort(files);
  return files;
}

Outcome<> add_snapshot(const fs::path& path, dump::MetadataFiles& files) {
  const auto id = raft::parse_snapshot_name(path.filename().string());
  if (!id) {
    return fail(ExitCode::usage, fmt::format("{}: its name is not a snapshot's", path.string()),
                "Give a log directory, its __cluster_metadata-0, or a .checkpoint file.");
  }
  TRY(auto bytes, read_bytes(path));
  files.add_snapshot(*id, std::move(bytes));
  return {};
}

// `from`: a log directory, its __cluster_metadata-0, or a snapshot.
Outcome<metadata::ImagePtr> load(const std::string& from) {
  dump::MetadataFiles files;
  std::error_code error;
  if (fs::is_regular_file(from, error)) {
    TRY_VOID(add_snapshot(from, files));
  } else if (!fs::is_directory(from, error)) {
    return fail(ExitCode::not_found, fmt::format("{}: no such file or folder", from),
                "Give a log directory, its __cluster_metadata-0, or a .checkpoint file.");
  } else {
    const std::string own = std::string(segments::kMetadataTopic) + "-0";
    const bool is_own =
        fs::path(from).filename() == own || fs::path(from).parent_path().filename() == own;
    const fs::path log = is_own ? fs::path(from) : fs::path(from) / own;
    // A running node recycles a journal file when the segments have what it holds, so the journal
    // is read first.
    std::map<std::string, std::vector<std::uint8_t>> journals;
    for (const fs::path& path : files_in(is_own ? log / ".." : fs::path(from))) {
      const std::string name = path.filename().string();
      if (!name.starts_with(dump::kMetadataJournal)) continue;
      if (auto bytes = read_bytes(path)) journals[name] = std::move(*bytes);
    }
    for (const fs::path& path : files_in(log)) {
      if (raft::parse_snapshot_name(path.filename().string())) TRY_VOID(add_snapshot(path, files));
      if (path.extension() != ".log") continue;
      TRY(const auto bytes, read_bytes(path));
      files.add_segment(bytes);
    }
    for (const auto& [name, bytes] : journals) files.add_journal(name, bytes);
  }
  auto image = files.load();
  if (!image) {
    Failure failed(image.error());
    failed.what = from + ": " + failed.what;
    return std::unexpected(failed);
  }
  return std::move(*image);
}

// A node of the tree, and the tree that it belongs to.
struct Found {
  Item tree;
  const Item* node = nullptr;
};

Outcome<std::unique_ptr<Found>> find(const LookOptions& options) {
  TRY(const metadata::ImagePtr image, load(options.from));
  auto found = std::make_unique<Found>();
  found->tree = dump::metadata_tree(*image);
  found->node = dump::find_node(found->tree, options.path);
  if (found->node == nullptr)
    return fail(ExitCode::not_found, options.path + ": there is no such node",
                "`drave metadata ls` shows what there is.");
  return found;
}

Outcome<> run_ls(Context& context, const LookOptions& options) {
  TRY(const auto found, find(options));
  Json names = Json::array();
  if (found->node->is_object()) {
    for (const auto& [name, value] : found->node->items())
      names.push_back(dump::path_part(name) + (value.is_object() ? "/" : ""));
  } else {
    names.push_back(options.path);
  }
  if (context.json()) {
    print_json(names);
    return {};
  }
  for (const auto& name : names) fmt::print("{}\n", name.get<std::string>());
  return {};
}

Outcome<> run_cat(Context&, const LookOptions& options) {
  TRY(const auto found, find(options));
  print_json(*found->node);
  return {};
}

void list_below(const Item& node, const std::string& path, const std::string& wanted,
                std::vector<std::string>& paths) {
  const std::string name = path.substr(path.rfind('/') + 1);
  if (wanted.empty() || name.find(wanted) != std::string::npos) paths.push_back(path);
  if (!node.is_object()) return;
  for (const auto& [below, value] : node.items())
    list_below(value, path + "/" + dump::path_part(below), wanted, paths);
}

Outcome<> run_find(Context& context, const LookOptions& options) {
  TRY(const auto found, find(options));
  std::string path = options.path;
  while (path.ends_with('/')) path.pop_back();
  std::vector<std::string> paths;
  list_below(*found->node, path, options.name, paths);
  if (context.json()) {
    print_json(paths);
    return {};
  }
  for (const std::string& each : paths) fmt::print("{}\n", each);
  return {};
}

void declare_look(CLI::App& verb, LookOptions& options) {
  verb.add_option("FROM", options.from, "A log directory, or a .checkpoint file")->required();
  verb.add_option("PATH", options.path, "A node, as /topics/byName/orders")->capture_default_str();
}

}  // namespace

void add_metadata(CLI::App& app, Context& context) {
  CLI::App& metadata = *add_noun(app, "metadata", "The cluster's metadata, from files");
  add_verb<LookOptions>(metadata, context, "ls", "Show the names below a node", run_ls,
                        declare_look);
  add_verb<LookOptions>(metadata, context, "cat", "Show a node, as JSON", run_cat, declare_look);
  add_verb<LookOptions>(metadata, context, "find", "Show all paths below a node", run_find,
                        [](CLI::App& verb, LookOptions& options) {
                          declare_look(verb, options);
                          verb.add_option("-n,--name", options.name,
                                          "Only nodes whose name contains this");
                        });
}

}  // namespace drave::cli
