#!/usr/bin/env python3
"""Drave and genuine Kafka side by side: the macro table, medians over rounds in one run.

  benchmarks/macro/compare.py                    the whole table: 5 rounds of 60 s (about 3 hours)
  benchmarks/macro/compare.py --quick            one round of 3 s, to see that it works
  benchmarks/macro/compare.py --cases 'open|64'  only the cases whose name matches
  benchmarks/macro/compare.py --no-kafka         only Drave
  benchmarks/macro/compare.py -o results.json    every single measurement as well

Ours always flushes before it acknowledges (its default). Kafka runs twice: `flushed` with
flush.messages=1, `cache` as it comes. Within a round the three alternate case by case, each in turn
beside the idle other, on topics of their own that are deleted afterwards; dirty pages are written out
in between. Cases that compare numbers of partitions have nodes and folders of their own and a longer
warm-up: making a thousand files where thousands were just deleted takes ext4 seconds. Needs the
release build (draved, drave-load, disk-probe) and Kafka's jars (tests/prepare).
"""
import argparse
import datetime
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from harness.node import Draved, GenuineKafka, draved_binary  # noqa: E402
from harness.wire import Connection  # noqa: E402

# name: (load mode, arguments, which of Kafka's two it is measured against)
CASES = {
    "1 x 1 KiB, 16 connections":
        ("produce", "--partitions 6 --connections 16 --in-flight 1 --records 1 --size 1024"),
    "1 x 1 KiB, 64 connections, 4 in flight":
        ("produce", "--partitions 6 --connections 64 --in-flight 4 --records 1 --size 1024"),
    "16 x 1 KiB, 8 connections, 4 in flight":
        ("produce", "--partitions 6 --connections 8 --in-flight 4 --records 16 --size 1024"),
    "1000 x 100 B, 4 connections, 4 in flight":
        ("produce", "--partitions 6 --connections 4 --in-flight 4 --records 1000 --size 100"),
    "1 x 1 KiB, one partition, 64 connections, 4 in flight":
        ("produce", "--partitions 1 --connections 64 --in-flight 4 --records 1 --size 1024"),
    "1 x 1 KiB, 1,000 partitions, 64 connections, 4 in flight":
        ("produce", "--partitions 1000 --connections 64 --in-flight 4 --records 1 --size 1024"),
    "open loop 500/s, 1 KiB":
        ("produce", "--partitions 6 --connections 8 --records 1 --size 1024 --rate 500"),
    "open loop 3,000/s, 1 KiB":
        ("produce", "--partitions 6 --connections 8 --records 1 --size 1024 --rate 3000"),
    "fetch 1 MiB, 2 connections":
        ("fetch", "--partitions 6 --connections 2 --bytes 1048576"),
    "fetch 16 KiB, 8 connections":
        ("fetch", "--partitions 6 --connections 8 --bytes 16384"),
}
FETCH_FILL_SECONDS = 4
# On fresh folders, after so many seconds of warm-up at least.
FRESH = re.compile("partitions?, ")
FRESH_WARM_SECONDS = 10
TOPIC_CONFIGS = {"file.delete.delay.ms": "1000", "segment.bytes": "268435456"}
SECTOR = 512


class Disk:
    """The device under a folder, as /proc/diskstats knows it."""

    def __init__(self, folder):
        device = os.stat(folder).st_dev
        self.numbers = (os.major(device), os.minor(device))

    def _fields(self):
        for line in Path("/proc/diskstats").read_text().splitlines():
            fields = line.split()
            if (int(fields[0]), int(fields[1])) == self.numbers:
                return fields
        return None

    def written(self):
        """Bytes written to it since the machine started; 0 where that is not known."""
        fields = self._fields()
        return int(fields[9]) * SECTOR if fields else 0

    def name(self):
        fields = self._fields()
        return fields[2] if fields else "?"


