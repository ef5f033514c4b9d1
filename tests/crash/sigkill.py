#!/usr/bin/env python3
"""SIGKILL under load: every acknowledged record is there once, in order.

  sigkill.py [--count N] [--kills N] [--seed N] [--set key=value ...] [--kafka]

An idempotent producer with acks=all writes numbered records over eight partitions while the node is
killed and restarted; then everything is read back. Prints one JSON object; exits with 1 unless all
is well. The full run is --count 1000000 --kills 12.
"""
import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness.load import NumberedLoad  # noqa: E402
from harness.node import make_node  # noqa: E402


def kill_and_restart(node, rng):
    node.kill()
    # Some clients see a refused connection, some only a closed one.
    if rng.random() < 0.5:
        time.sleep(rng.random() * 0.2)
    node.start(wait=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="key=value")
    parser.add_argument("--kafka", action="store_true")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    folder = tempfile.mkdtemp(prefix="drave-sigkill-")
    node = make_node("kafka" if options.kafka else "draved", folder,
                     settings=dict(pair.split("=", 1) for pair in options.set))
    began = time.monotonic()
    # The acknowledgement after which the node dies: spread over the run, each a bit off.
    share = options.count / (options.kills + 1)
    deadlines = [int((i + 1 + rng.uniform(-0.4, 0.4)) * share) for i in range(options.kills)]
    kills = 0
    try:
        node.start()
        load = NumberedLoad(node.bootstrap, "crash")
        for _ in load.produce(options.count):
            if kills < len(deadlines) and load.acked >= deadlines[kills] and node.running():
                kills += 1
                kill_and_restart(node, rng)
                node.wait_ready()
        result = load.verify()
        status = node.stop()
        node.check(status)
    finally:
        if node.running():
            node.kill()
    result.update(kills=kills, seconds=round(time.monotonic() - began, 1))
    # The producer may be done before the last moments come: most kills must have hit it at work.
    result["ok"] = result["ok"] and 2 * kills >= options.kills
    print(json.dumps(result))
    if result["ok"]:
        shutil.rmtree(folder)
        return 0
    print(f"kept: {folder}; the node's log ends:\n{node.tail(20)}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
