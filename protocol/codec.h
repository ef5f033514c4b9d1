#pragma once
// The visitors that read, write and measure messages (fields.h tells how they are called), and the
// definitions of a message's functions. Only generated sources include this.

#include "protocol/fields.h"
#include "protocol/wire.h"

// Two flavours: the codecs on the path of every request have each field's code in place and reuse
// the capacity of arrays; those of all other messages, compiled with DRAVE_CODEC_COMPACT, call one
// function per type of field, which takes less code and a third less of the compiler's time.
#ifdef DRAVE_CODEC_COMPACT
#define DRAVE_CODEC_FLAVOUR compact
#define DRAVE_CODEC_FIELD [[gnu::noinline]]
#else
#define DRAVE_CODEC_FLAVOUR fast
#define DRAVE_CODEC_FIELD [[gnu::always_inline]]
#endif

namespace drave::protocol {

// "FetchRequest v12: topics: null in an array that cannot be null, at byte 33" and the like.
Error decode_error(const Reader& in, std::string_view message, std::int16_t version);
Error encode_error(const Writer& out, std::string_view message, std::int16_t version);
Error version_error(std::string_view message, std::int16_t version);

inline namespace DRAVE_CODEC_FLAVOUR {

class Decoder {
 public:
  Decoder(Reader& in, std::int16_t version, bool flexible)
      : in_(in), version_(version), flexible_(flexible) {}

  template <class T, class D = Zero>
  DRAVE_CODEC_FIELD void field(T& value, const Facts& facts, D otherwise = {}) {
    if (facts.has(version_)) {
      read(value, facts);
    } else {
      reset(value, otherwise);
    }
  }

  void tags() {
    if (!flexible_) return;
    for (std::uint32_t left = in_.uvarint(); left > 0 && in_.ok(); --left) {
      in_.uvarint();
      in_.bytes(in_.uvarint());
    }
  }

  template <class L>
  void tags(const L& list) {
    list(*this);  // tag() below sets all to their defaults
    if (!flexible_) return;
    for (std::uint32_t left = in_.uvarint(); left > 0 && in_.ok(); --left) {
      TagReader reader{*this, in_.uvarint()};
      const std::uint8_t* end = in_.enter(in_.uvarint());
      list(reader);
      if (!reader.known) in_.rest();
      in_.leave(end);
    }
  }

  template <class T, class D = Zero>
  void tag(std::uint32_t, T& value, const Facts&, D otherwise = {}) {
    reset(value, otherwise);
  }

 private:
  struct TagReader {
    Decoder& decoder;
    std::uint32_t number;
    bool known = false;

    template <class T, class D = Zero>
    void tag(std::uint32_t its, T& value, const Facts& facts, D = {}) {
      if (its != number) return;
      known = true;
      if (!facts.has(decoder.version_)) {
        return decoder.in_.fail("tagged field that this version lacks", facts.name);
      }
      if constexpr (Nullable<T>::kStruct) {
        const std::uint32_t marker = decoder.in_.uvarint();
        if (marker == 0) return decoder.read_null(value, facts);
        Fields<typename T::value_type>::visit(decoder, value.emplace());
      } else {
        decoder.read(value, facts);
      }
    }
  };
  template <class T>
  struct Nullable {
    static constexpr bool kStruct = false;
  };
  template <Struct S>
  struct Nullable<std::optional<S>> {
    static constexpr bool kStruct = true;
  };

  template <class T>
  void read_null(std::optional<T>& value, const Facts& facts) {
    if (!facts.nullable(version_)) in_.fail("null in a field that cannot be null", facts.name);
    value.reset();
  }

  template <class T>
    requires std::is_arithmetic_v<T>
  void read(T& value, const Facts&) {
    if constexpr (std::is_same_v<T, bool>) {
      value = in_.integer<std::uint8_t>() != 0;
    } else if constexpr (std::is_same_v<T, double>) {
      value = in_.float64();
    } else {
      value = in_.integer<T>();
    }
  }
  void read(Uuid& value, const Facts&) { value = in_.uuid(); }
  void read(std::string_view& value, const Facts& facts) {
    value = as_text(in_.string(flexible_ && !facts.classic, false, facts.name).bytes);
  }
  void read(std::optional<std::string_view>& value, const Facts& facts) {
    const auto found =
        in_.string(flexible_ && !facts.classic, facts.nullable(version_), facts.name);
    value.reset();
    if (found.present) value = as_text(found.bytes);
  }
  void read(ByteView& value, const Facts& facts) {
    value = in_.bytes_field(flexible_, false, facts.name).bytes;
  }
  void read(std::optional<ByteView>& value, const Facts& facts) {
    const auto found = in_.bytes_field(flexible_, facts.nullable(version_), facts.name);
    value.reset();
    if (found.present) value = found.bytes;
  }
  template <Struct S>
  void read(S& value, const Facts&) {
    Fields<S>::visit(*this, value);
  }
  template <Struct S>
  void read(std::optional<S>& value, const Facts& facts) {
    if (in_.integer<std::int8_t>() < 0) return read_null(value, facts);
    Fields<S>::visit(*this, value.emplace());
  }
  template <class E>
  void read(std::vector<E>& value, const Facts& facts) {
    read_elements(value, in_.count(flexible_, false, element_bytes_min<E>(), sizeof(E), facts.name),
                  facts);
  }
  template <class E>
  void read(std::optional<std::vector<E>>& value, const Facts& facts) {
    const std::int32_t count = in_.count(flexible_, facts.nullable(version_),
                                         element_bytes_min<E>(), sizeof(E), facts.name);
    if (count < 0) return value.reset();
    if (!value.has_value()) value.emplace();
    read_elements(*value, count, facts);
  }
  template <class E>
  void read_elements(std::vector<E>& value, std::int32_t count, const Facts& facts) {
    const auto size = static_cast<std::size_t>(std::max(count, 0));
#ifdef DRAVE_CODEC_COMPACT
    value = std::vector<E>(size);
#else
    value.resize(size);
#endif
    for (E& element : value) {
      if (!in_.ok()) return;
      read(element, facts);
    }
  }

  Reader& in_;
  std::int16_t version_;
  bool flexible_;
};

class Sizer {
 public:
  Sizer(std::int16_t version, bool flexible) : version_(version), flexible_(flexible) {}
  std::size_t size() const { return size_; }

  template <class T, class D = Zero>
  DRAVE_CODEC_FIELD void field(const T& value, const Facts& facts, D = {}) {
    if (facts.has(version_)) add(value, facts);
  }
  void tags() { size_ += flexible_ ? 1 : 0; }
  template <class L>
  void tags(const L& list) {
    if (!flexible_) return;
    TagSizer sizer{*this};
    list(sizer);
    size_ += unsigned_varint_size(sizer.count);
  }
  // Bytes of the value of a tagged field.
  template <class T>
  void add_tagged(const T& value, const Facts& facts) {
    if constexpr (requires { requires Struct<typename T::value_type>; } && !kIsVector<T>) {
      size_ += 1;
      if (value.has_value()) add(*value, facts);
    } else {
      add(value, facts);
    }
  }

 private:
  struct TagSizer {
    Sizer& sizer;
    std::uint32_t count = 0;

    template <class T, class D = Zero>
    void tag(std::uint32_t number, const T& value, const Facts& facts, D otherwise = {}) {
      if (!facts.has(sizer.version_) || is_default(value, otherwise)) return;
      ++count;
      const std::size_t before = sizer.size_;
      sizer.add_tagged(value, facts);
      sizer.size_ += unsigned_varint_size(number) +
                     unsigned_varint_size(static_cast<std::uint32_t>(sizer.size_ - before));
    }
  };

  template <class T>
    requires std::is_arithmetic_v<T>
  void add(const T&, const Facts&) {
    size_ += sizeof(T);
  }
  void add(const Uuid&, const Facts&) { size_ += 16; }
  void add(std::string_view value, const Facts& facts) {
    size_ += value.size() + (flexible_ && !facts.classic ? length_size(value.size()) : 2);
  }
  void add(ByteView value, const Facts&) { size_ += value.size() + prefix(value.size()); }
  template <Struct S>
  void add(const S& value, const Facts&) {
    Fields<S>::visit(*this, value);
  }
  template <class T>
  void add(const std::optional<T>& value, const Facts& facts) {
    if constexpr (Struct<T>) {
      size_ += 1;
      if (value.has_value()) add(*value, facts);
    } else if (value.has_value()) {
      add(*value, facts);
    } else if constexpr (std::is_same_v<T, std::string_view>) {
      size_ += flexible_ && !facts.classic ? 1 : 2;
    } else {
      size_ += flexible_ ? 1 : 4;
    }
  }
  template <class E>
  void add(const std::vector<E>& value, const Facts& facts) {
    size_ += prefix(value.size());
    if constexpr (std::is_arithmetic_v<E>) {
      size_ += value.size() * sizeof(E);
    } else {
      for (const E& element : value) add(element, facts);
    }
  }
  // Bytes of a flexible length or count.
  static std::size_t length_size(std::size_t length) {
    return unsigned_varint_size(static_cast<std::uint32_t>(length) + 1);
  }
  std::size_t prefix(std::size_t length) const { return flexible_ ? length_size(length) : 4; }

  std::size_t size_ = 0;
  std::int16_t version_;
  bool flexible_;
};

class Encoder {
 public:
  Encoder(Writer& out, std::int16_t version, bool flexible)
      : out_(out), version_(version), flexible_(flexible) {}

  template <class T, class D = Zero>
  DRAVE_CODEC_FIELD void field(const T& value, const Facts& facts, D otherwise = {}) {
    if (facts.has(version_)) {
      write(value, facts);
    } else if (!facts.ignorable) {
      absent(value, facts, otherwise);
    }
  }
  void tags() {
    if (flexible_) out_.uvarint(0);
  }
  template <class L>
  void tags(const L& list) {
    TagCounter counter{*this};
    list(counter);
    if (!flexible_) return;
    out_.uvarint(counter.count);
    if (counter.count == 0) return;
    TagWriter writer{*this};
    list(writer);
  }

 private:
  struct TagCounter {
    Encoder& encoder;
    std::uint32_t count = 0;

    template <class T, class D = Zero>
    void tag(std::uint32_t, const T& value, const Facts& facts, D otherwise = {}) {
      if (facts.has(encoder.version_)) {
        count += is_default(value, otherwise) ? 0 : 1;
      } else if (!facts.ignorable) {
        encoder.absent(value, facts, otherwise);
      }
    }
  };
  struct TagWriter {
    Encoder& encoder;

    template <class T, class D = Zero>
    void tag(std::uint32_t number, const T& value, const Facts& facts, D otherwise = {}) {
      if (!facts.has(encoder.version_) || is_default(value, otherwise)) return;
      Sizer sizer(encoder.version_, encoder.flexible_);
      sizer.add_tagged(value, facts);
      encoder.out_.uvarint(number);
      encoder.out_.uvarint(static_cast<std::uint32_t>(sizer.size()));
      if constexpr (requires { requires Struct<typename T::value_type>; } && !kIsVector<T>) {
        if (!value.has_value()) return encoder.write_null(facts, [&] { encoder.out_.uvarint(0); });
        encoder.out_.uvarint(1);
        encoder.write(*value, facts);
      } else {
        encoder.write(value, facts);
      }
    }
  };

  template <class T, class D>
  void absent(const T& value, const Facts& facts, const D& otherwise) {
    if (!is_default(value, otherwise)) {
      out_.fail("a value in a field that this version lacks", facts.name);
    }
  }
  template <class F>
  void write_null(const Facts& facts, F&& marker) {
    if (!facts.nullable(version_)) {
      return out_.fail("null in a field that cannot be null", facts.name);
    }
    marker();
  }

  template <class T>
    requires std::is_arithmetic_v<T>
  void write(const T& value, const Facts&) {
    if constexpr (std::is_same_v<T, bool>) {
      out_.integer(static_cast<std::uint8_t>(value ? 1 : 0));
    } else if constexpr (std::is_same_v<T, double>) {
      out_.float64(value);
    } else {
      out_.integer(value);
    }
  }
  void write(const Uuid& value, const Facts&) { out_.uuid(value); }
  void write(std::string_view value, const Facts& facts) {
    out_.string(value, flexible_ && !facts.classic, facts.name);
  }
  void write(ByteView value, const Facts&) { out_.bytes_field(value, flexible_); }
  template <Struct S>
  void write(const S& value, const Facts&) {
    Fields<S>::visit(*this, value);
  }
  template <class T>
  void write(const std::optional<T>& value, const Facts& facts) {
    if constexpr (Struct<T>) {
      if (!value.has_value()) {
        return write_null(facts, [&] { out_.integer(std::int8_t{-1}); });
      }
      out_.integer(std::int8_t{1});
      write(*value, facts);
    } else if (value.has_value()) {
      write(*value, facts);
    } else if constexpr (std::is_same_v<T, std::string_view>) {
      write_null(facts, [&] { out_.null_string(flexible_ && !facts.classic); });
    } else {
      write_null(facts, [&] { out_.null_bytes(flexible_); });
    }
  }
  template <class E>
  void write(const std::vector<E>& value, const Facts& facts) {
    out_.count(value.size(), flexible_);
    for (const E& element : value) write(element, facts);
  }

  Writer& out_;
  std::int16_t version_;
  bool flexible_;
};

template <class M>
Result<void> decode_message(Reader& in, M& message, std::int16_t version) {
  if (version < M::kVersionMin || version > M::kVersionMax)
    return std::unexpected(version_error(M::kName, version));
  Decoder decoder(in, version, version >= M::kFlexibleMin);
  Fields<M>::visit(decoder, message);
  if (!in.ok()) return std::unexpected(decode_error(in, M::kName, version));
  return {};
}

template <class M>
Result<void> encode_message(Writer& out, const M& message, std::int16_t version) {
  if (version < M::kVersionMin || version > M::kVersionMax)
    return std::unexpected(version_error(M::kName, version));
  Encoder encoder(out, version, version >= M::kFlexibleMin);
  Fields<M>::visit(encoder, message);
  if (!out.ok()) return std::unexpected(encode_error(out, M::kName, version));
  return {};
}

template <class M>
std::size_t message_size(const M& message, std::int16_t version) {
  Sizer sizer(version, version >= M::kFlexibleMin);
  Fields<M>::visit(sizer, message);
  return sizer.size();
}

}  // namespace DRAVE_CODEC_FLAVOUR

}  // namespace drave::protocol

#define DRAVE_DEFINE_MESSAGE(T)                                              \
  Result<void> decode(Reader& in, T& message, std::int16_t version) {        \
    return decode_message(in, message, version);                             \
  }                                                                          \
  Result<void> encode(Writer& out, const T& message, std::int16_t version) { \
    return encode_message(out, message, version);                            \
  }                                                                          \
  std::size_t encoded_size(const T& message, std::int16_t version) {         \
    return message_size(message, version);                                   \
  }
