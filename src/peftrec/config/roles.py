"""What a key of the configuration decides, said where the key is declared.

    num_workers: Cost[int] = 0          how a run is executed: what it costs, and not what comes out
    root: Place[str]                    where something lies or how it is shown: neither

Every other key decides the result. A role on a key that holds a group of keys is that of the whole group.
"""

import json
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Any, TypeVar

from pydantic import JsonValue

from peftrec.config.fields import entries_of, fields_of


class Role(StrEnum):
    """What a key decides."""

    RESULT = "result"
    """What comes out: part of a run's name."""
    COST = "cost"
    """What it takes: no part of a run's name, but costs of different values are not compared unsaid."""
    PLACE = "place"
    """Neither."""


Value = TypeVar("Value")
Cost = Annotated[Value, Role.COST]
Place = Annotated[Value, Role.PLACE]


def roles_of(part: Any) -> dict[str, Role]:
    """Return the keys of a part that do not decide the result, dotted, with what they decide instead; a key that holds
    a group of keys stands for the group."""
    found: dict[str, Role] = {}
    _collect(part, "", found)
    return found


def _collect(part: Any, prefix: str, found: dict[str, Role]) -> None:
    for name, field in fields_of(type(part)).items():
        role = next((each for each in field.metadata if isinstance(each, Role)), Role.RESULT)
        value = getattr(part, name)
        if role != Role.RESULT:
            found[prefix + name] = role
        elif entries_of(field) is not None:
            for key, entry in value.items():
                _collect(entry, f"{prefix}{key}.", found)
        elif fields_of(type(value)):
            _collect(value, f"{prefix}{name}.", found)


def without(config: Mapping[str, JsonValue], keys: Iterable[str]) -> dict[str, Any]:
    """Return a configuration without keys, dotted, and without all that stands below them."""
    copy: dict[str, Any] = json.loads(json.dumps(config))
    for key in keys:
        *parents, last = key.split(".")
        node: Any = copy
        for parent in parents:
            node = node.get(parent) or {}
        node.pop(last, None)
    return copy


def value_of(config: Mapping[str, Any], key: str) -> Any:
    """Return what stands under a dotted key, None where nothing does."""
    node: Any = config
    for name in key.split("."):
        node = node.get(name) if isinstance(node, Mapping) else None
    return node
