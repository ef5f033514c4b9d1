#!/usr/bin/env python3
"""How long nobody can create topics when the active controller goes, and that none that was
acknowledged is lost or there twice.

  failover.py [--kind kill|stop|cut|hand-over] [--tries N] [--profile lan] [--set key=value ...]
              [--for SECONDS] [--join FILE]

Three nodes; in each try the active controller is killed (SIGKILL), stopped (SIGSTOP), cut off from
the others, or asked to stop (SIGTERM), under a stream of topic creations that goes through the
other two in turn, as raw requests, so that no client's back-off is measured. The figure is the time
from the signal to the next creation that is acknowledged. Then the node comes back, and every node
must list exactly what was acknowledged, or what an unanswered request may have made. Prints one JSON
object; exits with 1 unless all is well. `cut` needs root: each node gets a network of its own.

Many tries may be made in slices: --for begins none after so many seconds, and --join adds those of
this run to what earlier runs of the same kind and profile left in FILE, and tells of them all.

A try during which this program itself did not run for a while says nothing (the machine, or its
group of processes, stood still): it is made again, and counted as disturbed.
"""
import argparse
import json
import statistics
import sys
import threading
import time
from pathlib import Path

from confluent_kafka.admin import AdminClient

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness.cluster import new_cluster, pause, resume  # noqa: E402
from harness.load import client_settings  # noqa: E402
from harness.node import NodeFailed  # noqa: E402
from harness.wire import TOPIC_ALREADY_EXISTS  # noqa: E402


class Pulse(threading.Thread):
    """Notes when this program did not run for LATE seconds."""

    BEAT, LATE = 0.02, 0.3

    def __init__(self):
        super().__init__(daemon=True)
        self.stalls = 0

    def run(self):
        last = time.monotonic()
        while True:
            time.sleep(self.BEAT)
            now = time.monotonic()
            self.stalls += now - last > self.LATE
            last = now


class Stream:
    """Creates topics through some nodes in turn, one at a time."""

    def __init__(self, cluster):
        self.cluster, self.count = cluster, 0
        self.acked, self.unsure = set(), set()
        self.connections = {}
        self.last_error = None

    def create(self, ids):
        """True: one more was acknowledged."""
        self.count += 1
        id = ids[self.count % len(ids)]
        name = f"made-{self.count}"
        try:
            if id not in self.connections:
                self.connections[id] = self.cluster.connect(id, timeout=1.5)
            error = self.connections[id].create_topic(name, timeout_ms=500)
        except OSError as problem:
            self.connections.pop(id, None)
            self.last_error = str(problem)
            self.unsure.add(name)
            return False
        if error == 0:
            self.acked.add(name)
            return True
        # It may have been made by a leader that was gone before it could say so.
        self.unsure.add(name)
        self.last_error = f"error {error}"
        return False


    def leave(self, id):
        """Closes the connection, which a node that stops would give a while to do that."""
        if id in self.connections:
            self.connections.pop(id).close()


def take_away(cluster, kind, id):
    if kind == "kill":
        cluster.nodes[id].kill()
    elif kind == "stop":
        pause(cluster.nodes[id])
    else:
        cluster.wires.cut(id)


def bring_back(cluster, kind, id):
    node = cluster.nodes[id]
    if kind == "stop":
        resume(node)
    elif kind == "cut":
        cluster.wires.mend(id)
    elif kind == "hand-over":
        node.check(node.stop(90))
    if not node.running():
        node.start()


def warm_up(cluster, stream):
    """Creates topics for a while; the active controller, which is the same before and after, and the
    others."""
    while True:
        leader = cluster.leader()
        others = [id for id in cluster.nodes if id != leader]
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            stream.create(others)
        if cluster.leader() == leader:
            return leader, others


def one_try(cluster, stream, kind, seconds_max):
    leader, others = warm_up(cluster, stream)
    began = time.monotonic()
    take_away(cluster, kind, leader)
    away = None
    while away is None and time.monotonic() - began < seconds_max:
        if stream.create(others):
            away = time.monotonic() - began
        else:
            time.sleep(0.002)
    bring_back(cluster, kind, leader)
    if away is None:
        raise NodeFailed(f"no topic was created within {seconds_max} s: {stream.last_error}")
    return away


def longest_gap(cluster, stream, seconds_max):
    """The longest time without an acknowledgement while the active controller hands over."""
    leader, others = warm_up(cluster, stream)
    stream.leave(leader)
    cluster.nodes[leader].process.terminate()
    began = last = time.monotonic()
    gap, after = 0.0, 0
    while after < 50 and time.monotonic() - began < seconds_max:
        if stream.create(others):
            now = time.monotonic()
            gap, last = max(gap, now - last), now
            after += not cluster.nodes[leader].running()
    bring_back(cluster, "hand-over", leader)
    return gap


