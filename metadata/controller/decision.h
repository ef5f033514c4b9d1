#pragma once
// A decision that is made a piece at a time, for requests that name thousands of things: whoever
// asked lets others run in between, and decides nothing else meanwhile.
//
// It looks at the image with which it began, which must last as long as it, as must the request.
// The pieces together amount to what is decided at once.

#include <cstddef>

#include "metadata/record_list.h"
#include "protocol/owned_message.h"

namespace drave::metadata {

template <class Response>
class Decision {
 public:
  virtual ~Decision() = default;

  // Decides some more; adds the records. False: that was the rest.
  virtual bool next(RecordList& records) = 0;

  // Whole after the last piece.
  protocol::OwnedMessage<Response> answer;
};

// How much of a decision is one piece: some two milliseconds.
class Piece {
 public:
  static constexpr std::size_t kItemsMax = 250;  // topics, resources
  static constexpr std::size_t kRecordsMax = 1000;

  explicit Piece(const RecordList& records) : records_before_(records.size()) {}
  void note_item() { ++items_; }
  bool is_full(const RecordList& records) const {
    return items_ >= kItemsMax || records_left(records) == 0;
  }
  std::size_t records_left(const RecordList& records) const {
    const std::size_t added = records.size() - records_before_;
    return added >= kRecordsMax ? 0 : kRecordsMax - added;
  }

 private:
  std::size_t records_before_;
  std::size_t items_ = 0;
};

// All of it.
template <class D>
auto decide_at_once(D decision, RecordList& records) {
  while (decision->next(records)) {
  }
  return std::move(decision->answer);
}

}  // namespace drave::metadata
