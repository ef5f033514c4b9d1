#!/usr/bin/env python3
"""Nodes of Apache Kafka and of Drave as one quorum and one cluster.

  mixed_quorum.py [SCENARIO...] [--all] [--keep]        without a scenario: together

| scenario  | controllers         | brokers                  | what happens                                 |
|-----------|---------------------|--------------------------|----------------------------------------------|
| together  | Drave, Drave, Kafka | the first two, one Kafka | records through all brokers; leadership goes |
|           |                     | and one Drave node more  | to Kafka and back; Kafka's voter loses its   |
|           |                     |                          | disk and is admitted again                   |
| majority  | Kafka, Kafka, Drave | the Drave node, one more | Kafka makes the log; its leaders are stopped |
|           |                     |                          | and killed; Drave's voter loses its disk     |
| snapshots | Drave, Drave, Kafka | the first two            | who was away, or is new, begins with the     |
|           |                     |                          | other's snapshot, both ways                  |
| upgrade   | Drave, Drave, Kafka | the first two            | a static quorum under Kafka's leader becomes |
|           |                     |                          | one whose voters can be changed              |
| brokers   | three of Drave      | Kafka                    | groups, transactions, made topics, ACLs      |
| tails     | Drave, Drave, Kafka | the first two            | leaders die with records that nobody else    |
|           |                     |                          | has, and have to truncate them               |
| joins     | Drave, Drave, then  | the first, Kafka's       | controllers join the voters by themselves,   |
|           | Kafka, Drave        |                          | move to other ports and tell the leader      |

Topics, configs, partitions and ACLs are changed under each leader. In the end all brokers know the
same topics, and the logs of all controllers are the same, byte for byte, as far as the shortest goes.
"""
import argparse
import contextlib
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import (AclBinding, AclBindingFilter, AclOperation, AclPermissionType,
                                   AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource,
                                   NewPartitions, NewTopic, ResourcePatternType, ResourceType)

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness.cluster import drave, pause, resume, until  # noqa: E402
from harness.kafka_tools import KafkaTools  # noqa: E402
from harness.load import client_settings, read_all  # noqa: E402
from harness.mixed import MixedCluster  # noqa: E402
from harness.node import free_ports  # noqa: E402
from harness.wire import Connection  # noqa: E402

SECONDS = 60
NOT_ENOUGH_REPLICAS = 19
# Access control as Drave has it without being asked; a broker that died may register soon.
# A controller of Kafka asks ACLs of other nodes, too, and answers nobody but super users until it
# has read what there is: where Kafka is the majority nobody else could vote.
SETTINGS = {"authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "true",
            "broker.session.timeout.ms": "3000", "broker.heartbeat.interval.ms": "300",
            "offsets.topic.num.partitions": "3", "transaction.state.log.num.partitions": "3"}


