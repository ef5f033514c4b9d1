#!/usr/bin/env python3
"""tools/tidy finds what it is there to find: each test plants one violation in a small tree."""
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TIDY = Path(__file__).resolve().parents[2] / "tools" / "tidy"


class Planted(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name)
        self.write("base/fine.h", "#pragma once\n#include <string>\nstd::string fine();\n")
        self.write("base/fine.cc", '#include "base/fine.h"\nstd::string fine() { return {}; }\n')

    def tearDown(self):
        self.folder.cleanup()

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def tidy(self, check, *more):
        done = subprocess.run(
            [sys.executable, str(TIDY), "--root", str(self.root), "--check", check,
             "--cache", str(self.root / "cache"), *more], capture_output=True, text=True)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        lines = [l for l in done.stdout.splitlines() if f"[{check}]" in l and "warning:" not in l]
        self.assertEqual(done.returncode, 1 if lines else 0, done.stdout)
        return lines

    def finds(self, check, name, text, *, line=None, says=""):
        self.assertEqual(self.tidy(check), [], "the tree is not clean before")
        self.write(name, text)
        lines = self.tidy(check)
        self.assertTrue(lines, f"{check} does not see {text!r} in {name}")
        self.assertTrue(any(l.startswith(name + (f":{line}:" if line else ":")) for l in lines), lines)
        self.assertIn(says, "\n".join(lines))

    def allows(self, check, name, text):
        self.write(name, text)
        self.assertEqual(self.tidy(check), [])


class Layers(Planted):
    def test_an_include_that_runs_up(self):
        self.finds("layers", "base/a.h", '#pragma once\n#include "io/loop.h"\n', line=2,
                   says="base may not include io")

    def test_io_and_protocol_do_not_know_each_other(self):
        self.finds("layers", "io/a.cc", '#include "protocol/varint.h"\n')
        self.finds_also("protocol/a.cc", '#include "io/loop.h"\n')

    def finds_also(self, name, text):
        self.write(name, text)
        self.assertTrue([l for l in self.tidy("layers") if l.startswith(name)])

    def test_every_floor_that_may_not_look_up(self):
        order = ["base", "io", "segments", "raftlog", "metadata", "broker", "tools"]
        for lower, upper in zip(order, order[1:]):
            self.write(f"{lower}/up.cc", f'#include "{upper}/x.h"\n')
        names = {l.split(":")[0] for l in self.tidy("layers")}
        self.assertEqual(names, {f"{lower}/up.cc" for lower in order[:-1]})

    def test_nobody_includes_tests(self):
        self.finds("layers", "tools/a.cc", '#include "tests/helper.h"\n')

    def test_down_is_fine(self):
        self.allows("layers", "broker/a.cc", '#include "segments/x.h"\n#include "base/fine.h"\n')

    def test_a_comment_is_no_include(self):
        self.allows("layers", "base/a.cc", '// #include "io/loop.h"\n')

    def test_liburing_outside_its_folder(self):
        self.finds("layers", "io/file.cc", "#include <liburing.h>\n", says="liburing")
        self.allows_also("io/uring/ring.h", "#pragma once\n#include <liburing.h>\n")

    def allows_also(self, name, text):
        self.write(name, text)
        self.assertFalse([l for l in self.tidy("layers") if l.startswith(name)])

    def test_a_back_end_named_above_io(self):
        self.finds("layers", "segments/a.cc", '#include "io/sim/backend.h"\n', says="back end")

    def test_metadata_has_no_io(self):
        self.finds("layers", "metadata/a.cc", '#include "io/file.h"\n')

    def test_the_consensus_core_has_no_io_not_even_through_another_header(self):
        self.write("raftlog/driver.h", '#pragma once\n#include "segments/partition_log.h"\n')
        self.finds("layers", "raftlog/core/step.cc", '#include "raftlog/driver.h"\n',
                   says="raftlog/driver.h -> segments/partition_log.h")


class Seam(Planted):
    def test_clocks_sleeps_threads_and_random_devices(self):
        planted = [
            "auto t = std::chrono::steady_clock::now();", "auto t = system_clock::now();",
            "auto t = high_resolution_clock :: now();", "gettimeofday(&tv, nullptr);",
            "clock_gettime(CLOCK_MONOTONIC, &ts);", "auto t = time(nullptr);",
            "auto t = std::time(0);", "std::this_thread::sleep_for(1s);", "usleep(5);",
            "nanosleep(&ts, nullptr);", "::sleep(1);", "std::thread t([] {});", "std::jthread t;",
            "pthread_create(&t, nullptr, f, nullptr);", "auto f = std::async(g);",
            "std::random_device device;", "int r = rand();", "getrandom(buffer, 8, 0);",
            'int fd = open("/dev/urandom", 0);',
        ]
        for at, text in enumerate(planted):
            name = f"segments/planted{at}.cc"
            self.write(name, f"void f() {{\n  {text}\n}}\n")
        found = {l.split(":")[0] for l in self.tidy("seam")}
        missed = [t for at, t in enumerate(planted) if f"segments/planted{at}.cc" not in found]
        self.assertEqual(missed, [])

    def test_io_may(self):
        self.allows("seam", "io/uring/clock.cc", "auto t = std::chrono::steady_clock::now();\n")

    def test_words_that_only_look_like_it(self):
        self.allows("seam", "broker/a.cc",
                    "auto a = log.time(0);\nauto b = retention_time(0);\nint operand(int);\n"
                    "int c = operand(1);\nstd::this_thread::get_id();\n// steady_clock::now()\n"
                    'auto s = "usleep(1)";\n')

    def test_a_test_that_sleeps(self):
        self.finds("seam", "tests/io/a_test.cc", "void f() { usleep(1); }\n", says="sleep")


