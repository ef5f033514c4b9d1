#include "metadata/controller/batching.h"

#include <fmt/format.h>

#include <algorithm>

#include "metadata/features.h"

namespace drave::metadata {

namespace {

// At most: what a batch of metadata records adds to their values, once and for each (lengths,
// deltas of offset and time, no key, no headers).
constexpr std::size_t kBatchOverhead = 64;
constexpr std::size_t kRecordOverhead = 32;

class Cutter {
 public:
  explicit Cutter(const BatchLimits& limits)
      : limits_(limits), uncut_bytes_max_(std::max(limits.bytes_max, limits.uncut_bytes_max)) {}

  // `may_be_cut`: into batches that are visible together.
  bool fits(const RecordList& records, bool may_be_cut) const {
    const bool can_be_less = may_be_cut && records.size() > 1;
    return records.size() <= limits_.records_max &&
           kBatchOverhead + records.size_bytes() + records.size() * kRecordOverhead <=
               (can_be_less ? limits_.bytes_max : uncut_bytes_max_);
  }

  // False: no batch can hold it.
  bool add(ByteView value) {
    if (kBatchOverhead + value.size() + kRecordOverhead > uncut_bytes_max_) return false;
    const bool full = batches_.empty() || batches_.back().size() == limits_.records_max ||
                      kBatchOverhead + batches_.back().size_bytes() + value.size() +
                              (batches_.back().size() + 1) * kRecordOverhead >
                          limits_.bytes_max;
    if (full) batches_.emplace_back();
    batches_.back().add_encoded(value);
    return true;
  }

  std::vector<RecordList> take() { return std::move(batches_); }

 private:
  BatchLimits limits_;
  std::size_t uncut_bytes_max_;
  std::vector<RecordList> batches_;
};

}  // namespace

Result<std::vector<RecordList>> cut_records(RecordList records, Atomicity atomicity,
                                            std::string_view name, std::int16_t metadata_version,
                                            const BatchLimits& limits) {
  ASSERT(limits.records_max > 0);
  std::vector<RecordList> batches;
  if (records.empty()) return batches;
  Cutter cutter(limits);
  const bool in_transaction = atomicity == Atomicity::all;
  const bool has_transactions = metadata_version >= metadata_level::kTransactions;
  if (cutter.fits(records, !in_transaction || has_transactions)) {
    batches.push_back(std::move(records));
    return batches;
  }
  if (in_transaction && !has_transactions) {
    return failure(Errc::too_large,
                   fmt::format("{} makes {} records of {} bytes, which is more than one batch, and "
                               "metadata.version {} has no transactions",
                               name, records.size(), records.size_bytes(), metadata_version));
  }
  RecordList edges;
  protocol::BeginTransactionRecord begin;
  begin.name = name;
  edges.add(begin);
  edges.add(protocol::EndTransactionRecord());
  bool done = !in_transaction || cutter.add(edges[0]);
  for (std::size_t index = 0; done && index < records.size(); ++index)
    done = cutter.add(records[index]);
  if (done && in_transaction) done = cutter.add(edges[1]);
  if (!done) {
    return failure(Errc::too_large,
                   fmt::format("{} makes a record that is larger than a batch of {} bytes", name,
                               std::max(limits.bytes_max, limits.uncut_bytes_max)));
  }
  return cutter.take();
}

}  // namespace drave::metadata
