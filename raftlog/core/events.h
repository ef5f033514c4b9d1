#pragma once
// What goes into the consensus core and what comes out (core.h).

#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "raftlog/core/messages.h"

namespace drave::raft {

// --- In: what happened

// Time passed; due at Core::deadline().
struct Tick {};
// `token` is the driver's name for the request; the reply carries it.
struct RequestReceived {
  std::uint64_t token = 0;
  Request request;
};
// To the request that was sent under `id`. An id that is no longer waited for is ignored.
struct ReplyReceived {
  NodeId from = -1;
  std::uint64_t id = 0;
  Reply reply;
};
// The request could not be sent, or its connection ended before the reply: a hint that the peer is
// gone, never a proof.
struct RequestFailed {
  NodeId to = -1;
  std::uint64_t id = 0;
};
// Effects::save of this version, or of a later one, is durable.
struct StateSaved {
  std::uint64_t version = 0;
};
// As the leader: batches of the own epoch were appended; the log ends at `end`. `control`: it was
// Effects::append that asked for it.
struct Appended {
  Offset end = 0;
  bool control = false;
};
// The log is durable up to `end`. Completions of writes before the last truncation do not count,
// which `generation` tells (Effects::truncate).
struct Flushed {
  std::uint64_t generation = 0;
  Offset end = 0;
};
// A snapshot of this node's own making is durable.
struct SnapshotWritten {
  OffsetAndEpoch id;
};
// Effects::store_chunk is done; `position` is the end of the chunk.
struct ChunkStored {
  OffsetAndEpoch id;
  std::int64_t position = 0;
};
// Effects::load_snapshot is done: the snapshot is durable, the log empty and begins at its end.
// `voters` are those as of the snapshot, which holds none itself below kraft.version 1.
struct SnapshotLoaded {
  OffsetAndEpoch id;
  VoterSet voters;
};
// It cannot be done: what came is damaged. It is fetched again.
struct SnapshotRefused {};
// The log begins at a snapshot; everything below is gone.
struct LogStartMoved {
  OffsetAndEpoch start;
};
// kraft.version of the log has changed: by what was appended, truncated or loaded.
struct KRaftVersionChanged {
  std::int16_t level = 0;
};
// Asks for an election at once, without asking whether it would be won.
struct CampaignNow {};
// Hands leadership over to the best successor. Nothing happens if this node does not lead.
struct Resign {};
// Hands leadership to this voter once it has everything; given up after an election timeout.
struct TransferTo {
  NodeId voter = -1;
};
// This node is to end: it stands for leadership no more, but votes, follows and, until it is told
// otherwise, leads.
struct Leave {};
// The disk refused a write. The core never says anything again.
struct DiskFailed {};

using Event =
    std::variant<Tick, RequestReceived, ReplyReceived, RequestFailed, StateSaved, Appended, Flushed,
                 SnapshotWritten, ChunkStored, SnapshotLoaded, SnapshotRefused, LogStartMoved,
                 KRaftVersionChanged, CampaignNow, Resign, TransferTo, Leave, DiskFailed>;

// --- Out: what is to be done

struct SaveState {
  std::uint64_t version = 0;
  ElectionState state;
};
struct OutgoingRequest {
  NodeId to = -1;  // of a voter, the leader, or one of CoreOptions::bootstrap
  std::uint64_t id = 0;
  Request request;
};
struct OutgoingReply {
  std::uint64_t token = 0;
  Reply reply;
};
// Control records that the leader is to append at the end of its log, as one batch.
struct ControlBatch {
  LeaderEpoch epoch = 0;
  bool begins_epoch = false;       // LeaderChange first
  std::vector<NodeId> granting;    // of LeaderChange
  std::optional<VoterSet> voters;  // a new voter set
  bool upgrades = false;           // kraft.version 1 before the voters
};
struct Truncation {
  Offset to = 0;
  std::uint64_t generation = 0;  // of the writes that follow
};
struct SnapshotChunk {
  OffsetAndEpoch id;
  std::int64_t position = 0;  // 0: a new file
  std::int64_t bytes = 0;
};

// A voter that had acknowledged up to `end` in this epoch begins anew.
struct LostLog {
  ReplicaKey voter;
  Offset end = -1;
};

// In the order in which they are to be done; `save` need not be waited for. Nothing here outlives
// the next step.
struct Effects {
  std::optional<SaveState> save;       // replace quorum-state in one piece, then StateSaved
  std::optional<Truncation> truncate;  // the log; then what is appended next
  // Append the first so many batches of the reply of this step; later Flushed.
  std::size_t append_received = 0;
  std::optional<ControlBatch> append;           // then Appended, in the same pass
  std::optional<SnapshotChunk> store_chunk;     // of the reply of this step; then ChunkStored
  std::optional<OffsetAndEpoch> load_snapshot;  // all of it is stored; then SnapshotLoaded
  std::vector<OutgoingRequest> requests;
  std::vector<OutgoingReply> replies;
  bool high_watermark_moved = false;
  bool role_changed = false;  // or the epoch, or the leader
  bool voters_changed = false;
  bool misfit = false;          // the leader's batches do not go on from the log, or cannot be
  std::optional<LostLog> lost;  // for an operator, as the leader sees it
  std::string_view resigned_because;  // a leader that had to, what for; a literal
  std::string_view fatal;             // the node must end: its log contradicts what is committed

  void clear() {
    requests.clear();
    replies.clear();
    save.reset();
    truncate.reset();
    append.reset();
    store_chunk.reset();
    load_snapshot.reset();
    append_received = 0;
    lost.reset();
    high_watermark_moved = role_changed = voters_changed = misfit = false;
    resigned_because = fatal = {};
  }
};

}  // namespace drave::raft
