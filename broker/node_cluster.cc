// The part of a node that makes it a member of a cluster: its controller, its way to the active
// one, its registration, and what it asks the active one for.

#include <algorithm>

#include "base/log.h"
#include "broker/limits.h"
#include "broker/node.h"
#include "broker/reconcile.h"
#include "io/descriptors.h"
#include "io/each.h"
#include "io/mailbox.h"

namespace drave::broker {

namespace {

// How long a client's request waits for a block of producer ids, and for a topic that was just made
// elsewhere to be known here.
constexpr Duration kProducerIdsWait = seconds(5);
constexpr Duration kCreatedTopicsWait = seconds(1);

// A start that waits for descriptors is not to hold up the stop.
io::Task<void> end_descriptor_waits(std::vector<io::Loop*> loops) {
  for (io::Loop* loop : loops) {
    co_await io::call_on(*loops.front(), loop->shard(),
                         [loop] { io::end_descriptor_waits(*loop); });
  }
}

}  // namespace

io::Task<Result<void>> Node::open_controller() {
  io::Backend& backend = loops_.front()->backend();
  incarnation_id_ = Uuid::from_random(backend.entropy(), backend.entropy());
  ControllerOptions options;
  options.config = &config_;
  options.cluster_id = cluster_id_;
  options.metadata_directory_id = directories_[metadata_directory_]->meta().directory_id;
  options.incarnation_id = incarnation_id_;
  options.on_failed = [this](const Error& error) { metadata_failed(error); };
  CO_TRY(controller_, co_await QuorumController::open(
                          *loops_.front(), *directories_[metadata_directory_], options, *this));
  ChannelOptions channel;
  channel.client_id = fmt::format("drave-{}", config_.node_id);
  channel.listener = config_.controller_listener_name;
  channel.request_timeout = milliseconds(config_.quorum_request_timeout_ms);
  channel.retry_backoff = milliseconds(config_.quorum_retry_backoff_ms);
  channel_ = std::make_unique<ControllerChannel>(*loops_.front(), *controller_, channel);
  forward_channel_ = std::make_unique<ControllerChannel>(*loops_.front(), *controller_, channel);
  forwarder_ = std::make_unique<Forwarder>(*loops_.front(), *controller_, *forward_channel_);
  co_return Result<void>{};
}

void Node::start_controller() {
  channel_->start();
  forward_channel_->start();
  controller_->start();
  scope_.spawn(sample_loop());
  if (!config_.has_controller_role) return;
  controller_registration_ = std::make_unique<ControllerRegistration>(
      *loops_.front(), config_, *controller_, *channel_, incarnation_id_);
  controller_registration_->start();
}

void Node::take_sample() {
  auto taken = std::make_shared<const QuorumSample>(
      sample_quorum(*controller_, lifecycle_.get(), config_, loops_.front()->wall_now()));
  const std::lock_guard hold(sample_mutex_);
  sample_ = std::move(taken);
}

io::Task<void> Node::sample_loop() {
  while (!stop_requested_) {
    take_sample();
    co_await stopping_.wait_until(loops_.front()->now() + kGaugePeriod);
  }
}

std::shared_ptr<const QuorumSample> Node::quorum_sample() const {
  const std::lock_guard hold(sample_mutex_);
  return sample_;
}

Readiness Node::readiness() const {
  const NodeState now = state();
  const std::shared_ptr<const QuorumSample> sample = quorum_sample();
  if (now != NodeState::running || sample == nullptr) {
    // Who waits for a quorum that does not let it in should be able to see that.
    const std::string refusal =
        now == NodeState::recovering && sample != nullptr ? sample->refusal : std::string();
    return {false, std::string(to_string(now)) + (refusal.empty() ? "" : ": " + refusal)};
  }
  return readiness_of(*sample);
}

io::Task<Result<void>> Node::start_broker() {
  BrokerIdentity identity;
  identity.cluster_id = cluster_id_;
  identity.incarnation_id = incarnation_id_;
  identity.listeners = advertised_;
  identity.directories = own_directories_.ids;
  lifecycle_ = std::make_unique<BrokerLifecycle>(*loops_.front(), config_, *controller_, *channel_,
                                                 std::move(identity));
  lifecycle_->start();
  if (stop_requested_ || failure_.has_value()) lifecycle_->cancel();
  Result<void> done = co_await lifecycle_->caught_up();
  if (done) done = co_await start_shards();
  if (done) {
    // Before it leads its partitions again nobody is answered: who comes waits for a moment.
    lifecycle_->ready();
    done = co_await lifecycle_->in_service();
  }
  if (done) co_await begin_accepting(false);
  if (!done && failure_.has_value()) co_return std::unexpected(*failure_);
  co_return done;
}

void Node::cancel_start() {
  if (state_ == NodeState::running) return;
  const bool is_stopping = std::exchange(stop_requested_, true);
  if (lifecycle_ != nullptr) lifecycle_->cancel();
  // Whoever stops has joined the scope, or is about to, and ends the waits itself; a node that did
  // not begin to start has none, and nobody may join its scope.
  if (!is_stopping && state_ == NodeState::recovering) scope_.spawn(end_descriptor_waits(loops_));
}

// Without its metadata a node has nothing to go on with.
void Node::metadata_failed(const Error& error) {
  failure_ = error;
  if (lifecycle_ != nullptr) lifecycle_->cancel();
  if (failed_handler_ == nullptr) return;
  const auto handler = std::exchange(failed_handler_, nullptr);
  handler(
      fmt::format("the metadata log failed ({}). Look at the disk and its mount (dmesg), repair "
                  "or replace them, and start the node again: it recovers what it had "
                  "acknowledged",
                  error.message()));
}

io::Task<void> Node::leave_cluster() {
  // Another controller takes over first, while it has nothing else to do; it then sees to what this
  // broker leads. Clients here are served meanwhile, and what they ask of a controller goes there.
  const bool has_others = controller_ != nullptr && controller_->raft().voters().size() > 1;
  if (has_others && controller_->is_active()) co_await controller_->raft().hand_over();
  bool agreed = failure_.has_value();
  if (lifecycle_ != nullptr && !hurry_ && !agreed) agreed = co_await lifecycle_->leave();
  // Nor is this node chosen from now on; if it was meanwhile, it hands over, too. And where the
  // others are gone, what it decides is never committed: who waits for that hears of it now, and
  // does not hold up the drain.
  if (has_others || (controller_ != nullptr && !agreed)) co_await controller_->raft().hand_over();
  if (forward_channel_ != nullptr) scope_.spawn(forward_while_draining(agreed));
}

// What clients ask while they are seen off is decided elsewhere, if somebody is there.
io::Task<void> Node::forward_while_draining(bool has_controller) {
  const Instant end = loops_.front()->now() + kStopForwardMax;
  while (has_controller && drained_ == 0 && !hurry_ && loops_.front()->now() < end)
    co_await stopping_.wait_until(end);
  co_await forward_channel_->stop();
}

io::Task<void> Node::stop_controller() {
  if (lifecycle_ != nullptr) co_await lifecycle_->stop();
  if (controller_registration_ != nullptr) co_await controller_registration_->stop();
  if (channel_ != nullptr) co_await channel_->stop();
  if (controller_ != nullptr) co_await controller_->stop();
  if (forwarder_ != nullptr) co_await forwarder_->stop();
}

// --- Metadata

ServingImagePtr Node::build_serving_image(metadata::ImagePtr image) {
  return ServingImage::build(std::move(image), config_, *serving_);
}

io::Task<void> Node::publish(metadata::ImagePtr image) {
  ServingImagePtr next = build_serving_image(std::move(image));
  serving_ = next;
  if (shards_state_ == ShardsState::starting)
    co_return;  // start_shards() goes on until it has this one
  const bool started = shards_state_ == ShardsState::started;
  // Together: what is created and removed waits for the same disks. Before the shards have their
  // logs there is nothing to reconcile.
  co_await io::for_each(
      *loops_.front(), shards_.size(), shards_.size(), [&](std::size_t i) -> io::Task<void> {
        Shard* there = shards_[i].get();
        if (started) {
          co_await io::call_on(*loops_.front(), there->number(),
                               [there, next] { return reconcile(*there, next, false); });
        } else {
          co_await io::call_on(*loops_.front(), there->number(),
                               [there, next] { there->set_image(next); });
        }
      });
}

// --- What the active controller is asked for

io::Task<Result<protocol::AllocateProducerIdsResponse>> Node::take_producer_ids() {
  const Instant deadline = loops_.front()->now() + kProducerIdsWait;
  protocol::AllocateProducerIdsRequest request;
  request.broker_id = config_.node_id;
  for (;;) {
    request.broker_epoch = lifecycle_->epoch();
    const auto reply = co_await channel_->ask<protocol::AllocateProducerIdsResponse>(
        request, &QuorumController::allocate_producer_ids);
    if (reply && reply->message.error_code == 0) co_return reply->message;
    if (loops_.front()->now() >= deadline || stop_requested_)
      co_return failure(Errc::timed_out, "no active controller gave producer ids");
    co_await channel_->back_off();
  }
}

io::Task<Result<ProducerId>> Node::next_producer_id() {
  while (producer_ids_left_ == 0) {
    if (allocating_ids_) {
      const ProducerId before = producer_id_next_;
      co_await ids_ready_.wait();
      // All who waited for an attempt that failed are told so, instead of trying one by one.
      if (!allocating_ids_ && producer_id_next_ == before)
        co_return failure(Errc::timed_out, "no active controller gave producer ids");
      continue;
    }
    allocating_ids_ = true;
    const auto block = co_await take_producer_ids();
    allocating_ids_ = false;
    ids_ready_.wake_all();
    if (!block) co_return std::unexpected(block.error());
    producer_id_next_ = block->producer_id_start;
    producer_ids_left_ = block->producer_id_len;
  }
  --producer_ids_left_;
  co_return producer_id_next_++;
}

// Shared by all who wait for it and by the one who does it.
struct Node::AutoCreation {
  explicit AutoCreation(io::Loop& loop) : ended(loop) {}
  io::WaitQueue ended;
  bool has_ended = false;
  Refusals refused;
};

namespace {

// The creations that somebody waits for, each once, with those of its topics that are waited for.
template <class Creation>
class WaitedFor {
 public:
  struct Each {
    std::shared_ptr<Creation> creation;
    std::vector<std::string> names;
  };

