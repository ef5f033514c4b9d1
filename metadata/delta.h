#pragma once
// A change of the image under way: records are applied in the order of the log, then finish() makes
// the next image. The image it began from stays as it was.

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "base/result.h"
#include "metadata/image.h"
#include "protocol/messages/control_records.h"
#include "protocol/metadata_record.h"

namespace drave::metadata {

class Delta {
 public:
  explicit Delta(const Image& base) : image_(base), now_(base.content_) {}
  Delta(Delta&&) = default;
  Delta& operator=(Delta&&) = default;

  // Applies one committed record. Errors: invalid, naming the record (it speaks of a topic,
  // partition or broker that is not there, or not in that epoch): the log and this image do not
  // belong together, and nothing can be served from the image.
  Result<void> apply(const protocol::MetadataRecord& record);
  // The same from a record's value. Errors also: unsupported, naming a type or version that Kafka
  // 4.3 does not have; invalid, bytes that are not such a record.
  Result<void> apply(ByteView value);
  // From control records of the log.
  void apply(const protocol::KRaftVersionRecord& record);
  void apply(const protocol::VotersRecord& record);

  // The image with everything applied, at the offset of the last record applied. It shares the
  // content of the base if no record set anything; one that sets what is set already makes a copy.
  Image finish(OffsetAndEpoch last_contained, TimestampMs timestamp) &&;

 private:
  Result<void> on(const protocol::RegisterBrokerRecord& record);
  Result<void> on(const protocol::UnregisterBrokerRecord& record);
  Result<void> on(const protocol::TopicRecord& record);
  Result<void> on(const protocol::PartitionRecord& record);
  Result<void> on(const protocol::ConfigRecord& record);
  Result<void> on(const protocol::PartitionChangeRecord& record);
  Result<void> on(const protocol::FenceBrokerRecord& record);
  Result<void> on(const protocol::UnfenceBrokerRecord& record);
  Result<void> on(const protocol::RemoveTopicRecord& record);
  Result<void> on(const protocol::DelegationTokenRecord& record);
  Result<void> on(const protocol::UserScramCredentialRecord& record);
  Result<void> on(const protocol::FeatureLevelRecord& record);
  Result<void> on(const protocol::ClientQuotaRecord& record);
  Result<void> on(const protocol::ProducerIdsRecord& record);
  Result<void> on(const protocol::BrokerRegistrationChangeRecord& record);
  Result<void> on(const protocol::AccessControlEntryRecord& record);
  Result<void> on(const protocol::RemoveAccessControlEntryRecord& record);
  Result<void> on(const protocol::NoOpRecord& record);
  Result<void> on(const protocol::ZkMigrationStateRecord& record);
  Result<void> on(const protocol::RemoveUserScramCredentialRecord& record);
  Result<void> on(const protocol::BeginTransactionRecord& record);
  Result<void> on(const protocol::EndTransactionRecord& record);
  Result<void> on(const protocol::AbortTransactionRecord& record);
  Result<void> on(const protocol::RemoveDelegationTokenRecord& record);
  Result<void> on(const protocol::RegisterControllerRecord& record);
  Result<void> on(const protocol::ClearElrRecord& record);

  // The topic, copied so that it may be changed; null: there is none. Valid until another is
  // opened.
  TopicImage* open(const TopicId& id);
  // Makes room for one more.
  void close_some();
  void close_all();
  // The topic with everything applied; null: there is none.
  const TopicImage* last(const TopicId& id) const;
  Result<RegistrationImage*> registered(NodeId id, std::int64_t epoch, std::string_view record);
  // The ACLs, copied once for this delta so that they may be changed.
  AclMap& open_acls();
  Result<void> keep(std::string key, const protocol::MetadataRecord& record);
  Result<void> forget(const std::string& key, std::string_view record);

  // What is changed, copied once for this delta.
  Image::Content& change();
  // Adds what the partition's replicas are, or takes it back.
  void count(const PartitionImage& partition, int sign);

  Image image_;                                // its content is the base's until finish()
  std::shared_ptr<const Image::Content> now_;  // with everything applied but open_ and acls_
  std::shared_ptr<Image::Content> changed_;    // the same, once it is a copy; else null
  std::map<TopicId, std::shared_ptr<TopicImage>> open_;  // topics being changed
  std::shared_ptr<AclMap> acls_;                         // null: this delta changes none
};

}  // namespace drave::metadata
