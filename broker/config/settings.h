#pragma once
// First stage of load_broker_config(): every setting alone, against the table of keys. Private to
// broker/config.

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "broker/config/server_properties.h"
#include "metadata/config/config_def.h"

namespace drave::broker {

// The keys that are given with values that follow their rules, and what was wrong with the others.
class Settings {
 public:
  // The `where` of a profile's properties: what the file says instead is no double.
  static constexpr std::string_view kProfile = "--profile";

  explicit Settings(const std::vector<Property>& properties);

  bool given(std::string_view key) const { return values_.contains(key); }
  // The given value, else the default; canonical. ASSERTs that the key exists and has one of both.
  std::string text(std::string_view key) const;
  std::int64_t integer(std::string_view key) const;
  bool boolean(std::string_view key) const;

  // Notes a problem of a key; its place is put in front.
  void error(std::string_view key, std::string_view sentence);
  void warning(std::string_view key, std::string_view sentence);

  const metadata::ConfigMap& values() const { return values_; }
  std::vector<std::string> take_errors() { return std::move(errors_); }
  std::vector<std::string> take_warnings() { return std::move(warnings_); }

 private:
  void check(const Property& property);
  void check_unknown(const Property& property);
  std::string placed(std::string_view key, std::string_view sentence) const;

  metadata::ConfigMap values_;
  std::map<std::string, std::string, std::less<>> places_;
  std::vector<std::string> errors_;
  std::vector<std::string> warnings_;
};

}  // namespace drave::broker
