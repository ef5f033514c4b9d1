#!/usr/bin/env python3
"""Three nodes that are controllers only, two that are brokers only: the active controller is killed
under a stream of topic creations, then asked to stop; a broker restarts. Nothing that was
acknowledged is lost, and what the partitions hold is there again.

  separate_roles.py [--tries N]
"""
import argparse
import sys
import time
from pathlib import Path

from confluent_kafka.admin import AdminClient, NewTopic

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from cluster.failover import Stream, expect_all  # noqa: E402
from cluster.three_nodes import PARTITIONS, numbers, produce, until  # noqa: E402
from harness.cluster import drave, new_cluster  # noqa: E402
from harness.load import client_settings  # noqa: E402
from harness.node import NodeFailed  # noqa: E402


def without_leader(cluster, stream, how):
    """How long no topic could be created after `how` took the active controller away."""
    ids = list(cluster.brokers)
    leader = cluster.nodes[cluster.leader()]
    end = time.monotonic() + 0.2
    while time.monotonic() < end:
        stream.create(ids)
    began = time.monotonic()
    how(leader)
    while True:
        made = stream.create(ids)
        if made and not leader.running():
            break
        if time.monotonic() - began > 30:
            sys.exit(f"no topic was created within 30 s: {stream.last_error}")
    seconds = time.monotonic() - began
    leader.start()
    return seconds


def check_broker_restart(cluster, records):
    """While a broker is away its partitions have no leader; back again, it has what it had."""
    id, other = list(cluster.brokers)
    admin = AdminClient(client_settings(cluster.nodes[other].bootstrap))
    admin.create_topics([NewTopic("kept", PARTITIONS, 1)])["kept"].result(20)
    produce(cluster.bootstrap, "kept", 0, records)
    node = cluster.nodes[id]
    node.check(node.stop())
    until("it is not listed any more", lambda: id not in admin.list_topics(timeout=5).brokers)
    node.start()
    until("all partitions have leaders", lambda: all(
        one.leader >= 0
        for one in admin.list_topics("kept", timeout=5).topics["kept"].partitions.values()))
    assert numbers(cluster.bootstrap, "kept") == list(range(records))
    node.kill()
    node.start()
    produce(cluster.bootstrap, "kept", records, records)
    assert numbers(cluster.bootstrap, "kept") == list(range(2 * records))


def check_tools_at_controllers(cluster):
    """The command line finds the active controller from any other one, and says where it has to be
    told of a broker."""
    active = cluster.leader()
    standby = next(node for id, node in cluster.nodes.items()
                   if id not in cluster.brokers and id != active)
    where = f"127.0.0.1:{standby.controller_port}"
    drave("-b", where, "topic", "create", "asked-of-a-standby", "-p", 1)
    try:
        drave("-b", where, "topic", "list")
        sys.exit("a controller told of topics")
    except NodeFailed as refused:
        assert "is the listener of a controller" in str(refused), refused


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=2)
    options = parser.parse_args()
    with new_cluster("roles", brokers=2) as cluster:
        cluster.start()
        stream = Stream(cluster)
        for _ in range(options.tries):
            print(f"killed: {without_leader(cluster, stream, lambda node: node.kill()):.3f} s")
        stopped = without_leader(cluster, stream, lambda node: node.process.terminate())
        print(f"asked to stop: {stopped:.3f} s until it had ended and a topic was created")
        check_broker_restart(cluster, 600)
        check_tools_at_controllers(cluster)
        expect_all(cluster, stream, {"kept", "asked-of-a-standby"})
        cluster.stop()


if __name__ == "__main__":
    main()
