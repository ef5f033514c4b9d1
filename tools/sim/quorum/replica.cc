#include "tools/sim/quorum/replica.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/canary.h"

namespace drave::simulation::quorum {

namespace {
constexpr NodeId kAdministrator = -1;
}

Replica::Replica(raft::ReplicaKey key, raft::VoterSet formatted, Watcher& watcher)
    : key_(key), watcher_(watcher) {
  disk_.format(std::move(formatted));
}

void Replica::boot(Instant now, raft::CoreOptions options) {
  ASSERT(!is_running());
  ++life_;
  options.self = key_;
  log_ = disk_.log();
  raft::Recovered recovered;
  recovered.election = disk_.election();
  recovered.log = log_.view();
  if (!log_.snapshots.empty()) recovered.snapshot = log_.snapshots.back().id;
  recovered.kraft_version = told_kraft_version_ = log_.kraft_version();
  core_ = std::make_unique<raft::Core>(std::move(options));
  now_ = now;
  core_->start(now, std::move(recovered), effects_);
  perform(nullptr);
}

Disk::Fate Replica::crash(Random& random) {
  core_.reset();
  pending_.clear();
  outbox_.clear();
  follow_ups_.clear();
  arriving_.reset();
  waiting_.reset();
  return disk_.crash(random);
}

void Replica::wipe(Uuid directory_id) {
  ASSERT(!is_running());
  key_.directory_id = directory_id;
  const raft::VoterSet& formatted = disk_.log().formatted;
  disk_.format(is_static(formatted) ? formatted : raft::VoterSet{});
}

void Replica::preload(LeaderEpoch epoch, const std::vector<LeaderEpoch>& records) {
  ASSERT(life_ == 0);
  log_ = disk_.log();
  for (const LeaderEpoch each : records)
    append({each, static_cast<std::uint64_t>(log_.end()), 0, std::nullopt});
  disk_.finish_writes(records.size());
  disk_.save({0, {epoch, -1, std::nullopt}});
  disk_.finish_save();
}

void Replica::step(Instant now, const raft::Event& event) {
  if (!is_running() || has_failed()) return;
  now_ = now;
  core_->step(now, event, effects_);
  perform(nullptr);
}

void Replica::deliver(Instant now, const Message& message) {
  if (!is_running() || has_failed()) return;
  now_ = now;
  if (message.is_request) {
    take(message);
    return;
  }
  core_->step(now, raft::ReplyReceived{message.from, message.id, message.reply}, effects_);
  perform(&message);
}

void Replica::take(const Message& request) {
  const std::uint64_t token = next_token_++;
  pending_[token] = {request.from, request.id, request.request};
  core_->step(now_, raft::RequestReceived{token, request.request}, effects_);
  perform(nullptr);
}

void Replica::change_voter(Instant now, raft::ChangeVoterRequest request) {
  if (!is_running() || has_failed()) return;
  now_ = now;
  Message message;
  message.from = kAdministrator;
  message.request = request;
  take(message);
}

std::optional<Offset> Replica::propose(Instant now, std::uint64_t value) {
  if (!is_running() || has_failed() || !core_->may_append()) return std::nullopt;
  const Offset offset = log_.end();
  append({core_->epoch(), value, 0, std::nullopt});
  step(now, raft::Appended{log_.end(), false});
  return offset;
}

bool Replica::take_controls(Instant now, bool takes) {
  takes_controls_ = takes;
  if (!takes || !waiting_.has_value() || !is_running() || has_failed()) return false;
  const raft::ControlBatch batch = *std::exchange(waiting_, std::nullopt);
  if (!core_->is_leader() || core_->epoch() != batch.epoch) return false;
  append_control(batch);
  const raft::Event appended = follow_ups_.front();
  follow_ups_.pop_front();
  step(now, appended);
  return true;
}

// --- What the core asks

void Replica::perform(const Message* received) {
  while (true) {
    watcher_.on_step(*this, effects_);
    if (!effects_.fatal.empty()) fatal_ = effects_.fatal;
    if (effects_.save) save(*effects_.save);
    if (effects_.truncate) {
      log_.truncate(effects_.truncate->to);
      disk_.write(Disk::Truncate{effects_.truncate->to});
    }
    for (std::size_t i = 0; i < effects_.append_received; ++i) append(received->entries[i]);
    if (effects_.append) append_control(*effects_.append);
    if (effects_.store_chunk) {
      if (received->snapshot.has_value()) arriving_ = received->snapshot;
      follow_ups_.push_back(raft::ChunkStored{
          effects_.store_chunk->id, effects_.store_chunk->position + effects_.store_chunk->bytes});
    }
    if (effects_.load_snapshot) {
      ASSERT(arriving_.has_value() && arriving_->id == *effects_.load_snapshot);
      disk_.write(Disk::Install{*arriving_});
    }
    send_replies();
    for (raft::OutgoingRequest& request : effects_.requests) {
      watcher_.on_request(*this, request.request);
      Message message;
      message.from = id();
      message.to = request.to;
      message.from_life = life_;
      message.id = request.id;
      message.is_request = true;
      message.request = std::move(request.request);
      outbox_.push_back(std::move(message));
    }
    note_kraft_version();
    if (follow_ups_.empty() || has_failed()) return;
    const raft::Event next = follow_ups_.front();
    follow_ups_.pop_front();
    core_->step(now_, next, effects_);
  }
}

// At kraft.version 0 the file has no room for a directory.
void Replica::save(const raft::SaveState& save) {
  Disk::Save written{save.version, save.state};
  if (written.state.voted.has_value() && told_kraft_version_ == 0)
    written.state.voted->directory_id = {};
  disk_.save(std::move(written));
}

void Replica::note_kraft_version() {
  if (!is_static(log_.formatted)) return;  // it never changes
  const std::int16_t level = is_static(core_->voters()) ? 0 : 1;
  if (std::exchange(told_kraft_version_, level) != level)
    follow_ups_.push_back(raft::KRaftVersionChanged{level});
}

void Replica::append(Entry entry) {
  entry.chain = next_chain(log_.chain_below(log_.end()), entry.epoch, entry.value);
  log_.entries.push_back(entry);
  disk_.write(Disk::Append{std::move(entry)});
}

// Values of control records differ per epoch and voter set, so that chains do.
void Replica::append_control(const raft::ControlBatch& batch) {
  if (!takes_controls_) {
    waiting_ = batch;
    return;
  }
  Entry entry{batch.epoch, 1'000'000'007ULL * static_cast<std::uint64_t>(id() + 1), 0,
              batch.voters};
  // As the driver does it: who joins later was not formatted with the voters.
  if (batch.begins_epoch && !log_.names_voters() && log_.kraft_version() > 0)
    entry.voters = core_->voters();
  for (const raft::ReplicaKey& voter : entry.voters.value_or(raft::VoterSet{}))
    entry.value = entry.value * 31 + static_cast<std::uint64_t>(voter.id) + voter.directory_id.low;
  append(std::move(entry));
  follow_ups_.push_back(raft::Appended{log_.end(), true});
}

void Replica::send_replies() {
  for (raft::OutgoingReply& reply : effects_.replies) {
    const auto found = pending_.find(reply.token);
    ASSERT(found != pending_.end());
    const Pending request = std::move(found->second);
    pending_.erase(found);
    watcher_.on_reply(*this, request.request, reply.reply);
    if (request.from == kAdministrator) {
      if (auto* outcome = std::get_if<raft::ChangeVoterReply>(&reply.reply))
        outcomes_.push_back(*outcome);
      continue;
    }
    Message message;
    message.from = id();
    message.to = request.from;
    message.from_life = life_;
    message.id = request.id;
    message.reply = std::move(reply.reply);
    fill(message, request.request);
    outbox_.push_back(std::move(message));
  }
}

// What the driver adds to a reply: records, or bytes of a snapshot.
void Replica::fill(Message& message, const raft::Request& request) {
  if (auto* fetch = std::get_if<raft::FetchReply>(&message.reply)) {
    if (fetch->from < 0) return;
    if (fetch->from < log_.start) {  // gone meanwhile
      fetch->error = raft::ErrorCode::offset_out_of_range;
      return;
    }
    const Offset end = std::min(log_.end(), fetch->from + static_cast<Offset>(fetch_batches_max));
    for (Offset offset = fetch->from; offset < end; ++offset) {
      const Entry& entry = log_.at(offset);
      fetch->batches.push_back({offset, offset + 1, entry.epoch, entry.voters});
      message.entries.push_back(entry);
    }
  } else if (auto* chunk = std::get_if<raft::SnapshotReply>(&message.reply)) {
    if (chunk->error != raft::ErrorCode::none) return;
    const auto& asked = std::get<raft::SnapshotRequest>(request);
    const auto found = std::find_if(log_.snapshots.begin(), log_.snapshots.end(),
                                    [&asked](const Snapshot& each) { return each.id == asked.id; });
    if (found == log_.snapshots.end()) {
      chunk->error = raft::ErrorCode::snapshot_not_found;
      return;
    }
    chunk->size = snapshot_chunks;
    chunk->bytes = chunk->position < chunk->size ? 1 : 0;
    if (chunk->position + 1 == chunk->size) message.snapshot = *found;
  }
}

// --- The disk

void Replica::finish_writes(Instant now, std::size_t count) {
  now_ = now;
  for (const Disk::Write& write : disk_.finish_writes(count)) finished(write);
  if (!is_running() || has_failed()) return;
  const std::uint64_t generation = core_->log().generation() - disk_.pending_truncations();
  step(now, raft::Flushed{generation, disk_.log().end()});
}

void Replica::finished(const Disk::Write& write) {
  if (!is_running() || has_failed()) return;
  if (const auto* install = std::get_if<Disk::Install>(&write)) {
    log_.install(install->snapshot);
    step(now_, raft::SnapshotLoaded{install->snapshot.id, install->snapshot.voters});
  } else if (const auto* written = std::get_if<Disk::WriteSnapshot>(&write)) {
    log_.add_snapshot(written->snapshot);
    step(now_, raft::SnapshotWritten{written->snapshot.id});
  } else if (const auto* move = std::get_if<Disk::MoveStart>(&write)) {
    log_.move_start(move->to);
    step(now_, raft::LogStartMoved{{log_.start, log_.start_epoch}});
  }
}

void Replica::finish_save(Instant now) {
  const std::uint64_t version = disk_.finish_save();
  step(now, raft::StateSaved{version});
}

bool Replica::fail_flush(Instant now) {
  const bool loses_records_only = disk_.pending_truncations() == 0;
  disk_.lose_writes();
  if (loses_records_only && DRAVE_CANARY("flush-retried")) {
    // The second flush finds clean pages and succeeds.
    const raft::LogView& view = core_->log();
    step(now, raft::Flushed{view.generation(), std::min(log_.end(), view.end())});
    return false;
  }
  step(now, raft::DiskFailed{});
  return true;
}

bool Replica::snapshot(bool keep_one) {
  if (!is_running() || has_failed()) return false;
  const Offset at = std::min(core_->high_watermark(), core_->log().flushed());
  const Offset before = log_.snapshots.empty() ? 0 : log_.snapshots.back().id.offset;
  if (at <= before || at <= log_.start) return false;
  disk_.write(Disk::WriteSnapshot{
      {{at, log_.epoch_below(at)}, log_.chain_below(at), log_.voters_below(at)}});
  disk_.write(Disk::MoveStart{keep_one ? before : at});
  return true;
}

}  // namespace drave::simulation::quorum
