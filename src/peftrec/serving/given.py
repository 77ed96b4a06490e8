"""Arguments of the Python API, checked where they come in; each mistake is a SettingsError that says what to write."""

import os
from collections.abc import Iterable, Mapping, Set
from numbers import Integral, Number, Real
from operator import index
from pathlib import Path
from reprlib import repr as shorten
from typing import Literal, cast

from peftrec.errors import SettingsError, did_you_mean

WORDS = '["strategy=lora"]'
USERS = '["user00061"]'
HISTORY = '["item00018", "item00042"]'
RUN = '"runs/first/lora"'
"""Examples in messages."""
LARGEST_WEIGHT = 1_000_000
"""Far below, nothing of the model's own scores is left; far above, they are no numbers any more."""


def given_id(name: str, given: object, example: str) -> str:
    """Return an id, which many programs read as a number where it is made of digits."""
    if isinstance(given, str):
        return given
    instead = f'ids are text, so write "{index(given)}"' if isinstance(given, Integral) else f"write {example}"
    raise SettingsError(f"{name}: expected an id as text, found {_found(given)}: {instead}")


def given_ids(name: str, given: object, example: str, *, is_ordered: bool = False) -> list[str]:
    """Return ids, as `given_texts` returns texts; `is_ordered` refuses sets."""
    if is_ordered and isinstance(given, Set):
        raise SettingsError(f"{name}: expected a list of texts, found a set, which has no order: write {example}")
    return [given_id(f"{name}[{place}]", each, example) for place, each in enumerate(_members(name, given, example))]


def given_texts(name: str, given: object, example: str) -> list[str]:
    """Return the texts of a list, a Series, an array or any other iterable."""
    texts = []
    for place, each in enumerate(_members(name, given, example)):
        if not isinstance(each, str):
            raise SettingsError(f"{name}[{place}]: expected a text, found {_found(each)}: write {example}")
        texts.append(each)
    return texts


def given_list(name: str, given: object, expected: str, example: str) -> list[object]:
    """Return what an iterable holds that is neither text nor a mapping."""
    if isinstance(given, Iterable) and not isinstance(given, str | bytes | Mapping):
        try:
            iterator = iter(given)
        except TypeError:  # an array of no dimensions has the method, and nothing to give
            pass
        else:
            return list(iterator)
    raise SettingsError(f"{name}: expected {expected}, found {_found(given)}: write {example}")


def given_count(name: str, given: object) -> int:
    """Return a whole number from 1, of Python or numpy."""
    try:
        number = 0 if isinstance(given, bool) else index(given)  # type: ignore[arg-type]
    except TypeError:
        number = 0
    if number < 1:
        raise SettingsError(f"{name}={_short(given)}: expected a whole number from 1, such as {name}=10")
    return number


def given_switch(name: str, given: object) -> bool:
    """Return True or False; any other value is refused, as "no" would count as true."""
    if isinstance(given, bool):
        return given
    raise SettingsError(f"{name}={_short(given)}: expected True or False, without quotes: write {name}=True")


def given_number(name: str, given: object) -> float:
    """Return a number, of Python or numpy."""
    if isinstance(given, bool) or not isinstance(given, Real):
        raise SettingsError(f"{name}={_short(given)}: expected a number, such as {name}=0.5")
    return float(given)


def given_weight(name: str, given: object) -> float | Literal["auto", "off"]:
    """Return a weight, "auto" or "off"."""
    if isinstance(given, str) and given == "auto":
        return "auto"
    if isinstance(given, str) and given == "off":
        return "off"
    if not isinstance(given, bool) and isinstance(given, Real):
        number = cast("float", given)  # compared before it is one: a whole number may be too large to become one
        if 0 <= number <= LARGEST_WEIGHT:
            return float(number)
    raise SettingsError(
        f"{name}={_short(given)}: expected auto, off, or a number from 0 to {LARGEST_WEIGHT:,}; "
        + did_you_mean(str(given), ("auto", "off"), otherwise=f"such as {name}=0.25")
    )


def given_path(name: str, given: object, example: str) -> Path:
    """Return a path that is a text or an object of paths."""
    if isinstance(given, str | os.PathLike):
        return Path(given)
    raise SettingsError(f"{name}: expected a path, found {_found(given)}: write {example}")


def _members(name: str, given: object, example: str) -> list[object]:
    if isinstance(given, str):  # a sequence of texts too, of one letter each
        raise SettingsError(f"{name}: expected a list of texts, found one text: write [{given!r}]")
    return given_list(name, given, "a list of texts", example)


def _found(given: object) -> str:
    return _short(given) if given is None or isinstance(given, Number | bytes) else f"a {type(given).__name__}"


def _short(given: object) -> str:
    """Return a value on one line, however large it is."""
    return " ".join(shorten(given).split())
