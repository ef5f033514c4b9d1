#!/usr/bin/env python3
"""Apache Kafka's own command line tools beside a node. BOOTSTRAP names the node."""
import json
import os
import re
import tempfile
import time
import unittest

from harness.kafka_tools import KafkaTools
from harness.wire import CODECS, Connection

BOOTSTRAP = os.environ["BOOTSTRAP"]
PORT = int(BOOTSTRAP.rsplit(":", 1)[1])
SERVER = ("--bootstrap-server", BOOTSTRAP)


class Tools(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tools = KafkaTools()
        cls.addClassCleanup(cls.tools.__exit__, None, None, None)

    def run_tool(self, tool, *arguments, stdin=""):
        return self.tools.run(tool, *arguments, stdin=stdin)

    def topics(self, *arguments):
        return self.run_tool("kafka-topics", *SERVER, *arguments)

    def create(self, topic, partitions=1, **config):
        pairs = [f"{key.replace('_', '.')}={value}" for key, value in config.items()]
        more = [part for pair in pairs for part in ("--config", pair)]
        self.topics("--create", "--topic", topic, "--partitions", partitions, *more)

    def produce(self, topic, lines, *more):
        self.run_tool("kafka-console-producer", *SERVER, "--topic", topic, *more,
                      stdin="\n".join(lines) + "\n")

    def consume(self, topic, count, partition=0, *more):
        text = self.run_tool("kafka-console-consumer", *SERVER, "--topic", topic, "--partition",
                             partition, "--offset", "earliest", "--max-messages", count,
                             "--timeout-ms", 15000, *more)
        self.assertIn(f"Processed a total of {count} messages", text)
        return text.splitlines()[:count]

    def offsets(self, topic, *more):
        text = self.run_tool("kafka-get-offsets", *SERVER, "--topic", topic, *more)
        found = re.findall(r"^(\S+):(\d+):(-?\d+)$", text, re.M)
        return {int(partition): int(offset) for _, partition, offset in found}

    def test_console_producer_and_consumer_with_every_codec(self):
        lines = [f"line {i} " + "~" * 70 for i in range(120)]
        for codec in CODECS:
            for idempotent in ("false", "true"):
                topic = f"console-{codec}-{idempotent}"
                with self.subTest(topic):
                    self.create(topic)
                    self.produce(topic, lines, "--compression-codec", codec, "--command-property",
                                 f"enable.idempotence={idempotent}")
                    self.assertEqual(self.consume(topic, len(lines)), lines)
                    with Connection(PORT) as connection:
                        batches = connection.fetch_batches(topic, 0)
                    self.assertEqual({b["codec"] for b in batches}, {codec})
                    self.assertEqual({b["producer_id"] >= 0 for b in batches},
                                     {idempotent == "true"})

    def test_console_keys_and_headers(self):
        self.create("console-keys")
        self.produce("console-keys", ["h:1\ta\tone", "h:2\tb\ttwo"], "--reader-property",
                     "parse.key=true", "--reader-property", "parse.headers=true")
        read = self.consume("console-keys", 2, 0, "--formatter-property", "print.key=true",
                            "--formatter-property", "print.headers=true", "--formatter-property",
                            "print.offset=true", "--isolation-level", "read_committed")
        self.assertEqual(read, ["Offset:0\th:1\ta\tone", "Offset:1\th:2\tb\ttwo"])

    def test_topics(self):
        self.create("tool-topic", 3, retention_ms=100000)
        self.assertIn("tool-topic", self.topics("--list").split())
        text = self.topics("--describe", "--topic", "tool-topic")
        self.assertIn("PartitionCount: 3\tReplicationFactor: 1", text)
        self.assertIn("retention.ms=100000", text)
        self.assertEqual(len(re.findall(r"Partition: \d+\tLeader: \d+\tReplicas: \d+\tIsr: \d+",
                                        text)), 3)
        self.topics("--alter", "--topic", "tool-topic", "--partitions", 5)
        self.until(lambda: "PartitionCount: 5" in self.topics("--describe", "--topic", "tool-topic"))
        self.topics("--delete", "--topic", "tool-topic")
        self.until(lambda: "tool-topic" not in self.topics("--list").split())
        status, text = self.tools.call("kafka-topics", *SERVER, "--create", "--topic", "a b")
        self.assertEqual(status, 1)
        self.assertIn("Topic name is invalid", text)

    def until(self, holds, seconds_max=15):
        end = time.monotonic() + seconds_max
        while not holds():
            self.assertLess(time.monotonic(), end, "it did not come about")

    def test_configs(self):
        self.create("tool-config")
        entity = ("--entity-type", "topics", "--entity-name", "tool-config")
        self.run_tool("kafka-configs", *SERVER, "--alter", *entity, "--add-config",
                      "retention.ms=123456,cleanup.policy=[compact,delete]")
        text = self.run_tool("kafka-configs", *SERVER, "--describe", *entity)
        self.assertIn("retention.ms=123456", text)
        self.assertIn("cleanup.policy=compact,delete", text)
        self.run_tool("kafka-configs", *SERVER, "--alter", *entity, "--delete-config",
                      "retention.ms")
        text = self.run_tool("kafka-configs", *SERVER, "--describe", *entity)
        self.assertNotIn("retention.ms", text)
        text = self.run_tool("kafka-configs", *SERVER, "--describe", *entity, "--all")
        self.assertIn("flush.messages=", text)
        text = self.run_tool("kafka-configs", *SERVER, "--describe", "--entity-type", "brokers",
                             "--entity-name", "1", "--all")
        self.assertIn("log.dirs=", text)
        status, text = self.tools.call("kafka-configs", *SERVER, "--alter", *entity, "--add-config",
                                       "retention.ms=soon")
        self.assertEqual(status, 1)
        self.assertIn("InvalidConfigurationException", text)

    def test_client_metrics(self):
        metrics = ("kafka-client-metrics", *SERVER)
        entity = ("--entity-type", "client-metrics")
        self.run_tool(*metrics, "--alter", "--name", "tool-slow", "--interval", 1000, "--match",
                      "client_id=tool.*", "--metrics", "org.apache.kafka.producer.")
        self.run_tool("kafka-configs", *SERVER, "--alter", *entity, "--entity-name", "tool-all",
                      "--add-config", "metrics=*")
        self.assertEqual(self.run_tool(*metrics, "--list").split(), ["tool-all", "tool-slow"])
        text = self.run_tool(*metrics, "--describe")
        for told in ("interval.ms=1000", "match=client_id=tool.*", "metrics=org.apache.kafka.producer.",
                     "metrics=*"):
            self.assertIn(told, text)
        text = self.run_tool("kafka-configs", *SERVER, "--describe", *entity)
        self.assertIn("interval.ms=1000 sensitive=false "
                      "synonyms={DYNAMIC_CLIENT_METRICS_CONFIG:interval.ms=1000}", text)
        text = self.run_tool("kafka-configs", *SERVER, "--describe", *entity, "--entity-name",
                             "tool-all", "--all")
        self.assertIn("interval.ms=300000", text)
        for name in ("tool-slow", "tool-all"):
            self.run_tool(*metrics, "--delete", "--name", name)
        self.assertEqual(self.run_tool(*metrics, "--list").split(), [])

    def test_offsets_deleted_records_and_log_dirs(self):
        self.create("tool-offsets", 2)
        self.produce("tool-offsets", [str(i) for i in range(20)])
        self.assertEqual(sum(self.offsets("tool-offsets").values()), 20)
        self.assertEqual(set(self.offsets("tool-offsets", "--time", "earliest").values()), {0})
        full = next(p for p, offset in self.offsets("tool-offsets").items() if offset >= 5)
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump({"version": 1, "partitions": [
                {"topic": "tool-offsets", "partition": full, "offset": 5}]}, file)
            file.flush()
            text = self.run_tool("kafka-delete-records", *SERVER, "--offset-json-file", file.name)
        self.assertIn(f"partition: tool-offsets-{full}\tlow_watermark: 5", text)
        self.assertEqual(self.offsets("tool-offsets", "--time", "earliest")[full], 5)
        text = self.run_tool("kafka-log-dirs", *SERVER, "--describe", "--topic-list", "tool-offsets")
        found = json.loads(next(line for line in text.splitlines() if line.startswith("{")))
        directories = found["brokers"][0]["logDirs"]
        self.assertTrue(all(d["error"] is None for d in directories))
        sizes = {p["partition"]: p["size"] for d in directories for p in d["partitions"]}
        self.assertEqual(set(sizes), {"tool-offsets-0", "tool-offsets-1"})
        self.assertGreater(sizes[f"tool-offsets-{full}"], 0)

    def test_cluster_quorum_features_and_versions(self):
        text = self.run_tool("kafka-cluster", "cluster-id", *SERVER)
        self.assertRegex(text, r"Cluster ID: \S{22}\b")
        text = self.run_tool("kafka-cluster", "list-endpoints", *SERVER)
        self.assertIn(str(PORT), text)
        text = self.run_tool("kafka-metadata-quorum", *SERVER, "describe", "--status")
        self.assertRegex(text, r"LeaderId:\s+1\b")
        self.assertRegex(text, r'CurrentVoters:\s+\[\{"id": 1')
        text = self.run_tool("kafka-metadata-quorum", *SERVER, "describe", "--replication")
        self.assertRegex(text, r"(?m)^1\s+\S+\s+\d+\s+0\s.*\bLeader\b")
        text = self.run_tool("kafka-features", *SERVER, "describe")
        self.assertRegex(text, r"Feature: metadata\.version\s.*FinalizedVersionLevel: \d\.\d-IV\d")
        text = self.run_tool("kafka-broker-api-versions", *SERVER)
        self.assertRegex(text, r"Produce\(0\): 0 to 13 \[usable: 13\]")
        self.assertRegex(text, r"Fetch\(1\): 4 to 18 \[usable: 18\]")
        self.assertNotIn("UNKNOWN", text)

    def test_acls(self):
        acls = ("kafka-acls", *SERVER)
        topic = ("--topic", "tool-acl")
        self.run_tool(*acls, "--add", "--allow-principal", "User:me", "--allow-host", "10.0.0.1",
                      "--operation", "Read", "--operation", "Write", *topic)
        self.run_tool(*acls, "--add", "--deny-principal", "User:*", "--operation", "All",
                      "--resource-pattern-type", "prefixed", "--group", "tool-")
        text = self.run_tool(*acls, "--list", *topic)
        self.assertIn("ResourcePattern(resourceType=TOPIC, name=tool-acl, patternType=LITERAL)", text)
        for operation in ("READ", "WRITE"):
            self.assertIn(f"(principal=User:me, host=10.0.0.1, operation={operation}, "
                          "permissionType=ALLOW)", text)
        self.assertNotIn("GROUP", text)
        text = self.run_tool(*acls, "--list", "--resource-pattern-type", "match", "--group", "tool-x")
        self.assertIn("name=tool-, patternType=PREFIXED", text)
        status, text = self.tools.call("kafka-console-producer", *SERVER, *topic, "--sync",
                                       stdin="x\n")
        self.assertEqual(status, 1)
        self.assertIn("TopicAuthorizationException", text)
        self.run_tool(*acls, "--remove", "--force", *topic)
        self.run_tool(*acls, "--remove", "--force", "--resource-pattern-type", "prefixed", "--group",
                      "tool-")
        self.assertNotIn("ResourcePattern", self.run_tool(*acls, "--list"))
        self.create("tool-acl")

    def test_producer_perf(self):
        self.create("tool-perf", 4)
        for more in (("acks=all", "enable.idempotence=true"), ("acks=1", "compression.type=lz4"),
                     ("acks=0", "enable.idempotence=false")):
            pairs = [part for pair in more for part in ("--command-property", pair)]
            text = self.run_tool("kafka-producer-perf-test", "--topic", "tool-perf", "--num-records",
                                 5000, "--record-size", 200, "--throughput", -1, *SERVER, *pairs)
            self.assertIn("5000 records sent", text)
        self.until(lambda: sum(self.offsets("tool-perf").values()) == 15000)


if __name__ == "__main__":
    unittest.main()
