#include "raftlog/voter_history.h"

#include "base/assert.h"
#include "raftlog/wire.h"

namespace drave::raft {

namespace {

template <class List, class Value>
void add(List& list, Offset offset, Value value) {
  ASSERT_AT_MOST(list.back().offset, offset);
  if (list.back().offset == offset)
    list.back().value = std::move(value);
  else
    list.push_back({offset, std::move(value)});
}

template <class List>
void cut(List& list, Offset to) {
  while (list.size() > 1 && list.back().offset >= to) list.pop_back();
}

template <class List>
void forget(List& list, Offset offset) {
  while (list.size() > 1 && list[1].offset < offset) list.erase(list.begin());
}

template <class List>
const auto& value_at(const List& list, Offset end) {
  std::size_t at = list.size() - 1;
  while (at > 0 && list[at].offset >= end) --at;
  return list[at].value;
}

}  // namespace

void VoterHistory::reset(std::vector<Voter> voters, std::int16_t kraft_version) {
  voters_.assign(1, {-1, std::move(voters)});
  versions_.assign(1, {-1, kraft_version});
}

void VoterHistory::add_voters(Offset offset, std::vector<Voter> voters) {
  add(voters_, offset, std::move(voters));
}

void VoterHistory::add_version(Offset offset, std::int16_t kraft_version) {
  add(versions_, offset, kraft_version);
}

void VoterHistory::truncate(Offset to) {
  cut(voters_, to);
  cut(versions_, to);
}

void VoterHistory::forget_before(Offset offset) {
  forget(voters_, offset);
  forget(versions_, offset);
}

const std::vector<Voter>& VoterHistory::voters_at(Offset end) const {
  return value_at(voters_, end);
}

std::int16_t VoterHistory::kraft_version_at(Offset end) const {
  return value_at(versions_, end);
}

std::vector<VotersAt> VoterHistory::sets() const {
  std::vector<VotersAt> sets;
  for (const auto& each : voters_) sets.push_back({each.offset, wire::keys_of(each.value)});
  return sets;
}

}  // namespace drave::raft
