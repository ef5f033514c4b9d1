"""Several Draved nodes as one cluster on this machine."""
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness.node import CLUSTER_ID, Draved, NodeFailed, draved_binary, free_ports
from harness.wire import Connection


def drave_binary():
    return draved_binary().parent / "drave"


def drave(*arguments):
    """What the command line printed; NodeFailed unless it exits with 0."""
    done = subprocess.run([drave_binary(), *map(str, arguments)], capture_output=True, text=True,
                          timeout=60)
    if done.returncode:
        raise NodeFailed(f"drave {arguments[0]}: {done.stdout}{done.stderr}")
    return done.stdout


def until(what, condition, seconds_max=20):
    end = time.monotonic() + seconds_max
    while not condition():
        if time.monotonic() > end:
            raise NodeFailed(f"not within {seconds_max} s: {what}")
        time.sleep(0.05)


def make_uuid():
    return drave("random-uuid").strip()


def in_role(node, keys):
    """`keys` of a node that is both, as one in `node.role` has them."""
    if node.role == "both":
        return keys
    kept = [one for one in keys["listeners"].split(",")
            if one.startswith("CONTROLLER") == (node.role == "controller")]
    keys = keys | {"process.roles": node.role, "listeners": ",".join(kept)}
    if node.role == "controller":
        keys["advertised.listeners"] = keys["listeners"]
    return keys


@contextlib.contextmanager
def new_cluster(name, keep=False, **more):
    """A cluster, not started yet, in a folder of its own, which goes in the end unless `keep`. Where
    something fails it stays, and the ends of the nodes' logs are printed."""
    folder = Path(tempfile.mkdtemp(prefix=f"drave-{name}-"))
    cluster = Cluster(folder, **more)
    try:
        yield cluster
    except BaseException:
        for node in cluster.nodes.values():
            print(f"--- {node.log}\n{node.tail(25)}", file=sys.stderr)
        raise
    finally:
        cluster.kill()
    if not keep:
        shutil.rmtree(folder)


class Cluster:
    """`count` nodes with ids from 1 on, each in a folder of its own below `folder`. `arguments` go to
    every draved before its file, `settings` into every server.properties. `wires`: each node has a
    network of its own, from which it can be cut off (as root only). Each is broker and controller;
    with `brokers` the `count` are controllers only, and so many more nodes are brokers only.
    `static`: files name the voters (controller.quorum.voters, kraft.version 0)."""

    def __init__(self, folder, count=3, settings=None, arguments=(), wires=False, brokers=0,
                 static=False):
        self.folder = Path(folder).resolve()
        controller_count, count = count, count + brokers
        ports = free_ports(3 * count)
        self.nodes = {}
        self.wires = Wires(count) if wires else None
        hosts = [self.wires.host(i + 1) if wires else "127.0.0.1" for i in range(count)]
        controllers = [f"{hosts[i]}:{ports[3 * i + 1]}" for i in range(controller_count)]
        self.controllers = ",".join(controllers)
        quorum = {"controller.quorum.bootstrap.servers": self.controllers}
        if static:
            quorum = {"controller.quorum.voters":
                      ",".join(f"{id + 1}@{at}" for id, at in enumerate(controllers))}
        for i in range(count):
            role = "both" if not brokers else "controller" if i < controller_count else "broker"
            keys = {"node.id": str(i + 1), **quorum, **(settings or {})}
            node = Member(self.folder / str(i + 1), settings=keys, ports=ports[3 * i:3 * i + 3],
                          host=hosts[i], role=role)
            node.arguments = list(arguments)
            node.prefix = self.wires.prefix(i + 1) if wires else []
            self.nodes[i + 1] = node
        self.brokers = {id: node for id, node in self.nodes.items() if node.role != "controller"}
        self.bootstrap = ",".join(node.bootstrap for node in self.brokers.values())
        voters = [f"{id + 1}@{at}:{make_uuid()}" for id, at in enumerate(controllers)]
        for node in self.nodes.values():
            first = ["-N"] if node.role == "broker" else ["-I", ",".join(voters)]
            if static:
                first = []
            drave("format", "-t", CLUSTER_ID, *first, "-c", node.write_properties())

    def start(self):
        for node in self.nodes.values():
            node.start(wait=False)
        for node in self.nodes.values():
            node.wait_ready()
        return self

    def stop(self):
        """SIGTERM to all; NodeFailed if one does not stop cleanly or complained."""
        for node in self.nodes.values():
            if node.running():
                node.process.terminate()
        for node in self.nodes.values():
            node.check(node.stop())

    def kill(self):
        for node in self.nodes.values():
            if node.process is not None:
                if node.running():
                    node.process.send_signal(signal.SIGCONT)
                node.kill()
        if self.wires:
            self.wires.remove()

    def connect(self, id, **more):
        return Connection(self.nodes[id].port, self.nodes[id].host, **more)

    def leader(self, seconds_max=30, among=None):
        """The id of the active controller, as a majority of `among` (all brokers) sees it: one that was
        deposed may not know it yet."""
        among = list(among or self.brokers)
        end = time.monotonic() + seconds_max
        while time.monotonic() < end:
            said = [self._leader_by(id) for id in among]
            for leader in set(said) - {-1}:
                if 2 * said.count(leader) > len(among):
                    return leader
            time.sleep(0.02)
        raise NodeFailed(f"no leader within {seconds_max} s")

    def _leader_by(self, id):
        if not self.nodes[id].running():
            return -1
        try:
            with self.connect(id, timeout=2) as connection:
                return connection.quorum_leader()
        except OSError:
            return -1


