#include "raftlog/snapshot_store.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/assert.h"
#include "base/log.h"
#include "raftlog/raft_limits.h"
#include "raftlog/wire.h"

namespace drave::raft {

namespace {

bool is_leftover(std::string_view name) {
  return name.ends_with(".checkpoint.part") || name.ends_with(".checkpoint.deleted") ||
         name.find(".checkpoint.tmp") != std::string_view::npos;
}

}  // namespace

std::string SnapshotStore::path(OffsetAndEpoch id) const {
  return io::join_path(directory_, snapshot_name(id));
}

io::Task<Result<void>> SnapshotStore::open() {
  CO_TRY(const std::vector<io::DirectoryEntry> entries,
         co_await io::list_directory(loop_, directory_));
  for (const io::DirectoryEntry& entry : entries) {
    if (entry.is_directory) continue;
    if (is_leftover(entry.name)) {
      CO_TRY_VOID(co_await io::unlink(loop_, io::join_path(directory_, entry.name)));
      continue;
    }
    const std::optional<OffsetAndEpoch> id = parse_snapshot_name(entry.name);
    if (!id.has_value()) continue;
    CO_TRY(const io::FileStatus status,
           co_await io::status(loop_, io::join_path(directory_, entry.name)));
    snapshots_.push_back({*id, static_cast<std::int64_t>(status.size), status.modified_ms});
  }
  std::sort(snapshots_.begin(), snapshots_.end(),
            [](const StoredSnapshot& a, const StoredSnapshot& b) { return a.id < b.id; });
  co_return Result<void>{};
}

void SnapshotStore::add(OffsetAndEpoch id, std::int64_t size) {
  pass_over(id);
  const auto above = std::find_if(snapshots_.begin(), snapshots_.end(),
                                  [id](const StoredSnapshot& each) { return each.id > id; });
  snapshots_.insert(above, {id, size, loop_.wall_now()});
}

std::optional<std::int64_t> SnapshotStore::size_of(OffsetAndEpoch id) const {
  for (const StoredSnapshot& each : snapshots_) {
    if (each.id == id) return each.size;
  }
  return std::nullopt;
}

io::Task<Result<std::vector<std::uint8_t>>> SnapshotStore::read(OffsetAndEpoch id) {
  const std::size_t size = static_cast<std::size_t>(size_of(id).value_or(0));
  return io::read_file(loop_, path(id), size + 1);
}

io::Task<Result<std::vector<std::uint8_t>>> SnapshotStore::read_at(OffsetAndEpoch id,
                                                                   std::int64_t position,
                                                                   std::size_t bytes_max) {
  const std::optional<std::int64_t> size = size_of(id);
  if (!size.has_value()) co_return failure(Errc::not_found, path(id));
  if (position < 0 || position >= *size) co_return failure(Errc::out_of_range, path(id));
  std::vector<std::uint8_t> bytes(std::min(bytes_max, static_cast<std::size_t>(*size - position)));
  CO_TRY(io::File file, co_await io::File::open(loop_, path(id), {}));
  Result<std::size_t> got = co_await file.read(static_cast<std::uint64_t>(position), bytes);
  [[maybe_unused]] const Result<void> closed = co_await file.close();
  if (!got) co_return std::unexpected(got.error());
  if (*got != bytes.size())
    co_return failure(Errc::io, fmt::format("{} is shorter than it was", path(id)));
  co_return bytes;
}

io::Task<Result<void>> SnapshotStore::write(OffsetAndEpoch id, std::vector<std::uint8_t> bytes) {
  const std::int64_t size = static_cast<std::int64_t>(bytes.size());
  CO_TRY_VOID(co_await io::replace_file(loop_, path(id), std::move(bytes)));
  add(id, size);
  co_return Result<void>{};
}

io::Task<Result<void>> SnapshotStore::remove(OffsetAndEpoch id) {
  Result<void> gone = co_await io::unlink(loop_, path(id));
  if (!gone && gone.error().code == Errc::not_found) gone = {};
  if (gone) pass_over(id);
  co_return gone;
}

void SnapshotStore::pass_over(OffsetAndEpoch id) {
  std::erase_if(snapshots_, [id](const StoredSnapshot& each) { return each.id == id; });
}

io::Task<Result<void>> SnapshotStore::check(OffsetAndEpoch id) {
  const auto find = [this, id] { return std::ranges::find(snapshots_, id, &StoredSnapshot::id); };
  co_await check_turn_.acquire();
  const auto found = find();
  Result<void> whole;
  if (found == snapshots_.end()) {
    whole = failure(Errc::not_found, path(id));
  } else if (loop_.now() >= found->whole_until) {
    whole = co_await check_batches(id);
    if (const auto still = find(); whole && still != snapshots_.end())
      still->whole_until = loop_.now() + kSnapshotCheckedFor;
  }
  check_turn_.release();
  co_return whole;
}

io::Task<Result<void>> SnapshotStore::check_batches(OffsetAndEpoch id) {
  const std::int64_t size = size_of(id).value_or(0);
  CO_TRY(const std::vector<std::uint8_t> bytes, co_await read(id));
  if (static_cast<std::int64_t>(bytes.size()) != size)
    co_return failure(Errc::corrupt, fmt::format("{} bytes instead of {}", bytes.size(), size));
  protocol::BatchIterator batches(bytes);
  std::size_t paused = 0;
  for (auto batch = batches.next(); batch.has_value(); batch = batches.next()) {
    if (!batch->crc_matches())
      co_return failure(Errc::corrupt, fmt::format("the batch before position {} fails its check",
                                                   batches.position()));
    if (batches.position() - paused < kSnapshotPieceBytes) continue;
    paused = batches.position();
    co_await io::yield(loop_);
  }
  if (batches.corrupt() || batches.remaining() > 0)
    co_return failure(Errc::corrupt, fmt::format("no whole batch at {}", batches.position()));
  co_return Result<void>{};
}

// --- Fetching one

io::Task<Result<void>> SnapshotStore::store_chunk(OffsetAndEpoch id, std::int64_t position,
                                                  ByteView bytes) {
  co_await download_turn_.acquire();
  Result<void> stored = co_await store(id, position, bytes);
  download_turn_.release();
  co_return stored;
}

io::Task<Result<void>> SnapshotStore::store(OffsetAndEpoch id, std::int64_t position,
                                            ByteView bytes) {
  if (position == 0) {
    if (part_.is_open()) CO_TRY_VOID(co_await part_.close());
    if (part_id_ != id && part_id_.offset >= 0) {
      const std::string old = path(part_id_) + ".part";
      if (Result<void> gone = co_await io::unlink(loop_, old);
          !gone && gone.error().code != Errc::not_found)
        co_return gone;
    }
    io::OpenOptions options;
    options.write = options.create = options.truncate = true;
    CO_TRY(part_, co_await io::File::open(loop_, path(id) + ".part", options));
    part_id_ = id;
  }
  ASSERT(part_.is_open() && part_id_ == id);
  co_return co_await part_.write(static_cast<std::uint64_t>(position), bytes);
}

io::Task<Result<std::vector<std::uint8_t>>> SnapshotStore::finish_download(OffsetAndEpoch id) {
  co_await download_turn_.acquire();
  auto bytes = co_await finish(id);
  download_turn_.release();
  co_return bytes;
}

io::Task<Result<std::vector<std::uint8_t>>> SnapshotStore::finish(OffsetAndEpoch id) {
  ASSERT(part_.is_open() && part_id_ == id);
  const std::string part = path(id) + ".part";
  CO_TRY_VOID(co_await part_.sync());
  CO_TRY_VOID(co_await part_.close());
  part_id_ = {-1, -1};
  CO_TRY(std::vector<std::uint8_t> bytes, co_await io::read_file(loop_, part, SIZE_MAX));
  Result<void> sound = check_snapshot(bytes);
  if (sound) sound = wire::check_controls(bytes);
  if (!sound) {
    [[maybe_unused]] const Result<void> gone = co_await io::unlink(loop_, part);
    co_return failure(sound.error().code, fmt::format("{}: {}", part, sound.error().context));
  }
  const Result<void> named = co_await io::rename(loop_, part, path(id));
  if (!named && named.error().code == Errc::no_space) {
    [[maybe_unused]] const Result<void> gone = co_await io::unlink(loop_, part);
  }
  CO_TRY_VOID(named);
  CO_TRY_VOID(co_await io::sync_directory(loop_, directory_));
  add(id, static_cast<std::int64_t>(bytes.size()));
  co_return bytes;
}

}  // namespace drave::raft
