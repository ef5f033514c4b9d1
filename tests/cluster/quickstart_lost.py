#!/usr/bin/env python3
"""tools/quickstart --nodes 3 formats each node once, and never gives an empty disk its old identity.

Nothing is started: what quickstart calls is played by scripts that write down how they were called.
"""
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

QUICKSTART = Path(__file__).resolve().parents[2] / "tools" / "quickstart"
DRAVE = """#!/bin/bash
echo "$@" >> calls
case $1 in
  random-uuid) echo "id-$RANDOM" ;;
  format)
    data=$(sed -n 's/^log.dirs=//p' "${@: -1}")
    mkdir -p "$data" && touch "$data/meta.properties" ;;
esac
"""


def start(folder):
    done = subprocess.run([QUICKSTART, "--nodes", "3"], cwd=folder, capture_output=True, text=True,
                          timeout=60, env={**os.environ, "DRAVE_BIN": str(folder / "bin")})
    if "listens on" in done.stderr:
        print(f"skipped: {done.stderr}")
        sys.exit(77)
    return done


def formats(folder):
    return [call for call in (folder / "calls").read_text().splitlines() if call.startswith("format")]


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "bin").mkdir()
        for program, text in (("drave", DRAVE), ("draved", "#!/bin/bash\n")):
            (folder / "bin" / program).write_text(text)
            (folder / "bin" / program).chmod(0o755)
        start(folder)
        assert len(formats(folder)) == 3, formats(folder)
        start(folder)
        assert len(formats(folder)) == 3, "what is there is left alone"
        data = folder / "drave-data"
        for forgets in ("", "formatted", "2.log"):
            # An older quickstart wrote no list of what it formatted, and who tidies up removes logs.
            (data / forgets).unlink() if forgets else None
            shutil.rmtree(data / "2", ignore_errors=True)
            done = start(folder)
            if forgets != "2.log":
                assert done.returncode == 1 and "node(s) 2 " in done.stderr, done
                assert "format -t id-" in done.stderr and " -N -c drave-data/2" in done.stderr, done
                assert len(formats(folder)) == 3, formats(folder)
        # Who knows nothing of it any more takes it for new.
        assert len(formats(folder)) == 4, formats(folder)
        shutil.rmtree(data)
        start(folder)
        assert len(formats(folder)) == 7, "a new cluster"
    print("ok")


if __name__ == "__main__":
    main()
