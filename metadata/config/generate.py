#!/usr/bin/env python3
"""Turns the *.keys files beside it into the table of config_def.h and into broker/CONFIG.md.

  generate.py table OUT    writes the C++ rows that config_def.cc includes
  generate.py removed OUT  writes the rows of removed keys
  generate.py page OUT     writes the page for people
  generate.py check PAGE   fails if PAGE is not what `page` would write
"""
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).parent
SCOPES = ['broker', 'topic', 'group', 'client-metrics', 'quota-user-client', 'quota-ip']
TYPES = ['boolean', 'string', 'int', 'short', 'long', 'double', 'list', 'class', 'password']
MODES = ['read-only', 'per-broker', 'cluster-wide']
RULE = re.compile(r"-|not_empty|not_null|voters|servers|throttles|offset_reset|list\+?(:\S+)?|"
                  r"in(_ci)?:\S+|-?[\d.]+?\.\.(-?[\d.]+)?(\|-1)?")
UNITS = [  # (pattern of the name, unit); the first that matches counts
    (r'\.bytes(\.per\.second|\.between\.snapshots)?$|\.size\.max\.bytes$|\.size\.in\.bytes$', 'bytes'),
    (r'log\.cleaner\.(dedupe\.buffer|io\.buffer)\.size$|\.load\.buffer\.size$', 'bytes'),
    (r'\.(ms|millis)$', 'ms'),
    (r'\.(seconds|secs)$', 'seconds'),
    (r'\.minutes$', 'minutes'),
    (r'\.hours$', 'hours'),
]


def unit_of(name, kind):
    if kind not in ('int', 'long'):
        return 'none'
    return next((unit for pattern, unit in UNITS if re.search(pattern, name)), 'none')


def lines_of(file):
    for number, line in enumerate((HERE / file).read_text().splitlines(), 1):
        if line.strip() and not line.startswith('#'):
            yield f'{file}:{number}', line


def rows_of(file, scope):
    for where, line in lines_of(file):
        if line.startswith('['):
            scope = line.strip('[] \n')
            continue
        columns = line.split(None, 6)
        assert len(columns) == 7, f'{where}: seven columns wanted'
        name, kind, default, rule, importance, sixth, treatment = columns
        treatment, _, note = treatment.partition(': ')
        assert scope in SCOPES and kind in TYPES and importance in ('high', 'medium', 'low'), where
        assert RULE.fullmatch(rule), f'{where}: rule {rule}'
        assert treatment in ('honoured', 'no-effect', 'refused'), f'{where}: {treatment}'
        assert (treatment == 'honoured') == (note == ''), f'{where}: say why'
        assert (sixth in MODES) == (scope == 'broker'), f'{where}: {sixth}'
        yield {
            'scope': scope, 'name': name.rstrip('*'), 'internal': name.endswith('*'), 'type': kind,
            'default': None if default == '-' else '' if default == "''" else default,
            'rule': '' if rule == '-' else rule, 'importance': importance,
            'mode': sixth if scope == 'broker' else 'cluster-wide',
            'synonyms': '' if scope == 'broker' or sixth == '-' else sixth,
            'treatment': treatment, 'note': note, 'own': file == 'drave.keys',
            'unit': unit_of(name.rstrip('*'), kind),
        }


def read():
    rows = [row for file, scope in (('broker.keys', 'broker'), ('drave.keys', 'broker'),
                                    ('topic.keys', 'topic'), ('other.keys', None))
            for row in rows_of(file, scope)]
    rows.sort(key=lambda row: (SCOPES.index(row['scope']), row['name']))
    names = [(row['scope'], row['name']) for row in rows]
    assert len(set(names)) == len(names), 'a key stands twice'
    return rows


WORDS = {'boolean': 'boolean', 'int': 'int32', 'short': 'int16', 'long': 'int64', 'double': 'float64',
         'string': 'text', 'class': 'class_name'}


def word(text):
    return WORDS.get(text, text.replace('-', '_'))


def table():
    out = ['// Made by metadata/config/generate.py from the *.keys files.']
    for row in read():
        default = 'std::nullopt' if row['default'] is None else '"%s"' % row['default']
        out.append('{ConfigScope::%s, "%s", ConfigType::%s, %s, "%s", Importance::%s, UpdateMode::%s, '
                   'Treatment::%s, "%s", "%s", Unit::%s, %s},' % (
                       word(row['scope']), row['name'], word(row['type']), default, row['rule'],
                       row['importance'], word(row['mode']), word(row['treatment']), row['note'],
                       row['synonyms'], row['unit'], 'true' if row['internal'] else 'false'))
    return '\n'.join(out) + '\n'


def removed():
    out = ['// Made by metadata/config/generate.py from removed.keys.']
    for _, line in lines_of('removed.keys'):
        name, note = line.split(None, 1)
        out.append('{"%s", "%s"},' % (name, note))
    return '\n'.join(out) + '\n'


def page():
    rows = read()
    out = [(HERE / 'page.head.md').read_text().rstrip('\n')]
    titles = [('honoured', 'Honoured'), ('no-effect', 'Accepted, without effect'), ('refused', 'Refused')]
    for scope, what in (('broker', 'Keys of the node'), ('topic', 'Keys of a topic')):
        for treatment, title in titles:
            chosen = [r for r in rows if r['scope'] == scope and r['treatment'] == treatment]
            out += ['', f'## {what}: {title.lower()}', '']
            why = treatment != 'honoured'
            out.append('| key | type | default |' + (' why |' if why else ' changes |'))
            out.append('|---|---|---|---|')
            for r in chosen:
                default = '' if r['default'] is None else f"`{r['default']}`" if r['default'] else 'empty'
                kind = r['type'] + (f" ({r['unit']})" if r['unit'] != 'none' else '')
                # listeners change at any time in Kafka, at a restart here (metadata/config/validate.h)
                last = (r['note'] if why else 'at any time' if r['mode'] == 'cluster-wide'
                        else 'at a restart')
                out.append(f"| `{r['name']}` | {kind} | {default} | {last} |")
    out += ['', '## Keys that Kafka had before 4.0', '', '| key | instead |', '|---|---|']
    out += ['| `%s` | %s |' % tuple(line.split(None, 1)) for _, line in lines_of('removed.keys')]
    return '\n'.join(out) + '\n'


def main():
    what, out = sys.argv[1:]
    if what == 'check':
        if pathlib.Path(out).read_text() != page():
            sys.exit(f'{out} is old: run metadata/config/generate.py page broker/CONFIG.md')
        return
    text = {'table': table, 'removed': removed, 'page': page}[what]()
    pathlib.Path(out).write_text(text)


if __name__ == '__main__':
    main()
