#include "tests/vectors/vectors.h"

#include <fmt/format.h>
#include <lzma.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <utility>

namespace drave::vectors {
namespace {

namespace fs = std::filesystem;

struct Folder {
  std::string archive;  // the unpacked tar; empty for plain files
  std::map<std::string, std::string, std::less<>> plain;
  std::map<std::string, std::string_view, std::less<>> files;
};

[[noreturn]] void give_up(const std::string& reason) {
  std::fprintf(stderr, "vectors: %s\n", reason.c_str());
  std::exit(1);
}

fs::path root() {
  const char* named = std::getenv("DRAVE_VECTORS");
  return named != nullptr && *named != '\0' ? named : DRAVE_VECTORS_DEFAULT;
}

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::string content{std::istreambuf_iterator<char>(in), {}};
  if (!in.good() && !in.eof()) give_up(fmt::format("cannot read {}", path.string()));
  return content;
}

std::string unpack_xz(const std::string& packed, const fs::path& path) {
  lzma_stream stream = LZMA_STREAM_INIT;
  if (lzma_stream_decoder(&stream, UINT64_MAX, 0) != LZMA_OK) give_up("liblzma does not start");
  std::string out(packed.size() * 4, '\0');
  stream.next_in = reinterpret_cast<const std::uint8_t*>(packed.data());
  stream.avail_in = packed.size();
  for (;;) {
    if (stream.total_out == out.size()) out.resize(out.size() * 2);
    stream.next_out = reinterpret_cast<std::uint8_t*>(out.data()) + stream.total_out;
    stream.avail_out = out.size() - stream.total_out;
    const lzma_ret result = lzma_code(&stream, LZMA_FINISH);
    if (result == LZMA_STREAM_END) break;
    if (result != LZMA_OK) give_up(fmt::format("{} is damaged", path.string()));
  }
  out.resize(stream.total_out);
  lzma_end(&stream);
  return out;
}

// Files of a tar of 512-byte blocks: regular files and folders; GNU's 'L' entries carry long names.
void index_tar(Folder& folder, const fs::path& path) {
  const std::string_view tar = folder.archive;
  std::string long_name;
  for (std::size_t at = 0; at + 512 <= tar.size() && tar[at] != '\0';) {
    const std::string_view header = tar.substr(at, 512);
    const auto size = std::strtoull(std::string(header.substr(124, 11)).c_str(), nullptr, 8);
    at += 512;
    if (size > tar.size() - at) give_up(fmt::format("{} is damaged", path.string()));
    const std::string_view content = tar.substr(at, size);
    at += (size + 511) / 512 * 512;
    const char kind = header[156];
    if (kind == 'L') {
      long_name = std::string(content.substr(0, content.find('\0')));
      continue;
    }
    std::string name = std::string(header.substr(0, 100));
    name.resize(std::min(name.find('\0'), name.size()));
    if (!long_name.empty()) name = std::exchange(long_name, {});
    if (kind == '0' || kind == '\0') folder.files.emplace(std::move(name), content);
  }
}

const Folder& folder_of(std::string_view path) {
  static std::map<std::string, Folder, std::less<>> folders;
  const std::string top(path.substr(0, path.find('/')));
  const auto found = folders.find(top);
  if (found != folders.end()) return found->second;
  Folder& folder = folders[top];
  const fs::path plain = root() / top;
  if (fs::is_directory(plain)) {
    for (const auto& entry : fs::recursive_directory_iterator(plain)) {
      if (!entry.is_regular_file()) continue;
      const auto name = (fs::path(top) / entry.path().lexically_relative(plain)).string();
      const auto& content = folder.plain[name] = read_file(entry.path());
      folder.files.emplace(name, content);
    }
    return folder;
  }
  const fs::path packed = root() / (top + ".tar.xz");
  if (!fs::exists(packed))
    give_up(fmt::format("neither {} nor {} is there", plain.string(), packed.string()));
  folder.archive = unpack_xz(read_file(packed), packed);
  index_tar(folder, packed);
  return folder;
}

}  // namespace

std::vector<std::string> list(std::string_view folder) {
  std::vector<std::string> found;
  const std::string prefix = std::string(folder) + "/";
  for (const auto& [name, content] : folder_of(folder).files)
    if (name.starts_with(prefix)) found.push_back(name);
  if (found.empty()) give_up(fmt::format("nothing below {}", folder));
  return found;
}

std::string_view read(std::string_view path) {
  const auto& files = folder_of(path).files;
  const auto found = files.find(path);
  if (found == files.end()) give_up(fmt::format("{} is missing", path));
  return found->second;
}

void for_each_line(std::string_view path,
                   const std::function<void(std::string_view line, std::size_t number)>& f) {
  std::string_view content = read(path);
  for (std::size_t number = 1; !content.empty(); ++number) {
    const std::size_t end = std::min(content.find('\n'), content.size());
    if (end > 0) f(content.substr(0, end), number);
    content.remove_prefix(std::min(end + 1, content.size()));
  }
}

void extract(std::string_view folder, const fs::path& target) {
  for (const std::string& name : list(folder)) {
    const fs::path path = target / name.substr(folder.size() + 1);
    fs::create_directories(path.parent_path());
    const std::string_view content = read(name);
    std::ofstream out(path, std::ios::binary);
    out.write(content.data(), static_cast<std::streamsize>(content.size()));
    if (!out.flush()) give_up(fmt::format("cannot write {}", path.string()));
  }
}

std::vector<std::uint8_t> from_hex(std::string_view hex) {
  const auto digit = [&](char letter) {
    if (letter >= '0' && letter <= '9') return letter - '0';
    if (letter >= 'a' && letter <= 'f') return letter - 'a' + 10;
    give_up(fmt::format("'{}' is not a hexadecimal digit", letter));
  };
  if (hex.size() % 2 != 0) give_up("hexadecimal text of odd length");
  std::vector<std::uint8_t> bytes(hex.size() / 2);
  for (std::size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<std::uint8_t>(digit(hex[2 * i]) * 16 + digit(hex[2 * i + 1]));
  return bytes;
}

std::string to_hex(ByteView bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(bytes.size() * 2);
  for (const std::uint8_t byte : bytes) {
    hex += kDigits[byte >> 4];
    hex += kDigits[byte & 15];
  }
  return hex;
}

}  // namespace drave::vectors
