#!/usr/bin/env python3
"""Changes of the quorum with tools, ours and Kafka's, under a stream of topic creations.

  quorum_tools.py [--kafka]

Three voters and two controllers that only follow. Leadership is handed over; the two become voters
and two of the first leave, one change at a time; between them the leader is killed and comes back.
A voter that lost its disk follows, and votes only when it was admitted again. No acknowledged topic
is lost. With --kafka the quorum is a static one at first, which kafka-features upgrades to
kraft.version 1; the changes are made by kafka-metadata-quorum, and kafka-metadata-shell and kafka-dump-log read a snapshot and the log of a node that has stopped.
"""
import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness.cluster import Cluster, Member, drave_binary  # noqa: E402
from harness.node import CLUSTER_ID, free_ports, kafka_libs  # noqa: E402

SHELL = "org.apache.kafka.shell.MetadataShell"
# Snapshots are written all the time; a broker that lost its disk may register soon.
SETTINGS = {"metadata.log.max.record.bytes.between.snapshots": "5000",
            "broker.session.timeout.ms": "2000", "broker.heartbeat.interval.ms": "300"}


def drave(*arguments):
    done = subprocess.run([drave_binary(), *map(str, arguments)], capture_output=True, text=True,
                          timeout=60)
    if done.returncode:
        raise RuntimeError(f"drave {' '.join(map(str, arguments))}: {done.stdout}{done.stderr}")
    return done.stdout


def until(what, condition, seconds_max=20):
    end = time.monotonic() + seconds_max
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"not within {seconds_max} s: {what}")
        time.sleep(0.05)


class Stream(threading.Thread):
    """Creates topics through any node that answers, until it is told to stop."""

    def __init__(self, cluster):
        super().__init__(daemon=True)
        self.cluster, self.acked, self.stopping = cluster, set(), threading.Event()

    def run(self):
        count, connections = 0, {}
        while not self.stopping.is_set():
            count += 1
            id = 1 + count % len(self.cluster.nodes)
            try:
                if id not in connections:
                    connections[id] = self.cluster.connect(id, timeout=1.5)
                if connections[id].create_topic(f"made-{count}", timeout_ms=500) == 0:
                    self.acked.add(f"made-{count}")
            except OSError:
                connections.pop(id, None)
            time.sleep(0.005)


class Quorum:
    def __init__(self, cluster, tools=None):
        self.cluster, self.tools = cluster, tools

    def bootstrap(self):
        return ",".join(n.bootstrap for n in self.cluster.nodes.values() if n.running())

    def status(self):
        return json.loads(drave("quorum", "status", "-o", "json", "-b", self.bootstrap()))

    def voters(self):
        return {r["id"]: r["directoryId"] for r in self.status()["replicas"]
                if r["role"] != "observer"}

    def settle(self, what, condition, seconds_max=20):
        def holds():
            try:
                return condition(self.status())
            except RuntimeError:
                return False
        until(what, holds, seconds_max)

    def change(self, what, attempt):
        """Some changes have to wait for one before, or for a leader: they are tried again."""
        problem = None
        for _ in range(40):
            try:
                return attempt()
            except RuntimeError as error:
                problem = error
                time.sleep(0.25)
        sys.exit(f"{what}: {problem}")

    def tool(self, *arguments):
        status, text = self.tools.call("kafka-metadata-quorum", "--bootstrap-server",
                                       self.bootstrap(), *arguments)
        if status:
            raise RuntimeError(text)
        return text

    def upgrade(self):
        """From a static quorum to one whose voters can be changed."""
        def features(*arguments):
            status, text = self.tools.call("kafka-features", "--bootstrap-server",
                                           self.bootstrap(), *arguments)
            if status:
                raise RuntimeError(text)
            return text
        assert not any(line.startswith("Feature: kraft.version") and "FinalizedVersionLevel: 1" in line
                       for line in features("describe").splitlines())
        self.change("upgrade", lambda: features("upgrade", "--feature", "kraft.version=1"))
        self.settle("every voter has a directory",
                    lambda s: all(set(r["directoryId"]) != {"A"} for r in s["replicas"]))
        text = features("describe")
        assert any(line.startswith("Feature: kraft.version") and "FinalizedVersionLevel: 1" in line
                   for line in text.splitlines()), text

    def add(self, id):
        file = self.cluster.nodes[id].folder / "server.properties"
        if self.tools:
            self.change(f"add {id}",
                        lambda: self.tool("--command-config", str(file), "add-controller"))
        else:
            self.change(f"add {id}",
                        lambda: drave("quorum", "add-voter", "-c", file, "-b", self.bootstrap()))
        assert id in self.voters(), self.status()

    def remove(self, id):
        directory = self.voters()[id]
        if self.tools:
            self.change(f"remove {id}", lambda: self.tool(
                "remove-controller", "--controller-id", str(id),
                "--controller-directory-id", directory))
        else:
            self.change(f"remove {id}",
                        lambda: drave("quorum", "remove-voter", id, "-b", self.bootstrap()))
        self.settle(f"{id} is no voter", lambda s: id not in {
            r["id"] for r in s["replicas"] if r["role"] != "observer"})

    def hand_over(self):
        leader = self.status()["leader"]
        to = next(id for id in self.voters() if id != leader)
        said = self.change("transfer",
                           lambda: drave("quorum", "transfer", to, "-b", self.bootstrap()))
        assert said == f"{to}: leads\n", said
        assert self.status()["leader"] == to

    def kill_leader(self):
        leader = self.status()["leader"]
        self.cluster.nodes[leader].kill()
        self.settle("another leads", lambda s: s["leader"] not in (-1, leader))
        self.cluster.nodes[leader].start()


    def wipe(self, id):
        """The voter comes back without its disk: what it had promised it knows no more."""
        node, before = self.cluster.nodes[id], self.voters()[id]
        node.kill()
        shutil.rmtree(node.data)
        node.data.mkdir()
        # A file that still names the voters makes it one of a static quorum, for all that it knows.
        voters = node.settings.pop("controller.quorum.voters", None)
        if voters:
            node.settings["controller.quorum.bootstrap.servers"] = self.cluster.controllers
        drave("format", "-t", CLUSTER_ID, "-N", "-c", node.write_properties())
        node.start()

        def follows(status):
            return any(r["id"] == id and r["role"] == "observer" and r["directoryId"] != before
                       for r in status["replicas"])
        self.settle("the wiped voter follows", follows)
        time.sleep(1)
        self.settle("it is no voter", follows)
        assert self.voters()[id] == before, self.status()
        self.remove(id)
        self.add(id)
        assert self.voters()[id] != before, self.status()


