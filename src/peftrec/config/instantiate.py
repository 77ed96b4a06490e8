"""Strict parts from plain configuration nodes, and back to nodes.

A node with `_target_` names its class by import path; a node without is of the class that its field declares, the
first one of a union. Every mistake is one SettingsError with the whole dotted key, what stands there, what is expected
and the nearest valid key.
"""

import inspect
import math
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from typing import Annotated, Any, TypeVar, get_args

from pydantic import ConfigDict, JsonValue, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import to_json

from peftrec.code.user_code import require
from peftrec.config.validation_messages import describe, explain, placeholder
from peftrec.errors import SettingsError, nearest_name

TARGET = "_target_"
MISSING = "???"
"""How yaml says that a value must be given."""

_SHOWN = 5  # unknown keys
_LARGEST = 2**63  # records and tables hold whole numbers below it

Node = Mapping[str, Any]
Answer = Callable[[str, Any], str | None]
"""From an unknown key and its value to what to write instead."""
PartType = TypeVar("PartType")


class UnknownKeysError(SettingsError):
    """Keys that the configuration does not have, with their values."""

    def __init__(self, unknown: Node, known: Sequence[str]) -> None:
        super().__init__(explain_unknown(unknown, known))
        self.unknown = unknown
        self.known = known


def build_part(declared: type[PartType], node: Node, key: str = "") -> PartType:
    """Build `declared`, or the class derived from it that `node` names; `key` is where the node stands."""
    known: list[str] = []
    unknown: dict[str, Any] = {}
    draft = _draft((declared,), node, key, known, unknown)
    if unknown:
        raise UnknownKeysError(unknown, known)
    missing = list(_missing_keys(draft))
    if missing:
        raise SettingsError("\n".join(f"{path} is required: set {path}={placeholder(path)}" for path in missing))
    part: PartType = _finish(draft)
    return part


def describe_part(part: Any, declared: type | None = None) -> dict[str, JsonValue]:
    """Return the node that builds an equal part, defaults included; `declared` is the class of the field it fills."""
    node: dict[str, JsonValue] = {}
    if declared is not type(part):
        node[TARGET] = f"{type(part).__module__}.{type(part).__qualname__}"
    for name, field in fields_of(type(part)).items():
        value = getattr(part, name)
        if is_dataclass(value) and (declared_classes := part_classes(field.annotation)):
            node[name] = describe_part(value, declared_classes[0])
        else:
            node[name] = _leaf_adapter(field).dump_python(value, mode="json")
    return node


def with_defaults(classes: tuple[type, ...], node: Node, key: str = "") -> dict[str, Any]:
    """Return a node of one of `classes` with the defaults of its class, as `describe_part` gives them. Values are taken
    as they stand, and nothing is built."""
    part_class = _choose_class(classes, node, key)
    found: dict[str, Any] = {} if part_class is classes[0] else {TARGET: node[TARGET]}
    for name, field in fields_of(part_class).items():
        nested = part_classes(field.annotation)
        value = node.get(name)
        if nested and isinstance(value, Mapping):
            found[name] = with_defaults(nested, value, f"{key}.{name}" if key else name)
        elif name in node:
            found[name] = value
        elif not field.is_required():
            default = field.get_default(call_default_factory=True)
            is_part = nested and is_dataclass(default)
            found[name] = (
                describe_part(default, nested[0]) if is_part else _leaf_adapter(field).dump_python(default, mode="json")
            )
    return found


def fields_of(part_class: type) -> dict[str, FieldInfo]:
    """Return the fields of a pydantic dataclass, by name."""
    fields: dict[str, FieldInfo] = vars(part_class).get("__pydantic_fields__", {})
    return fields


def part_classes(annotation: Any) -> tuple[type, ...]:
    """Return the pydantic dataclasses that `annotation` allows: itself, or members of a union."""
    members = get_args(annotation) or (annotation,)
    return tuple(each for each in members if inspect.isclass(each) and "__pydantic_fields__" in vars(each))