class Trial:
    """A cluster, what was changed in it, and what must therefore be found."""

    def __init__(self, folder, tools, nodes, settings=None, **more):
        self.tools = tools
        self.cluster = MixedCluster(folder, tools, nodes, settings={**SETTINGS, **(settings or {})},
                                    **more)
        self.topics = {}  # name: partitions
        self.all_may = "super.users" in self.cluster.settings
        self.began = time.monotonic()

    def say(self, what):
        print(f"{time.monotonic() - self.began:6.1f} s  {what}", flush=True)

    def admin(self, id=None):
        at = self.cluster.nodes[id].bootstrap if id else self.cluster.bootstrap()
        return AdminClient(client_settings(at))

    # --- Changes

    def change(self, id=None):
        """A bit of everything, through the broker `id` or any."""
        admin, n = self.admin(id), len(self.topics)
        kept, gone = f"kept-{n}", f"gone-{n}"
        for topic in (kept, gone):
            admin.create_topics([NewTopic(topic, 2, 1)])[topic].result(SECONDS)
        admin.create_partitions([NewPartitions(kept, 5)])[kept].result(SECONDS)
        admin.delete_topics([gone])[gone].result(SECONDS)
        self.topics[kept] = 5
        entry = ConfigEntry("retention.ms", str(7000 + n),
                            incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ConfigResource.Type.TOPIC, kept, incremental_configs=[entry])
        admin.incremental_alter_configs([resource])[resource].result(SECONDS)
        # Everybody may see it, and alice alone change it, whoever forwards what others ask.
        acls = [AclBinding(ResourceType.TOPIC, kept, ResourcePatternType.LITERAL, who, "*", what,
                           AclPermissionType.ALLOW)
                for who, what in (("User:alice", AclOperation.ALL),
                                  ("User:*", AclOperation.DESCRIBE))]
        for made in admin.create_acls(acls).values():
            made.result(SECONDS)

    def check(self):
        """Every broker knows what was made, and, where not all may do all, who may change it."""
        def knows(admin):
            listed = admin.list_topics(timeout=SECONDS).topics
            return self.topics == {name: len(topic.partitions) for name, topic in listed.items()
                                   if name.startswith(("kept", "gone"))}
        for id, node in self.cluster.brokers.items():
            if not node.running():
                continue
            admin = self.admin(id)
            until(f"node {id} knows all topics", lambda: knows(admin), SECONDS)
            for topic in () if self.all_may else self.topics:
                try:
                    admin.create_partitions([NewPartitions(topic, 9)])[topic].result(SECONDS)
                except KafkaException as refused:
                    assert refused.args[0].name() == "TOPIC_AUTHORIZATION_FAILED", refused
                else:
                    sys.exit(f"somebody else than alice changed {topic} through {id}")

    # --- The quorum

    def quorum(self, *words):
        return self.tools.run("kafka-metadata-quorum", "--bootstrap-controller",
                              self.cluster.controller_bootstrap(), *words)

    def replicas(self):
        """(id, directory, lag, status) of each, as Kafka's tool has it."""
        try:
            rows = [line.split() for line in self.quorum("describe", "--replication").splitlines()]
        except Exception:  # no leader at the moment
            return []
        return [(int(row[0]), row[1], int(row[3]), row[-1]) for row in rows[1:] if len(row) > 5]

    def settle(self, *ids):
        """Until these (all controllers that run) have followed a moment ago."""
        ids = ids or [id for id, node in self.cluster.controllers.items() if node.running()]
        until(f"{ids} follow", lambda: set(ids) <= {
            id for id, _, lag, _ in self.replicas() if lag <= 3}, SECONDS)

    def hand_to(self, id):
        """By our tool, where a node of Drave leads; Kafka's cannot be asked."""
        if self.cluster.leader() == id:
            return
        self.settle()
        said = drave("quorum", "transfer", id, "-b", self.cluster.bootstrap())
        assert "leads" in said, said
        assert self.cluster.leader() == id
        self.say(f"{id} ({self.cluster.nodes[id].kind}) leads")

    def leave(self, id, how):
        """The leader goes; how long until another leads."""
        began = time.monotonic()
        if how == "kill":
            self.cluster.nodes[id].kill()
        else:
            self.cluster.nodes[id].process.terminate()
        leader = self.cluster.leader(SECONDS, other_than=id)
        took = time.monotonic() - began
        if how == "stop":
            self.cluster.nodes[id].check(self.cluster.nodes[id].stop(SECONDS))
        self.say(f"{id} ({self.cluster.nodes[id].kind}) leads no more ({how}): {leader} "
                 f"({self.cluster.nodes[leader].kind}) does, after {took:.2f} s")
        return leader

    def lose_disk(self, id):
        """It comes back with an empty one, follows, and votes when it was admitted again."""
        node = self.cluster.nodes[id]
        before = next(d for i, d, _, status in self.replicas() if i == id and status != "Observer")
        if node.running():
            node.kill()
        self.cluster.wipe(id)
        node.start()
        until(f"{id} follows", lambda: any(
            i == id and d != before and lag <= 3 and status == "Observer"
            for i, d, lag, status in self.replicas()), SECONDS)
        self.quorum("remove-controller", "--controller-id", str(id), "--controller-directory-id",
                    before)
        self.admit(id)
        until(f"{id} votes", lambda: any(
            i == id and d != before and status == "Follower"
            for i, d, _, status in self.replicas()), SECONDS)
        self.say(f"{id} ({node.kind}) lost its disk and was admitted again")

    def admit(self, id):
        """It has to have caught up, which the leader may see a moment later."""
        file = self.cluster.nodes[id].folder / "server.properties"
        until(f"{id} is admitted", lambda: self.tools.call(
            "kafka-metadata-quorum", "--bootstrap-controller", self.cluster.controller_bootstrap(),
            "--command-config", file, "add-controller")[0] == 0, SECONDS)

    # --- The end

    def stop(self):
        """Kafka's brokers first: they wait long for a controller that lets them go."""
        brokers = [n for n in self.cluster.brokers.values() if n.kind == "kafka" and n.running()]
        for node in brokers:
            node.check(node.stop(SECONDS))
        rest = [n for n in self.cluster.nodes.values() if n not in brokers and n.running()]
        for node in rest:
            node.process.terminate()
        for node in rest:
            node.check(node.stop(SECONDS))

    def compare_logs(self):
        logs = {id: batches(node.data / "__cluster_metadata-0")
                for id, node in self.cluster.controllers.items()}
        first = max(min(log) for log in logs.values())
        last = min(max(log) for log in logs.values())
        cut = {id: {at: b for at, b in log.items() if first <= at <= last}
               for id, log in logs.items()}
        common = next(iter(cut.values()))
        assert all(log == common for log in cut.values()), \
            {id: sorted(at for at in set(log) ^ set(common)) or "bytes" for id, log in cut.items()}
        assert len(common) > 5, len(common)
        self.say(f"the logs are the same: {len(common)} batches, offsets {first} to {last}")


