#include "broker/produce/produce_operation.h"

#include <algorithm>

#include "base/canary.h"
#include "broker/handlers/leader_hint.h"
#include "broker/handlers/partition_access.h"
#include "broker/net/connection.h"
#include "broker/node.h"
#include "broker/security/access.h"
#include "protocol/recompress.h"

namespace drave::broker {

using protocol::ErrorCode;

// --- On the connection's shard

ProduceOperation::ProduceOperation(Request request, const protocol::ProduceRequest& message)
    : shard_(request.shard),
      connection_(request.connection),
      response_(&request.response),
      frame_(std::move(request.frame)),
      version_(request.version),
      acks_(message.acks),
      timeout_ms_(message.timeout_ms),
      has_transactional_id_(message.transactional_id.has_value()),
      timeout_([](io::Timer& timer) { static_cast<Timeout&>(timer).operation->on_timeout(); }) {
  timeout_.operation = this;
  std::size_t partitions = 0;
  for (const auto& topic : message.topic_data) partitions += topic.partition_data.size();
  topics_.make(message.topic_data.size());
  appends_.make(partitions);
  parts_.make(std::min<std::size_t>(partitions, shard_.count()));
}

io::Task<void> ProduceOperation::start(Request request, protocol::ProduceRequest message) {
  Access access(request);
  auto* operation = new ProduceOperation(std::move(request), message);
  co_await operation->judge(message, std::move(access));
  operation->dispatch();
}

namespace {

// Who may not write to a topic is not told whether there is one of that name.
ErrorCode topic_error_of(const ServedTopic* served, std::string_view name, bool by_id,
                         const Access& access) {
  if (by_id && served == nullptr) return ErrorCode::unknown_topic_id;
  if (!access.may_topic(protocol::AclOperation::write, by_id ? served->topic->name : name))
    return ErrorCode::topic_authorization_failed;
  if (served == nullptr) return ErrorCode::unknown_topic_or_partition;
  return served->is_internal ? ErrorCode::invalid_topic_exception : ErrorCode::none;
}

}  // namespace

io::Task<void> ProduceOperation::judge(const protocol::ProduceRequest& message, Access access) {
  std::size_t topic_number = 0;
  std::size_t append_number = 0;
  for (const auto& topic : message.topic_data) {
    const ServedTopic* served =
        version_ >= 13 ? shard_.image().find(topic.topic_id) : shard_.image().find(topic.name);
    const ErrorCode error = topic_error_of(served, topic.name, version_ >= 13, access);
    topics_[topic_number++] = {std::string(topic.name), topic.topic_id, append_number,
                               topic.partition_data.size()};
    // The image may be swapped while a large batch is judged: the entry is held, not borrowed.
    const ServingImagePtr image = shard_.image_ptr();
    for (const auto& partition : topic.partition_data) {
      PartitionAppend& append = appends_[append_number++];
      append.index = partition.index;
      if (served != nullptr) append.id = {served->topic->id, partition.index};
      co_await judge_partition(served, error, partition.records, append);
    }
  }
}

io::Task<void> ProduceOperation::judge_partition(const ServedTopic* topic, ErrorCode topic_error,
                                                 std::optional<ByteView> records,
                                                 PartitionAppend& append) {
  append.error = topic_error;
  if (topic_error != ErrorCode::none) co_return;
  if (acks_ != 0 && acks_ != 1 && acks_ != -1) {
    append.error = ErrorCode::invalid_required_acks;
    co_return;
  }
  const auto partition = topic->topic->partitions.find(append.id.partition);
  if (partition == topic->topic->partitions.end()) {
    append.error = ErrorCode::unknown_topic_or_partition;
    co_return;
  }
  append.leader_epoch = partition->second.leader_epoch;
  const metadata::TopicConfig& config = topic->config;
  append.error = produce_refusal(partition->second, config, shard_.config().node_id, acks_);
  if (append.error != ErrorCode::none) co_return;
  protocol::ValidationOptions options;
  options.timestamp_type = config.message_timestamp_type == metadata::TimestampType::log_append_time
                               ? protocol::TimestampType::log_append_time
                               : protocol::TimestampType::create_time;
  options.timestamp_before_max_ms = config.message_timestamp_before_max_ms;
  options.timestamp_after_max_ms = config.message_timestamp_after_max_ms;
  options.batch_bytes_max = static_cast<std::size_t>(config.max_message_bytes);
  options.segment_bytes_max = static_cast<std::size_t>(config.segment_bytes);
  if (config.compression_type != metadata::CompressionType::producer)
    options.codec = static_cast<protocol::Codec>(static_cast<int>(config.compression_type) - 1);
  options.compacted = config.cleanup_compact;
  options.topic = topic->topic->name;
  options.partition = append.id.partition;
  options.produce_version = version_;
  options.now_ms = shard_.loop().wall_now();
  const ByteView bytes = records.value_or(ByteView{});
  protocol::BatchValidation validation(bytes, options, &shard_.decompressors());
  while (!validation.step()) co_await io::yield(shard_.loop());
  protocol::Verdict& verdict = validation.verdict();
  append.error = verdict.error;
  append.message = verdict.message.value_or("");
  append.record_failures = std::move(verdict.record_failures);
  if (verdict.error != ErrorCode::none) co_return;
  append.accepted = verdict.batch;
  // The frame is ours to write in: offsets are stamped where the batch stands.
  append.batch = {const_cast<std::uint8_t*>(bytes.data()), verdict.batch.size_bytes};
  if (append.accepted.needs_recompression()) co_await recompress(config, append);
}

io::Task<void> ProduceOperation::recompress(metadata::TopicConfig config, PartitionAppend& append) {
  protocol::Recompression::Options options;
  options.codec = append.accepted.stored_codec;
  options.batch_bytes_max = static_cast<std::size_t>(config.max_message_bytes);
  switch (options.codec) {
    case protocol::Codec::gzip: options.level = config.compression_gzip_level; break;
    case protocol::Codec::lz4: options.level = config.compression_lz4_level; break;
    case protocol::Codec::zstd: options.level = config.compression_zstd_level; break;
    case protocol::Codec::none:
    case protocol::Codec::snappy: break;
  }
  const auto batch = protocol::parse_batch(append.batch);
  ASSERT(batch.has_value());  // it was accepted
  protocol::Recompression work(*batch, options, &shard_.decompressors());
  for (;;) {
    const Result<bool> done = work.step();
    if (!done) {
      const bool large = done.error().code == Errc::too_large;
      append.error = large ? ErrorCode::message_too_large : ErrorCode::corrupt_message;
      append.message = done.error().message();
      co_return;
    }
    if (*done) break;
    co_await io::yield(shard_.loop());
  }
  append.recompressed = std::move(work.result());
  append.batch = append.recompressed;
  append.accepted.size_bytes = append.recompressed.size();
}

ProducePart& ProduceOperation::part_of(std::uint32_t shard) {
  for (ProducePart& part : parts())
    if (part.shard_number_ == shard) return part;
  ProducePart& part = parts_[part_count_++];
  part.begin(*this, shard);
  return part;
}

void ProduceOperation::dispatch() {
  for (PartitionAppend& append : appends_) {
    if (append.error == ErrorCode::none) part_of(shard_of(append.id, shard_.count())).add(append);
  }
  parts_appending_ = parts_open_ = part_count_;
  if (acks_ == 0) {
    // No answer will be sent; the order of answers must not wait for this one.
    bool failed = false;
    for (const PartitionAppend& append : appends_)
      failed = failed || append.error != ErrorCode::none;
    if (failed)
      response_->close_connection();
    else
      response_->send_nothing();
    response_ = nullptr;
  }
  if (part_count_ == 0) return finish();
  if (acks_ != 0) {
    shard_.loop().timers().arm(timeout_,
                               shard_.loop().now() + milliseconds(std::max(timeout_ms_, 1)));
  }
  // A local part may finish this operation at once: the last touch of it is a local part's arrival.
  ProducePart* local = nullptr;
  for (ProducePart& part : parts()) {
    if (part.shard_number_ == shard_.number())
      local = &part;
    else
      shard_.loop().hub()->send(shard_.number(), part.shard_number_, part.go_);
  }
  if (local != nullptr) local->arrive();
}

void ProduceOperation::on_appended() {
  if (--parts_appending_ == 0) frame_.reset();
}

void ProduceOperation::on_done() {
  if (--parts_open_ == 0) finish();
}

void ProduceOperation::on_timeout() {
  // What was appended stays; the client is told that it is not known to be safe in time.
  if (response_ == nullptr) return;
  protocol::ProduceResponse response;
  for (const Topic& topic : topics_) {
    auto& out = response.responses.emplace_back();
    out.name = topic.name;
    out.topic_id = topic.id;
    for (std::size_t i = topic.first; i < topic.first + topic.count; ++i) {
      auto& partition = out.partition_responses.emplace_back();
      partition.index = appends_[i].index;
      partition.error_code = static_cast<std::int16_t>(ErrorCode::request_timed_out);
      partition.base_offset = -1;
    }
  }
  response_->send(response);
  response_ = nullptr;
}

void ProduceOperation::answer() {
  protocol::ProduceResponse response;
  response.responses.reserve(topics_.size());
  for (const Topic& topic : topics_) {
    auto& out = response.responses.emplace_back();
    out.name = topic.name;
    out.topic_id = topic.id;
    out.partition_responses.reserve(topic.count);
    for (std::size_t i = topic.first; i < topic.first + topic.count; ++i) {
      const PartitionAppend& append = appends_[i];
      auto& partition = out.partition_responses.emplace_back();
      partition.index = append.index;
      partition.error_code = static_cast<std::int16_t>(append.error);
      partition.base_offset = append.error == ErrorCode::none ? append.base_offset : -1;
      partition.log_append_time_ms = append.append_time;
      partition.log_start_offset = append.log_start;
      if (!append.message.empty()) partition.error_message = append.message;
      for (const protocol::RecordFailure& failure : append.record_failures)
        partition.record_errors.push_back({failure.batch_index, failure.message});
      if (append.error == ErrorCode::not_leader_or_follower && version_ >= 10) {
        hint_leader(shard_.image(), append.id, connection_.listener().name,
                    partition.current_leader, response.node_endpoints);
      }
    }
  }
  response_->send(response);
}

void ProduceOperation::finish() {
  shard_.loop().timers().disarm(timeout_);
  if (response_ != nullptr)
    answer();
  else if (acks_ == 0) {
    for (const PartitionAppend& append : appends_) {
      if (append.error == ErrorCode::none) continue;
      connection_.stop_reading("a produce request with acks=0 failed");
      break;
    }
  }
  connection_.operation_ended();
  delete this;
}

// --- On the partitions' shard

void ProducePart::begin(ProduceOperation& operation, std::uint32_t shard) {
  operation_ = &operation;
  shard_number_ = shard;
  go_.part = appended_.part = done_.part = this;
  go_.run = [](io::Message& message) { static_cast<PartMessage&>(message).part->arrive(); };
  appended_.run = [](io::Message& message) {
    static_cast<PartMessage&>(message).part->operation_->on_appended();
  };
  done_.run = [](io::Message& message) {
    static_cast<PartMessage&>(message).part->operation_->on_done();
  };
  shard_ = &operation.shard_.node().shard(shard);
}

void ProducePart::add(PartitionAppend& append) {
  append.part = this;
  (last_ == nullptr ? next_ : last_->next) = &append;
  last_ = &append;
}

void ProducePart::arrive() {
  // Behind those that wait already: a later batch of a producer must not overtake an earlier one.
  if (shard_->has_blocked() || !try_append()) shard_->block(*this);
}

bool ProducePart::try_append() {
  for (; next_ != nullptr; next_ = next_->next) {
    if (!append_one(*next_)) return false;
  }
  send_home(appended_);
  one_settled();
  return true;
}

bool ProducePart::append_one(PartitionAppend& append) {
  Replica* replica = shard_->replica(append.id);
  if (replica == nullptr) {
    append.error = ErrorCode::not_leader_or_follower;
    return true;
  }
  segments::PartitionLog& log = replica->log();
  append.log_start = log.log_start();
  if (log.is_fenced() || !replica->directory().accepts_writes()) {
    append.error = ErrorCode::kafka_storage_error;
    append.message = log.is_fenced() ? "The log directory of this partition has failed."
                                     : "The disk of this partition is nearly full.";
    return true;
  }
  const protocol::AcceptedBatch& batch = append.accepted;
  if (batch.producer_id >= 0) {
    const segments::SequenceCheck check =
        log.check_sequence({.producer_id = batch.producer_id,
                            .epoch = batch.producer_epoch,
                            .first_sequence = batch.first_sequence,
                            .last_sequence = batch.last_sequence,
                            .timestamp = batch.max_timestamp,
                            .is_transactional = batch.transactional});
    append.message = check.message;
    switch (check.verdict) {
      case segments::SequenceVerdict::accept: break;
      case segments::SequenceVerdict::duplicate:
        append.base_offset = check.first_offset;
        append.append_time =
            batch.timestamp_type == protocol::TimestampType::log_append_time ? check.timestamp : -1;
        wait_for_duplicate(append, *replica, check.last_offset + 1);
        return true;
      case segments::SequenceVerdict::out_of_order:
        append.error = ErrorCode::out_of_order_sequence_number;
        return true;
      case segments::SequenceVerdict::fenced_epoch:
        append.error = ErrorCode::invalid_producer_epoch;
        return true;
      case segments::SequenceVerdict::invalid_txn_state:
        append.error = ErrorCode::invalid_txn_state;
        return true;
    }
  }
  // Timestamps as they are stored; offset and epoch are the log's to stamp.
  protocol::accept_batch(append.batch, batch, log.end(), replica->leader_epoch());
  const Result<segments::AppendResult> appended =
      log.append_as_leader(append.batch, replica->leader_epoch(), shard_->loop().wall_now());
  if (!appended) {
    if (appended.error().code == Errc::busy) {
      room_ = &log.room();
      return false;
    }
    append.error = ErrorCode::kafka_storage_error;
    append.message = appended.error().message();
    return true;
  }
  append.appended = true;
  append.base_offset = appended->first_offset;
  if (batch.timestamp_type == protocol::TimestampType::log_append_time)
    append.append_time = batch.max_timestamp;
  replica->on_appended();
  wait_durable(append, *replica, appended->end_offset);
  return true;
}

// A duplicate is acknowledged no earlier than its original.
void ProducePart::wait_for_duplicate(PartitionAppend& append, Replica& replica, Offset end) {
  if (DRAVE_CANARY("duplicate-acked-early")) return;
  wait_durable(append, replica, end);
}

void ProducePart::wait_durable(PartitionAppend& append, Replica& replica, Offset end) {
  if (operation_->acks_ == 0) return;
  ++unsettled_;
  append.durable.append = &append;
  append.durable.wanted = end;
  append.durable.done = [](segments::DurableWaiter& waiter, bool failed) {
    PartitionAppend& settled = *static_cast<PartitionAppend::Durable&>(waiter).append;
    if (failed) {
      settled.error = ErrorCode::kafka_storage_error;
      settled.message = "The partition's log failed or was removed before the batch was on disk.";
    }
    settled.part->one_settled();
  };
  replica.log().when_durable(append.durable);
}

void ProducePart::one_settled() {
  if (--unsettled_ == 0) send_home(done_);
}

void ProducePart::send_home(PartMessage& message) {
  Shard& home = operation_->shard_;
  if (&home == shard_) return message.run(message);
  shard_->loop().hub()->send(shard_number_, home.number(), message);
}

}  // namespace drave::broker
