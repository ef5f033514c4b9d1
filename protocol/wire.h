#pragma once
// Reading and writing the primitive values of Kafka's protocol.
//
// Both classes have a sticky error: read or write on, and look once at the end. After an error a
// Reader yields zeros and empty views, a Writer drops what it is given.

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/uuid.h"
#include "protocol/limits.h"
#include "protocol/varint.h"

namespace drave::protocol {

// A view over the bytes of one message and a place in it. The bytes must outlive everything that
// is read, for strings and bytes are views of them. Nothing is allocated because of an announced
// length: lengths and counts are compared with the remaining bytes, and what arrays take in memory
// is charged to a budget (limits.h).
class Reader {
 public:
  explicit Reader(ByteView bytes)
      : Reader(bytes, std::min(kDecodedBytesMax,
                               kDecodedBytesFloor + bytes.size() * kDecodedBytesPerWireByte)) {}
  Reader(ByteView bytes, std::size_t decoded_bytes_max)
      : begin_(bytes.data()),
        at_(bytes.data()),
        end_(bytes.data() + bytes.size()),
        budget_(decoded_bytes_max) {}

  bool ok() const { return error_ == nullptr; }
  // Why, and where the reader stood; a literal. Null while ok().
  const char* error() const { return error_; }
  const char* error_field() const { return error_field_; }
  std::size_t error_position() const { return error_position_; }
  bool over_budget() const { return over_budget_; }
  // Only the first failure counts. `field` names the field, a literal or null.
  void fail(const char* reason, const char* field = nullptr);

  std::size_t position() const { return static_cast<std::size_t>(at_ - begin_); }
  std::size_t remaining() const { return static_cast<std::size_t>(end_ - at_); }

  template <std::integral T>
  T integer() {
    if (remaining() < sizeof(T)) [[unlikely]] {
      fail("message ends inside a number");
      return T{};
    }
    const T value = load_big<T>(at_);
    at_ += sizeof(T);
    return value;
  }
  double float64() { return std::bit_cast<double>(integer<std::uint64_t>()); }
  Uuid uuid() {
    const auto high = integer<std::uint64_t>();
    return {high, integer<std::uint64_t>()};
  }

  // Variable-length integers (varint.h); a longer one than its width allows fails.
  std::uint32_t uvarint() {
    if (at_ != end_ && *at_ < 0x80) [[likely]]
      return *at_++;
    return uvarint_slow();
  }
  std::int32_t varint() { return unzigzag32(uvarint()); }
  std::int64_t varlong();

  // The next `size` bytes.
  ByteView bytes(std::size_t size);
  ByteView rest() { return bytes(remaining()); }

  // A length-prefixed field: int16 or int32 before version `flexible`, an unsigned varint from it
  // on. Null yields `present == false`; where `nullable` is false null fails.
  struct Nullable {
    ByteView bytes;
    bool present;
  };
  Nullable string(bool flexible, bool nullable, const char* field);
  Nullable bytes_field(bool flexible, bool nullable, const char* field);
  // An array's count, -1 for null. Charges count * element_size to the budget; fails if fewer than
  // count * element_bytes_min bytes remain.
  std::int32_t count(bool flexible, bool nullable, std::size_t element_bytes_min,
                     std::size_t element_size, const char* field);

  // Ends the readable bytes `size` from here, for a tagged field; `leave` gives back the former
  // end and fails if not all of them were read.
  const std::uint8_t* enter(std::size_t size);
  void leave(const std::uint8_t* former_end);

 private:
  std::uint32_t uvarint_slow();
  void varint_fault(VarintFault fault);
  Nullable view(std::int64_t length, bool nullable, const char* field);

