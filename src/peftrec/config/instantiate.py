"""Strict parts from plain configuration nodes, and back to nodes.

A node with `_target_` names its class by import path; a node without is of the class that its field declares, the
first one of a union, and of parts that the user names, of the first whose required keys it gives. Every mistake is one
SettingsError with the whole dotted key, what stands there, what is expected and the nearest valid key.
"""

import inspect
import math
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from typing import Annotated, Any, TypeVar

from pydantic import ConfigDict, JsonValue, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import to_json

from peftrec.code.user_code import require
from peftrec.config.fields import (
    TARGET,
    Entries,
    entries_of,
    fields_of,
    is_unsaid,
    may_be_null,
    named_field,
    part_classes,
    told_class,
    untold_kind,
    ways_to_tell,
    what_to_write,
)
from peftrec.config.unknown_keys import MissingKeysError, UnknownKeysError
from peftrec.config.validation_messages import describe, explain
from peftrec.errors import SettingsError, nearest_name

MISSING = "???"
"""How yaml says that a value must be given."""

_LARGEST = 2**63  # records and tables hold whole numbers below it

Node = Mapping[str, Any]
PartType = TypeVar("PartType")


def build_part(declared: type[PartType], node: Node, key: str = "") -> PartType:
    """Build `declared`, or the class derived from it that `node` names; `key` is where the node stands."""
    known: list[str] = []
    unknown: dict[str, Any] = {}
    draft = _draft((declared,), node, key, _Reading(root=node, known=known, unknown=unknown))
    if unknown:
        raise UnknownKeysError(unknown, known)
    if missing := list(_missing_keys(draft)):
        raise MissingKeysError(missing)
    part: PartType = _finish(draft)
    return part


def describe_part(part: Any, declared: type | None = None) -> dict[str, JsonValue]:
    """Return the node that builds an equal part, defaults included; `declared` is the class of the field it fills."""
    node: dict[str, JsonValue] = {}
    if declared is not type(part):
        node[TARGET] = f"{type(part).__module__}.{type(part).__qualname__}"
    for name, field in fields_of(type(part)).items():
        value = getattr(part, name)
        if is_unsaid(field, value):
            continue
        if (entries := entries_of(field)) is not None:
            node |= {key: _describe_entry(entries, each) for key, each in value.items()}
        elif is_dataclass(value) and (declared_classes := part_classes(field.annotation)):
            node[name] = describe_part(value, declared_classes[0])
        else:
            node[name] = _leaf_adapter(field).dump_python(value, mode="json")
    return node


def _describe_entry(entries: Entries, value: Any) -> Any:
    """Return the node, or the value, that stands under a name."""
    if not entries.classes:
        return _leaf_adapter(entries.value).dump_python(value, mode="json")
    node = describe_part(value, type(value))
    return node if told_class(entries.classes, node) is type(value) else describe_part(value)


def with_defaults(classes: tuple[type, ...], node: Node, key: str = "") -> dict[str, Any]:
    """Return a node of one of `classes` with the defaults of its class, as `describe_part` gives them. Values are taken
    as they stand, and nothing is built."""
    part_class = _choose_class(classes, node, key)
    found: dict[str, Any] = {} if part_class is classes[0] else {TARGET: node[TARGET]}
    for name, field in fields_of(part_class).items():
        nested = part_classes(field.annotation)
        value = node.get(name)
        if (entries := entries_of(field)) is not None:
            others = {each: inner for each, inner in node.items() if each not in fields_of(part_class)}
            found |= _entries_with_defaults(entries, others, key)
        elif nested and isinstance(value, Mapping):
            found[name] = with_defaults(nested, value, f"{key}.{name}" if key else name)
        elif name in node:
            found |= {} if is_unsaid(field, value) else {name: value}
        elif not field.is_required():
            default = field.get_default(call_default_factory=True)
            if is_unsaid(field, default):
                continue
            is_part = nested and is_dataclass(default)
            found[name] = (
                describe_part(default, nested[0]) if is_part else _leaf_adapter(field).dump_python(default, mode="json")
            )
    return found


