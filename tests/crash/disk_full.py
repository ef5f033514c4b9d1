#!/usr/bin/env python3
"""A disk that fills, and is freed: produce is refused with a retriable error, reads and deletes go
on, and when there is room again produce works without a restart.

  disk_full.py [--mebibytes N]       exits with 77 where mounting is not permitted
"""
import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from confluent_kafka import KafkaError, Producer, TopicPartition  # noqa: E402
from confluent_kafka.admin import AdminClient, NewTopic  # noqa: E402
from harness.load import client_settings, read_all  # noqa: E402
from harness.node import make_node  # noqa: E402
from loop_disk import SKIPPED, SMALL_JOURNAL, disk_or_skip  # noqa: E402

RECORD = 100_000
SECONDS = 60
# What a client may be told, or come to by itself after retrying: never an error that ends its life.
EXPECTED = {KafkaError._MSG_TIMED_OUT, KafkaError.KAFKA_STORAGE_ERROR,
            KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError._TIMED_OUT}


class Filler:
    def __init__(self, node):
        self.node, self.acked, self.errors = node, {}, []

    def send(self, topic, count, timeout_ms=5000):
        """Sends `count` records; (acknowledged, refused) of them."""
        producer = Producer({**client_settings(self.node.bootstrap), "acks": "all", "linger.ms": 0,
                             "message.timeout.ms": timeout_ms, "message.max.bytes": 1_000_000})
        before, refused = len(self.acked.setdefault(topic, {})), len(self.errors)

        def delivered(error, message):
            if error:
                self.errors.append(error.code())
            else:
                self.acked[topic][message.offset()] = message.value()[:9]

        for number in range(count):
            producer.produce(topic, b"%09d" % number + b"z" * RECORD, partition=0,
                             on_delivery=delivered)
            producer.poll(0)
        producer.flush(SECONDS)
        return len(self.acked[topic]) - before, len(self.errors) - refused

    def check(self, topic):
        read = {o: v[:9] for o, v in read_all(self.node.bootstrap, topic, 0)}
        missing = [o for o, v in self.acked[topic].items() if read.get(o) != v]
        assert not missing, f"{topic}: {len(missing)} acknowledged records are not there"


def run(node, disk):
    admin = AdminClient(client_settings(node.bootstrap))
    for topic in ("large", "small"):
        admin.create_topics([NewTopic(topic, 1, 1, config={
            "segment.bytes": "16777216", "file.delete.delay.ms": "100"})])[topic].result(SECONDS)
    filler, refused, end = Filler(node), 0, time.monotonic() + SECONDS * 3
    assert filler.send("small", 20) == (20, 0)
    while not refused:
        assert time.monotonic() < end, "the disk does not fill"
        _, refused = filler.send("large", 200)
    assert node.running(), "the node ended"
    unexpected = set(filler.errors) - EXPECTED
    assert not unexpected, f"a client was told {unexpected}"
    free_when_refused = disk.free_bytes()
    filler.check("small")
    filler.check("large")
    # Half of it goes by DeleteRecords, the rest with the topic.
    half = TopicPartition("large", 0, max(filler.acked["large"]) // 2)
    admin.delete_records([half])[half].result(SECONDS)
    admin.delete_topics(["large"])["large"].result(SECONDS)
    began, taken = time.monotonic(), 0
    while not taken:
        assert time.monotonic() - began < SECONDS, "the disk has room, produce is still refused"
        taken, _ = filler.send("small", 1, timeout_ms=2000)
    back = time.monotonic() - began
    filler.check("small")
    return {"ok": True, "acked": {t: len(a) for t, a in filler.acked.items()},
            "refused": len(filler.errors), "free_bytes_when_refused": free_when_refused,
            "seconds_until_taken_again": round(back, 2)}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mebibytes", type=int, default=256)
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="drave-full-")
    disk = disk_or_skip(folder, options.mebibytes)
    if not disk:
        return SKIPPED
    node = make_node("draved", folder, settings=SMALL_JOURNAL, data=disk.path / "data")
    try:
        node.start()
        result = run(node, disk)
        status = node.stop()
        assert status == 0, f"stopped with status {status}"
    except BaseException:
        print(node.tail(20), file=sys.stderr)
        raise
    finally:
        if node.running():
            node.kill()
        disk.unmount()
    print(json.dumps(result))
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
