#include "raftlog/snapshot.h"

#include <fmt/format.h>

#include <charconv>

#include "base/assert.h"
#include "protocol/control_record.h"
#include "protocol/record_batch.h"
#include "protocol/wire.h"

namespace drave::raft {

namespace {

constexpr std::string_view kSuffix = ".checkpoint";
constexpr std::size_t kOffsetDigits = 20;
constexpr std::size_t kEpochDigits = 10;

template <class T>
std::optional<T> digits(std::string_view text) {
  T value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

template <class M>
void append_control(protocol::BatchBuilder& batch, protocol::ControlType type, TimestampMs now,
                    const M& message) {
  protocol::Writer out;
  ASSERT(protocol::encode(out, message, std::int16_t{0}).has_value());
  protocol::append_control_record(batch, type, now, out.own());
}

protocol::BatchOptions batch_options(Offset base, LeaderEpoch epoch, bool control) {
  protocol::BatchOptions options;
  options.base_offset = base;
  options.leader_epoch = epoch;
  options.control = control;
  return options;
}

}  // namespace

std::string snapshot_name(OffsetAndEpoch id) {
  return fmt::format("{:020}-{:010}{}", id.offset, id.epoch, kSuffix);
}

std::optional<OffsetAndEpoch> parse_snapshot_name(std::string_view name) {
  if (name.size() != kOffsetDigits + 1 + kEpochDigits + kSuffix.size() ||
      name[kOffsetDigits] != '-' || !name.ends_with(kSuffix))
    return std::nullopt;
  const auto offset = digits<Offset>(name.substr(0, kOffsetDigits));
  const auto epoch = digits<LeaderEpoch>(name.substr(kOffsetDigits + 1, kEpochDigits));
  if (!offset.has_value() || !epoch.has_value()) return std::nullopt;
  return OffsetAndEpoch{*offset, *epoch};
}

std::vector<Voter> voters_of(const protocol::VotersRecord& record) {
  std::vector<Voter> voters;
  for (const auto& from : record.voters) {
    Voter& voter = voters.emplace_back();
    voter.id = from.voter_id;
    voter.directory_id = from.voter_directory_id;
    for (const auto& endpoint : from.endpoints)
      voter.endpoints.push_back(
          {std::string(endpoint.name), std::string(endpoint.host), endpoint.port});
    voter.kraft_version_min = from.kraft_version_feature.min_supported_version;
    voter.kraft_version_max = from.kraft_version_feature.max_supported_version;
  }
  return voters;
}

protocol::VotersRecord voters_record(const std::vector<Voter>& voters) {
  protocol::VotersRecord record;
  for (const Voter& from : voters) {
    auto& voter = record.voters.emplace_back();
    voter.voter_id = from.id;
    voter.voter_directory_id = from.directory_id;
    for (const VoterEndpoint& endpoint : from.endpoints)
      voter.endpoints.push_back({endpoint.name, endpoint.host, endpoint.port});
    voter.kraft_version_feature = {from.kraft_version_min, from.kraft_version_max};
  }
  return record;
}

SnapshotBuilder::SnapshotBuilder(LeaderEpoch epoch, TimestampMs last_contained_timestamp,
                                 std::int16_t kraft_version, const std::vector<Voter>& voters,
                                 TimestampMs now)
    : epoch_(epoch), now_(now) {
  protocol::BatchBuilder batch(batch_options(0, epoch, true));
  protocol::SnapshotHeaderRecord header;
  header.last_contained_log_timestamp = last_contained_timestamp;
  append_control(batch, protocol::ControlType::snapshot_header, now, header);
  if (kraft_version >= 1) {
    protocol::KRaftVersionRecord version;
    version.kraft_version = kraft_version;
    append_control(batch, protocol::ControlType::kraft_version, now, version);
    append_control(batch, protocol::ControlType::kraft_voters, now, voters_record(voters));
  }
  next_offset_ = batch.record_count();
  bytes_ = std::move(batch).finish();
}

void SnapshotBuilder::add(ByteView value) {
  if (!batch_.has_value()) batch_.emplace(batch_options(next_offset_, epoch_, false));
  batch_->append(now_, std::nullopt, value);
  ++next_offset_;
  if (batch_->size_bytes() >= kSnapshotBatchBytes) end_batch();
}

void SnapshotBuilder::end_batch() {
  if (!batch_.has_value()) return;
  const std::vector<std::uint8_t> ended = std::move(*batch_).finish();
  batch_.reset();
  bytes_.insert(bytes_.end(), ended.begin(), ended.end());
}

std::vector<std::uint8_t> SnapshotBuilder::finish() && {
  end_batch();
  protocol::BatchBuilder batch(batch_options(next_offset_, epoch_, true));
  append_control(batch, protocol::ControlType::snapshot_footer, now_,
                 protocol::SnapshotFooterRecord());
  const std::vector<std::uint8_t> footer = std::move(batch).finish();
  bytes_.insert(bytes_.end(), footer.begin(), footer.end());
  return std::move(bytes_);
}

namespace {

// Type of a control batch's first record, if it is one.
std::optional<protocol::ControlType> control_type(const protocol::BatchView& batch) {
  if (!batch.is_control()) return std::nullopt;
  protocol::RecordIterator records(batch.records(), batch.record_count());
  protocol::RecordView record;
  if (!records.next(record)) return std::nullopt;
  return protocol::parse_control_key(record.key()).value_or(std::nullopt);
}

}  // namespace

Result<void> check_snapshot(ByteView bytes) {
  protocol::BatchIterator batches(bytes);
  std::optional<protocol::ControlType> first;
  std::optional<protocol::ControlType> last;
  Offset expected = 0;
  bool any = false;
  while (std::optional<protocol::BatchView> batch = batches.next()) {
    if (batch->is_legacy() || !batch->crc_matches())
      return failure(Errc::corrupt, fmt::format("the batch before position {} fails its check",
                                                batches.position()));
    if (batch->base_offset() != expected)
      return failure(Errc::corrupt,
                     fmt::format("the batch before position {} begins at offset {}, not {}",
                                 batches.position(), batch->base_offset(), expected));
    expected = batch->last_offset() + 1;
    last = control_type(*batch);
    if (!any) first = last;
    any = true;
  }
  if (batches.corrupt() || batches.remaining() > 0)
    return failure(Errc::corrupt, fmt::format("no whole batch at position {}", batches.position()));
  if (first != protocol::ControlType::snapshot_header ||
      last != protocol::ControlType::snapshot_footer)
    return failure(Errc::corrupt, "header or footer is missing");
  return {};
}

}  // namespace drave::raft