def batches(folder):
    """{base offset: bytes} of each batch of a partition's segments."""
    found = {}
    for path in sorted(folder.glob("*.log")):
        data, at = path.read_bytes(), 0
        while at + 12 <= len(data):
            size = 12 + int.from_bytes(data[at + 8:at + 12], "big")
            if size == 12:
                break
            found[int.from_bytes(data[at:at + 8], "big")] = data[at:at + size]
            at += size
    return found


def write_and_read(trial, topic, places):
    """A partition on each of `places`; records to all of them, and back through each."""
    trial.tools.run("kafka-topics", "--bootstrap-server", trial.cluster.bootstrap(), "--create",
                    "--topic", topic, "--replica-assignment", ",".join(map(str, places)))
    for at, id in enumerate(places):
        failed = []
        producer = Producer({**client_settings(trial.cluster.nodes[id].bootstrap),
                             "acks": "all", "enable.idempotence": True})
        for n in range(50):
            for partition in range(len(places)):
                producer.produce(topic, b"%d %d" % (id, n), partition=partition,
                                 on_delivery=lambda error, _: error and failed.append(str(error)))
        assert not producer.flush(SECONDS) and not failed, failed[:3]
        for partition in range(len(places)):
            read = list(read_all(trial.cluster.nodes[id].bootstrap, topic, partition))
            assert [offset for offset, _ in read] == list(range(50 * (at + 1))), (id, partition)
            assert {value for _, value in read} >= {b"%d %d" % (id, n) for n in range(50)}


def together(trial):
    cluster = trial.cluster
    cluster.start()
    trial.say(f"{cluster.leader()} leads")
    write_and_read(trial, "placed", [4, 5, 1])
    trial.change(4)
    trial.hand_to(3)
    trial.change(5)
    # A broker that registers with Kafka's controller, and one that it lets go.
    cluster.nodes[5].check(cluster.nodes[5].stop(SECONDS))
    cluster.nodes[5].start()
    write_and_read(trial, "again", [5, 4])
    trial.settle()
    trial.check()
    trial.leave(3, "stop")
    trial.change(4)
    trial.lose_disk(3)
    trial.change()
    trial.check()


def check_twofold(trial, leader, other):
    """What a controller of Kafka places on two nodes of Drave is not acknowledged for both."""
    trial.tools.run("kafka-topics", "--bootstrap-server", trial.cluster.bootstrap(), "--create",
                    "--topic", "twofold", "--replica-assignment", f"{leader}:{other}")
    with Connection(trial.cluster.nodes[leader].port) as connection:
        def produce(acks):
            return connection.produce("twofold", 0, [b"record"], acks)[0]
        until("it is known there", lambda: produce(1) == 0, SECONDS)
        assert produce(-1) == NOT_ENOUGH_REPLICAS, produce(-1)


def majority(trial):
    cluster = trial.cluster
    cluster.start(1, 2)
    cluster.leader()
    cluster.start(3, 4)
    write_and_read(trial, "placed", [3, 4])
    check_twofold(trial, 3, 4)
    trial.change()
    for how in ("stop", "kill", "kill"):
        leader = cluster.leader()
        trial.leave(leader, how)
        trial.change()
        cluster.nodes[leader].start()
        trial.settle()
    trial.lose_disk(3)
    trial.change()
    trial.check()


SMALL = {"metadata.log.max.record.bytes.between.snapshots": "30000",
         "internal.metadata.log.segment.bytes": "150000", "metadata.max.retention.bytes": "150000",
         "internal.metadata.delete.delay.millis": "1000"}


def log_start(trial, id):
    return min(int(p.stem.split("-")[0]) for p in
               (trial.cluster.nodes[id].data / "__cluster_metadata-0").glob("*.log"))


