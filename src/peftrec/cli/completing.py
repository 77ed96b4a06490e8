"""What may follow on a command line: verbs, flags, groups, options, keys, values and folders of runs.

Everything is read from the grammars of the verbs, the yaml files and the classes that those name, so that nothing has
to be kept up to date; torch is not imported, and code of the user's neither.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from peftrec.cli.arguments import CODE, CONFIG_FOLDER, RUN, Composed, Grammar
from peftrec.cli.main import VERBS, grammar_of
from peftrec.config.choices import default_choices, node_of, options, root_node

RECORD = "record.json"
MOST_FOLDERS = 2000
"""Folders that are looked into for runs: who waits for the tab key does not wait for a whole disk."""
_OWN_CODE = "peftrec."


def complete(words: Sequence[str]) -> list[str]:
    """Return what the last of the words after `peftrec` may become, whole words each; nothing leaves it to the shell,
    which knows files."""
    *before, current = words or [""]
    if not before or (before == ["help"]):
        return _beginning(current, [*VERBS, *([] if before else ["help", "--help", "--version"])])
    verb, *rest = before
    if verb not in VERBS:
        return []
    grammar = grammar_of(verb)
    taking = {**grammar.options, **({CONFIG_FOLDER: "DIR"} if grammar.runs_user_code else {})}
    if rest and rest[-1] in taking:
        return []
    if current.startswith("-"):
        return _beginning(current, sorted({*grammar.flags, *taking, "--help"}))
    if "=" in current:
        return _values(grammar, rest, current)
    actions = grammar.actions if not rest else ()
    return _beginning(current, [*actions, *_keys(grammar, rest, current)])


def _beginning(current: str, words: Sequence[str]) -> list[str]:
    return [word for word in dict.fromkeys(words) if word.startswith(current)]


def _keys(grammar: Grammar, rest: Sequence[str], current: str) -> Iterator[str]:
    """Yield `key=`, and `group.` where keys lie below; those below, when the dot is there."""
    said = {word.partition("=")[0] for word in rest}
    if "." not in current:
        yield from (f"{key}=" for key in grammar.keys if key not in said)
        if grammar.runs_user_code:
            yield f"{CODE}="
    for key in grammar.beside:
        group, dot, _ = key.partition(".")
        yield f"{group}." if dot and "." not in current else f"{key}="
    if grammar.composes is None:
        return
    folder = grammar.composes.folder
    groups = options(folder)
    if "." in current:
        yield from (f"{key}=" for key in _configuration(grammar.composes, rest))
        return
    yield from (f"{group}=" for group in groups)
    for key, value in root_node(folder).items():
        yield f"{key}." if isinstance(value, Mapping) else f"{key}="
    yield from (f"{group}." for group, option in default_choices(folder).items() if node_of(group, option, folder))


def _values(grammar: Grammar, rest: Sequence[str], current: str) -> list[str]:
    """Return the word with each value that may stand there; after a comma, with one more."""
    key, _, text = current.partition("=")
    first, comma, last = text.rpartition(",")
    if key == RUN and RUN in grammar.keys:
        return [f"{RUN}={folder}" for folder in _runs(text)]
    known = _known_values(grammar, rest, key)
    taken = {*first.split(",")} if comma else set()
    return [f"{key}={first}{comma}{value}" for value in known if value.startswith(last) and value not in taken]


def _known_values(grammar: Grammar, rest: Sequence[str], key: str) -> Sequence[str]:
    if key in (listed := {**grammar.among, **grammar.values}):
        return listed[key]
    if grammar.composes is None:
        return ()
    groups = options(grammar.composes.folder)
    return groups[key] if key in groups else _configuration(grammar.composes, rest).get(key, ())


def _configuration(composed: Composed, rest: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the dotted keys of the configuration that the words compose, with the values of each where they can be
    listed."""
    folder = composed.folder
    chosen = default_choices(folder)
    chosen |= {key: value for key, _, value in (word.partition("=") for word in rest) if key in options(folder)}
    nodes = {group: node_of(group, option.partition(",")[0], folder) for group, option in chosen.items()}
    whole = {**root_node(folder), **nodes}
    if not composed.settings:
        return dict.fromkeys(_yaml_keys(whole), ())
    module, _, name = composed.settings.partition(":")
    return dict(_class_keys(_imported(f"{module}.{name}"), whole))


def _yaml_keys(node: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in node.items():
        if key == "_target_":
            continue
        yield from _yaml_keys(value, f"{prefix}{key}.") if isinstance(value, Mapping) and value else (prefix + key,)


def _class_keys(part: type, node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the keys of a part: of the class that its node names, or of the one that its field declares."""
    import inspect

    from peftrec.config.fields import entries_of, fields_of, part_classes, told_class

    for name, field in fields_of(part).items():
        if (entries := entries_of(field)) is not None:
            for each in [each for each in node if each not in fields_of(part) and isinstance(node[each], Mapping)]:
                told = told_class(entries.classes, node[each])
                yield from () if told is None else _class_keys(told, node[each], f"{prefix}{each}.")
            continue
        below = node.get(name)
        below = below if isinstance(below, Mapping) else {}
        target = below.get("_target_")
        nested = part_classes(field.annotation)
        if isinstance(target, str):
            nested = (_imported(target),) if target.startswith(_OWN_CODE) else ()
        if nested and not inspect.isabstract(nested[0]):
            yield from _class_keys(nested[0], below, f"{prefix}{name}.")
        elif below:
            yield from ((key, ()) for key in _yaml_keys(below, f"{prefix}{name}."))
        else:
            yield prefix + name, tuple(_literals(field.annotation))


def _literals(annotation: Any) -> Iterator[str]:
    """Yield the values that a type lists."""
    if annotation is bool:
        yield from ("true", "false")
    elif get_origin(annotation) is Literal:
        yield from (str(each) for each in get_args(annotation))
    elif get_origin(annotation) is not tuple:
        for each in get_args(annotation):
            yield from _literals(each)


def _imported(path: str) -> Any:
    import pkgutil

    return pkgutil.resolve_name(path)


def _runs(typed: str) -> list[str]:
    """Return the folders of runs that begin as is typed; without anything typed also those below `runs`."""
    parent = typed.rpartition("/")[0]
    starts = [parent or ("/" if typed.startswith("/") else "."), *([] if parent else ["runs"])]
    found = {folder for start in starts for folder in _with_records(Path(start))}
    return sorted(folder for folder in found if folder.startswith(typed))


def _with_records(start: Path) -> Iterator[str]:
    """Yield folders with a record, at most three levels below."""
    level, looked = [start], 0
    for _ in range(3):
        below: list[Path] = []
        for folder in level:
            looked += 1
            if looked > MOST_FOLDERS:
                return
            try:
                with os.scandir(folder) as entries:
                    inner = [Path(entry.path) for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
            except OSError:
                continue
            below += inner
        yield from (folder.as_posix() for folder in below if (folder / RECORD).is_file())
        level = below