def fields_of_node(node: Node) -> dict[str, FieldInfo]:
    """Return the fields of the class that a node names, none where it leaves the class to its place."""
    return fields_of(_import_class(node[TARGET], (object,), TARGET)) if TARGET in node else {}


def _entries_with_defaults(entries: Entries, node: Node, key: str) -> dict[str, Any]:
    return {
        name: with_defaults(_told_first(entries, value), value, f"{key}.{name}") if entries.classes else value
        for name, value in node.items()
        if entries.take(name, value, {})
    }


def _told_first(entries: Entries, node: Node) -> tuple[type, ...]:
    """Return the classes of an entry, that first which its keys tell."""
    told = told_class(entries.classes, node)
    return entries.classes if told is None else (told, *entries.classes)


@dataclass(frozen=True, kw_only=True)
class _Draft:
    """A node whose class is known and whose keys are sorted into fields; nothing is validated yet."""

    part_class: type
    key: str
    values: dict[str, Any]
    """Field to a plain value, or to the draft of a nested part."""

    def path(self, name: str) -> str:
        return f"{self.key}.{name}" if self.key else name


@dataclass(frozen=True, kw_only=True)
class _Reading:
    """The whole configuration, and what was found of its keys so far."""

    root: Node
    known: list[str]
    unknown: dict[str, Any]


def _draft(classes: tuple[type, ...], node: Node, key: str, reading: _Reading) -> _Draft:
    draft = _Draft(part_class=_choose_class(classes, node, key), key=key, values={})
    fields = fields_of(draft.part_class)
    field, entries = named_field(draft.part_class) or (None, None)
    written = set(fields) - {field}  # the field of named parts is never a key itself
    reading.known.extend(draft.path(name) for name in fields if name in written)
    for name, value in node.items():
        if name == TARGET:
            continue
        if name in written:
            nested = part_classes(fields[name].annotation)
            is_nested = nested and isinstance(value, Mapping)
            draft.values[name] = _draft(nested, value, draft.path(name), reading) if is_nested else value
        elif entries is not None and entries.take(name, value, reading.root):
            reading.known.append(draft.path(name))
            near = nearest_name(name, written)
            drafted = _draft_entry(entries, value, draft.path(name), reading, near) if entries.classes else value
            draft.values.setdefault(str(field), {})[name] = drafted
        elif not (entries is not None and entries.is_left_out(name, value, beside=written)):
            reading.unknown.update(_leaves(draft.path(name), value))
    return draft


def _draft_entry(entries: Entries, node: Node, key: str, reading: _Reading, near: str | None) -> _Draft:
    """Read a part that the user named; `near` is a field that is called nearly so. Raises SettingsError where its keys
    do not tell what it is."""
    if TARGET not in node and told_class(entries.classes, node) is None:
        if (untold := untold_kind(entries.classes, node)) is not None:
            raise SettingsError(_no_such_kind(key, node, *untold, entries.mark.otherwise.format(key=key)))
        meant = "" if near is None else f"; or did you mean {key.rpartition('.')[0]}.{near}?"
        raise SettingsError(f"{key}: say what it is by {ways_to_tell(entries.classes, key)}{meant}")
    return _draft(_told_first(entries, node), node, key, reading)


def _no_such_kind(key: str, node: Node, name: str, kinds: list[str], otherwise: str) -> str:
    value = node[name]
    near = nearest_name(value, kinds) if isinstance(value, str) else None
    meant = otherwise if near is None else f"did you mean {near}?"
    return f"{key}.{name}: expected {' or '.join(kinds)}, got {describe(value)}" + (f"; {meant}" if meant else "")


def _choose_class(classes: tuple[type, ...], node: Node, key: str) -> type:
    if TARGET in node:
        return _import_class(node[TARGET], classes, f"{key}.{TARGET}" if key else TARGET)
    if inspect.isabstract(classes[0]):
        raise SettingsError(f"{key}.{TARGET} is required: name a class derived from {_names(classes)}")
    return classes[0]


