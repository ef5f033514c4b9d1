#pragma once
// A parsed JSON document as the protocol sees it. Tools and tests wrap their JSON library in this,
// so that the protocol depends on none.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/bytes.h"
#include "base/uuid.h"

namespace drave::protocol {

// A node of the wrong type, or missing, yields zero or nothing; the implementation remembers that
// and tells its user. Text and bytes live as long as the tree.
class JsonTree {
 public:
  using Node = const void*;  // null: not there

  virtual ~JsonTree() = default;
  virtual Node root() = 0;
  virtual Node member(Node object, const char* name) = 0;
  virtual bool is_null(Node node) = 0;
  virtual bool boolean(Node node) = 0;
  virtual std::int64_t integer(Node node) = 0;
  virtual double number(Node node) = 0;
  virtual std::string_view text(Node node) = 0;
  virtual ByteView bytes(Node node) = 0;  // base64 in the document
  virtual Uuid uuid(Node node) = 0;
  virtual std::size_t size(Node array) = 0;
  virtual Node element(Node array, std::size_t index) = 0;
};

}  // namespace drave::protocol
