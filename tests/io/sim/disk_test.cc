#include "io/sim/disk.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <string>

namespace drave::io::sim {
namespace {

std::vector<std::uint8_t> filled(std::size_t size, std::uint8_t value) {
  return std::vector<std::uint8_t>(size, value);
}

std::vector<std::uint8_t> read_all(const FileData& file) {
  std::vector<std::uint8_t> bytes(file.size());
  file.read(0, bytes);
  return bytes;
}

constexpr Fate kFates[] = {Fate::all_lost, Fate::all_landed, Fate::by_page, Fate::by_sector};

// Runs `scenario` on a file and cuts the power, for many draws; returns all contents that came out.
template <class Scenario>
std::set<std::vector<std::uint8_t>> outcomes(Scenario scenario, WorldCounters& counters,
                                             int seeds = 200) {
  std::set<std::vector<std::uint8_t>> seen;
  for (int seed = 0; seed < seeds; ++seed) {
    Random random(static_cast<std::uint64_t>(seed));
    FileData file;
    scenario(file);
    file.power_cut(kFates[random.below(4)], random, counters);
    EXPECT_EQ(file.size(), file.durable_size());
    EXPECT_FALSE(file.is_dirty());
    seen.insert(read_all(file));
  }
  return seen;
}

TEST(SimFile, what_is_written_is_read_across_pages_and_holes) {
  FileData file;
  file.write(5000, filled(9000, 7), false);
  EXPECT_EQ(file.size(), 14000u);
  std::vector<std::uint8_t> bytes(20000, 1);
  EXPECT_EQ(file.read(0, bytes), 14000u);
  EXPECT_EQ(bytes[4999], 0);
  EXPECT_EQ(bytes[5000], 7);
  EXPECT_EQ(bytes[13999], 7);
  EXPECT_EQ(file.read(14000, bytes), 0u);
  EXPECT_EQ(file.allocated_pages(), 3u);
  EXPECT_EQ(file.pages_missing(0, 4 * kPageBytes), 1u);
}

TEST(SimFile, what_was_synced_survives_every_power_cut) {
  WorldCounters counters;
  const auto seen = outcomes(
      [](FileData& file) {
        file.write(0, filled(10000, 1), false);
        ASSERT_TRUE(file.begin_sync());
        file.end_sync();
      },
      counters);
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(*seen.begin(), filled(10000, 1));
  EXPECT_EQ(counters.lost_sectors, 0u);
}

TEST(SimFile, what_was_written_through_survives_beside_unsynced_bytes) {
  WorldCounters counters;
  const auto seen = outcomes(
      [](FileData& file) {
        file.write(0, filled(4096, 1), true);
        file.write(8192, filled(4096, 2), false);
        file.write(4096, filled(4096, 3), true);
      },
      counters);
  EXPECT_GT(seen.size(), 2u);
  for (const auto& bytes : seen) {
    ASSERT_GE(bytes.size(), 8192u);
    EXPECT_EQ(std::vector<std::uint8_t>(bytes.begin(), bytes.begin() + 4096), filled(4096, 1));
    EXPECT_EQ(std::vector<std::uint8_t>(bytes.begin() + 4096, bytes.begin() + 8192),
              filled(4096, 3));
  }
}

TEST(SimFile, unsynced_overwrites_are_lost_kept_torn_and_reordered) {
  WorldCounters counters;
  bool saw_old = false, saw_new = false, saw_mixture = false;
  const auto seen = outcomes(
      [](FileData& file) {
        file.write(0, filled(16384, 1), true);
        file.write(0, filled(8192, 2), false);
        file.write(8192, filled(8192, 3), false);
      },
      counters);
  for (const auto& bytes : seen) {
    ASSERT_EQ(bytes.size(), 16384u);
    for (std::size_t i = 0; i < bytes.size(); i += kSectorBytes) {
      const int written = i < 8192 ? 2 : 3;
      ASSERT_TRUE(bytes[i] == 1 || bytes[i] == written);
      ASSERT_EQ(bytes[i], bytes[i + kSectorBytes - 1]) << "a sector is never torn here";
    }
    const bool first_old = bytes[0] == 1, last_old = bytes[16383] == 1;
    saw_old = saw_old || bytes == filled(16384, 1);
    saw_new = saw_new || (!first_old && !last_old);
    saw_mixture = saw_mixture || first_old != last_old;
  }
  EXPECT_TRUE(saw_old && saw_new && saw_mixture);
  EXPECT_GT(counters.lost_sectors, 0u);
  EXPECT_GT(counters.landed_sectors, 0u);
  EXPECT_GT(counters.torn_writes, 0u);
  EXPECT_GT(counters.reordered_writes, 0u);
}

TEST(SimFile, a_sync_covers_what_was_written_before_it_began_and_nothing_later) {
  WorldCounters counters;
  const auto seen = outcomes(
      [](FileData& file) {
        file.write(0, filled(4096, 1), false);
        ASSERT_TRUE(file.begin_sync());
        EXPECT_FALSE(file.begin_sync());
        file.write(0, filled(512, 2), false);
        file.write(4096, filled(512, 3), false);
        file.end_sync();
      },
      counters);
  bool later_lost = false;
  for (const auto& bytes : seen) {
    ASSERT_GE(bytes.size(), 4096u);
    EXPECT_TRUE(bytes[0] == 1 || bytes[0] == 2);
    for (std::size_t i = 512; i < 4096; ++i) ASSERT_EQ(bytes[i], 1);
    later_lost = later_lost || (bytes[0] == 1 && bytes.size() == 4096);
  }
  EXPECT_TRUE(later_lost);
}

TEST(SimFile, a_power_cut_during_a_sync_leaves_old_staged_or_new) {
  WorldCounters counters;
  std::set<int> first_bytes;
  const auto seen = outcomes(
      [](FileData& file) {
        file.write(0, filled(512, 1), true);
        file.write(0, filled(512, 2), false);
        file.begin_sync();
        file.write(0, filled(512, 3), false);
      },
      counters);
  for (const auto& bytes : seen) first_bytes.insert(bytes[0]);
  EXPECT_EQ(first_bytes, (std::set<int>{1, 2, 3}));
}

TEST(SimFile, a_power_cut_ends_a_sync_that_had_nothing_to_write) {
  WorldCounters counters;
  Disk disk({}, 1, counters);
  disk.put("/a", filled(100, 1));
  InodePointer file;
  ASSERT_EQ(disk.open("/a", {.write = true}, 0, file), 0);
  ASSERT_TRUE(file->data.begin_sync());
  disk.power_cut();
  EXPECT_FALSE(file->data.is_syncing());
  EXPECT_TRUE(file->data.begin_sync());
}

TEST(SimFile, after_a_failed_sync_bytes_stay_visible_and_no_later_sync_saves_them) {
  WorldCounters counters;
  bool lost = false;
  const auto seen = outcomes(
      [](FileData& file) {
        file.write(0, filled(4096, 1), true);
        file.write(0, filled(4096, 2), false);
        file.begin_sync();
        file.fail_sync();
        EXPECT_EQ(read_all(file), filled(4096, 2));
        ASSERT_TRUE(file.begin_sync());
        file.end_sync();
      },
      counters);
  for (const auto& bytes : seen) lost = lost || bytes[0] == 1;
  EXPECT_TRUE(lost);
}

TEST(SimFile, an_unsynced_truncation_happened_or_did_not_and_takes_later_writes_with_it) {
  WorldCounters counters;
  bool undone = false, done = false;
  const auto seen = outcomes(
      [](FileData& file) {
        file.write(0, filled(12288, 1), true);
        file.truncate(4096);
        file.write(4096, filled(4096, 2), false);
      },
      counters);
  for (const auto& bytes : seen) {
    if (bytes.size() == 12288) {
      undone = true;
      EXPECT_EQ(bytes, filled(12288, 1)) << "nothing of the later write without the truncation";
      continue;
    }
    done = true;
    ASSERT_LE(bytes.size(), 8192u);
    for (std::size_t i = 4096; i < bytes.size(); ++i) ASSERT_NE(bytes[i], 1);
  }
  EXPECT_TRUE(undone && done);
}

TEST(SimFile, a_truncated_part_reads_as_zeros_when_the_file_grows_again) {
  FileData file;
  file.write(0, filled(8192, 1), true);
  file.truncate(100);
  file.truncate(8192);
  const auto bytes = read_all(file);
  EXPECT_EQ(bytes[99], 1);
  for (std::size_t i = 100; i < bytes.size(); ++i) ASSERT_EQ(bytes[i], 0);
}

TEST(SimFile, a_sync_that_began_before_a_truncation_does_not_bring_back_what_a_later_one_cut) {
  WorldCounters counters;
  const auto seen = outcomes(
      [](FileData& file) {
        file.write(0, filled(4096, 1), true);
        file.write(4096, filled(4096, 2), false);
        ASSERT_TRUE(file.begin_sync());
        file.truncate(4096);
        file.write(0, filled(512, 3), true);  // makes the truncation durable
        file.write(8192, filled(512, 4), true);
        file.end_sync();
      },
      counters);
  for (const auto& bytes : seen) {
    ASSERT_EQ(bytes.size(), 8704u);
    EXPECT_EQ(std::count(bytes.begin(), bytes.end(), 2), 0);
  }
}

TEST(SimFile, what_was_written_through_before_a_power_cut_can_be_lost_by_a_later_one) {
  Random random(1);
  WorldCounters counters;
  FileData file;
  file.write(0, filled(4096, 1), false);
  file.write(0, filled(4096, 2), true);
  file.power_cut(Fate::all_lost, random, counters);
  file.write(0, filled(4096, 3), false);
  EXPECT_TRUE(file.is_dirty());
  file.power_cut(Fate::all_lost, random, counters);
  EXPECT_EQ(read_all(file), filled(4096, 2));
}

TEST(SimFile, growth_without_sync_ends_at_one_of_the_sizes_the_file_had) {
  WorldCounters counters;
  std::set<std::size_t> sizes;
  const auto seen = outcomes(
      [](FileData& file) {
        file.write(0, filled(1000, 1), true);
        file.write(1000, filled(1000, 2), false);
        file.write(2000, filled(1000, 3), false);
      },
      counters);
  for (const auto& bytes : seen) sizes.insert(bytes.size());
  EXPECT_EQ(sizes, (std::set<std::size_t>{1000, 2000, 3000}));
}

TEST(SimFile, reserved_zeros_cost_no_bytes_and_a_flip_changes_the_platter) {
  FileData file;
  file.allocate(0, 64 << 20);
  EXPECT_EQ(file.allocated_pages(), (64u << 20) / kPageBytes);
  file.sync_now();
  file.write(4096, filled(4096, 9), true);
  file.flip(4100, 0x01);
  Random random(1);
  WorldCounters counters;
  file.power_cut(Fate::all_lost, random, counters);
  EXPECT_EQ(read_all(file)[4100], 8);
  EXPECT_EQ(file.size(), 64u << 20);
}

// --- Names

constexpr OpenOptions kCreate{.write = true, .create = true};

std::vector<std::string> names_after_power_cut(void (*scenario)(Disk&), std::uint64_t seed,
                                               WorldCounters& counters) {
  Disk disk({}, seed, counters);
  scenario(disk);
  disk.power_cut();
  return disk.files_below("/");
}

InodePointer make_file(Disk& disk, std::string_view path) {
  InodePointer inode;
  EXPECT_EQ(disk.open(path, kCreate, 0, inode), 0);
  return inode;
}

void sync_directory(Disk& disk, std::string_view path) {
  InodePointer directory;
  ASSERT_EQ(disk.open(path, {.directory = true}, 0, directory), 0);
  disk.sync_directory(*directory, disk.change_number());
}

TEST(SimDisk, names_behave_as_a_file_system_s_do) {
  WorldCounters counters;
  Disk disk({}, 1, counters);
  EXPECT_EQ(disk.make_directory("/d"), 0);
  EXPECT_EQ(disk.make_directory("/d"), -EEXIST);
  EXPECT_EQ(disk.make_directory("/x/y"), -ENOENT);
  make_file(disk, "/d/a");
  InodePointer inode;
  EXPECT_EQ(disk.open("/d/a", {.write = true, .create = true, .exclusive = true}, 0, inode),
            -EEXIST);
  EXPECT_EQ(disk.open("/d/b", {}, 0, inode), -ENOENT);
  EXPECT_EQ(disk.open("/d/a", {.directory = true}, 0, inode), -ENOTDIR);
  EXPECT_EQ(disk.rename("/d/a", "/d/b"), 0);
  EXPECT_EQ(disk.unlink("/d/a"), -ENOENT);
  EXPECT_EQ(disk.unlink("/d"), -EISDIR);
  EXPECT_EQ(disk.remove_directory("/d"), -ENOTEMPTY);
  std::vector<DirectoryEntry> entries;
  EXPECT_EQ(disk.list("/d", entries), 0);
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_EQ(entries[0].name, "b");
  FileStatus status;
  EXPECT_EQ(disk.status("d/b", status), 0);
  EXPECT_EQ(disk.unlink("/d/b"), 0);
  EXPECT_EQ(disk.remove_directory("/d"), 0);
  EXPECT_EQ(disk.status("/d", status), -ENOENT);
}

TEST(SimDisk, a_name_is_durable_only_after_a_sync_of_its_directory) {
  int kept = 0, lost = 0;
  WorldCounters counters;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    const auto unsynced = names_after_power_cut(
        [](Disk& disk) {
          auto file = make_file(disk, "/a");
          file->data.write(0, filled(10, 1), false);
          file->data.sync_now();
        },
        seed, counters);
    (unsynced.empty() ? lost : kept) += 1;
    const auto synced = names_after_power_cut(
        [](Disk& disk) {
          make_file(disk, "/a");
          sync_directory(disk, "/");
        },
        seed, counters);
    ASSERT_EQ(synced, std::vector<std::string>{"/a"});
  }
  EXPECT_GT(kept, 10);
  EXPECT_GT(lost, 10);
  EXPECT_GT(counters.lost_names, 0u);
  EXPECT_GT(counters.landed_names, 0u);
}

TEST(SimDisk, a_sync_covers_only_changes_before_it_began) {
  WorldCounters counters;
  bool later_lost = false;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    Disk disk({}, seed, counters);
    make_file(disk, "/a");
    const std::uint64_t covered = disk.change_number();
    make_file(disk, "/b");
    InodePointer root;
    ASSERT_EQ(disk.open("/", {.directory = true}, 0, root), 0);
    disk.sync_directory(*root, covered);
    disk.power_cut();
    ASSERT_TRUE(disk.exists("/a"));
    later_lost = later_lost || !disk.exists("/b");
  }
  EXPECT_TRUE(later_lost);
}

