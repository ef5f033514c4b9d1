#include "segments/journal_reader.h"

#include <algorithm>

#include "base/canary.h"

namespace drave::segments {

io::Task<Result<std::unique_ptr<JournalReader>>> JournalReader::open(io::Loop& loop,
                                                                     std::string path,
                                                                     JournalFileName name) {
  std::unique_ptr<JournalReader> reader(new JournalReader(loop, std::move(name)));
  CO_TRY(const io::FileStatus status, co_await io::status(loop, path));
  CO_TRY(reader->file_, co_await io::File::open(loop, path, {}));
  reader->size_ = status.size;
  co_return reader;
}

io::Task<Result<ByteView>> JournalReader::bytes(std::uint64_t position, std::size_t length) {
  ASSERT(position <= size_);
  length = std::min<std::uint64_t>(length, size_ - position);
  if (position < window_position_ || position + length > window_position_ + window_size_) {
    const std::size_t wanted = std::min<std::uint64_t>(std::max(length, kWindow), size_ - position);
    if (window_.size() < wanted) window_.resize(wanted);
    window_position_ = position;
    window_size_ = 0;
    CO_TRY(window_size_, co_await file_.read(position, MutableByteView(window_.data(), wanted)));
    if (window_size_ < length) co_return failure(Errc::corrupt, "file ends early: " + file_.path());
    co_await io::yield(loop_);  // the next stretch of checksums is a pass of its own
  }
  co_return ByteView(window_.data() + (position - window_position_), length);
}

io::Task<Result<GroupHeader>> JournalReader::header(std::uint64_t position) {
  CO_TRY(const ByteView front, co_await bytes(position, kJournalBlock));
  auto decoded = decode_group_header(front);
  if (!decoded) co_return decoded;
  if (decoded->generation != name_.generation || decoded->journal_id != name_.id)
    co_return failure(Errc::corrupt, "old content");
  if (decoded->length() > size_ - position) co_return failure(Errc::corrupt, "group length");
  co_return decoded;
}

io::Task<Result<JournalReader::Group>> JournalReader::group(std::uint64_t position) {
  CO_TRY(const GroupHeader found, co_await header(position));
  CO_TRY(const ByteView whole, co_await bytes(position, found.length()));
  if (!DRAVE_CANARY("torn-taken-for-valid")) CO_TRY_VOID(check_group_body(found, whole));
  co_return Group{found, whole};
}

io::Task<Result<std::uint64_t>> JournalReader::find_group(std::uint64_t position,
                                                          std::uint64_t number) {
  for (; position < size_; position += kJournalBlock) {
    auto found = co_await group(position);
    if (found && found->header.number >= number) co_return position;
    if (!found && !is_damage(found.error())) co_return std::unexpected(std::move(found).error());
  }
  co_return size_;
}

}  // namespace drave::segments
