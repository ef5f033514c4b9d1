#!/usr/bin/env python3
"""No file descriptor is left for a running node, and then there are some again: what was acknowledged
stays, who is connected is served, nothing ends or spins, the node says what is wrong and goes on by
itself. A node that has too few for its start says so and ends.

  starved.py [--seconds N]
"""
import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from harness.node import Draved, NodeFailed  # noqa: E402
from harness.wire import Connection  # noqa: E402
from descriptors import Limited, processor_seconds  # noqa: E402

SPIN_SHARE_MAX = 0.5  # of one processor, beside a client that produces ten times a second
VALUE = b"s" * 300_000
SETTINGS = {"log.segment.bytes": str(1 << 20), "drave.shards": "2"}
TOPIC = "rolling"
LACK = "no file descriptor is left"
FOUND = "file descriptors are there again"


def set_limit(pid, soft):
    subprocess.run(["prlimit", "--pid", str(pid), f"--nofile={soft}:"], check=True)


def wait_for_text(node, text, seconds):
    end = time.monotonic() + seconds
    while text not in node.log.read_text(errors="replace"):
        assert time.monotonic() < end, f"the node does not say '{text}':\n{node.tail()}"
        time.sleep(0.05)


def soft_limit(pid):
    line = [at for at in Path(f"/proc/{pid}/limits").read_text().splitlines() if "open files" in at]
    return int(line[0].split()[3])


def produce_for(connection, seconds):
    """How many were acknowledged; each error but the retriable ones of a lack is one of the test's."""
    acknowledged, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        error, _ = connection.produce(TOPIC, 0, [VALUE], timeout_ms=1000)
        assert error in (0, 7, 56), f"Produce is told {error}"
        acknowledged += error == 0
        time.sleep(0.1)
    return acknowledged


def offsets(connection):
    at = 0
    while True:
        found = connection.fetch_batches(TOPIC, 0, at, 4 << 20)
        if not found:
            return at
        at = found[-1]["base_offset"] + found[-1]["count"]


def starve(node, seconds):
    """Offsets that were acknowledged."""
    served = Connection(node.port, timeout=60)
    assert served.create_topic(TOPIC, 1, 30000) == 0
    acknowledged = produce_for(served, 1)
    before = soft_limit(node.pid)
    # Fewer than are open: nothing more can be.
    set_limit(node.pid, 8)
    began, used = time.monotonic(), processor_seconds(node.pid)
    # Some are left in the backlog, or closed at once.
    crowd = [socket.create_connection(("127.0.0.1", node.port), 5) for _ in range(3)]
    acknowledged += produce_for(served, seconds)
    share = (processor_seconds(node.pid) - used) / (time.monotonic() - began)
    wait_for_text(node, LACK, 10)
    assert node.running(), node.tail()
    assert share < SPIN_SHARE_MAX, f"it spins: {share:.2f} processors"
    set_limit(node.pid, before)
    wait_for_text(node, FOUND, 10)
    acknowledged += produce_for(served, 1)
    with Connection(node.port, timeout=30) as late:
        assert offsets(late) >= acknowledged
        assert late.create_topic("later", 1, 30000) == 0
    for one in crowd:
        one.close()
    served.close()
    print(f"acknowledged={acknowledged} processors={share:.2f}")
    return acknowledged


def stop_starved(node):
    """A stop does not wait for descriptors, and loses nothing."""
    with Connection(node.port, timeout=30) as connection:
        before = offsets(connection)
        set_limit(node.pid, 8)
        before += produce_for(connection, 1)
        connection.create_topic("stuck", 4, 1000)  # their files wait
    node.stop(30)
    node.start()
    with Connection(node.port, timeout=30) as connection:
        found = offsets(connection)
        assert found >= before, f"{before} were acknowledged, {found} are there"


def refuse_to_start(folder):
    few = Limited(folder)
    few.limit = 12
    try:
        few.start()
    except NodeFailed:
        text = few.log.read_text(errors="replace")
        assert LACK in text and "LimitNOFILE" in text, text
        return
    few.kill()
    raise AssertionError("a node starts with twelve file descriptors: the test is to give it fewer")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2)
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="drave-starved-")
    node = Draved(folder, SETTINGS)
    try:
        node.start()
        acknowledged = starve(node, options.seconds)
        node.check(node.stop())
        node.start()
        with Connection(node.port, timeout=30) as connection:
            assert offsets(connection) >= acknowledged
        stop_starved(node)  # not cleanly, and says so
        assert node.stop() == 0, node.tail()
        refuse_to_start(os.path.join(folder, "few"))
    finally:
        if node.running():
            node.kill()
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
