#!/usr/bin/env python3
"""Kafka's dump-log reads every file of a cleanly stopped data directory without a complaint.
NODE_KIND=kafka takes genuine Kafka as the node, to see that the test itself is right."""
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness.dump import dump_everything  # noqa: E402
from harness.kafka_tools import KafkaTools  # noqa: E402
from harness.node import make_node  # noqa: E402
from harness.wire import CODECS, Connection  # noqa: E402

KIND = os.environ.get("NODE_KIND", "draved")


def kcat(node, topic, partition, lines, *arguments):
    subprocess.run(["kcat", "-b", node.bootstrap, "-P", "-t", topic, "-p", str(partition), "-K", ":",
                    "-X", "broker.address.family=v4", *arguments], check=True, timeout=60,
                   input="".join(f"{line}\n" for line in lines).encode())


def fill(node, tools):
    """Something of everything; returns how many records each partition must have on disk."""
    with Connection(node.port) as connection:
        for topic, partitions, configs in (
                ("codecs", len(CODECS), {}),
                ("rolled", 1, {"segment.bytes": "1048576", "index.interval.bytes": "4096"}),
                ("trimmed", 1, {}), ("empty", 2, {}), ("gone", 2, {}),
                ("renamed.config", 1, {"retention.ms": "100000000", "cleanup.policy": "compact"})):
            assert connection.create_topic(topic, partitions, configs=configs) == 0
    for partition, codec in enumerate(CODECS):
        kcat(node, "codecs", partition, [f"k{i}:value {i}" for i in range(300)], "-z", codec,
             "-X", f"enable.idempotence={'true' if partition % 2 else 'false'}")
    kcat(node, "rolled", 0, [f"k:{i:06d}{'.' * 900}" for i in range(4000)],
         "-X", "batch.size=20000", "-X", "enable.idempotence=true")
    kcat(node, "trimmed", 0, [f"k:{i}" for i in range(20)])
    kcat(node, "renamed.config", 0, [f"k{i % 3}:{i}" for i in range(20)])
    kcat(node, "gone", 1, ["a:b"])
    server = ("--bootstrap-server", node.bootstrap)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write('{"version":1,"partitions":[{"topic":"trimmed","partition":0,"offset":7}]}')
        file.flush()
        tools.run("kafka-delete-records", *server, "--offset-json-file", file.name)
    tools.run("kafka-topics", *server, "--alter", "--topic", "empty", "--partitions", 3)
    tools.run("kafka-configs", *server, "--alter", "--entity-type", "topics", "--entity-name",
              "codecs", "--add-config", "retention.ms=90000000")
    tools.run("kafka-topics", *server, "--delete", "--topic", "gone")
    if KIND == "draved":  # genuine Kafka has no ACLs without being asked for them
        acls = ("kafka-acls", *server, "--allow-principal", "User:me", "--operation", "Read")
        tools.run(*acls, "--add", "--topic", "gone", "--group", "*")
        tools.run(*acls, "--remove", "--force", "--topic", "gone")
    return {f"codecs-{p}": 300 for p in range(len(CODECS))} | {"rolled-0": 4000, "trimmed-0": 20,
                                                               "renamed.config-0": 20}


class DumpLog(unittest.TestCase):
    def test_every_file_of_a_clean_data_directory(self):
        with tempfile.TemporaryDirectory(prefix="drave-dump-") as folder, KafkaTools() as tools:
            node = make_node(KIND, folder)
            node.start()
            try:
                records = fill(node, tools)
                node.check(node.stop())
                node.start()  # a second life, so that snapshots and epochs of the first are there
                kcat(node, "rolled", 0, ["k:last"], "-X", "enable.idempotence=true")
                node.check(node.stop())
            finally:
                if node.running():
                    node.kill()
            records["rolled-0"] += 1
            self.check(tools, node, records)

    def check(self, tools, node, records):
        said, complaints = dump_everything(tools, node.data)
        self.assertEqual(complaints, [], "\n".join(complaints))
        found = {}
        for name, text in said.items():
            if name.endswith(".log"):
                # Once per batch: "baseOffset: ... count: N ...".
                count = sum(map(int, re.findall(r"^baseOffset: .*? count: (\d+)", text, re.M)))
                partition = name.split("/")[0]
                found[partition] = found.get(partition, 0) + count
        self.assertEqual({partition: found.get(partition) for partition in records}, records)
        self.assertFalse([name for name in said if name.startswith("gone")])
        self.assertGreater(len([n for n in said if re.match(r"rolled-0/.*\.log", n)]), 2)
        self.assertGreater(len([n for n in said if re.match(r"rolled-0/.*\.snapshot", n)]), 0)
        metadata = "".join(t for n, t in said.items() if n.startswith("__cluster_metadata-0/"))
        for record in ("TOPIC_RECORD", "PARTITION_RECORD", "CONFIG_RECORD", "REMOVE_TOPIC_RECORD",
                       "REGISTER_BROKER_RECORD", "FEATURE_LEVEL_RECORD", "LeaderChange"):
            self.assertIn(record, metadata)
        names = {path.name for path in node.data.rglob("*") if path.is_file()}
        for name in ("meta.properties", ".kafka_cleanshutdown", "recovery-point-offset-checkpoint",
                     "log-start-offset-checkpoint", "replication-offset-checkpoint",
                     "leader-epoch-checkpoint", "partition.metadata", "quorum-state"):
            self.assertIn(name, names)


if __name__ == "__main__":
    unittest.main()