class Headers(Planted):
    def test_a_header_that_does_not_compile_alone(self):
        self.finds("headers", "base/a.h", "#pragma once\nstd::vector<int> numbers();\n",
                   says="does not compile alone")

    def test_a_header_that_stops_compiling_when_another_changes(self):
        self.write("base/a.h", '#pragma once\n#include "base/b.h"\ninline B make() { return {}; }\n')
        self.write("base/b.h", "#pragma once\nstruct B {};\n")
        self.assertEqual(self.tidy("headers"), [])
        self.write("base/b.h", "#pragma once\nstruct C {};\n")
        self.assertTrue([l for l in self.tidy("headers") if l.startswith("base/a.h")])

    def test_headers_that_include_each_other(self):
        self.write("base/a.h", '#pragma once\n#include "base/b.h"\nstruct A {};\n')
        self.write("base/b.h", '#pragma once\n#include "base/a.h"\nstruct B {};\n')
        self.assertEqual(self.tidy("headers"), [])


class Standard(Planted):
    def test_a_name_whose_header_is_missing(self):
        self.finds("standard", "base/a.cc",
                   '#include "base/fine.h"\nstd::string a;\nstd::vector<int> b;\n', line=3,
                   says="<vector> is not included")

    def test_through_a_header_of_ours(self):
        self.allows("standard", "base/a.cc", '#include "base/fine.h"\nstd::string a;\n')

    def test_the_system_s_headers_do_not_count_for_each_other(self):
        self.finds("standard", "base/a.h", "#pragma once\n#include <iostream>\nstd::string a();\n")


class Sizes(Planted):
    def test_a_file_that_is_refused(self):
        self.finds("sizes", "base/a.cc", "// x\n" * 1001)

    def test_a_thousand_lines_are_not(self):
        self.allows("sizes", "base/a.cc", "// x\n" * 1000)

    def function(self, lines, head="void f()"):
        return head + " {\n" + "  g();\n" * (lines - 2) + "}\n"

    def test_a_long_function(self):
        self.finds("functions", "base/a.cc", self.function(71), line=1, says="f has 71 lines")

    def test_a_function_of_seventy_lines(self):
        self.allows("functions", "base/a.cc", self.function(70))

    def test_a_long_method_and_a_long_constructor(self):
        body = self.function(80, "  void method() const")
        self.finds("functions", "base/a.cc", "namespace n {\nclass C {\n" + body + "};\n}\n", line=3)
        self.write("base/a.cc", self.function(90, "C::C(int a) : a_{a}, b_{2}"))
        self.assertIn("C::C has 90", "".join(self.tidy("functions")))

    def test_many_short_functions_are_not_one_long_one(self):
        self.allows("functions", "base/a.cc", "namespace n {\n" + "void f() {\n}\n" * 60 + "}\n")

    def test_a_ratchet_holds_and_must_follow_downwards(self):
        self.write("base/a.cc", self.function(75))
        self.write("tools/tidy-ratchet.txt", "base/a.cc f 75\n")
        self.assertEqual(self.tidy("functions"), [])
        self.write("base/a.cc", self.function(76))
        self.assertTrue(self.tidy("functions"))
        self.write("base/a.cc", self.function(73))
        self.assertIn("lower it", "".join(self.tidy("functions")))


class Leftovers(Planted):
    def test_notes_to_self(self):
        for at, word in enumerate(["TO" + "DO", "FIX" + "ME", "XX" + "X"]):
            self.write(f"base/a{at}.cc", f"// {word}: later\n")
        self.assertEqual(len(self.tidy("leftovers")), 3)

    def test_places_outside_the_project(self):
        self.finds("leftovers", "tests/a.sh", "cat /wo" + "rk/shared/x\n")

    def test_a_character_outside_ascii(self):
        self.finds("ascii", "base/a.cc", "// caf\u00e9\n", line=1)

    def test_printing_in_a_library(self):
        self.finds("idioms", "broker/a.cc", 'void f() { std::cout << "x"; }\n')
        self.write("broker/a.cc", "\n")
        self.assertEqual(self.tidy("idioms"), [])
        self.allows("idioms", "tools/a.cc", 'void f() { std::cout << "x"; }\n')

    def test_the_own_header_comes_first(self):
        self.write("base/a.h", "#pragma once\n")
        self.finds("idioms", "base/a.cc", '#include <string>\n#include "base/a.h"\n', line=1)

    def test_a_header_without_its_guard(self):
        self.finds("idioms", "base/a.h", "struct A {};\n")

    def test_a_relative_include(self):
        self.finds("idioms", "base/a.cc", '#include "fine.h"\n', says="root path")


if __name__ == "__main__":
    unittest.main()