class Subject:
    """One of the three that are compared: a node, and the configuration of its topics."""

    def __init__(self, name, node, configs):
        self.name, self.node, self.configs = name, node, configs
        self.topics = 0

    def topic(self, partitions):
        self.topics += 1
        name = f"load-{self.name.replace(' ', '-')}-{self.topics}".lower()
        with Connection(self.node.port, timeout=60) as connection:
            error = connection.create_topic(name, partitions, timeout_ms=30000,
                                            configs=TOPIC_CONFIGS | self.configs)
            assert error == 0, f"{self.name}: CreateTopics answers {error}"
            for partition in range(partitions):
                self.until_it_takes_records(connection, name, partition)
        return name

    def until_it_takes_records(self, connection, topic, partition, seconds_max=60):
        end = time.monotonic() + seconds_max
        while True:
            error, _ = connection.produce(topic, partition, [b"first"])
            if error == 0:
                return
            assert time.monotonic() < end, f"{self.name}: {topic}-{partition} answers {error}"
            time.sleep(0.01)

    def drop(self, topic):
        with Connection(self.node.port, timeout=60) as connection:
            connection.delete_topic(topic)


def counters(node):
    """Drave's counters at this moment; {} for a node without a metrics page."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{node.http_port}/metrics", timeout=5) as page:
            text = page.read().decode()
    except OSError:
        return {}
    found = {}
    for name, value in re.findall(r"^(drave_\w+_total)(?:\{[^}]*\})? (\S+)", text, re.M):
        found[name] = found.get(name, 0) + float(value)
    return found


class Runner:
    def __init__(self, options):
        self.options = options
        self.bin = draved_binary().parent
        self.folder = Path(tempfile.mkdtemp(prefix="drave-compare-", dir=options.dir))
        self.disk = Disk(self.folder)
        self.rows = []
        self.disk_probes = []

    def load(self, subject, topic, mode, arguments, seconds, warm):
        command = [self.bin / "drave-load", mode, "--address", subject.node.bootstrap, "--topic",
                   topic, "--pid", subject.node.pid, "--seconds", seconds, "--warm", warm,
                   *arguments.split()]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{subject.name}: {done.stderr.strip()}\n{subject.node.tail()}")
        return json.loads(done.stdout)

    def measure(self, subject, case):
        mode, arguments = CASES[case]
        options = self.options
        is_short = options.quick or not FRESH.search(case)
        warm = options.warm if is_short else max(options.warm, FRESH_WARM_SECONDS)
        partitions = int(re.search(r"--partitions (\d+)", arguments)[1])
        topic = subject.topic(partitions)
        if mode == "fetch":
            fill = f"--partitions {partitions} --connections 4 --in-flight 4 --records 100 --size 1000"
            self.load(subject, topic, "produce", fill, FETCH_FILL_SECONDS, 0)
        os.sync()
        before, counted = self.disk.written(), counters(subject.node)
        result = self.load(subject, topic, mode, arguments, options.seconds, warm)
        after = counters(subject.node)
        os.sync()  # what is still in the page cache was written for these requests, too
        written = self.disk.written() - before
        share = result["seconds"] / (result["seconds"] + warm)
        if mode == "produce" and result["bytes"]:
            result["written_per_byte"] = round(written * share / result["bytes"], 2)
        # Counters span the warm-up, too.
        requests = result["requests"] / share
        result["per_request"] = {name: round((value - counted.get(name, 0)) / requests, 4)
                                 for name, value in after.items() if requests}
        result["counted"] = {name: value - counted.get(name, 0) for name, value in after.items()}
        subject.drop(topic)
        return result

    def probe(self, case):
        """The disk one write after the other, and as often as the case asks for one."""
        rate = re.search(r"--rate (\d+)", CASES[case][1])[1]
        for arguments in (["1"], ["2", "4096", rate]):
            done = subprocess.run([str(self.bin / "disk-probe"), str(self.folder), *arguments],
                                  capture_output=True, text=True)
            probe = json.loads(done.stdout) if done.returncode == 0 else {"error": done.stderr.strip()}
            self.disk_probes.append(probe)
        return self.disk_probes[-2:]

    def round(self, number):
        usual = [case for case in self.options.chosen if not FRESH.search(case)]
        if usual:
            self.run_cases(number, str(number), usual)
        for i, case in enumerate(case for case in self.options.chosen if FRESH.search(case)):
            self.run_cases(number, f"{number}-{i}", [case])

    def run_cases(self, number, name, cases):
        """Some cases on nodes of their own."""
        drave = Draved(self.folder / f"drave-{name}", settings={"num.partitions": "1"})
        subjects, nodes = [], [drave]
        nodes[0].start()
        subjects.append(Subject("Drave", drave, {}))
        if not self.options.no_kafka:
            kafka = GenuineKafka(self.folder / f"kafka-{name}", heap=self.options.heap)
            kafka.start()
            nodes.append(kafka)
            subjects.append(Subject("Kafka flushed", kafka, {"flush.messages": "1"}))
            subjects.append(Subject("Kafka cache", kafka, {}))
        try:
            for case in cases:
                for subject in subjects if number % 2 == 0 else reversed(subjects):
                    probe = self.probe(case) if "open" in case else []
                    row = {"round": number, "broker": subject.name, "case": case}
                    row.update(self.measure(subject, case), probe=probe)
                    self.rows.append(row)
                    self.progress(row)
        finally:
            for node in nodes:
                node.stop(60)
                shutil.rmtree(node.data, ignore_errors=True)

    def progress(self, row):
        print(f"  round {row['round'] + 1} {row['broker']:13} {row['case']:52} "
              f"{row['req_s']:>9,} req/s {row['MB_s']:>7} MB/s p50 {row['p50_us']:>7} us "
              f"p99 {row['p99_us']:>7} us errors {row['errors']} {row['last_error'] or ''}", file=sys.stderr, flush=True)

    def start_times(self, kind, number):
        """A fresh node: milliseconds from exec to the first acknowledged record, then its memory."""
        node = kind(self.folder / f"start-{kind.kind}-{number}")
        node.command()  # formatting is not part of starting
        began = time.monotonic()
        node.start(wait=False)
        first = first_acknowledged(node, began)
        time.sleep(3)
        resident = node.resident_kib() / 1024
        began = time.monotonic()
        node.stop(60)
        result = {"first_ack_ms": round(first * 1000, 1), "rss_mib": round(resident, 1),
                  "stop_ms": round((time.monotonic() - began) * 1000, 1)}
        shutil.rmtree(node.folder, ignore_errors=True)
        return result


def first_acknowledged(node, began, seconds_max=60):
    """Tries a topic and a record every half millisecond."""
    created = False
    while time.monotonic() - began < seconds_max:
        try:
            with Connection(node.port) as connection:
                if not created:
                    created = connection.create_topic("first") in (0, 36)
                if created and connection.produce("first", 0, [b"x"])[0] == 0:
                    return time.monotonic() - began
        except OSError:
            if not node.running():
                raise node.failed("exited")
        time.sleep(0.0005)
    raise node.failed("acknowledges nothing")


def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def table(rows, chosen):
    brokers = [b for b in ("Drave", "Kafka flushed", "Kafka cache") if any(r["broker"] == b for r in rows)]
    lines = ["| case | broker | req/s | MB/s | p50 / p99 / p99.9 ms | CPU per request | CPU per GB "
             "| written per byte | RSS |", "|---|---|---|---|---|---|---|---|---|"]
    for case in chosen:
        for broker in brokers:
            mine = [r for r in rows if r["case"] == case and r["broker"] == broker]
            if not mine:
                continue

            def of(key):
                return median([r.get(key) for r in mine])

            errors = sum(r["errors"] for r in mine)
            written = of("written_per_byte")
            lines.append(
                f"| {case} | {broker} | {of('req_s'):,.0f} | {of('MB_s'):,.0f} | "
                f"{of('p50_us') / 1e3:.2f} / {of('p99_us') / 1e3:.2f} / {of('p999_us') / 1e3:.2f} | "
                f"{of('cpu_us_per_req'):.1f} us | {of('cpu_s_per_GB'):.2f} s | "
                f"{'' if written is None else written} | {of('rss_mib'):.0f} MiB |"
                + (f" {errors} errors" if errors else ""))
    return "\n".join(lines)


WORK = re.compile("enter|flush|copied|copies|group|punt|recycled")


def work_table(rows, chosen):
    """What Drave's own counters say of the work behind a request."""
    lines = []
    for case in chosen:
        mine = [r["per_request"] for r in rows if r["case"] == case and r.get("per_request")]
        names = sorted({name for row in mine for name in row if WORK.search(name)})
        values = [f"{name} {median([row.get(name) for row in mine]):.4g}" for name in names]
        if values:
            lines.append(f"| {case} | {', '.join(values)} |")
    return "\n".join(["| case | per request |", "|---|---|", *lines]) if lines else ""


