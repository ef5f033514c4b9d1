#!/usr/bin/env python3
"""How long it takes to create and delete topics, from outside: a fresh node for each case.

    benchmarks/macro/topics.py                 all cases, Drave
    benchmarks/macro/topics.py --kafka         the same with genuine Kafka
    benchmarks/macro/topics.py --cases batch   one case

DRAVED names another node than build/release/bin/draved. Each line has the seconds until the answer
(for deletions too), the node's CPU seconds meanwhile, and for `present` what one more topic takes.
"""
import argparse
import json
import os
import struct
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
from harness.node import Draved, GenuineKafka  # noqa: E402
from harness.wire import API_CREATE_TOPICS, API_DELETE_TOPICS, Connection, string  # noqa: E402

TIMEOUT_MS = 120_000


def create(connection, topics):
    """Creates them in one request; `topics`: (name, partitions)."""
    body = struct.pack(">i", len(topics))
    for name, partitions in topics:
        body += string(name) + struct.pack(">ihii", partitions, 1, 0, 0)
    answer = connection.call(API_CREATE_TOPICS, 2, body + struct.pack(">ib", TIMEOUT_MS, 0))
    at = 8
    for _ in topics:
        length = struct.unpack(">h", answer[at:at + 2])[0]
        error, text = struct.unpack(">hh", answer[at + 2 + length:at + 6 + length])
        assert error == 0, f"not created: error {error}"
        at += 6 + length + max(text, 0)


def delete(connection, names):
    body = struct.pack(">i", len(names)) + b"".join(string(name) for name in names)
    connection.call(API_DELETE_TOPICS, 1, body + struct.pack(">i", TIMEOUT_MS))


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Case:
    def __init__(self, node):
        self.node = node
        self.results = {}

    def timed(self, key, work):
        cpu = cpu_seconds(self.node.pid)
        began = time.monotonic()
        work()
        self.results[key] = round(time.monotonic() - began, 4)
        self.results[f"{key}_cpu"] = round(cpu_seconds(self.node.pid) - cpu, 2)


def one_by_one(case, connection):
    """1,000 topics, a request each."""
    names = [f"topic-{i}" for i in range(1000)]
    case.timed("create", lambda: [create(connection, [(name, 1)]) for name in names])
    case.timed("delete", lambda: [delete(connection, [name]) for name in names])


def batch(case, connection):
    """1,000 topics in one request."""
    names = [f"topic-{i}" for i in range(1000)]
    case.timed("create", lambda: create(connection, [(name, 1) for name in names]))
    case.timed("delete", lambda: delete(connection, names))


def partitions(case, connection):
    """One topic of 100 partitions, then one of 1,000."""
    create(connection, [("first", 1)])
    for count in (100, 1000):
        case.timed(f"create_{count}", lambda: create(connection, [(f"of-{count}", count)]))
        case.timed(f"delete_{count}", lambda: delete(connection, [f"of-{count}"]))


def present(case, connection):
    """One more topic beside 4,000; medians of 21."""
    for first in range(0, 4000, 1000):
        create(connection, [(f"topic-{i}", 1) for i in range(first, first + 1000)])
    seconds = []
    cpu = cpu_seconds(case.node.pid)
    for i in range(21):
        began = time.monotonic()
        create(connection, [(f"more-{i}", 1)])
        seconds.append(time.monotonic() - began)
    case.results["create_one_more"] = round(sorted(seconds)[10], 4)
    case.results["create_one_more_cpu"] = round((cpu_seconds(case.node.pid) - cpu) / 21, 4)


CASES = {work.__name__: work for work in (one_by_one, batch, partitions, present)}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kafka", action="store_true")
    parser.add_argument("--cases", nargs="+", choices=sorted(CASES), default=list(CASES))
    parser.add_argument("--dir", help="where the nodes' folders are made")
    options = parser.parse_args()
    for name in options.cases:
        with tempfile.TemporaryDirectory(prefix="topics-", dir=options.dir) as folder:
            node = (GenuineKafka if options.kafka else Draved)(folder)
            node.start()
            try:
                with Connection(node.port, timeout=180) as connection:
                    create(connection, [("warm-up", 1)])
                    case = Case(node)
                    CASES[name](case, connection)
            finally:
                node.stop()
            print(json.dumps({"node": node.kind, "case": name, **case.results}), flush=True)


if __name__ == "__main__":
    main()
