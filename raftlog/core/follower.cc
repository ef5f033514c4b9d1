// Following: fetching records or a snapshot, truncating what contradicts the leader.
#include <algorithm>

#include "base/assert.h"
#include "base/canary.h"
#include "raftlog/core/core.h"

namespace drave::raft {

bool Core::advance_follower() {
  if (now_ >= timer_) {
    if (!may_stand()) {
      // Another server may know a newer leader.
      become(state_.voted.has_value() ? Role::voted : Role::unattached, state_);
      return true;
    }
    if (may_campaign()) {
      become_prospective();
      return true;
    }
    timer_ = draw(options_.fetch_timeout);  // the own disk is slow, not the leader
  }
  wake_at(timer_);
  if (may_send(state_.leader) && !loading_ && !leader_left_) fetch_from(state_.leader);
  return false;
}

// What is fetched from is acknowledged: never more than the disk has.
void Core::fetch_from(NodeId target) {
  if (role_ == Role::follower && download_.has_value()) {
    if (!download_->storing)
      send(target, SnapshotRequest{epoch(), options_.self, download_->id, download_->position});
    return;
  }
  const bool acks_unflushed = DRAVE_CANARY("follower-acks-unflushed");
  if (!log_.is_flushed() && !acks_unflushed) return;
  FetchRequest request;
  request.epoch = epoch();
  request.replica = options_.self;
  request.offset = log_.end();
  request.last_epoch = log_.last().epoch;
  request.high_watermark = high_watermark_;
  if (role_ == Role::follower) request.wait = options_.fetch_wait;
  send(target, request);
}

void Core::heard_leader() {
  if (leader_left_) return;
  contact_ = now_;
  timer_ = draw(options_.fetch_timeout);
}

void Core::handle_fetch_reply(const FetchReply& reply) {
  if (reply.error == ErrorCode::not_leader_or_follower && reply.leader < 0) {
    leader_left_ = true;  // and says so itself
    timer_ = std::min(timer_, draw(Duration{options_.election_timeout.ns / 2}));
  }
  if (reply.error != ErrorCode::none || loading_) return;
  heard_leader();
  bool makes_sense = true;
  if (reply.diverging.has_value()) {
    truncate_to_common(*reply.diverging);
    if (failed_) return;
    makes_sense = effects_->truncate.has_value();  // else it would say the same again, and again
  } else if (reply.snapshot.has_value()) {
    // A snapshot of what is known to be committed here brings nothing.
    makes_sense = reply.snapshot->offset > std::max<Offset>(high_watermark_, 0) &&
                  reply.snapshot->epoch >= 0 && reply.snapshot->epoch <= epoch();
    if (makes_sense) download_ = Download{*reply.snapshot, 0, -1, false};
  } else {
    // Only now it is known that all of the own log is the leader's, too.
    leader_watermark_ = std::max(leader_watermark_, reply.high_watermark);
    if (!reply.batches.empty()) makes_sense = append_received(reply);
    effects_->misfit = !makes_sense;
  }
  if (!makes_sense) peers_.at(state_.leader).until = now_ + options_.retry_backoff;
  follow_high_watermark();
}

// The leader has nothing of `diverging.epoch` at or above `diverging.offset`, and of the epochs
// between that one and ours nothing at all.
void Core::truncate_to_common(OffsetAndEpoch diverging) {
  if (diverging.offset < 0 || diverging.epoch < 0) return;
  const OffsetAndEpoch own = log_.end_of(diverging.epoch);
  Offset to = own.epoch == diverging.epoch ? std::min(own.offset, diverging.offset) : own.offset;
  if (DRAVE_CANARY("truncates-committed")) {
    // With this bug an epoch goes as a whole, whatever of it the leader has.
    to = std::max(log_.start(), log_.end_of(std::min(diverging.epoch, own.epoch) - 1).offset);
  } else if (to < high_watermark_) {
    fail("the leader's log contradicts what is committed here");
    return;
  }
  if (to >= log_.end()) return;
  log_.truncate(to);
  effects_->truncate = Truncation{to, log_.generation()};
  effects_->voters_changed = true;
}

// Returns whether the first batch continues the log.
bool Core::append_received(const FetchReply& reply) {
  for (const Batch& batch : reply.batches) {
    const bool fits = batch.base == log_.end() && batch.end > batch.base &&
                      batch.epoch >= log_.last().epoch && batch.epoch <= epoch();
    const bool has_voters = batch.voters.has_value();
    const bool fits_voters =
        !has_voters || (!batch.voters->empty() && batch.voters->size() <= kVotersMax &&
                        log_.voter_sets() < kVoterSetsMax);
    if (!fits || !fits_voters) break;
    if (log_.is_flushed()) unflushed_since_ = now_;
    log_.append(batch.end, batch.epoch);
    if (has_voters) log_.add_voters(batch.base, *batch.voters);
    effects_->voters_changed |= has_voters;
    ++effects_->append_received;
  }
  return effects_->append_received > 0;
}

// Only what is on the own disk counts as committed here: a snapshot of it never stands above the
// log.
void Core::follow_high_watermark() {
  if (role_ == Role::follower) raise_high_watermark(std::min(leader_watermark_, log_.flushed()));
}

// --- Snapshots

void Core::handle_snapshot_reply(const SnapshotReply& reply) {
  if (!download_.has_value() || loading_) return;
  if (reply.error != ErrorCode::none) {
    if (reply.error == ErrorCode::snapshot_not_found) download_.reset();
    return;
  }
  heard_leader();
  const bool fits = reply.id == download_->id && reply.position == download_->position &&
                    reply.bytes > 0 && reply.size >= reply.position + reply.bytes &&
                    (download_->size < 0 || download_->size == reply.size);
  if (!fits) {
    download_.reset();
    peers_.at(state_.leader).until = now_ + options_.retry_backoff;
    return;
  }
  effects_->store_chunk = SnapshotChunk{reply.id, reply.position, reply.bytes};
  download_->position += reply.bytes;
  download_->size = reply.size;
  download_->storing = true;
  if (download_->position < download_->size) return;
  loading_ = true;
  effects_->load_snapshot = download_->id;
  download_.reset();
}

void Core::snapshot_loaded(const SnapshotLoaded& event) {
  ASSERT(loading_ && !is_leader());
  ASSERT_LESS(std::max<Offset>(high_watermark_, 0), event.id.offset);
  loading_ = false;
  log_.reset(event.id);
  log_.set_voters(event.voters);
  snapshot_ = event.id;
  effects_->voters_changed = true;
  raise_high_watermark(event.id.offset);
  if (role_ == Role::follower && !leader_left_) timer_ = draw(options_.fetch_timeout);
}

}  // namespace drave::raft
