"""Requests as Kafka writes them (tests/vectors), and what a hostile client makes of them."""
import json
import os
import struct
import tarfile
from pathlib import Path

from harness.wire import string

VECTORS = Path(__file__).resolve().parents[1] / "vectors"
KINDS = ("small", "full", "edge", "default", "null")
BYTES_MAX = 4096


def request_files():
    """(name, text) of each file of requests."""
    folder = os.environ.get("DRAVE_VECTORS")
    if folder and (Path(folder) / "messages").is_dir():
        for path in sorted((Path(folder) / "messages").glob("*Request.jsonl")):
            yield path.name, path.read_text()
        return
    with tarfile.open(VECTORS / "messages.tar.xz") as archive:
        for member in archive:
            if member.name.endswith("Request.jsonl"):
                yield member.name, archive.extractfile(member).read().decode()


class Seed:
    def __init__(self, row):
        self.key, self.version, self.mode = row["key"], row["version"], row["mode"]
        self.name, self.header, self.body = row["id"], row["header"], bytes.fromhex(row["hex"])

    def frame(self, correlation, body=None):
        """With its length, ready to be sent."""
        head = struct.pack(">hhi", self.key, self.version, correlation) + string("hostile")
        rest = head + b"\0" * (self.header == 2) + (self.body if body is None else body)
        return struct.pack(">i", len(rest)) + rest


def seeds_of(versions, per_version=2):
    """Up to `per_version` well-formed requests of each version in `versions` ({key: (low, high)}),
    and every one that Kafka refuses to read."""
    good, bad, taken = [], [], {}
    for _, text in request_files():
        rows = [json.loads(line) for line in text.split("\n") if line]
        rows.sort(key=lambda row: KINDS.index(row["kind"]) if row["kind"] in KINDS else len(KINDS))
        for row in rows:
            low, high = versions.get(row["key"], (0, -1))
            if not low <= row["version"] <= high:
                continue
            seed = Seed(row)
            if seed.mode == "reject":
                bad.append(seed)
            elif len(seed.body) <= BYTES_MAX and taken.get((seed.key, seed.version), 0) < per_version:
                taken[seed.key, seed.version] = taken.get((seed.key, seed.version), 0) + 1
                good.append(seed)
    return good, bad


WRONG = [struct.pack(">i", value) for value in (-1, -2, -(1 << 31), (1 << 31) - 1, 1 << 24)]
WRONG += [struct.pack(">h", value) for value in (-2, 32767, -32768)]
WRONG += [b"\xff\xff\xff\xff\x0f", b"\xff\xff\xff\xff\x07", b"\x80\x80\x80\x80\x80\x80", b"\xff\x7f"]


def truncations(body, random, count):
    """Heads of a body, the shortest and longest among them."""
    cuts = set(range(len(body)))
    if len(cuts) > count:
        cuts = {0, 1, len(body) - 1} | set(random.sample(range(len(body)), count - 3))
    return [body[:cut] for cut in sorted(cuts)]


def mutations(body, random, count):
    """Bodies with lengths, counts and bytes that lie."""
    for number in range(count):
        out = bytearray(body)
        for _ in range(random.choice((1, 1, 1, 2, 4))):
            at = random.randrange(len(out) + 1)
            if number % 4 == 3:
                out[at:at + 1] = random.randbytes(1)
            else:
                wrong = random.choice(WRONG)
                # In place of what was there, or between.
                out[at:at + (len(wrong) if number % 2 else 0)] = wrong
        if number % 8 == 7:
            out += random.randbytes(random.randrange(1, 400))
        yield bytes(out)
