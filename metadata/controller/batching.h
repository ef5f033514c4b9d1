#pragma once
// How the records of one decision go into the log when they are more than a batch may hold.

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "metadata/record_list.h"

namespace drave::metadata {

// Records in one batch of the log, as in Kafka.
inline constexpr std::size_t kRecordsPerBatchMax = 10'000;

struct BatchLimits {
  std::size_t bytes_max = 0;  // of a whole batch, header included
  std::size_t records_max = kRecordsPerBatchMax;
  // Of a batch that cannot be less: one record, or a whole decision where there are no
  // transactions. What the log takes; less than bytes_max: bytes_max.
  std::size_t uncut_bytes_max = 0;
};

enum class Atomicity : std::uint8_t {
  all,   // all of it or nothing: it is an answer to somebody
  each,  // a part of it is no harm, and is done again by whoever comes next (fencing, for example)
};

// The batches to append one after the other, none of them empty. One batch if everything fits. Else
// with Atomicity::each as many as it takes; with Atomicity::all they are within one metadata
// transaction called `name`, which is visible at its end or not at all: nothing else may be
// appended in between, and what was appended before a failure is taken back by the
// AbortTransaction of the next active controller.
// Errors: too_large, a record that no batch can hold, or what is more than a batch while this
// metadata.version knows no transactions; nothing is to be appended then.
Result<std::vector<RecordList>> cut_records(RecordList records, Atomicity atomicity,
                                            std::string_view name, std::int16_t metadata_version,
                                            const BatchLimits& limits);

}  // namespace drave::metadata
