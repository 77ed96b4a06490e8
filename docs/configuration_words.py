"""What a key takes, its default and its docstring, in the words of the page of keys."""

import json
import re
from typing import Annotated, Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import JsonValue, TypeAdapter
from pydantic.fields import FieldInfo

_PLAIN: dict[Any, str] = {
    bool: "`true` or `false`",
    int: "whole number",
    float: "number",
    str: "text",
    type(None): "`null`",
    JsonValue: "any value",
}
_BOUNDS = ((Ge, "ge", "from {}"), (Gt, "gt", "above {}"), (Le, "le", "to {}"), (Lt, "lt", "below {}"))


def code(text: str) -> str:
    """Return text as code in a cell of a table."""
    return f"`{text}`".replace("|", "\\|")


def sentence(text: str) -> str:
    """Return a docstring or a comment as prose in a cell of a table."""
    words = " ".join(text.split())
    parts = re.split(r"(`[^`]*`)", words)
    return "".join(part if part.startswith("`") else part.replace("<", "&lt;") for part in parts).replace("|", "\\|")


def type_words(field: FieldInfo) -> str:
    """Say what values a key takes."""
    return _words(field.annotation, tuple(field.metadata))


def _words(annotation: Any, limits: tuple[Any, ...] = ()) -> str:
    if isinstance(annotation, FieldInfo):
        return _words(annotation.annotation, (*annotation.metadata, *limits))
    if annotation in _PLAIN:
        return " ".join([_PLAIN[annotation], *_bounds(limits)])
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _words(arguments[0], (*arguments[1:], *limits))
    if origin is tuple:
        number = "" if arguments[-1] is ... else f"{len(arguments)} "
        return f"list of {number}{_in_list(_words(arguments[0]))}"
    if origin is dict:
        return f"group of keys, each with {_words(arguments[1])}"
    return _alternatives(annotation, limits)


def _alternatives(annotation: Any, limits: tuple[Any, ...]) -> str:
    """Return the values of a Literal, or the members of a union, whose bounds are of its numbers."""
    members = get_args(annotation)
    if get_origin(annotation) is Literal:
        return _or([code(str(value)) for value in members])
    if members:
        return _or([_words(each, () if each is type(None) else limits) for each in members])
    raise TypeError(f"{annotation}: no words for this type yet; give it some in docs/configuration_words.py")


def _in_list(words: str) -> str:
    return {"text": "texts", "whole number": "whole numbers", "number": "numbers"}.get(words, words)


def _or(words: list[str]) -> str:
    plain = list(dict.fromkeys(words))
    return plain[0] if len(plain) == 1 else f"{', '.join(plain[:-1])} or {plain[-1]}"


def _bounds(limits: tuple[Any, ...]) -> list[str]:
    flat = [one for each in limits for one in (each.metadata if isinstance(each, FieldInfo) else [each])]
    found = [
        words.format(format(getattr(one, name), "g" if isinstance(getattr(one, name), float) else ","))
        for kind, name, words in _BOUNDS
        for one in flat
        if isinstance(one, kind)
    ]
    return [" ".join(found)] if found else []


def value_words(value: Any) -> str:
    """Return a value as a command would say it."""
    if isinstance(value, str):
        return value if value.strip() else json.dumps(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(value_words(each) for each in value)}]"
    return json.dumps(value)


def plain(field: FieldInfo, value: Any) -> Any:
    """Return a default as yaml would hold it."""
    return TypeAdapter(field.annotation).dump_python(value, mode="json")
