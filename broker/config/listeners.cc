#include "broker/config/listeners.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "raftlog/core/limits.h"

namespace drave::broker {
namespace {

using metadata::list_of;

// Where an unbound controller would listen: Kafka's usual port.
constexpr std::uint16_t kControllerPort = 9093;

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return out;
}

bool is_host(std::string_view host) {
  return std::all_of(host.begin(), host.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view("-%._:").find(c) != std::string_view::npos;
  });
}

bool is_every_address(std::string_view host) {
  return host == "0.0.0.0" || host == "::";
}

bool is_ipv6(std::string_view host) {
  return host.find(':') != std::string_view::npos;
}

bool is_ipv4(std::string_view host) {
  return !host.empty() && host.find_first_not_of("0123456789.") == std::string_view::npos;
}

std::optional<SecurityProtocol> protocol_of(std::string_view name) {
  if (name == "PLAINTEXT") return SecurityProtocol::plaintext;
  if (name == "SSL") return SecurityProtocol::ssl;
  if (name == "SASL_PLAINTEXT") return SecurityProtocol::sasl_plaintext;
  if (name == "SASL_SSL") return SecurityProtocol::sasl_ssl;
  return std::nullopt;
}

std::string_view name_of(SecurityProtocol protocol) {
  switch (protocol) {
    case SecurityProtocol::plaintext: return "PLAINTEXT";
    case SecurityProtocol::ssl: return "SSL";
    case SecurityProtocol::sasl_plaintext: return "SASL_PLAINTEXT";
    case SecurityProtocol::sasl_ssl: return "SASL_SSL";
  }
  return "?";
}

Endpoint* find(std::vector<Endpoint>& endpoints, std::string_view listener) {
  const auto found =
      std::find_if(endpoints.begin(), endpoints.end(),
                   [listener](const Endpoint& endpoint) { return endpoint.listener == listener; });
  return found == endpoints.end() ? nullptr : &*found;
}

std::string names_of(const std::vector<Endpoint>& endpoints) {
  std::vector<std::string_view> names;
  for (const Endpoint& endpoint : endpoints) names.push_back(endpoint.listener);
  return fmt::format("{}", fmt::join(names, ","));
}

class ListenerReader {
 public:
  ListenerReader(Settings& settings, const Machine& machine, BrokerConfig& config)
      : settings_(settings), machine_(machine), config_(config) {}

  void read() {
    for (const std::string& name : list_of(settings_.text("controller.listener.names"))) {
      controller_names_.push_back(upper(name));
    }
    config_.controller_listener_name = controller_names_.front();
    read_protocols();
    std::vector<Endpoint> listeners = read_endpoints("listeners");
    std::vector<Endpoint> advertised;
    if (settings_.given("advertised.listeners"))
      advertised = read_endpoints("advertised.listeners");
    check_distinct(listeners);
    take_controller(listeners, advertised);
    if (config_.has_broker_role) {
      take_brokers(listeners, advertised);
      take_inter_broker();
    } else {
      check_controller_only(listeners, advertised);
    }
    take_quorum();
  }

 private:
  bool is_controller(std::string_view name) const {
    return std::find(controller_names_.begin(), controller_names_.end(), name) !=
           controller_names_.end();
  }

  void read_protocols() {
    constexpr std::string_view kKey = "listener.security.protocol.map";
    bool all_plaintext = true;
    for (const std::string& pair : list_of(settings_.text(kKey))) {
      const std::size_t colon = pair.rfind(':');
      const std::string_view value = colon == std::string::npos
                                         ? std::string_view()
                                         : metadata::trim(std::string_view(pair).substr(colon + 1));
      const auto protocol = protocol_of(value);
      if (!protocol) {
        settings_.error(kKey,
                        fmt::format("Invalid security protocol `{}` defined in {}; an entry is "
                                    "NAME:PROTOCOL, a protocol PLAINTEXT, SSL, SASL_PLAINTEXT "
                                    "or SASL_SSL",
                                    value, kKey));
        continue;
      }
      protocols_[upper(metadata::trim(std::string_view(pair).substr(0, colon)))] = *protocol;
    }
    // Without a map of its own a controller's listener is PLAINTEXT, unless security is in use.
    if (settings_.given(kKey)) return;
    for (const std::string& text : list_of(settings_.text("listeners"))) {
      const std::string name = upper(text.substr(0, text.find("://")));
      all_plaintext = all_plaintext && (name == "PLAINTEXT" || !protocol_of(name));
    }
    for (const std::string& name : controller_names_) {
      if (all_plaintext && !protocol_of(name)) protocols_[name] = SecurityProtocol::plaintext;
    }
  }

