#pragma once
// A message together with the text that its views point to, for answers that are made in one place
// and encoded in another. Moves keep the views valid.

#include <list>
#include <memory>
#include <string>
#include <string_view>

namespace drave::protocol {

template <class M>
struct OwnedMessage {
  M message;
  std::list<std::string> texts;       // a list: elements stay where they are
  std::shared_ptr<const void> bytes;  // where records are that were not copied; null: nowhere

  // Keeps a copy for as long as this lives.
  std::string_view keep(std::string text) { return texts.emplace_back(std::move(text)); }
};

}  // namespace drave::protocol
