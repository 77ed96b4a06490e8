"""The keys of printed JSON, and those that a page describes."""

import re
from typing import Any

from markdown_pages import REPOSITORY


def keys_of(node: Any) -> set[str]:
    """Return the dotted keys of all leaves; `[]` is each entry of a list. What is null in one entry and has keys in
    another is there by these."""
    found = _leaves(node, "")
    return {key for key in found if not any(other.startswith(f"{key}.") for other in found)}


def described_keys(page: str, heading: str) -> set[str]:
    """Return the keys in the first column of the table that has this heading, on a page of `docs/`."""
    (rows,) = re.findall(
        rf"^\| {re.escape(heading)} \|[^\n]*\n((?:\|[^\n]*\n)+)", (REPOSITORY / "docs" / page).read_text(), re.MULTILINE
    )
    return {key for cell in re.findall(r"^\| (`.*?`) \|", rows, re.MULTILINE) for key in re.findall("`(.*?)`", cell)}


def _leaves(node: Any, prefix: str) -> set[str]:
    if isinstance(node, dict) and node:
        return {leaf for key, value in node.items() for leaf in _leaves(value, f"{prefix}.{key}".lstrip("."))}
    if isinstance(node, list) and any(isinstance(each, dict) for each in node):
        return {leaf for each in node for leaf in _leaves(each, f"{prefix}[]")}
    return {prefix}
