// Every transcript gives what stands in it. DRAVE_REWRITE=1 writes what it gives now.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "gtest/gtest.h"
#include "tests/raftlog/core/transcript.h"

namespace drave::raft {
namespace {

std::filesystem::path folder() {
  const char* root = std::getenv("DRAVE_SOURCE_DIR");
  return std::filesystem::path(root == nullptr ? "." : root) / "tests/raftlog/transcripts";
}

std::string read(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

TEST(RaftTranscripts, give_what_stands_in_them) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder())) {
    if (entry.path().extension() != ".txt") continue;
    ++count;
    SCOPED_TRACE(entry.path().filename().string());
    const std::string text = read(entry.path());
    testing::Transcript transcript;
    const std::string now = transcript.run(text);
    EXPECT_EQ(transcript.violation(), "");
    if (std::getenv("DRAVE_REWRITE") != nullptr)
      std::ofstream(entry.path()) << now;
    else
      EXPECT_EQ(now, text);
  }
  EXPECT_GE(count, 23);
}

}  // namespace
}  // namespace drave::raft
