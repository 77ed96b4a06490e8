"""Ids that are written in two ways: what spreadsheets, file systems and other programs make of an id on the way."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from unicodedata import normalize


@dataclass(frozen=True)
class Spelling:
    """A difference that no reader sees, or that a program made."""

    of: Callable[[str], str]
    """Gives what two such ids have in common."""
    difference: str
    remedy: str


SPELLINGS = (
    Spelling(str.strip, "white space around it", "strip it"),
    Spelling(lambda text: re.sub(r"^(-?\d+)\.0+$", r"\1", text), "a fraction of zero", "write whole numbers"),
    Spelling(lambda text: re.sub(r"^0+(?=\d)", "", text), "leading zeros", "keep the column as text"),
    Spelling(str.casefold, "capital letters", "write ids in one case"),
    Spelling(lambda text: normalize("NFC", text), "how accents are coded (NFC, NFD)", "write ids in NFC"),
)
ALL = Spelling(
    lambda text: reduce(lambda done, spelling: spelling.of(done), SPELLINGS, text),
    "several of white space, zeros, capital letters and how accents are coded",
    "write ids in one way",
)


def look_alike(unknown: Sequence[str], known: Sequence[str]) -> str:
    """Say which known id the first of the unknown ones is but for its spelling, and how many others are so; empty where
    there is none."""
    for spelling in (*SPELLINGS, ALL):
        by_form = {spelling.of(name): name for name in known}
        if (same := by_form.get(spelling.of(unknown[0]))) is not None:
            number = sum(spelling.of(name) in by_form for name in unknown)
            others = f", as {number:,} of {len(unknown):,} such ids do" if len(unknown) > 1 else ""
            return f"{same!r} there differs in {spelling.difference} alone{others}: {spelling.remedy}"
    return ""