def verify(cluster, stream, others=frozenset()):
    """Every broker lists every acknowledged topic, and nothing that was not asked for but `others`.
    """
    lost, unknown = set(), set()
    for node in cluster.brokers.values():
        admin = AdminClient(client_settings(node.bootstrap))
        end = time.monotonic() + 20
        while True:
            there = set(admin.list_topics(timeout=10).topics)
            if stream.acked <= there or time.monotonic() > end:
                break
            time.sleep(0.1)
        lost |= stream.acked - there
        unknown |= there - stream.acked - stream.unsure - others
    # Doubled: a second creation of an acknowledged topic must be refused.
    name = next(iter(stream.acked))
    with cluster.connect(next(iter(cluster.brokers))) as connection:
        again = connection.create_topic(name)
    return {"acked": len(stream.acked), "unsure": len(stream.unsure), "lost": len(lost),
            "unknown": len(unknown), "doubled": int(again != TOPIC_ALREADY_EXISTS)}


def expect_all(cluster, stream, others=frozenset()):
    result = verify(cluster, stream, others)
    if result["lost"] or result["unknown"] or result["doubled"]:
        sys.exit(f"{result}")


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def all_tries(cluster, stream, options):
    """The seconds of each, and how many did not count."""
    away, disturbed, pulse = [], 0, Pulse()
    pulse.start()
    end = time.monotonic() + options.seconds
    while len(away) < options.tries and disturbed <= options.tries and time.monotonic() < end:
        stalls, seconds = pulse.stalls, None
        try:
            if options.kind == "hand-over":
                seconds = longest_gap(cluster, stream, options.seconds_max)
            else:
                seconds = one_try(cluster, stream, options.kind, options.seconds_max)
        except NodeFailed:
            if pulse.stalls == stalls:
                raise
        if pulse.stalls != stalls:
            disturbed += 1
            continue
        away.append(seconds)
        if seconds > options.tell:
            print(f"{time.strftime('%H:%M:%S', time.gmtime())} {seconds:.3f} s", file=sys.stderr)
    return away, disturbed


def join(file, result):
    """`result` with the tries of earlier runs of its kind and profile in `file`, which has them all
    then. What one run counts by itself, such as topics that were acknowledged, is added up."""
    before = json.loads(file.read_text()) if file.exists() else []
    for one in before:
        if (one["kind"], one["profile"]) == (result["kind"], result["profile"]):
            for key in ("acked", "unsure", "lost", "unknown", "doubled", "disturbed", "all_s"):
                result[key] += one[key]
            before.remove(one)
            break
    file.write_text("[\n" + ",\n".join(json.dumps(one) for one in [*before, result]) + "\n]\n")
    return result


def with_figures(result):
    every = sorted(result["all_s"])
    return result | {"tries": len(every), "p50_s": round(statistics.median(every), 3),
                     "p99_s": round(percentile(every, 0.99), 3), "worst_s": every[-1],
                     "all_s": every}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", default="kill", choices=["kill", "stop", "cut", "hand-over"])
    parser.add_argument("--tries", type=int, default=3)
    parser.add_argument("--profile")
    parser.add_argument("--seconds-max", type=float, default=30)
    parser.add_argument("--for", type=float, default=1e9, metavar="SECONDS", dest="seconds",
                        help="begin no try after so long")
    parser.add_argument("--join", type=Path, metavar="FILE")
    parser.add_argument("--tell", type=float, default=1e9, metavar="SECONDS",
                        help="tell when a try took longer")
    parser.add_argument("--keep", action="store_true", help="keep the nodes' folders")
    parser.add_argument("--set", action="append", default=[], metavar="key=value")
    options = parser.parse_args()
    arguments = [f"--profile={options.profile}"] if options.profile else []
    settings = dict(pair.split("=", 1) for pair in options.set)
    with new_cluster("failover", options.keep, settings=settings, arguments=arguments,
                     wires=options.kind == "cut") as cluster:
        cluster.start()
        stream = Stream(cluster)
        away, disturbed = all_tries(cluster, stream, options)
        result = verify(cluster, stream)
        cluster.stop()
        result.update(kind=options.kind, profile=options.profile, disturbed=disturbed,
                      all_s=[round(one, 4) for one in away], last_error=stream.last_error)
        if options.join is not None:
            result = join(options.join, result)
        result = with_figures(result)
        result["ok"] = result["lost"] == result["unknown"] == result["doubled"] == 0
        print(json.dumps(result))
        if not result["ok"]:
            sys.exit(1)


if __name__ == "__main__":
    main()
