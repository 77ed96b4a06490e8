"""What pydantic found wrong, in the words of someone who writes yaml."""

import json
import re
from collections.abc import Mapping

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from peftrec.errors import nearest_name

_EXPECTED = {
    "int_type": "an integer",
    "int_parsing": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a group of keys",
    "none_required": "null",
}
_PHRASES = {
    "Input should be a valid ": "a ",
    "Input should be greater": "a value greater",
    "Input should be less": "a value less",
    "Input should be ": "",
    "String should match pattern": "text that matches",
    "String should have": "text with",
    "Tuple should have": "a list with",
    " after validation": "",
}
_LONGEST_VALUE = 60
VALUE = "VALUE"
"""What stands in a message for a value that only the user knows."""


def explain(error: ValidationError, key: str, value: object = None, *, or_null: bool = False) -> str:
    """Say for each place below `key` what was expected and what stands there, one line a place. Of `value`, what was
    read there, the names of entries are places; other names in an error are pydantic's own, of types. `or_null` says
    that null may stand at `key` too, which pydantic leaves out."""
    by_place: dict[str, list[ErrorDetails]] = {}
    for detail in error.errors():
        parts = [str(part) for part in detail["loc"]] if not key else _places(detail["loc"], value)
        by_place.setdefault(".".join([key, *parts]).strip("."), []).append(detail)
    return "\n".join(_explain_place(place, details, or_null and place == key) for place, details in by_place.items())


def _places(path: tuple[int | str, ...], value: object) -> list[str]:
    """Return the numbers on a path, and the names that are keys of a mapping in `value`."""
    places = []
    for part in path:
        if isinstance(part, int):
            value = value[part] if isinstance(value, list) and part < len(value) else None
        elif isinstance(value, Mapping) and part in value:
            value = value[part]
        else:
            continue
        places.append(str(part))
    return places


def describe(value: object) -> str:
    """Show a value as it would stand in yaml's JSON form, shortened."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 3] + "..."


def placeholder(key: str) -> str:
    """Name what belongs after `key=`."""
    name = key.rpartition(".")[2]
    if name == "root" or "dir" in name:
        return "DIR"
    return "PATH" if name in ("path", "file") else VALUE


def _explain_place(place: str, details: list[ErrorDetails], or_null: bool) -> str:
    prefix = f"{place}: " if place else ""
    if details[0]["type"] == "value_error":
        return prefix + str(details[0]["msg"]).removeprefix("Value error, ")
    expected = [*(_expectation(detail) for detail in details), *["null"] * or_null]
    wanted, given = " or ".join(dict.fromkeys(expected)), details[0]["input"]
    near = nearest_name(given, _listed(details)) if isinstance(given, str) else None
    return f"{prefix}expected {wanted}, got {describe(given)}" + (f"; did you mean {near}?" if near else "")


def _listed(details: list[ErrorDetails]) -> list[str]:
    """Return the texts that may stand there, where they are a list."""
    lists = [detail["ctx"]["expected"] for detail in details if detail["type"] == "literal_error"]
    return [text for each in lists for text in re.findall("'([^']*)'", each)]


def _expectation(detail: ErrorDetails) -> str:
    if detail["type"] == "literal_error":
        return f"one of {detail['ctx']['expected']}".replace(" or ", ", ").replace("'", "")
    if detail["type"] in _EXPECTED:
        return _EXPECTED[detail["type"]]
    message = detail["msg"]
    for phrase, plain in _PHRASES.items():
        message = message.replace(phrase, plain)
    return message[:1].lower() + message[1:]