@dataclass(frozen=True, kw_only=True)
class _Draft:
    """A node whose class is known and whose keys are sorted into fields; nothing is validated yet."""

    part_class: type
    key: str
    values: dict[str, Any]
    """Field to a plain value, or to the draft of a nested part."""

    def path(self, name: str) -> str:
        return f"{self.key}.{name}" if self.key else name


def _draft(classes: tuple[type, ...], node: Node, key: str, known: list[str], unknown: dict[str, Any]) -> _Draft:
    draft = _Draft(part_class=_choose_class(classes, node, key), key=key, values={})
    fields = fields_of(draft.part_class)
    known.extend(draft.path(name) for name in fields)
    for name, value in node.items():
        if name == TARGET:
            continue
        if name not in fields:
            unknown |= _leaves(draft.path(name), value)
            continue
        nested = part_classes(fields[name].annotation)
        is_nested = nested and isinstance(value, Mapping)
        draft.values[name] = _draft(nested, value, draft.path(name), known, unknown) if is_nested else value
    return draft


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


def explain_unknown(unknown: Node, known: Sequence[str], answer: Answer | None = None) -> str:
    """Return a line for each key: what `answer` says to write in its place, else the nearest known key."""
    lines = []
    for key, value in unknown.items():
        instead = answer(key, value) if answer is not None else None
        lines.append(_unknown_key_message(key, known) if instead is None else f"unknown key {key}; write {instead}")
    return "\n".join(lines[:_SHOWN] + ([f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []))


def _unknown_key_message(key: str, known: Sequence[str]) -> str:
    corrected = _correct(key, known)
    if corrected and corrected.count(".") == key.count("."):
        return f"unknown key {key}; did you mean {corrected}?"
    if same_name := [each for each in known if each.rpartition(".")[2] == key]:
        return f"unknown key {key}; did you mean {same_name[0]}?"
    there = _children(corrected, known)
    place = corrected or "the root"
    return f"unknown key {key}; the keys of {place} are {', '.join(there)}" if there else f"unknown key {key}"


def _correct(key: str, known: Sequence[str]) -> str:
    """Follow `key` as far as its parts resemble known ones, and return the known key reached: all of it, or a group."""
    reached = ""
    for part in key.split("."):
        names = _children(reached, known)
        near = part if part in names else nearest_name(part, names)
        if near is None:
            return reached
        reached = f"{reached}.{near}" if reached else near
    return reached


def _children(group: str, known: Sequence[str]) -> list[str]:
    split = [each.rpartition(".") for each in known]
    return [name for parent, _, name in split if parent == group]


def _missing_keys(draft: _Draft) -> list[str]:
    missing = []
    for name, field in fields_of(draft.part_class).items():
        value = draft.values.get(name, MISSING if field.is_required() else None)
        if isinstance(value, _Draft):
            missing.extend(_missing_keys(value))
        elif value == MISSING:
            missing.append(draft.path(name))
    return missing


def _finish(draft: _Draft) -> Any:
    fields = fields_of(draft.part_class)
    values = {
        name: _finish(value) if isinstance(value, _Draft) else _read_leaf(fields[name], value, draft.path(name))
        for name, value in draft.values.items()
    }
    try:
        return draft.part_class(**values)
    except ValidationError as error:
        raise SettingsError(explain(error, draft.key)) from error


def _read_leaf(field: FieldInfo, value: object, key: str) -> Any:
    """Validate as JSON, where a strict tuple accepts yaml's list while every scalar stays strict."""
    classes = part_classes(field.annotation)
    if classes and value is not None:
        names = ", ".join(f"{key}.{name}" for each in classes for name in fields_of(each))
        raise SettingsError(f"{key}: expected a group of keys ({names or _names(classes)}), got {describe(value)}")
    try:
        leaf = _leaf_adapter(field).validate_json(to_json(value))
    except ValidationError as error:
        raise SettingsError(explain(error, key)) from error
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
