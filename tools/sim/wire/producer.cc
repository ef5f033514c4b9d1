#include "tools/sim/wire/producer.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "io/scope.h"
#include "protocol/batch_builder.h"
#include "protocol/error_code.h"
#include "protocol/header.h"
#include "protocol/messages/fetch.h"
#include "protocol/messages/init_producer_id.h"
#include "protocol/messages/metadata.h"
#include "protocol/messages/produce.h"
#include "protocol/record.h"

namespace drave::simulation {

using io::Task;
using protocol::ErrorCode;

namespace {

constexpr std::string_view kTopic = "events";
constexpr std::size_t kNumberBytes = 8;

std::vector<std::uint8_t> value_of(std::uint64_t number) {
  std::vector<std::uint8_t> value(kNumberBytes + number % 300, static_cast<std::uint8_t>(number));
  store_big(value.data(), number);
  return value;
}

}  // namespace

void WireProducer::violate(std::string invariant, std::string detail) {
  if (!violation_) violation_ = Violation{std::move(invariant), std::move(detail)};
}

template <class Request>
std::vector<std::uint8_t> WireProducer::frame_of(Link& link, const Request& request,
                                                 std::int16_t version) {
  protocol::Writer out;
  out.integer(std::int32_t{0});
  protocol::RequestHeader header;
  header.request_api_key = Request::kApiKey;
  header.request_api_version = version;
  header.correlation_id = ++link.correlation_id;
  header.client_id = "drave-sim";
  ASSERT(encode_request_header(out, header).has_value());
  ASSERT(encode(out, request, version).has_value());
  out.patch(0, static_cast<std::int32_t>(out.size() - 4));
  return {out.own().begin(), out.own().end()};
}

template <class Response, class Request>
Task<Result<WireProducer::Answer<Response>>> WireProducer::call(Link& link, Request request,
                                                                std::int16_t version) {
  std::vector<std::uint8_t> bytes = frame_of(link, request, version);
  const std::int32_t correlation_id = link.correlation_id;
  std::vector<iovec> pieces{{bytes.data(), bytes.size()}};
  CO_TRY_VOID(co_await link.socket.send_all(std::move(pieces)));
  std::vector<std::uint8_t> length(4);
  CO_TRY(const std::size_t head, co_await link.socket.receive_exactly(length));
  if (head < length.size()) co_return failure(Errc::closed, "no answer");
  Answer<Response> answer;
  answer.frame.resize(load_big<std::uint32_t>(length.data()));
  CO_TRY(const std::size_t body, co_await link.socket.receive_exactly(answer.frame));
  if (body < answer.frame.size()) co_return failure(Errc::closed, "half an answer");
  protocol::Reader in(answer.frame);
  protocol::ResponseHeader header;
  CO_TRY_VOID(decode_response_header(in, header, Request::kApiKey, version));
  if (header.correlation_id != correlation_id) {
    co_return failure(Errc::corrupt, "an answer with another correlation id");
  }
  CO_TRY_VOID(decode(in, answer.message, version));
  co_return answer;
}

Task<void> WireProducer::run(io::sim::Process& process) {
  bool is_verified = false;
  while (!process.is_dead() && !violation_) {
    Link first;
    Link second;
    const Result<void> visited = co_await visit(process, first, second, is_verified);
    if (first.socket.is_open()) co_await first.socket.close();
    if (second.socket.is_open()) co_await second.socket.close();
    if (process.is_dead()) break;
    LOG_DEBUG("sim", "connection ends: {}", visited ? "" : visited.error().message());
    co_await io::sleep_for(process.loop(0), milliseconds(1));
  }
}

Task<Result<void>> WireProducer::visit(io::sim::Process& process, Link& first, Link& second,
                                       bool& is_verified) {
  io::Loop& loop = process.loop(0);
  CO_TRY(first.socket, co_await io::Socket::connect(loop, {host_, kWirePort}));
  CO_TRY(second.socket, co_await io::Socket::connect(loop, {host_, kWirePort}));
  CO_TRY_VOID(co_await prepare(process, first));
  if (!is_verified) CO_TRY_VOID(co_await verify(process, first));
  if (!process.is_dead()) is_verified = true;
  while (!process.is_dead() && !violation_) {
    CO_TRY_VOID(co_await produce(process, first, second));
    if (random_.one_in(3)) {
      co_await io::sleep_for(loop, microseconds(random_.between(0, 2000)));
    }
  }
  co_return Result<void>{};
}

// The topic is made by the first that asks for it.
Task<Result<void>> WireProducer::prepare(io::sim::Process& process, Link& link) {
  protocol::MetadataRequest metadata;
  metadata.topics->push_back({{}, kTopic});
  CO_TRY(const auto topics, co_await call<protocol::MetadataResponse>(link, metadata, 12));
  if (topics.message.topics.at(0).error_code != 0) co_return failure(Errc::busy, "no topic yet");
  if (producer_id_ >= 0) co_return Result<void>{};
  protocol::InitProducerIdRequest request;
  request.transactional_id.reset();
  CO_TRY(const auto made, co_await call<protocol::InitProducerIdResponse>(link, request, 4));
  if (made.message.error_code != 0) co_return failure(Errc::busy, "no producer id yet");
  if (process.is_dead()) co_return failure(Errc::closed, "dead");
  producer_id_ = made.message.producer_id;
  producer_epoch_ = made.message.producer_epoch;
  co_return Result<void>{};
}

// --- Looking

bool WireProducer::take_records(ByteView records, std::uint64_t& count, std::int64_t& offset) {
  protocol::BatchIterator batches(records);
  while (const auto batch = batches.next()) {
    if (!batch->crc_matches()) {
      violate("damaged-record-served", fmt::format("at offset {}", batch->base_offset()));
      return false;
    }
    protocol::RecordIterator each(batch->records(), batch->record_count());
    protocol::RecordView record;
    while (each.next(record)) {
      const ByteView value = record.value().value_or(ByteView());
      const std::uint64_t number =
          value.size() < kNumberBytes ? UINT64_MAX : load_big<std::uint64_t>(value.data());
      if (number != count) {
        violate(number < count ? "record-duplicated" : "acknowledged-record-lost",
                fmt::format("record {} stands where {} was to be", number, count));
        return false;
      }
      if (!std::ranges::equal(value, value_of(number))) {
        violate("damaged-record-served", fmt::format("record {}", number));
        return false;
      }
      ++count;
    }
    offset = batch->last_offset() + 1;
  }
  return true;
}

Task<Result<void>> WireProducer::verify(io::sim::Process& process, Link& link) {
  std::uint64_t count = 0;
  int empty_count = 0;
  for (std::int64_t offset = 0;;) {
    protocol::FetchRequest request;
    request.max_bytes = 1 << 20;
    auto& wanted = request.topics.emplace_back();
    wanted.topic = kTopic;
    auto& at = wanted.partitions.emplace_back();
    at.fetch_offset = offset;
    at.partition_max_bytes = 1 << 20;
    CO_TRY(const auto fetched, co_await call<protocol::FetchResponse>(link, request, 12));
    if (process.is_dead()) co_return failure(Errc::closed, "dead");
    const auto& data = fetched.message.responses.at(0).partitions.at(0);
    if (data.error_code == static_cast<std::int16_t>(ErrorCode::offset_out_of_range)) break;
    if (data.error_code != 0) co_return failure(Errc::busy, "fetch is refused");
    LOG_DEBUG("sim", "fetched offset={} high_watermark={} bytes={} count={}", offset,
              data.high_watermark, data.records ? data.records->size() : 0, count);
    if (offset >= data.high_watermark) break;
    if (!data.records || data.records->empty()) {
      // The node may answer before the disk has.
      ++tally_["empty_fetches"];
      if (++empty_count > 100) co_return failure(Errc::busy, "fetches get nothing");
      co_await io::sleep_for(process.loop(0), milliseconds(1));
      continue;
    }
    if (!take_records(*data.records, count, offset)) co_return failure(Errc::closed, "violated");
    ++tally_["fetches"];
  }
  if (count < acknowledged_) {
    violate("acknowledged-record-lost",
            fmt::format("{} records were acknowledged, {} are there", acknowledged_, count));
  } else if (count != acknowledged_ && count != batch_end_) {
    violate("unknown-record", fmt::format("{} records were acknowledged, {} sent, {} are there",
                                          acknowledged_, batch_end_, count));
  }
  if (violation_) co_return failure(Errc::closed, "violated");
  acknowledged_ = count;
  ++verified_count_;
  ++tally_["recoveries"];
  co_return Result<void>{};
}

// --- Producing

void WireProducer::make_batch(TimestampMs now_ms) {
  const std::uint64_t records = 1 + random_.below(3);
  protocol::BatchOptions options;
  options.producer_id = producer_id_;
  options.producer_epoch = producer_epoch_;
  options.base_sequence = static_cast<Sequence>(acknowledged_);
  protocol::BatchBuilder builder(options);
  for (std::uint64_t i = 0; i < records; ++i) {
    builder.append(now_ms, std::nullopt, ByteView(value_of(acknowledged_ + i)));
  }
  batch_ = std::move(builder).finish();
  batch_end_ = acknowledged_ + records;
}

Task<Result<void>> WireProducer::produce(io::sim::Process& process, Link& first, Link& second) {
  io::Loop& loop = process.loop(0);
  if (batch_end_ <= acknowledged_) make_batch(loop.wall_now());
  Result<void> outcome;
  {
    io::Scope scope(loop);
    scope.spawn(send_batch(process, first, outcome));
    if (random_.one_in(2)) {
      co_await io::sleep_for(loop, microseconds(random_.between(0, 500)));
      ++tally_["duplicates_sent"];
      scope.spawn(send_batch(process, second, outcome));
    }
    co_await scope.join();
  }
  co_return outcome;
}

Task<void> WireProducer::send_batch(io::sim::Process& process, Link& link, Result<void>& outcome) {
  const std::vector<std::uint8_t> batch = batch_;
  const std::uint64_t end = batch_end_;
  protocol::ProduceRequest request;
  request.acks = -1;
  request.timeout_ms = 30'000;
  auto& data = request.topic_data.emplace_back();
  data.name = kTopic;
  data.partition_data.push_back({0, ByteView(batch)});
  const auto answer = co_await call<protocol::ProduceResponse>(link, request, 9);
  if (process.is_dead()) co_return;
  if (!answer) {
    outcome = std::unexpected(answer.error());
    co_return;
  }
  const auto& partition = answer->message.responses.at(0).partition_responses.at(0);
  if (partition.error_code == static_cast<std::int16_t>(ErrorCode::out_of_order_sequence_number)) {
    violate("producer-state-wrong", fmt::format("the batch up to record {} is out of order", end));
  } else if (partition.error_code != 0) {
    outcome = failure(Errc::busy, "produce is refused: " + std::to_string(partition.error_code));
  } else if (end > acknowledged_) {
    LOG_DEBUG("sim", "acknowledged records={} offset={}", end, partition.base_offset);
    tally_["acknowledged"] += end - acknowledged_;
    acknowledged_ = end;
  }
}

}  // namespace drave::simulation