class Member(Draved):
    """A node of a cluster, in the `role` of a controller, a broker, or both."""

    def __init__(self, folder, role="both", **more):
        super().__init__(folder, **more)
        self.role = role
        if role == "controller":
            self.port = self.controller_port  # it answers there only
        self.arguments = []
        self.prefix = []

    def properties(self):
        return in_role(self, super().properties())

    def command(self):
        return [*self.prefix, draved_binary(), *self.arguments, self.write_properties()]


class Wires:
    """A bridge in this machine, and a network namespace for each node with one wire to it."""

    BRIDGE = "drave-test"

    def __init__(self, count):
        self.count = count
        self.remove()
        self._ip("link", "add", "name", self.BRIDGE, "type", "bridge")
        self._ip("address", "add", "10.213.7.254/24", "dev", self.BRIDGE)
        self._ip("link", "set", self.BRIDGE, "up")
        for id in range(1, count + 1):
            self._ip("netns", "add", self._name(id))
            self._ip("link", "add", self._name(id), "type", "veth", "peer", "name", "eth0",
                     "netns", self._name(id))
            self._ip("link", "set", self._name(id), "master", self.BRIDGE)
            self._ip("link", "set", self._name(id), "up")
            inside = ["-n", self._name(id)]
            self._ip(*inside, "address", "add", self.host(id) + "/24", "dev", "eth0")
            self._ip(*inside, "link", "set", "eth0", "up")
            self._ip(*inside, "link", "set", "lo", "up")

    @staticmethod
    def _ip(*words, check=True):
        done = subprocess.run(["ip", *words], capture_output=True, text=True)
        if check and done.returncode:
            raise NodeFailed(f"ip {' '.join(words)}: {done.stderr.strip()}")

    def _name(self, id):
        return f"{self.BRIDGE}-{id}"

    def host(self, id):
        return f"10.213.7.{id}"

    def prefix(self, id):
        return ["ip", "netns", "exec", self._name(id)]

    def cut(self, id):
        self._ip("link", "set", self._name(id), "nomaster")

    def mend(self, id):
        self._ip("link", "set", self._name(id), "master", self.BRIDGE)

    def remove(self):
        for id in range(1, self.count + 1):
            self._ip("netns", "del", self._name(id), check=False)
            self._ip("link", "del", self._name(id), check=False)
        self._ip("link", "del", self.BRIDGE, check=False)


def pause(node):
    """Stands still when this returns: it goes on for a moment after the signal was sent."""
    os.kill(node.pid, signal.SIGSTOP)
    while Path(f"/proc/{node.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        time.sleep(0.0005)


def resume(node):
    os.kill(node.pid, signal.SIGCONT)
