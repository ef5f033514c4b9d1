"""Numbered records from an idempotent acks=all producer, and the count of what became of them."""
import array
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

SECONDS = 120
FILLING = b"x" * 91


def client_settings(bootstrap):
    return {"bootstrap.servers": bootstrap, "broker.address.family": "v4", "log_level": 0,
            "reconnect.backoff.ms": 10, "reconnect.backoff.max.ms": 200}


def read_all(bootstrap, topic, partition, start=0):
    """(offset, value) of each record of a partition from `start` to its end as it is now."""
    consumer = Consumer({**client_settings(bootstrap), "group.id": "unused",
                         "enable.auto.commit": False, "enable.partition.eof": True,
                         "auto.offset.reset": "error", "check.crcs": True})
    consumer.assign([TopicPartition(topic, partition, start)])
    end = time.monotonic() + SECONDS
    try:
        while time.monotonic() < end:
            for message in consumer.consume(1000, timeout=1):
                if not message.error():
                    yield message.offset(), message.value()
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    return
                else:
                    raise KafkaException(message.error())
        raise TimeoutError(f"{topic}-{partition} was not read within {SECONDS} s")
    finally:
        consumer.close()


class NumberedLoad:
    """Record n goes to partition n mod `partitions`. Call produce() until it is done, with the
    node dying as it may, then verify()."""

    def __init__(self, bootstrap, topic, partitions=8):
        self.bootstrap, self.topic, self.partitions = bootstrap, topic, partitions
        self.sent = self.acked = self.failed = 0
        # Per partition, in the order of acknowledgement.
        self.offsets = [array.array("q") for _ in range(partitions)]
        self.numbers = [array.array("q") for _ in range(partitions)]
        self.first_error = None
        admin = AdminClient(client_settings(bootstrap))
        admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(20)
        self.producer = Producer({
            **client_settings(bootstrap), "acks": "all", "enable.idempotence": True, "linger.ms": 1,
            "message.timeout.ms": SECONDS * 1000, "queue.buffering.max.messages": 20000})

    def _delivered(self, error, message):
        if error:
            self.failed += 1
            self.first_error = self.first_error or str(error)
            return
        self.acked += 1
        self.offsets[message.partition()].append(message.offset())
        self.numbers[message.partition()].append(int(message.value()[:9]))

    def produce(self, count):
        """Sends `count` more; returns after each poll so that the caller can kill: a generator."""
        goal = self.sent + count
        while self.sent < goal:
            try:
                self.producer.produce(self.topic, value=b"%09d" % self.sent + FILLING,
                                      partition=self.sent % self.partitions,
                                      on_delivery=self._delivered)
                self.sent += 1
            except BufferError:
                self.producer.poll(0.05)
                yield
            if self.sent % 64 == 0:
                self.producer.poll(0)
                yield
        end = time.monotonic() + SECONDS
        while self.producer.flush(0.05) and time.monotonic() < end:
            yield

    def verify(self):
        """Reads all back. The counts; `ok` when each acknowledged record is there once, at its
        offset, in order, and nothing failed."""
        lost = doubled = disordered = misplaced = read = 0
        for partition in range(self.partitions):
            numbers, at = [], {}
            for offset, value in read_all(self.bootstrap, self.topic, partition):
                numbers.append(int(value[:9]))
                at[offset] = numbers[-1]
            read += len(numbers)
            there = set(numbers)
            lost += sum(number not in there for number in self.numbers[partition])
            misplaced += sum(at.get(offset, number) != number for offset, number in
                             zip(self.offsets[partition], self.numbers[partition]))
            doubled += len(numbers) - len(there)
            disordered += sum(a > b for a, b in zip(numbers, numbers[1:]))
        wrong = lost + doubled + disordered + misplaced + self.failed
        return {"ok": wrong == 0 and self.acked == self.sent, "sent": self.sent,
                "acked": self.acked, "failed": self.failed, "read": read, "lost": lost,
                "doubled": doubled, "disordered": disordered, "misplaced": misplaced,
                "first_error": self.first_error}
