#!/usr/bin/env python3
"""Turns what client suites print into lines `pass|fail|skip <suite> <test> <seconds> [note]`.

  results.py librdkafka LOG SUITE NUMBER STATUS MILLISECONDS TRY
  results.py kgo LOG SUITE
  results.py kgo-live SOURCES      the -run pattern of the tests that talk to a broker
  results.py totals RESULTS        prints the totals; exits with 1 unless one passed and none failed
"""
import glob
import re
import sys


def librdkafka(path, suite, number, status, milliseconds, attempt):
    """The table at the end of the log, or, where the process died, what the log tells."""
    with open(path, errors="replace") as file:
        text = re.sub(r"\x1b\[[0-9;]*m", "", file.read())
    rows = re.findall(r"^\| (\d{4}_\S+) +\| +(\w+) \| +([\d.]+)s \|(.*)$", text, re.M)
    seconds = int(milliseconds) / 1000
    done = {}
    for entry, state, took, note in rows:
        note = note.strip()
        for_another_mode = "test flags" in note or (state == "SKIPPED" and not note)
        if entry.startswith(number) and not for_another_mode:
            state = {"PASSED": "pass", "SKIPPED": "skip"}.get(state, "fail")
            done[entry] = [state, float(took), note]
    if not rows:
        for entry in dict.fromkeys(re.findall(r"^\[(\d{4}_\w+)", text, re.M)):
            filtered = rf"^\[{entry} .*SKIPPING TEST: Filtered due to negative"
            if not entry.startswith(number) or re.search(filtered, text, re.M):
                continue
            took = re.findall(rf"^\[{entry} */ *([\d.]+)s\]", text, re.M) or [seconds]
            passed = f"Test {entry} PASSED" in text
            done[entry] = ["pass" if passed else "fail", float(took[-1]), ""]
        if not done:
            done[number] = ["fail", seconds, "no summary"]
    for entry, (state, took, note) in done.items():
        if state == "fail":
            why = re.search(
                rf'^### Test "{entry}(?: \((.*?)\))?" failed at (\S+):\w*\(\).*?\n(.*)$', text, re.M)
            note = (f'{why[2]} {why[1] or ""} {why[3]}' if why else note)[:260]
            note = f'rc={status}; {"timeout; " if status in ("124", "137") else ""}{note}'
        if int(attempt) > 1:
            note = f"try {attempt}; {note}"
        print(state, suite, entry, f"{took:.1f}", note.strip(" ;"))


def kgo(path, suite):
    with open(path, errors="replace") as file:
        text = file.read()
    seen = {}
    for state, test, took in re.findall(r"^\s*--- (PASS|FAIL|SKIP): (\S+) \(([\d.]+)s\)", text, re.M):
        if seen.get(test, ("",))[0] != "fail":
            seen[test] = (state.lower(), took)
    for test in re.findall(r"^=== RUN +(\S+)", text, re.M):
        seen.setdefault(test, ("fail", "0"))  # it never finished: a panic or the time limit
    for test, (state, took) in seen.items():
        print(state, suite, test, took)


def kgo_live(sources):
    """A test talks to a broker when its body reaches one of the suite's connection helpers."""
    bodies = {}
    for path in glob.glob(sources + "/*_test.go"):
        with open(path) as file:
            text = file.read()
        for match in re.finditer(r"^func (?:\([^)]*\) )?(\w+)\(", text, re.M):
            end = text.find("\n}", match.end())
            bodies[match[1]] = bodies.get(match[1], "") + text[match.end():end]
    live = {"adm", "newTestClient", "testClientOpts", "getSeedBrokers", "tmpTopic",
            "tmpTopicPartitions", "tmpGroup"}
    while True:
        more = {name for name, body in bodies.items() if name not in live and len(name) > 2 and
                any(re.search(rf"\b{known}\(", body) for known in live)}
        if not more:
            break
        live |= more
    print("^(" + "|".join(sorted(n for n in live if n.startswith("Test"))) + ")$")


def totals(path):
    states = [line.split(" ", 1)[0] for line in open(path, errors="replace")]
    passed, failed, skipped = (states.count(s) for s in ("pass", "fail", "skip"))
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    sys.exit(0 if passed and not failed else 1)


if __name__ == "__main__":
    verbs = {"librdkafka": librdkafka, "kgo": kgo, "kgo-live": kgo_live, "totals": totals}
    if len(sys.argv) < 3 or sys.argv[1] not in verbs:
        sys.exit(__doc__)
    verbs[sys.argv[1]](*sys.argv[2:])