def machine(folder):
    def output(*command):
        try:
            return subprocess.run(command, capture_output=True, text=True).stdout.strip()
        except FileNotFoundError:
            return ""

    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())[1]) >> 20
    return [
        f"{os.cpu_count()} x {model[1] if model else os.uname().machine}, {memory} GiB, "
        f"Linux {os.uname().release}, {output('findmnt', '-no', 'FSTYPE', '-T', str(folder))} on "
        f"{Disk(folder).name()}, {datetime.date.today()}",
        f"commit {output('git', '-C', str(ROOT), 'rev-parse', '--short', 'HEAD') or '?'}, command: "
        f"{' '.join([os.path.relpath(sys.argv[0], ROOT), *sys.argv[1:]])}"]


def parse():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--warm", type=float, default=5)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--cases", default=".", help="a pattern of case names")
    parser.add_argument("--no-kafka", action="store_true")
    parser.add_argument("--no-start", action="store_true", help="leave start times out")
    parser.add_argument("--heap", default="1g", help="Kafka's")
    parser.add_argument("--dir", help="where the nodes keep their data")
    parser.add_argument("-o", "--output")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds, options.warm = 1, 3, 1
    options.chosen = [case for case in CASES if re.search(options.cases, case)]
    if not options.chosen:
        parser.error("no such case")
    return options


