"""What a hostile client must not change: the node's life, its memory, its descriptors, and the times
of a well-behaved client."""
import math
import multiprocessing
import os
import signal
import statistics
import struct
import time
from pathlib import Path

from harness.wire import API_FETCH, API_PRODUCE, Connection, batch, string

# What an attack may take; ctest allows more (CMakeLists.txt), here and below.
MEMORY_ABOVE_REST_KIB = int(os.environ.get("HOSTILE_MEMORY_MIB", "64")) << 10
# What the p99 of others may become: so many times that at rest, plus the noise of a small machine that
# does other things too.
P99_FACTOR = float(os.environ.get("HOSTILE_P99_FACTOR", "2"))
SLACK_SECONDS = float(os.environ.get("HOSTILE_P99_SLACK_MS", "10")) / 1000
REST_SECONDS_MAX = 0.5  # what is slower at rest says nothing
ATTEMPTS = 3  # of an attack beside which the machine itself seems to be slow
SOCKETS_SECONDS = 30
RATE = 200  # requests per second of the well-behaved client
VALUE = b"v" * 1024
TOPIC = "behaved"


def produce_body(topic, partition, data, acks=-1, timeout_ms=30000):
    body = struct.pack(">hhi", -1, acks, timeout_ms) + struct.pack(">i", 1) + string(topic)
    return body + struct.pack(">iii", 1, partition, len(data)) + data


def fetch_body(topic, partition, offset, bytes_max=1 << 20, wait_ms=100, bytes_min=1):
    body = struct.pack(">iiiib", -1, wait_ms, bytes_min, bytes_max, 0)
    body += struct.pack(">i", 1) + string(topic)
    return body + struct.pack(">iiqi", 1, partition, offset, bytes_max)


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


