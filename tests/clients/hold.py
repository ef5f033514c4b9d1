#!/usr/bin/env python3
"""Holds results of the client suites to what genuine Kafka passed.

  hold.py lists/kafka-4.3.1.txt RESULTS... [--gate LIST]

Every test that genuine Kafka passed has to appear and pass, for each suite that occurs in RESULTS;
with --gate only the tests named in LIST (whole name, or the number before the underscore). Prints
what is missing or failed, then `held N of M`; exits with 1 when something is not held."""
import re
import sys


def read_frozen(path):
    """(suite, test): how often of how many runs, and the condition."""
    frozen = {}
    for line in open(path):
        fields = line.split()
        if len(fields) >= 3 and fields[0] == "pass":
            frozen[fields[1], fields[2]] = " ".join(fields[5:])
    return frozen


def read_results(paths):
    """(suite, test): (state, note); a test that passed once has passed."""
    results = {}
    for path in paths:
        for line in open(path, errors="replace"):
            match = re.match(r"(?:again: )?(pass|fail|skip) (\S+) (\S+) \S+ ?(.*)", line)
            if match and results.get((match[2], match[3]), ("",))[0] != "pass":
                results[match[2], match[3]] = (match[1], match[4])
    return results


def main(arguments):
    gate = None
    if "--gate" in arguments:
        at = arguments.index("--gate")
        gate = {line.split("#")[0].strip() for line in open(arguments[at + 1])} - {""}
        del arguments[at:at + 2]
    if len(arguments) < 2:
        sys.exit(__doc__)
    frozen, results = read_frozen(arguments[0]), read_results(arguments[1:])
    suites = {suite for suite, _ in results}
    wanted = missed = 0
    for (suite, test), note in frozen.items():
        names = {test, test.split("_")[0], test.split("/")[0]}
        if suite not in suites or (gate is not None and not names & gate):
            continue
        wanted += 1
        state, why = results.get((suite, test), ("missing", ""))
        if state != "pass":
            missed += 1
            print(state, suite, test, why, f"[against genuine Kafka: {note}]" if note else "")
    print(f"held {wanted - missed} of {wanted}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
