"""Keys that a configuration does not have, and what may have been meant; and those that it must have and has not."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from peftrec.errors import SettingsError, nearest_name

_SHOWN = 5

Answer = Callable[[str, Any], str | None]
"""From an unknown key and its value to what to write instead."""


class UnknownKeysError(SettingsError):
    """Keys that the configuration does not have, with their values."""

    def __init__(self, unknown: Mapping[str, Any], known: Sequence[str]) -> None:
        super().__init__(explain_unknown(unknown, known))
        self.unknown = unknown
        self.known = known


class MissingKeysError(SettingsError):
    """Keys that a configuration must have and has not."""

    def __init__(self, missing: Sequence[tuple[str, str]]) -> None:
        self.missing = [(key, instead, f"{key} is required: set {instead}") for key, instead in missing]
        """Each key, what to write, and the whole line about it."""
        super().__init__("\n".join(line for _, _, line in self.missing))


def explain_unknown(unknown: Mapping[str, Any], known: Sequence[str], answer: Answer | None = None) -> str:
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