def fill(trial, beyond):
    """ACLs come and go until the leader's log begins behind what the node `beyond` has."""
    cluster = trial.cluster
    end = max(batches(cluster.nodes[beyond].data / "__cluster_metadata-0"))
    deadline = time.monotonic() + SECONDS
    while log_start(trial, cluster.leader()) <= end:
        assert time.monotonic() < deadline, "the leader keeps its log"
        admin = trial.admin()
        names = [f"filling-{n}-" + "." * 200 for n in range(150)]
        parts = (ResourcePatternType.LITERAL, "User:alice", "*", AclOperation.READ,
                 AclPermissionType.ALLOW)
        for made in admin.create_acls([AclBinding(ResourceType.TOPIC, name, *parts)
                                       for name in names]).values():
            made.result(SECONDS)
        filters = [AclBindingFilter(ResourceType.TOPIC, name, *parts) for name in names]
        for gone in admin.delete_acls(filters).values():
            gone.result(SECONDS)


def snapshots(trial):
    cluster = trial.cluster
    cluster.start()
    cluster.leader()
    for away, leader in ((3, "draved"), (1, "kafka")):
        fall_behind(trial, away, leader)
        cluster.nodes[away].start()
        trial.settle(away)
        assert log_start(trial, away) > 0
        trial.say(f"{away} was away and took a snapshot of {cluster.leader()} ({leader})")
        trial.lose_disk(away)
        assert log_start(trial, away) > 0
        trial.change()
    trial.check()


def fall_behind(trial, away, leader):
    """Kills `away` under a leader of that kind, until that one's log begins behind its end."""
    cluster = trial.cluster
    for _ in range(5):  # a machine that stands still may cost a leader its quorum
        if leader == "kafka":
            trial.hand_to(3)
        elif cluster.leader() == 3:
            trial.leave(3, "stop")
            cluster.nodes[3].start()
        cluster.nodes[away].kill()
        fill(trial, away)
        if cluster.nodes[cluster.leader()].kind == leader:
            return
        cluster.nodes[away].start()
        trial.settle()
    sys.exit(f"no node of {leader} stays the leader")


def upgrade(trial):
    cluster = trial.cluster
    cluster.start()
    trial.hand_to(3)
    trial.change()
    # Refused until each voter has told this leader that it speaks it.
    until("kraft.version is 1", lambda: trial.tools.call(
        "kafka-features", "--bootstrap-controller", cluster.controller_bootstrap(),
        "upgrade", "--feature", "kraft.version=1")[0] == 0, SECONDS)
    until("every voter has a directory", lambda: not re.search(
        '"directoryId": "A{22}"', trial.quorum("describe", "--status")), SECONDS)
    trial.say("upgraded")
    trial.leave(3, "kill")
    trial.change()
    cluster.nodes[3].start()
    trial.settle()
    trial.check()


def brokers(trial):
    cluster = trial.cluster
    cluster.start()
    trial.change()
    settings = client_settings(cluster.nodes[4].bootstrap)
    producer = Producer({**settings, "transactional.id": "t"})
    producer.init_transactions(SECONDS)
    for n in range(3):
        producer.begin_transaction()
        producer.produce("made-by-producing", b"%d" % n)
        (producer.abort_transaction if n == 1 else producer.commit_transaction)(SECONDS)
    consumer = Consumer({**settings, "group.id": "g", "auto.offset.reset": "earliest"})
    consumer.subscribe(["made-by-producing"])
    found, end = set(), time.monotonic() + SECONDS
    while found != {b"0", b"2"} and time.monotonic() < end:
        message = consumer.poll(0.5)
        if message is not None and not message.error():
            found.add(message.value())
    assert found == {b"0", b"2"}, found
    consumer.commit(asynchronous=False)
    consumer.close()
    trial.leave(cluster.leader(), "kill")
    trial.change()
    cluster.nodes[4].check(cluster.nodes[4].stop(SECONDS))
    cluster.nodes[4].start()
    write_and_read(trial, "placed", [4])
    trial.check()


