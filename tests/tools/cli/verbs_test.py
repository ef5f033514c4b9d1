#!/usr/bin/env python3
"""The verbs of `drave` against a node: DRAVED, or genuine Kafka with `verbs_test.py kafka`."""
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests"))
from harness.node import make_node  # noqa: E402
from harness.wire import string  # noqa: E402

DRAVE = os.environ.get("DRAVE") or str(ROOT / "build" / "release" / "bin" / "drave")
KIND = sys.argv.pop(1) if len(sys.argv) > 1 and sys.argv[1] in ("draved", "kafka") else "draved"


class Verbs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="drave-verbs-")
        more = {"heap": "400m"} if KIND == "kafka" else {}
        cls.node = make_node(KIND, cls.folder.name, **more).start()

    @classmethod
    def tearDownClass(cls):
        try:
            cls.node.check(cls.node.stop())
        finally:
            cls.folder.cleanup()

    def drave(self, *arguments, given="", code=0):
        """What the verb printed; fails unless it exits with `code`."""
        done = subprocess.run([DRAVE, *arguments], input=given, capture_output=True, text=True,
                              env=os.environ | {"DRAVE_BOOTSTRAP": self.node.bootstrap},
                              timeout=60)
        self.assertEqual(done.returncode, code, f"{arguments}: {done.stdout}{done.stderr}")
        return done.stdout if code == 0 else done.stderr

    def json(self, *arguments, **more):
        return json.loads(self.drave(*arguments, "-o", "json", **more))

    def test_topics(self):
        made = self.json("topic", "create", "one", "two", "-p", "3", "-c", "retention.ms=3600000")
        self.assertEqual([row["status"] for row in made], ["created", "created"])
        self.assertIn("already exists", self.drave("topic", "create", "one", code=1))
        self.drave("topic", "create", "one", "--if-not-exists")
        listed = {}
        while "one" not in listed:  # Kafka's brokers show it a moment after they have answered
            listed = {row["topic"]: row for row in self.json("topic", "list")}
            self.assertTrue("one" in listed or KIND == "kafka")
        self.assertEqual(listed["one"]["partitions"], 3)
        described = self.json("topic", "describe", "one")[0]
        self.assertEqual(described["configs"], {"retention.ms": "3600000"})
        self.assertEqual([p["endOffset"] for p in described["partitions"]], [0, 0, 0])
        self.drave("topic", "alter", "one", "-p", "5", "-s", "retention.ms=7200000")
        self.assertEqual(len(self.json("topic", "describe", "one")[0]["partitions"]), 5)
        self.drave("topic", "alter", "one", "-p", "2", code=1)
        self.drave("topic", "delete", "two")
        self.drave("topic", "delete", "two", code=4)
        self.drave("topic", "delete", "two", "--if-exists")
        self.assertIn("two", self.drave("topic", "describe", "two", code=4))

    def test_configs(self):
        self.drave("topic", "create", "configured", "-p", "1")
        self.drave("config", "alter", "topic", "configured", "-s", "max.message.bytes=2000000")
        rows = {row["key"]: row for row in self.json("config", "describe", "topic", "configured")}
        self.assertEqual(rows["max.message.bytes"]["value"], "2000000")
        self.assertEqual(rows["max.message.bytes"]["source"], "topic")
        self.drave("config", "alter", "topic", "configured", "-u", "max.message.bytes")
        rows = self.json("config", "describe", "topic", "configured", "max.message.bytes")
        self.assertNotEqual(rows[0]["source"], "topic")
        self.drave("config", "alter", "topic", "configured", "-s", "no.such.key=1", code=1)
        self.drave("config", "alter", "topic", "configured", code=2)
        self.assertTrue(self.json("config", "describe", "broker", "1", "--all"))
        self.assertIn("broker 9 is not in service",
                      self.drave("config", "describe", "broker", "9", code=4))
        refused = self.drave("config", "alter", "broker", "9", "-s", "message.max.bytes=1", code=1)
        self.assertNotIn("not in service", refused)  # a node was asked

    @unittest.skipIf(KIND == "kafka", "Kafka has no authorizer without being asked for one")
    def test_acls(self):
        self.drave("topic", "create", "closed", "-p", "1")
        alice = ("--allow", "User:alice", "--operation", "read", "--operation", "write")
        made = self.json("acl", "create", "topic", "closed", *alice)
        self.assertEqual([row["operation"] for row in made], ["read", "write"])
        self.drave("acl", "create", "topic", "clo", "--prefixed", "--deny", "User:*", "--host",
                   "10.0.0.1", "--operation", "all")
        self.drave("acl", "create", "topic", "closed", "--operation", "read", code=2)
        self.assertIn("no colon", self.drave("acl", "create", "topic", "closed", "--allow", "alice",
                                             "--operation", "read", code=1))
        self.assertIn("TOPIC_AUTHORIZATION_FAILED",
                      self.drave("topic", "alter", "closed", "-p", "2", code=1))
        self.assertEqual(len(self.json("acl", "list")), 3)
        matching = self.json("acl", "list", "topic", "closed", "--pattern", "match")
        self.assertEqual([(row["name"], row["permission"], row["host"]) for row in matching],
                         [("clo", "deny", "10.0.0.1"), ("closed", "allow", "*"),
                          ("closed", "allow", "*")])
        self.drave("acl", "delete", "topic", "closed", "--operation", "write")
        self.assertEqual(len(self.json("acl", "list", "topic")), 2)
        self.drave("acl", "delete", "topic", "closed", "--pattern", "match")
        self.drave("acl", "delete", "topic", "closed", code=4)
        self.assertEqual(self.json("acl", "list"), [])

    def test_records(self):
        self.drave("topic", "create", "records", "copy", "-p", "1")
        for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
            self.drave("produce", "records", "-K", ":", "-H", "codec=" + codec, "-z", codec,
                       given=f"k:{codec} 1\nk:{codec} 2\n")
        everything = self.drave("consume", "records", "--offset", "start", "--exit",
                                "-f", "%t %p %o %k %s %h\\n").splitlines()
        self.assertEqual(len(everything), 10)
        self.assertEqual(everything[3], "records 0 3 k gzip 2 codec=gzip")

        def values(offset, *more):
            return self.drave("consume", "records", "--offset", offset, "--exit",
                              *more).splitlines()

        self.assertEqual(values("-2"), ["zstd 1", "zstd 2"])
        self.assertEqual(values("+8"), ["zstd 1", "zstd 2"])
        self.assertEqual(values("2:4"), ["gzip 1", "gzip 2"])
        self.assertEqual(values("-1h", "-n", "1"), ["none 1"])
        self.assertEqual(values("end"), [])
        self.assertEqual(values("-1", "-p", "0", "-p", "0"), ["zstd 2"])
        lines = self.drave("consume", "records", "-O", "start", "-e", "-o", "json")
        self.drave("produce", "copy", "--from", "json", given=lines)
        copied = self.drave("consume", "copy", "-O", "start", "-e", "-o", "json")
        for a, b in zip(lines.splitlines(), copied.splitlines(), strict=True):
            a, b = json.loads(a), json.loads(b)
            for key in ("key", "value", "headers", "timestamp"):
                self.assertEqual(a[key], b[key])
        self.drave("consume", "records", "-p", "7", code=4)
        self.drave("consume", "records", "-O", "someday", code=2)

    def test_an_interrupt_ends_produce_when_what_it_read_is_written(self):
        self.drave("topic", "create", "interrupted", "-p", "1")
        command = [DRAVE, "-b", self.node.bootstrap, "produce", "interrupted", "-o", "json"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as producing:
            producing.stdin.write(b"one\ntwo")
            producing.stdin.flush()
            consumed = self.drave("consume", "interrupted", "-O", "start", "-n", "1")
            self.assertEqual(consumed, "one\n")  # so it waits for more
            producing.send_signal(signal.SIGINT)
            self.assertEqual(producing.wait(30), 0)
        consumed = self.drave("consume", "interrupted", "-O", "start", "-e")
        self.assertEqual(consumed, "one\ntwo\n")

    def test_bench(self):
        brief = ("-t", "bench", "-p", "2", "--seconds", "0.5", "--warm", "0.1")
        produced = self.json("bench", "produce", *brief)
        self.assertGreater(produced["records"], 0)
        self.assertEqual(produced["errors"], 0)
        open_loop = self.json("bench", "produce", *brief, "-R", "100")
        self.assertAlmostEqual(open_loop["requestsPerSecond"], 100, delta=30)
        consumed = self.json("bench", "consume", "-t", "bench", "--seconds", "0.5")
        self.assertGreater(consumed["records"], 0)
        latency = self.json("bench", "latency", *brief, "-R", "100")
        self.assertGreater(latency["endToEndMicroseconds"]["count"], 20)
        self.assertGreater(latency["endToEndMicroseconds"]["p50"], 0)
        self.drave("bench", "consume", "-t", "no-such-topic", code=4)

    @unittest.skipIf(KIND == "kafka", "it asks no node")
    def test_bench_quorum_leaves_nothing_behind(self):
        with tempfile.TemporaryDirectory(prefix="drave-bench-") as name:
            self.assertIn("no folder", self.drave("bench", "quorum", "--dir", name + "/none/x",
                                                  code=4))
            self.assertEqual(os.listdir(name), [])
            for number in (signal.SIGINT, signal.SIGTERM):
                bench = subprocess.Popen(
                    [DRAVE, "bench", "quorum", "--dir", name, "--seconds", "60"],
                    stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
                end = time.monotonic() + 30
                while not list(Path(name).glob("quorum-*/*/*")) and time.monotonic() < end:
                    time.sleep(0.02)
                bench.send_signal(number)
                self.assertIn("interrupted", bench.communicate(timeout=30)[1])
                self.assertEqual((bench.returncode, os.listdir(name)), (1, []))

    def test_quorum(self):
        status = self.json("quorum", "status")
        self.assertEqual(status["leader"], 1)
        self.assertGreater(status["highWatermark"], 0)
        leader = status["replicas"][0]
        self.assertEqual((leader["id"], leader["role"], leader["lag"]), (1, "leader", 0))
        self.assertIn("high watermark", self.drave("quorum", "status"))
        self.assertEqual(self.drave("quorum", "transfer", "1"), "1: leads\n")
        self.assertIn("no voter", self.drave("quorum", "transfer", "7", code=4))
        self.assertIn("no voter", self.drave("quorum", "remove-voter", "7", code=4))
        self.drave("quorum", "add-voter", code=2)
        self.drave("quorum", "add-voter", "7", "-d", "no id", "-e", "C://h:1", code=2)
        self.drave("quorum", "add-voter", "7", "-d", "A" * 22, "-e", "h:1", code=2)
        self.drave("quorum", "add-voter", "-c", "/no/such/file", code=4)

    def test_features(self):
        described = self.json("features", "describe")
        self.assertGreater(described["epoch"], 0)
        rows = {row["feature"]: row for row in described["features"]}
        self.assertEqual(rows["metadata.version"]["supportedMin"], 7)
        newest = rows["metadata.version"]["level"]
        self.assertEqual(rows["kraft.version"]["supportedMin"], 0)
        table = self.drave("features", "describe")
        self.assertRegex(table, r"metadata.version +7 \(3.3-IV3\) to \d+ .* 30 \(4.3-IV0\)")

        def level(feature):
            rows = self.json("features", "describe")["features"]
            return {row["feature"]: row["level"] for row in rows}[feature]

        turned_off = self.json("features", "downgrade", "-f", "transaction.version=0", "--dry-run")
        self.assertEqual(turned_off, [{"feature": "transaction.version", "level": 0,
                                       "status": "can be downgraded"}])
        self.assertEqual(level("transaction.version"), 2)
        down = self.drave("features", "downgrade", "-f", "transaction.version=0")
        self.assertEqual(down, "transaction.version: downgraded to 0\n")
        while level("transaction.version") != 0:  # Kafka shows it a moment after it has answered
            self.assertEqual(KIND, "kafka")
        up = self.json("features", "upgrade", "--release-version", "4.3")
        self.assertEqual(up, [{"feature": "transaction.version", "level": 2,
                               "status": "upgraded"}])
        while level("transaction.version") != 2:
            self.assertEqual(KIND, "kafka")
        self.assertEqual(self.drave("features", "upgrade", "--release-version", "4.3"),
                         "nothing to do\n")
        self.assertEqual(self.drave("features", "upgrade", "-f", "metadata.version=4.3-IV0"),
                         f"metadata.version: upgraded to {newest} (4.3-IV0)\n")
        for verb, feature, why in (("upgrade", "metadata.version=7", "Can't downgrade"),
                                   ("downgrade", "metadata.version=7", "might delete metadata"),
                                   ("downgrade", "kraft.version=0", "Can't downgrade"),
                                   ("upgrade", "no.such=1", "no.such")):
            self.assertIn(why, self.drave("features", verb, "-f", feature, code=1))
        for usage in ((), ("-f", "kraft.version"), ("-f", "kraft.version=one"), ("-r", "17.0"),
                      ("-f", "kraft.version=1", "-f", "kraft.version=1")):
            self.drave("features", "upgrade", *usage, code=2)

    def test_metadata(self):
        self.drave("topic", "create", "seen", "-p", "2", "-c", "retention.ms=3600000")
        data = str(self.node.data)
        self.assertIn("topics/", self.drave("metadata", "ls", data).split())
        leader = self.drave("metadata", "cat", data, "/topics/byName/seen/1/leader")
        self.assertEqual(json.loads(leader), 1)
        log = f"{data}/__cluster_metadata-0"
        configs = json.loads(self.drave("metadata", "cat", log, "/configs/TOPIC:seen"))
        self.assertEqual(configs, {"retention.ms": "3600000"})
        paths = self.drave("metadata", "find", data, "/topics/byName/seen", "-n", "isr").split()
        self.assertEqual(paths, ["/topics/byName/seen/0/isr", "/topics/byName/seen/1/isr"])
        self.assertEqual(self.json("metadata", "ls", data, "/cluster/brokers"), ["1/"])
        self.drave("metadata", "ls", data, "/cluster/brokers/7", code=4)
        self.assertEqual(self.json("metadata", "find", data, "/cluster/brokers/1", "-n", "fenced"),
                         ["/cluster/brokers/1/fenced"])
        self.drave("metadata", "ls", "/no/such/folder", code=4)
        self.drave("metadata", "ls", f"{data}/meta.properties", code=2)

    def test_format(self):
        with tempfile.TemporaryDirectory(prefix="drave-format-") as folder:
            ids = [self.drave("random-uuid").strip() for _ in range(4)]
            quorum = ",".join(f"{n}@127.0.0.1:2491{n}:{ids[n]}" for n in (1, 2, 3))
            names = ["__cluster_metadata-0", "bootstrap.checkpoint", "meta.properties"]
            checkpoint = "__cluster_metadata-0/00000000000000000000-0000000000.checkpoint"
            for n in (1, 2, 3):
                at = Path(folder, str(n))
                file = Path(folder, f"{n}.properties")
                file.write_text(
                    f"node.id={n}\nprocess.roles=broker,controller\n"
                    f"listeners=PLAINTEXT://127.0.0.1:2492{n},CONTROLLER://127.0.0.1:2491{n}\n"
                    f"controller.listener.names=CONTROLLER\nlog.dirs={at}\n")
                arguments = ("format", "-t", ids[0], "-c", str(file))
                self.assertIn("who is in the quorum", self.drave(*arguments, code=2))
                self.assertIn("not served yet",
                              self.drave(*arguments, "-s", "-S", "SCRAM-SHA-256=[name=a]", code=2))
                self.drave(*arguments, "-s", "-N", code=2)
                self.drave(*arguments, "-I", "1@127.0.0.1", code=2)
                self.drave(*arguments, "-s", "-r", "2.8", code=2)
                self.drave(*arguments, "-s", "-f", "no.such.version=1", code=2)
                again = quorum + f",{n}@127.0.0.1:24999:{ids[0]}"
                self.assertIn("named twice", self.drave(*arguments, "-I", again, code=2))
                again = quorum + f",4@127.0.0.1:24999:{ids[n]}"
                self.assertIn("same directory id", self.drave(*arguments, "-I", again, code=2))
                self.drave("format", "-t", "a b", "-c", str(file), "-s", code=2)
                self.assertFalse(at.exists())
                self.drave(*arguments, "-I", quorum)
                self.assertEqual(sorted(p.name for p in at.iterdir()), names)
                properties = (at / "meta.properties").read_text().splitlines()
                for line in (f"node.id={n}", f"cluster.id={ids[0]}", f"directory.id={ids[n]}"):
                    self.assertIn(line, properties)
                dumped = self.drave("log", "dump", str(at / checkpoint), "-o", "json")
                for voter in ids[1:]:
                    self.assertIn(voter, dumped)
                before = (at / "meta.properties").read_bytes()
                self.assertIn("formatted already", self.drave(*arguments, "-I", quorum, code=1))
                self.assertIn("was formatted before", self.drave(*arguments, "-I", quorum, "-g"))
                self.assertIn("of the cluster",
                              self.drave("format", "-t", ids[1], "-c", str(file), "-I", quorum,
                                         "-g", code=2))
                self.assertEqual((at / "meta.properties").read_bytes(), before)

    def test_format_of_brokers_and_of_static_quorums(self):
        with tempfile.TemporaryDirectory(prefix="drave-format-") as folder:
            cluster = self.drave("random-uuid").strip()
            file = Path(folder, "server.properties")
            arguments = ("format", "-t", cluster, "-c", str(file))
            file.write_text(
                "node.id=7\nprocess.roles=broker\nlisteners=PLAINTEXT://127.0.0.1:24927\n"
                "controller.listener.names=CONTROLLER\n"
                f"controller.quorum.bootstrap.servers=127.0.0.1:24911\nlog.dirs={folder}/b\n")
            self.assertIn("is for controllers", self.drave(*arguments, "-s", code=2))
            self.assertFalse(Path(folder, "b").exists())
            made = json.loads(self.drave(*arguments, "-o", "json"))
            self.assertEqual(made["formatted"], [f"{folder}/b"])
            file.write_text(
                "node.id=1\nprocess.roles=controller\nlisteners=CONTROLLER://127.0.0.1:24911\n"
                "controller.listener.names=CONTROLLER\n"
                f"controller.quorum.voters=1@127.0.0.1:24911\nlog.dirs={folder}/c\n")
            self.assertIn("begins with kraft.version 0",
                          self.drave(*arguments, "-f", "kraft.version=1", code=2))
            self.drave(*arguments, "-f", "kraft.version=0")
            self.assertTrue(Path(folder, "c", "meta.properties").exists())

    def test_exit_codes(self):
        self.drave("topic", "list", "-b", "127.0.0.1:1", code=3)
        self.drave("no-such-verb", code=2)
        self.drave("topic", code=2)
        self.drave("log", "dump", "/no/such/file", code=4)
        self.assertEqual(len(self.drave("random-uuid").strip()), 22)


class Stub(threading.Thread):
    """A broker, node 1, that knows one topic, "apart". It leads partition 0; partition 1 is led by
    node 2, which takes connections and says nothing."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.silent = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]

    def run(self):
        connection, _ = self.listening.accept()
        with connection:
            while header := connection.recv(4, socket.MSG_WAITALL):
                frame = connection.recv(struct.unpack(">i", header)[0], socket.MSG_WAITALL)
                key, _, correlation = struct.unpack(">hhi", frame[:8])
                answer = struct.pack(">i", correlation) + self.answer(key)
                connection.sendall(struct.pack(">i", len(answer)) + answer)

    def answer(self, key):
        """Of the versions that the answer to ApiVersions names: ListOffsets 1, Metadata 4,
        DescribeConfigs 1."""
        topic = string("apart")
        if key == 18:
            served = ((2, 1), (3, 4), (18, 3), (32, 1))
            rows = b"".join(struct.pack(">hhhb", api, version, version, 0)
                            for api, version in served)
            return struct.pack(">hb", 0, len(served) + 1) + rows + struct.pack(">ib", 0, 0)
        if key == 3:
            brokers = b"".join(struct.pack(">i", node) + string("127.0.0.1") +
                               struct.pack(">ih", server.getsockname()[1], -1)
                               for node, server in ((1, self.listening), (2, self.silent)))
            partitions = b"".join(struct.pack(">hiiiiii", 0, index, leader, 1, leader, 1, leader)
                                  for index, leader in ((0, 1), (1, 2)))
            return (struct.pack(">ii", 0, 2) + brokers + struct.pack(">hiih", -1, 1, 1, 0) + topic +
                    struct.pack(">bi", 0, 2) + partitions)
        if key == 2:
            return struct.pack(">i", 1) + topic + struct.pack(">iihqq", 1, 0, 0, -1, 7)
        return struct.pack(">iihhb", 0, 1, 0, -1, 2) + topic + struct.pack(">i", 0)


class Silence(unittest.TestCase):
    def test_a_leader_that_hangs_costs_a_moment_and_the_offsets_of_its_partitions(self):
        stub = Stub()
        self.addCleanup(stub.silent.close)
        self.addCleanup(stub.listening.close)
        stub.start()
        begun = time.monotonic()
        done = subprocess.run([DRAVE, "-b", f"127.0.0.1:{stub.port}", "--timeout", "10000",
                               "-o", "json", "topic", "describe", "apart", "apart"],
                              capture_output=True, text=True, timeout=60)
        self.assertLess(time.monotonic() - begun, 8)  # once, and not for the 10 s that others have
        self.assertEqual(done.returncode, 5, done.stderr)
        self.assertEqual(done.stderr.count("(broker 2 advertises this address)"), 1, done.stderr)
        for topic in json.loads(done.stdout):
            self.assertEqual([(row["leader"], row["endOffset"], row.get("offsetError"))
                              for row in topic["partitions"]],
                             [(1, 7, None), (2, -1, "REQUEST_TIMED_OUT")])


if __name__ == "__main__":
    unittest.main()
