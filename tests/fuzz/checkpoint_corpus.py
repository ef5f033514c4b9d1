#!/usr/bin/env python3
"""Writes the corpus of checkpoint_fuzz: files of a data directory, ours or Kafka's (tests/vectors).

  checkpoint_corpus.py DATA_FOLDER PREFIX [FOLDER]      default: tests/fuzz/corpus/checkpoint_fuzz
"""
import sys
from pathlib import Path

FIRST_NODE_FILE = 9
MENDED = 0x80
# The readers of checkpoint_fuzz.cc, by the name of a file.
READERS = {
    "leader-epoch-checkpoint": [0], "recovery-point-offset-checkpoint": [1],
    "replication-offset-checkpoint": [1], "log-start-offset-checkpoint": [1],
    "partition.metadata": [2], "meta.properties": [3], ".kafka_cleanshutdown": [4],
    "quorum-state": [5],
}
NODE_FILES = [
    "meta.properties", "bootstrap.checkpoint", "recovery-point-offset-checkpoint",
    "log-start-offset-checkpoint", "replication-offset-checkpoint", ".kafka_cleanshutdown",
    "topic-0/leader-epoch-checkpoint", "topic-0/partition.metadata",
    "__cluster_metadata-0/quorum-state", "__cluster_metadata-0/leader-epoch-checkpoint",
    "__cluster_metadata-0/partition.metadata", "__cluster_metadata-0/00000000000000000000.log",
    "__cluster_metadata-0/00000000000000000000-0000000000.checkpoint",
    "__cluster_metadata-0/00000000000000000010-0000000001.checkpoint",
]
FILE_BYTES_MAX = 6000


def choices(path):
    """All first bytes for a file at `path`."""
    found = list(READERS.get(path.name, []))
    if path.suffix == ".checkpoint":
        found += [6, 6 | MENDED]
    if path.parent.name == "__cluster_metadata-0" and path.suffix == ".log":
        found += [7, 7 | MENDED]
    for number, name in enumerate(NODE_FILES):
        wanted = Path(name)
        same = wanted.name == path.name and \
            (len(wanted.parts) == 1 or wanted.parent.name == path.parent.name)
        if same or (wanted.suffix == path.suffix == ".checkpoint"):
            found.append(FIRST_NODE_FILE + number)
            if wanted.suffix in (".checkpoint", ".log"):
                found.append(FIRST_NODE_FILE + number | MENDED)
    return found


def main():
    data, prefix = Path(sys.argv[1]), sys.argv[2]
    here = Path(__file__).resolve().parent
    folder = Path(sys.argv[3]) if len(sys.argv) > 3 else here / "corpus" / "checkpoint_fuzz"
    folder.mkdir(parents=True, exist_ok=True)
    written = set()
    for path in sorted(data.rglob("*")):
        if not path.is_file() or path.stat().st_size > FILE_BYTES_MAX:
            continue
        for choice in choices(path):
            content = bytes([choice]) + path.read_bytes()
            if content not in written:
                (folder / f"{prefix}-{choice:02x}-{len(written)}").write_bytes(content)
                written.add(content)
    for path in data.rglob("*"):
        name = bytes([8]) + path.name.encode()
        if path.is_dir() or path.suffix == ".checkpoint":
            (folder / f"{prefix}-08-{path.name}").write_bytes(name)


if __name__ == "__main__":
    main()