def main():
    options = parse()
    runner = Runner(options)
    starts = {}
    try:
        if not options.no_start:
            for kind in [Draved] + [GenuineKafka] * (not options.no_kafka):
                starts[kind.kind] = [runner.start_times(kind, i) for i in range(options.rounds)]
        for number in range(options.rounds):
            runner.round(number)
        about = machine(runner.folder)
    finally:
        shutil.rmtree(runner.folder, ignore_errors=True)
    print("\n".join(about) + "\n")
    print(table(runner.rows, options.chosen))
    print("\n" + work_table(runner.rows, options.chosen))
    for kind, results in starts.items():
        values = {key: median([r[key] for r in results]) for key in results[0]}
        print(f"\n{kind}: exec to first acknowledged record {values['first_ack_ms']:.0f} ms, "
              f"idle {values['rss_mib']:.0f} MiB, stop {values['stop_ms']:.0f} ms")
    for rate in sorted({p["rate"] for p in runner.disk_probes if "rate" in p}):
        probes = [p["p50_us"] for p in runner.disk_probes if p.get("rate") == rate]
        how = f"{rate} a second" if rate else "one after the other"
        print(f"\nthe disk in the same minutes: 4 KiB O_DIRECT|O_DSYNC, {how}: p50 {median(probes):.0f} us "
              f"({min(probes):.0f} to {max(probes):.0f})")
    if options.output:
        Path(options.output).write_text(json.dumps(
            {"machine": about, "rows": runner.rows, "start": starts, "disk": runner.disk_probes},
            indent=1))


if __name__ == "__main__":
    main()
