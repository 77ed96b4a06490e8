"""The page of every key of the configuration, from the dataclasses that check it and the yaml files of conf/.

`make docs` writes docs/configuration_keys.md anew; a test compares it, and refuses a key without a docstring.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import yaml
from configuration_words import code, plain, sentence, type_words, value_words
from markdown_pages import REPOSITORY

from peftrec.cold_start.cold_items import ColdItemsSettings
from peftrec.cold_start.experiment import ColdStartSettings
from peftrec.config.fields import TARGET, Entries, entries_of, fields_of, part_classes
from peftrec.config.instantiate import MISSING
from peftrec.config.roles import Role
from peftrec.profiles.settings import ProfileSettings
from peftrec.series.settings import ClassifySettings
from peftrec.settings.composition import FILLED_BY_CHOICE
from peftrec.settings.run import Settings
from peftrec.tuning.settings import TuneSettings
from peftrec.user_groups.settings import GroupsSettings

KEYS_PAGE = REPOSITORY / "docs" / "configuration_keys.md"
CONF = REPOSITORY / "conf"
ROOTS: tuple[tuple[str, Path, type], ...] = (
    ("A run: peftrec train, and every verb that trains", CONF, Settings),
    ("peftrec tune", CONF / "tune", TuneSettings),
    ("peftrec recommend profile=..., peftrec retrieval", CONF / "profiles", ProfileSettings),
    ("peftrec coldstart", CONF / "cold_start", ColdStartSettings),
    ("peftrec coldstart run=RUN_DIR", CONF / "cold_items", ColdItemsSettings),
    ("peftrec groups", CONF / "groups", GroupsSettings),
    ("peftrec classify", CONF / "series", ClassifySettings),
)
"""Who takes the keys, the folder of the yaml files, and the class of the settings."""
INTRODUCTION = """# Every key of the configuration

<!-- Written by `make docs` from the settings' classes and conf/; docs/configuration_tables.py says how. -->

What each key of a command, `KEY=VALUE`, takes, its default, what it decides and what it means.
[Configuration](configuration.md) says how options and keys go together; `peftrec train --cfg ...` prints what they come
to. A key decides the *result* (then it is part of a run's name), the *cost* (how a run is executed) or a *place* (where
something lies, or how it is shown). Where no default stands, the key is required, or every option gives it.
"""
NOT_OPTIONS = frozenset({"search"})
"""Folders of conf/ whose files are no choice of a command: docs/tuning.md explains them."""
SAYS_MUCH = frozenset({"experiment", "debug"})
"""Groups whose files are diffs of a whole configuration, and say themselves what for."""


@dataclass(frozen=True, kw_only=True)
class Key:
    """A row of the page."""

    name: str
    takes: str
    default: str
    role: Role
    text: str


@dataclass(frozen=True, kw_only=True)
class Option:
    """A yaml file that a command may choose."""

    name: str
    about: str
    sets: Mapping[str, Any]
    """What it says, by dotted keys below its group."""

    def sets_otherwise(self) -> str:
        """Say what it sets to something else than its class does."""
        part_class = resolve_name(self.sets[TARGET]) if TARGET in self.sets else None
        found = []
        for key, value in self.sets.items():
            field = fields_of(part_class).get(key) if part_class else None
            is_default = field is not None and not field.is_required() and _default(field) == value
            if not (is_default or value == MISSING or key.endswith(TARGET) or key == "display_name"):
                found.append(code(f"{key}={value_words(value)}"))
        return ", ".join(found)


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading with its options and its keys."""

    title: str
    about: str = ""
    options: Sequence[Option] = ()
    keys: Sequence[Key] = ()


Choices = Mapping[type, Sequence[str]]
"""A class to the options whose files name it."""


def keys_page() -> str:
    """Return the page."""
    lines = [INTRODUCTION]
    for title, folder, settings in ROOTS:
        lines.append(f"## {title}\n")
        for section in sections(folder, settings):
            lines += _written(section)
    return "\n".join(lines).rstrip() + "\n"


def sections(folder: Path, settings: type) -> Iterator[Section]:
    """Yield what settings consist of: their own keys, their groups, then options that set keys of several groups."""
    root = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    choices = _chosen_by(folder)
    yield Section(title="", keys=list(_leaves(settings, "", root, Role.RESULT)))
    for name, field in fields_of(settings).items():
        if classes := part_classes(field.annotation):
            options = list(_options(folder / name))
            yield Section(title=f"`{name}`", options=options)
            parts = _parts(classes, f"{name}.", root.get(name) or {}, _role(field.metadata, Role.RESULT), choices)
            yield from _joined(parts)
    for group in sorted(path for path in folder.iterdir() if path.is_dir()):
        is_own = not (group / "config.yaml").exists() and group.name not in NOT_OPTIONS
        if is_own and group.name not in fields_of(settings):
            yield Section(title=f"`{group.name}`", options=list(_options(group)))


def _joined(parts: Iterator[Section]) -> Iterator[Section]:
    """Join sections that follow each other and are about the same: a class and what it inherits."""
    for about, same in groupby(parts, lambda section: section.about):
        yield Section(title="", about=about, keys=[key for section in same for key in section.keys])


