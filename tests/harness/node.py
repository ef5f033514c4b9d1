"""Nodes for tests and comparisons: Drave's and genuine Kafka's, run the same way.

A node is one process, broker and controller in one, with a folder of its own. Both kinds read the
same server.properties, so that one can be started on what the other left.
"""
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from harness.wire import Connection

ROOT = Path(__file__).resolve().parents[2]
CLUSTER_ID = "4L6g3nShT-eMCtK--X86sw"


def kafka_libs():
    """The folder of Kafka's jars."""
    return Path(os.environ.get("DRAVE_KAFKA_LIBS") or ROOT / "build" / "kafka-libs")


def free_ports(count):
    """Ports nobody listens on at the moment."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class NodeFailed(Exception):
    """The node did not start, died, or complained."""


class Node:
    """`folder` gets server.properties, node.log and, unless `data` says otherwise, data/. `settings`
    are further keys of server.properties."""

    kind = "node"
    start_seconds_max = 60

    def __init__(self, folder, settings=None, data=None, ports=None, host="127.0.0.1"):
        self.host = host
        self.folder = Path(folder).resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.data = Path(data).resolve() if data else self.folder / "data"
        self.data.mkdir(parents=True, exist_ok=True)
        self.settings = dict(settings or {})
        self.ports = ports or free_ports(3)
        self.port, self.controller_port, self.http_port = self.ports
        self.bootstrap = f"{host}:{self.port}"
        self.log = self.folder / "node.log"
        self.process = None
        self.starts = 0

    def properties(self):
        keys = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.bootstrap.servers": f"{self.host}:{self.controller_port}",
            "listeners": f"PLAINTEXT://{self.host}:{self.port},"
                         f"CONTROLLER://{self.host}:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{self.host}:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(self.data),
            "num.partitions": "4",
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
        }
        keys.update(self.settings)
        return keys

    def write_properties(self):
        path = self.folder / "server.properties"
        path.write_text("".join(f"{key}={value}\n" for key, value in self.properties().items()))
        return path

    def command(self):
        raise NotImplementedError

    def start(self, wait=True):
        """Starts the process; with `wait` returns when it answers ApiVersions."""
        assert not self.running()
        command = [str(part) for part in self.command()]
        self.starts += 1
        with open(self.log, "ab") as log:
            log.write(f"--- start {self.starts}: {' '.join(command[-4:])}\n".encode())
            log.flush()
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=subprocess.STDOUT, cwd=self.folder)
        return self.wait_ready() if wait else self

    def wait_ready(self):
        end = time.monotonic() + self.start_seconds_max
        while True:
            try:
                with Connection(self.port, self.host, timeout=5) as connection:
                    connection.api_versions()
                return self
            except OSError as error:
                if not self.running():
                    raise self.failed(f"exited with {self.process.returncode} at its start")
                if time.monotonic() > end:
                    raise self.failed(f"does not answer: {error}")
                time.sleep(0.005)

    def running(self):
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self):
        return self.process.pid

    def stop(self, seconds_max=30):
        """SIGTERM; returns the exit status. NodeFailed when it does not stop in time."""
        if self.running():
            self.process.terminate()
        try:
            return self.process.wait(seconds_max)
        except subprocess.TimeoutExpired:
            self.kill()
            raise self.failed(f"did not stop within {seconds_max} s")

    def kill(self):
        """SIGKILL, and the process is gone when this returns."""
        if self.running():
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def tail(self, lines=30):
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def failed(self, what):
        return NodeFailed(f"{self.kind} {what}; the end of {self.log}:\n{self.tail()}")

    def complaints(self):
        """Lines of the log by which the node says that something went wrong."""
        raise NotImplementedError

    def check(self, status):
        """NodeFailed unless a clean stop ended with `status` and the log is free of complaints."""
        if status not in self.clean_statuses:
            raise self.failed(f"stopped with status {status}")
        if self.complaints():
            raise self.failed("complained: " + "; ".join(self.complaints()[:5]))

    def resident_kib(self):
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        return 0


def draved_binary():
    """The node under test: DRAVED in the environment, or the release build's."""
    return Path(os.environ.get("DRAVED") or ROOT / "build" / "release" / "bin" / "draved")


class Draved(Node):
    kind = "draved"
    start_seconds_max = 30
    clean_statuses = (0,)

    def command(self):
        return [draved_binary(), self.write_properties()]

    def properties(self):
        return super().properties() | {"drave.http.listener": f"127.0.0.1:{self.http_port}"} | self.settings

    def complaints(self):
        text = self.log.read_text(errors="replace")
        pattern = r"^(?:\S+Z (?:error|critical) |error: ).*$|^.*(?:ASSERT|assertion|Sanitizer).*$"
        return re.findall(pattern, text, re.M)


LOG4J = """rootLogger.level=WARN
rootLogger.appenderRefs=o
rootLogger.appenderRef.o.ref=o
appender.o.type=Console
appender.o.name=o
appender.o.layout.type=PatternLayout
appender.o.layout.pattern=%d %p %c %m%n
"""


class GenuineKafka(Node):
    """Apache Kafka; formats its folder at the first start. `heap` as for java -Xmx."""

    kind = "kafka"
    clean_statuses = (0, 143)  # 143: the JVM's own way to say SIGTERM

    def __init__(self, folder, settings=None, data=None, ports=None, heap="1g"):
        super().__init__(folder, settings, data, ports)
        self.heap = heap

    def java(self, *more):
        logging = self.folder / "log4j2.properties"
        logging.write_text(LOG4J)
        return ["java", *more, "-Djava.awt.headless=true",
                f"-Dlog4j2.configurationFile={logging}", "-cp", f"{kafka_libs()}/*"]

    def command(self):
        file = self.write_properties()
        if not (self.data / "meta.properties").exists():
            done = subprocess.run(
                [*self.java("-XX:TieredStopAtLevel=1"), "kafka.tools.StorageTool", "format",
                 "--standalone", "-t", CLUSTER_ID, "-c", str(file)], capture_output=True, text=True)
            if done.returncode:
                raise NodeFailed(f"kafka-storage format: {done.stdout}{done.stderr}")
        return [*self.java(f"-Xms{self.heap}", f"-Xmx{self.heap}", "-server", "-XX:+UseG1GC",
                           "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35",
                           "-XX:+ExplicitGCInvokesConcurrent", "-XX:MaxInlineLevel=15"),
                "kafka.Kafka", str(file)]

    def complaints(self):
        # Its ERROR lines are often about clients (a record that was refused) or its own habits.
        return re.findall(r"^\S+ \S+ FATAL .*$", self.log.read_text(errors="replace"), re.M)


def make_node(kind, folder, **more):
    kinds = {"draved": Draved, "kafka": GenuineKafka}
    if kind not in kinds:
        sys.exit(f"no such node: {kind}")
    return kinds[kind](folder, **more)