  void add(const std::shared_ptr<Creation>& creation, std::string name) {
    const auto [at, is_new] = places_.emplace(creation.get(), all_.size());
    if (is_new) all_.push_back({creation, {}});
    all_[at->second].names.push_back(std::move(name));
  }
  // In the order in which they were added.
  const std::vector<Each>& all() const { return all_; }

 private:
  std::vector<Each> all_;
  std::map<const Creation*, std::size_t> places_;
};

}  // namespace

io::Task<Node::Refusals> Node::auto_create(std::vector<std::string> names, Caller caller) {
  io::Loop& loop = *loops_.front();
  const auto own = std::make_shared<AutoCreation>(loop);
  WaitedFor<AutoCreation> waited_for;
  std::vector<std::string> begun;
  for (const std::string& name : names) {
    if (const auto at = creations_.find(name); at != creations_.end()) {
      waited_for.add(at->second, name);
    } else if (creations_.size() < kAutoCreationsMax && !stop_requested_) {
      creations_.emplace(name, own);
      waited_for.add(own, name);
      begun.push_back(name);
    }
  }
  if (!begun.empty()) scope_.spawn(create_by_itself(std::move(begun), std::move(caller), own));
  const bool has_controller = controller_->is_active() || controller_->leader().has_value();
  const Instant deadline = loop.now() + (has_controller ? kAutoCreationWait : Duration{});
  Refusals refused;
  for (const auto& [creation, of_it] : waited_for.all()) {
    while (!creation->has_ended && loop.now() < deadline)
      co_await creation->ended.wait_until(deadline);
    for (const std::string& name : of_it)
      if (const auto at = creation->refused.find(name); at != creation->refused.end())
        refused.insert(*at);
  }
  co_return refused;
}

io::Task<void> Node::create_by_itself(std::vector<std::string> names, Caller caller,
                                      std::shared_ptr<AutoCreation> creation) {
  protocol::CreateTopicsRequest request;
  request.timeout_ms = 30'000;
  // What this node's file gives; else what the controller's does.
  const bool has_count = config_.given.contains("num.partitions");
  const bool has_factor = config_.given.contains("default.replication.factor");
  for (const std::string& name : names) {
    auto& topic = request.topics.emplace_back();
    topic.name = name;
    topic.num_partitions = has_count ? config_.num_partitions : -1;
    topic.replication_factor = has_factor
                                   ? static_cast<std::int16_t>(config_.default_replication_factor)
                                   : std::int16_t{-1};
  }
  const auto reply = co_await forwarder_->ask<protocol::CreateTopicsResponse>(
      request, protocol::CreateTopicsRequest::kVersionMax, std::move(caller));
  if (reply) {
    for (const auto& topic : reply->message.topics)
      if (topic.error_code != 0)
        creation->refused.emplace(topic.name, protocol::ErrorCode{topic.error_code});
    co_await wait_for_topics(reply->message);
  }
  for (const std::string& name : names) creations_.erase(name);
  creation->has_ended = true;
  creation->ended.wake_all();
}

io::Task<void> Node::wait_for_topics(const protocol::CreateTopicsResponse& created) {
  const auto all_known = [this, &created] {
    return std::all_of(created.topics.begin(), created.topics.end(), [this](const auto& topic) {
      return topic.error_code != 0 ||
             controller_->image()->topics().find(topic.name) != nullptr;  // every shard has it
    });
  };
  const Instant deadline = loops_.front()->now() + kCreatedTopicsWait;
  while (!all_known() && !stop_requested_ && loops_.front()->now() < deadline)
    co_await controller_->changed().wait_until(deadline);
}

}  // namespace drave::broker