def tails(trial):
    cluster = trial.cluster
    cluster.start()
    trial.change()
    for first in (3, 1):
        if first == 3:
            trial.hand_to(3)
        leader = cluster.leader()
        others = [id for id in cluster.controllers if id != leader]
        for id in others:
            pause(cluster.nodes[id])
        time.sleep(1.5)  # it writes a record each half second to see whether it leads
        cluster.nodes[leader].kill()
        folder = cluster.nodes[leader].data / "__cluster_metadata-0"
        tail = batches(folder)
        for id in others:
            resume(cluster.nodes[id])
        after = cluster.leader(SECONDS, other_than=leader)
        trial.change()
        cluster.nodes[leader].start()
        trial.settle()
        if cluster.nodes[leader].kind == "kafka":
            now = batches(folder)
            assert any(now.get(at) != batch for at, batch in tail.items()), "nothing was truncated"
        else:
            assert f"truncating node={leader}" in cluster.nodes[leader].log.read_text()
        trial.say(f"{leader} ({cluster.nodes[leader].kind}) truncated what it alone had under "
                  f"{after} ({cluster.nodes[after].kind})")
    trial.check()


def joins(trial):
    cluster = trial.cluster
    cluster.start(1, 2)
    cluster.leader()

    def join(id):
        cluster.nodes[id].start()
        until(f"{id} joins", lambda: any(i == id and status == "Follower"
                                         for i, _, _, status in trial.replicas()), SECONDS)
        trial.say(f"{id} ({cluster.nodes[id].kind}) joined")

    def move(id):
        node = cluster.nodes[id]
        if node.running():
            node.check(node.stop(SECONDS))
        before, now = node.controller_port, free_ports(1)[0]
        node.controller_port = now
        if node.role == "controller":
            node.port = now
        key = "controller.quorum.bootstrap.servers"
        for each in cluster.nodes.values():
            each.settings[key] = each.settings[key].replace(f":{before}", f":{now}")
        node.start()
        until(f"{id} is known at {now}", lambda: f":{now}" in known_voters(), SECONDS)
        trial.say(f"{id} ({node.kind}) moved to another port")

    def known_voters():
        status, text = trial.tools.call("kafka-metadata-quorum", "--bootstrap-controller",
                                        cluster.controller_bootstrap(), "describe", "--status")
        return "" if status else re.search("CurrentVoters:.*", text)[0]

    join(3)
    trial.change()
    trial.hand_to(3)
    join(4)
    move(4)
    trial.change()
    trial.leave(3, "stop")
    move(3)
    trial.change()
    trial.settle()
    trial.check()


TWO_AND_ONE = {1: ("drave", "both"), 2: ("drave", "both"), 3: ("kafka", "controller")}
SCENARIOS = {
    together: ({**TWO_AND_ONE, 4: ("kafka", "broker"), 5: ("drave", "broker")}, {}),
    majority: ({1: ("kafka", "controller"), 2: ("kafka", "controller"), 3: ("drave", "both"),
                4: ("drave", "broker")}, {"settings": {"super.users": "User:ANONYMOUS"}}),
    snapshots: (TWO_AND_ONE, {"settings": SMALL}),
    upgrade: (TWO_AND_ONE, {"static": True}),
    brokers: ({1: ("drave", "controller"), 2: ("drave", "controller"), 3: ("drave", "controller"),
               4: ("kafka", "broker")}, {}),
    tails: (TWO_AND_ONE, {}),
    joins: ({1: ("drave", "both"), 2: ("drave", "controller"), 3: ("kafka", "both"),
             4: ("drave", "controller")},
            {"voters": [1, 2], "settings": {"controller.quorum.auto.join.enable": "true"}}),
}


@contextlib.contextmanager
def new_trial(name, keep, *words, **more):
    folder = Path(tempfile.mkdtemp(prefix=f"drave-mixed-{name}-"))
    trial = Trial(folder, *words, **more)
    try:
        yield trial
    except BaseException:
        for node in trial.cluster.nodes.values():
            print(f"--- {node.log}\n{node.tail(25)}", file=sys.stderr)
        keep = True
        raise
    finally:
        trial.cluster.kill()
        if keep:
            print(f"kept: {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder)


def main():
    by_name = {run.__name__: run for run in SCENARIOS}
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", nargs="*", choices=[[], *by_name], default=[],
                        metavar="SCENARIO", help="one of the table's")
    parser.add_argument("--all", action="store_true", help="every scenario")
    parser.add_argument("--keep", action="store_true", help="leave the folders of the nodes")
    options = parser.parse_args()
    names = list(by_name) if options.all else options.scenario or ["together"]
    with KafkaTools() as tools:
        for name in names:
            nodes, more = SCENARIOS[by_name[name]]
            print(f"{name}:")
            with new_trial(name, options.keep, tools, nodes, **more) as trial:
                by_name[name](trial)
                trial.stop()
                trial.compare_logs()
    print("ok")


if __name__ == "__main__":
    main()
