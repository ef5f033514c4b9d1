#!/usr/bin/env python3
"""Clients that begin and do not go on: lengths that never come, a byte now and then, silence, answers
that nobody reads, peers that are gone without a word. Others must not notice.

  stalls.py [--kafka] [--full] [--only NAME]      --full: longer watches, more of everything
"""
import argparse
import shutil
import socket
import struct
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from harness.node import make_node  # noqa: E402
from harness.wire import API_FETCH, API_METADATA, API_PRODUCE, Connection, batch, string  # noqa: E402
from victim import Victim, fetch_body, produce_body  # noqa: E402

IDLE_SECONDS = 15
SETTINGS = {"connections.max.idle.ms": str(IDLE_SECONDS * 1000)}
FRAME_SECONDS = 30  # limits.h: a frame that comes byte by byte is given up after so long
SLOW_MACHINE_SECONDS = 30
DRIBBLERS, GONE = 50, 100
TCP_REPAIR = 19


def connect(port, receive_buffer=None):
    one = socket.socket()
    if receive_buffer:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    one.settimeout(30)
    one.connect(("127.0.0.1", port))
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return one


def frame(key, version, body, correlation=1):
    head = struct.pack(">hhi", key, version, correlation) + string("hostile") + body
    return struct.pack(">i", len(head)) + head


def send_what_is_taken(one, data, seconds):
    """Sends until all is sent, the node takes nothing more, or it hangs up."""
    one.setblocking(False)
    at, end = 0, time.monotonic() + seconds
    while at < len(data) and time.monotonic() < end:
        try:
            at += one.send(data[at:at + (1 << 18)])
        except BlockingIOError:
            time.sleep(0.01)
        except OSError:
            break
    one.settimeout(30)
    return at


def is_closed(one):
    """The node has closed it; takes what is there to be read."""
    one.setblocking(False)
    try:
        while one.recv(1 << 16):
            pass
        return True
    except BlockingIOError:
        return False
    except OSError:
        return True


class Dribblers:
    """Connections that send a valid frame at a byte per second, from a thread of their own."""

    def __init__(self, port, count):
        data = frame(API_METADATA, 1, struct.pack(">i", 0) + b"\0" * 300)
        self.open = {connect(port): data for _ in range(count)}
        self.began, self.closed_after = time.monotonic(), []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        at = 0
        while not self.stopping.wait(1):
            for one, data in list(self.open.items()):
                try:
                    if not is_closed(one):
                        one.send(data[at:at + 1])
                        continue
                except OSError:
                    pass
                self.closed_after.append(time.monotonic() - self.began)
                del self.open[one]
                one.close()
            at += 1

    def close(self):
        self.stopping.set()
        self.thread.join(10)
        for one in self.open:
            one.close()


def announced(port, count, sent):
    """`count` connections announce 64 MiB, send `sent` bytes and stall."""
    head = struct.pack(">i", 64 << 20) + struct.pack(">hhi", API_PRODUCE, 3, 1) + string("hostile")
    data = head + b"\0" * (sent - len(head))
    held = [connect(port) for _ in range(count)]
    threads = [threading.Thread(target=send_what_is_taken, args=(one, data, 6)) for one in held]
    for start in range(0, count, 16):
        for thread in threads[start:start + 16]:
            thread.start()
        for thread in threads[start:start + 16]:
            thread.join()
    return held


def large_produce(node, topic, mebibytes=1):
    """A large request of a good client beside the stalled ones: seconds until its answer."""
    data = batch([b"L" * (mebibytes * 1_000_000)])
    began = time.monotonic()
    with Connection(node.port, timeout=30) as connection:
        answer = connection.call(API_PRODUCE, 3, produce_body(topic, 0, data))
    at = 4 + 2 + len(topic) + 4 + 4
    error = struct.unpack(">h", answer[at:at + 2])[0]
    assert error == 0, f"a large produce was refused with {error}"
    return time.monotonic() - began