def behave(port, pipe):
    """The process of the well-behaved client: produces and fetches in turn, each request at its
    intended time. Sends what it measured since the last question when it is asked."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = Connection(port, timeout=60)
    data, offset, measured = batch([VALUE]), 0, []
    intended = time.monotonic()
    while True:
        if pipe.poll(max(intended - time.monotonic(), 0)):
            if pipe.recv() == "stop":
                return
            pipe.send(measured)
            measured = []
            continue
        began = time.monotonic()
        answer = connection.call(API_PRODUCE, 3, produce_body(TOPIC, 0, data))
        at = 4 + 2 + len(TOPIC) + 4 + 4
        error, offset = struct.unpack(">hq", answer[at:at + 10])
        if error:
            raise SystemExit(f"the well-behaved client was told {error}")
        answer = connection.call(API_FETCH, 4, fetch_body(TOPIC, 0, offset, 4096))
        if len(answer) < 1024:
            raise SystemExit("a fetch found nothing of what was acknowledged")
        measured.append((began, (time.monotonic() - max(intended, began - 1)) / 2))
        intended = max(intended + 2 / RATE, time.monotonic() - 1)


class Victim:
    """A running node, watched. Use as a context manager."""

    def __init__(self, node):
        self.node = node
        with Connection(node.port, timeout=30) as connection:
            error = connection.create_topic(TOPIC, 1, 30000)
            assert error in (0, 36), f"{TOPIC} cannot be made: {error}"
        context = multiprocessing.get_context("fork")
        self.pipe, theirs = context.Pipe()
        self.client = context.Process(target=behave, args=(node.port, theirs), daemon=True)
        self.client.start()
        theirs.close()
        self.problems = []
        self.result = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.client.is_alive():
            try:
                self.pipe.send("stop")
            except OSError:
                pass
            self.client.join(5)
        if self.client.is_alive():
            self.client.kill()

    def rest(self, seconds=3.0):
        """Measures the node before anybody is hostile."""
        time.sleep(1)
        self._collect()
        time.sleep(seconds)
        self.rest_p99 = min(self._p99(self._collect()), REST_SECONDS_MAX)
        self.rest_kib = self.node.resident_kib()
        self.rest_sockets = self.sockets()
        self.result["rest"] = {"p99_ms": round(self.rest_p99 * 1e3, 2),
                               "rss_mib": self.rest_kib >> 10, "sockets": self.rest_sockets}

    def _collect(self):
        try:
            self.pipe.send("measured")
            if self.pipe.poll(60):
                return self.pipe.recv()
        except (OSError, EOFError):
            pass
        raise AssertionError("the well-behaved client ended or hangs")

    @staticmethod
    def _p99(measured):
        """The median over windows of a second of each window's p99."""
        windows = {}
        for began, latency in measured:
            windows.setdefault(int(began - measured[0][0]), []).append(latency)
        tails = [percentile(window, 0.99) for window in windows.values() if len(window) >= 5]
        return statistics.median(tails) if tails else math.inf

    def sockets(self):
        count = 0
        for entry in os.scandir(f"/proc/{self.node.pid}/fd"):
            try:
                count += os.readlink(entry.path).startswith("socket:")
            except OSError:
                pass
        return count

    def attack(self, name, action, seconds=4.0, beside=0):
        """Runs `action`, which returns what to close afterwards; watches for `seconds` while that is
        held open, closes it, and waits for the node's sockets to go back to those at rest and
        `beside` more. When the times of others are bad it is tried again, beside a new look at
        them at rest: a slow node is slow each time, a machine that was busy is not."""
        for attempt in range(ATTEMPTS):
            p99, problems = self._attack_once(name, action, seconds, beside)
            if problems or p99 <= P99_FACTOR * self.rest_p99 + SLACK_SECONDS:
                break
            problems = [f"{name}: p99 of others {p99 * 1e3:.1f} ms, "
                        f"at rest {self.rest_p99 * 1e3:.1f} ms"]
            if attempt + 1 < ATTEMPTS:
                self._collect()
                time.sleep(3)
                again = min(self._p99(self._collect()), REST_SECONDS_MAX)
                self.rest_p99 = max(self.rest_p99, again)
        self.problems += problems

    def _attack_once(self, name, action, seconds, beside):
        """(p99 of others, other problems)"""
        began, problems = time.monotonic(), []
        self._collect()
        forget_peak(self.node.pid)
        held = action() or []
        while time.monotonic() - began < seconds:
            self._alive(name)
            time.sleep(0.05)
        measured = self._collect()
        p99, worst = self._p99(measured), max((one[1] for one in measured), default=math.inf)
        for one in held:
            one.close()
        left = self._wait_sockets(self.rest_sockets + beside)
        peak = peak_kib(self._alive(name).pid)
        self.result[name] = {"p99_ms": round(p99 * 1e3, 2), "rest_p99_ms": round(self.rest_p99 * 1e3, 2),
                             "worst_ms": round(worst * 1e3, 1),
                             "above_rest_mib": round((peak - self.rest_kib) / 1024, 1),
                             "sockets_left": left}
        print(f"{name}: {self.result[name]}", flush=True)
        if peak - self.rest_kib > MEMORY_ABOVE_REST_KIB:
            problems.append(f"{name}: {(peak - self.rest_kib) >> 10} MiB above rest")
        if left > 0:
            problems.append(f"{name}: {left} sockets were not closed")
        return p99, problems

    def _alive(self, name):
        assert self.node.running(), f"the node died in {name}:\n{self.node.tail(20)}"
        return self.node

    def _wait_sockets(self, most):
        """Sockets above `most` when the node has had time to see that its peers are gone."""
        end = time.monotonic() + SOCKETS_SECONDS
        while time.monotonic() < end and self.sockets() > most:
            time.sleep(0.05)
        return max(self.sockets() - most, 0)


def forget_peak(pid):
    """From now on VmHWM counts anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_kib(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise AssertionError("no VmHWM")


def descriptors(pid):
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
