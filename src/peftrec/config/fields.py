"""The fields of strict dataclasses: which hold parts, which hold parts by names that the user chooses, and which came
later."""

import inspect
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic.fields import FieldInfo

from peftrec.config.validation_messages import placeholder
from peftrec.errors import nearest_name

TARGET = "_target_"
"""Key under which a node names its class, by import path."""


def fields_of(part_class: type) -> dict[str, FieldInfo]:
    """Return the fields of a pydantic dataclass, by name."""
    fields: dict[str, FieldInfo] = vars(part_class).get("__pydantic_fields__", {})
    return fields


def part_classes(annotation: Any) -> tuple[type, ...]:
    """Return the pydantic dataclasses that `annotation` allows: itself, or members of a union."""
    members = () if get_origin(annotation) is dict else get_args(annotation) or (annotation,)
    return tuple(each for each in members if inspect.isclass(each) and "__pydantic_fields__" in vars(each))


def what_to_write(field: FieldInfo, key: str) -> str:
    """Return the words that give a required field: a part is left out where it may be, and else given what it needs."""
    classes = part_classes(field.annotation)
    if classes and may_be_null(field):
        return f"{key}=null"
    if not classes or inspect.isabstract(classes[0]):
        return f"{key}={placeholder(key)}"
    needed = [(each, f"{key}.{name}") for name, each in fields_of(classes[0]).items() if each.is_required()]
    return " ".join(what_to_write(each, path) for each, path in needed) or f"{key}={{}}"


def may_be_null(field: FieldInfo) -> bool:
    """Say whether null may stand there."""
    return type(None) in get_args(field.annotation)


@dataclass(frozen=True, kw_only=True)
class Named:
    """Marks a field that holds parts, or values, by names that the user chooses; in a node they stand beside the keys
    of the other fields.

        others: Annotated[dict[str, Part], Named()]               GROUP.NAME.KEY
        rates: Annotated[dict[str, float], Named(of="towers")]    GROUP.NAME, of the names that the group `towers` has
    """

    of: str | None = None
    """Group of the root whose names they are; null takes any identifier."""
    otherwise: str = ""
    """What to do where a part would be of a kind that there is not; `{key}` is where it stands."""


@dataclass(frozen=True)
class Later:
    """Marks a field that came when runs had names already. While it has its default no configuration holds it, so that
    what a run asks, and its name, are those of before.

        texts: Annotated[dict[str, tuple[str, ...]], Later()] = field(default_factory=dict)
    """


def is_unsaid(field: FieldInfo, value: object) -> bool:
    """Say whether a configuration leaves a value out."""
    is_later = any(isinstance(each, Later) for each in field.metadata)
    return is_later and value == field.get_default(call_default_factory=True)


@dataclass(frozen=True, kw_only=True)
class Entries:
    """What a field that is marked so holds."""

    mark: Named
    value: FieldInfo
    """As of a field that holds one of them."""

    @property
    def classes(self) -> tuple[type, ...]:
        """The parts that an entry may be; none where it is a value."""
        return part_classes(self.value.annotation)

    def take(self, name: str, value: object, root: Mapping[str, Any]) -> bool:
        """Say whether a key that no field has is a name, of what an entry may be. `root` is the whole configuration."""
        names = root.get(self.mark.of) if self.mark.of is not None else None
        if isinstance(names, Mapping) and name not in names:
            return False
        return name.isidentifier() and not name.startswith("_") and isinstance(value, Mapping) == bool(self.classes)

    def is_left_out(self, name: str, value: object, *, beside: Iterable[str]) -> bool:
        """Say whether a key names a part that null leaves out. One that is called nearly as a field is a mistake,
        unless the field's name is a word of it (`text2`, `second_text`): that is no slip."""
        if value is not None or not self.classes or not name.isidentifier():
            return False
        near = nearest_name(name, beside)
        return near is None or near in re.split(r"[_\d]+", name)


def entries_of(field: FieldInfo) -> Entries | None:
    """Return what a field holds by names that the user chooses; None where it is any other."""
    mark = next((each for each in field.metadata if isinstance(each, Named)), None)
    return None if mark is None else Entries(mark=mark, value=FieldInfo.from_annotation(get_args(field.annotation)[1]))


def named_field(part_class: type) -> tuple[str, Entries] | None:
    """Return the field of a class that is marked so, if it has one, with its name."""
    found = ((name, entries_of(field)) for name, field in fields_of(part_class).items())
    return next(((name, entries) for name, entries in found if entries is not None), None)


def told_class(classes: tuple[type, ...], node: Mapping[str, Any]) -> type | None:
    """Return the first class whose required fields a node gives, with values that they list."""
    for each in classes:
        required = {name: field.annotation for name, field in fields_of(each).items() if field.is_required()}
        if all(name in node and node[name] in (get_args(kind) or (node[name],)) for name, kind in required.items()):
            return each
    return None


def untold_kind(classes: tuple[type, ...], node: Mapping[str, Any]) -> tuple[str, list[str]] | None:
    """Return the key by which a node says what it is with a value that no class lists, and the values that are."""
    listed: dict[str, list[str]] = {}
    for each in classes:
        for name, field in fields_of(each).items():
            if field.is_required() and name in node:
                listed.setdefault(name, []).extend(get_args(field.annotation))
    return next(((name, values) for name, values in listed.items() if values and node[name] not in values), None)


def ways_to_tell(classes: tuple[type, ...], key: str) -> str:
    """Say what a node at `key` may say for its class to be known."""
    return " or ".join(
        f"{key}.{name}={value}"
        for each in classes
        for name, field in fields_of(each).items()
        if field.is_required()
        for value in get_args(field.annotation) or (placeholder(name),)
    )
