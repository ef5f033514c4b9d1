"""Kafka's command line tools, all in one JVM (tests/kafka/Tools.java)."""
import base64
import os
import subprocess
import tempfile
from pathlib import Path

from harness.node import ROOT, kafka_libs

CLASSES = {
    "kafka-topics": "org.apache.kafka.tools.TopicCommand",
    "kafka-acls": "org.apache.kafka.tools.AclCommand",
    "kafka-configs": "kafka.admin.ConfigCommand",
    "kafka-client-metrics": "org.apache.kafka.tools.ClientMetricsCommand",
    "kafka-get-offsets": "org.apache.kafka.tools.GetOffsetShell",
    "kafka-log-dirs": "org.apache.kafka.tools.LogDirsCommand",
    "kafka-delete-records": "org.apache.kafka.tools.DeleteRecordsCommand",
    "kafka-cluster": "org.apache.kafka.tools.ClusterTool",
    "kafka-metadata-quorum": "org.apache.kafka.tools.MetadataQuorumCommand",
    "kafka-features": "org.apache.kafka.tools.FeatureCommand",
    "kafka-broker-api-versions": "org.apache.kafka.tools.BrokerApiVersionsCommand",
    "kafka-producer-perf-test": "org.apache.kafka.tools.ProducerPerformance",
    "kafka-console-producer": "org.apache.kafka.tools.ConsoleProducer",
    "kafka-console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "kafka-storage": "kafka.tools.StorageTool",
    "kafka-dump-log": "org.apache.kafka.tools.DumpLogSegments",
}


class ToolFailed(Exception):
    pass


class KafkaTools:
    """Starts the JVM; use as a context manager. Not for threads."""

    def __init__(self):
        if not any(kafka_libs().glob("kafka-tools-*.jar")):
            raise ToolFailed(f"no Kafka jars in {kafka_libs()}; run tests/prepare kafka")
        self.folder = tempfile.TemporaryDirectory(prefix="kafka-tools-")
        logging = Path(self.folder.name) / "log4j2.properties"
        logging.write_text("rootLogger.level=OFF\n")
        self.process = subprocess.Popen(
            ["java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
             f"-Dlog4j2.configurationFile={logging}", "-cp", f"{kafka_libs()}/*",
             str(ROOT / "tests" / "kafka" / "Tools.java")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()
        self.folder.cleanup()

    def call(self, tool, *arguments, stdin=""):
        """(exit status, what it printed)"""
        parts = [CLASSES[tool], *map(str, arguments), stdin]
        line = " ".join(base64.b64encode(part.encode()).decode() for part in parts)
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise ToolFailed(f"the JVM ended in {tool} {' '.join(map(str, arguments))}")
        status, _, text = answer.strip().partition(" ")
        return int(status), base64.b64decode(text).decode(errors="replace")

    def run(self, tool, *arguments, stdin=""):
        """What it printed; ToolFailed unless it exits with 0."""
        status, text = self.call(tool, *arguments, stdin=stdin)
        if status:
            raise ToolFailed(f"{tool} {' '.join(map(str, arguments))}: status {status}\n{text}")
        return text
