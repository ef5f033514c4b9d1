#!/usr/bin/env python3
"""Compares every fact of protocol/schema with Kafka's own message definitions.

The definitions are read from Kafka's published jars in the folder that DRAVE_KAFKA_LIBS names
(tests/run fetches them). Without that variable the test is skipped; with it, missing jars fail.

Facts: names, kinds, keys, listeners, valid, flexible and unstable versions; of fields type, versions,
nullable versions, tag, default, ignorable, map key, entity, flexible exceptions, and the structs. Not
compared: prose, and `zeroCopy`, which chooses between two types of Java.
"""

import glob
import json
import os
import re
import sys
import zipfile

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "protocol", "generator"))
import schema  # noqa: E402

SKIP = 77
JARS = ("kafka-clients", "kafka-metadata", "kafka-raft", "kafka-group-coordinator",
        "kafka-share-coordinator", "kafka-transaction-coordinator", "kafka-storage")
KINDS = {"coordinator-key": "key", "coordinator-value": "value"}
MESSAGE_KEYS = {"name", "type", "apiKey", "listeners", "validVersions", "flexibleVersions",
                "latestVersionUnstable", "fields", "commonStructs"}
FIELD_KEYS = {"name", "type", "versions", "nullableVersions", "taggedVersions", "tag", "default",
              "ignorable", "mapKey", "entityType", "flexibleVersions", "zeroCopy", "about",
              "fields"}
STRUCT_KEYS = {"name", "versions", "fields", "about"}


def without_comments(text):
    """Kafka's files are JSON with // comments; none stands inside a string."""
    return re.sub(r'("(?:\\.|[^"\\])*")|//[^\n]*', lambda m: m[1] or "", text)


def read_definitions(libs):
    definitions = {}
    for jar in JARS:
        paths = [p for p in glob.glob(os.path.join(libs, jar + "-[0-9]*.jar"))]
        if len(paths) != 1:
            raise SystemExit(f"{libs}: expected one {jar}-VERSION.jar, found {paths}")
        with zipfile.ZipFile(paths[0]) as archive:
            found = [n for n in archive.namelist() if re.search(r"(message|metadata)/\w+\.json$", n)]
            if not found:
                raise SystemExit(f"{paths[0]}: no message definitions in it")
            for name in found:
                definition = json.loads(without_comments(archive.read(name).decode("utf-8")))
                definitions[definition["name"]] = definition
    return definitions


def versions(text):
    return schema.parse_versions(text if text == "none" else "v" + text, "Kafka")


def snake(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name[0].upper() + name[1:]).lower()


def lower_first(name):
    return name[0].lower() + name[1:]


def default_of(kind, array, text):
    """A default as a value, so that 0x7fffffff and 2147483647, '' and none are the same."""
    if text == "null":
        return None
    if array or kind in ("bytes", "records", "uuid") or kind not in schema.SCALARS:
        return ("nothing", text) if text not in (None, "") else "empty"
    if kind == "string":
        return text or ""
    if kind == "bool":
        return text == "true"
    return float(text or 0) if kind == "float64" else int(text or "0", 0)


def theirs_of_field(item, inherited):
    unknown = set(item) - FIELD_KEYS
    if unknown:
        raise SystemExit(f"a fact that this test does not know: {unknown} of {item['name']}")
    array = item["type"].startswith("[]")
    kind = item["type"].removeprefix("[]")
    own = versions(item.get("versions") or item["taggedVersions"])
    default = item.get("default")
    if default is not None:
        default = str(default).lower() if isinstance(default, bool) else str(default)
    tagged = item.get("taggedVersions", "none")
    facts = {
        "name": lower_first(item["name"]), "type": kind, "array": array, "versions": own,
        "nullable": versions(item.get("nullableVersions", "none")),
        "tag": item["tag"] if tagged != "none" else None,
        "default": default_of(kind, array, default),
        "ignorable": item.get("ignorable", False) in (True, "true"),
        "map key": item.get("mapKey", False) in (True, "true"),
        "entity": snake(item["entityType"]) if item.get("entityType") else None,
        "flexible": item.get("flexibleVersions"),
    }
    if tagged != "none":
        facts["tagged"] = versions(tagged)
    if item.get("fields"):
        facts["fields"] = [theirs_of_field(f, own) for f in item["fields"]]
    return facts


