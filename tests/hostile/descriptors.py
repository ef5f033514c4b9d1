#!/usr/bin/env python3
"""More connections than the node may have file descriptors: whom it serves already it goes on serving,
its log goes on rolling segments, it does not spin, and when the others leave it takes new ones.

  descriptors.py [--limit N] [--connections N]
"""
import argparse
import os
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from harness.node import Draved  # noqa: E402
from harness.wire import Connection  # noqa: E402
from victim import Victim, descriptors  # noqa: E402

SPIN_SHARE_MAX = 0.5  # of one processor, the well-behaved client's requests included


class Limited(Draved):
    """draved with few file descriptors."""

    limit = 256

    def command(self):
        return ["prlimit", f"--nofile={self.limit}:{self.limit}", *super().command()]


def processor_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def roll_segments(node, topic, connection):
    """Three segments of 1 MiB; the error codes that are not 0."""
    refused = []
    for _ in range(8):
        error, _ = connection.produce(topic, 0, [b"s" * 500_000], timeout_ms=30000)
        if error:
            refused.append(error)
    return refused


def run(node, options):
    served = Connection(node.port, timeout=60)
    assert served.create_topic("rolling", 1, 30000, {"segment.bytes": str(1 << 20)}) == 0
    with Victim(node) as victim:
        victim.rest()
        notes, made = {}, []

        def crowd():
            held = []
            for _ in range(options.connections):
                one = socket.socket()
                one.settimeout(1)
                held.append(one)
                try:
                    one.connect(("127.0.0.1", node.port))
                except OSError:
                    break  # the backlog is full too
            time.sleep(1)
            notes["descriptors"] = descriptors(node.pid)
            began, used = time.monotonic(), processor_seconds(node.pid)
            time.sleep(2)
            notes["processors"] = round((processor_seconds(node.pid) - used)
                                        / (time.monotonic() - began), 2)
            notes["refused"] = roll_segments(node, "rolling", served)
            made.append(f"meanwhile-{len(made)}")
            assert served.create_topic(made[-1], 1, 30000) == 0, "no topic could be made"
            return held

        victim.attack("crowd", crowd, 4)
        victim.result["notes"] = notes
        if notes["processors"] > SPIN_SHARE_MAX:
            victim.problems.append(f"it spins: {notes['processors']} processors")
        if notes["refused"]:
            victim.problems.append(f"segments could not be rolled: errors {notes['refused']}")
        began = time.monotonic()
        with Connection(node.port, timeout=10) as late:
            late.api_versions()
        notes["served_again_after_s"] = round(time.monotonic() - began, 2)
        error, _ = served.produce(made[-1], 0, [b"x"], timeout_ms=30000)
        assert error == 0, f"the new topic is refused with {error}"
    served.close()
    return victim


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=256)
    parser.add_argument("--connections", type=int, default=600)
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="drave-hostile-")
    node = Limited(folder)
    node.limit = options.limit
    try:
        node.start()
        victim = run(node, options)
        for name, result in victim.result.items():
            print(f"{name}: {result}")
        node.check(node.stop())
        assert not victim.problems, "; ".join(victim.problems)
    finally:
        if node.running():
            node.kill()
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
