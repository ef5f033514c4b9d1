"""Turns parsed schemas into C++: plain structs, one list of fields per struct, and the tables.

What comes out for one schema `fetch`:
  messages/fetch.h         the structs and the declarations of decode, encode, encoded_size, print
  messages/fetch_fields.h  Fields<T>: the one list of fields per struct that all visitors walk
  messages/fetch.cc        decode, encode, encoded_size  (library drave_protocol)
  messages/fetch_print.cc  print and the registry's rows (library drave_protocol_print)
"""

import re

from schema import FOREVER, NEVER

KEYWORDS = {"default", "operator", "namespace", "private", "public", "protected", "class",
            "struct", "register", "delete", "new", "template", "typename", "union", "export"}
CPP = {"bool": "bool", "int8": "std::int8_t", "int16": "std::int16_t", "uint16": "std::uint16_t",
       "int32": "std::int32_t", "uint32": "std::uint32_t", "int64": "std::int64_t",
       "float64": "double", "uuid": "Uuid", "string": "std::string_view", "bytes": "ByteView",
       "records": "ByteView"}
FIXED_BYTES = {"bool": 1, "int8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4,
               "int64": 8, "float64": 8, "uuid": 16}
BANNER = "// Generated from protocol/schema/{}.kafka by protocol/generator; do not edit.\n"


