#include "tests/raftlog/core/transcript.h"

#include <algorithm>
#include <sstream>
#include <utility>

namespace drave::raft::testing {

namespace {

constexpr int kRoundsMax = 500;  // of one `settle`; a quorum that never comes to rest is a bug

std::vector<std::string> words_of(const std::string& line) {
  std::istringstream in(line);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

// The value of `name=value`; empty: there is none.
std::string option(const std::vector<std::string>& words, std::string_view name) {
  for (const std::string& word : words) {
    if (word.starts_with(name) && word.size() > name.size() && word[name.size()] == '=')
      return word.substr(name.size() + 1);
  }
  return "";
}

std::string text_of(OffsetAndEpoch id) {
  return std::to_string(id.offset) + "@" + std::to_string(id.epoch);
}

// "1x3 4x2": three records of epoch 1, then two of epoch 4.
std::string epochs_of(const simulation::quorum::Log& log) {
  std::string text;
  for (Offset offset = log.start; offset < log.end();) {
    const LeaderEpoch epoch = log.at(offset).epoch;
    Offset end = offset;
    while (end < log.end() && log.at(end).epoch == epoch) ++end;
    text += (text.empty() ? "" : " ") + std::to_string(epoch) + "x" + std::to_string(end - offset);
    offset = end;
  }
  return text;
}

struct RequestText {
  std::string operator()(const VoteRequest& vote) const {
    return std::string(vote.pre_vote ? "PreVote" : "Vote") +
           " epoch=" + std::to_string(vote.epoch) + " end=" + testing::text_of(vote.last);
  }
  std::string operator()(const BeginEpochRequest& begin) const {
    return "BeginQuorumEpoch epoch=" + std::to_string(begin.epoch);
  }
  std::string operator()(const EndEpochRequest& end) const {
    std::string text = "EndQuorumEpoch epoch=" + std::to_string(end.epoch) + " successors=";
    for (const ReplicaKey& key : end.successors)
      text += (text.back() == '=' ? "" : ",") + std::to_string(key.id);
    return text;
  }
  std::string operator()(const FetchRequest& fetch) const {
    return "Fetch epoch=" + std::to_string(fetch.epoch) +
           " from=" + testing::text_of({fetch.offset, fetch.last_epoch});
  }
  std::string operator()(const SnapshotRequest& fetch) const {
    return "FetchSnapshot " + testing::text_of(fetch.id) +
           " position=" + std::to_string(fetch.position);
  }
  std::string operator()(const ChangeVoterRequest&) const { return "ChangeVoter"; }
};

std::string error_text(ErrorCode error) {
  return error == ErrorCode::none ? "" : " error=" + std::to_string(static_cast<int>(error));
}

struct ReplyText {
  std::string operator()(const VoteReply& vote) const {
    return std::string(vote.granted ? "granted" : "refused") +
           " epoch=" + std::to_string(vote.epoch) + error_text(vote.error);
  }
  std::string operator()(const EpochReply& reply) const {
    return "ok epoch=" + std::to_string(reply.epoch) + error_text(reply.error);
  }
  std::string operator()(const FetchReply& fetch) const {
    std::string text = "records=" + std::to_string(fetch.batches.size()) +
                       " watermark=" + std::to_string(fetch.high_watermark);
    if (fetch.diverging) text = "diverging=" + testing::text_of(*fetch.diverging);
    if (fetch.snapshot) text = "snapshot=" + testing::text_of(*fetch.snapshot);
    return text + error_text(fetch.error);
  }
  std::string operator()(const SnapshotReply& chunk) const {
    return "chunk " + std::to_string(chunk.position) + "+" + std::to_string(chunk.bytes) + " of " +
           std::to_string(chunk.size) + error_text(chunk.error);
  }
  std::string operator()(const ChangeVoterReply& reply) const {
    return "changed" + error_text(reply.error);
  }
};

}  // namespace

std::string Transcript::text_of(const Message& message) {
  const std::string link = std::to_string(message.from) + ">" + std::to_string(message.to) + " ";
  return link + (message.is_request ? std::visit(RequestText(), message.request)
                                    : std::visit(ReplyText(), message.reply));
}

std::string Transcript::violation() const {
  return checker_.violation()
             ? checker_.violation()->invariant + ": " + checker_.violation()->detail
             : "";
}

// Lines that begin with '>' are outcomes: they are left out and made anew.
std::string Transcript::run(std::string_view text) {
  std::istringstream in{std::string(text)};
  std::string out;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with(">")) continue;
    out += line + "\n";
    const Words words = words_of(line);
    if (words.empty() || words[0].starts_with("#")) continue;
    std::istringstream outcome(execute(words));
    for (std::string each; std::getline(outcome, each);) out += "> " + each + "\n";
  }
  return out;
}

