#include "tools/bench/workload.h"

#include <algorithm>
#include <chrono>

#include "base/random.h"
#include "protocol/batch_builder.h"
#include "protocol/messages/fetch.h"
#include "protocol/messages/produce.h"
#include "protocol/record.h"

namespace drave::bench {
namespace {

constexpr double kNsPerSecond = 1e9;
constexpr std::int32_t kTimeoutMs = 30'000;
constexpr std::int32_t kFetchWaitMs = 500;

TimestampMs wall_ms() {
  return std::chrono::system_clock::now().time_since_epoch() / std::chrono::milliseconds(1);
}

// Random values that do not compress; of each the first 8 bytes are the stamp, if it has room.
std::vector<std::uint8_t> build_batch(const Plan& plan, std::int64_t stamp_ns) {
  protocol::BatchBuilder builder({.codec = plan.codec});
  Random random(7);
  std::vector<std::uint8_t> value(static_cast<std::size_t>(plan.size));
  const TimestampMs now = wall_ms();
  for (std::int32_t i = 0; i < plan.records; ++i) {
    for (auto& byte : value) byte = static_cast<std::uint8_t>(random.next());
    if (value.size() >= sizeof stamp_ns) store_big(value.data(), stamp_ns);
    builder.append(now, std::nullopt, value);
  }
  return std::move(builder).finish();
}

template <class Request>
Result<Frame> frame_of(const Request& request, std::int16_t version) {
  protocol::Writer out;
  TRY_VOID(client::encode_frame(out, request, version, 1));
  return std::make_shared<const std::vector<std::uint8_t>>(out.own().begin(), out.own().end());
}

template <class Response>
Result<void> decode_answer(ByteView answer, std::int16_t version, Response& response) {
  protocol::Reader in(answer);
  protocol::ResponseHeader header;
  TRY_VOID(decode_response_header(in, header, Response::kApiKey, version));
  return decode(in, response, version);
}

}  // namespace

Result<std::unique_ptr<BenchWorkload>> BenchWorkload::create(Engine& engine, const Plan& plan,
                                                             std::vector<Share> shares,
                                                             client::Milliseconds timeout) {
  std::unique_ptr<BenchWorkload> workload(new BenchWorkload(engine, plan, std::move(shares)));
  TRY_VOID(workload->open(timeout));
  return workload;
}

Result<void> BenchWorkload::open(client::Milliseconds timeout) {
  batch_size_ = build_batch(plan_, 0).size();
  const bool fetches = plan_.mode == Mode::consume;
  for (std::int32_t i = 0; i < plan_.connections; ++i) {
    const Share& share = shares_[static_cast<std::size_t>(i) % shares_.size()];
    TRY_VOID(add_lane(share, fetches, timeout));
    lanes_.back().next = static_cast<std::size_t>(i) / shares_.size() % share.partitions.size();
  }
  const std::size_t senders = lanes_.size();
  if (plan_.mode == Mode::latency) {
    for (const Share& share : shares_) TRY_VOID(add_lane(share, true, timeout));
  }
  const std::int64_t now = now_ns();
  next_send_ns_ = static_cast<double>(now);
  for (std::size_t lane = 0; lane < lanes_.size(); ++lane) {
    if (lane < senders && plan_.rate > 0) continue;
    const std::int32_t depth = lanes_[lane].is_fetch ? 1 : plan_.in_flight;
    for (std::int32_t i = 0; i < depth; ++i) send_one(lane, now);
  }
  return {};
}

Result<void> BenchWorkload::add_lane(const Share& share, bool is_fetch,
                                     client::Milliseconds timeout) {
  TRY_VOID(engine_.add(share.endpoint, timeout));
  Lane lane{.is_fetch = is_fetch, .share = &share, .at = share.start};
  if (!is_fetch && plan_.mode == Mode::produce) {
    for (const PartitionIndex partition : share.partitions) {
      TRY(Frame frame, produce_frame(partition, 0));
      lane.frames.push_back(std::move(frame));
    }
  }
  lanes_.push_back(std::move(lane));
  return {};
}

Result<Frame> BenchWorkload::produce_frame(PartitionIndex partition, std::int64_t stamp_ns) const {
  const std::vector<std::uint8_t> batch = build_batch(plan_, stamp_ns);
  protocol::ProduceRequest request;
  request.acks = plan_.acks;
  request.timeout_ms = kTimeoutMs;
  auto& topic = request.topic_data.emplace_back();
  topic.name = plan_.topic;
  topic.partition_data.push_back({.index = partition, .records = ByteView(batch)});
  return frame_of(request, plan_.produce_version);
}

Result<Frame> BenchWorkload::fetch_frame(Lane& lane) const {
  protocol::FetchRequest request;
  request.max_wait_ms = kFetchWaitMs;
  request.min_bytes = 1;
  request.max_bytes = plan_.fetch_bytes;
  auto& topic = request.topics.emplace_back();
  topic.topic = plan_.topic;
  // The consume bench asks for one partition after another; the latency bench waits for all.
  const std::size_t count = plan_.mode == Mode::latency ? lane.share->partitions.size() : 1;
  for (std::size_t i = 0; i < count; ++i) {
    const PartitionIndex partition =
        lane.share->partitions[(lane.next + i) % lane.share->partitions.size()];
    topic.partitions.push_back({.partition = partition,
                                .fetch_offset = lane.at[partition],
                                .partition_max_bytes = plan_.fetch_bytes});
  }
  lane.next = (lane.next + 1) % lane.share->partitions.size();
  return frame_of(request, plan_.fetch_version);
}

void BenchWorkload::send_one(std::size_t index, std::int64_t began) {
  Lane& lane = lanes_[index];
  Result<Frame> frame = failure(Errc::invalid, "");
  if (lane.is_fetch) {
    frame = fetch_frame(lane);
  } else {
    const std::size_t partition = lane.next;
    lane.next = (lane.next + 1) % lane.share->partitions.size();
    frame = plan_.mode == Mode::produce ? Result<Frame>(lane.frames[partition])
                                        : produce_frame(lane.share->partitions[partition], began);
  }
  if (!frame) return note_error(-1);
  engine_.send(*engine_.channels()[index], std::move(*frame), began);
}

std::int64_t BenchWorkload::send_due(std::int64_t now) {
  if (plan_.rate <= 0 || stopped_) return INT64_MAX;
  const auto senders = static_cast<std::size_t>(plan_.connections);
  while (next_send_ns_ <= static_cast<double>(now)) {
    send_one(next_lane_++ % senders, static_cast<std::int64_t>(next_send_ns_));
    next_send_ns_ += kNsPerSecond / plan_.rate;
  }
  return static_cast<std::int64_t>(next_send_ns_);
}

void BenchWorkload::note_error(std::int16_t code) {
  ++measured_.counts.errors;
  measured_.counts.last_error = code;
}

Result<void> BenchWorkload::answered(Channel& channel, ByteView answer, std::int64_t began,
                                     std::int64_t now) {
  Lane& lane = lanes_[channel.index];
  if (lane.is_fetch) {
    TRY_VOID(fetch_answered(lane, answer, began, now));
  } else {
    TRY_VOID(produce_answered(answer, began, now));
  }
  const bool on_schedule = plan_.rate > 0 && !(plan_.mode == Mode::latency && lane.is_fetch);
  // The readers of the latency bench go on until the last record has come.
  if (!on_schedule && !stopped_) send_one(channel.index, now);
  return {};
}

Result<void> BenchWorkload::produce_answered(ByteView answer, std::int64_t began,
                                             std::int64_t now) {
  protocol::ProduceResponse response;
  TRY_VOID(decode_answer(answer, plan_.produce_version, response));
  std::int16_t error = 0;
  for (const auto& topic : response.responses) {
    for (const auto& partition : topic.partition_responses) {
      if (partition.error_code != 0) error = partition.error_code;
    }
  }
  measured_.latency_ns.record(now - began);
  ++measured_.counts.requests;
  if (error != 0) {
    note_error(error);
    return {};
  }
  measured_.counts.records += static_cast<std::uint64_t>(plan_.records);
  measured_.counts.bytes += batch_size_;
  return {};
}

Result<void> BenchWorkload::fetch_answered(Lane& lane, ByteView answer, std::int64_t began,
                                           std::int64_t now) {
  protocol::FetchResponse response;
  TRY_VOID(decode_answer(answer, plan_.fetch_version, response));
  if (response.error_code != 0) note_error(response.error_code);
  for (const auto& topic : response.responses) {
    for (const auto& partition : topic.partitions) {
      if (partition.error_code != 0) {
        note_error(partition.error_code);
        continue;
      }
      count_records(lane, partition.partition_index, partition.records.value_or(ByteView()), now);
      // At the end it begins anew: what is there is read over and over.
      Offset& at = lane.at[partition.partition_index];
      if (plan_.mode == Mode::consume && at >= partition.high_watermark)
        at = std::max<Offset>(partition.log_start_offset, 0);
    }
  }
  if (plan_.mode == Mode::consume) {
    ++measured_.counts.requests;
    measured_.latency_ns.record(now - began);
  }
  return {};
}

void BenchWorkload::count_records(Lane& lane, PartitionIndex partition, ByteView records,
                                  std::int64_t now) {
  protocol::BatchIterator batches(records);
  while (const auto batch = batches.next()) {
    lane.at[partition] = batch->last_offset() + 1;
    if (batch->is_legacy()) continue;
    if (plan_.mode == Mode::consume) {
      measured_.counts.bytes += batch->size_bytes();
      measured_.counts.records += static_cast<std::uint64_t>(batch->record_count());
      continue;
    }
    protocol::RecordIterator walk(batch->records(), batch->record_count());
    for (protocol::RecordView record; walk.next(record);) {
      const auto value = record.value();
      if (value && value->size() >= sizeof(std::int64_t))
        measured_.end_to_end_ns.record(now - load_big<std::int64_t>(value->data()));
    }
  }
}

}  // namespace drave::bench
