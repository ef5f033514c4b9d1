// The bytes of segment files that reads need: from pieces in memory, past the page cache, or
// through it; and what is read ahead of a reader that goes on.

#include <algorithm>
#include <utility>

#include "io/file.h"
#include "segments/file_log.h"
#include "segments/log_limits.h"

namespace drave::segments {

using protocol::BatchPeek;

namespace {

constexpr std::uint64_t kBlock = io::kDirectAlignment;

}  // namespace

FileLog::FileWindow FileLog::window_of(const FilePlace& place, ReadCache::PiecePtr piece) {
  const std::uint64_t end = std::min(piece->end(), place.limit);
  FileWindow window{std::move(piece), {}, place.position};
  if (end <= place.position) return window;
  const std::size_t before = place.position - window.piece->position;
  window.bytes = window.piece->bytes().subspan(before, end - place.position);
  return window;
}

FileLog::FileWindow FileLog::find_window(const FilePlace& place, std::size_t worth) const {
  ReadCache::PiecePtr piece = cache().find(place.segment, place.generation, place.position, true);
  if (piece == nullptr) return {};
  FileWindow window = window_of(place, std::move(piece));
  if (window.bytes.size() < std::min(place.bytes, worth)) return {};
  cache().use(*window.piece);
  ++cache().counters().hits;
  return window;
}

// What somebody else is reading from the disk just now, if it will do.
ReadCache::PiecePtr FileLog::find_coming(const FilePlace& place, std::size_t worth) const {
  ReadCache::PiecePtr piece = cache().find(place.segment, place.generation, place.position, false);
  if (piece == nullptr || piece->is_ready) return nullptr;
  if (piece->end() - place.position < std::min(place.bytes, worth)) return nullptr;
  cache().use(*piece);
  return piece;
}

io::Task<void> FileLog::await_piece(ReadCache::PiecePtr piece) {
  while (!piece->is_ready && !piece->is_dropped) co_await cache().news().wait();
}

// How many bytes from the place's block on are to be read past the page cache; 0: through it.
std::size_t FileLog::direct_bytes(const FilePlace& place, std::size_t worth) const {
  const Segment& segment = *place.segment;
  if (!services_.direct || !services_.files->direct_works()) return 0;
  if (segment.direct_read_bytes > segment.written * kDirectReadsMax &&
      services_.files->read_rate().is_slow())
    return 0;
  if (segment.cached_write_bytes * 2 > segment.written) return 0;
  const std::uint64_t begin = place.position / kBlock * kBlock;
  std::uint64_t wanted = (place.position + place.bytes - begin + kBlock - 1) / kBlock * kBlock;
  // Where less will do, a size that wastes nothing of its buffer.
  if (worth < place.bytes) wanted = wanted / kReadAheadMax * kReadAheadMax;
  if (!cache().is_crowded()) wanted = std::max<std::uint64_t>(wanted, kReadAheadMax);
  // Whole blocks only: the last one may be being filled.
  const std::uint64_t end = std::min(begin + wanted, segment.written / kBlock * kBlock);
  if (end < place.position + std::min(place.bytes, worth)) return 0;
  return static_cast<std::size_t>(end - begin);
}

// How many bytes to ask the page cache for. One that goes on is served from them the next times.
std::size_t FileLog::cached_bytes(const FilePlace& place, std::size_t worth) {
  std::size_t wanted = place.bytes;
  if (worth < wanted && wanted > kReadAheadMin) wanted = wanted / kReadAheadMin * kReadAheadMin;
  if (place.goes_on) wanted = std::max(wanted, kReadAheadMin);
  return static_cast<std::size_t>(std::min<std::uint64_t>(wanted, place.limit - place.position));
}

// What the page cache has of the place; empty: nothing, or not enough to be worth it.
Result<FileLog::FileWindow> FileLog::read_page_cache(const FilePlace& place, std::size_t worth,
                                                     io::File& file) {
  const std::size_t bytes = cached_bytes(place, worth);
  ReadCache::PiecePtr piece = cache().begin(place.segment, place.generation, place.position, bytes);
  const Result<std::size_t> got = file.read_cached(place.position, piece->room());
  if (!got || *got < std::min(place.bytes, worth)) {
    cache().drop(*piece);
    if (got || got.error().code == Errc::busy) return FileWindow{};
    return std::unexpected(got.error());
  }
  cache().filled(*piece, *got);
  ++cache().counters().page_cache_reads;
  return window_of(place, std::move(piece));
}

// Bytes of the place that no piece has. Fewer than are wanted, none perhaps: the file ends.
io::Task<Result<FileLog::FileWindow>> FileLog::read_file(FilePlace place, std::size_t worth) {
  while (cache().beyond_count() >= kReadsBeyondMax) co_await cache().news().wait();
  if (place.generation != generation_) co_return FileWindow{};
  if (const std::size_t bytes = direct_bytes(place, worth); bytes > 0) {
    ReadCache::PiecePtr piece =
        cache().begin(place.segment, place.generation, place.position / kBlock * kBlock, bytes);
    const Result<void> read = co_await read_piece(place.segment, piece, true);
    if (read) co_return window_of(place, std::move(piece));
    if (read.error().code != Errc::invalid) co_return std::unexpected(read.error());
    services_.files->set_direct_fails();
  }
  {
    CO_TRY(FilePin pin, co_await place.segment->open(*services_.files, false));
    CO_TRY(FileWindow window, read_page_cache(place, worth, pin.file()));
    if (!window.bytes.empty()) co_return std::move(window);
  }
  // What was cut meanwhile has no place any more; the caller looks again.
  if (place.generation != generation_) co_return FileWindow{};
  // The page cache keeps what is read beyond the need for the reader's next request.
  const std::size_t least = cache().is_crowded() ? 0 : kReadAheadMin;
  const std::uint64_t bytes = std::min<std::uint64_t>(std::max(place.bytes, least),
                                                      place.segment->written - place.position);
  ReadCache::PiecePtr piece = cache().begin(place.segment, place.generation, place.position,
                                            static_cast<std::size_t>(bytes));
  CO_TRY_VOID(co_await read_piece(place.segment, piece, false));
  co_return window_of(place, std::move(piece));
}

io::Task<Result<void>> FileLog::read_piece(SegmentPtr segment, ReadCache::PiecePtr piece,
                                           bool direct) {
  FileCache& files = *services_.files;
  Result<FilePin> pin =
      direct ? co_await segment->open_direct(files) : co_await segment->open(files, false);
  if (!pin) {
    cache().drop(*piece);
    co_return std::unexpected(std::move(pin).error());
  }
  ++cache().counters().disk_reads;
  if (direct) files.read_rate().begin(loop().now_precise());
  const Result<std::size_t> got = co_await pin->file().read(piece->position, piece->room());
  if (direct) files.read_rate().end(loop().now_precise(), got.value_or(0));
  if (!got) {
    cache().drop(*piece);
    co_return std::unexpected(got.error());
  }
  if (direct) segment->direct_read_bytes += *got;
  cache().filled(*piece, *got);
  co_return Result<void>{};
}

// What a reader asks for that has read `piece` from the batch at `next` on; nothing: that is in the
// tail, or nowhere yet.
std::optional<FileLog::FilePlace> FileLog::place_behind(const FilePlace& place, FilePiece& piece,
                                                        std::uint64_t next) const {
  FilePlace behind = place;
  // The next piece begins with the first batch that this one does not have whole.
  if (piece.next_begin == 0) {
    while (next < piece.end()) {
      const BatchPeek peek = protocol::peek_batch(piece.bytes().subspan(next - piece.position));
      if (peek.status == BatchPeek::Status::partial) break;
      if (peek.corrupt()) return std::nullopt;
      next += peek.size;
    }
    piece.next_begin = next;
  }
  behind.position = piece.next_begin;
  if (behind.segment->complete && behind.position >= behind.segment->size) {
    const std::size_t index = segment_index_of(behind.segment->end_offset);
    if (segments_[index]->base_offset() < behind.segment->end_offset) return std::nullopt;
    behind.segment = segments_[index];
    behind.position = 0;
  }
  behind.limit = behind.segment->written;
  if (behind.position >= behind.limit) return std::nullopt;
  if (LogPosition{behind.segment->base_offset(), behind.position} >= tail_->first_position())
    return std::nullopt;
  behind.bytes = static_cast<std::size_t>(
      std::min<std::uint64_t>(kReadAheadMax, behind.limit - behind.position));
  return behind;
}

// A reader got what stands before `next` in `piece`: what it will ask for when it has read the
// piece is read meanwhile, `pieces` at most.
void FileLog::read_ahead(FilePlace place, ReadCache::PiecePtr piece, std::uint64_t next,
                         int pieces) {
  for (; pieces > 0; --pieces) {
    std::optional<FilePlace> ahead = place_behind(place, *piece, next);
    if (!ahead) return;
    const std::size_t bytes = direct_bytes(*ahead, kReadWorthBytes);
    if (bytes == 0) return;  // the kernel reads ahead into its page cache
    const ReadCache::PiecePtr there =
        cache().find(ahead->segment, ahead->generation, ahead->position, false);
    if (there != nullptr && there != piece &&
        there->end() - ahead->position >= std::min(ahead->bytes, kReadWorthBytes)) {
      if (!there->is_ready) return;
      place = std::move(*ahead);
      piece = there;
      next = place.position;
      continue;
    }
    // A batch that is larger than a piece: reading its beginning again helps nobody.
    if (ahead->segment == place.segment && ahead->position / kBlock * kBlock == piece->position)
      return;
    ReadCache::PiecePtr coming = cache().begin_ahead(ahead->segment, ahead->generation,
                                                     ahead->position / kBlock * kBlock, bytes);
    if (coming != nullptr)
      loop().start(run_ahead(UnderWay(*this), std::move(*ahead), std::move(coming), pieces - 1));
    return;
  }
}

// An error is for the one who asks for those bytes: it reads them itself.
io::Task<void> FileLog::run_ahead(UnderWay, FilePlace place, ReadCache::PiecePtr piece,
                                  int pieces) {
  const Result<void> read = co_await read_piece(place.segment, piece, true);
  if (!read || closing_ || place.generation != generation_) co_return;
  const std::uint64_t next = place.position;
  read_ahead(std::move(place), std::move(piece), next, pieces);
}

io::Task<void> FileLog::await_readers() {
  while (under_way_ > 0) co_await progress_->wait();
}

// Whether a file has, read once more and another way, the same bytes at `position`.
io::Task<Result<bool>> FileLog::stands_in_file(SegmentPtr segment, std::uint64_t position,
                                               ByteView bytes) {
  const std::size_t size = std::clamp<std::size_t>(bytes.size(), 1, kReadAheadMax);
  CO_TRY(FilePin pin, co_await segment->open(*services_.files, false));
  const std::shared_ptr<std::uint8_t> memory = services_.files->read_pool().take(size);
  CO_TRY(const std::size_t got,
         co_await pin.file().read(position, MutableByteView(memory.get(), size)));
  const std::size_t wanted = std::min(bytes.size(), size);
  co_return got == wanted&& std::equal(bytes.begin(),
                                       bytes.begin() + static_cast<std::ptrdiff_t>(wanted),
                                       memory.get());
}

}  // namespace drave::segments
