"""The schema language of protocol/schema/*.kafka: parser and model.

A file describes the messages of one API, or one family of records. protocol/README.md is the
language's manual. Every error names file and line.
"""

import re
from dataclasses import dataclass, field

FOREVER = 32767
NEVER = (1, 0)
SCALARS = ("bool", "int8", "int16", "uint16", "int32", "uint32", "int64", "float64", "uuid",
           "string", "bytes", "records")
KINDS = ("request", "response", "metadata", "key", "value", "data", "header")


class SchemaError(Exception):
    pass


@dataclass
class Field:
    name: str  # snake_case
    wire_name: str  # lowerCamelCase, Kafka's
    type: str  # a scalar, or the name of a struct
    array: bool = False
    nullable: tuple = NEVER
    versions: tuple = (0, FOREVER)
    tag: int | None = None
    default: str | None = None
    ignorable: bool = False
    key: bool = False
    entity: str | None = None
    classic: bool = False  # never in flexible encoding
    children: list | None = None
    where: str = ""

    @property
    def is_struct(self):
        return self.type not in SCALARS


@dataclass
class Struct:
    name: str
    fields: list
    versions: tuple = (0, FOREVER)
    inline: bool = False  # defined by a field, not by a `struct` line


@dataclass
class Message:
    kind: str
    name: str
    api_key: int | None
    versions: tuple
    flexible: int | None  # first flexible version
    fields: list = field(default_factory=list)
    structs: dict = field(default_factory=dict)  # name -> Struct, children before parents
    listeners: tuple = ()
    unstable: bool = False


@dataclass
class Api:
    key: int
    name: str
    listeners: tuple
    request: Message | None = None
    response: Message | None = None


@dataclass
class File:
    stem: str
    messages: list = field(default_factory=list)
    apis: list = field(default_factory=list)
    removed: list = field(default_factory=list)  # (key, name)


def camel(snake):
    first, *rest = snake.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


def parse_versions(text, where):
    if text == "none":
        return NEVER
    found = re.fullmatch(r"v(\d+)(\+|-(\d+))?", text)
    if not found:
        raise SchemaError(f"{where}: '{text}' is not a range of versions (v3, v3-5, v3+, none)")
    first = int(found[1])
    if found[2] is None:
        return (first, first)
    if found[2] == "+":
        return (first, FOREVER)
    if int(found[3]) < first:
        raise SchemaError(f"{where}: '{text}' ends before it begins")
    return (first, int(found[3]))


def parse_field(words, where):
    if len(words) < 2:
        raise SchemaError(f"{where}: a field needs a name and a type")
    name, written = words[0], words[1]
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise SchemaError(f"{where}: '{name}' is not a snake_case name")
    found = re.fullmatch(r"(\[)?([A-Za-z0-9]+)(\])?(\?)?", written)
    if not found or bool(found[1]) != bool(found[3]):
        raise SchemaError(f"{where}: '{written}' is not a type")
    result = Field(name=name, wire_name=camel(name), type=found[2], array=bool(found[1]),
                   where=where)
    if not result.is_struct and found[2] not in SCALARS or found[2][0].islower() and result.is_struct:
        raise SchemaError(f"{where}: unknown type '{found[2]}'")
    rest = list(words[2:])
    if rest and (rest[0][0] == "v" and rest[0][1:2].isdigit()):
        result.versions = parse_versions(rest.pop(0), where)
    if found[4]:
        result.nullable = result.versions
    while rest:
        word = rest.pop(0)
        if word in ("ignorable", "key", "classic"):
            setattr(result, word, True)
            continue
        if word not in ("tag", "=", "nullable", "of", "as") or not rest:
            raise SchemaError(f"{where}: '{word}' is not understood here")
        value = rest.pop(0)
        if word == "tag":
            result.tag = int(value)
        elif word == "=":
            result.default = value
        elif word == "nullable":
            if not found[4]:
                raise SchemaError(f"{where}: 'nullable' needs a type that ends in '?'")
            result.nullable = parse_versions(value, where)
        elif word == "of":
            result.entity = value
        elif word == "as":
            result.wire_name = value
    if result.default == "null" and not found[4]:
        raise SchemaError(f"{where}: null is the default of a type that is not nullable")
    return result