def never_reading(port, count, requests):
    """Pipelines fetches of much and reads nothing."""
    body = fetch_body("much", 0, 0, bytes_max=8 << 20, wait_ms=0)
    data = b"".join(frame(API_FETCH, 4, body, number) for number in range(requests))
    held = [connect(port, receive_buffer=4096) for _ in range(count)]
    for one in held:
        send_what_is_taken(one, data, 1.5)
    return held


def flooding(port, count, requests):
    """Pipelines small requests with large answers and reads nothing."""
    body = struct.pack(">i", -1)
    data = b"".join(frame(API_METADATA, 1, body, number) for number in range(requests))
    held = [connect(port, receive_buffer=4096) for _ in range(count)]
    for one in held:
        send_what_is_taken(one, data, 1)
    return held


def gone(port, count):
    """Peers that vanish without FIN or RST, a part of a frame sent; needs CAP_NET_ADMIN."""
    for number in range(count):
        one = connect(port)
        if number % 2:
            one.sendall(struct.pack(">i", 1000) + b"\0\3")
        one.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        one.close()


def fill_topic(node, mebibytes=32):
    data = batch([b"m" * 1_000_000])
    with Connection(node.port, timeout=30) as connection:
        error = connection.create_topic("much", 1, 30000)
        assert error == 0, f"topic: {error}"
        for _ in range(mebibytes):
            answer = connection.call(API_PRODUCE, 3, produce_body("much", 0, data))
            assert struct.unpack(">h", answer[18:20])[0] == 0, answer.hex()


def run(node, options):
    fill_topic(node)
    seconds = 20 if options.full else 4
    many = 4 if options.full else 1
    notes = {}

    def stalled_with_large():
        held = announced(node.port, 16, 20 << 20)
        notes["large_produce_s"] = round(large_produce(node, "much"), 2)
        return held

    attacks = {
        "announced 64 MiB, 5 kB sent": lambda: announced(node.port, 200 * many, 5000),
        "announced 64 MiB, 60 kB sent": lambda: announced(node.port, 400, 60_000),
        "announced 64 MiB, 20 MiB sent": stalled_with_large,
        "silent": lambda: [connect(node.port) for _ in range(500 * many)],
        "fetches never read": lambda: never_reading(node.port, 8 * many, 2000),
        "answers never read": lambda: flooding(node.port, 8 * many, 20000),
    }
    with Victim(node) as victim:
        victim.rest()
        # These go on beside all others; the node ends them by itself.
        dribblers = Dribblers(node.port, DRIBBLERS)
        try:
            gone(node.port, GONE)
        except PermissionError as error:
            notes["gone"] = f"skipped: {error}"
        for name, attack in attacks.items():
            if options.only in (None, name):
                victim.attack(name, attack, seconds, beside=DRIBBLERS + GONE)
        victim.attack("dribbling, gone", lambda: until_closed(dribblers, victim, notes), 1)
        victim.result["notes"] = notes
    return victim


def until_closed(dribblers, victim, notes):
    """Waits until the node has closed all of them."""
    most = FRAME_SECONDS + SLOW_MACHINE_SECONDS
    while dribblers.open and time.monotonic() - dribblers.began < most:
        time.sleep(0.1)
    if dribblers.open:
        victim.problems.append(f"{len(dribblers.open)} dribbling connections stay open")
    else:
        closed = (min(dribblers.closed_after), max(dribblers.closed_after))
        notes["dribblers_closed_after_s"] = [round(one, 1) for one in closed]
        if closed[0] < FRAME_SECONDS - 1:
            victim.problems.append(f"a dribbling connection was closed after {closed[0]:.1f} s")
    return [dribblers]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kafka", action="store_true")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--only")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="drave-hostile-")
    node = make_node("kafka" if options.kafka else "draved", folder, settings=SETTINGS)
    try:
        node.start()
        victim = run(node, options)
        print({name: victim.result[name] for name in ("rest", "notes")})
        node.check(node.stop())
        assert not victim.problems, "; ".join(victim.problems)
    finally:
        if node.running():
            node.kill()
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
