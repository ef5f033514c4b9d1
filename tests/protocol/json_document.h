#pragma once
// protocol::JsonTree over nlohmann-json, for tests.

#include <deque>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "protocol/json_tree.h"

namespace drave::protocol {

class JsonDocument : public JsonTree {
 public:
  explicit JsonDocument(const nlohmann::json& root) : root_(root) {}

  // What was asked for and not found or of another type; empty if nothing.
  const std::string& trouble() const { return trouble_; }

  Node root() override { return &root_; }
  Node member(Node object, const char* name) override;
  bool is_null(Node node) override;
  bool boolean(Node node) override;
  std::int64_t integer(Node node) override;
  double number(Node node) override;
  std::string_view text(Node node) override;
  ByteView bytes(Node node) override;
  Uuid uuid(Node node) override;
  std::size_t size(Node array) override;
  Node element(Node array, std::size_t index) override;

 private:
  const nlohmann::json& root_;
  std::deque<std::vector<std::uint8_t>> bytes_;
  std::string trouble_;
};

}  // namespace drave::protocol
