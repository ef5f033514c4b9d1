"""What Kafka's dump-log says about every file of a data directory."""
import re
from pathlib import Path

# What the tool prints when something is wrong with a file that it can read.
COMPLAINTS = re.compile(
    r"(?i)isvalid: false|mismatch|followed by|out of order|corrupt|exception|malformed|"
    r"invalid bytes|not found in the log|error at|could not|unable|failed|unknown|ignoring")
INDEXES = (".index", ".timeindex", ".txnindex")


def complaints_in(text, path):
    """The tool says "-1 is followed by BASE" of each segment that does not begin at 0; all else
    counts."""
    base = path.stem.lstrip("0") or "0"
    return [line for line in text.splitlines()
            if COMPLAINTS.search(line[:400]) and line.strip() != f"-1 is followed by {base}"]


def ways_to_read(path):
    """The tool's arguments for a file, once per reading; none for files that it does not know."""
    metadata = path.parent.name == "__cluster_metadata-0"
    if path.suffix == ".log":
        return [["--deep-iteration"]] + [["--cluster-metadata-decoder"]] * metadata
    if path.suffix == ".checkpoint" and (metadata or path.name == "bootstrap.checkpoint"):
        return [["--cluster-metadata-decoder"]]
    if path.suffix == ".index":
        return [[], ["--index-sanity-check"], ["--verify-index-only"]]
    return [[]] if path.suffix in INDEXES or path.suffix == ".snapshot" else []


def dump_everything(tools, data):
    """Reads every file that the tool knows, but for partitions that wait to be removed; returns
    ({file: what it said}, complaints)."""
    said, complaints = {}, []
    for path in sorted(Path(data).rglob("*")):
        if not path.is_file() or path.parent.name.endswith("-delete"):
            continue
        name = str(path.relative_to(data))
        for arguments in ways_to_read(path):
            status, text = tools.call("kafka-dump-log", "--files", path, *arguments)
            said[name] = said.get(name, "") + text
            lines = complaints_in(text, path)
            if status or lines:
                complaints.append(f"{name} {' '.join(arguments)}: status {status}; "
                                  + "; ".join(lines[:5] or [text[-300:]]))
    return said, complaints