std::string Transcript::execute(const Words& words) {
  const std::string& verb = words[0];
  if (verb == "quorum")
    make(words);
  else if (verb == "log")
    give_log(words);
  else if (verb == "boot")
    boot(std::stoi(words.at(1)));
  else if (verb == "show")
    return show(words);
  else if (verb == "settle")
    settle(false);
  else if (verb == "trace")
    notes_ = settle(true);
  else if (verb == "deliver")
    return deliver(words);
  else if (verb == "wait")
    wait(words);
  else if (verb == "disks")
    run_disks();
  else if (!change(verb, words))
    return "no such command";
  collect();
  return std::exchange(notes_, "");
}

Transcript::Replica& Transcript::at(const std::string& word) {
  return *nodes_.at(std::stoi(word));
}

// quorum N [observers=M] [static]: nodes 1 to N vote, M more do not. None runs yet.
void Transcript::make(const Words& words) {
  const int voters = std::stoi(words.at(1));
  const std::string more = option(words, "observers");
  const int nodes = voters + (more.empty() ? 0 : std::stoi(more));
  is_static_ = std::find(words.begin(), words.end(), "static") != words.end();
  auto key = [](int id) { return ReplicaKey{id, {0, static_cast<std::uint64_t>(id)}}; };
  for (int id = 1; id <= voters; ++id) voters_.push_back(is_static_ ? ReplicaKey{id, {}} : key(id));
  checker_.start_with(voters_);
  for (int id = 1; id <= nodes; ++id) {
    const bool knows = is_static_ || id <= voters;
    nodes_[id] = std::make_unique<Replica>(key(id), knows ? voters_ : VoterSet{}, checker_);
    nodes_[id]->snapshot_chunks = 2;
  }
}

void Transcript::boot(NodeId id) {
  CoreOptions options;
  options.seed = static_cast<std::uint64_t>(id);
  for (const auto& [other, replica] : nodes_) {
    if (other != id) options.bootstrap.push_back(other);
  }
  checker_.on_boot(*nodes_.at(id));
  nodes_.at(id)->boot(now_, options);
}

// log ID epoch=E 1x3 4x2: what the disk of a node holds before it first runs.
void Transcript::give_log(const Words& words) {
  std::vector<LeaderEpoch> epochs;
  for (std::size_t i = 2; i < words.size(); ++i) {
    const std::size_t times = words[i].find('x');
    if (words[i].starts_with("epoch=") || times == std::string::npos) continue;
    epochs.insert(epochs.end(), static_cast<std::size_t>(std::stoi(words[i].substr(times + 1))),
                  std::stoi(words[i].substr(0, times)));
  }
  at(words.at(1)).preload(std::stoi(option(words, "epoch")), epochs);
}

// --- What happens

bool Transcript::change(const std::string& verb, const Words& words) {
  using Kind = ChangeVoterRequest::Kind;
  if (verb == "heal") {
    cut_.clear();
    return true;
  }
  Replica& node = at(words.at(1));
  if (verb == "campaign")
    node.step(now_, CampaignNow{});
  else if (verb == "resign")
    node.step(now_, Resign{});
  else if (verb == "transfer")
    node.step(now_, TransferTo{std::stoi(words.at(2))});
  else if (verb == "tick")
    node.step(now_, Tick{});
  else if (verb == "snapshot")
    node.snapshot(option(words, "keep") == "one");
  else if (verb == "freeze")
    frozen_.insert(node.id());
  else if (verb == "thaw")
    frozen_.erase(node.id());
  else if (verb == "add")
    node.change_voter(now_, {Kind::add, at(words.at(2)).key()});
  else if (verb == "remove")
    node.change_voter(now_, {Kind::remove, at(words.at(2)).key()});
  else if (verb == "upgrade")
    node.change_voter(now_, upgrade_of(node));
  else if (verb == "remove-first")
    node.change_voter(
        now_, {Kind::remove, voters_.at(static_cast<std::size_t>(std::stoi(words.at(2)) - 1))});
  else if (verb == "batches")
    node.fetch_batches_max = static_cast<std::uint64_t>(std::stoi(words.at(2)));
  else if (verb == "wipe")
    node.wipe({0, 100 + node.key().directory_id.low});
  else if (verb == "cut") {
    const NodeId other = std::stoi(words.at(2));
    cut_.insert({node.id(), other});
    if (words.size() < 4) cut_.insert({other, node.id()});
  } else if (verb == "crash") {
    Random none(1);
    node.lose_unflushed();
    node.crash(none);
  } else if (verb == "propose") {
    const int count = words.size() > 2 ? std::stoi(words[2]) : 1;
    for (int i = 0; i < count; ++i) node.propose(now_, next_value_++);
  } else {
    return false;
  }
  return true;
}

