#!/usr/bin/env python3
"""tools/quickstart as its user has it: Ctrl-C reaches the whole group of a terminal's processes, and is
a clean stop all the same; what the folder holds is not mixed with something else."""
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness.node import ROOT, draved_binary  # noqa: E402
from harness.wire import Connection  # noqa: E402

SECONDS_MAX = 60


class Quickstart:
    """Runs in `folder` as from a terminal."""

    def __init__(self, folder, *arguments):
        self.output = open(folder / "output", "ab")
        self.process = subprocess.Popen(
            [ROOT / "tools" / "quickstart", *map(str, arguments)], cwd=folder,
            env=os.environ | {"DRAVE_BIN": str(draved_binary().parent)}, stdin=subprocess.DEVNULL,
            stdout=self.output, stderr=subprocess.STDOUT, start_new_session=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(SECONDS_MAX)
        self.output.close()

    def connect(self, port):
        end = time.monotonic() + SECONDS_MAX
        while True:
            try:
                connection = Connection(port, timeout=5)
                connection.api_versions()
                return connection
            except OSError:
                assert self.process.poll() is None and time.monotonic() < end
                time.sleep(0.05)

    def press_control_c(self):
        """The exit status."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(SECONDS_MAX)


def said(folder, *arguments, status=1):
    with Quickstart(folder, *arguments) as run:
        assert run.process.wait(SECONDS_MAX) == status, arguments
    return (folder / "output").read_text().splitlines()[-1]


def check_stop(folder, logs, ports, *arguments):
    """A client that is connected is seen off, not cut."""
    with Quickstart(folder, *arguments) as run:
        connections = [run.connect(port) for port in ports]
        assert run.press_control_c() == 0, (folder / "output").read_text()
        for connection in connections:
            connection.close()
    for log in logs:
        text = (folder / log).read_text()
        assert "stopped" in text and "asked again" not in text, text


def main():
    port = random.randrange(20_000, 28_000)
    with tempfile.TemporaryDirectory(prefix="drave-quickstart-") as name:
        folder = Path(name)
        many, one = folder / "many", folder / "one"
        many.mkdir()
        one.mkdir()
        check_stop(many, [f"drave-data/{n}.log" for n in (1, 2, 3)], range(port, port + 3),
                   "--nodes", 3, "--port", port)
        check_stop(many, [], [port], "--nodes", 3)  # it knows its port
        assert "--nodes 3 starts it" in said(many)
        assert "on port" in said(many, "--nodes", 3, "--port", port + 10)
        assert not (many / "drave-data" / "meta.properties").exists()
        check_stop(one, ["output"], [port], "--port", port)
        assert "single node" in said(one, "--nodes", 3, "--port", port)
        assert "needs a number" in said(one, "--nodes", "x", status=2)


if __name__ == "__main__":
    main()
