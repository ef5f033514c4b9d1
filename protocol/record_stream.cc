#include "protocol/record_stream.h"

#include <algorithm>

namespace drave::protocol {

bool RecordStream::stop(RecordFault fault) {
  fault_ = fault;
  return false;
}

void RecordStream::finish() {
  const bool inside = field_ != Field::length || varint_groups_ > 0;
  if (fault_ == RecordFault::none && (records_left_ > 0 || inside))
    fault_ = RecordFault::ends_early;
}

bool RecordStream::next(ByteView& slice, RecordSummary& record) {
  while (!slice.empty() && fault_ == RecordFault::none) {
    if (field_ == Field::length && varint_groups_ == 0) {
      if (records_left_ == 0) return stop(RecordFault::bytes_left_over);
      if (whole_record(slice, record)) return true;
      if (fault_ != RecordFault::none) return false;
    }
    if (skip_left_ > 0) {
      skip_body(slice);
    } else if (!take_field(slice)) {
      return false;
    }
    if (record_done_ && skip_left_ == 0) {
      if (body_left_ != 0) return stop(RecordFault::structure);
      record_done_ = false;
      field_ = Field::length;
      --records_left_;
      record = record_;
      return true;
    }
  }
  return false;
}

// The usual case: all of the record is in the slice.
bool RecordStream::whole_record(ByteView& slice, RecordSummary& record) {
  const std::uint8_t* const end = slice.data() + slice.size();
  std::int32_t length = 0;
  VarintFault varint_fault = VarintFault::none;
  const std::uint8_t* body = read_varint(slice.data(), end, length, varint_fault);
  if (body == nullptr || length < 0 || length > end - body) return false;
  RecordView view;
  const RecordFault fault = parse_record_body(body, body + length, view);
  if (fault != RecordFault::none) return stop(fault);
  slice = ByteView(body + length, end);
  --records_left_;
  record = {.timestamp_delta = view.timestamp_delta,
            .offset_delta = view.offset_delta,
            .has_key = view.key_size >= 0,
            .has_odd_length = view.has_odd_length};
  return true;
}

RecordStream::Varint RecordStream::take_varint(ByteView& slice, unsigned size_max) {
  while (!slice.empty()) {
    const std::uint8_t byte = slice.front();
    slice = slice.subspan(1);
    if (field_ != Field::length) {
      if (body_left_ == 0) return Varint::bad;
      --body_left_;
    }
    varint_value_ |= static_cast<std::uint64_t>(byte & 0x7F) << (7 * varint_groups_);
    ++varint_groups_;
    if (byte < 0x80) return Varint::done;
    if (varint_groups_ == size_max) return Varint::bad;
  }
  return Varint::more;
}

// Takes bytes of the current field; false at a fault or when the slice is used up.
bool RecordStream::take_field(ByteView& slice) {
  if (field_ == Field::attributes) {
    if (body_left_ == 0) return stop(RecordFault::structure);
    --body_left_;
    slice = slice.subspan(1);
    field_ = Field::timestamp;
    return true;
  }
  const std::size_t size_max = field_ == Field::timestamp ? kVarlongSizeMax : kVarintSizeMax;
  const Varint taken = take_varint(slice, static_cast<unsigned>(size_max));
  if (taken == Varint::more) return false;
  if (taken == Varint::bad) {
    return stop(field_ == Field::length ? RecordFault::length_too_long : RecordFault::structure);
  }
  const std::uint64_t raw = varint_value_;
  varint_value_ = 0;
  varint_groups_ = 0;
  return read_field(raw);
}

bool RecordStream::read_field(std::uint64_t raw) {
  const std::int32_t value = unzigzag32(static_cast<std::uint32_t>(raw));
  switch (field_) {
    case Field::length:
      if (value < 0) return stop(RecordFault::length_out_of_bounds);
      body_left_ = static_cast<std::uint32_t>(value);
      record_ = {};
      field_ = Field::attributes;
      return true;
    case Field::timestamp:
      record_.timestamp_delta = unzigzag64(raw);
      field_ = Field::offset;
      return true;
    case Field::offset:
      record_.offset_delta = value;
      field_ = Field::key_length;
      return true;
    case Field::key_length:
      record_.has_key = value >= 0;
      field_ = Field::value_length;
      return begin_skip(value);
    case Field::value_length: field_ = Field::header_count; return begin_skip(value);
    case Field::header_count:
      if (value < 0 || static_cast<std::uint32_t>(value) > body_left_) {
        return stop(RecordFault::header_count);
      }
      headers_left_ = value;
      field_ = Field::header_key_length;
      record_done_ = value == 0;
      return true;
    case Field::header_key_length:
      if (value < 0) return stop(RecordFault::header_key_null);
      field_ = Field::header_value_length;
      return begin_skip(value);
    case Field::header_value_length:
      field_ = Field::header_key_length;
      record_done_ = --headers_left_ == 0;
      return begin_skip(value);
    case Field::attributes: break;
  }
  return stop(RecordFault::structure);
}

bool RecordStream::begin_skip(std::int32_t size) {
  record_.has_odd_length |= size < -1;
  if (size <= 0) return true;
  if (static_cast<std::uint32_t>(size) > body_left_) return stop(RecordFault::structure);
  skip_left_ = static_cast<std::uint32_t>(size);
  return true;
}

void RecordStream::skip_body(ByteView& slice) {
  const auto size = static_cast<std::uint32_t>(std::min<std::size_t>(skip_left_, slice.size()));
  slice = slice.subspan(size);
  skip_left_ -= size;
  body_left_ -= size;
}

}  // namespace drave::protocol
