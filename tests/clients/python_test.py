#!/usr/bin/env python3
"""confluent-kafka (librdkafka through Python) beside a node. BOOTSTRAP names the node."""
import os
import time
import unittest

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (AclBinding, AclBindingFilter, AclOperation, AclPermissionType,
                                   AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource,
                                   NewPartitions, NewTopic, OffsetSpec, ResourcePatternType,
                                   ResourceType)
from harness.wire import CODECS, Connection

BOOTSTRAP = os.environ["BOOTSTRAP"]
PORT = int(BOOTSTRAP.rsplit(":", 1)[1])
CLIENT = {"bootstrap.servers": BOOTSTRAP, "broker.address.family": "v4", "log_level": 0}
SECONDS = 20


def read_all(topic, partition=0, start=0):
    """The records of a partition up to its end as it is now."""
    consumer = Consumer({**CLIENT, "group.id": "unused", "enable.auto.commit": False,
                         "enable.partition.eof": True, "auto.offset.reset": "error"})
    consumer.assign([TopicPartition(topic, partition, start)])
    records, end = [], time.monotonic() + SECONDS
    while time.monotonic() < end:
        message = consumer.poll(1)
        if message is None:
            continue
        if message.error():
            if message.error().code() == KafkaError._PARTITION_EOF:
                break
            raise KafkaException(message.error())
        records.append(message)
    consumer.close()
    return records


