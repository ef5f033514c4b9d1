// drave log dump: what stands in the files of a data directory.

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "tools/cli/context.h"
#include "tools/dump/dump.h"

namespace drave::cli {
namespace {

namespace fs = std::filesystem;

struct DumpOptions {
  std::vector<std::string> paths;
  dump::Options how;
};

// The file itself, or all files of a log directory below a folder that we can read, sorted.
Outcome<std::vector<fs::path>> files_of(const std::string& path) {
  std::error_code error;
  if (fs::is_regular_file(path, error)) return std::vector<fs::path>{path};
  if (!fs::is_directory(path, error)) {
    return fail(ExitCode::not_found, fmt::format("{}: no such file or folder", path),
                "Give files of a data directory, or folders of it.");
  }
  std::vector<fs::path> files;
  for (fs::recursive_directory_iterator at(path, error), end; !error && at != end;
       at.increment(error)) {
    std::error_code ignored;
    if (at->is_regular_file(ignored) &&
        dump::kind_of(at->path().string()) != dump::FileKind::unknown)
      files.push_back(at->path());
  }
  if (error) return fail(ExitCode::failed, fmt::format("{}: {}", path, error.message()));
  std::ranges::sort(files);
  return files;
}

Outcome<std::string> read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return fail(ExitCode::failed, fmt::format("{}: cannot be read", path.string()));
  std::error_code error;
  const std::uintmax_t size = fs::file_size(path, error);
  if (error) return fail(ExitCode::failed, fmt::format("{}: {}", path.string(), error.message()));
  std::string bytes(size, '\0');
  in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  bytes.resize(static_cast<std::size_t>(in.gcount()));  // a running node may have cut it
  return bytes;
}

Outcome<std::uint64_t> dump_one(Context& context, const fs::path& path,
                                const DumpOptions& options) {
  TRY(const std::string bytes, read_file(path));
  // Topic and partition stand in the folder's name, so the path is needed whole.
  const std::string name = fs::absolute(path).lexically_normal().string();
  if (!context.json()) fmt::print("{} ({} bytes)\n", path.string(), bytes.size());
  const auto print = [&](dump::Item item) {
    if (context.json()) {
      dump::Item named{{"file", path.string()}};
      named.update(item);
      fmt::print("{}", json_line(named));
    } else {
      fmt::print("  {}\n", dump::to_line(item));
    }
  };
  TRY(const std::uint64_t damage, dump::dump_file(name, as_bytes(bytes), options.how, print));
  return damage;
}

Outcome<> run_dump(Context& context, const DumpOptions& options) {
  std::uint64_t damage = 0;
  for (const std::string& path : options.paths) {
    TRY(const std::vector<fs::path> files, files_of(path));
    for (const fs::path& file : files) {
      TRY(const std::uint64_t found, dump_one(context, file, options));
      damage += found;
    }
  }
  if (damage == 0) return {};
  return fail(ExitCode::damaged, fmt::format("{} damaged place{}", damage, damage == 1 ? "" : "s"),
              "Lines of kind `damage` name file, position and reason.");
}

}  // namespace

void add_log(CLI::App& app, Context& context) {
  CLI::App& log = *add_noun(app, "log", "Files of a data directory");
  add_verb<DumpOptions>(
      log, context, "dump", "Show what stands in segments, indexes, journals and checkpoints",
      run_dump, [](CLI::App& verb, DumpOptions& options) {
        verb.add_option("PATH", options.paths, "Files or folders")->required();
        verb.add_flag("-r,--records", options.how.records, "Each record, not only batches");
        verb.add_flag_callback(
            "-v,--values", [&options] { options.how.records = options.how.values = true; },
            "Records with keys and values");
      });
}

}  // namespace drave::cli
