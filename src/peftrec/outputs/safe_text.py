r"""Text from data, made safe for each place where it comes out.

Titles, ids, names of runs and whatever stands in a record are somebody else's. In a terminal they could hold escape
sequences, in a table of a spreadsheet formulas, in Markdown tags and links, in a figure mathematics. Nothing is
dropped: what could do something is shown as `\u001b`, or escaped as the output's own rules say.

HTML is escaped by the page's template (peftrec.results.report.page), LaTeX by peftrec.results.
"""

import json
import re
from collections.abc import Iterable
from typing import Any

CONTROLS = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 and C1: escape sequences begin with one of these
    r"\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"  # line ends, and what turns the direction of reading
    r"\ud800-\udfff\ufeff\U000e0000-\U000e007f"  # half characters, and characters that nobody sees
)
_UNSAFE = re.compile(f"[{CONTROLS}]")
_UNSAFE_IN_LINE = re.compile(rf"[{CONTROLS}\t\n]")
_MARKDOWN_SPECIAL = re.compile(r"([\\`*\[\]|$~])")
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_ENTITY = re.compile(r"&(?=#?\w+;)")
_MARKDOWN_STARTS = re.compile(r"^(\s*)(?:(>)|([#+=-]+|\d+[.)])(?=\s|$))")
FORMULA_STARTS = ("=", "+", "-", "@")
"""How a cell begins that spreadsheets calculate (OWASP, "CSV Injection"); line ends and tabs are shown already."""


def for_terminal(text: str) -> str:
    r"""Return text of several lines in which no character moves the cursor, colours or reorders: `\u001b[31m`."""
    return _UNSAFE.sub(_shown, text)


def for_line(text: str) -> str:
    r"""Return text for a cell or one line: as for a terminal, and line ends and tabs are shown as `\n` and `\t`."""
    return _UNSAFE_IN_LINE.sub(_shown, text)


def for_csv(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula: text that begins like one gets a quote before it.

    Numbers stay as they are.
    """
    if not isinstance(value, str):
        return value
    line = for_line(value)
    return f"'{line}" if line.startswith(FORMULA_STARTS) else line


def for_markdown_sentence(text: str) -> str:
    """Return a sentence of ours with names from data in it: as `for_markdown`, but that code stays code."""
    return for_markdown(text).replace("\\`", "`")


def for_markdown(text: str) -> str:
    """Return text that Markdown shows as it is, in one line: no tags, links, code, emphasis, mathematics or cells."""
    line = for_line(text)
    line = _TAG.sub("&lt;", _ENTITY.sub("&amp;", line))
    line = _MARKDOWN_SPECIAL.sub(r"\\\1", line)
    return _MARKDOWN_STARTS.sub(_escaped_start, line)


def for_markdown_code(text: str) -> str:
    """Return text as code within a line; the fence is longer than any run of its own marks."""
    line = for_line(text)
    fence = "`" * (_longest_run(line) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def for_markdown_block(text: str, language: str = "") -> str:
    """Return text as a block of code, which nothing in it ends."""
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{language}\n{for_terminal(text).rstrip()}\n{fence}"


def for_json(value: Any) -> str:
    """Return JSON to read on a terminal: letters of all alphabets as they are, control characters as JSON escapes."""
    return _UNSAFE.sub(_shown, json.dumps(value, indent=2, ensure_ascii=False))


def _escaped_start(found: "re.Match[str]") -> str:
    """Put a backslash before what would make a heading, a list or a quotation; of `1.` before the point."""
    start = found[2] or found[3]
    number = start[:-1] if start[0].isdigit() else ""
    return f"{found[1]}{number}\\{start[len(number) :]}"


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


def _shown(found: "re.Match[str]") -> str:
    return json.dumps(found.group())[1:-1]


def each_for_line(texts: Iterable[str]) -> list[str]:
    """Return several cells."""
    return [for_line(text) for text in texts]
