#!/usr/bin/env python3
"""Drave, genuine Kafka, Drave again on one data directory: all records and ACLs are there each time;
after a SIGKILL of ours Kafka does not start on it until ours has recovered.
NODE_KIND=kafka plays all parts with genuine Kafka, to see that the test itself is right."""
import os
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from confluent_kafka import Producer, TopicPartition  # noqa: E402
from confluent_kafka.admin import (AclBinding, AclBindingFilter, AclOperation,  # noqa: E402
                                   AclPermissionType, AdminClient, NewTopic, ResourcePatternType,
                                   ResourceType)
from harness.load import client_settings, read_all  # noqa: E402
from harness.node import NodeFailed, make_node  # noqa: E402

OURS = os.environ.get("NODE_KIND", "draved")
SECONDS = 30
# Kafka has access control as Drave has it without being asked.
WITH_ACLS = {"authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
             "allow.everyone.if.no.acl.found": "true"}
ANY_ACL = AclBindingFilter(ResourceType.ANY, None, ResourcePatternType.ANY, None, None,
                           AclOperation.ANY, AclPermissionType.ANY)


def acl_of(name, operation):
    return AclBinding(ResourceType.TOPIC, name, ResourcePatternType.PREFIXED, "User:me", "10.0.0.1",
                      operation, AclPermissionType.DENY)


class Expected:
    """What has been written, and what must be read: {topic: {partition: {offset: value}}}."""

    def __init__(self):
        self.topics = {}
        self.starts = {}
        self.acls = set()
        self.number = 0

    def live_through(self, node, codec):
        """One node's part: a new topic, writes everywhere, records deleted, a topic deleted."""
        admin = AdminClient(client_settings(node.bootstrap))
        for topic in (f"of-{codec}", f"shortlived-{codec}"):
            admin.create_topics([NewTopic(topic, 2, 1)])[topic].result(SECONDS)
            self.topics[topic] = {0: {}, 1: {}}
        for idempotent in (True, False):
            self.write(node, codec, idempotent)
        acls = [acl_of(f"guarded-{codec}", operation)
                for operation in (AclOperation.READ, AclOperation.ALTER)]
        for made in admin.create_acls(acls).values():
            made.result(SECONDS)
        filtered = AclBindingFilter(ResourceType.TOPIC, f"guarded-{codec}-1",
                                    ResourcePatternType.MATCH, None, None, AclOperation.ALTER,
                                    AclPermissionType.ANY)
        gone = admin.delete_acls([filtered])[filtered].result(SECONDS)
        assert gone == acls[1:], gone
        self.acls.add(acls[0])
        doomed = f"shortlived-{codec}"
        admin.delete_topics([doomed])[doomed].result(SECONDS)
        del self.topics[doomed]
        first = sorted(self.topics)[0]
        start = self.starts.get((first, 0), 0) + 10
        admin.delete_records([TopicPartition(first, 0, start)])[TopicPartition(first, 0)].result(SECONDS)
        self.starts[first, 0] = start

    def write(self, node, codec, idempotent):
        producer = Producer({**client_settings(node.bootstrap), "compression.type": codec,
                             "acks": "all", "linger.ms": 10, "enable.idempotence": idempotent})
        failed = []

        def delivered(error, message):
            if error:
                failed.append(str(error))
            else:
                partition = self.topics[message.topic()][message.partition()]
                assert message.offset() not in partition, "an offset was given out twice"
                partition[message.offset()] = message.value()

        for topic, partitions in self.topics.items():
            for partition in partitions:
                for _ in range(40):
                    self.number += 1
                    producer.produce(topic, b"record %d %s" % (self.number, b"." * 50), b"key",
                                     partition, on_delivery=delivered)
        left = producer.flush(SECONDS)
        assert not left and not failed, f"{left} left, {failed[:3]}"

    def check(self, test, node, who):
        admin = AdminClient(client_settings(node.bootstrap))
        end = time.monotonic() + SECONDS
        while True:  # what was changed a moment ago may be as before in a cache
            listed = {t for t in admin.list_topics(timeout=SECONDS).topics if not t.startswith("__")}
            acls = set(admin.describe_acls(ANY_ACL).result(SECONDS))
            if (listed == set(self.topics) and acls == self.acls) or time.monotonic() > end:
                break
        test.assertEqual(listed, set(self.topics), who)
        test.assertEqual(acls, self.acls, who)
        for topic, partitions in self.topics.items():
            for partition, records in partitions.items():
                start = self.starts.get((topic, partition), 0)
                read = dict(read_all(node.bootstrap, topic, partition, start))
                wanted = {o: v for o, v in records.items() if o >= start}
                test.assertEqual(read, wanted, f"{who}: {topic}-{partition}")


class Beside(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="drave-beside-")
        self.addCleanup(folder.cleanup)
        path = Path(folder.name)
        self.ours = make_node(OURS, path / "ours", data=path / "data",
                              settings=WITH_ACLS if OURS == "kafka" else {})
        self.kafka = make_node("kafka", path / "kafka", data=path / "data", ports=self.ours.ports,
                               settings=WITH_ACLS)
        self.addCleanup(self.end)

    def end(self):
        for node in (self.ours, self.kafka):
            if node.running():
                node.kill()

    def metadata_log(self):
        folder = self.ours.data / "__cluster_metadata-0"
        return {path.name: path.read_bytes() for path in folder.iterdir()
                if path.suffix in (".log", ".checkpoint") or path.name == "quorum-state"}

    def life(self, node, expected, codec):
        node.start()
        expected.check(self, node, f"{node.kind} before it writes {codec}")
        expected.live_through(node, codec)
        expected.check(self, node, f"{node.kind} after it wrote {codec}")
        node.check(node.stop(60))

    def test_one_directory_goes_to_and_fro(self):
        expected = Expected()
        for node, codec in ((self.ours, "none"), (self.kafka, "gzip"), (self.ours, "zstd")):
            self.life(node, expected, codec)

    @unittest.skipIf(OURS == "kafka", "Kafka starts on what a killed Kafka left")
    def test_kafka_refuses_what_a_killed_node_left_until_ours_recovered(self):
        expected = Expected()
        self.life(self.ours, expected, "none")
        self.ours.start()
        expected.write(self.ours, "lz4", True)
        self.ours.kill()
        left = self.metadata_log()
        with self.assertRaises(NodeFailed) as raised:
            self.kafka.start()
        self.assertIn("exited with", str(raised.exception))
        self.assertEqual(self.metadata_log(), left, "Kafka's controller wrote before it gave up")
        self.ours.start()
        expected.check(self, self.ours, "ours after its SIGKILL")
        self.ours.check(self.ours.stop())
        self.kafka.start()
        expected.check(self, self.kafka, "Kafka after ours recovered")
        self.kafka.check(self.kafka.stop(60))


if __name__ == "__main__":
    unittest.main()
