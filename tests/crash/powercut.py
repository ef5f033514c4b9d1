#!/usr/bin/env python3
"""Power cuts under load: what is acknowledged has been flushed (a SIGKILL keeps the page cache and
proves no flush).

  powercut.py [--cuts N] [--records N per cut] [--seed N] [--set key=value ...] [--kafka]

The node's data is on a loop-mounted ext4, which is shut down with FS_IOC_SHUTDOWN and NOLOGFLUSH
while an idempotent acks=all producer writes numbered records; then it is mounted again, the node
recovers and goes on. At the end everything is read back. Prints one JSON object; exits with 1 unless
all is well, with 77 where mounting is not permitted. The full run is --cuts 20.
"""
import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from harness.load import NumberedLoad  # noqa: E402
from harness.node import make_node  # noqa: E402
from loop_disk import SKIPPED, SMALL_JOURNAL, disk_or_skip  # noqa: E402


def cut(disk, node):
    """The cut, and all the way back; seconds until the node answered again."""
    disk.cut_power()
    node.kill()
    disk.unmount()
    disk.mount()
    began = time.monotonic()
    node.start()
    return time.monotonic() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuts", type=int, default=3)
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="key=value")
    parser.add_argument("--kafka", action="store_true")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="drave-powercut-")
    disk = disk_or_skip(folder)
    if not disk:
        return SKIPPED
    settings = {} if options.kafka else dict(SMALL_JOURNAL)
    settings.update(pair.split("=", 1) for pair in options.set)
    if options.kafka:
        settings.setdefault("log.flush.interval.messages", "1")
    node = make_node("kafka" if options.kafka else "draved", folder, settings=settings,
                     data=disk.path / "data")
    try:
        result = run(options, disk, node)
    finally:
        if node.running():
            node.kill()
        disk.unmount()
    print(json.dumps(result))
    if result["ok"]:
        shutil.rmtree(folder)
        return 0
    print(f"kept: {folder}; the node's log ends:\n{node.tail(20)}", file=sys.stderr)
    return 1


def run(options, disk, node):
    rng, began = random.Random(options.seed), time.monotonic()
    count = options.records * (options.cuts + 1)
    deadlines = [int((i + 1 + rng.uniform(-0.4, 0.4)) * options.records) for i in range(options.cuts)]
    recoveries = []
    node.start()
    if options.kafka:
        os.sync()  # it does not flush what formatting wrote
    load = NumberedLoad(node.bootstrap, "powercut")
    for _ in load.produce(count):
        if len(recoveries) < options.cuts and load.acked >= deadlines[len(recoveries)]:
            recoveries.append(cut(disk, node))
    result = load.verify()
    status = node.stop()  # the log has complaints: the disk failed
    result["ok"] = result["ok"] and (options.kafka or status == 0)
    result.update(cuts=len(recoveries), seconds=round(time.monotonic() - began, 1),
                  recovery_seconds_max=round(max(recoveries, default=0), 3))
    # The producer may be done before the last moments come: most cuts must have hit it at work.
    result["ok"] = result["ok"] and 2 * len(recoveries) >= options.cuts
    return result


if __name__ == "__main__":
    sys.exit(main())
