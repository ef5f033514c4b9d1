#!/usr/bin/env python3
"""What tools say of a quorum: any of its nodes may be asked, and where nobody leads it, each tool says so
within seconds, and who is missing."""
import json
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness.cluster import drave_binary, make_uuid, new_cluster, pause, resume  # noqa: E402

# With a node that stands still, or whose place nobody takes; on cores that others want, too.
SECONDS_MAX = 10


def drave(*arguments, code=0, seconds_max=SECONDS_MAX):
    """What it printed: stdout and stderr."""
    began = time.monotonic()
    done = subprocess.run([drave_binary(), *map(str, arguments)], capture_output=True, text=True,
                          timeout=60)
    took = time.monotonic() - began
    assert done.returncode == code, f"{arguments}: {done.returncode} {done.stdout}{done.stderr}"
    assert took < seconds_max, f"{arguments}: {took:.1f} s"
    return done.stdout, done.stderr


def check_any_node(cluster, leader):
    """Brokers and controllers, the leader's and others': all show the same."""
    for node in cluster.nodes.values():
        for port in (node.port, node.controller_port):
            shown, _ = drave("quorum", "status", "-o", "json", "-b", f"127.0.0.1:{port}")
            status = json.loads(shown)
            assert status["leader"] == leader and len(status["replicas"]) == 3, status
            assert len(status["clusterId"]) == 22, status
    follower = next(id for id in cluster.nodes if id != leader)
    where = f"127.0.0.1:{cluster.nodes[follower].controller_port}"
    file = cluster.nodes[follower].folder / "server.properties"
    _, said = drave("quorum", "add-voter", "-c", file, "-b", where, code=1)
    assert "DUPLICATE_VOTER" in said, said
    _, said = drave("quorum", "add-voter", 77, "-c", file, "-b", where, code=2)
    assert f"node.id is {follower}, not 77" in said, said


def check_alone(cluster, left, others):
    node = cluster.nodes[left]
    missing = [f"{id} at 127.0.0.1:{cluster.nodes[id].controller_port}" for id in others]
    for port in (node.port, node.controller_port):
        where = f"127.0.0.1:{port}"
        for verb in (["status"], ["transfer", others[0]], ["remove-voter", others[0]],
                     ["add-voter", 9, "-d", make_uuid(), "-e", "CONTROLLER://127.0.0.1:1"]):
            _, said = drave("quorum", *verb, "-b", where, code=1)
            assert "1 of 3 voters answers, 2 are needed" in said, said
            assert all(one in said for one in missing), said
    shown, _ = drave("quorum", "status", "-o", "json", "-b", node.bootstrap, code=1)
    status = json.loads(shown)
    assert status["leader"] == -1, status
    assert {v["id"]: v["answers"] for v in status["voters"]} == {left: True, others[0]: False,
                                                                 others[1]: False}, status
    # What waits for a controller says meanwhile why, and in the end that nothing came of it.
    began = time.monotonic()
    _, said = drave("topic", "create", "nowhere", "-b", node.bootstrap, "--timeout", 5000, code=5,
                    seconds_max=15)
    assert time.monotonic() - began > 3
    assert "no leader: 1 of 3" in said and "REQUEST_TIMED_OUT" in said, said


def main():
    with new_cluster("no-majority") as cluster:
        cluster.start()
        leader = cluster.leader()
        check_any_node(cluster, leader)
        others = [id for id in cluster.nodes if id != leader]
        # In favour of one that is gone by now: the leader resigns, and nobody follows.
        for id in others:
            cluster.nodes[id].kill()
        drave("quorum", "transfer", others[0], "-b", cluster.nodes[leader].bootstrap, code=1)
        check_alone(cluster, leader, others)
        # The same by who followed, while the others stand still and take connections.
        for id in others:
            cluster.nodes[id].start()
        leader = cluster.leader()
        left, *others = [id for id in cluster.nodes if id != leader] + [leader]
        for id in others:
            pause(cluster.nodes[id])
        drave("quorum", "status", "-b", cluster.nodes[left].bootstrap, code=1)
        for id in others:
            resume(cluster.nodes[id])
        cluster.leader()
        cluster.stop()


if __name__ == "__main__":
    main()
