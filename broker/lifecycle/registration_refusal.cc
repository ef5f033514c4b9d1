#include "broker/lifecycle/registration_refusal.h"

#include <fmt/format.h>

namespace drave::broker {

namespace {

using protocol::ErrorCode;

std::string remedy_of(ErrorCode error, NodeId broker) {
  switch (error) {
    case ErrorCode::inconsistent_cluster_id:
      return "The data directories belong to another cluster than these controllers: does "
             "controller.quorum.bootstrap.servers name the right ones, and log.dirs the right "
             "directories? New directories get their cluster's id from `drave format`.";
    case ErrorCode::duplicate_broker_registration:
      return fmt::format(
          "Another node with node.id={} runs, or ended less than broker.session.timeout.ms ago: "
          "every node has its own.",
          broker);
    case ErrorCode::unsupported_version:
      return "The cluster uses a feature at a level that this version does not hold: take the "
             "version that the other nodes have. `drave features describe`, asked of one of them, "
             "shows the levels.";
    case ErrorCode::invalid_registration:
      return "A data directory is one that another broker has, or is there twice: was one copied?";
    case ErrorCode::cluster_authorization_failed:
      return "This node needs the right to ClusterAction, or to be one of super.users there.";
    default: return "The active controller's log says more.";
  }
}

}  // namespace

RegistrationRefusal registration_refusal(ErrorCode error, NodeId broker) {
  RegistrationRefusal refusal;
  refusal.is_final = error == ErrorCode::inconsistent_cluster_id ||
                     error == ErrorCode::unsupported_version ||
                     error == ErrorCode::invalid_registration;
  refusal.why = fmt::format("{} ({}). {}", protocol::message(error), protocol::name(error),
                            remedy_of(error, broker));
  return refusal;
}

}  // namespace drave::broker
