#pragma once
// Snapshots of the metadata log: `.checkpoint` files, Kafka's format.
//
// A file holds ordinary batches whose offsets count from 0 within the file: a control batch with
// the header and, from kraft.version 1 on, version and voters; data batches; a control batch with
// the footer. Its name tells the end offset (exclusive) and the epoch of the last record it stands
// for. `bootstrap.checkpoint`, beside `meta.properties`, has the same form.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"
#include "protocol/batch_builder.h"
#include "protocol/messages/control_records.h"

namespace drave::raft {

inline constexpr std::string_view kBootstrapFile = "bootstrap.checkpoint";
inline constexpr std::size_t kSnapshotBatchBytes = 1 << 20;  // a data batch ends at about this size

// "00000000000000000110-0000000001.checkpoint"
std::string snapshot_name(OffsetAndEpoch id);
// Nothing: not such a name.
std::optional<OffsetAndEpoch> parse_snapshot_name(std::string_view name);

struct VoterEndpoint {
  std::string name;
  std::string host;
  std::uint16_t port = 0;
  bool operator==(const VoterEndpoint&) const = default;
};

struct Voter {
  NodeId id = -1;
  Uuid directory_id;
  std::vector<VoterEndpoint> endpoints;
  std::int16_t kraft_version_min = 0;
  std::int16_t kraft_version_max = 1;
  bool operator==(const Voter&) const = default;
};

std::vector<Voter> voters_of(const protocol::VotersRecord& record);
// Views of `voters`.
protocol::VotersRecord voters_record(const std::vector<Voter>& voters);

// Builds a snapshot's bytes from first to last: construct, add each record, finish.
class SnapshotBuilder {
 public:
  // `epoch` goes into the batches; `now` is their timestamp. kraft_version 0: no voters are
  // written.
  SnapshotBuilder(LeaderEpoch epoch, TimestampMs last_contained_timestamp,
                  std::int16_t kraft_version, const std::vector<Voter>& voters, TimestampMs now);
  // The value of a metadata record.
  void add(ByteView value);
  std::vector<std::uint8_t> finish() &&;

 private:
  void end_batch();

  LeaderEpoch epoch_;
  TimestampMs now_;
  Offset next_offset_ = 0;
  std::optional<protocol::BatchBuilder> batch_;
  std::vector<std::uint8_t> bytes_;
};

// Whether bytes are a whole snapshot: batches in order, each with its CRC, header first, footer
// last. Errors: corrupt, saying what.
Result<void> check_snapshot(ByteView bytes);

}  // namespace drave::raft
