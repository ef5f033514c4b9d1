#!/usr/bin/env python3
"""Compares the generator's output for golden/sample.kafka and for Heartbeat with the golden files.

`golden_generator_test.py --rewrite` renews them; the difference is then reviewed like code. Also
checks that the parser refuses what is wrong, with file and line.
"""

import difflib
import os
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "protocol", "generator"))
import emit  # noqa: E402
import schema  # noqa: E402

SCHEMAS = (os.path.join(HERE, "golden", "sample.kafka"),
           os.path.join(ROOT, "protocol", "schema", "12_heartbeat.kafka"))
OUTPUTS = ((".h", emit.emit_header), ("_fields.h", emit.emit_fields),
           (".cc", emit.emit_codec), ("_print.cc", emit.emit_print))

WRONG = (
    ("  name string\n", "x:1: a field without a message"),
    ("data A v0 flexible none\n   name string\n", "x:2: indentation is two spaces per level"),
    ("data A v0 flexible none\n  name text\n", "x:2: unknown type 'text'"),
    ("data A v0 flexible none\n  Name string\n", "x:2: 'Name' is not a snake_case name"),
    ("data A v0 flexible none\n  name\n", "x:2: a field needs a name and a type"),
    ("data A v0 flexible none\n  name string v3-1\n", "x:2: 'v3-1' ends before it begins"),
    ("data A v0 flexible none\n  name string sometimes\n", "x:2: 'sometimes' is not understood"),
    ("data A v0 flexible none\n  name string = null\n", "x:2: null is the default"),
    ("data A v0 flexible none\n  name string nullable v1+\n", "x:2: 'nullable' needs a type"),
    ("data A v0 flexible none\n  name string\n  name string\n", "x:3: name is there twice"),
    ("data A v0 flexible none\n  part Part\n", "x:2: struct Part is not defined"),
    ("data A v0 flexible none\n  name string\n    inner string\n", "x:3: indented below something"),
    ("data A v0 flexible none\n  struct Part\n    name string\n", "no field uses struct Part"),
    ("data A v0 flexible none\n  name string v0+ tag 1\n", "tags are not 0, 1, 2"),
    ("data A v0\n", "x:1: expected '... vA-B flexible vC+'"),
    ("request v0 flexible none\n", "x:1: 'request' without an 'api' line above it"),
    ("message A v0 flexible none\n", "x:1: 'message' is not understood here"),
)


def wrong_schemas():
    for text, expected in WRONG:
        try:
            schema.Parser("x", "x").parse(text)
        except schema.SchemaError as error:
            if expected not in str(error):
                yield f"expected '{expected}', got '{error}'"
        else:
            yield f"accepted, but wrong ({expected}):\n{text}"


def main():
    rewrite = "--rewrite" in sys.argv[1:]
    failures = list(wrong_schemas())
    for path in SCHEMAS:
        file = schema.parse_file(path)
        for suffix, emitter in OUTPUTS:
            lines = []
            emitter(file, lines)
            golden = os.path.join(HERE, "golden", file.stem + suffix + ".golden")
            text = "\n".join(lines) + "\n"
            if rewrite:
                with open(golden, "w", encoding="ascii") as out:
                    out.write(text)
                continue
            with open(golden, encoding="ascii") as source:
                old = source.read()
            if old != text:
                failures.append("".join(difflib.unified_diff(
                    old.splitlines(True), text.splitlines(True), golden, "generated")))
    for failure in failures:
        print(failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
