#include "tools/sim/cluster/watch.h"

#include <fmt/format.h>

#include <utility>

#include "base/crc32c.h"
#include "metadata/image_records.h"
#include "metadata/loader.h"
#include "raftlog/snapshot.h"

namespace drave::simulation {

namespace {

// Of the images that are the newest when they appear.
constexpr std::uint64_t kCheckedOneIn = 4;
constexpr std::uint64_t kReloadedOneIn = 16;

std::uint64_t mixed(std::uint64_t hash, std::uint64_t value) {
  return (hash ^ value) * 0x9E3779B97F4A7C15ULL + (hash >> 29);
}

std::uint64_t hash_of_records(const metadata::RecordList& records) {
  std::uint64_t hash = records.size();
  for (std::size_t i = 0; i < records.size(); ++i) hash = mixed(hash, crc32c(records[i]));
  return hash;
}

}  // namespace

std::uint64_t hash_of(const metadata::Image& image) {
  std::uint64_t hash = hash_of_records(metadata::image_records(image));
  for (const auto& [name, level] : image.features())
    hash = mixed(hash, crc32c(as_bytes(name), static_cast<std::uint32_t>(level)));
  for (const metadata::VoterImage& voter : image.voters()) {
    hash = mixed(hash, static_cast<std::uint64_t>(voter.id));
    hash = mixed(hash, voter.directory_id.high ^ voter.directory_id.low);
  }
  return hash;
}

void MetadataWatch::look(std::size_t index, Member& member) {
  broker::QuorumController* controller = member.controller();
  if (controller == nullptr) return;
  Seen& seen = seen_[index];
  if (seen.life != member.life()) {
    seen = Seen{};
    seen.life = member.life();
  }
  raft::RaftLog& log = controller->raft();
  note_leader(member, *controller);
  note_committed(seen, member, log);
  if (!member.is_stopping() && log.log_start() > 0 &&
      log.latest_snapshot().offset < log.log_start())
    promises_.violate("log-without-snapshot",
                      fmt::format("node {}: the log begins at {}, the newest snapshot ends at {}",
                                  member.id(), log.log_start(), log.latest_snapshot().offset));
  if (log.latest_snapshot().offset > seen.snapshot) {
    if (seen.snapshot >= 0) ++promises_.tally()["snapshots"];
    seen.snapshot = log.latest_snapshot().offset;
  }
  if (controller->published_end() == seen.published_end) return;
  seen.published_end = controller->published_end();
  const metadata::ImagePtr image = controller->image();
  if (image == seen.image) return;
  note_image(seen, member, image);
  if (image->last_contained().offset > newest_->last_contained().offset)
    note_newest(image, seen.published_end, log);
}

bool MetadataWatch::led(NodeId node, LeaderEpoch epoch) const {
  const auto at = leaders_.find(epoch);
  return at != leaders_.end() && at->second == node;
}

void MetadataWatch::note_leader(Member& member, broker::QuorumController& controller) {
  const LeaderEpoch epoch = controller.raft().epoch();
  const bool leads = controller.raft().is_leader() || controller.is_active();
  if (!leads && leaders_.contains(epoch)) return;
  const NodeId leader = leads ? member.id() : controller.raft().status().leader;
  if (leader < 0) return;
  const auto [at, is_new] = leaders_.emplace(epoch, leader);
  if (is_new) ++promises_.tally()["leaders"];
  if (at->second != leader)
    promises_.violate("two-leaders",
                      fmt::format("{} and {} in epoch {}", at->second, leader, epoch));
}

// A leader may have committed before it says that it leads, and have ceased to lead since.
void MetadataWatch::note_committed(Seen& seen, Member& member, raft::RaftLog& log) {
  const LeaderEpoch before = std::exchange(seen.epoch, log.epoch());
  const Offset high_watermark = log.high_watermark();
  if (high_watermark <= committed_) return;
  if (!led(member.id(), before) && !led(member.id(), seen.epoch)) return;
  committed_ = high_watermark;
  promises_.committed(committed_);
}

void MetadataWatch::note_image(Seen& seen, Member& member, const metadata::ImagePtr& image) {
  const OffsetAndEpoch last = image->last_contained();
  if (last.offset < 0) return;
  const bool same = seen.image != nullptr && image->has_same_content(*seen.image);
  if (seen.image != nullptr && last.offset < seen.image->last_contained().offset)
    promises_.violate("went-back", fmt::format("node {}: from {} to {}", member.id(),
                                               seen.image->last_contained().offset, last.offset));
  if (last.offset >= committed_)
    promises_.violate("uncommitted-applied",
                      fmt::format("node {} has the image of {}, committed is what ends at {}",
                                  member.id(), last.offset, committed_));
  seen.image = image;
  if (!same) {
    seen.hash = hash_of(*image);
    promises_.check_whole(*image);
  }
  const auto [at, is_new] =
      images_.emplace(last.offset, Record{last.epoch, seen.hash, member.id()});
  if (is_new) return;
  ++promises_.tally()["images_compared"];
  if (at->second.epoch != last.epoch || at->second.hash != seen.hash)
    promises_.violate(
        "images-differ",
        fmt::format("of offset {}: node {} has epoch {} and {:016x}, node {} epoch {} and {:016x}",
                    last.offset, at->second.by, at->second.epoch, at->second.hash, member.id(),
                    last.epoch, seen.hash));
}

void MetadataWatch::note_newest(const metadata::ImagePtr& image, Offset end, raft::RaftLog& log) {
  for (const auto& [id, broker] : image->brokers()) {
    const auto before = newest_->brokers().find(id);
    if (broker.fenced && before != newest_->brokers().end() && !before->second.fenced)
      ++promises_.tally()["fenced"];
  }
  newest_ = image;
  if (random_.one_in(kCheckedOneIn) && end >= promises_.acknowledged_end()) promises_.check(*image);
  if (random_.one_in(kReloadedOneIn)) reload(image, log);
}

void MetadataWatch::reload(const metadata::ImagePtr& image, raft::RaftLog& log) {
  ++promises_.tally()["images_reloaded"];
  const OffsetAndEpoch last = image->last_contained();
  const metadata::RecordList records = metadata::image_records(*image);
  raft::SnapshotBuilder snapshot(last.epoch, image->last_contained_timestamp(),
                                 log.kraft_version_at(last.offset + 1),
                                 log.voters_at(last.offset + 1), image->last_contained_timestamp());
  for (std::size_t i = 0; i < records.size(); ++i) snapshot.add(records[i]);
  metadata::Loader loader;
  const Result<void> loaded =
      loader.load_snapshot(std::move(snapshot).finish(), {last.offset + 1, last.epoch});
  if (!loaded) return promises_.violate("snapshot-differs", loaded.error().message());
  if (hash_of_records(metadata::image_records(*loader.image())) != hash_of_records(records) ||
      loader.image()->last_contained() != last)
    promises_.violate("snapshot-differs", fmt::format("of the image of offset {}", last.offset));
}

}  // namespace drave::simulation
