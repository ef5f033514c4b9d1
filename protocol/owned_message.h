#pragma once
// A message together with the text that its views point to, for answers that are made in one place
// and encoded in another. Moves keep the views valid.

#include <deque>
#include <string>
#include <string_view>

namespace drave::protocol {

template <class M>
struct OwnedMessage {
  M message;
  std::deque<std::string> texts;  // a deque: elements stay where they are

  // Keeps a copy for as long as this lives.
  std::string_view keep(std::string text) { return texts.emplace_back(std::move(text)); }
};

}  // namespace drave::protocol