TEST(SimDisk, a_rename_is_atomic_and_never_leaves_neither_name) {
  std::set<std::string> seen;
  WorldCounters counters;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Disk disk({}, seed, counters);
    disk.put("/f", filled(1, 1));
    make_file(disk, "/f.tmp")->data.write(0, filled(1, 2), true);
    ASSERT_EQ(disk.rename("/f.tmp", "/f"), 0);
    disk.power_cut();
    ASSERT_TRUE(disk.exists("/f"));
    seen.insert(std::to_string(disk.content("/f")[0]) + (disk.exists("/f.tmp") ? "+tmp" : ""));
  }
  EXPECT_EQ(seen, (std::set<std::string>{"1", "1+tmp", "2"}));
}

TEST(SimDisk, unsynced_unlinks_come_back_in_any_combination) {
  std::set<std::vector<std::string>> seen;
  WorldCounters counters;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    seen.insert(names_after_power_cut(
        [](Disk& disk) {
          disk.put("/a", filled(1, 1));
          disk.put("/b", filled(1, 1));
          disk.unlink("/a");
          disk.unlink("/b");
        },
        seed, counters));
  }
  EXPECT_EQ(seen.size(), 4u);
}

// Whether a name that a failed sync covered is there after a power cut, in any of some fates;
// `then` is what happens before the power goes.
bool is_ever_lost_after_failed_sync(void (*then)(Disk&)) {
  WorldCounters counters;
  bool lost = false;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    Disk disk({}, seed, counters);
    make_file(disk, "/a");
    InodePointer root;
    EXPECT_EQ(disk.open("/", {.directory = true}, 0, root), 0);
    disk.fail_sync(*root, disk.change_number());
    then(disk);
    disk.power_cut();
    lost = lost || (!disk.exists("/a") && !disk.exists("/c"));
  }
  return lost;
}

