#!/usr/bin/env python3
"""Writes the corpus of dispatcher_fuzz: requests of Kafka's (tests/vectors), and requests of ours about
the topic that the target makes.

  dispatcher_corpus.py [FOLDER]      default: tests/fuzz/corpus/dispatcher_fuzz
"""
import struct
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "hostile")]
from harness.wire import batch, string  # noqa: E402
from seeds import seeds_of  # noqa: E402

# What the node serves, with the highest versions: broker/api_table.cc.
SERVED = {0: 13, 1: 17, 2: 10, 3: 13, 10: 6, 18: 4, 19: 7, 20: 6, 21: 2, 22: 5, 23: 4, 32: 4, 33: 2,
          35: 4, 37: 3, 44: 1, 55: 2, 57: 2, 60: 2, 61: 0, 75: 0}
TOPIC_ID = b"\xee" * 16
FILE_BYTES_MAX = 4000


def request(key, version, body):
    return struct.pack(">BBH", key, version, len(body)) + body


def compact(data):
    assert len(data) < 127
    return bytes([len(data) + 1]) + data


def array(*items):
    return struct.pack(">i", len(items)) + b"".join(items)


def produce(data, acks=-1, partition=0):
    rows = array(struct.pack(">ii", partition, len(data)) + data)
    return request(0, 3, struct.pack(">hhi", -1, acks, 1000) + array(string("topic") + rows))


def produce_by_id(data):
    assert len(data) + 1 < 1 << 14
    size = bytes([(len(data) + 1) & 127 | 128, (len(data) + 1) >> 7])
    row = struct.pack(">i", 1) + size + data + b"\0"
    topic = TOPIC_ID + b"\2" + row + b"\0"
    return request(0, 13, b"\0" + struct.pack(">hi", -1, 1000) + b"\2" + topic + b"\0")


def fetch(offset, wait=0, isolation=0, partitions=(0, 1)):
    rows = array(*(struct.pack(">iqi", one, offset, 1 << 20) for one in partitions))
    return request(1, 4, struct.pack(">iiiib", -1, wait, 1, 1 << 20, isolation)
                   + array(string("topic") + rows))


def fetch_session(session, epoch):
    row = struct.pack(">iiqiqi", 0, -1, 0, -1, -1, 1 << 16) + b"\0"
    topic = TOPIC_ID + b"\2" + row + b"\0"
    return request(1, 13, struct.pack(">iiiibii", -1, 10, 1, 1 << 20, 0, session, epoch)
                   + b"\2" + topic + b"\0" + b"\1" + b"\1" + b"\0")


def list_offsets(*timestamps):
    rows = array(*(struct.pack(">iq", 0, one) for one in timestamps))
    return request(2, 1, struct.pack(">i", -1) + array(string("topic") + rows))


def create(name, partitions=1, *configs):
    rows = array(*(string(key) + string(value) for key, value in configs))
    body = string(name) + struct.pack(">ih", partitions, 1) + array() + rows
    return request(19, 2, array(body) + struct.pack(">ib", 1000, 0))


def of_ours():
    data = batch([b"value" * 3, b""])
    idempotent = bytearray(data)
    idempotent[43:57] = struct.pack(">qhi", 1000, 0, 0)
    bad_crc = data[:20] + b"\1" + data[21:]
    yield "produce-fetch", produce(data) + produce(data, 1, 1) + fetch(0) + fetch(2)
    yield "produce-unacked", produce(data, 0) + list_offsets(-1)
    yield "produce-refused", produce(bad_crc) + produce(data, -1, 7) + produce(b"") + produce(data, 5)
    yield "produce-idempotent", produce(bytes(idempotent)) * 2
    yield "produce-by-id", produce_by_id(data) * 3
    yield "unacked-refused", produce(bad_crc, 0) + produce(data)
    yield "fetch-parked", fetch(1 << 40) + fetch(0, 30000) + fetch(1000000, 30000)
    yield "fetch-committed", produce(data) + fetch(0, 0, 1)
    yield "fetch-sessions", fetch_session(0, 0) + fetch_session(256, 1) + fetch_session(0, -1)
    yield "offsets", list_offsets(-1, -2, -3, 0, 1 << 60)
    yield "topics", create("other") + create("topic") + create("bad name") + create("a" * 300) \
        + create("compacted", 2, ("cleanup.policy", "compact"), ("segment.bytes", "1048576")) \
        + request(20, 1, array(string("other"), string("unknown")) + struct.pack(">i", 1000))
    yield "topics-many", create("many", 2147483647) + create("none", 0) + create("minus", -2)
    rows = array(struct.pack(">iq", 0, 1), struct.pack(">iq", 1, -1), struct.pack(">iq", 5, 0))
    yield "delete-records", produce(data) + request(21, 0, array(string("topic") + rows)
                                                    + struct.pack(">i", 1000)) + fetch(0)
    yield "partitions", request(37, 0, array(string("topic") + struct.pack(">ii", 3, -1))
                                + struct.pack(">ib", 1000, 0))
    yield "epochs", request(23, 2, array(string("topic") + array(struct.pack(">iii", 0, -1, 0))))
    yield "producers", request(61, 0, b"\2" + compact(b"topic") + b"\2" + struct.pack(">i", 0)
                               + b"\0\0")
    yield "configs", request(32, 1, array(b"\2" + string("topic") + struct.pack(">i", -1),
                                          b"\4" + string("1") + struct.pack(">i", -1)) + b"\1")
    change = array(string("retention.ms") + b"\0" + string("1"),
                   string("cleanup.policy") + b"\2" + string("compact"))
    yield "alter-configs", request(44, 0, array(b"\2" + string("topic") + change) + b"\0")
    yield "describe", request(3, 1, struct.pack(">i", -1)) + request(35, 0, struct.pack(">i", -1)) \
        + request(75, 0, b"\2" + compact(b"topic") + b"\0" + struct.pack(">i", 100) + b"\xff\0")
    yield "pipelined", request(3, 1, struct.pack(">i", -1)) * 30


def main():
    here = Path(__file__).resolve().parent
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else here / "corpus" / "dispatcher_fuzz"
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in of_ours():
        (folder / f"ours-{name}").write_bytes(b"\0" + data)
    good, bad = seeds_of({key: (0, high) for key, high in SERVED.items()}, 3)
    by_key = {}
    for seed in good:
        by_key.setdefault(seed.key, []).append(seed)
    for key, seeds in by_key.items():
        out, part = b"\0", 0
        for seed in sorted(seeds, key=lambda seed: seed.version):
            one = request(key, seed.version, seed.body)
            if len(out) > 1 and len(out) + len(one) > FILE_BYTES_MAX:
                (folder / f"kafka-{key}-{part}").write_bytes(out)
                out, part = b"\0", part + 1
            out += one
        (folder / f"kafka-{key}-{part}").write_bytes(out)
    refused = b"\0" + b"".join(request(seed.key, seed.version, seed.body) for seed in bad[:1])
    (folder / "kafka-refused").write_bytes(refused)
    (folder / "raw").write_bytes(b"\1" + good[0].frame(1) + struct.pack(">i", -1))
    (folder / "raw-length").write_bytes(b"\1" + struct.pack(">i", 64 << 20) + b"\0" * 600)


if __name__ == "__main__":
    main()
