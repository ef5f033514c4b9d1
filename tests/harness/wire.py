"""Just enough of the Kafka protocol to see a node answer, make a topic and have a record taken,
without a client's caches and back-offs in between. Old, inflexible versions where there are any."""
import socket
import struct
import time

API_PRODUCE, API_FETCH, API_LIST_OFFSETS, API_METADATA = 0, 1, 2, 3
API_VERSIONS, API_CREATE_TOPICS, API_DELETE_TOPICS, API_DESCRIBE_QUORUM = 18, 19, 20, 55
NONE, TOPIC_ALREADY_EXISTS = 0, 36


def _crc_table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ 0x82F63B78 if value & 1 else value >> 1
        table.append(value)
    return table


CRC_TABLE = _crc_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 255] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def string(text):
    data = text.encode()
    return struct.pack(">h", len(data)) + data


def varint(value):
    value = (value << 1) ^ (value >> 63)
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def batch(values):
    """A record batch v2 without compression, key or producer id; the CRC is right."""
    records = b""
    for at, value in enumerate(values):
        record = b"\0" + varint(0) + varint(at) + varint(-1) + varint(len(value)) + value + b"\0"
        records += varint(len(record)) + record
    now = int(time.time() * 1000)
    body = struct.pack(">hiqqqhii", 0, len(values) - 1, now, now, -1, -1, -1, len(values)) + records
    return struct.pack(">qiibI", 0, len(body) + 9, -1, 2, crc32c(body)) + body


