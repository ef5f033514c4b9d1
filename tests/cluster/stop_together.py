#!/usr/bin/env python3
"""All nodes of a cluster are asked to stop, at once or shortly one after the other, while topics
are created: each comes to its end within 5 s, whoever was the controller, and after a start of all
everything that was acknowledged is there.

  stop_together.py [--rounds N] [--topics N] [--seed N]

In every third round each is asked twice, as by somebody impatient.
"""
import argparse
import random
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from cluster.failover import Pulse, Stream, expect_all  # noqa: E402
from harness.cluster import new_cluster  # noqa: E402

SECONDS_MAX = 5


def stop_all(cluster, apart, twice):
    """SIGTERM to all; how long each took since the last was asked."""
    order = list(cluster.nodes)
    random.shuffle(order)
    for id in order:
        cluster.nodes[id].process.terminate()
        time.sleep(random.choice(apart))
    if twice:
        for id in order:
            cluster.nodes[id].process.terminate()
    began, took = time.monotonic(), {}
    while len(took) < len(order):
        for id in order:
            if id not in took and not cluster.nodes[id].running():
                took[id] = round(time.monotonic() - began, 2)
        if time.monotonic() - began > 60:
            sys.exit(f"nodes {set(order) - set(took)} do not stop")
        time.sleep(0.005)
    return took


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--topics", type=int, default=60, help="that are there before")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    random.seed(options.seed)
    pulse = Pulse()
    pulse.start()
    with new_cluster("stop") as cluster:
        stream = Stream(cluster)
        cluster.start()
        while len(stream.acked) < options.topics:
            stream.create(list(cluster.nodes))
        for n in range(options.rounds):
            ends = threading.Event()

            def create():
                while not ends.is_set():
                    stream.create(list(cluster.nodes))

            creating = threading.Thread(target=create)
            if n % 2 == 0:
                creating.start()
            stalls = pulse.stalls
            took = stop_all(cluster, [0] if n == 0 else [0, 0, 0.01, 0.03, 0.1, 0.2], n % 3 == 2)
            ends.set()
            if n % 2 == 0:
                creating.join()
            print(f"round {n}: {took}", flush=True)
            for node in cluster.nodes.values():
                node.check(node.process.returncode)
            if max(took.values()) > SECONDS_MAX and pulse.stalls == stalls:
                sys.exit(f"a stop took longer than {SECONDS_MAX} s")
            cluster.start()
        expect_all(cluster, stream)
        cluster.stop()


if __name__ == "__main__":
    main()