def ours_of_field(item):
    facts = {
        "name": item.wire_name, "type": item.type, "array": item.array,
        "versions": item.versions, "nullable": item.nullable, "tag": item.tag,
        "default": default_of(item.type, item.array,
                              item.default.strip('"') if item.default else None),
        "ignorable": item.ignorable, "map key": item.key, "entity": item.entity,
        "flexible": "none" if item.classic else None,
    }
    if item.tag is not None:
        facts["tagged"] = item.versions
    if item.children is not None:
        facts["fields"] = [ours_of_field(f) for f in item.children]
    return facts


def theirs_of_message(item):
    unknown = set(item) - MESSAGE_KEYS
    if unknown:
        raise SystemExit(f"a fact that this test does not know: {unknown} of {item['name']}")
    flexible = versions(item["flexibleVersions"])
    structs = {}
    for made in item.get("commonStructs", []):
        if set(made) - STRUCT_KEYS:
            raise SystemExit(f"a fact that this test does not know: {set(made)}")
        structs[made["name"]] = (versions(made["versions"]),
                                 [theirs_of_field(f, None) for f in made["fields"]])
    return {
        "kind": KINDS.get(item["type"], item["type"]), "key": item.get("apiKey"),
        "listeners": tuple(item.get("listeners", ())), "versions": versions(item["validVersions"]),
        "flexible": None if flexible == schema.NEVER else flexible,
        "unstable": item.get("latestVersionUnstable", False),
        "fields": [theirs_of_field(f, None) for f in item["fields"]], "structs": structs,
    }


def ours_of_message(item):
    structs = {s.name: (s.versions, [ours_of_field(f) for f in s.fields])
               for s in item.structs.values() if not s.inline}
    return {
        "kind": item.kind, "key": item.api_key, "listeners": item.listeners,
        "versions": item.versions,
        "flexible": None if item.flexible is None else (item.flexible, schema.FOREVER),
        "unstable": item.unstable, "fields": [ours_of_field(f) for f in item.fields],
        "structs": structs,
    }


def differences(path, ours, theirs):
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted(set(ours) | set(theirs)):
            yield from differences(f"{path}: {key}", ours.get(key), theirs.get(key))
    elif isinstance(ours, (list, tuple)) and isinstance(theirs, (list, tuple)) and \
            len(ours) == len(theirs):
        for index, (one, other) in enumerate(zip(ours, theirs)):
            name = one.get("name") if isinstance(one, dict) else index
            yield from differences(f"{path}: {name}", one, other)
    elif ours != theirs:
        yield f"{path}: ours {ours!r}, Kafka's {theirs!r}"


def count_facts(facts):
    if isinstance(facts, dict):
        return sum(count_facts(value) for value in facts.values())
    if isinstance(facts, list):
        return sum(count_facts(value) for value in facts)
    return 1


def compare(definitions, folder):
    ours, removed = {}, {}
    for path in sorted(glob.glob(os.path.join(folder, "*.kafka"))):
        file = schema.parse_file(path)
        removed.update({name: key for key, name in file.removed})
        for message in file.messages:
            if message.name in ours:
                yield f"{path}: {message.name} is there twice"
            ours[message.name] = ours_of_message(message)
    facts = 0
    for name, definition in sorted(definitions.items()):
        if definition["validVersions"] == "none":
            api = re.sub("(Request|Response)$", "", name)
            if removed.get(api) != definition["apiKey"]:
                yield f"{name}: removed in Kafka, but not by us"
            continue
        if name not in ours:
            yield f"{name}: missing"
            continue
        theirs = theirs_of_message(definition)
        facts += count_facts(theirs)
        yield from differences(name, ours.pop(name), theirs)
    yield from (f"{name}: Kafka has no such message" for name in ours)
    if facts < 20000:
        yield f"only {facts} facts were compared"
    print(f"{len(definitions)} definitions, {facts} facts compared")


def main():
    libs = os.environ.get("DRAVE_KAFKA_LIBS")
    if not libs:
        print("skipped: DRAVE_KAFKA_LIBS does not name a folder with Kafka's jars "
              "(tests/run fetches them)")
        return SKIP
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, "protocol", "schema")
    found = list(compare(read_definitions(libs), folder))
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