class Python(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.admin = AdminClient(CLIENT)

    def create(self, name, partitions=1, **config):
        self.admin.create_topics([NewTopic(name, partitions, 1, config=config)])[name].result(SECONDS)

    def produce(self, topic, values, partition=0, **config):
        """The offsets that were acknowledged, in order."""
        producer = Producer({**CLIENT, "linger.ms": 20, **config})
        offsets = []

        def delivered(error, message):
            self.assertIsNone(error)
            offsets.append(message.offset())

        for at, value in enumerate(values):
            producer.produce(topic, value, key=b"k%d" % at, headers=[("h", b"\0\1"), ("n", None)],
                             partition=partition, timestamp=1_700_000_000_000 + at,
                             on_delivery=delivered)
        self.assertEqual(producer.flush(SECONDS), 0)
        return offsets

    def test_every_codec_with_and_without_idempotence(self):
        values = [b"value %d " % i + b"-" * 80 for i in range(300)]
        for codec in CODECS:
            for idempotent in (False, True):
                topic = f"python-{codec}-{idempotent}"
                with self.subTest(topic):
                    self.create(topic)
                    config = {"compression.type": codec, "enable.idempotence": idempotent}
                    self.assertEqual(self.produce(topic, values, **config), list(range(300)))
                    read = read_all(topic)
                    self.assertEqual([m.value() for m in read], values)
                    self.assertEqual([m.offset() for m in read], list(range(300)))
                    self.assertEqual(read[7].key(), b"k7")
                    self.assertEqual(read[7].headers(), [("h", b"\0\1"), ("n", None)])
                    self.assertEqual(read[7].timestamp()[1], 1_700_000_000_007)
                    with Connection(PORT) as connection:
                        batches = connection.fetch_batches(topic, 0)
                    self.assertEqual({b["codec"] for b in batches}, {codec})
                    self.assertEqual({b["producer_id"] >= 0 for b in batches}, {idempotent})

    def test_every_acks(self):
        for acks in ("0", "1", "all"):
            self.create(f"python-acks-{acks}")
            offsets = self.produce(f"python-acks-{acks}", [b"a", b"b"], acks=acks)
            self.assertEqual(len(offsets), 2)

    def test_offsets_by_time(self):
        self.create("python-time")
        self.produce("python-time", [b"%d" % i for i in range(10)])
        partition = TopicPartition("python-time", 0)
        for spec, offset in ((OffsetSpec.earliest(), 0), (OffsetSpec.latest(), 10),
                             (OffsetSpec.max_timestamp(), 9),
                             (OffsetSpec.for_timestamp(1_700_000_000_004), 4),
                             (OffsetSpec.for_timestamp(1_800_000_000_000), -1)):
            result = self.admin.list_offsets({partition: spec})[partition].result(SECONDS)
            self.assertEqual(result.offset, offset, spec)

    def test_delete_records(self):
        self.create("python-trim")
        self.produce("python-trim", [b"%d" % i for i in range(10)])
        cut = TopicPartition("python-trim", 0, 6)
        low = self.admin.delete_records([cut])[cut].result(SECONDS).low_watermark
        self.assertEqual(low, 6)
        self.assertEqual([m.value() for m in read_all("python-trim", start=6)],
                         [b"6", b"7", b"8", b"9"])
        with self.assertRaises(KafkaException) as raised:
            read_all("python-trim", start=2)
        self.assertIn(raised.exception.args[0].code(),
                      (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET))

    def test_configs_of_a_topic(self):
        self.create("python-config", **{"retention.ms": "123456"})
        resource = ConfigResource(ResourceType.TOPIC, "python-config")

        def value(key):
            found = self.admin.describe_configs([resource])[resource].result(SECONDS)
            return found[key].value

        self.assertEqual(value("retention.ms"), "123456")
        change = ConfigResource(ResourceType.TOPIC, "python-config", incremental_configs=[
            ConfigEntry("cleanup.policy", "compact", incremental_operation=AlterConfigOpType.SET),
            ConfigEntry("retention.ms", None, incremental_operation=AlterConfigOpType.DELETE)])
        self.admin.incremental_alter_configs([change])[change].result(SECONDS)
        self.assertEqual(value("cleanup.policy"), "compact")
        self.assertEqual(value("retention.ms"), "604800000")

    def test_partitions_grow_and_topics_go(self):
        self.create("python-grow", 2)
        self.admin.create_partitions([NewPartitions("python-grow", 5)])["python-grow"].result(SECONDS)
        self.assertEqual(self.partitions("python-grow"), 5)
        with self.assertRaises(KafkaException) as raised:
            self.admin.create_partitions([NewPartitions("python-grow", 2)])["python-grow"].result(SECONDS)
        self.assertEqual(raised.exception.args[0].code(), KafkaError.INVALID_PARTITIONS)
        self.admin.delete_topics(["python-grow"])["python-grow"].result(SECONDS)
        end = time.monotonic() + SECONDS
        while "python-grow" in self.admin.list_topics(timeout=SECONDS).topics:
            self.assertLess(time.monotonic(), end, "a deleted topic is still listed")

    def partitions(self, topic):
        """Waits for the number that CreatePartitions promised: an answer may come from a cache."""
        end = time.monotonic() + SECONDS
        while True:
            count = len(self.admin.list_topics(topic, timeout=SECONDS).topics[topic].partitions)
            if count == 5 or time.monotonic() > end:
                return count

    def test_what_is_refused(self):
        def create(name, partitions, factor, **config):
            topic = NewTopic(name, partitions, factor, config=config)
            with self.assertRaises(KafkaException) as raised:
                self.admin.create_topics([topic])[name].result(SECONDS)
            return raised.exception.args[0].code()

        self.create("python-there")
        self.assertEqual(create("python-there", 1, 1), KafkaError.TOPIC_ALREADY_EXISTS)
        self.assertEqual(create("python-rf", 1, 3), KafkaError.INVALID_REPLICATION_FACTOR)
        self.assertEqual(create("not a name", 1, 1), KafkaError.TOPIC_EXCEPTION)
        self.assertEqual(create("python-bad", 1, 1, **{"retention.ms": "soon"}),
                         KafkaError.INVALID_CONFIG)

    def test_acls(self):
        acl = AclBinding(ResourceType.TOPIC, "python-acl", ResourcePatternType.LITERAL, "User:me",
                         "*", AclOperation.READ, AclPermissionType.ALLOW)
        filtered = AclBindingFilter(ResourceType.TOPIC, "python-acl", ResourcePatternType.MATCH,
                                    None, None, AclOperation.ANY, AclPermissionType.ANY)
        self.admin.create_acls([acl])[acl].result(SECONDS)
        self.assertEqual(self.admin.describe_acls(filtered).result(SECONDS), [acl])
        # The topic has an entry now, which says nothing of us.
        producer = Producer(CLIENT)
        told = []
        producer.produce("python-acl", b"x", on_delivery=lambda error, _: told.append(error))
        self.assertEqual(producer.flush(SECONDS), 0)
        self.assertEqual(told[0].code(), KafkaError.TOPIC_AUTHORIZATION_FAILED)
        self.assertEqual(self.admin.delete_acls([filtered])[filtered].result(SECONDS), [acl])
        self.assertEqual(self.admin.describe_acls(filtered).result(SECONDS), [])

    def test_cluster(self):
        cluster = self.admin.describe_cluster().result(SECONDS)
        self.assertEqual(len(cluster.cluster_id), 22)
        self.assertEqual([f"{n.host}:{n.port}" for n in cluster.nodes], [BOOTSTRAP])


if __name__ == "__main__":
    unittest.main()