  const std::uint8_t* begin_;
  const std::uint8_t* at_;
  const std::uint8_t* end_;
  std::size_t budget_;
  const char* error_ = nullptr;
  const char* error_field_ = nullptr;
  std::size_t error_position_ = 0;
  bool over_budget_ = false;
};

// Appends to a buffer of its own, which grows and is kept by clear(), or to one that the caller
// sized exactly (encoded_size), in which running out is a sticky error.
//
// A *gathering* Writer does not copy long byte fields (records): it notes a cut, at which the
// sender inserts the bytes themselves (`pieces`, for one sendmsg). The bytes must then live until
// they are sent.
class Writer {
 public:
  struct Cut {
    std::size_t position;  // in own(): the external bytes stand before own()[position]
    ByteView bytes;
  };

  Writer() = default;
  explicit Writer(MutableByteView exact)
      : begin_(exact.data()), at_(exact.data()), end_(exact.data() + exact.size()), fixed_(true) {}
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // From now on byte fields of at least `bytes_min` bytes are gathered.
  void gather(std::size_t bytes_min = kGatherBytesMin) { gather_bytes_min_ = bytes_min; }

  bool ok() const { return error_ == nullptr; }
  const char* error() const { return error_; }
  const char* error_field() const { return error_field_; }
  void fail(const char* reason, const char* field = nullptr);

  // Bytes written so far, gathered ones included.
  std::size_t size() const { return own().size() + external_bytes_; }
  // Bytes in the own buffer; all of them unless the Writer gathers.
  ByteView own() const { return {begin_, static_cast<std::size_t>(at_ - begin_)}; }
  const std::vector<Cut>& cuts() const { return cuts_; }
  // Calls f(ByteView) for every piece, in the order in which they are to be sent.
  template <class F>
  void pieces(F&& f) const {
    std::size_t from = 0;
    for (const Cut& cut : cuts_) {
      if (cut.position > from) f(own().subspan(from, cut.position - from));
      f(cut.bytes);
      from = cut.position;
    }
    if (own().size() > from) f(own().subspan(from));
  }
  // Forgets content and error; keeps the buffer.
  void clear();
  void reserve(std::size_t size) { room(size); }

  template <std::integral T>
  void integer(T value) {
    if (!room(sizeof(T))) return;
    store_big(at_, value);
    at_ += sizeof(T);
  }
  // Overwrites what integer() wrote at `position` of own(), a length that was not yet known.
  template <std::integral T>
  void patch(std::size_t position, T value) {
    if (position + sizeof(T) <= own().size()) store_big(begin_ + position, value);
  }
  void float64(double value) { integer(std::bit_cast<std::uint64_t>(value)); }
  void uuid(const Uuid& id) {
    integer(id.high);
    integer(id.low);
  }
  void uvarint(std::uint32_t value) {
    if (room(unsigned_varint_size(value))) at_ = write_unsigned_varint(at_, value);
  }
  void varint(std::int32_t value) { uvarint(zigzag32(value)); }
  void varlong(std::int64_t value) {
    if (room(varlong_size(value))) at_ = write_varlong(at_, value);
  }
  void bytes(ByteView bytes);
  // As bytes(), but gathers if this Writer does and `bytes` are long enough.
  void external(ByteView bytes);

  // Length-prefixed fields, as in Reader.
  void string(std::string_view text, bool flexible, const char* field);
  void bytes_field(ByteView bytes, bool flexible);
  void null_string(bool flexible);
  void null_bytes(bool flexible);  // of arrays, too
  void count(std::size_t count, bool flexible);

 private:
  bool room(std::size_t size) { return static_cast<std::size_t>(end_ - at_) >= size || grow(size); }
  bool grow(std::size_t size);

  std::unique_ptr<std::uint8_t[]> buffer_;
  std::uint8_t* begin_ = nullptr;
  std::uint8_t* at_ = nullptr;
  std::uint8_t* end_ = nullptr;
  std::vector<Cut> cuts_;
  std::size_t external_bytes_ = 0;
  std::size_t gather_bytes_min_ = SIZE_MAX;
  const char* error_ = nullptr;
  const char* error_field_ = nullptr;
  bool fixed_ = false;
};

}  // namespace drave::protocol
