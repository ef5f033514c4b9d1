#!/usr/bin/env python3
"""Frames that lie, for every API that the node serves: truncated, over-counted, negative, random.
Each must bring Kafka's error or a closed connection, and change nothing for others.

  frames.py [--kafka] [--seed N] [--per-seed N]
"""
import argparse
import random
import shutil
import socket
import struct
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from harness.node import make_node  # noqa: E402
from harness.wire import Connection, string  # noqa: E402
from seeds import mutations, seeds_of, truncations  # noqa: E402
from victim import Victim  # noqa: E402

ANSWER_SECONDS = 10
# Topics with very many partitions are what a client may ask for; here they would only take memory.
SETTINGS = {"auto.create.topics.enable": "false"}
API_FETCH, API_CREATE_TOPICS, API_CREATE_PARTITIONS = 1, 19, 37


class Bad(AssertionError):
    pass


def connect(port):
    one = socket.create_connection(("127.0.0.1", port), ANSWER_SECONDS)
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return one


def read_to_end(one, what):
    """All frames until the node closes. Bad: it does not, or what came are no frames."""
    data = b""
    try:
        while True:
            piece = one.recv(1 << 16)
            if not piece:
                break
            data += piece
    except ConnectionResetError:
        pass
    except TimeoutError as error:
        raise Bad(f"{what}: no answer and no end within {ANSWER_SECONDS} s") from error
    frames, at = [], 0
    while at < len(data):
        size = struct.unpack(">i", data[at:at + 4])[0] if at + 4 <= len(data) else -1
        if size < 4 or at + 4 + size > len(data):
            break  # cut off by a reset
        frames.append(data[at + 4:at + 4 + size])
        at += 4 + size
    return frames


def send(one, data):
    try:
        one.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        pass  # it was closed before all was sent: an answer too


def must_close(port, frame, what):
    """The client keeps its side open: the node itself must close."""
    with connect(port) as one:
        send(one, frame)
        frames = read_to_end(one, what)
        if frames:
            raise Bad(f"{what}: was answered: {frames[0][:40].hex()}")


def may_answer(port, frame, what, correlation):
    """An answer or an end; the client says that it is done, so that nothing waits for long."""
    with connect(port) as one:
        send(one, frame)
        try:
            one.shutdown(socket.SHUT_WR)
        except OSError:
            return False
        frames = read_to_end(one, what)
        if len(frames) > 1 or (frames and struct.unpack(">i", frames[0][:4])[0] != correlation):
            raise Bad(f"{what}: {len(frames)} answers, {frames[0][:20].hex()}")
        return bool(frames)


def malformed(port, good, bad, draw, per_seed):
    """(frames sent, of them answered)"""
    sent = answered = 0
    for seed in bad:
        must_close(port, seed.frame(1), seed.name)
        sent += 1
    for seed in good:
        for body in truncations(seed.body, draw, per_seed):
            must_close(port, seed.frame(1, body), f"{seed.name} cut to {body.hex()}")
            sent += 1
        for body in mutations(seed.body, draw, per_seed):
            answered += may_answer(port, seed.frame(7, body), f"{seed.name} as {body.hex()}", 7)
            sent += 1
    return sent, answered


def headers(port, versions, draw, count):
    """Frames whose header lies, and no header at all."""
    pack = struct.pack
    cases = {
        "length 0": pack(">i", 0), "length -1": pack(">i", -1), "length -2^31": pack(">i", -(1 << 31)),
        "length 2^31-1": pack(">i", (1 << 31) - 1), "length 1": pack(">ib", 1, 0),
        "length 100 MiB + 1": pack(">i", (100 << 20) + 1),
        "no such api": pack(">ihhi", 10, 32000, 0, 1) + string(""),
        "negative api": pack(">ihhi", 10, -1, 0, 1) + string(""),
        "client id beyond the end": pack(">ihhih", 10, 3, 1, 1, 300),
        "client id -2": pack(">ihhih", 10, 3, 1, 1, -2),
        "http": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "tls": bytes.fromhex("16030100c8010000c40303"),
    }
    for key, (_, high) in versions.items():
        if key != 18:
            cases[f"api {key} version {high + 1}"] = pack(">ihhi", 10, key, high + 20, 1) + string("")
            cases[f"api {key} version -1"] = pack(">ihhi", 10, key, -1, 1) + string("")
    for name, data in cases.items():
        # A length that is allowed but never comes is another test's subject.
        if name == "tls":
            continue
        must_close(port, data, name)
    for _ in range(count):
        size = draw.randrange(1, 200)
        data = draw.randbytes(size)
        if draw.random() < 0.7:
            data = pack(">i", size) + data
        with connect(port) as one:
            send(one, data)
            try:
                one.shutdown(socket.SHUT_WR)
            except OSError:
                continue
            read_to_end(one, f"random {data.hex()}")
    return len(cases) + count


def run(node, options):
    draw = random.Random(options.seed)
    with Connection(node.port) as connection:
        versions = connection.api_versions()
    good, bad = seeds_of(versions)
    assert {seed.key for seed in good} >= set(versions), "an API has no seed"
    with Victim(node) as victim:
        victim.rest()
        counts = {}

        def all_frames():
            counts["headers"] = headers(node.port, versions, draw, options.per_seed * 20)
            counts["sent"], counts["answered"] = malformed(node.port, good, bad, draw,
                                                           options.per_seed)
        began = time.monotonic()
        victim.attack("frames", all_frames, seconds=1)
        victim.result["frames"] |= counts | {"apis": len(versions),
                                             "seconds": round(time.monotonic() - began, 1)}
    return victim


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kafka", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--per-seed", type=int, default=12)
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="drave-hostile-")
    node = make_node("kafka" if options.kafka else "draved", folder, settings=SETTINGS)
    try:
        node.start()
        victim = run(node, options)
        print(victim.result)
        node.check(node.stop())
        assert not victim.problems, "; ".join(victim.problems)
    finally:
        if node.running():
            node.kill()
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