def parse_head(words, where, api):
    """`request v4-18 flexible v12+ [unstable]`, `metadata 3 PartitionRecord v0-2 flexible v0+`."""
    words = list(words)
    kind = words.pop(0)
    key = None
    if kind in ("request", "response"):
        if api is None:
            raise SchemaError(f"{where}: '{kind}' without an 'api' line above it")
        name, key = api.name + kind.capitalize(), api.key
    else:
        if words and words[0].isdigit():
            key = int(words.pop(0))
        name = words.pop(0) if words else ""
    unstable = bool(words) and words[-1] == "unstable"
    if unstable:
        words.pop()
    if len(words) != 3 or words[1] != "flexible":
        raise SchemaError(f"{where}: expected '... vA-B flexible vC+' (or 'flexible none')")
    versions = parse_versions(words[0], where)
    flexible = parse_versions(words[2], where)
    return Message(kind=kind, name=name, api_key=key, versions=versions,
                   flexible=None if flexible == NEVER else flexible[0], unstable=unstable,
                   listeners=api.listeners if api and kind == "request" else ())


class Parser:
    def __init__(self, path, stem):
        self.path = path
        self.file = File(stem)
        self.api = None
        self.message = None
        self.stack = []  # [(depth, list of fields)]
        self.last = None

    def parse(self, text):
        for number, line in enumerate(text.split("\n"), 1):
            line = line.split("#", 1)[0].rstrip()
            if line:
                self.line(line, f"{self.path}:{number}")
        for message in self.file.messages:
            resolve(message, self.path)
        return self.file

    def line(self, line, where):
        indent = len(line) - len(line.lstrip(" "))
        words = line.split()
        if indent % 2:
            raise SchemaError(f"{where}: indentation is two spaces per level")
        if indent == 0:
            return self.top(words, where)
        if self.message is None:
            raise SchemaError(f"{where}: a field without a message")
        if words[0] == "struct" and indent == 2:
            return self.struct(words, where)
        depth = indent // 2
        self.stack = [entry for entry in self.stack if entry[0] <= depth]
        if self.stack[-1][0] != depth:
            if self.last is None or not self.last.is_struct or self.stack[-1][0] != depth - 1:
                raise SchemaError(f"{where}: indented below something that is not a struct")
            self.last.children = []
            self.stack.append((depth, self.last.children))
        self.last = parse_field(words, where)
        self.stack[-1][1].append(self.last)

    def top(self, words, where):
        self.message = None
        if words[0] == "api" and len(words) >= 4 and words[1].isdigit():
            self.api = Api(int(words[1]), words[2], tuple(words[3:]))
            self.file.apis.append(self.api)
        elif words[0] == "removed" and len(words) == 3:
            self.file.removed.append((int(words[1]), words[2]))
        elif words[0] in KINDS:
            self.message = parse_head(words, where, self.api)
            self.file.messages.append(self.message)
            if self.message.kind in ("request", "response"):
                setattr(self.api, self.message.kind, self.message)
            self.stack = [(1, self.message.fields)]
            self.last = None
        else:
            raise SchemaError(f"{where}: '{words[0]}' is not understood here")

    def struct(self, words, where):
        versions = parse_versions(words[2], where) if len(words) > 2 else (0, FOREVER)
        made = Struct(words[1], [], versions)
        if made.name in self.message.structs:
            raise SchemaError(f"{where}: struct {made.name} is defined twice")
        self.message.structs[made.name] = made
        self.stack = [(2, made.fields)]
        self.last = None


def resolve(message, path):
    """Collects the structs that fields define in place, checks names, orders children first."""
    found = dict(message.structs)

    def collect(fields):
        names = set()
        for item in fields:
            if item.name in names:
                raise SchemaError(f"{item.where}: {item.name} is there twice")
            names.add(item.name)
            if item.children is not None:
                if item.type in found:
                    raise SchemaError(f"{item.where}: struct {item.type} is defined twice")
                found[item.type] = Struct(item.type, item.children, item.versions, inline=True)
                collect(item.children)
        tags = sorted(item.tag for item in fields if item.tag is not None)
        if tags != list(range(len(tags))):
            raise SchemaError(f"{path}: {message.name}: tags are not 0, 1, 2, ...: {tags}")

    for common in list(message.structs.values()):
        collect(common.fields)
    collect(message.fields)
    ordered = {}

    def place(fields):
        for item in fields:
            if item.is_struct and item.type not in ordered:
                if item.type not in found:
                    raise SchemaError(f"{item.where}: struct {item.type} is not defined")
                place(found[item.type].fields)
                ordered[item.type] = found[item.type]

    place(message.fields)
    unused = set(found) - set(ordered)
    if unused:
        raise SchemaError(f"{path}: {message.name}: no field uses struct {unused.pop()}")
    message.structs = ordered


def parse_file(path):
    stem = path.rsplit("/", 1)[-1].removesuffix(".kafka")
    stem = re.sub(r"^\d+_", "", stem)
    with open(path, encoding="ascii") as source:
        return Parser(path, stem).parse(source.read())