def _parts(
    classes: Sequence[type], prefix: str, values: Mapping[str, Any], role: Role, choices: Choices
) -> Iterator[Section]:
    """Yield a section for every class that may stand below a prefix: what it declares itself, each class once."""
    possible = [each for each in classes if not inspect.isabstract(each)]
    possible += [each for each in choices if issubclass(each, tuple(classes)) and each not in possible]
    ancestors = [one for each in possible for one in reversed(each.__mro__) if fields_of(one)]
    for part_class in dict.fromkeys(ancestors):
        users = [each for each in possible if issubclass(each, part_class)]
        about = "" if len(possible) == 1 else _whose(users, possible, choices, prefix)
        keys = list(_leaves(part_class, prefix, values, role))
        if keys:
            yield Section(title="", about=about, keys=keys)
        for name in _declared(part_class):
            field = fields_of(part_class)[name]
            if (entries := entries_of(field)) is not None:
                yield from _named(part_class, entries, f"{prefix}NAME.", _role(field.metadata, role))
            elif inner := part_classes(field.annotation):
                yield from _parts(inner, f"{prefix}{name}.", {}, _role(field.metadata, role), choices)


def _named(part_class: type, entries: Entries, prefix: str, role: Role) -> Iterator[Section]:
    """Yield what parts under names of the user's own have beside what the fields of their class say already."""
    beside = {one for field in fields_of(part_class).values() for one in part_classes(field.annotation)}
    for each in (one for one in entries.classes if one not in beside):
        yield Section(title="", about=f"What {code(prefix[:-1])} has:", keys=list(_leaves(each, prefix, {}, role)))


def _whose(users: Sequence[type], possible: Sequence[type], choices: Choices, prefix: str) -> str:
    """Name who has keys by the options that choose it; what no option names stands below the prefix by default."""
    if list(users) == list(possible):
        return "What all have:"
    named = dict.fromkeys(option for each in users for option in choices.get(each, [prefix[:-1]]))
    return f"What {', '.join(map(code, named))} {'has' if len(named) == 1 else 'have'}:"


def _leaves(part_class: type, prefix: str, values: Mapping[str, Any], role: Role) -> Iterator[Key]:
    for name in _declared(part_class):
        field = fields_of(part_class)[name]
        if part_classes(field.annotation) or name == FILLED_BY_CHOICE:
            continue
        if (entries := entries_of(field)) is not None:
            takes = "a group of keys" if entries.classes else type_words(entries.value)
            text = _text(part_class, name)
            yield Key(name=f"{prefix}NAME", takes=takes, default="", role=_role(field.metadata, role), text=text)
            continue
        has_value = name in values and values[name] != MISSING
        value = values[name] if has_value else (None if field.is_required() else _default(field))
        yield Key(
            name=f"{prefix}{name}",
            takes=type_words(field),
            default="" if field.is_required() and not has_value else code(value_words(value)),
            role=_role(field.metadata, role),
            text=_text(part_class, name),
        )


def _declared(part_class: type) -> list[str]:
    """Return the fields that a class itself declares."""
    return [name for name in inspect.get_annotations(part_class) if name in fields_of(part_class)]


def _text(part_class: type, name: str) -> str:
    """Return the docstring of a field, of the class that last gave it one."""
    found = (fields_of(each)[name].description for each in part_class.__mro__ if name in fields_of(each))
    return next(filter(None, found), "")


def _default(field: Any) -> Any:
    return plain(field, field.get_default(call_default_factory=True))


def _role(metadata: Sequence[Any], inherited: Role) -> Role:
    return next((each for each in metadata if isinstance(each, Role)), inherited)


def _options(group: Path) -> Iterator[Option]:
    for file in sorted(group.rglob("*.yaml")) if group.is_dir() else ():
        text = file.read_text(encoding="utf-8")
        comment = [line[1:].strip() for line in text.splitlines() if line.startswith("#") and "@package" not in line]
        name = file.relative_to(group).with_suffix("").as_posix()
        yield Option(name=name, about=_first_sentences(comment), sets=_flat(_node(file)))


def _first_sentences(comment: Sequence[str]) -> str:
    """Return a header up to its first field (`Command:  ...`), which is for those who read the file."""
    kept = []
    for line in comment:
        if line.partition(" ")[0].endswith(":") and line.partition(" ")[2].startswith(" "):
            break
        kept.append(line)
    return " ".join(kept)


def _node(file: Path) -> dict[str, Any]:
    """Return what a yaml file says, over what those beside it say that it begins with."""
    node = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    merged: dict[str, Any] = {}
    for base in node.pop("defaults", []):
        beside = file.parent / f"{base}.yaml"
        if isinstance(base, str) and beside.exists():
            merged |= _node(beside)
    return merged | node


def _chosen_by(folder: Path) -> dict[type, list[str]]:
    """Return every class that the yaml files of a folder name, with the options that do."""
    named: dict[str, list[str]] = {}
    for group in sorted(path for path in folder.iterdir() if path.is_dir() and not (path / "config.yaml").exists()):
        for option in _options(group):
            for target in dict.fromkeys(value for key, value in option.sets.items() if key.endswith(TARGET)):
                named.setdefault(target, []).append(option.name)
    return {resolve_name(target): options for target, options in named.items()}


def _flat(node: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in node.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) and value else {f"{prefix}{key}": value}
    return flat


def _written(section: Section) -> Iterator[str]:
    if section.title:
        yield f"### {section.title}\n"
    if section.options:
        group = section.title.strip("`")
        yield "| option | sets | what it is |\n|---|---|---|"
        for option in section.options:
            sets = "" if group in SAYS_MUCH else option.sets_otherwise()
            yield f"| {code(f'{group}={option.name}')} | {sets} | {sentence(option.about)} |"
        yield ""
    if section.keys:
        if section.about:
            yield f"{section.about}\n"
        yield "| key | takes | default | decides | what it is |\n|---|---|---|---|---|"
        for key in section.keys:
            cells = (code(key.name), key.takes, key.default, key.role.value, sentence(key.text))
            yield f"| {' | '.join(cells)} |"
        yield ""
