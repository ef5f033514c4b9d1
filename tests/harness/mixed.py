"""Nodes of Apache Kafka and of Drave as one cluster on this machine."""
import shutil
import time
from pathlib import Path

from harness.cluster import drave, in_role, make_uuid
from harness.node import CLUSTER_ID, Draved, GenuineKafka, NodeFailed, free_ports
from harness.wire import Connection

# What makes a JVM start soon and stay small.
JVM = ["-Xms96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
       "-XX:ReservedCodeCacheSize=64m"]


class DraveMember(Draved):
    def properties(self):
        return in_role(self, super().properties())


class KafkaMember(GenuineKafka):
    """Formatted by the cluster."""

    def properties(self):
        return in_role(self, super().properties())

    def command(self):
        return [*self.java(*JVM, "-Xmx256m"), "kafka.Kafka", str(self.write_properties())]


KINDS = {"drave": DraveMember, "kafka": KafkaMember}


class MixedCluster:
    """`nodes`: {id: (kind, role)} with the kinds drave and kafka and the roles controller, broker
    and both. `voters`: the first ones, all controllers unless given; of a quorum that files name
    where it is `static`. `tools` (KafkaTools) formats Kafka's directories."""

    def __init__(self, folder, tools, nodes, voters=None, static=False, settings=None):
        self.folder, self.tools, self.static = Path(folder), tools, static
        self.nodes, self.settings = {}, dict(settings or {})
        ports = free_ports(3 * len(nodes))
        for at, (id, (kind, role)) in enumerate(nodes.items()):
            node = KINDS[kind](self.folder / str(id), settings={"node.id": str(id), **self.settings},
                               ports=ports[3 * at:3 * at + 3])
            node.role = role
            if role == "controller":
                node.port = node.controller_port  # it answers there only
            self.nodes[id] = node
        self.controllers = {id: n for id, n in self.nodes.items() if n.role != "broker"}
        self.brokers = {id: n for id, n in self.nodes.items() if n.role != "controller"}
        self.voters = list(voters or self.controllers)
        at = {id: f"127.0.0.1:{n.controller_port}" for id, n in self.controllers.items()}
        quorum = {"controller.quorum.bootstrap.servers": ",".join(at.values())}
        if static:
            quorum = {"controller.quorum.voters": ",".join(f"{id}@{at[id]}" for id in self.voters)}
        self.first_voters = ",".join(f"{id}@{at[id]}:{make_uuid()}" for id in self.voters)
        for node in self.nodes.values():
            node.settings |= quorum
        for id in self.nodes:
            self.format(id)

    def format(self, id, voters=None):
        """`voters` as --initial-controllers wants them; an empty text is none."""
        node = self.nodes[id]
        voters = self.first_voters if voters is None and id in self.voters else voters or ""
        first = [] if self.static else ["-I", voters] if voters else ["-N"]
        words = ["format", "-t", CLUSTER_ID, *first, "-c", str(node.write_properties())]
        if node.kind == "kafka":
            self.tools.run("kafka-storage", *words)
        else:
            drave(*words)

    def wipe(self, id):
        """As with a new disk; it is not running."""
        node = self.nodes[id]
        shutil.rmtree(node.data)
        node.data.mkdir()
        self.format(id, "")

    def start(self, *ids):
        chosen = [self.nodes[id] for id in ids or self.nodes]
        for node in chosen:
            node.start(wait=False)
        for node in chosen:
            node.wait_ready()
        return self

    def kill(self):
        for node in self.nodes.values():
            if node.process is not None:
                node.kill()

    def controller_bootstrap(self):
        return ",".join(f"127.0.0.1:{n.controller_port}" for n in self.controllers.values()
                        if n.running())

    def bootstrap(self):
        return ",".join(n.bootstrap for n in self.brokers.values() if n.running())

    def _says_it_leads(self, id):
        try:
            with Connection(self.nodes[id].controller_port, timeout=2) as connection:
                return connection.quorum_leader() == id
        except OSError:
            return False

    def leader(self, seconds_max=30, other_than=None):
        """The id of the controller that says that it leads."""
        end = time.monotonic() + seconds_max
        while time.monotonic() < end:
            for id, node in self.controllers.items():
                if id != other_than and node.running() and self._says_it_leads(id):
                    return id
            time.sleep(0.05)
        raise NodeFailed(f"no leader within {seconds_max} s")
