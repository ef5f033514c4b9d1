#pragma once
// What the readers of single kinds of files have in common. Private to tools/dump.

#include <fmt/format.h>

#include "base/ids.h"
#include "tools/dump/dump.h"

namespace drave::dump {

// Counts the damage that it hands on.
class Out {
 public:
  Out(const Options& its_options, const Sink& sink) : options(its_options), sink_(sink) {}
  void item(Item one) { sink_(std::move(one)); }
  void damage(std::uint64_t position, std::string reason) {
    ++damage_count_;
    sink_({{"kind", "damage"}, {"position", position}, {"reason", std::move(reason)}});
  }
  std::uint64_t damage_count() const { return damage_count_; }

  const Options& options;

 private:
  const Sink& sink_;
  std::uint64_t damage_count_ = 0;
};

// Batches one behind the other; `metadata`: their records are those of the metadata log.
// `position` is what the first byte of `bytes` is called in the items.
void dump_batches(ByteView bytes, std::uint64_t position, bool metadata, Out& out);

void dump_offset_index(Offset base_offset, ByteView bytes, Out& out);
void dump_time_index(Offset base_offset, ByteView bytes, Out& out);
void dump_transaction_index(Offset base_offset, ByteView bytes, Out& out);
void dump_producer_snapshot(ByteView bytes, Out& out);
void dump_journal(std::string_view file_name, ByteView bytes, Out& out);
void dump_leader_epochs(std::string_view text, Out& out);
void dump_offset_checkpoint(std::string_view text, Out& out);
void dump_meta_properties(std::string_view text, Out& out);
void dump_partition_metadata(std::string_view text, Out& out);
void dump_quorum_state(std::string_view text, Out& out);
void dump_clean_shutdown(std::string_view text, Out& out);

// A record of the metadata log: its type, version and data; or why it cannot be read.
Item metadata_value(ByteView value);

// Text if it is UTF-8, else hexadecimal digits behind "0x"; null.
Item show_bytes(const std::optional<ByteView>& bytes);

}  // namespace drave::dump
