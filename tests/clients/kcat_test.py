#!/usr/bin/env python3
"""kcat beside a node: every codec, with and without idempotence, and what else it can ask.
BOOTSTRAP names the node (tests/clients/with_node sets it)."""
import json
import os
import subprocess
import unittest

from harness.wire import CODECS, Connection

BOOTSTRAP = os.environ["BOOTSTRAP"]
PORT = int(BOOTSTRAP.rsplit(":", 1)[1])


def kcat(*arguments, stdin=b""):
    command = ["kcat", "-b", BOOTSTRAP, "-X", "broker.address.family=v4", *map(str, arguments)]
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=60)
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}: {done.returncode}\n{done.stderr.decode()}")
    return done.stdout.decode()


def create(topic, partitions=1):
    with Connection(PORT) as connection:
        assert connection.create_topic(topic, partitions) == 0


def stored(topic, partition=0):
    with Connection(PORT) as connection:
        return connection.fetch_batches(topic, partition)


class Kcat(unittest.TestCase):
    def round_trip(self, codec, idempotent):
        topic = f"kcat-{codec}-{'idempotent' if idempotent else 'plain'}"
        create(topic)
        lines = [f"key {i}\tvalue {i} {'=' * 60}" for i in range(200)]
        kcat("-P", "-t", topic, "-p", 0, "-K", "\\t", "-z", codec, "-H", "colour=green",
             "-X", f"enable.idempotence={str(idempotent).lower()}", "-X", "linger.ms=50",
             stdin="\n".join(lines).encode() + b"\n")
        read = kcat("-C", "-t", topic, "-p", 0, "-o", "beginning", "-e", "-q",
                    "-f", "%o\\t%k\\t%s\\t%h\\n").splitlines()
        self.assertEqual(read, [f"{i}\t{line}\tcolour=green" for i, line in enumerate(lines)])
        batches = stored(topic)
        self.assertEqual({b["codec"] for b in batches}, {codec})
        self.assertEqual({b["producer_id"] >= 0 for b in batches}, {idempotent})

    def test_every_codec_without_idempotence(self):
        for codec in CODECS:
            with self.subTest(codec):
                self.round_trip(codec, False)

    def test_every_codec_with_idempotence(self):
        for codec in CODECS:
            with self.subTest(codec):
                self.round_trip(codec, True)

    def test_every_acks(self):
        for acks in (0, 1, -1):
            topic = f"kcat-acks{acks}"
            create(topic)
            kcat("-P", "-t", topic, "-p", 0, "-X", f"acks={acks}", stdin=b"a\nb\n")
            # With acks=0 nobody says when it is there: wait for both.
            read = kcat("-C", "-t", topic, "-p", 0, "-o", "beginning", "-c", 2, "-q")
            self.assertEqual(read, "a\nb\n", acks)

    def test_null_and_empty_values(self):
        create("kcat-null")
        kcat("-P", "-t", "kcat-null", "-p", 0, "-K", ":", "-Z", stdin=b"a:\n:b\n")
        read = kcat("-C", "-t", "kcat-null", "-p", 0, "-o", "beginning", "-e", "-q", "-J")
        rows = [json.loads(line) for line in read.splitlines()]
        self.assertEqual([(r.get("key"), r["payload"]) for r in rows], [("a", None), (None, "b")])

    def test_a_message_of_nearly_a_mebibyte(self):
        create("kcat-large")
        large = b"x" * 990_000
        kcat("-P", "-t", "kcat-large", "-p", 0, stdin=large)
        read = kcat("-C", "-t", "kcat-large", "-p", 0, "-o", "beginning", "-e", "-q", "-f", "%S\\n")
        self.assertEqual(read, "990000\n")

    def test_metadata_and_offsets_by_time(self):
        create("kcat-meta", 3)
        meta = json.loads(kcat("-L", "-J", "-t", "kcat-meta"))
        self.assertEqual([b["name"] for b in meta["brokers"]], [BOOTSTRAP])
        self.assertEqual(len(meta["topics"][0]["partitions"]), 3)
        kcat("-P", "-t", "kcat-meta", "-p", 1, stdin=b"a\nb\nc\n")
        for asked, offset in ((-2, 0), (-1, 3)):
            text = kcat("-Q", "-t", f"kcat-meta:1:{asked}")
            self.assertEqual(text.strip(), f"kcat-meta [1] offset {offset}")

    def test_offsets_from_the_end_and_in_the_middle(self):
        create("kcat-seek")
        kcat("-P", "-t", "kcat-seek", "-p", 0, stdin=b"".join(b"%d\n" % i for i in range(50)))
        read = kcat("-C", "-t", "kcat-seek", "-p", 0, "-o", -3, "-e", "-q")
        self.assertEqual(read.split(), ["47", "48", "49"])
        read = kcat("-C", "-t", "kcat-seek", "-p", 0, "-o", 10, "-c", 2, "-q")
        self.assertEqual(read.split(), ["10", "11"])

    def test_a_topic_that_comes_by_being_named(self):
        kcat("-P", "-t", "kcat-auto", stdin=b"a\n")
        read = kcat("-C", "-t", "kcat-auto", "-o", "beginning", "-c", 1, "-q")
        self.assertEqual(read, "a\n")


if __name__ == "__main__":
    unittest.main()