def add_followers(cluster, count):
    """Nodes that are formatted without voters: they join later."""
    for id in range(len(cluster.nodes) + 1, len(cluster.nodes) + count + 1):
        settings = {"node.id": str(id),
                    "controller.quorum.bootstrap.servers": cluster.controllers, **SETTINGS}
        node = Member(cluster.folder / str(id), settings=settings, ports=free_ports(3))
        drave("format", "-t", CLUSTER_ID, "-N", "-c", node.write_properties())
        cluster.nodes[id] = node.start()


def check_topics(cluster, wanted):
    from confluent_kafka.admin import AdminClient
    from harness.load import client_settings
    for node in cluster.nodes.values():
        admin = AdminClient(client_settings(node.bootstrap))
        until("acknowledged topics on every node",
              lambda: wanted <= set(admin.list_topics(timeout=10).topics))


def shell_lists(snapshot, wanted):
    """Whether kafka-metadata-shell comes to list these topics. A command that it is started with it
    may run before it has loaded anything, and then finds nothing; so it is asked until it has."""
    shell = subprocess.Popen(
        ["java", "-Dlog4j2.level=OFF", "-cp", f"{kafka_libs()}/*", SHELL, "--snapshot", snapshot],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    seen = set()
    reader = threading.Thread(
        target=lambda: [seen.update(line.split()) for line in shell.stdout], daemon=True)
    reader.start()
    try:
        end = time.monotonic() + 60
        while time.monotonic() < end and shell.poll() is None and not wanted <= seen:
            shell.stdin.write("ls /image/topics/byName\n")
            shell.stdin.flush()
            time.sleep(0.5)
        return wanted <= seen
    finally:
        shell.kill()
        shell.wait()
        reader.join()


def check_files(cluster, quorum, wanted):
    """Kafka's readers on what a node has left."""
    node = cluster.nodes[5]
    node.check(node.stop())
    log = node.data / "__cluster_metadata-0"
    snapshot = max(log.glob("*.checkpoint"))
    topics = drave("metadata", "ls", snapshot, "/topics/byName").split()
    assert topics, "a snapshot without topics"
    names = {name.rstrip("/") for name in topics}
    assert shell_lists(snapshot, names), "kafka-metadata-shell does not list what the snapshot has"
    segments = ",".join(map(str, sorted(log.glob("*.log"))))
    text = quorum.tools.run("kafka-dump-log", "--cluster-metadata-decoder", "--files", segments)
    for record in ("TOPIC_RECORD", "REGISTER_BROKER_RECORD", "KRaftVoters", "LeaderChange"):
        assert record in text, record
    seen = drave("metadata", "ls", node.data, "/topics/byName").split()
    assert wanted <= {name.rstrip("/") for name in seen}


def run(cluster, tools):
    stream = Stream(cluster)
    quorum = Quorum(cluster, tools)
    cluster.start()
    add_followers(cluster, 2)
    quorum.settle("both follow", lambda s: {4, 5} <= {r["id"] for r in s["replicas"]})
    stream.start()
    if tools:
        quorum.upgrade()
    quorum.hand_over()
    quorum.add(4)
    quorum.kill_leader()
    quorum.add(5)
    quorum.remove(1)
    quorum.kill_leader()
    quorum.remove(2)
    quorum.hand_over()
    quorum.wipe(4)
    assert set(quorum.voters()) == {3, 4, 5}, quorum.status()
    time.sleep(0.3)
    stream.stopping.set()
    stream.join(10)
    assert len(stream.acked) > 50, len(stream.acked)
    check_topics(cluster, stream.acked)
    if tools:
        check_files(cluster, quorum, stream.acked)
    cluster.stop()
    print(f"ok: {len(stream.acked)} topics acknowledged")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kafka", action="store_true")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="drave-quorum-tools-"))
    cluster = Cluster(folder, settings=SETTINGS, static=options.kafka)
    try:
        if options.kafka:
            from harness.kafka_tools import KafkaTools
            with KafkaTools() as tools:
                run(cluster, tools)
        else:
            run(cluster, None)
    except BaseException:
        cluster.kill()
        print(f"logs: {folder}", file=sys.stderr)
        raise
    cluster.kill()
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