  std::vector<Endpoint> read_endpoints(std::string_view key) {
    std::vector<Endpoint> endpoints;
    for (const std::string& text : list_of(settings_.text(key))) {
      auto endpoint = parse_endpoint(text);
      if (!endpoint) {
        settings_.error(key, endpoint.error().context);
        continue;
      }
      const auto protocol = protocols_.find(endpoint->listener);
      if (protocol == protocols_.end()) {
        settings_.error(key, fmt::format("No security protocol defined for listener {}; name it in "
                                         "listener.security.protocol.map",
                                         endpoint->listener));
        continue;
      }
      endpoint->protocol = protocol->second;
      if (endpoint->protocol != SecurityProtocol::plaintext) {
        settings_.error(key,
                        fmt::format("listener {} has the protocol {}; only PLAINTEXT is served "
                                    "yet",
                                    endpoint->listener, name_of(endpoint->protocol)));
      }
      endpoints.push_back(std::move(*endpoint));
    }
    return endpoints;
  }

  // Kafka's rule: names differ, ports differ; but an IPv4 and an IPv6 address may share a port.
  void check_distinct(const std::vector<Endpoint>& listeners) {
    for (std::size_t i = 0; i < listeners.size(); ++i) {
      for (std::size_t j = i + 1; j < listeners.size(); ++j) {
        const Endpoint& one = listeners[i];
        const Endpoint& other = listeners[j];
        if (one.listener == other.listener) {
          settings_.error("listeners",
                          fmt::format("Each listener must have a different name: {} is "
                                      "there twice",
                                      one.listener));
        }
        const bool two_families = (is_ipv4(one.host) && is_ipv6(other.host)) ||
                                  (is_ipv6(one.host) && is_ipv4(other.host));
        if (one.port == other.port && one.port != 0 && !two_families) {
          settings_.error("listeners",
                          fmt::format("Each listener must have a different port: {} is "
                                      "there twice",
                                      one.port));
        }
      }
    }
  }

  void take_controller(std::vector<Endpoint>& listeners, std::vector<Endpoint>& advertised) {
    if (controller_names_.size() > 1) {
      settings_.warning(
          "controller.listener.names",
          fmt::format("controller.listener.names has several entries; only {} is used",
                      controller_names_.front()));
    }
    Endpoint& shown = config_.advertised_controller_listener;
    shown = {config_.controller_listener_name, SecurityProtocol::plaintext, "localhost",
             kControllerPort};
    if (const Endpoint* bound = find(listeners, config_.controller_listener_name)) {
      config_.controller_listener = *bound;
      shown.host =
          bound->host.empty() || is_every_address(bound->host) ? machine_.host_name : bound->host;
      shown.port = bound->port;
    }
    if (const Endpoint* told = find(advertised, config_.controller_listener_name)) {
      shown = *told;
      if (shown.host.empty()) shown.host = machine_.host_name;
      check_reachable(shown);
    }
    if (!config_.has_controller_role) {
      shown = {};
      if (config_.controller_listener.has_value()) {
        settings_.error("controller.listener.names",
                        "The controller.listener.names config must not contain a value appearing "
                        "in the 'listeners' configuration when running KRaft with just the broker "
                        "role");
        config_.controller_listener.reset();
      }
    }
  }

  // Of what advertised.listeners tells others: it comes into the cluster's metadata.
  void check_reachable(const Endpoint& told) {
    constexpr std::string_view kKey = "advertised.listeners";
    if (is_every_address(told.host)) {
      settings_.error(kKey, fmt::format("advertised.listeners cannot use the nonroutable "
                                        "meta-address {}. Use a routable IP address.",
                                        told.host));
    }
    if (told.port == 0 && settings_.given(kKey))
      settings_.error(kKey, fmt::format("listener {} cannot advertise port 0", told.listener));
  }

  // A node that is no broker has no listeners but its controller's.
  void check_controller_only(const std::vector<Endpoint>& listeners,
                             const std::vector<Endpoint>& advertised) {
    const auto only_controllers = [this](const std::vector<Endpoint>& endpoints) {
      return std::all_of(endpoints.begin(), endpoints.end(), [this](const Endpoint& endpoint) {
        return is_controller(endpoint.listener);
      });
    };
    if (!only_controllers(listeners)) {
      settings_.error("listeners",
                      "The listeners config must only contain KRaft controller listeners from "
                      "controller.listener.names when process.roles=controller");
    }
    if (!only_controllers(advertised)) {
      settings_.error("advertised.listeners",
                      "The advertised.listeners config must only contain KRaft controller "
                      "listeners from controller.listener.names when process.roles=controller");
    }
  }

