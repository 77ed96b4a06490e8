"""Errors that a user can mend: each message names the place (file and line, or key) and the remedy."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

SHOWN = 3
"""How many of many things a message lists."""


class UserError(Exception):
    """Something in the user's input is wrong; the command line prints the message alone, without a traceback."""


class SettingsError(UserError):
    """A key of the configuration is unknown, has the wrong type, or contradicts another key."""


class OwnCodeError(SettingsError):
    """A class of the user's own, whose folder the command does not name."""


class DataError(UserError):
    """A file of items, interactions or images is missing or malformed."""


class StoreError(UserError):
    """A hidden-state store is stale, truncated, or belongs to other towers or items."""


class CheckpointError(UserError):
    """A checkpoint does not fit the model that the recorded configuration builds."""


class RecordError(UserError):
    """A run record is missing, malformed, or cannot be compared with the others."""


def shortlist(things: Iterable[object], total: int | None = None) -> str:
    """Return `a, b, c and 12 more`; `things` need not hold more than the first few when `total` is given."""
    listed = [str(thing) for thing in things]
    count = len(listed) if total is None else total
    shown = ", ".join(listed[:SHOWN])
    return shown if count <= SHOWN else f"{shown} and {count - SHOWN} more"


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that resembles `name` most, whatever the case of either; None where none does."""
    folded = {each.casefold(): each for each in known}
    nearest = get_close_matches(name.casefold(), folded, n=1)
    return folded[nearest[0]] if nearest else None


def counted(number: int, noun: str) -> str:
    """Return `1 step` or `1,200 steps`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def expected_one_of(known: Sequence[str], given: str) -> str:
    """Return the end of a message about a value that is none of the known ones."""
    listed = " or ".join(filter(None, [", ".join(known[:-1]), known[-1]]))
    near = nearest_name(given, known)
    return f"expected {listed}" if near is None else f"expected {listed}; did you mean {near}?"


def did_you_mean(name: str, known: Iterable[str], *, otherwise: str | None = None) -> str:
    """Return the end of a message about an unknown name: the nearest known one, or else all there are."""
    names = list(known)
    if (near := nearest_name(name, names)) is not None:
        return f"did you mean {near}?"
    return otherwise if otherwise is not None else f"choose one of {', '.join(names)}"
