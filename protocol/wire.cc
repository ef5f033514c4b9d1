#include "protocol/wire.h"

#include <algorithm>

namespace drave::protocol {

void Reader::fail(const char* reason, const char* field) {
  if (error_ == nullptr) {
    error_ = reason;
    error_field_ = field;
    error_position_ = position();
  }
  at_ = end_;
}

void Reader::varint_fault(VarintFault fault) {
  fail(fault == VarintFault::cut ? "message ends inside a varint" : "varint of too many bytes");
}

std::uint32_t Reader::uvarint_slow() {
  std::uint32_t value = 0;
  VarintFault fault = VarintFault::none;
  const std::uint8_t* behind = read_unsigned_varint(at_, end_, value, fault);
  if (behind == nullptr) {
    varint_fault(fault);
    return 0;
  }
  at_ = behind;
  return value;
}

std::int64_t Reader::varlong() {
  std::int64_t value = 0;
  VarintFault fault = VarintFault::none;
  const std::uint8_t* behind = read_varlong(at_, end_, value, fault);
  if (behind == nullptr) {
    varint_fault(fault);
    return 0;
  }
  at_ = behind;
  return value;
}

ByteView Reader::bytes(std::size_t size) {
  if (size > remaining()) {
    fail("length beyond the end of the message");
    return {};
  }
  const ByteView found{at_, size};
  at_ += size;
  return found;
}

Reader::Nullable Reader::view(std::int64_t length, bool nullable, const char* field) {
  if (length < 0) {
    if (!nullable) fail("null in a field that cannot be null", field);
    return {{}, false};
  }
  if (static_cast<std::uint64_t>(length) > remaining()) {
    fail("length beyond the end of the message", field);
    return {{}, true};
  }
  const ByteView found{at_, static_cast<std::size_t>(length)};
  at_ += length;
  return {found, true};
}

Reader::Nullable Reader::string(bool flexible, bool nullable, const char* field) {
  const std::int64_t length =
      flexible ? std::int64_t{uvarint()} - 1 : std::int64_t{integer<std::int16_t>()};
  if (!ok()) return {{}, true};
  if (length > static_cast<std::int64_t>(kStringBytesMax)) {
    fail("string longer than 32767 bytes", field);
    return {{}, true};
  }
  return view(length, nullable, field);
}

Reader::Nullable Reader::bytes_field(bool flexible, bool nullable, const char* field) {
  const std::int64_t length =
      flexible ? std::int64_t{uvarint()} - 1 : std::int64_t{integer<std::int32_t>()};
  if (!ok()) return {{}, true};
  return view(length, nullable, field);
}

std::int32_t Reader::count(bool flexible, bool nullable, std::size_t element_bytes_min,
                           std::size_t element_size, const char* field) {
  const std::int64_t count =
      flexible ? std::int64_t{uvarint()} - 1 : std::int64_t{integer<std::int32_t>()};
  if (!ok()) return 0;
  if (count < 0) {
    if (!nullable) fail("null in an array that cannot be null", field);
    return -1;
  }
  if (static_cast<std::uint64_t>(count) > remaining() / element_bytes_min) {
    fail("more elements than the message can hold", field);
    return 0;
  }
  const std::size_t memory = static_cast<std::size_t>(count) * element_size;
  if (memory > budget_) {
    over_budget_ = true;
    fail("arrays beyond the memory that a message of this size may take", field);
    return 0;
  }
  budget_ -= memory;
  return static_cast<std::int32_t>(count);
}

const std::uint8_t* Reader::enter(std::size_t size) {
  const std::uint8_t* former_end = end_;
  if (size > remaining()) {
    fail("tagged field beyond the end of the message");
  } else {
    end_ = at_ + size;
  }
  return former_end;
}

void Reader::leave(const std::uint8_t* former_end) {
  if (at_ != end_) fail("tagged field longer than its value");
  end_ = former_end;
  if (!ok()) at_ = end_;
}

void Writer::fail(const char* reason, const char* field) {
  if (error_ == nullptr) {
    error_ = reason;
    error_field_ = field;
  }
}

void Writer::clear() {
  at_ = begin_;
  cuts_.clear();
  external_bytes_ = 0;
  error_ = nullptr;
  error_field_ = nullptr;
}

bool Writer::grow(std::size_t size) {
  if (fixed_) {
    fail("the buffer is smaller than the message");
    return false;
  }
  const std::size_t used = own().size();
  if (size > kMessageBytesMax - std::min(used, kMessageBytesMax)) {
    fail("message beyond 2 GiB");
    return false;
  }
  const std::size_t capacity =
      std::max({used + size, 2 * static_cast<std::size_t>(end_ - begin_), std::size_t{256}});
  auto grown = std::make_unique_for_overwrite<std::uint8_t[]>(capacity);
  if (used > 0) std::memcpy(grown.get(), begin_, used);
  buffer_ = std::move(grown);
  begin_ = buffer_.get();
  at_ = begin_ + used;
  end_ = begin_ + capacity;
  return true;
}

void Writer::bytes(ByteView bytes) {
  if (bytes.empty() || !room(bytes.size())) return;
  std::memcpy(at_, bytes.data(), bytes.size());
  at_ += bytes.size();
}

void Writer::external(ByteView bytes) {
  if (bytes.size() < gather_bytes_min_) return this->bytes(bytes);
  cuts_.push_back({own().size(), bytes});
  external_bytes_ += bytes.size();
}

void Writer::string(std::string_view text, bool flexible, const char* field) {
  if (text.size() > kStringBytesMax) return fail("string longer than 32767 bytes", field);
  if (flexible) {
    uvarint(static_cast<std::uint32_t>(text.size()) + 1);
  } else {
    integer(static_cast<std::int16_t>(text.size()));
  }
  bytes(as_bytes(text));
}

void Writer::bytes_field(ByteView bytes, bool flexible) {
  count(bytes.size(), flexible);
  external(bytes);
}

void Writer::null_string(bool flexible) {
  flexible ? uvarint(0) : integer(std::int16_t{-1});
}

void Writer::null_bytes(bool flexible) {
  flexible ? uvarint(0) : integer(std::int32_t{-1});
}

void Writer::count(std::size_t count, bool flexible) {
  if (count >= kMessageBytesMax) return fail("array or bytes beyond 2 GiB");
  if (flexible) {
    uvarint(static_cast<std::uint32_t>(count) + 1);
  } else {
    integer(static_cast<std::int32_t>(count));
  }
}

}  // namespace drave::protocol