TEST(SimDisk, what_a_failed_sync_of_a_directory_covered_no_later_sync_makes_durable) {
  EXPECT_TRUE(is_ever_lost_after_failed_sync([](Disk& disk) {
    make_file(disk, "/b");
    sync_directory(disk, "/");
    sync_directory(disk, "/");
  }));
  EXPECT_FALSE(is_ever_lost_after_failed_sync([](Disk& disk) {
    EXPECT_EQ(disk.rename("/a", "/c"), 0);
    sync_directory(disk, "/");
  })) << "a later change of the same name writes it again";
  EXPECT_FALSE(is_ever_lost_after_failed_sync([](Disk& disk) {
    disk.forget_failed_syncs();
    sync_directory(disk, "/");
  })) << "a later process writes it";
}

TEST(SimDisk, what_lies_in_a_directory_whose_name_is_lost_is_lost) {
  WorldCounters counters;
  bool lost = false;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    const auto names = names_after_power_cut(
        [](Disk& disk) {
          disk.make_directory("/d");
          make_file(disk, "/d/a");
          sync_directory(disk, "/d");
        },
        seed, counters);
    lost = lost || names.empty();
  }
  EXPECT_TRUE(lost);
}

TEST(SimDisk, space_runs_out_and_comes_back) {
  WorldCounters counters;
  Disk disk({.capacity_bytes = 8 * kPageBytes}, 1, counters);
  auto file = make_file(disk, "/a");
  EXPECT_EQ(disk.write(*file, 0, filled(6 * kPageBytes, 1), false), 6 * 4096);
  EXPECT_EQ(disk.free_space().available, 2 * kPageBytes);
  EXPECT_EQ(disk.write(*file, 6 * kPageBytes, filled(3 * kPageBytes, 1), false), 2 * 4096);
  EXPECT_EQ(disk.write(*file, 8 * kPageBytes, filled(1, 1), false), -ENOSPC);
  EXPECT_EQ(disk.write(*file, 0, filled(kPageBytes, 2), false), 4096) << "an overwrite needs none";
  EXPECT_EQ(disk.allocate(*file, 8 * kPageBytes, 1), -ENOSPC);
  EXPECT_GT(counters.no_space, 0u);
  file->opened();
  EXPECT_EQ(disk.unlink("/a"), 0);
  EXPECT_EQ(disk.free_space().available, 0u) << "an open file keeps its space";
  file->closed();
  EXPECT_EQ(disk.free_space().available, 8 * kPageBytes);
  disk.power_cut();
  file.reset();
  EXPECT_EQ(disk.free_space().available,
            disk.exists("/a") ? 8 * kPageBytes - (disk.content("/a").size() + 4095) / 4096 * 4096
                              : 8 * kPageBytes);
  disk.sync_all();
  if (disk.exists("/a")) disk.remove("/a");
  EXPECT_EQ(disk.free_space().available, 8 * kPageBytes);
}

TEST(SimDisk, an_interrupted_write_lands_in_any_part_and_may_leave_garbage) {
  WorldCounters counters;
  std::set<int> sectors_landed;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    Disk disk({}, seed, counters);
    disk.put("/a", filled(4096, 1));
    InodePointer file;
    ASSERT_EQ(disk.open("/a", {.write = true}, 0, file), 0);
    disk.interrupt_write(*file, 0, filled(4096, 2), true);
    disk.power_cut();
    int landed = 0;
    const auto bytes = disk.content("/a");
    for (std::size_t i = 0; i < 4096; i += kSectorBytes) landed += bytes[i] == 2;
    sectors_landed.insert(landed);
  }
  EXPECT_GT(sectors_landed.size(), 5u);
  EXPECT_GT(counters.torn_writes, 0u);
  EXPECT_GT(counters.garbage_sectors, 0u);
}

}  // namespace
}  // namespace drave::io::sim
