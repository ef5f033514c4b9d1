#!/usr/bin/env python3
"""Three nodes as one cluster: topics are created through each, records go to and come from all, a
node that stops is replaced and comes back.

  three_nodes.py [--records N]
"""
import argparse
import sys
import time
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness.cluster import new_cluster  # noqa: E402
from harness.load import client_settings  # noqa: E402

PARTITIONS = 6


def until(what, condition, seconds_max=20):
    end = time.monotonic() + seconds_max
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"not within {seconds_max} s: {what}")
        time.sleep(0.05)


def produce(bootstrap, topic, first, count):
    failed = []
    producer = Producer({**client_settings(bootstrap), "acks": "all", "enable.idempotence": True,
                         "linger.ms": 1, "message.timeout.ms": 30000})
    for n in range(first, first + count):
        producer.produce(topic, value=b"%d" % n, partition=n % PARTITIONS,
                         on_delivery=lambda error, _: error and failed.append(str(error)))
        producer.poll(0)
    if producer.flush(60) or failed:
        sys.exit(f"{topic}: not acknowledged: {failed[:3]}")


def numbers(bootstrap, topic, seconds_max=30):
    """What all partitions of a topic hold, read side by side to their ends."""
    consumer = Consumer({**client_settings(bootstrap), "group.id": "unused", "check.crcs": True,
                         "enable.auto.commit": False, "enable.partition.eof": True,
                         "auto.offset.reset": "error"})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    found, ended, end = [], set(), time.monotonic() + seconds_max
    while len(ended) < PARTITIONS:
        if time.monotonic() > end:
            sys.exit(f"{topic}: not read within {seconds_max} s from {bootstrap}, ends of {ended}")
        message = consumer.poll(0.1)
        if message is None:
            continue
        if not message.error():
            found.append(int(message.value()))
        elif message.error().code() == KafkaError._PARTITION_EOF:
            ended.add(message.partition())
        else:
            raise KafkaException(message.error())
    consumer.close()
    return sorted(found)


def check_through_each(cluster, records):
    """Every node takes the creation of a topic, wherever the controller is; any of them serves as
    bootstrap for records on all of them."""
    for id, node in cluster.nodes.items():
        admin = AdminClient(client_settings(node.bootstrap))
        topic = f"through-{id}"
        admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(20)
        until("the topic is known", lambda: topic in admin.list_topics(timeout=5).topics)
        metadata = admin.list_topics(topic, timeout=5)
        assert sorted(metadata.brokers) == sorted(cluster.nodes), metadata.brokers
        leaders = {p.leader for p in metadata.topics[topic].partitions.values()}
        assert leaders == set(cluster.nodes), leaders
        produce(node.bootstrap, topic, 0, records)
    for node in cluster.nodes.values():
        for id in cluster.nodes:
            assert numbers(node.bootstrap, f"through-{id}") == list(range(records))


def check_restart(cluster, records):
    """A broker that stops cleanly is out of service at once and, back again, has what it had."""
    leader = cluster.leader()
    stopped = next(id for id in cluster.nodes if id != leader)
    node = cluster.nodes[stopped]
    node.check(node.stop())
    other = cluster.nodes[leader]
    admin = AdminClient(client_settings(other.bootstrap))
    until("it is not listed any more",
          lambda: stopped not in admin.list_topics(timeout=5).brokers, seconds_max=5)
    node.start()
    until("it is back", lambda: all(
        p.leader >= 0 for p in admin.list_topics("through-1", timeout=5).topics["through-1"]
        .partitions.values()))
    assert numbers(other.bootstrap, "through-1") == list(range(records))
    produce(node.bootstrap, "through-1", records, records)
    assert numbers(other.bootstrap, "through-1") == list(range(2 * records))


def check_hand_over(cluster):
    """The active controller stops cleanly: another one takes requests at once."""
    leader = cluster.leader()
    cluster.nodes[leader].check(cluster.nodes[leader].stop())
    rest = [id for id in cluster.nodes if id != leader]
    began = time.monotonic()
    after = cluster.leader(among=rest)
    assert after != leader
    admin = AdminClient(client_settings(cluster.nodes[rest[0]].bootstrap))
    admin.create_topics([NewTopic("after", 1, 1)])["after"].result(20)
    print(f"handed over from {leader} to {after} within {time.monotonic() - began:.3f} s")
    cluster.nodes[leader].start()


def check_whole_restart(cluster, records):
    cluster.stop()
    cluster.start()
    bootstrap = cluster.nodes[3].bootstrap
    admin = AdminClient(client_settings(bootstrap))
    until("all have leaders", lambda: all(
        p.leader >= 0 for t in admin.list_topics(timeout=5).topics.values()
        for p in t.partitions.values()))
    assert numbers(bootstrap, "through-1") == list(range(2 * records))
    assert numbers(bootstrap, "through-2") == list(range(records))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=600)
    options = parser.parse_args()
    with new_cluster("cluster") as cluster:
        cluster.start()
        check_through_each(cluster, options.records)
        check_restart(cluster, options.records)
        check_hand_over(cluster)
        check_whole_restart(cluster, options.records)
        cluster.stop()


if __name__ == "__main__":
    main()