def snake(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def member(item):
    return item.name + "_" if item.name in KEYWORDS else item.name


def value_type(item):
    """The C++ type of a field's member."""
    inner = CPP.get(item.type, item.type)
    if item.array:
        inner = f"std::vector<{inner}>"
    return f"std::optional<{inner}>" if item.nullable != NEVER else inner


def number(text):
    value = int(text, 0)
    return "INT64_MIN" if value == -2**63 else "INT32_MIN" if value == -2**31 else text


def default_value(item):
    """The C++ expression of a field's default, None where the type's own `{}` is meant."""
    nullable = item.nullable != NEVER
    if item.default == "null":
        return "std::nullopt" if nullable else None
    if item.array or item.is_struct or item.type in ("bytes", "records", "uuid"):
        return None if not nullable else "kPresent"
    if item.default is None:
        if nullable:
            return "kPresent"
        return None
    if item.type in ("bool", "string", "float64"):
        return item.default
    return number(item.default)


def note(item):
    words = []
    first, last = item.versions
    if item.versions != (0, FOREVER):
        words.append(f"v{first}+" if last == FOREVER else f"v{first}" if first == last
                     else f"v{first}-{last}")
    if item.tag is not None:
        words.append(f"tag {item.tag}")
    if item.nullable not in (NEVER, item.versions):
        words.append(f"nullable v{item.nullable[0]}" +
                     ("+" if item.nullable[1] == FOREVER else f"-{item.nullable[1]}"))
    if item.ignorable:
        words.append("ignorable")
    return "  // " + ", ".join(words) if words else ""


def emit_members(fields, out):
    for item in fields:
        default = default_value(item)
        kind = value_type(item)
        if default == "std::nullopt":
            start = ""
        elif default is None:
            start = "" if item.array or item.is_struct or item.type in (
                "string", "bytes", "records", "uuid") else (
                " = false" if item.type == "bool" else " = 0")
        else:
            start = f" = {default}"
        out.append(f"  {kind} {member(item)}{start};{note(item)}")


def bytes_min(fields, versions, structs):
    """The least bytes that a struct takes in any version: every field that all versions have."""
    total = 0
    for item in fields:
        if item.tag is not None or item.versions[0] > versions[0] or item.versions[1] < versions[1]:
            continue
        if item.array or item.nullable != NEVER or item.type in ("string", "bytes", "records"):
            total += 1
        elif item.is_struct:
            total += bytes_min(structs[item.type].fields, versions, structs)
        else:
            total += FIXED_BYTES[item.type]
    return total


def emit_header(file, out):
    out.append("#pragma once")
    out.append(BANNER.format(file.stem))
    out.append('#include "protocol/message.h"\n')
    out.append("namespace drave::protocol {\n")
    for message in file.messages:
        space = snake(message.name)
        if message.structs:
            out.append(f"namespace {space} {{")
            for made in message.structs.values():
                out.append(f"struct {made.name} {{")
                emit_members(made.fields, out)
                out.append("};")
            out.append(f"}}  // namespace {space}\n")
        out.append(f"struct {message.name} {{")
        out.append(f'  static constexpr std::string_view kName = "{message.name}";')
        if message.api_key is not None:
            out.append(f"  static constexpr std::int16_t kApiKey = {message.api_key};")
        out.append(f"  static constexpr std::int16_t kVersionMin = {message.versions[0]};")
        out.append(f"  static constexpr std::int16_t kVersionMax = {message.versions[1]};")
        flexible = "kNeverFlexible" if message.flexible is None else message.flexible
        out.append(f"  static constexpr std::int16_t kFlexibleMin = {flexible};")
        for made in message.structs.values():
            out.append(f"  using {made.name} = {space}::{made.name};")
        out.append("")
        emit_members(message.fields, out)
        out.append("};")
        out.append(f"DRAVE_DECLARE_MESSAGE({message.name});\n")
    out.append("}  // namespace drave::protocol")


def facts_of(item):
    """A field's facts, as a row of its struct's kFacts."""
    facts = [f'.name = "{item.wire_name}"']
    if item.versions[0] != 0:
        facts.append(f".from = {item.versions[0]}")
    if item.versions[1] != FOREVER:
        facts.append(f".to = {item.versions[1]}")
    if item.nullable != NEVER:
        facts.append(f".null_from = {item.nullable[0]}")
        if item.nullable[1] != FOREVER:
            facts.append(f".null_to = {item.nullable[1]}")
    if item.ignorable:
        facts.append(".ignorable = true")
    if item.classic:
        facts.append(".classic = true")
    return "{" + ", ".join(facts) + "}"


def call(item, index):
    """The arguments of one line of a field list."""
    default = default_value(item)
    return f"m.{member(item)}, kFacts[{index}]" + ("" if default is None else f", {default}")


def emit_struct_fields(qualified, fields, versions, structs, out):
    tagged = sorted((f for f in fields if f.tag is not None), key=lambda f: f.tag)
    out.append("template <>")
    out.append(f"struct Fields<{qualified}> {{")
    least = bytes_min(fields, versions, structs)
    out.append(f"  static constexpr std::size_t kBytesMin = {max(1, least)};")
    if fields:
        out.append("  static constexpr Facts kFacts[] = {")
        out.extend(f"      {facts_of(item)}," for item in fields)
        out.append("  };")
    place = {id(item): index for index, item in enumerate(fields)}
    unused = "" if any(f.tag is None for f in fields) or tagged else "[[maybe_unused]] "
    out.append("  template <class V, class M>")
    out.append(f"  static void visit(V& v, {unused}M& m) {{")
    for item in fields:
        if item.tag is None:
            out.append(f"    v.field({call(item, place[id(item)])});")
    if tagged:
        out.append("    v.tags([&m](auto& t) {")
        for item in tagged:
            out.append(f"      t.tag({item.tag}, {call(item, place[id(item)])});")
        out.append("    });")
    else:
        out.append("    v.tags();")
    out.append("  }")
    out.append("};")


def emit_fields(file, out):
    out.append("#pragma once")
    out.append(BANNER.format(file.stem))
    out.append(f'#include "protocol/fields.h"\n#include "protocol/messages/{file.stem}.h"\n')
    out.append("namespace drave::protocol {\n")
    for message in file.messages:
        for made in message.structs.values():
            emit_struct_fields(f"{snake(message.name)}::{made.name}", made.fields,
                               message.versions, message.structs, out)
        emit_struct_fields(message.name, message.fields, message.versions, message.structs, out)
        out.append("")
    out.append("}  // namespace drave::protocol")


def emit_codec(file, out):
    out.append(BANNER.format(file.stem))
    out.append(f'#include "protocol/codec.h"\n#include "protocol/messages/{file.stem}_fields.h"\n')
    out.append("namespace drave::protocol {\n")
    for message in file.messages:
        out.append(f"DRAVE_DEFINE_MESSAGE({message.name})")
    out.append("\n}  // namespace drave::protocol")


def emit_print(file, out):
    out.append(BANNER.format(file.stem))
    out.append('#include "protocol/registry_rows.h"')
    out.append(f'#include "protocol/messages/{file.stem}_fields.h"\n')
    out.append("namespace drave::protocol {\n")
    for message in file.messages:
        out.append(f"DRAVE_DEFINE_PRINT({message.name})")
    out.append("")
    out.append(f"extern const MessageType kTypesOf_{file.stem}[];")
    out.append(f"const MessageType kTypesOf_{file.stem}[] = {{")
    for message in file.messages:
        out.append(f"    message_type<{message.name}>(MessageKind::{message.kind}),")
    out.append("};")
    out.append("\n}  // namespace drave::protocol")


def emit_registry(files, out):
    out.append("// Generated by protocol/generator; do not edit.\n")
    out.append('#include "protocol/registry.h"\n')
    out.append("namespace drave::protocol {\n")
    listed = [f for f in files if f.messages]
    for file in listed:
        out.append(f"extern const MessageType kTypesOf_{file.stem}[];")
    out.append("\nnamespace {")
    out.append("const MessageFile kFiles[] = {")
    for file in listed:
        out.append(f"    {{kTypesOf_{file.stem}, {len(file.messages)}}},")
    out.append("};\n}  // namespace\n")
    out.append("std::span<const MessageFile> message_files() { return kFiles; }")
    out.append("\n}  // namespace drave::protocol")


def emit_api_table(files, out):
    out.append("// Generated by protocol/generator; do not edit.\n")
    out.append('#include "protocol/api_key.h"\n')
    out.append("namespace drave::protocol {\n")
    out.append("namespace {\n")
    rows = []
    for file in files:
        for api in file.apis:
            request, response = api.request, api.response
            assert request and response and request.versions == response.versions, api.name
            assert request.flexible == response.flexible, api.name
            flexible = "kNeverFlexible" if request.flexible is None else request.flexible
            listeners = " | ".join(f"kListener{x.capitalize()}" for x in api.listeners)
            rows.append((api.key, f'    {{ApiKey::{snake(api.name)}, "{api.name}", '
                         f"{request.versions[0]}, {request.versions[1]}, {flexible}, {listeners}, "
                         f"{'true' if request.unstable else 'false'}}},"))
        for key, name in file.removed:
            rows.append((key, f'    {{ApiKey::{snake(name)}, "{name}", 0, -1, kNeverFlexible, '
                         "0, false},"))
    rows.sort()
    assert [key for key, _ in rows] == list(range(len(rows))), "a key is missing or there twice"
    out.append(f"const ApiInfo kApis[] = {{")
    out.extend(row for _, row in rows)
    out.append("};\n\n}  // namespace\n")
    out.append("std::span<const ApiInfo> apis() { return kApis; }")
    out.append("\n}  // namespace drave::protocol")


def emit_metadata_variant(files, out):
    file = next(f for f in files if f.stem == "metadata_records")
    out.append("#pragma once")
    out.append("// Generated by protocol/generator; do not edit.\n")
    out.append('#include <variant>\n\n#include "protocol/messages/metadata_records.h"\n')
    out.append("namespace drave::protocol {\n")
    names = [m.name for m in sorted(file.messages, key=lambda m: m.api_key)]
    out.append("using MetadataRecord = std::variant<\n    " + ",\n    ".join(names) + ">;")
    out.append("\n}  // namespace drave::protocol")