class Connection:
    """One connection, one request at a time. OSError when the node is away or hangs up."""

    def __init__(self, port, host="127.0.0.1", timeout=5):
        self.socket = socket.create_connection((host, port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.correlation = 0

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _read(self, size):
        data = b""
        while len(data) < size:
            piece = self.socket.recv(size - len(data))
            if not piece:
                raise ConnectionError("the node closed the connection")
            data += piece
        return data

    def send(self, key, version, body):
        """Its correlation id."""
        self.correlation += 1
        frame = struct.pack(">hhi", key, version, self.correlation) + string("harness") + body
        self.socket.sendall(struct.pack(">i", len(frame)) + frame)
        return self.correlation

    def receive(self):
        """(correlation id, the answer after it)"""
        answer = self._read(struct.unpack(">i", self._read(4))[0])
        return struct.unpack(">i", answer[:4])[0], answer[4:]

    def call(self, key, version, body):
        """The answer after its correlation id."""
        sent = self.send(key, version, body)
        correlation, answer = self.receive()
        if correlation != sent:
            raise ConnectionError("an answer to another request")
        return answer

    def api_versions(self):
        """{api key: (lowest, highest version)}"""
        answer = self.call(API_VERSIONS, 0, b"")
        error, count = struct.unpack(">hi", answer[:6])
        if error:
            raise OSError(f"ApiVersions: error {error}")
        rows = [struct.unpack(">hhh", answer[6 + 6 * i:12 + 6 * i]) for i in range(count)]
        return {key: (low, high) for key, low, high in rows}

    def call_flexible(self, key, version, body):
        """As call(), with the headers of flexible versions."""
        self.correlation += 1
        frame = struct.pack(">hhi", key, version, self.correlation) + string("harness") + b"\0" + body
        self.socket.sendall(struct.pack(">i", len(frame)) + frame)
        answer = self._read(struct.unpack(">i", self._read(4))[0])
        if struct.unpack(">i", answer[:4])[0] != self.correlation:
            raise ConnectionError("an answer to another request")
        return answer[5:]

    def quorum_leader(self):
        """The id of the metadata quorum's leader; -1: the node does not know, or could not ask."""
        topic = b"__cluster_metadata"
        body = b"\2" + bytes([len(topic) + 1]) + topic + b"\2" + struct.pack(">i", 0) + b"\0\0\0"
        answer = self.call_flexible(API_DESCRIBE_QUORUM, 0, body)
        if struct.unpack(">h", answer[:2])[0]:
            return -1
        at = 2 + 1 + 1 + len(topic) + 1 + 4  # one topic, its name, one partition, its index
        partition_error, leader = struct.unpack(">hi", answer[at:at + 6])
        return leader if partition_error == 0 else -1

    def create_topic(self, name, partitions=1, timeout_ms=3000, configs=None):
        """The error code."""
        body = struct.pack(">i", 1) + string(name) + struct.pack(">ihi", partitions, 1, 0)
        configs = configs or {}
        body += struct.pack(">i", len(configs))
        for key, value in configs.items():
            body += string(key) + string(value)
        body += struct.pack(">ib", timeout_ms, 0)
        answer = self.call(API_CREATE_TOPICS, 2, body)
        at = 4 + 4 + 2 + len(name.encode())
        return struct.unpack(">h", answer[at:at + 2])[0]

    def delete_topic(self, name, timeout_ms=30000):
        """The error code."""
        body = struct.pack(">i", 1) + string(name) + struct.pack(">i", timeout_ms)
        answer = self.call(API_DELETE_TOPICS, 1, body)
        at = 4 + 4 + 2 + len(name.encode())
        return struct.unpack(">h", answer[at:at + 2])[0]

    def send_produce(self, topic, partition, values, acks=-1, timeout_ms=3000):
        """The correlation id."""
        data = batch(values)
        body = struct.pack(">hhi", -1, acks, timeout_ms) + struct.pack(">i", 1) + string(topic)
        body += struct.pack(">iii", 1, partition, len(data)) + data
        return self.send(API_PRODUCE, 3, body)

    def receive_produce(self, topic):
        """(error code, base offset)"""
        answer = self.receive()[1]
        at = 4 + 2 + len(topic.encode()) + 4 + 4
        return struct.unpack(">hq", answer[at:at + 10])

    def produce(self, topic, partition, values, acks=-1, timeout_ms=3000):
        """(error code, base offset)"""
        self.send_produce(topic, partition, values, acks, timeout_ms)
        return self.receive_produce(topic)

    def send_fetch(self, topic, partition, offset=0, bytes_max=1 << 20, wait_ms=100):
        """The correlation id."""
        body = struct.pack(">iiiib", -1, wait_ms, 1, bytes_max, 0)
        body += struct.pack(">i", 1) + string(topic)
        body += struct.pack(">iiqi", 1, partition, offset, bytes_max)
        return self.send(API_FETCH, 4, body)

    def fetch_batches(self, topic, partition, offset=0, bytes_max=1 << 20, wait_ms=100):
        """What is there from `offset`: a dict per batch with base_offset, attributes, codec,
        producer_id and count. OSError on an error code."""
        self.send_fetch(topic, partition, offset, bytes_max, wait_ms)
        answer = self.receive()[1]
        at = 4 + 4 + 2 + len(topic.encode()) + 4 + 4
        error = struct.unpack(">h", answer[at:at + 2])[0]
        if error:
            raise OSError(f"Fetch: error {error}")
        at += 2 + 8 + 8
        aborted = struct.unpack(">i", answer[at:at + 4])[0]
        at += 4 + 16 * max(aborted, 0)
        size = struct.unpack(">i", answer[at:at + 4])[0]
        return list(batches(answer[at + 4:at + 4 + max(size, 0)]))


CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


def batches(data):
    """The headers of the complete record batches at the head of `data`."""
    at = 0
    while at + 61 <= len(data):
        base, size = struct.unpack(">qi", data[at:at + 12])
        if at + 12 + size > len(data):
            break
        attributes, producer, count = struct.unpack(">h20xq6xi", data[at + 21:at + 61])
        yield {"base_offset": base, "attributes": attributes, "codec": CODECS[attributes & 7],
               "producer_id": producer, "count": count}
        at += 12 + size
