#pragma once
// What `kafka-storage format` does: gives empty log directories their identity and the metadata log
// its bootstrap records. After it a node can start.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "io/loop.h"
#include "io/task.h"

namespace drave::raft {

enum class FormatMode : std::uint8_t {
  standalone,              // a dynamic quorum of this node alone (--standalone)
  initial_controllers,     // a dynamic quorum of those named (--initial-controllers)
  no_initial_controllers,  // joins a dynamic quorum later (--no-initial-controllers)
  static_voters,           // controller.quorum.voters names the quorum (kraft.version 0)
};

struct InitialController {
  NodeId id = -1;
  std::string host;
  std::uint16_t port = 0;
  Uuid directory_id;
};

struct FormatOptions {
  std::string cluster_id;  // 22 characters of base64, as kafka-storage random-uuid gives; not empty
  NodeId node_id = -1;
  std::vector<std::string> directories;  // all log directories, the metadata log's included
  std::string metadata_directory;        // one of them
  FormatMode mode = FormatMode::standalone;
  std::vector<InitialController> initial_controllers;  // of that mode
  // Where this node's controller is reached, for the voter set of a standalone quorum.
  std::string controller_listener = "CONTROLLER";
  std::string controller_host;
  std::uint16_t controller_port = 0;
  std::optional<std::string> release_version;    // "4.2", "3.9-IV0"; nullopt: newest
  std::map<std::string, std::int16_t> features;  // levels that differ from the release's
  // Directories that have this identity already are left alone.
  bool ignore_formatted = false;
};

// Durable when the task completes, with the directories that were not formatted before. What an
// attempt that did not complete left is replaced, whatever it was to become. Errors:
// already_exists (formatted before, without ignore_formatted), invalid (a level, a cluster id, a
// mode that cannot be; a directory of another cluster or node, or with the metadata log of a node
// whose meta.properties is gone), io, no_space. Writes nothing if an argument is wrong, or where
// there is such a log.
io::Task<Result<std::vector<std::string>>> format(io::Loop& loop, FormatOptions options);

}  // namespace drave::raft
