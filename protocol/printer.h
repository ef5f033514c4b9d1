#pragma once
// The visitors between messages and JSON, in the form that Kafka's own converters use: names in
// lower camel case, bytes in base64, ids as their 22 characters; fields that a version lacks and
// tagged fields with their default are left out. Only generated sources include this.

#include "protocol/fields.h"
#include "protocol/json_tree.h"

namespace drave::protocol {

// The leaves; each appends one JSON value. Text that is not UTF-8 gets U+FFFD where it is not.
void print_json(std::string& out, bool value);
void print_json(std::string& out, std::int64_t value);
void print_json(std::string& out, double value);
void print_json(std::string& out, const Uuid& value);
void print_json(std::string& out, std::string_view value);
void print_json(std::string& out, ByteView value);
void print_json_name(std::string& out, const char* name);

class Printer {
 public:
  Printer(std::string& out, std::int16_t version, bool flexible)
      : out_(out), version_(version), flexible_(flexible) {}

  template <class S>
  void object(const S& value) {
    out_ += '{';
    Fields<S>::visit(*this, value);
    if (out_.back() == ',') out_.pop_back();
    out_ += '}';
  }
  template <class T, class D = Zero>
  [[gnu::noinline]] void field(const T& value, const Facts& facts, D = {}) {
    if (!facts.has(version_)) return;
    print_json_name(out_, facts.name);
    print(value);
    out_ += ',';
  }
  void tags() {}
  template <class L>
  void tags(const L& list) {
    if (flexible_) list(*this);
  }
  template <class T, class D = Zero>
  void tag(std::uint32_t, const T& value, const Facts& facts, D otherwise = {}) {
    if (!is_default(value, otherwise)) field(value, facts);
  }

 private:
  template <std::integral T>
    requires(!std::is_same_v<T, bool>)
  void print(T value) {
    print_json(out_, static_cast<std::int64_t>(value));
  }
  void print(bool value) { print_json(out_, value); }
  void print(double value) { print_json(out_, value); }
  void print(const Uuid& value) { print_json(out_, value); }
  void print(std::string_view value) { print_json(out_, value); }
  void print(ByteView value) { print_json(out_, value); }
  template <Struct S>
  void print(const S& value) {
    object(value);
  }
  template <class T>
  void print(const std::optional<T>& value) {
    if (value.has_value()) {
      print(*value);
    } else {
      out_ += "null";
    }
  }
  template <class E>
  void print(const std::vector<E>& value) {
    out_ += '[';
    for (const E& element : value) {
      print(element);
      out_ += ',';
    }
    if (!value.empty()) out_.pop_back();
    out_ += ']';
  }

  std::string& out_;
  std::int16_t version_;
  bool flexible_;
};

// Fills a message from a JSON tree; absent members take their defaults.
class Scanner {
 public:
  Scanner(JsonTree& tree, JsonTree::Node node, std::int16_t version, bool flexible)
      : tree_(tree), node_(node), version_(version), flexible_(flexible) {}

  template <class T, class D = Zero>
  [[gnu::noinline]] void field(T& value, const Facts& facts, D otherwise = {}) {
    const JsonTree::Node found = facts.has(version_) ? tree_.member(node_, facts.name) : nullptr;
    if (found == nullptr) return reset(value, otherwise);
    scan(value, found);
  }
  void tags() {}
  template <class L>
  void tags(const L& list) {
    list(*this);
  }
  template <class T, class D = Zero>
  void tag(std::uint32_t, T& value, const Facts& facts, D otherwise = {}) {
    field(value, facts, otherwise);
  }

 private:
  template <std::integral T>
    requires(!std::is_same_v<T, bool>)
  void scan(T& value, JsonTree::Node node) {
    value = static_cast<T>(tree_.integer(node));
  }
  void scan(bool& value, JsonTree::Node node) { value = tree_.boolean(node); }
  void scan(double& value, JsonTree::Node node) { value = tree_.number(node); }
  void scan(Uuid& value, JsonTree::Node node) { value = tree_.uuid(node); }
  void scan(std::string_view& value, JsonTree::Node node) { value = tree_.text(node); }
  void scan(ByteView& value, JsonTree::Node node) { value = tree_.bytes(node); }
  template <Struct S>
  void scan(S& value, JsonTree::Node node) {
    Scanner inner(tree_, node, version_, flexible_);
    Fields<S>::visit(inner, value);
  }
  template <class T>
  void scan(std::optional<T>& value, JsonTree::Node node) {
    if (tree_.is_null(node)) return value.reset();
    scan(value.emplace(), node);
  }
  template <class E>
  void scan(std::vector<E>& value, JsonTree::Node node) {
    value.resize(tree_.size(node));
    for (std::size_t i = 0; i < value.size(); ++i) scan(value[i], tree_.element(node, i));
  }

  JsonTree& tree_;
  JsonTree::Node node_;
  std::int16_t version_;
  bool flexible_;
};

template <class M>
void print_message(std::string& out, const M& message, std::int16_t version) {
  Printer(out, version, version >= M::kFlexibleMin).object(message);
}

}  // namespace drave::protocol

#define DRAVE_DEFINE_PRINT(T)                                            \
  void print(std::string& out, const T& message, std::int16_t version) { \
    print_message(out, message, version);                                \
  }
