#!/usr/bin/env python3
"""Counted: the device is flushed at least once per acknowledged produce at depth 1.

  flushes.py [--records N] [--set key=value ...] [--kafka]

One connection, one produce at a time, acks=all, on a loop-mounted ext4 whose device counts its
flushes (a forced-unit-access write is a flush there). Exits with 77 where mounting is not permitted.
"""
import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from harness.node import make_node  # noqa: E402
from harness.wire import Connection  # noqa: E402
from loop_disk import SKIPPED, SMALL_JOURNAL, disk_or_skip  # noqa: E402


def count(node, disk, records):
    with Connection(node.port) as connection:
        assert connection.create_topic("counted") == 0
        for _ in range(20):
            connection.produce("counted", 0, [b"warm"])
        before = disk.flushes()
        for number in range(records):
            error, _ = connection.produce("counted", 0, [b"%d" % number])
            assert error == 0, f"produce: error {error}"
        return disk.flushes() - before


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=300)
    parser.add_argument("--set", action="append", default=[], metavar="key=value")
    parser.add_argument("--kafka", action="store_true")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="drave-flushes-")
    disk = disk_or_skip(folder)
    if not disk:
        return SKIPPED
    settings = {} if options.kafka else dict(SMALL_JOURNAL)
    settings.update(pair.split("=", 1) for pair in options.set)
    node = make_node("kafka" if options.kafka else "draved", folder, settings=settings,
                     data=disk.path / "data")
    try:
        node.start()
        flushes = count(node, disk, options.records)
        node.check(node.stop())
    finally:
        if node.running():
            node.kill()
        disk.unmount()
    ok = flushes >= options.records
    print(json.dumps({"ok": ok, "acknowledged": options.records, "flushes": flushes}))
    shutil.rmtree(folder)
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