  void take_brokers(std::vector<Endpoint>& listeners, std::vector<Endpoint>& advertised) {
    const auto controllers = [this](const Endpoint& endpoint) {
      return is_controller(endpoint.listener);
    };
    std::erase_if(listeners, controllers);
    std::erase_if(advertised, controllers);
    if (listeners.empty()) {
      settings_.error("listeners",
                      "There must be at least one broker listener. Perhaps all listeners "
                      "appear in controller.listener.names?");
    }
    config_.listeners = listeners;
    take_advertised(listeners, advertised);
  }

  void take_advertised(const std::vector<Endpoint>& listeners, std::vector<Endpoint>& advertised) {
    constexpr std::string_view kKey = "advertised.listeners";
    if (!settings_.given(kKey)) {
      advertised = listeners;
    } else if (advertised.empty() && !listeners.empty()) {
      settings_.error(kKey,
                      "There must be at least one broker advertised listener. Perhaps all "
                      "listeners appear in controller.listener.names?");
    }
    for (Endpoint& endpoint : advertised) {
      if (endpoint.host.empty()) endpoint.host = machine_.host_name;
      check_reachable(endpoint);
      if (find(config_.listeners, endpoint.listener) == nullptr) {
        settings_.error(kKey,
                        fmt::format("advertised.listeners listener names must be equal to or a "
                                    "subset of the ones defined in listeners. Found {}. The "
                                    "valid options based on the current configuration are {}",
                                    endpoint.listener, names_of(config_.listeners)));
      }
    }
    config_.advertised_listeners = std::move(advertised);
  }

  void take_inter_broker() {
    constexpr std::string_view kKey = "inter.broker.listener.name";
    constexpr std::string_view kProtocolKey = "security.inter.broker.protocol";
    const bool named = settings_.given(kKey);
    if (named && settings_.given(kProtocolKey)) {
      settings_.error(kKey,
                      fmt::format("Only one of {} and {} should be set.", kKey, kProtocolKey));
    }
    if (settings_.text(kProtocolKey) != "PLAINTEXT") {
      settings_.error(kProtocolKey, "only PLAINTEXT is served yet between brokers");
    }
    std::vector<Endpoint>& advertised = config_.advertised_listeners;
    config_.inter_broker_listener_name = named ? upper(settings_.text(kKey)) : "PLAINTEXT";
    if (find(advertised, config_.inter_broker_listener_name) != nullptr || advertised.empty())
      return;
    if (named) {
      settings_.error(kKey,
                      fmt::format("{} must be a listener name defined in advertised.listeners. "
                                  "The valid options based on currently configured listeners "
                                  "are {}",
                                  kKey, names_of(advertised)));
    }
    config_.inter_broker_listener_name = advertised.front().listener;
  }

  void take_quorum() {
    constexpr std::string_view kVoters = "controller.quorum.voters";
    const std::vector<std::string> voters = list_of(settings_.text(kVoters));
    for (const std::string& text : voters) {
      const std::size_t at = text.find('@');
      auto address = parse_address(std::string_view(text).substr(at + 1));
      const std::string id = text.substr(0, at);
      QuorumVoter voter;
      const auto read = std::from_chars(id.data(), id.data() + id.size(), voter.id);
      if (!address || read.ec != std::errc()) {
        settings_.error(kVoters, fmt::format("'{}' is not {{id}}@{{host}}:{{port}}", text));
        continue;
      }
      if (is_every_address(address->host)) {
        settings_.error(kVoters, fmt::format("Host string ({}) is not routeable", address->host));
      }
      voter.host = address->host;
      voter.port = address->port;
      config_.quorum_voters.push_back(std::move(voter));
    }
    const auto self =
        std::find_if(config_.quorum_voters.begin(), config_.quorum_voters.end(),
                     [this](const QuorumVoter& one) { return one.id == config_.node_id; });
    const bool named = self != config_.quorum_voters.end();
    if (config_.has_controller_role && !voters.empty() && !named) {
      settings_.error(kVoters,
                      fmt::format("If process.roles contains the 'controller' role, the node "
                                  "id {} must be included in the set of voters {}",
                                  config_.node_id, ids_of(config_.quorum_voters)));
    } else if (!config_.has_controller_role && named) {
      settings_.error(kVoters,
                      fmt::format("If process.roles contains just the 'broker' role, the node id "
                                  "{} must not be included in the set of voters {}",
                                  config_.node_id, ids_of(config_.quorum_voters)));
    } else if (named && !settings_.given("advertised.listeners")) {
      config_.advertised_controller_listener.host = self->host;
      config_.advertised_controller_listener.port = self->port;
    }
    check_voters();
    take_bootstrap_servers();
    check_others();
  }