// As if all voters had told the leader which disks they have.
ChangeVoterRequest Transcript::upgrade_of(const Replica& leader) const {
  ChangeVoterRequest request;
  request.kind = ChangeVoterRequest::Kind::upgrade;
  for (const ReplicaKey& voter : leader.core().voters())
    request.voters.push_back(nodes_.at(voter.id)->key());
  return request;
}

// wait MS: time passes everywhere; timers fire in their order, everything settles in between.
void Transcript::wait(const Words& words) {
  const Instant until = now_ + milliseconds(std::stoi(words.at(1)));
  settle(false);
  while (true) {
    Instant next = until;
    for (const auto& [id, node] : nodes_) {
      if (node->is_running()) next = std::min(next, std::max(now_, node->core().deadline()));
    }
    now_ = next;
    for (const auto& [id, node] : nodes_) {
      if (node->is_running() && node->core().deadline() <= now_) node->step(now_, Tick{});
    }
    settle(false);
    if (now_ >= until) return;
  }
}

void Transcript::collect() {
  for (const auto& [id, node] : nodes_) {
    for (Message& message : node->outbox()) {
      if (!cut_.contains({message.from, message.to})) wire_.push_back(std::move(message));
    }
    node->outbox().clear();
    for (const ChangeVoterReply& outcome : node->outcomes())
      notes_ += "changed" + error_text(outcome.error) + "\n";
    node->outcomes().clear();
  }
}

bool Transcript::run_disks() {
  bool wrote = false;
  for (const auto& [id, node] : nodes_) {
    if (!node->is_running() || frozen_.contains(id)) continue;
    if (node->disk().has_saves()) {
      node->finish_save(now_);
      wrote = true;
    }
    if (node->disk().has_log_writes()) {
      node->finish_writes(now_, node->disk().pending_count());
      wrote = true;
    }
  }
  collect();
  return wrote;
}

std::string Transcript::pass(const Message& message) {
  const auto found = nodes_.find(message.to);
  if (found == nodes_.end() || cut_.contains({message.from, message.to})) return "";
  found->second->deliver(now_, message);
  collect();
  return text_of(message) + "\n";
}

// settle: messages arrive and disks finish until nothing is left to do; trace prints the messages.
std::string Transcript::settle(bool print) {
  std::string out;
  for (int round = 0; round < kRoundsMax; ++round) {
    collect();
    const bool wrote = run_disks();
    if (wire_.empty() && !wrote) return out;
    std::deque<Message> now = std::move(wire_);
    wire_.clear();
    for (const Message& message : now) {
      const std::string line = pass(message);
      if (print) out += line;
    }
  }
  notes_ += "does not come to rest\n";
  return out;
}

// deliver [from=A] [to=B] [drop]: what is on the wire now, without disks; or it is lost.
std::string Transcript::deliver(const Words& words) {
  collect();
  const std::string from = option(words, "from");
  const std::string to = option(words, "to");
  const bool drop = std::find(words.begin(), words.end(), "drop") != words.end();
  std::deque<Message> now = std::move(wire_);
  wire_.clear();
  std::string out;
  for (const Message& message : now) {
    const bool meant = (from.empty() || std::stoi(from) == message.from) &&
                       (to.empty() || std::stoi(to) == message.to);
    if (!meant)
      wire_.push_back(message);
    else
      out += drop ? text_of(message) + " (lost)\n" : pass(message);
  }
  return out;
}

std::string Transcript::show(const Words& words) {
  std::string out;
  for (const auto& [id, node] : nodes_) {
    if (words.size() > 1 &&
        std::find(words.begin() + 1, words.end(), std::to_string(id)) == words.end())
      continue;
    if (!node->is_running()) {
      out += std::to_string(id) + " down\n";
      continue;
    }
    const Core& core = node->core();
    out += std::to_string(id) + " " + std::string(raft::to_string(core.role())) +
           " epoch=" + std::to_string(core.epoch()) + " leader=" + std::to_string(core.leader()) +
           " log=[" + epochs_of(node->log()) + "] end=" + std::to_string(core.log().end());
    if (core.log().start() > 0) out += " start=" + std::to_string(core.log().start());
    if (!core.log().is_flushed()) out += " flushed=" + std::to_string(core.log().flushed());
    out += " watermark=" + std::to_string(core.high_watermark());
    if (is_static_) out += " kraft.version=" + std::to_string(node->log().kraft_version());
    if (core.voters() != voters_) {
      out += " voters=";
      for (const ReplicaKey& voter : core.voters())
        out += (out.back() == '=' ? "" : ",") + std::to_string(voter.id);
    }
    out += node->has_failed() ? " FAILED\n" : "\n";
  }
  return out;
}

}  // namespace drave::raft::testing
