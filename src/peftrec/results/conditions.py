"""Under which conditions costs were measured, and where they are not the same: such costs tell nothing about methods.

What is null in a record says nothing about its run (see peftrec.training.run.conditions), and is compared with nothing.
"""

import json
from collections.abc import Mapping
from typing import Literal

from peftrec.results.record import Record

ConditionsChoice = Literal["same", "mixed"]
VERSIONS = ("torch", "lightning", "transformers", "peft", "numpy", "python")
"""Libraries whose version may change what a step costs."""


def conditions_of(record: Record) -> dict[str, str]:
    """Return the conditions of a record's costs by key, as JSON."""
    latest = record.latest
    versions = {f"versions.{name}": latest.versions.get(name) for name in VERSIONS}
    found = {**latest.conditions, **versions}
    return {key: json.dumps(value, sort_keys=True) for key, value in found.items() if value is not None}


def of_all(records: list[Record]) -> dict[str, str]:
    """Return the conditions of several runs that one cost is the median of; what differs between them is all said."""
    found: dict[str, dict[str, None]] = {}
    for record in records:
        for key, value in conditions_of(record).items():
            found.setdefault(key, {})[value] = None
    return {key: " and ".join(sorted(values)) for key, values in found.items()}


def differing_conditions(conditions: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return one entry a key whose values differ between those that have it: `threads (1: lora; 2: full)`."""
    lines = []
    for key in sorted({key for each in conditions.values() for key in each}):
        groups: dict[str, list[str]] = {}
        for name, each in conditions.items():
            if key in each:
                groups.setdefault(each[key], []).append(name)
        if len(groups) > 1:
            told = "; ".join(f"{value}: {', '.join(names)}" for value, names in sorted(groups.items()))
            lines.append(f"{key} ({told})")
    return lines