  static std::string ids_of(const std::vector<QuorumVoter>& voters) {
    std::vector<std::int32_t> ids;
    for (const QuorumVoter& voter : voters) ids.push_back(voter.id);
    return fmt::format("{}", fmt::join(ids, ","));
  }

  void check_voters() {
    if (config_.quorum_voters.size() > raft::kVotersMax) {
      settings_.error("controller.quorum.voters",
                      fmt::format("{} voters are named; a quorum has at most {}",
                                  config_.quorum_voters.size(), raft::kVotersMax));
    }
    std::set<std::int32_t> ids;
    for (const QuorumVoter& voter : config_.quorum_voters)
      if (!ids.insert(voter.id).second)
        settings_.error("controller.quorum.voters",
                        fmt::format("the node id {} is there twice", voter.id));
  }

  // What a node needs that is not the whole quorum by itself.
  void check_others() {
    bool others = config_.quorum_voters.size() > 1;
    for (const QuorumServer& server : config_.quorum_bootstrap_servers)
      others = others || !is_this_node({server.host, server.port});
    config_.is_alone = config_.has_broker_role && config_.has_controller_role && !others;
    if (config_.is_alone) return;
    if (config_.quorum_voters.empty() && config_.quorum_bootstrap_servers.empty()) {
      settings_.error("process.roles",
                      "If using process.roles, either controller.quorum.bootstrap.servers must "
                      "contain the set of bootstrap controllers or controller.quorum.voters must "
                      "contain a parseable set of controllers");
    }
    if (config_.has_controller_role && !config_.controller_listener.has_value()) {
      settings_.error("controller.listener.names",
                      "controller.listener.names must contain at least one value appearing in the "
                      "'listeners' configuration when running the KRaft controller role");
    }
  }

  bool is_this_node(const Address& address) const {
    std::set<std::string_view> hosts = {"localhost", "::1", machine_.host_name,
                                        config_.advertised_controller_listener.host};
    if (config_.controller_listener) hosts.insert(config_.controller_listener->host);
    for (const Endpoint& endpoint : config_.advertised_listeners) hosts.insert(endpoint.host);
    const bool loopback = is_ipv4(address.host) && address.host.starts_with("127.");
    const auto port = config_.controller_listener ? config_.controller_listener->port
                                                  : config_.advertised_controller_listener.port;
    return (loopback || hosts.contains(address.host)) &&
           (address.port == port || address.port == config_.advertised_controller_listener.port);
  }

  void take_bootstrap_servers() {
    constexpr std::string_view kKey = "controller.quorum.bootstrap.servers";
    for (const std::string& text : list_of(settings_.text(kKey))) {
      auto address = parse_address(text);
      if (!address) {
        settings_.error(kKey, address.error().context);
        continue;
      }
      if (is_every_address(address->host))
        settings_.error(kKey, fmt::format("Host string ({}) is not routeable", address->host));
      config_.quorum_bootstrap_servers.push_back({std::move(address->host), address->port});
    }
  }

  Settings& settings_;
  const Machine& machine_;
  BrokerConfig& config_;
  std::vector<std::string> controller_names_;
  std::map<std::string, SecurityProtocol, std::less<>> protocols_;
};

}  // namespace

Result<Address> parse_address(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) {
    return failure(Errc::invalid, fmt::format("'{}' is not host:port", text));
  }
  std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  std::uint16_t port = 0;
  const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (digits.empty() || read.ec != std::errc() || read.ptr != digits.data() + digits.size()) {
    return failure(Errc::invalid,
                   fmt::format("'{}' is no port (0 to 65535) in '{}'", digits, text));
  }
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (!is_host(host))
    return failure(Errc::invalid, fmt::format("'{}' is no host in '{}'", host, text));
  return Address{std::string(host), port};
}

Result<Endpoint> parse_endpoint(std::string_view text) {
  const std::size_t slashes = text.find("://");
  if (slashes == std::string_view::npos || slashes == 0) {
    return failure(
        Errc::invalid,
        fmt::format("Unable to parse {} to a broker endpoint: it is NAME://host:port", text));
  }
  auto address = parse_address(text.substr(slashes + 3));
  if (!address) {
    return failure(Errc::invalid, fmt::format("Unable to parse {} to a broker endpoint: {}", text,
                                              address.error().context));
  }
  return Endpoint{upper(text.substr(0, slashes)), SecurityProtocol::plaintext,
                  std::move(address->host), address->port};
}

void read_listeners(Settings& settings, const Machine& machine, BrokerConfig& config) {
  ListenerReader(settings, machine, config).read();
}

}  // namespace drave::broker
