#pragma once
// What the clients of a simulated cluster asked for and what they were told; it lives outside of
// all nodes, and says where an image contradicts it.
//
// A request may take its effect long after its client has given up, and a node may have tried it
// twice before it says yes. So what is asked of a key is asked once, or is the same each time: what
// was acknowledged then stays as it is until something else is asked, and nothing may bring it
// about again. Topics are deleted by their ids.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "metadata/image.h"
#include "tools/sim/scenario.h"

namespace drave::simulation {

class Promises {
 public:
  // --- Said by clients: asked before the request goes out, done when the answer says yes.
  void topic_asked(const std::string& name, std::int32_t partitions) {
    names_.emplace(name, partitions);
  }
  void topic_created(const std::string& name, const TopicId& id, std::int32_t partitions);
  void deletion_asked(const TopicId& id);
  void topic_deleted(const TopicId& id);
  void partitions_asked(const TopicId& id, std::int32_t count);
  void partitions_created(const TopicId& id, std::int32_t count);
  void config_set(const TopicId& id, const std::string& key, const std::string& value);
  void acl_asked(const std::string& principal);
  void acl_created(const std::string& principal);
  // `seen`: an image that was published before.
  void acl_deletion_asked(const std::string& principal, const metadata::Image& seen);
  void acl_deleted(const std::string& principal);
  void producer_id_given(ProducerId id);
  // To kraft.version 1.
  void upgraded();

  // Leaders have committed everything below `end`.
  void committed(Offset end) { committed_end_ = end; }

  // Any image: that what was asked for together is there as a whole, or not at all.
  void check_whole(const metadata::Image& image);
  // An image that contains all that is acknowledged, or should: what ends at acknowledged_end() or
  // behind it. Who answers need not have published: it may be ending, or its files take too long.
  void check(const metadata::Image& image);
  Offset acknowledged_end() const { return acknowledged_end_; }

  std::uint64_t acknowledged() const { return acknowledged_; }
  Tally& tally() { return tally_; }
  const std::optional<Violation>& violation() const { return violation_; }
  void violate(std::string_view invariant, std::string detail);

 private:
  enum class Fate : std::uint8_t { kept, leaving, gone };
  struct Topic {
    std::string name;
    std::int32_t partitions = 0;        // acknowledged
    std::int32_t partitions_asked = 0;  // the most
    std::map<std::string, std::string> configs;
    Fate fate = Fate::kept;
  };
  struct Principal {
    bool is_created = false;
    Fate fate = Fate::kept;
    std::vector<Uuid> ids;  // when its deletion was asked for
  };

  void acknowledge(const char* what);
  void check_topic(const TopicId& id, const Topic& topic, const metadata::Image& image);
  void check_acls(const metadata::Image& image);

  std::map<std::string, std::int32_t> names_;  // with their partitions at first
  std::map<TopicId, Topic> topics_;            // whose ids were told
  std::map<std::string, Principal> principals_;
  std::set<ProducerId> producer_ids_;
  bool is_upgraded_ = false;
  std::uint64_t acknowledged_ = 0;
  Offset committed_end_ = 0;
  Offset acknowledged_end_ = 0;  // what was committed at the last acknowledgement
  Tally tally_;
  std::optional<Violation> violation_;
};

}  // namespace drave::simulation
