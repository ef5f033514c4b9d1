#pragma once
// Opens the golden vectors (README.md beside this file): bytes that Kafka 4.3.1 wrote.
//
// They stand in the folder that the environment variable DRAVE_VECTORS names, or else beside this
// file. Each of `messages records batches node tables disk` is there a folder of plain files or an
// archive <folder>.tar.xz with the same names. Paths are relative: "tables/uuid.jsonl".
// What is missing or damaged ends the test program with a message.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace drave::vectors {

// All files below `folder` ("messages", "records/group", "disk/run"), sorted.
std::vector<std::string> list(std::string_view folder);

// The whole content of a file; valid until the program ends.
std::string_view read(std::string_view path);

// Calls f(line, number) for each line of a file that is not empty, numbers from 1.
void for_each_line(std::string_view path,
                   const std::function<void(std::string_view line, std::size_t number)>& f);

// Copies everything below `folder` to `target`, which is created; "disk/run/a/b" of "disk/run"
// becomes target/a/b.
void extract(std::string_view folder, const std::filesystem::path& target);

// Hexadecimal as the vectors write it. from_hex ends the program if `hex` is none.
std::vector<std::uint8_t> from_hex(std::string_view hex);
std::string to_hex(ByteView bytes);

}  // namespace drave::vectors
