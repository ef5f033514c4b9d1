#include "raftlog/format.h"

#include <fmt/format.h>

#include <algorithm>

#include "io/file.h"
#include "protocol/metadata_record.h"
#include "raftlog/core/features.h"
#include "raftlog/quorum_state.h"
#include "raftlog/raft_log.h"
#include "raftlog/snapshot.h"
#include "segments/log_directory.h"

namespace drave::raft {

namespace {

using Levels = std::map<std::string, std::int16_t, std::less<>>;

constexpr OffsetAndEpoch kFormatSnapshot{0, 0};  // the voters that a quorum begins with

bool is_dynamic(FormatMode mode) {
  return mode != FormatMode::static_voters;
}

// The levels that the cluster begins with.
Result<Levels> levels_of(const FormatOptions& options) {
  std::int16_t metadata_version = metadata_level::kNewest;
  if (options.release_version.has_value()) {
    const auto level = metadata_version_level(*options.release_version);
    if (!level.has_value()) {
      return failure(Errc::invalid,
                     fmt::format("Unknown metadata.version '{}'", *options.release_version));
    }
    metadata_version = *level;
  }
  if (const auto given = options.features.find(std::string(kMetadataVersion));
      given != options.features.end()) {
    if (options.release_version.has_value()) {
      return failure(Errc::invalid,
                     "metadata.version is given twice: by the release version and as a feature");
    }
    metadata_version = given->second;
  }
  Levels levels = default_levels(metadata_version);
  for (const auto& [name, level] : options.features) levels[name] = level;
  TRY_VOID(check_levels(levels));
  const auto kraft = levels.find(kKraftVersion);
  const std::int16_t kraft_version = kraft == levels.end() ? std::int16_t{0} : kraft->second;
  if (is_dynamic(options.mode) && kraft_version == 0) {
    if (options.features.contains(std::string(kKraftVersion)) ||
        metadata_version < metadata_level::kKraftVersion1) {
      return failure(
          Errc::invalid,
          "a dynamic quorum needs kraft.version 1 and metadata.version 3.9-IV0 or newer; "
          "name a static one with controller.quorum.voters");
    }
  }
  if (!is_dynamic(options.mode)) {
    if (options.features.contains(std::string(kKraftVersion)) && kraft_version > 0) {
      return failure(Errc::invalid,
                     "a static quorum, which controller.quorum.voters names, begins with "
                     "kraft.version 0; it can be upgraded later");
    }
    levels.erase(std::string(kKraftVersion));
  }
  return levels;
}

Result<std::vector<Voter>> voters_of(const FormatOptions& options, const Uuid& own_directory) {
  std::vector<Voter> voters;
  auto add = [&](NodeId id, const std::string& host, std::uint16_t port, const Uuid& directory) {
    Voter& voter = voters.emplace_back();
    voter.id = id;
    voter.directory_id = directory;
    voter.endpoints.push_back({options.controller_listener, host, port});
  };
  if (options.mode == FormatMode::standalone)
    add(options.node_id, options.controller_host, options.controller_port, own_directory);
  if (options.mode == FormatMode::initial_controllers) {
    for (const InitialController& controller : options.initial_controllers)
      add(controller.id, controller.host, controller.port, controller.directory_id);
    if (voters.empty()) return failure(Errc::invalid, "no initial controllers are named");
  }
  return voters;
}

// Own entry among the initial controllers: its directory id becomes the metadata directory's.
std::optional<Uuid> named_directory(const FormatOptions& options) {
  for (const InitialController& controller : options.initial_controllers)
    if (controller.id == options.node_id) return controller.directory_id;
  return std::nullopt;
}

std::vector<std::uint8_t> bootstrap_checkpoint(const Levels& levels, TimestampMs now) {
  SnapshotBuilder snapshot(0, 0, 0, {}, now);
  auto add = [&snapshot](std::string_view name, std::int16_t level) {
    protocol::FeatureLevelRecord record;
    record.name = name;
    record.feature_level = level;
    protocol::Writer out;
    if (protocol::encode_metadata_record(out, record, 0)) snapshot.add(out.own());
  };
  // metadata.version first, for the rest depends on it; kraft.version belongs to the quorum.
  add(kMetadataVersion, levels.find(kMetadataVersion)->second);
  for (const auto& [name, level] : levels)
    if (name != kMetadataVersion && name != kKraftVersion && level > 0) add(name, level);
  return std::move(snapshot).finish();
}

Uuid draw(io::Loop& loop) {
  while (true) {
    const Uuid id = Uuid::from_random(loop.backend().entropy(), loop.backend().entropy());
    if (!id.is_reserved() && id.to_string().front() != '-') return id;
  }
}

// An error if it was formatted as another.
io::Task<Result<bool>> is_formatted(io::Loop& loop, std::string directory,
                                    const FormatOptions& options) {
  const auto meta = co_await segments::LogDirectory::read_meta_properties(loop, directory);
  if (!meta && meta.error().code == Errc::not_found) co_return false;
  if (!meta) co_return std::unexpected(meta.error());
  if (meta->cluster_id != options.cluster_id)
    co_return failure(Errc::invalid, fmt::format("{} is a directory of the cluster {}, not of {}",
                                                 directory, meta->cluster_id, options.cluster_id));
  if (meta->node_id != options.node_id)
    co_return failure(Errc::invalid, fmt::format("{} is a directory of node {}, not of node {}",
                                                 directory, meta->node_id, options.node_id));
  co_return true;
}

std::string metadata_log_of(const std::string& directory) {
  return io::join_path(directory, fmt::format("{}-0", kMetadataTopic));
}

// What a node that ran left is no new node's: it would bring an epoch, records and voters along.
// The checkpoint of an earlier format is none of it.
io::Task<Result<void>> check_no_earlier_log(io::Loop& loop, const std::string& directory) {
  const std::string log = metadata_log_of(directory);
  const auto entries = co_await io::list_directory(loop, log);
  if (!entries && entries.error().code == Errc::not_found) co_return Result<void>{};
  if (!entries) co_return std::unexpected(entries.error());
  for (const io::DirectoryEntry& entry : *entries) {
    const std::optional<OffsetAndEpoch> snapshot = parse_snapshot_name(entry.name);
    bool is_earlier =
        entry.name == kQuorumStateFile || (snapshot.has_value() && *snapshot != kFormatSnapshot);
    if (entry.name.ends_with(".log")) {
      CO_TRY(const io::FileStatus status,
             co_await io::status(loop, io::join_path(log, entry.name)));
      is_earlier = status.size > 0;
    }
    if (!is_earlier) continue;
    co_return failure(
        Errc::invalid,
        fmt::format("{} has no meta.properties, but {} has {}: the metadata log of a node that "
                    "ran. Where only meta.properties was lost, put it back; else move what is in "
                    "{} away",
                    directory, log, entry.name, directory));
  }
  co_return Result<void>{};
}

// The quorum's first voters; none: nothing is left of those that an earlier attempt wrote.
io::Task<Result<void>> write_voters(io::Loop& loop, const std::string& directory,
                                    const std::vector<Voter>& voters, TimestampMs now) {
  const std::string log = metadata_log_of(directory);
  const std::string path = io::join_path(log, snapshot_name(kFormatSnapshot));
  if (voters.empty()) {
    const Result<void> gone = co_await io::unlink(loop, path);
    if (!gone && gone.error().code == Errc::not_found) co_return Result<void>{};
    if (!gone) co_return gone;
    co_return co_await io::sync_directory(loop, log);
  }
  CO_TRY_VOID(co_await io::make_directories(loop, log));
  SnapshotBuilder snapshot(kFormatSnapshot.epoch, now, 1, voters, now);
  CO_TRY_VOID(co_await io::replace_file(loop, path, std::move(snapshot).finish()));
  co_return co_await io::sync_directory(loop, directory);
}

Result<void> check_initial_controllers(const FormatOptions& options) {
  if (options.mode != FormatMode::initial_controllers) return {};
  if (options.initial_controllers.size() > kVotersMax) {
    return failure(Errc::invalid,
                   fmt::format("{} initial controllers are named; a quorum has at most {} voters",
                               options.initial_controllers.size(), kVotersMax));
  }
  if (!named_directory(options).has_value())
    return failure(Errc::invalid,
                   fmt::format("the initial controllers do not name node {}", options.node_id));
  const std::vector<InitialController>& all = options.initial_controllers;
  for (auto at = all.begin(); at != all.end(); ++at) {
    for (auto other = all.begin(); other != at; ++other) {
      if (at->id == other->id)
        return failure(Errc::invalid,
                       fmt::format("node {} is named twice among the initial controllers", at->id));
      if (at->directory_id == other->directory_id)
        return failure(Errc::invalid,
                       fmt::format("nodes {} and {} are given the same directory id, {}", other->id,
                                   at->id, at->directory_id.to_string()));
    }
  }
  return {};
}

Result<void> check_arguments(const FormatOptions& options) {
  // Kafka takes any text, and so does every tool of it; what is no line of a file is refused.
  if (options.cluster_id.empty()) return failure(Errc::invalid, "the cluster id is empty");
  if (std::any_of(options.cluster_id.begin(), options.cluster_id.end(),
                  [](char c) { return static_cast<unsigned char>(c) <= ' ' || c == 127; })) {
    return failure(
        Errc::invalid,
        "the cluster id has blanks or control characters; `drave random-uuid` makes one");
  }
  if (options.node_id < 0) return failure(Errc::invalid, "the node id is missing");
  if (std::find(options.directories.begin(), options.directories.end(),
                options.metadata_directory) == options.directories.end())
    return failure(Errc::invalid, "the metadata log's directory is not among the directories");
  if (options.mode == FormatMode::standalone &&
      (options.controller_host.empty() || options.controller_host == "0.0.0.0")) {
    return failure(
        Errc::invalid,
        "the controller's host is not routable: set advertised.listeners or the listener's host");
  }
  return check_initial_controllers(options);
}

}  // namespace

io::Task<Result<std::vector<std::string>>> format(io::Loop& loop, FormatOptions options) {
  CO_TRY_VOID(check_arguments(options));
  CO_TRY(const Levels levels, levels_of(options));
  std::vector<std::string> empty;
  for (const std::string& directory : options.directories) {
    CO_TRY(const bool formatted, co_await is_formatted(loop, directory, options));
    if (!formatted)
      empty.push_back(directory);
    else if (!options.ignore_formatted)
      co_return failure(Errc::already_exists,
                        fmt::format("{} is formatted already. Use --ignore-formatted to "
                                    "ignore this directory and format the others",
                                    directory));
  }
  // The metadata directory last: it names the quorum, and with its identity the node is whole.
  if (std::erase(empty, options.metadata_directory) > 0) {
    empty.push_back(options.metadata_directory);
    CO_TRY_VOID(co_await check_no_earlier_log(loop, options.metadata_directory));
  }
  for (const std::string& directory : empty) {
    CO_TRY_VOID(co_await io::make_directories(loop, directory));
    Uuid id = draw(loop);
    if (directory == options.metadata_directory) {
      if (options.mode == FormatMode::initial_controllers) id = *named_directory(options);
      CO_TRY(const std::vector<Voter> voters, voters_of(options, id));
      const TimestampMs now = loop.wall_now();
      CO_TRY_VOID(co_await write_voters(loop, directory, voters, now));
      CO_TRY_VOID(co_await io::replace_file(loop, io::join_path(directory, kBootstrapFile),
                                            bootstrap_checkpoint(levels, now)));
    }
    CO_TRY_VOID(co_await segments::LogDirectory::format(
        loop, directory, segments::MetaProperties{1, options.cluster_id, options.node_id, id}));
  }
  co_return empty;
}

}  // namespace drave::raft
