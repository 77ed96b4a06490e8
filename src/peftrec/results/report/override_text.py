"""Values as a command line holds them: in the grammar of Hydra's overrides, which reads them back as they were."""

import re

from pydantic import JsonValue

WORD = re.compile(r"\w+")
_PLAIN = re.compile(r"[A-Za-z0-9_/.][A-Za-z0-9_/.@%-]*")
"""Text that is read as it stands, unless it looks like something else."""
_SOMETHING_ELSE = re.compile(r"(?i)true|false|null|[+-]?(nan|inf)|[+-]?[\d_.]+(e[+-]?\d+)?")
_SPECIAL_IN_KEY = re.compile(r"([\\()\[\]{}:=, \t])")


def in_override(value: JsonValue) -> str:
    """Return what stands behind the equals sign of an override."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return f"[{','.join(map(in_override, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{_key(key)}:{in_override(each)}' for key, each in value.items())}}}"
    return value if _PLAIN.fullmatch(value) and not _SOMETHING_ELSE.fullmatch(value) else _quoted(value)


def _key(key: str) -> str:
    return _SPECIAL_IN_KEY.sub(r"\\\1", key)


def _quoted(text: str) -> str:
    """Quote text. Backslashes count as escapes before a quote alone, and before what would be an interpolation."""
    escaped = re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + "\\${", text)
    escaped = re.sub(r'(\\*)(")', lambda found: found[1] * 2 + '\\"', escaped)
    at_end = re.search(r"\\*$", escaped)
    assert at_end is not None
    return f'"{escaped}{at_end[0]}"'
