#!/usr/bin/env python3
"""SIGTERM under load: everything that the node read is answered, everything answered is there.

  sigterm.py [--rounds N] [--connections N] [--kafka]

Producers with acks=all and four requests under way each, and a consumer that waits for nothing, when
the node is told to stop: every answer is without an error, the connection ends after an answer and
is not reset, and the log has exactly the acknowledged records. Then a peer that does not read its
answers: the second SIGTERM ends the node within SECOND_SIGNAL_SECONDS, clean. Prints one JSON
object; exits with 1 unless all is well.
"""
import argparse
import json
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness.node import make_node  # noqa: E402
from harness.wire import Connection  # noqa: E402

TOPIC = "stop"
PARTITIONS = 8
IN_FLIGHT = 4
STOP_SECONDS = 4  # far less than the time for which a node waits for its peers
SECOND_SIGNAL_SECONDS = 2
CLEAN_MARKER = ".kafka_cleanshutdown"


class Producer(threading.Thread):
    """Until the node ends the connection."""

    def __init__(self, port, partition):
        super().__init__(daemon=True)
        self.connection = Connection(port, timeout=20)
        self.partition = partition
        self.acknowledged = 0
        self.errors = []
        self.end = None

    def run(self):
        def send():
            try:
                self.connection.send_produce(TOPIC, self.partition, [b"x" * 200])
            except OSError:
                pass  # the answers that are under way come all the same
        try:
            for _ in range(IN_FLIGHT):
                send()
            while True:
                error, _ = self.connection.receive_produce(TOPIC)
                if error:
                    self.errors.append(error)
                else:
                    self.acknowledged += 1
                send()
        except OSError as error:
            self.end = str(error)


class Waiter(threading.Thread):
    """A consumer at the end of an idle topic."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.connection = Connection(port, timeout=20)
        self.end = None

    def run(self):
        try:
            found = self.connection.fetch_batches("idle", 0, wait_ms=15000)
            self.end = "answered" if not found else "records from nowhere"
        except OSError as error:
            self.end = str(error)


def count_records(port, partition):
    count = 0
    with Connection(port) as connection:
        while True:
            found = connection.fetch_batches(TOPIC, partition, offset=count)
            if not found:
                return count
            count = found[-1]["base_offset"] + found[-1]["count"]


def stop_under_load(node, connections, already):
    """What went wrong, and the records of each partition."""
    producers = [Producer(node.port, at % PARTITIONS) for at in range(connections)]
    waiter = Waiter(node.port)
    threads = [*producers, waiter]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    began = time.monotonic()
    status = node.stop()
    seconds = time.monotonic() - began
    wrong = []
    for thread in threads:
        thread.join(20)
    if status not in node.clean_statuses or seconds > STOP_SECONDS:
        wrong.append(f"stopped with {status} after {seconds:.1f} s")
    if not (node.data / CLEAN_MARKER).exists():
        wrong.append("no clean marker")
    if waiter.end != "answered":
        wrong.append(f"the consumer: {waiter.end}")
    acknowledged = list(already)
    for producer in producers:
        if producer.errors or producer.end != "the node closed the connection":
            wrong.append(f"a producer: errors {producer.errors[:3]}, end: {producer.end}")
        acknowledged[producer.partition] += producer.acknowledged
    node.start()
    there = [count_records(node.port, at) for at in range(PARTITIONS)]
    if there != acknowledged:
        wrong.append(f"acknowledged {acknowledged}, there {there}")
    return wrong, there


def hurry(node):
    """A peer asks for megabytes and takes nothing; two signals. What went wrong, and the seconds
    from the second one."""
    peer = Connection(node.port)
    for _ in range(64):
        error, _ = peer.produce("idle", 0, [b"y" * 900_000])
        assert not error, error
    for _ in range(32):
        peer.send_fetch("idle", 0, bytes_max=8 << 20)
    time.sleep(0.3)
    node.process.terminate()
    time.sleep(0.5)
    if not node.running():
        return ["the first signal was enough"], 0
    began = time.monotonic()
    status = node.stop()
    seconds = time.monotonic() - began
    peer.close()
    wrong = []
    if status not in node.clean_statuses or seconds > SECOND_SIGNAL_SECONDS:
        wrong.append(f"the second signal: stopped with {status} after {seconds:.1f} s")
    if not (node.data / CLEAN_MARKER).exists():
        wrong.append("the second signal: no clean marker")
    return wrong, seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--kafka", action="store_true")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="drave-sigterm-")
    node = make_node("kafka" if options.kafka else "draved", folder)
    wrong, there, seconds = [], [0] * PARTITIONS, 0
    try:
        node.start()
        with Connection(node.port) as connection:
            assert connection.create_topic(TOPIC, PARTITIONS) == 0
            assert connection.create_topic("idle", 1) == 0
        for _ in range(options.rounds):
            found, there = stop_under_load(node, options.connections, there)
            wrong += found
        found, seconds = hurry(node)
        wrong += found
        node.check(0)
    finally:
        if node.running():
            node.kill()
    print(json.dumps({"ok": not wrong, "wrong": wrong, "records": sum(there),
                      "second_signal_seconds": round(seconds, 3)}))
    if wrong:
        print(f"kept: {folder}; the node's log ends:\n{node.tail(20)}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
