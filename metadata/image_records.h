#pragma once
// An image as the records that make it again: the content of a snapshot.

#include "metadata/image.h"
#include "metadata/record_list.h"

namespace drave::metadata {

// In Kafka's order: features, registrations, topics, configs, quotas, producer ids, ACLs, SCRAM,
// tokens. Records have the versions that the image's metadata.version knows. What control records
// say (kraft.version, voters) is not among them: raftlog/snapshot.h writes it.
RecordList image_records(const Image& image);

// The same in pieces, so that a large image holds up nobody: call next() until it is false, and
// take the records after each call.
class ImageRecords {
 public:
  explicit ImageRecords(ImagePtr image);
  bool next(RecordList& records);

 private:
  enum class Part : std::uint8_t { features, topics, configs, quotas, acls, rest, end };
  bool add_topics(RecordList& records);
  bool add_configs(RecordList& records);
  bool add_acls(RecordList& records);

  ImagePtr image_;
  Part part_ = Part::features;
  SharedMap<std::string, TopicPtr>::const_iterator topic_;
  SharedMap<ConfigResource, ConfigMap>::const_iterator config_;
  AclMap::const_iterator acl_;
};

// For the controller.
void add_partition_record(RecordList& records, const TopicId& topic, PartitionIndex index,
                          const PartitionImage& partition, std::int16_t metadata_version);

}  // namespace drave::metadata