def _import_class(path: object, bases: tuple[type, ...], key: str) -> type:
    require(str(path), key)
    try:
        found = pkgutil.resolve_name(str(path))
    except SyntaxError as error:
        raise SettingsError(f"{key}: {error.filename}:{error.lineno}: {error.msg}; Python cannot read it") from error
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingsError(f"{key}: cannot import {describe(path)}: {error}") from error
    if not (inspect.isclass(found) and issubclass(found, bases)):
        raise SettingsError(f"{key}: expected a class derived from {_names(bases)}, got {path}")
    if inspect.isabstract(found) or not part_classes(found):
        raise SettingsError(
            f"{key}: {path} is abstract, or lacks the decorator of strict dataclasses (peftrec.config.strict)"
        )
    return found


def _names(classes: tuple[type, ...]) -> str:
    return " or ".join(f"{each.__module__}.{each.__qualname__}" for each in classes)


def _leaves(key: str, value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not value:
        return {key: value}
    return {leaf: end for name, inner in value.items() for leaf, end in _leaves(f"{key}.{name}", inner).items()}


def _missing_keys(draft: _Draft) -> list[tuple[str, str]]:
    """Return the required keys that nothing gives, each with what to write."""
    missing: list[tuple[str, str]] = []
    for name, field in fields_of(draft.part_class).items():
        value = draft.values.get(name, MISSING if field.is_required() else None)
        if isinstance(value, _Draft):
            missing.extend(_missing_keys(value))
        elif entries_of(field) is not None:
            for each in (value or {}).values():
                missing.extend(_missing_keys(each) if isinstance(each, _Draft) else ())
        elif value == MISSING:
            missing.append((draft.path(name), what_to_write(field, draft.path(name))))
    return missing


def _finish(draft: _Draft) -> Any:
    fields, values, wrong = fields_of(draft.part_class), dict[str, Any](), list[str]()
    for name, value in draft.values.items():
        try:
            values[name] = _finished(fields[name], value, draft, name)
        except SettingsError as error:  # told with those of the other fields
            wrong.append(str(error))
    if wrong:
        raise SettingsError("\n".join(wrong))
    try:
        return draft.part_class(**values)
    except ValidationError as error:
        raise SettingsError(explain(error, draft.key)) from error


def _finished(field: FieldInfo, value: Any, draft: _Draft, name: str) -> Any:
    if (entries := entries_of(field)) is not None:
        return {each: _finished(entries.value, inner, draft, each) for each, inner in value.items()}
    return _finish(value) if isinstance(value, _Draft) else _read_leaf(field, value, draft.path(name))


def _read_leaf(field: FieldInfo, value: object, key: str) -> Any:
    """Validate as JSON, where a strict tuple accepts yaml's list while every scalar stays strict."""
    classes = part_classes(field.annotation)
    if classes and not (value is None and may_be_null(field)):
        names = ", ".join(f"{key}.{name}" for each in classes for name in fields_of(each))
        raise SettingsError(f"{key}: expected a group of keys ({names or _names(classes)}), got {describe(value)}")
    try:
        leaf = _leaf_adapter(field).validate_json(to_json(value))
    except ValidationError as error:
        raise SettingsError(explain(error, key, value, or_null=may_be_null(field))) from error
    for number in _numbers(leaf):
        if not abs(number) < (_LARGEST if isinstance(number, int) else math.inf):
            raise SettingsError(f"{key}: expected a number that a record can hold, got {describe(value)}")
    return leaf


def _numbers(leaf: object) -> Iterator[int | float]:
    """Yield the numbers of a value, and of what it maps to or lists."""
    if isinstance(leaf, int | float):
        yield leaf
    elif isinstance(leaf, dict | list | tuple):
        for each in leaf.values() if isinstance(leaf, dict) else leaf:
            yield from _numbers(each)


def _leaf_adapter(field: FieldInfo) -> TypeAdapter[Any]:
    annotation: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    return TypeAdapter(annotation, config=None if part_classes(annotation) else _LEAF)


_LEAF = ConfigDict(strict=True, arbitrary_types_allowed=True)
