#!/usr/bin/env python3
"""Generates the message structs and codecs: generate.py OUTPUT_DIR SCHEMA_FILE...

Writes only what changed, so that a build compiles only what a schema's edit touched.
"""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import emit  # noqa: E402
from schema import SchemaError, parse_file  # noqa: E402


def write(path, lines):
    text = "\n".join(lines) + "\n"
    try:
        with open(path, encoding="ascii") as old:
            if old.read() == text:
                return
    except FileNotFoundError:
        pass
    with open(path, "w", encoding="ascii") as new:
        new.write(text)


def produce(path, emitter, what):
    lines = []
    emitter(what, lines)
    write(path, lines)


def main(arguments):
    if len(arguments) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    directory, paths = arguments[0], arguments[1:]
    os.makedirs(directory, exist_ok=True)
    try:
        files = [parse_file(path) for path in paths]
    except SchemaError as error:
        print(error, file=sys.stderr)
        return 1
    for file in files:
        if not file.messages:
            continue
        base = os.path.join(directory, file.stem)
        produce(base + ".h", emit.emit_header, file)
        produce(base + "_fields.h", emit.emit_fields, file)
        produce(base + ".cc", emit.emit_codec, file)
        produce(base + "_print.cc", emit.emit_print, file)
    if any(file.apis for file in files) and any(file.removed for file in files):
        produce(os.path.join(directory, "registry.cc"), emit.emit_registry, files)
        produce(os.path.join(directory, "api_table.cc"), emit.emit_api_table, files)
        produce(os.path.join(directory, "metadata_variant.h"), emit.emit_metadata_variant, files)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
