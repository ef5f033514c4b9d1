#pragma once
// Builds images from the committed batches of the log, one after the other.
//
// Records between BeginTransaction and EndTransaction become visible together, at the end;
// AbortTransaction takes them back (as Kafka's loader does).

#include <memory>
#include <optional>

#include "base/result.h"
#include "metadata/delta.h"
#include "metadata/image.h"
#include "protocol/record.h"
#include "protocol/record_batch.h"

namespace drave::metadata {

class Loader {
 public:
  Loader() : image_(std::make_shared<const Image>()) {}

  // Replaces everything by a snapshot: its batches, in order. `id` is its end offset (exclusive)
  // and epoch.
  Result<void> load_snapshot(ByteView batches, OffsetAndEpoch id);
  // Applies one batch of the log whose CRC was checked, data or control. Errors: corrupt,
  // unsupported, invalid; the image is then still what it was before the batch.
  Result<void> apply(const protocol::BatchView& batch);
  // The same a piece at a time, for a large one: `records_max` of its records. Whether that was the
  // last; else the next call goes on, with the same batch in the same place. Both images stay what
  // they were until then. A batch that is given up is begun again, or another one is.
  Result<bool> apply_piece(const protocol::BatchView& batch, std::size_t records_max);

  // What is visible: without the records of an open transaction.
  const ImagePtr& image() const { return image_; }
  // Begun by the log, not ended by what was applied so far.
  bool in_transaction() const { return working_ != nullptr; }
  // With the records of the open transaction; null: there is none.
  const ImagePtr& working() const { return working_; }
  // Replaces both by what was made elsewhere (by the leader, from the same records).
  void set_images(ImagePtr image, ImagePtr working) {
    image_ = std::move(image);
    working_ = std::move(working);
    begun_.reset();
  }

 private:
  // A batch of which not all was applied.
  struct Begun {
    const std::uint8_t* place;
    Offset base;
    std::int32_t left;  // records
    protocol::RecordIterator records;
    OffsetAndEpoch at;  // of the last record applied
    bool in_transaction;
    ImagePtr image;  // visible when it ends
    Delta delta;
  };

  Result<bool> apply_data(const protocol::BatchView& batch, std::size_t records_max);
  void begin(const protocol::BatchView& batch);
  // Also of the records that say where a transaction begins and ends.
  static Result<void> apply_record(Begun& begun, const protocol::RecordView& record,
                                   TimestampMs timestamp);
  Result<void> apply_control(const protocol::BatchView& batch);

  ImagePtr image_;
  ImagePtr working_;  // with the records of the open transaction; null outside of one
  std::optional<Begun> begun_;
};

}  // namespace drave::metadata
