#!/usr/bin/env python3
"""A record in each of many partitions, then one hot partition for several lengths of the journal: no
stall, and disk and memory stay bounded. Then partitions are deleted while they are written.

  many_partitions.py [--partitions N] [--journal MEBIBYTES] [--lengths N] [--kafka]
"""
import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from confluent_kafka import KafkaError, Producer  # noqa: E402
from confluent_kafka.admin import AdminClient, NewTopic  # noqa: E402
from harness.load import client_settings, read_all  # noqa: E402
from harness.node import make_node  # noqa: E402

SECONDS = 60
STALL_SECONDS_MAX = 3.0  # between two acknowledgements of a loaded, small machine
RESIDENT_MIB_MAX = 200


class Writer:
    """A producer that remembers the longest time without an acknowledgement."""

    def __init__(self, node):
        self.producer = Producer({**client_settings(node.bootstrap), "acks": "all", "linger.ms": 5,
                                  "batch.size": 500_000, "message.timeout.ms": SECONDS * 1000,
                                  "queue.buffering.max.kbytes": 20_000})
        self.acked, self.errors, self.last, self.stall = 0, [], None, 0.0

    def _delivered(self, error, _):
        now = time.monotonic()
        if error:
            self.errors.append(error.code())
            return
        self.acked += 1
        if self.last is not None:
            self.stall = max(self.stall, now - self.last)
        self.last = now

    def send(self, topic, partition, value):
        while True:
            try:
                self.producer.produce(topic, value, partition=partition, on_delivery=self._delivered)
                self.producer.poll(0)
                return
            except BufferError:
                self.producer.poll(0.01)

    def flush(self):
        left = self.producer.flush(SECONDS)
        assert not left, f"{left} records were not answered"


def create(node, topic, partitions):
    admin = AdminClient(client_settings(node.bootstrap))
    admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(SECONDS)


def journal_bytes(node):
    """Bytes of the data directory that belong to no partition."""
    return sum(path.stat().st_size for path in node.data.rglob("*")
               if path.is_file() and "journal" in str(path.relative_to(node.data)))


def hot_partition(node, options):
    create(node, "many", options.partitions)
    writer = Writer(node)
    for partition in range(options.partitions):
        writer.send("many", partition, b"cold %d" % partition)
    writer.flush()
    assert writer.acked == options.partitions and not writer.errors
    writer.last, value = None, b"h" * 10_000
    wanted, sent, resident, journal = options.lengths * options.journal << 20, 0, 0, 0
    while sent < wanted:
        for _ in range(200):
            writer.send("many", 0, value)
            sent += len(value)
        resident = max(resident, node.resident_kib() / 1024)
        journal = max(journal, journal_bytes(node))
    writer.flush()
    assert not writer.errors, writer.errors[:3]
    for partition in (1, options.partitions // 2, options.partitions - 1):
        read = list(read_all(node.bootstrap, "many", partition))
        assert read == [(0, b"cold %d" % partition)], f"many-{partition}: {read[:2]}"
    return {"stall_seconds": round(writer.stall, 3), "rss_mib": round(resident, 1),
            "journal_mib": round(journal / (1 << 20), 1)}


def deleted_while_written(node):
    """Returns what the producers were told; the node must go on."""
    admin, told = AdminClient(client_settings(node.bootstrap)), set()
    for turn in range(3):
        topic = f"doomed-{turn}"
        create(node, topic, 4)
        writer = Writer(node)
        for number in range(20_000):
            writer.send(topic, number % 4, b"d" * 500)
            if number == 10_000:
                deletion = admin.delete_topics([topic])[topic]
        deletion.result(SECONDS)
        writer.producer.purge()
        writer.producer.flush(SECONDS)
        told |= set(writer.errors)
        end = time.monotonic() + SECONDS
        while topic in admin.list_topics(timeout=SECONDS).topics:
            assert time.monotonic() < end, f"{topic} is still listed"
    expected = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._PURGE_QUEUE,
                KafkaError._PURGE_INFLIGHT, KafkaError._UNKNOWN_PARTITION,
                KafkaError.NOT_LEADER_FOR_PARTITION}
    assert told <= expected, f"told {told - expected}"
    return sorted(told)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--partitions", type=int, default=1000)
    parser.add_argument("--journal", type=int, default=64)
    parser.add_argument("--lengths", type=int, default=3)
    parser.add_argument("--kafka", action="store_true")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="drave-many-")
    settings = {"auto.create.topics.enable": "false"}
    if not options.kafka:
        settings["drave.journal.bytes"] = str(options.journal << 20)
        settings["drave.journal.file.bytes"] = str(options.journal << 17)
    node = make_node("kafka" if options.kafka else "draved", folder, settings=settings)
    try:
        node.start()
        result = hot_partition(node, options)
        result["told"] = deleted_while_written(node)
        create(node, "after", 1)
        node.check(node.stop(60))
    finally:
        if node.running():
            node.kill()
    problems = []
    if result["stall_seconds"] > STALL_SECONDS_MAX:
        problems.append("a stall")
    if not options.kafka and result["rss_mib"] > RESIDENT_MIB_MAX:
        problems.append("too much memory")
    if not options.kafka and result["journal_mib"] > options.journal * 1.1:
        problems.append("the journal is larger than its bound")
    print(json.dumps({"ok": not problems, "problems": problems, **result}))
    shutil.rmtree(folder)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
